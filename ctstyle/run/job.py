"""What every script shares: the rule's files and parameters, its log, threads and device, its record, its errors.

    with job(snakemake) as run:
        ...

Everything printed inside, by Python or by a native library, lands in the rule's log. After the body the job's record is
written (docs/provenance.md). An error that a user can cause is shown as one message on the terminal, with its traceback
in the log; Snakemake then deletes the declared outputs.
"""

import contextlib
import dataclasses
import json
import logging
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.provenance import record
from ctstyle.provenance.digest import digests, states, touched
from ctstyle.provenance.names import Names, names_of_job
from ctstyle.run.alone import alone
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.lease import lease_cards

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""


@dataclass(frozen=True)
class Run:
    """One job: its files and parameters by name, its seed, its device and what its training resumes from.

    `names` knows what records call its files. `undeclared` are files, by key, that the job makes and its rule cannot
    name, so that its record names them. `until_recorded` holds what ends when the record is written.
    """

    rule: str
    input: Any
    output: Any
    params: Any
    wildcards: Any
    names: Names
    seed: int
    device: Any
    fingerprint: str
    checkpoint: Checkpoint
    started: float
    undeclared: dict[str, list[Path]] = field(default_factory=dict)
    until_recorded: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def write_cost(self, path: Path | str, **numbers: float) -> None:
        """What this job cost so far, as JSON: its seconds, its largest memory in MB (GPU apart), and `numbers`."""
        peak = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        if self.device is not None and self.device.type == "cuda":
            from torch import cuda

            peak["peak_gpu_memory_mb"] = cuda.max_memory_allocated(self.device) / 2**20
        cost = {"seconds": time.monotonic() - self.started, **peak, **numbers}
        Path(path).write_text(json.dumps({name: round(value, 4) for name, value in cost.items()}, indent=1) + "\n")


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[Run]:
    """Run the body as one job of the workflow (see the module's docstring).

    `params.compute` is the config section with `threads`; a rule that uses torch imports it before this call. Raises
    SystemExit(1) after a CTStyleError, and lets every other exception through.
    """
    log_path = Path(snakemake.log[0])
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with _output_to(log_path) as terminal:
        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True
        )
        try:
            with alone(snakemake.output[0]):
                run, facts, inputs, before = _prepare(snakemake)
                with run.until_recorded:
                    yield run
                    called = {path: run.names.of(path) for path in inputs}
                    facts = dataclasses.replace(facts, touched=touched(before, inputs, called))
                    _record(snakemake, run, facts, inputs)
        except CTStyleError as error:
            traceback.print_exc()
            terminal.write(f"\n{snakemake.rule}: {error}\n")
            terminal.flush()
            raise SystemExit(1) from error
        except BaseException:
            traceback.print_exc()
            raise


def _prepare(snakemake: Any) -> tuple[Run, record.Job, dict[Path, str], dict[Path, Any]]:
    """The run, the facts of its record, the digests of its inputs, and their states before they were hashed."""
    started, began = time.monotonic(), datetime.now(UTC)
    compute = snakemake.params.get("compute", {"threads": 1})
    seed = int(snakemake.wildcards.get("seed", 0))
    random.seed(seed)
    device = None
    if "torch" in sys.modules:
        from ctstyle.run import device as devices

        gpus = int(snakemake.resources.get("gpu", 0))
        if gpus:
            lease_cards(gpus)
        device = devices.select_device(gpus)
        devices.configure_torch(compute["threads"], device)
    params, inputs = dict(snakemake.params.items()), record.files_by_key(snakemake.input)
    script = ROOT / "scripts" / params.get("script", f"{snakemake.rule}.py")
    results = str(snakemake.output.get("record") or "").partition("/provenance/records/")[0] or None
    names = names_of_job(snakemake.rule, params, inputs, results=results, root=ROOT, working_folder=Path.cwd())
    facts = record.Job(
        rule=snakemake.rule,
        wildcards=dict(snakemake.wildcards.items()),
        params=params,
        seed=seed,
        threads=compute["threads"],
        device="cpu" if device is None else device.type,
        deterministic=device is None or device.type == "cpu",
        inputs=inputs,
        outputs={key: paths for key, paths in record.files_by_key(snakemake.output).items() if key != "record"},
        script=script,
        names=names,
        started=began,
    )
    files = [path for paths in facts.inputs.values() for path in paths]
    asked = time.monotonic()
    before, found = states(files), digests(files)
    hashed_s = time.monotonic() - asked
    fingerprint = record.job_fingerprint(facts, found)
    log.info("%s: %s, threads %d, device %s", snakemake.rule, dict(snakemake.wildcards), compute["threads"], device)
    log.info("%d inputs hashed in %.3f s", len(found), hashed_s)
    every_s = float(snakemake.resources.get("save_every_s", 300))
    run = Run(
        rule=snakemake.rule,
        input=snakemake.input,
        output=snakemake.output,
        params=snakemake.params,
        wildcards=snakemake.wildcards,
        names=names,
        seed=seed,
        device=device,
        fingerprint=fingerprint,
        checkpoint=Checkpoint.beside(snakemake.output[0], snakemake.rule, fingerprint, every_s=every_s),
        started=started,
    )
    return run, facts, found, before


def _record(snakemake: Any, run: Run, facts: record.Job, inputs: Mapping[Path, str]) -> None:
    """Write the record of a finished job, where its rule has one."""
    if snakemake.output.get("record") is None:
        return
    began = time.monotonic()
    finished = dataclasses.replace(
        facts,
        outputs={**facts.outputs, **run.undeclared},
        finished=datetime.now(UTC),
        segments=tuple(run.checkpoint.segments),
    )
    made = digests([path for paths in finished.outputs.values() for path in paths])
    environment = record.environment(ROOT, device=facts.device)
    record.write_record(run.output.record, record.statement(finished, inputs, made, environment))
    log.info("%d outputs recorded in %.3f s", len(made), time.monotonic() - began)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[Any]:
    """Send Python's and the process's stdout and stderr to `path`; yields a stream to the terminal's own stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("w", buffering=1) as target, os.fdopen(os.dup(saved[1]), "w") as terminal:
        try:
            os.dup2(target.fileno(), 1)
            os.dup2(target.fileno(), 2)
            with contextlib.redirect_stdout(target), contextlib.redirect_stderr(target):
                yield terminal
        finally:
            for number, descriptor in zip((1, 2), saved):
                os.dup2(descriptor, number)
                os.close(descriptor)
