"""ctstyle: from DICOM to the paper's tables and figures. Read rules/ in the order of the includes."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


configfile: Path(workflow.current_basedir) / "config" / "config.yaml"


pathvars:
    cohorts="<results>/cohorts",
    slices="<results>/slices",
    styles="<results>/styles",
    encoders="<results>/encoders",
    transfer="<results>/transfer",
    augmented="<results>/augmented",
    exports="<results>/exports",
    segmentation="<results>/segmentation",
    metrics="<results>/metrics",
    comparison="<results>/comparison",
    ablations="<results>/ablations",
    paper="<results>/paper",
    provenance="<results>/provenance",
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


resource_scopes:
    gpu="local",


report: "report/workflow.rst"


include: "rules/common.smk"


wildcard_constraints:
    seed=r"\d+",
    patient=r"phantom-p\d+",
    model="|".join(MODELS),
    encoder="|".join(ENCODERS),
    weights="hed|imagenet|file|random|domain",
    size=r"\d+",
    layers="registry|deep|selected",
    smoothing="none|softmax",
    style_weight=r"[0-9.]+",
    layout="nnunet|monai|dicom",
    point="[a-z0-9_.-]+",
    stride=r"\d+",


include: "rules/cohorts.smk"
include: "rules/slices.smk"
include: "rules/styles.smk"
include: "rules/encoders.smk"
include: "rules/transfer.smk"
include: "rules/compare.smk"
include: "rules/augment.smk"
include: "rules/exports.smk"
include: "rules/segment.smk"
include: "rules/ablate.smk"
include: "rules/evaluate.smk"
include: "rules/paper.smk"
include: "rules/provenance.smk"
include: "rules/stylize.smk"


onstart:
    mark_run(PLACES)


rule all:
    default_target: True
    input:
        rules.rebuild_paper.input,
