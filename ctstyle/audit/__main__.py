"""The command: `python -m ctstyle.audit PATH...`; exit 0 sound, 1 broken, 2 not to be audited.

With `--reproduce` or `--recompute` jobs are run again in its place: 0 the same bytes, 1 others or none.
"""

import argparse
import io
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ctstyle.audit import checks, reproduce
from ctstyle.audit.evidence import explain, gather
from ctstyle.audit.finding import Audit, printable
from ctstyle.audit.seal import check_seal, root_of
from ctstyle.audit.separation import check_separation
from ctstyle.errors import CTStyleError
from ctstyle.provenance.names import RECORDS

SOUND, BROKEN, UNUSABLE = 0, 1, 2
LONGEST_ERROR = 4000


class NothingToAudit(CTStyleError):
    """The command names no results, or a file that is not in them."""


def _audit(options: argparse.Namespace) -> Audit:
    """Audit files of a run and all that they were made from; a results folder stands for everything in it.

    Raises NothingToAudit.
    """
    began = time.perf_counter()
    asked, folder, checkout = _places(options, options.allowed_signers)
    if not any((folder / RECORDS).rglob("*.json")):
        raise NothingToAudit("no records", where=folder / RECORDS, fix="Name a folder of results that a run has made.")
    for path in asked:
        if not path.is_relative_to(folder):
            raise NothingToAudit("not in the results", where=path, expected=f"a path in {folder}")
    evidence = gather(
        folder,
        asked,
        checkout=checkout,
        checkout_asked=options.checkout is not None,
    )
    if not evidence.targets and not evidence.whole:
        raise NothingToAudit("nothing that a job made", where=asked[0], fix="Logs and benchmarks are not audited.")
    findings = [
        *evidence.faults,
        *checks.check_completeness(evidence),
        *checks.check_bytes(evidence),
        *checks.check_dependencies(evidence),
        *checks.check_sources(evidence),
        *checks.check_code(evidence),
        *checks.check_fingerprints(evidence),
        *checks.check_commit(evidence),
        *checks.check_environment(evidence),
        *check_separation(evidence),
        *check_seal(evidence, anchor=options.root, allowed_signers=options.allowed_signers),
    ]
    return Audit(
        findings=findings,
        files=sum(one.sha256 is not None for one in evidence.hashed.values()),
        records=len(evidence.records),
        bytes_read=sum(one.size for one in evidence.hashed.values()),
        root=root_of(evidence),
        seconds=time.perf_counter() - began,
        lineage={target: explain(evidence, target) for target in evidence.targets} if options.explain else {},
    )


def _places(options: argparse.Namespace, *files: Path | None) -> tuple[list[Path], Path, Path]:
    """The PATHs, the folder of results and the checkout; these and other `files` are there. Raises NothingToAudit."""
    asked = [_absolute(path) for path in options.paths]
    for path in (*asked, *filter(None, (options.results, options.checkout, *files))):
        if not path.exists():
            raise NothingToAudit("no such file or folder", where=path)
    results = _find_results(asked[0]) if options.results is None else _absolute(options.results)
    return asked, results, Path(__file__).parents[2] if options.checkout is None else _absolute(options.checkout)


def _find_results(path: Path) -> Path:
    """The nearest folder above a path (or itself) that holds records. Raises NothingToAudit."""
    for folder in (path, *path.parents):
        if (folder / RECORDS).is_dir():
            return folder
    raise NothingToAudit("in no folder of results", where=path, expected=f"{RECORDS} in a folder above it")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m ctstyle.audit", description="Are these results what they claim?")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a folder of results, or files in it")
    parser.add_argument("--results", type=Path, metavar="DIR", help="the folder of results (default: from PATH)")
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="the code to compare with (default: this one)")
    parser.add_argument("--explain", action="store_true", help="also print what each PATH was made from")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--root", type=_digest, metavar="DIGEST", help="the root digest that was published")
    parser.add_argument("--allowed-signers", type=Path, metavar="FILE", help="public keys, as ssh-keygen reads them")
    again = parser.add_argument_group(
        "run jobs again, in place of the audit",
        "Runs the checkout's code on files of the results; needs its environment.",
    )
    again.add_argument("--reproduce", metavar="RULE", help="run one job of this rule again and compare its files")
    again.add_argument("--wildcards", nargs="+", type=_wildcard, default=[], metavar="NAME=VALUE", help="which job")
    again.add_argument("--recompute", action="store_true", help="make all tables and figures again and compare them")
    again.add_argument("--configfile", nargs="+", type=Path, default=[], metavar="FILE", help="the run's, in order")
    again.add_argument("--cores", type=int, metavar="N", help="cores that may be used (default: as the jobs had)")
    again.add_argument("--time-limit", type=float, metavar="SECONDS", help="stop then (default: never)")
    options = parser.parse_args(arguments)
    _check_together(parser, options)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        done = _run_again(options) if options.reproduce is not None or options.recompute else _audit(options)
    except CTStyleError as error:
        print(f"ctstyle.audit: {printable(str(error), most=LONGEST_ERROR)}", file=sys.stderr)
        return UNUSABLE
    except Exception as error:
        told = printable(f"{type(error).__name__}: {error}")
        print(f"ctstyle.audit: could not finish: {told}", file=sys.stderr)
        return UNUSABLE
    print(done.as_json() if options.json else done.as_text())
    return SOUND if done.sound else BROKEN


def _check_together(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the program where options were given that have nothing to do with each other."""
    again = options.reproduce is not None or options.recompute
    of_audit = options.explain or options.root or options.allowed_signers
    of_again = options.configfile or options.cores is not None or options.time_limit is not None
    if options.reproduce is not None and options.recompute:
        parser.error("--reproduce or --recompute, not both")
    if again and len(options.paths) > 1:
        parser.error("--reproduce and --recompute take one PATH, in the results")
    if again and of_audit:
        parser.error("--explain, --root and --allowed-signers belong to the audit: run it without running jobs again")
    if of_again and not again:
        parser.error("--configfile, --cores and --time-limit belong to --reproduce and --recompute")
    if options.wildcards and options.reproduce is None:
        parser.error("--wildcards belong to --reproduce")
    if any(number is not None and number <= 0 for number in (options.cores, options.time_limit)):
        parser.error("--cores and --time-limit are larger than 0")


def _run_again(options: argparse.Namespace) -> reproduce.Rerun:
    """Run jobs of the results again, as the options say. Raises NothingToAudit and CannotRerun."""
    _, results, checkout = _places(options, *options.configfile)
    configs = tuple(map(_absolute, options.configfile))
    setup = reproduce.Setup(checkout, configs, cores=options.cores, time_limit_s=options.time_limit)
    warning = f"this runs the code of {checkout} on files of {results}; run it only if you trust both"
    print(f"ctstyle.audit: {printable(warning, most=LONGEST_ERROR)}", file=sys.stderr)
    if options.recompute:
        return reproduce.recompute(results, setup)
    return reproduce.reproduce(results, options.reproduce, dict(options.wildcards), setup)


def _absolute(path: Path) -> Path:
    """The path from the root; links stay, since results may be a link to a larger disk."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _wildcard(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError("a wildcard is name=value")
    return name, value


def _digest(text: str) -> str:
    digest = text.removeprefix("sha256:").lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise argparse.ArgumentTypeError("a root is 64 hexadecimal digits")
    return digest


if __name__ == "__main__":
    sys.exit(main())
