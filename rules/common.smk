"""What the rules share: the checked config, what the run consists of, and a few input functions. No rule lives here."""

import sys

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.current_basedir).parent
sys.path.insert(0, str(ROOT))

from ctstyle.cohorts import catalogue
from ctstyle.encoders.plan import check_weights
from ctstyle.errors import CTStyleError
from ctstyle.provenance.code import code_digest, file_digests, load, within_checkout, workflow_files
from ctstyle.run.places import OUTPUT, check_places, mark_run
from ctstyle.slices.split import leave_out_lent
from ctstyle.study import outputs, plan, settings
from ctstyle.study.arms import arms_with
from ctstyle.study.cohorts import COLLECTIONS
from ctstyle.study.config import Config, checked
from ctstyle.study.encoders import ENCODERS
from ctstyle.study.networks import MODELS


def chosen_places():
    """The folders that the rules write to, by the names of their pathvars, and that of stylize."""
    known = workflow.pathvars
    # Snakemake's own defaults, the last level, have no rule here
    names = [name for name, level in known.level.items() if level < 4 or name == "results"]
    places = {name: known.apply(f"<{name}>") for name in names}
    return {**places, OUTPUT: known.apply(config["stylize"]["output"])}


try:
    config.update(checked(config))
    # Snakemake has read it; where the results lie is nobody else's business
    config.pop("pathvars", None)
    check_weights(config["encoders"])
    SCANS = catalogue.list_scans(config, workflow.pathvars.apply("<cohorts>"), ROOT)
    PINNED = catalogue.pinned(config, ROOT)
    # only then, as pydicom and safetensors take longer to import than all else
    stylizing = any(config[key] for key in ("content", "style", "model", "mask"))
    ASKED = load("ctstyle.apply.plan:asked")(config) if stylizing else None
    PLACES = chosen_places()
    if workflow.is_main_process:
        check_places(
            PLACES,
            config,
            stylized=ASKED.files if ASKED else {},
            scans=SCANS.to_dict("records"),
            configs=workflow.configfiles,
            root=ROOT,
        )
    if leave_out_lent(config, SCANS) and workflow.is_main_process:
        print(
            "The arm transductive is left out: no cohort with axial slices is there for testing alone.", file=sys.stderr
        )
    PLAN, AXES = plan.plan(config), outputs.axes(config)
except CTStyleError as error:
    raise WorkflowError(str(error)) from None

FIGURES, TABLES = (outputs.plan(some, config) for some in (outputs.FIGURES, outputs.TABLES))
PRODUCTS = plan.products(config, tables=TABLES, figures=FIGURES, described=AXES["described"])
PUBLIC = settings.public(config, Config)
ROWS = SCANS.set_index("scan", drop=False).to_dict("index")
# what an earlier series has there stays until the new one is whole
STYLIZED = {
    name: update(path) if Path(workflow.pathvars.apply(path)).exists() else path
    for name, path in plan.stylized(config["stylize"]["output"], ASKED).items()
}
ALL_SLICES = collect("<slices>.{part}", part=["hu.npy", "labels.npy", "tsv", "json"])


def fingerprint(script, place=None):
    """The digest of the code that a rule's script runs (Snakemake does not see edited modules).

    `place` looks up which function the script calls in a job; its code counts for that job alone.
    """
    path = ROOT / "scripts" / f"{script}.py"
    if place is None:
        return code_digest(path, ROOT)

    def of_job(wildcards):
        """The digest for one job."""
        return code_digest(path, ROOT, place(wildcards))

    return of_job


def patterns(dpath, within):
    """As `lookup`, for entries of files: an input function that fills the job's wildcards into the paths it finds."""
    found = lookup(dpath, within=within)

    def filled(wildcards):
        """The files of one job by their keys."""
        return {key: path.format(**dict(wildcards.items())) for key, path in found(wildcards).items()}

    return filled


def told(place):
    """An input function that calls a function of the library with the config, and tells its errors as one message."""

    def of_job(wildcards):
        """The files."""
        try:
            return load(place)(config)
        except CTStyleError as error:
            raise WorkflowError(str(error)) from None

    return of_job


def unlisted(paths):
    """An input function for paths of the user's: Snakemake's report prints those of a list."""

    def listed(wildcards):
        """The paths."""
        return paths

    return listed
