"""The record of one job: what it read, what it made, with which code and where (docs/provenance.md).

An in-toto Statement v1 with a SLSA Provenance v1 predicate (https://slsa.dev/spec/v1.0/provenance).
"""

import getpass
import hashlib
import json
import math
import platform
import re
import socket
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ctstyle
from ctstyle.errors import CTStyleError
from ctstyle.provenance.code import code_dependencies
from ctstyle.provenance.machine import cards, commit_of, imported_packages, processor
from ctstyle.provenance.names import Names

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://ctstyle/job/v2"
BUILDER = "https://ctstyle/job"
ABSOLUTE_PATH = re.compile(r"file:///\S*|(?<![\w./>])/(?:[\w.@~+-]+/)+[\w.@~+-]*")
"""An absolute path within a text: it begins with a slash after no letter, and has a folder in it."""


class NotRecordable(CTStyleError):
    """A value that JSON cannot hold faithfully: not a number, infinity, or an object without a plain form."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The facts of one job.

    `inputs` and `outputs` map the rule's keys to paths, and `names` knows what they are called; `script` is a file in
    the checkout; `device` is "cpu" or "cuda". `started` and `finished` carry a time zone. `segments` are the stretches
    of a resumed training, `touched` the names of inputs whose change time alone moved while the job ran.
    """

    rule: str
    wildcards: Mapping[str, str]
    params: Mapping[str, Any]
    seed: int
    threads: int
    device: str
    deterministic: bool
    inputs: Mapping[str, Sequence[Path | str]]
    outputs: Mapping[str, Sequence[Path | str]]
    script: Path
    names: Names
    started: datetime
    finished: datetime | None = None
    segments: Sequence[Mapping[str, Any]] = ()
    touched: Sequence[str] = ()


def statement(
    job: Job,
    input_digests: Mapping[Path, str],
    output_digests: Mapping[Path, str],
    environment: Mapping[str, Any],
    *,
    private: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The record of a finished job, as JSON types.

    The digests are by path as in `job.inputs` and `job.outputs`, `environment` is what the function of that name
    returns, and `private` the `home`, `user` and `host` that must not be told (default: this machine's). Raises
    NotRecordable and UnknownScript.
    """
    private = private_words() if private is None else private
    subjects = [
        {
            "name": job.names.of(path),
            "digest": {"sha256": output_digests[Path(path)]},
            "annotations": {"key": key, "size": job.names.place(path).stat().st_size},
        }
        for key, paths in job.outputs.items()
        for path in paths
    ]
    inputs = [
        {"name": f"input:{key}", "uri": name, "digest": {"sha256": sha256}}
        for key, name, sha256 in _named_inputs(job, input_digests)
    ]
    code = [
        {"name": name, "uri": name, "digest": {"sha256": sha256}}
        for name, sha256 in code_dependencies(job.script, job.names.root, job.params.get("place", ""))
    ]
    # files of the checkout that the script reads and no module imports
    code += [
        {"name": f"code:{name}", "uri": f"code:{name}", "digest": {"sha256": sha256}}
        for name, sha256 in job.params.get("files", {}).items()
    ]
    git = {
        "name": "git",
        "uri": "git:HEAD",
        "digest": {"gitCommit": environment["commit"]},
        "annotations": {"dirty": environment["dirty"]},
    }
    machine = ("packages", "python", "cpu", "gpu", "driver")
    return {
        "_type": STATEMENT_TYPE,
        "subject": sorted(subjects, key=lambda subject: subject["name"]),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "rule": job.rule,
                    "wildcards": dict(job.wildcards),
                    "params": _told_params(job, private),
                    "seed": job.seed,
                },
                "internalParameters": {
                    "threads": job.threads,
                    "device": job.device,
                    "deterministic": job.deterministic,
                    **scrub({key: environment[key] for key in machine}, **private),
                },
                "resolvedDependencies": [*inputs, *code, git],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"ctstyle": environment["ctstyle"]}},
                "metadata": {
                    "invocationId": job_fingerprint(job, input_digests, private=private),
                    "startedOn": timestamp(job.started),
                    "finishedOn": timestamp(job.finished),
                },
                "byproducts": [
                    *({"name": "segment", "annotations": scrub(plain(one), **private)} for one in job.segments),
                    *({"name": "touched", "uri": name} for name in job.touched),
                ],
            },
        },
    }


def job_fingerprint(job: Job, input_digests: Mapping[Path, str], *, private: Mapping[str, str] | None = None) -> str:
    """The fingerprint of a job, also before it has run; the `invocationId` of its record."""
    private = private_words() if private is None else private
    inputs = _named_inputs(job, input_digests)
    return fingerprint(job.rule, plain(job.wildcards), _told_params(job, private), inputs)


def fingerprint(
    rule: str, wildcards: Mapping[str, str], params: Mapping[str, Any], inputs: Iterable[tuple[str, str, str]]
) -> str:
    """SHA-256 over what decides a job's result: rule, wildcards, params (the code digest among them) and inputs.

    All are JSON types. `inputs` are (key of the rule, public name, SHA-256); their order does not matter. No time and
    no path of the machine enters, so the same work has the same fingerprint on every run and machine.
    """
    known = {"rule": rule, "wildcards": wildcards, "params": params, "inputs": sorted(list(one) for one in inputs)}
    return hashlib.sha256(json.dumps(known, sort_keys=True, allow_nan=False).encode()).hexdigest()


def environment(root: Path, *, device: str = "cpu") -> dict[str, Any]:
    """Python, the imported packages with their versions, processor, card, driver and commit.

    Call it after the job's work, when all its packages are imported. `gpu` and `driver` are "none" unless `device`
    begins with "cuda", and "unknown" where the driver's own tool does not tell. `commit` is "unknown" and `dirty` None
    outside a clone; `dirty` is about tracked files. The machine and the commit are asked for once per process.
    """
    gpu, driver = cards() if device.startswith("cuda") else ("none", "none")
    commit, dirty = commit_of(Path(root))
    return {
        "python": platform.python_version(),
        "packages": imported_packages(),
        "cpu": processor(),
        "gpu": gpu,
        "driver": driver,
        "commit": commit,
        "dirty": dirty,
        "ctstyle": ctstyle.__version__,
    }


def files_by_key(named: Any) -> dict[str, list[Path]]:
    """The files of Snakemake's `input` or `output` by key; files without a key come first and count "0", "1", ..."""
    keyed = {
        key: [Path(value)] if isinstance(value, str | Path) else [Path(one) for one in value]
        for key, value in named.items()
    }
    every = [one for value in named for one in ([value] if isinstance(value, str | Path) else value)]
    unnamed = every[: len(every) - sum(map(len, keyed.values()))]
    return {**{str(number): [Path(one)] for number, one in enumerate(unnamed)}, **keyed}


def plain(value: Any) -> Any:
    """A value as JSON types: paths become strings, times UTC, sets sorted lists. Raises NotRecordable."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(one) for one in value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, str | bool | int | None) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise NotRecordable(
        "a value that no record can hold",
        found=f"{type(value).__name__} {value!r}",
        expected="text, a finite number, true, false, nothing, or lists and tables of these",
        fix="Turn it into one of these before it becomes a param.",
    )


def scrub(value: Any, *, home: str, user: str, host: str) -> Any:
    """A JSON value whose texts hold neither the home folder, the user's and the host's name, nor an absolute path.

    Names are replaced as whole words, so that the user `ct` does not break the word `ctstyle`; keys are kept.
    """
    if isinstance(value, Mapping):
        return {key: scrub(one, home=home, user=user, host=host) for key, one in value.items()}
    if isinstance(value, list):
        return [scrub(one, home=home, user=user, host=host) for one in value]
    if not isinstance(value, str):
        return value
    words = [(home, "<home>")] if home.strip("/") else []
    words += [(user, "<user>"), (host, "<host>"), (host.partition(".")[0], "<host>")]
    for word, mark in words:
        if word:
            value = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", mark, value)
    return ABSOLUTE_PATH.sub("<path>", value)


def private_words() -> dict[str, str]:
    """This machine's `home`, `user` and `host`, for `scrub`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user id has no name has none to tell
        user = ""
    return {"home": str(Path.home()), "user": user, "host": socket.gethostname()}


def timestamp(time: datetime | None) -> str:
    """A time as ISO 8601 in UTC, to the second. Raises NotRecordable for one without a time zone."""
    if time is None or time.tzinfo is None:
        raise NotRecordable("a time without a zone", found=time, expected="a time like datetime.now(UTC)")
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, indented by 1, with a final newline. Raises NotRecordable for NaN and infinity."""
    try:
        return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except (ValueError, TypeError) as error:
        raise NotRecordable("not a value that JSON can hold", found=error) from error


def write_record(path: Path | str, record: Mapping[str, Any]) -> None:
    """Write a record, manifest or lineage as canonical JSON, whole or not at all."""
    write_whole(path, canonical_json(record))


def write_whole(path: Path | str, content: str | bytes) -> None:
    """Write a file (text as UTF-8) beside its place and move it there, so that nobody sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as scratch:
        new = Path(scratch) / path.name
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.replace(path)


def _named_inputs(job: Job, input_digests: Mapping[Path, str]) -> list[tuple[str, str, str]]:
    """(key, public name, SHA-256) of every input, sorted."""
    return sorted(
        (key, job.names.of(path), input_digests[Path(path)]) for key, paths in job.inputs.items() for path in paths
    )


def _told_params(job: Job, private: Mapping[str, str]) -> dict[str, Any]:
    """The params as JSON types, with public names for paths and without private words."""
    return scrub(job.names.told(plain(job.params)), **private)
