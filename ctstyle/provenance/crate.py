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

from rocrate.rocrate import ROCrate

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import sha256_file
from ctstyle.provenance.lineage import short, upstream
from ctstyle.provenance.names import RESULTS
from ctstyle.provenance.record import canonical_json, write_whole

CRATE = "ro-crate-metadata.json"
WORKFLOW_FOLDER = "provenance/workflow"
"""Where, below the results, the workflow's own files are copied to: a crate must hold its main workflow."""
MAIN = f"{WORKFLOW_FOLDER}/Snakefile"
CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
WORKFLOW_RO_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_RO_CRATE: "Workflow RO-Crate",
}
BIOSCHEMAS = "https://bioschemas.org/profiles"
SNAKEMAKE = "https://snakemake.github.io"
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
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

Entity = dict[str, Any]


class CannotDescribe(CTStyleError):
    """A run that no crate can describe."""


@dataclass(frozen=True)
class _Job:
    """What the crate tells of one record."""

    name: str  # rule and wildcards, as the record's path has them
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
    record: str

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
    jobs = sorted((_job(*one) for one in records.items()), key=lambda job: (job.started, job.name))
    known = _known_files(records, manifest)
    files = [_file(name, known[name]) for name in sorted(known)]
    files += [_workflow_file(path, workflow_files[path]) for path in sorted(workflow_files) if path != "Snakefile"]
    inside = [entity["@id"] for entity in files if "File" in entity["@type"]]
    sources = sorted(known.keys() - {*records, *(name for job in jobs for name in job.outputs)})
    parameters = _parameters(config)
    workflow = _workflow(workflow_files["Snakefile"], jobs, parameters)
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "The run of the workflow",
        "instrument": _ref(MAIN),
        "object": _refs([*(_id(name) for name in sources), *(one["@id"] for one in parameters[1::2])]),
        "result": _refs(_id(name) for name in sorted(set(finals) & known.keys())),
        "startTime": jobs[0].started,
        "endTime": max(job.finished for job in jobs),
    }
    actions = [run, *(_action(job) for job in jobs)]
    root = {
        "name": NAME,
        "description": DESCRIPTION,
        "datePublished": run["endTime"],
        "license": _ref("#licence"),
        "conformsTo": _refs(PROFILES),
        "mainEntity": _ref(MAIN),
        "hasPart": _refs([MAIN, *inside]),
        "mentions": _refs(action["@id"] for action in actions),
    }
    entities = [workflow, *files, *parameters, *_tools(jobs), *_steps(jobs), *actions, *_engine(jobs, run)]
    return _poured(root, [*entities, *_context(manifest)])


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

    `records` are all statements by their own public
    name; those of other jobs are left out. Otherwise as `crate_of`.
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


def _poured(root: Entity, entities: Iterable[Entity]) -> dict[str, Any]:
    """The JSON-LD of a crate with these entities; rocrate adds the descriptor and refuses two with one `@id`."""
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(CONTEXT)
    crate.metadata["conformsTo"] = _refs([crate.metadata.profile, WORKFLOW_RO_CRATE])
    for key, value in root.items():
        crate.root_dataset[key] = value
    for entity in entities:
        crate.add_jsonld(dict(entity))
    return crate.metadata.generate()


def _job(name: str, record: Mapping[str, Any]) -> _Job:
    definition, details = record["predicate"]["buildDefinition"], record["predicate"]["runDetails"]
    told, dependencies = definition["externalParameters"], definition["resolvedDependencies"]
    script = next(one for one in dependencies if one["name"].startswith("code:scripts/"))
    return _Job(
        name=name.partition("/records/")[2].removesuffix(".json"),
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
        record=name,
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


def _file(name: str, facts: Mapping[str, Any]) -> Entity:
    """A file of the results as a File; any other as a CreativeWork, because the crate does not hold it."""
    entity = {
        "@id": _id(name),
        "@type": "File" if name.startswith(f"{RESULTS}/") else "CreativeWork",
        "name": name.removeprefix(f"{RESULTS}/"),
        "sha256": facts["sha256"],
    }
    optional = {
        "contentSize": str(facts["size"]) if "size" in facts else None,
        "encodingFormat": MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream"),
        "license": _ref(_licence_id(facts["licence"])) if facts.get("licence") else None,
        "url": facts.get("address"),
    }
    return entity | {key: value for key, value in optional.items() if value}


def _workflow_file(path: str, file: Path) -> Entity:
    return {
        "@id": quote(f"{WORKFLOW_FOLDER}/{path}"),
        "@type": ["File", "SoftwareSourceCode"],
        "name": path,
        "sha256": sha256_file(file),
        "contentSize": str(file.stat().st_size),
        "encodingFormat": "text/plain",
        "license": _ref(MIT),
    }


def _workflow(snakefile: Path, jobs: Sequence[_Job], parameters: Sequence[Entity]) -> Entity:
    """The main workflow with its tools, steps and parameters."""
    return _workflow_file("Snakefile", snakefile) | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "conformsTo": _ref(f"{BIOSCHEMAS}/ComputationalWorkflow/1.0-RELEASE"),
        "programmingLanguage": _ref(LANGUAGE),
        "version": max(jobs, key=lambda job: job.finished).commit,
        "hasPart": _refs(sorted({job.tool for job in jobs})),
        "step": _refs(f"#step/{rule}" for rule in _rules(jobs)),
        "input": _refs(one["@id"] for one in parameters[::2]),
    }


def _parameters(config: Mapping[str, Any]) -> list[Entity]:
    """A FormalParameter and its PropertyValue for each of `PARAMETERS` that the config has."""
    entities = []
    for name in PARAMETERS:
        try:
            value = reduce(lambda section, key: section[key], name.split("."), config)
        except (KeyError, TypeError):
            continue
        told = value if isinstance(value, str | int | float) else json.dumps(value)
        kind = {int: "Integer", float: "Float"}.get(type(told), "Text")
        parameter, example = f"#parameter/{name}", f"#value/{name}"
        conforms = _ref(f"{BIOSCHEMAS}/FormalParameter/1.0-RELEASE")
        entities += [
            {"@id": parameter, "@type": "FormalParameter", "additionalType": kind, "name": name}
            | {"conformsTo": conforms, "workExample": _ref(example)},
            {"@id": example, "@type": "PropertyValue", "name": name, "value": told, "exampleOfWork": _ref(parameter)},
        ]
    return entities


def _tools(jobs: Sequence[_Job]) -> list[Entity]:
    """The scripts, each in every version that a job ran, and the library they need."""
    library = {"@id": "#ctstyle", "@type": "SoftwareApplication", "name": "ctstyle", "license": _ref(MIT)}
    library["softwareVersion"] = max(jobs, key=lambda job: job.finished).library
    by_id = {job.tool: job for job in jobs}
    scripts = [
        {
            "@id": identifier,
            "@type": "SoftwareSourceCode",
            "name": by_id[identifier].script.removeprefix("code:"),
            "sha256": by_id[identifier].script_sha256,
            "version": by_id[identifier].commit,
            "softwareRequirements": _ref("#ctstyle"),
        }
        for identifier in sorted(by_id)
    ]
    return [library, *scripts]


def _steps(jobs: Sequence[_Job]) -> list[Entity]:
    """The rules, in the order in which their first jobs began."""
    tools = {rule: sorted({job.tool for job in jobs if job.rule == rule}) for rule in _rules(jobs)}
    return [
        {"@id": f"#step/{rule}", "@type": "HowToStep", "name": rule, "position": str(number)}
        | {"workExample": _refs(tools[rule])}
        for number, rule in enumerate(tools, start=1)
    ]


def _action(job: _Job) -> Entity:
    """A job with its files; its record, the `subjectOf`, tells the rest."""
    return {
        "@id": f"#job/{quote(job.name)}",
        "@type": "CreateAction",
        "name": " ".join([job.rule, *(f"{key}={value}" for key, value in sorted(job.wildcards.items()))]),
        "identifier": job.fingerprint,
        "instrument": _ref(job.tool),
        "object": _refs(_id(name) for name in job.inputs),
        "result": _refs(_id(name) for name in job.outputs),
        "startTime": job.started,
        "endTime": job.finished,
        "subjectOf": _ref(_id(job.record)),
    }


def _engine(jobs: Sequence[_Job], run: Entity) -> list[Entity]:
    """Snakemake, and that it ran every job as a step of its workflow."""
    snakemake = {"@id": SNAKEMAKE, "@type": "SoftwareApplication", "name": "Snakemake", "url": SNAKEMAKE}
    versions = {job.packages["snakemake"] for job in jobs if "snakemake" in job.packages}
    controls = [
        {"@id": f"#control/{quote(job.name)}", "@type": "ControlAction", "instrument": _ref(f"#step/{job.rule}")}
        | {"object": _ref(f"#job/{quote(job.name)}")}
        for job in jobs
    ]
    organized = {
        "@id": "#snakemake",
        "@type": "OrganizeAction",
        "name": "Snakemake's run of the jobs",
        "instrument": _ref(SNAKEMAKE),
        "object": _refs(control["@id"] for control in controls),
        "result": _ref(run["@id"]),
        "startTime": run["startTime"],
        "endTime": run["endTime"],
    }
    return [snakemake | ({"softwareVersion": ", ".join(sorted(versions))} if versions else {}), *controls, organized]


def _context(manifest: Mapping[str, Any]) -> list[Entity]:
    """Profiles, the language of the workflow, and licences."""
    profiles = [
        {"@id": address, "@type": "CreativeWork", "name": name, "version": address.rpartition("/")[2]}
        for address, name in PROFILES.items()
    ]
    language = {"@id": LANGUAGE, "@type": "ComputerLanguage", "name": "Snakemake", "url": _ref(SNAKEMAKE)}
    licences = sorted({entry["licence"] for entry in manifest["files"] if entry.get("licence")})
    return [
        *profiles,
        language | {"identifier": _ref(SNAKEMAKE)},
        {"@id": "#licence", "@type": "CreativeWork", "name": "Licences of the sources", "description": LICENCE},
        {"@id": MIT, "@type": "CreativeWork", "name": "MIT License", "url": MIT},
        *({"@id": _licence_id(name), "@type": "CreativeWork", "name": name} for name in licences),
    ]


def _rules(jobs: Sequence[_Job]) -> list[str]:
    return list(dict.fromkeys(job.rule for job in jobs))


def _id(name: str) -> str:
    """The `@id` of a file: its path in the crate, or a local name where the crate does not hold it."""
    inside = name.startswith(f"{RESULTS}/")
    return quote(name.removeprefix(f"{RESULTS}/")) if inside else f"#{quote(name, safe='/:')}"


def _licence_id(name: str) -> str:
    return f"#licence/{quote(name, safe='')}"


def _ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def _refs(identifiers: Iterable[str]) -> list[dict[str, str]] | dict[str, str]:
    """References, one without a list around it, as RO-Crate recommends."""
    found = [_ref(identifier) for identifier in identifiers]
    return found[0] if len(found) == 1 else found
