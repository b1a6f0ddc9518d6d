"""What the rules share: the checked config, the list of scans, and small input functions. No rule lives here."""

import sys

import pandas as pd
import yaml
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.current_basedir).parent
sys.path.insert(0, str(ROOT))

from ctstyle import settings
from ctstyle.cohorts import catalogue
from ctstyle.errors import CTStyleError
from ctstyle.provenance.code import code_digest

SCHEMA = yaml.safe_load((ROOT / "config" / "schema" / "config.schema.yaml").read_text())


def checked(config):
    """The config with its defaults, or one error that names the key and the fix."""
    filled = settings.with_defaults(config, SCHEMA)
    settings.check(filled, SCHEMA)
    return filled


def list_scans(config):
    """All scans of the configured cohorts as a frame, one row per scan."""
    return catalogue.list_scans(config, workflow.pathvars.apply("<cohorts>"))


try:
    config.update(checked(config))
    SCANS = list_scans(config)
except CTStyleError as error:
    raise WorkflowError(str(error)) from None


def fingerprint(script):
    """The digest of the code that a rule's script runs (Snakemake does not see edited modules)."""
    return code_digest(ROOT / "scripts" / f"{script}.py", ROOT)


def all_slices():
    """The slice archives of all scans; jobs select by the split table."""
    return collect("<slices>/{scan}.{part}", scan=SCANS.scan, part=["hu.npy", "labels.npy", "tsv", "json"])


def scan_row(wildcards):
    """The sheet's row of one scan as a dict."""
    return SCANS.set_index("scan", drop=False).loc[wildcards.scan].to_dict()


def scan_files(wildcards):
    """The series of one scan, and its mask where that is a file of its own."""
    row = scan_row(wildcards)
    files = {"series": row["series"]}
    if row["mask"] and row["mask"] != row["series"]:
        files["mask"] = row["mask"]
    return files


def main_weights(suffix):
    """The weights of the encoder that the main models use."""
    main = config["encoders"]["main"]
    return f"<encoders>/{main['name']}/{main['weights']}.{suffix}"


def weight_sources():
    """What the config says of weights that are not trained here."""
    return {key: config["encoders"][key] for key in ("file", "random_seed")}


def lpips_trunk(suffix):
    """The VGG16 trunk of LPIPS."""
    return f"<encoders>/vgg16/{config['metrics']['lpips_trunk']}.{suffix}"


def augmented_of(wildcards):
    """The augmented archive that an arm adds to its training slices; none for those without augmentation."""
    if wildcards.arm in ("plain", "instance", "oracle"):
        return {}
    stem = f"<augmented>/{wildcards.arm}/seed{wildcards.seed}"
    return {"hu": f"{stem}.hu.npy", "labels": f"{stem}.labels.npy", "rows": f"{stem}.tsv"}


def of_seeds(pattern):
    """A pattern for every seed of the run."""
    return collect(pattern, seed=config["seeds"])


def of_models(pattern, first_seed=False):
    """A pattern for every transfer model, and for every seed (in the order of the seeds within a model)."""
    seeds = config["seeds"][:1] if first_seed else config["seeds"]
    return collect(pattern, model=config["transfer"]["models"], seed=seeds)


def of_arms(pattern, first_seed=False):
    """A pattern for every arm of Table 2, and for every seed (in the order of the seeds within an arm)."""
    seeds = config["seeds"][:1] if first_seed else config["seeds"]
    return collect(pattern, arm=config["segment"]["arms"], seed=seeds)


def shown_layers():
    """The layer descriptions of the main encoder's weights and of the one trained on this run's slices."""
    main = config["encoders"]["main"]["name"]
    weights = dict.fromkeys((config["encoders"]["main"]["weights"], "domain"))
    return collect(
        "<encoders>/{encoder}/{weights}.layers.{form}", encoder=main, weights=weights, form=["tsv", "png", "pdf"]
    )


def run_facts():
    """What captions say about a run, as far as the config knows it."""
    transfer, slices = config["transfer"], config["slices"]
    return {
        "encoder": config["encoders"]["main"]["name"],
        "warm_up_steps": transfer["warm_up"]["steps"],
        "transfer_steps": transfer["training"]["steps"],
        "segmentation_steps": config["segment"]["training"]["steps"],
        "size_px": slices["size_px"],
        "spacing_mm": slices["spacing_mm"],
        "window_hu": slices["window_hu"],
        "cohorts": config["cohorts"],
    }
