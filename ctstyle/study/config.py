"""The whole config of a run, and the files that are written from it.

    python -m ctstyle.study.config    (make config)

writes config/config.yaml with its comments, config/schema/config.schema.json and docs/config.md.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import Field, TypeAdapter
from pydantic.fields import FieldInfo

from ctstyle.study import analysis, data, networks
from ctstyle.study.analysis import Seeds
from ctstyle.study.cohorts import COHORTS
from ctstyle.study.settings import OneOf, Unique, Whole, build, key, keys_of, plain, section, section_of

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 120


@section
class ComputeSettings:
    """What each job computes with."""

    threads: Whole = key(
        1,
        "Threads of every numeric job, fixed because their number changes rounding. Many jobs side by side with "
        "one thread each finish sooner than one after the other with all cores",
        ge=1,
    )


@section
class General:
    """The keys that every stage of a run shares."""

    cohorts: Annotated[tuple[Annotated[str, OneOf(COHORTS)], ...], Field(min_length=1), Unique] = key(
        ("phantom", "lidc0001"),
        " ".join(f"{name}: {cohort.meaning}." for name, cohort in COHORTS.items())
        + " Without a network: --config cohorts='[phantom]'",
    )
    sheet: str | None = key(
        None, "The table of your own scans for the cohort `sheet`, a TSV (docs/own-data.md)", private=True
    )
    content: str | None = key(
        None,
        "For `snakemake stylize --config content=... style=... model=...`, which applies a trained generator to a "
        "scan of yours: DICOM folder or zip, NIfTI, NRRD or MHA (docs/own-data.md)",
        private=True,
    )
    style: str | None = key(
        None,
        "For `snakemake stylize`: a style of the bundle, by name or hint, or a CT whose style is taken",
        private=True,
    )
    model: str | None = key(
        None, "For `snakemake stylize`: a generator bundle, or the results folder of a finished run", private=True
    )
    mask: str | None = key(
        None, "For `snakemake stylize`: vertebra labels of the content, laid onto the new series", private=True
    )
    stylize: data.StylizeSettings = key(data.StylizeSettings(), "How `snakemake stylize` makes a volume")
    on_bad_scan: Literal["fail", "skip"] = key(
        "fail", "A scan that cannot be read stops the run, or is left out and listed with its reason"
    )
    seeds: Seeds = key(
        (0,), "One whole set of networks per seed; the paper scale takes three. U-Nets may have more (segment: seeds)"
    )
    gpu: Whole = key(
        1,
        "Cards that a job asks for which computes on one. On this machine `--resources gpu=N` says how many there "
        "are (none unless it is given); on a cluster every such job gets a card, or none with 0 here",
        ge=0,
    )
    compute: ComputeSettings = key(ComputeSettings(), "What each job computes with")
    wheels: data.WheelSettings = key(data.WheelSettings(), "Python wheels that carry data")


COHORT_SECTIONS = {name: cohort for name, cohort in COHORTS.items() if cohort.settings is not None}
Sections: Any = section(
    type(
        "Sections",
        (General,),
        {
            "__doc__": "The keys before, and a section for each cohort that has one.",
            "__annotations__": {name: cohort.settings for name, cohort in COHORT_SECTIONS.items()},
            **{name: key(cohort.settings(), cohort.about) for name, cohort in COHORT_SECTIONS.items()},
        },
    )
)


@section
class Config(Sections):
    """Every key of a run."""

    phantom: data.PhantomSettings = key(data.PhantomSettings(), "Virtual patients from a seed, behind virtual scanners")
    slices: data.SliceSettings = key(data.SliceSettings(), "How slices are cut")
    styles: data.ClusterSettings = key(data.ClusterSettings(), "How grey-scale styles are found")
    split: data.SplitSettings = key(
        data.SplitSettings(), "Shares of the patients without a split hint; both cohorts here bring hints"
    )
    lending: data.RegionSettings = key(
        data.RegionSettings(),
        "Test scans of cohorts that train nothing (lidc0001) lend unlabelled slices as styles to the arm "
        "`transductive`. All arms are scored on what lies at least `gap_mm` above those, and nowhere else",
    )
    encoders: networks.EncoderSettings = key(networks.EncoderSettings(), "Encoders and where their weights come from")
    transfer: networks.TransferSection = key(networks.TransferSection(), "The methods that change a grey scale")
    comparison: networks.ComparisonSettings = key(
        networks.ComparisonSettings(),
        "Small trainings that compare: every encoder under both losses (Figures 8 and 9, Table 3), style weights "
        "(which loss keeps more content at the same style distance), layer lists. Everything not named here is as "
        "in `transfer`",
    )
    augment: analysis.AugmentSettings = key(
        analysis.AugmentSettings(), "How labelled slices are made in other grey scales, and how contents meet styles"
    )
    ablations: networks.AblationSettings = key(
        networks.AblationSettings(),
        "What drives it: small chains (generator, slices, U-Net, scores) that differ from the run's settings in "
        "one value each. A question without values is not asked; config/study.yaml asks all. The value that is the "
        "run's own is trained once and answers every question",
    )
    exports: analysis.ExportSettings = key(
        analysis.ExportSettings(),
        "The made slices with their masks for other tools, one zip per format, arm and seed in results/exports; "
        "made by a whole run, or alone by `snakemake export` (docs/own-data.md)",
    )
    segment: analysis.SegmentSection = key(analysis.SegmentSection(), "The U-Nets of Table 2")
    metrics: analysis.MetricSettings = key(analysis.MetricSettings(), "What is measured with a network")
    paper: analysis.PaperSettings = key(analysis.PaperSettings(), "The paper's statistics")


def checked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with its defaults as plain values. Raises ConfigError, which lists every fault.

    `pathvars` is Snakemake's: it says where results lie, which is no setting of any job.
    """
    return plain(build(Config, {name: value for name, value in config.items() if name != "pathvars"}))


def manual() -> str:
    """The text of config/config.yaml: every key with its default and what it means."""
    head = (
        "The quick run, and the manual of every key; generated from ctstyle/study by `make config`. It rebuilds "
        "the whole paper in small on two CPU cores: simulated patients and one real CT, 96 px slices, short "
        "trainings, one seed. config/paper.yaml is the same workflow at the paper's scale. Lay a file of your own "
        "over it: snakemake --cores 8 --configfile my_run.yaml. Whatever the paper does not state is our "
        "assumption; docs/deviations.md lists them."
    )
    return "\n".join([*_comment(head, ""), *_block(Config, Config(), "")]) + "\n"


def _block(cls: Any, values: Any, indent: str) -> Iterator[str]:
    for name, field in keys_of(cls).items():
        value, inner = getattr(values, name), section_of(field.annotation)
        if not indent:
            yield ""
        if inner is None:
            line = f"{indent}{name}: {_flow(plain(value))}"
            commented = f"{line} # {field.description}"
            yield from [commented] if len(commented) <= WIDTH else [*_comment(field.description or "", indent), line]
            continue
        yield from _comment(field.description or "", indent)
        yield f"{indent}{name}:"
        if inner is field.annotation:
            yield from _block(inner, value, indent + "  ")
        else:
            yield from (f"{indent}  {one}: {_flow(_set(entry))}" for one, entry in value.items())


def _set(entry: Any) -> dict[str, Any]:
    """The keys of an entry that are not at their default."""
    return {
        name: plain(getattr(entry, name))
        for name, field in keys_of(type(entry)).items()
        if field.is_required() or getattr(entry, name) != field.default
    }


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, WIDTH - len(indent) - 2, break_on_hyphens=False)]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")  # YAML reads 5e-05 as a text
    return yaml.safe_dump(value, width=1000).removesuffix("...\n").strip()


def schema() -> str:
    """The JSON schema of a config file, for editors."""
    found = TypeAdapter(Config).json_schema()
    _tidy(found, {cls.__name__: cls for cls in _sections(Config)} | {"": Config})
    found["properties"]["pathvars"] = {
        "type": "object",
        "description": "Where Snakemake writes",
        "additionalProperties": False,
        "properties": {"results": {"type": "string", "minLength": 1, "description": "The folder of all results"}},
    }
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **found}, indent=1) + "\n"


def _sections(cls: type) -> Iterator[type]:
    for field in keys_of(cls).values():
        inner = section_of(field.annotation)
        if inner is not None:
            yield inner
            yield from _sections(inner)


def _tidy(found: dict[str, Any], sections: Mapping[str, type]) -> None:
    """Leave titles and the defaults of whole sections out, and put in the bounds of numbers."""
    for name, part in {"": found, **found.get("$defs", {})}.items():
        part.pop("title", None)
        for one, rule in part.get("properties", {}).items():
            rule.pop("title", None)
            if "$ref" in rule:
                rule.pop("default", None)
            rule.update(_bounds(keys_of(sections[name])[one]))


WORDS = {Ge: ("ge", "minimum"), Gt: ("gt", "exclusiveMinimum"), Le: ("le", "maximum"), Lt: ("lt", "exclusiveMaximum")}
WORDS |= {MultipleOf: ("multiple_of", "multipleOf")}


def _bounds(field: FieldInfo) -> dict[str, float]:
    found = {}
    for bound in field.metadata:
        if type(bound) in WORDS:
            attribute, word = WORDS[type(bound)]
            found[word] = getattr(bound, attribute)
    return found


def reference() -> str:
    """The text of docs/config.md: a table of keys for each section."""
    lines = ["# Every key of the config", "", "Generated from `ctstyle/study` by `make config`."]
    lines += ["Defaults are those of config/config.yaml, the quick run.", ""]
    return "\n".join([*lines, *_tables(Config, "", "The run")]) + "\n"


def _tables(cls: Any, path: str, meaning: str) -> Iterator[str]:
    keys = {name: field for name, field in keys_of(cls).items()}
    yield from [f"## {path or 'Top level'}", "", meaning.rstrip(".") + ".", "", "| key | default | range | meaning |"]
    yield "|---|---|---|---|"
    inner = []
    for name, field in keys.items():
        within = section_of(field.annotation)
        if within is not None and within is field.annotation:
            inner.append((name, within, field.description or ""))
            continue
        value = None if field.is_required() else plain(field.get_default(call_default_factory=True))
        default = "required" if field.is_required() else f"`{_flow(value)}`"
        if within is not None:
            inner.append((f"{name}: NAME", within, "One entry"))
            default = "see config.yaml"
        yield f"| {name} | {default} | {_range(field)} | {(field.description or '').replace('|', '/')} |"
    yield ""
    for name, within, about in inner:
        yield from _tables(within, f"{path}: {name}".removeprefix(": "), about)


def _range(field: FieldInfo) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<", "multipleOf": "n *"}
    said = [f"{signs[word]} {value:g}" for word, value in _bounds(field).items()]
    choices = getattr(field.annotation, "__args__", ()) if "Literal" in str(field.annotation)[:16] else ()
    return ", ".join(said or map(str, choices))


GENERATED = {
    "config/config.yaml": manual,
    "config/schema/config.schema.json": schema,
    "docs/config.md": reference,
}
"""The files that come from the settings, each with the function that makes its text."""

if __name__ == "__main__":
    for name, text in GENERATED.items():
        (ROOT / name).write_text(text())
        print(f"wrote {name}")
