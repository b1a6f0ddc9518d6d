"""A run as an RO-Crate: its results and the jobs that made them, for readers and archives that know the format.

Profile Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5). In its words a rule is a HowToStep, its
script a tool, a job a CreateAction under a ControlAction, and the OrganizeAction is Snakemake that ran them all.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import sha256_file
from ctstyle.provenance.lineage import short, upstream
from ctstyle.provenance.names import inside, within
from ctstyle.provenance.record import canonical_json, write_whole

CRATE = "ro-crate-metadata.json"
WORKFLOW_FOLDER = "provenance/workflow"
"""Where, below the results, the workflow's own files are copied to: a crate must hold its main workflow."""
MAIN = f"{WORKFLOW_FOLDER}/Snakefile"
CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
SNAKEMAKE = "https://snakemake.github.io"
MIT = "https://spdx.org/licenses/MIT"
NAME = "Results of a run of ctstyle"
DESCRIPTION = (
    "Contextual style transfer for the grey scales of spine CT: every file of a run from DICOM to tables and figures, "
    "with the job that made it. The records in provenance/records tell more: parameters, packages, hardware, code."
)
LICENCE = "No licence of its own: results derive from the sources, and each source here bears its licence."
PARAMETERS = (
    "cohorts",
    "seeds",
    "slices.size_px",
    "slices.spacing_mm",
    "slices.window_hu",
    "styles.k",
    "encoders.main.name",
    "encoders.main.weights",
    "transfer.models",
    "transfer.training.steps",
    "segment.arms",
    "segment.training.steps",
)
"""The config keys that the crate tells as parameters of the run; the records hold all of them."""
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".tsv": "text/tab-separated-values",
    ".zip": "application/zip",
}


class CannotDescribe(CTStyleError):
    """A run that no crate can describe."""


@dataclass(frozen=True, eq=False)
class _Job:
    """What the crate tells of one record, whose own public name is `record`."""

    record: str
    rule: str
    wildcards: Mapping[str, str]
    fingerprint: str
    started: str
    finished: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    script: str
    script_sha256: str
    commit: str
    library: str
    packages: Mapping[str, str]

    @property
    def name(self) -> str:
        """Rule and wildcards, as the record's path has them."""
        return quote(self.record.partition("/records/")[2].removesuffix(".json"))

    @property
    def tool(self) -> str:
        """The script's `@id`, with its digest: a run may hold jobs of two versions of a script."""
        return f"#{self.script}@{short(self.script_sha256)}"


def crate_of(
    records: Mapping[str, Mapping[str, Any]],
    manifest: Mapping[str, Any],
    *,
    workflow_files: Mapping[str, Path],
    config: Mapping[str, Any],
    finals: Iterable[str],
) -> dict[str, Any]:
    """The crate of a run, as JSON-LD; the same records give the same crate.

    `records` are the statements by their own public name, and `manifest` lists the sources. `workflow_files` are
    files of the checkout by their path in it; `Snakefile` is the main workflow. Of the config only `PARAMETERS` are
    told. `finals` are the public names of the results that the run is for. Raises CannotDescribe.
    """
    if not records or "Snakefile" not in workflow_files:
        raise CannotDescribe(
            "nothing to describe",
            found=f"{len(records)} records, {len(workflow_files)} files of the workflow",
            expected="the records of a finished run, and its Snakefile",
            fix="Run the workflow first.",
        )
    jobs = sorted((_job(*one) for one in records.items()), key=lambda job: (job.started, job.record))
    last = max(jobs, key=lambda job: job.finished)
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(CONTEXT)
    crate.name, crate.description, crate.datePublished = NAME, DESCRIPTION, last.finished
    crate.license = _add(crate, "#licence", "CreativeWork", name="Licences of the sources", description=LICENCE)
    crate.root_dataset["conformsTo"] = [
        _add(crate, address, "CreativeWork", name=name, version=address.rpartition("/")[2])
        for address, name in PROFILES.items()
    ]
    mit = _add(crate, MIT, "CreativeWork", name="MIT License", url=MIT)
    workflow = _add_workflow(crate, workflow_files, mit)
    workflow["version"] = last.commit
    known = _known_files(records, manifest)
    files = _add_files(crate, known)
    values = _add_parameters(crate, workflow, config)
    library = _add(crate, "#ctstyle", "SoftwareApplication", name="ctstyle", softwareVersion=last.library, license=mit)
    tools = _add_tools(crate, workflow, library, jobs)
    steps = _add_steps(crate, workflow, tools, jobs)
    made = {*records, *(name for job in jobs for name in job.outputs)}
    times = {"startTime": jobs[0].started, "endTime": last.finished}
    run = crate.add_action(
        workflow,
        "#run",
        object=[files[name] for name in sorted(known.keys() - made)] + values,
        result=[files[name] for name in sorted(set(finals) & known.keys())],
        properties={"name": "The run of the workflow", **times},
    )
    actions = {job: _add_action(crate, job, tools, files) for job in jobs}
    crate.root_dataset["mentions"] = [run, *actions.values()]
    _add_engine(crate, actions, steps, run, times)
    return crate.metadata.generate()


def write_crate(
    results: Path | str,
    records: Mapping[str, Mapping[str, Any]],
    manifest: Mapping[str, Any],
    *,
    workflow_files: Mapping[str, Path],
    config: Mapping[str, Any],
    finals: Sequence[str],
) -> None:
    """Write the crate of `finals` and all they came from into `results`, with copies of the workflow's files.

    `records` are all statements by their own public name; those of other jobs are left out. Otherwise as `crate_of`.
    """
    crate = crate_of(upstream(records, finals), manifest, workflow_files=workflow_files, config=config, finals=finals)
    for path, file in workflow_files.items():
        copy = Path(results) / WORKFLOW_FOLDER / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    write_whole(Path(results) / CRATE, crate_text(crate))


def crate_text(crate: Mapping[str, Any]) -> str:
    """A crate as JSON, one entity per line."""
    entities = ",\n".join(json.dumps(entity, sort_keys=True, ensure_ascii=False) for entity in crate["@graph"])
    return f'{{"@context": {json.dumps(crate["@context"])},\n"@graph": [\n{entities}\n]}}\n'


def _job(name: str, record: Mapping[str, Any]) -> _Job:
    definition, details = record["predicate"]["buildDefinition"], record["predicate"]["runDetails"]
    told, dependencies = definition["externalParameters"], definition["resolvedDependencies"]
    script = next(one for one in dependencies if one["name"].startswith("code:scripts/"))
    return _Job(
        record=name,
        rule=told["rule"],
        wildcards=told["wildcards"],
        fingerprint=details["metadata"]["invocationId"],
        started=details["metadata"]["startedOn"],
        finished=details["metadata"]["finishedOn"],
        inputs=sorted({one["uri"] for one in dependencies if one["name"].startswith("input:")}),
        outputs=sorted(subject["name"] for subject in record["subject"]),
        script=script["uri"],
        script_sha256=script["digest"]["sha256"],
        commit=next(one["digest"]["gitCommit"] for one in dependencies if one["name"] == "git"),
        library=details["builder"]["version"]["ctstyle"],
        packages=definition["internalParameters"]["packages"],
    )


def _known_files(records: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Digest and, where it is told, size, licence and address of every file, by its public name."""
    known: dict[str, dict[str, Any]] = {}
    for record in records.values():
        for one in record["predicate"]["buildDefinition"]["resolvedDependencies"]:
            if one["name"].startswith("input:"):
                known[one["uri"]] = {"sha256": one["digest"]["sha256"]}
    for entry in manifest["files"]:
        known[entry["name"]] = {key: entry[key] for key in ("sha256", "size", "licence", "address") if key in entry}
    by_end = sorted(records.values(), key=lambda one: one["predicate"]["runDetails"]["metadata"]["finishedOn"])
    for record in by_end:  # what a later job wrote over a file counts
        for one in record["subject"]:
            facts = {"sha256": one["digest"]["sha256"], "size": one["annotations"]["size"]}
            known[one["name"]] = known.get(one["name"], {}) | facts
    for name, record in records.items():
        text = canonical_json(record).encode()
        known[name] = {"sha256": hashlib.sha256(text).hexdigest(), "size": len(text)}
    return known


def _add(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> Entity:
    """Add an entity; properties may be other entities, or lists of them."""
    entity = crate.add(ContextEntity(crate, identifier, properties={"@type": kind}))
    for key, value in properties.items():
        entity[key] = value
    return entity


def _add_workflow(crate: ROCrate, files: Mapping[str, Path], licence: Entity) -> Entity:
    """The files of the workflow, of which the Snakefile is the main one."""
    for path, file in sorted(files.items()):
        about: dict[str, Any] = {"@type": ["File", "SoftwareSourceCode"], "name": path, "sha256": sha256_file(file)}
        about |= {"contentSize": str(file.stat().st_size), "encodingFormat": "text/plain", "license": {"@id": MIT}}
        if path != "Snakefile":
            crate.add_file(dest_path=f"{WORKFLOW_FOLDER}/{path}", properties=about)
            continue
        about["@type"] = [*about["@type"], "ComputationalWorkflow", "HowTo"]
        about["conformsTo"] = {"@id": WORKFLOW_PROFILE}
        crate.add_workflow(dest_path=MAIN, properties=about, main=True, lang="snakemake")
    return crate.mainEntity


def _add_files(crate: ROCrate, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Entity]:
    """Files of the results as File; any other as a CreativeWork, because the crate does not hold it. By name."""
    licences = {
        name: _add(crate, f"#licence/{quote(name, safe='')}", "CreativeWork", name=name)
        for name in sorted({facts["licence"] for facts in known.values() if facts.get("licence")})
    }
    files = {}
    for name, facts in sorted(known.items()):
        kind = MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
        about = {"name": within(name), "sha256": facts["sha256"], "encodingFormat": kind}
        about |= {"contentSize": str(facts["size"])} if "size" in facts else {}
        about |= {"url": facts["address"]} if facts.get("address") else {}
        if inside(name):
            file = crate.add_file(dest_path=within(name), properties={"@type": "File", **about})
        else:
            file = _add(crate, f"#{quote(name, safe='/:')}", "CreativeWork", **about)
        if facts.get("licence"):
            file["license"] = licences[facts["licence"]]
        files[name] = file
    return files


def _add_parameters(crate: ROCrate, workflow: Entity, config: Mapping[str, Any]) -> list[Entity]:
    """A FormalParameter of the workflow for each of `PARAMETERS` that the config has; their values."""
    values = []
    for name in PARAMETERS:
        try:
            value = reduce(lambda section, key: section[key], name.split("."), config)
        except (KeyError, TypeError):
            continue
        told = value if isinstance(value, str | int | float) else json.dumps(value)
        kind = {int: "Integer", float: "Float"}.get(type(told), "Text")
        parameter = crate.add_formal_parameter(name, kind, f"#parameter/{name}")
        workflow.append_to("input", parameter)
        values.append(_add(crate, f"#value/{name}", "PropertyValue", name=name, value=told, exampleOfWork=parameter))
        parameter["workExample"] = values[-1]
    return values


def _add_tools(crate: ROCrate, workflow: Entity, library: Entity, jobs: Sequence[_Job]) -> dict[str, Entity]:
    """The scripts, each in every version that a job ran, by `@id`."""
    by_id = {job.tool: job for job in jobs}
    tools = {
        identifier: _add(
            crate,
            identifier,
            "SoftwareSourceCode",
            name=job.script.removeprefix("code:"),
            sha256=job.script_sha256,
            version=job.commit,
            softwareRequirements=library,
        )
        for identifier, job in sorted(by_id.items())
    }
    workflow["hasPart"] = list(tools.values())
    return tools


def _add_steps(
    crate: ROCrate, workflow: Entity, tools: Mapping[str, Entity], jobs: Sequence[_Job]
) -> dict[str, Entity]:
    """The rules, in the order in which their first jobs began."""
    steps = {}
    for number, rule in enumerate(dict.fromkeys(job.rule for job in jobs), start=1):
        used = [tools[name] for name in sorted({job.tool for job in jobs if job.rule == rule})]
        about = {"name": rule, "position": str(number), "workExample": used}
        steps[rule] = _add(crate, f"#step/{rule}", "HowToStep", **about)
    workflow["step"] = list(steps.values())
    return steps


def _add_action(crate: ROCrate, job: _Job, tools: Mapping[str, Entity], files: Mapping[str, Entity]) -> Entity:
    """A job with its files; its record, the `subjectOf`, tells the rest."""
    title = " ".join([job.rule, *(f"{key}={value}" for key, value in sorted(job.wildcards.items()))])
    action = crate.add_action(
        tools[job.tool],
        f"#job/{job.name}",
        object=[files[name] for name in job.inputs],
        result=[files[name] for name in job.outputs],
        properties={"name": title, "identifier": job.fingerprint, "startTime": job.started, "endTime": job.finished},
    )
    action["subjectOf"] = files[job.record]
    return action


def _add_engine(
    crate: ROCrate,
    actions: Mapping[_Job, Entity],
    steps: Mapping[str, Entity],
    run: Entity,
    times: Mapping[str, str],
) -> None:
    """Snakemake, and that it ran every job as a step of its workflow."""
    versions = sorted({job.packages["snakemake"] for job in actions if "snakemake" in job.packages})
    engine = _add(crate, SNAKEMAKE, "SoftwareApplication", name="Snakemake", url=SNAKEMAKE)
    if versions:
        engine["softwareVersion"] = ", ".join(versions)
    controls = [
        _add(crate, f"#control/{job.name}", "ControlAction", instrument=steps[job.rule], object=action)
        for job, action in actions.items()
    ]
    about = {"name": "Snakemake's run of the jobs", "instrument": engine, "object": controls, "result": run, **times}
    _add(crate, "#snakemake", "OrganizeAction", **about)
