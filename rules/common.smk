"""What the rules share: the checked config, the list of scans, and small input functions. No rule lives here."""

import re
import sys

import pandas as pd
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.current_basedir).parent
sys.path.insert(0, str(ROOT))

from ctstyle.cohorts import catalogue
from ctstyle.encoders.plan import check_weights
from ctstyle.errors import CTStyleError
from ctstyle.run.places import OUTPUT, check_places, mark_run
from ctstyle.provenance.code import code_digest
from ctstyle.provenance.digest import sha256_file
from ctstyle.study import ablations, comparison, outputs, settings
from ctstyle.study.arms import ARMS, archive_of, arms_with, augmented_arms, exported_arms
from ctstyle.study.config import Config, checked
from ctstyle.study.arms import lending_seed, unet_seeds
from ctstyle.slices.regions import can_lend
from ctstyle.study.comparison import module_sizes


def list_scans(config):
    """All scans of the configured cohorts as a frame, one row per scan."""
    return catalogue.list_scans(config, workflow.pathvars.apply("<cohorts>"), ROOT)


def asked_stylize():
    """What `snakemake stylize` is asked for; pydicom and safetensors stay out of the start of all other runs."""
    if not any(config[key] for key in ("content", "style", "model", "mask")):
        return None
    from ctstyle.apply import plan

    return plan.asked(config)


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
    if "contextual" in config["transfer"]["models"]:
        module_sizes((config["slices"]["size_px"],) * 2, config["transfer"]["contextual"]["crn"]["smallest_px"])
    UNET_SEEDS = unet_seeds(config["segment"]["seeds"], config["seeds"])
    SCANS = list_scans(config)
    ASKED = asked_stylize()
    COMPARED = comparison.trainings(
        config["comparison"], config["encoders"]["main"], config["transfer"]["training"]["style_weight"]
    )
    ABLATIONS = ablations.plan(config)
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
except CTStyleError as error:
    raise WorkflowError(str(error)) from None

asked_arms = [
    config[section]["arms"] for section in ("segment", "exports") if "transductive" in config[section]["arms"]
]
if asked_arms and not can_lend(SCANS, config["slices"]["orientation"]):
    for arms in asked_arms:
        arms.remove("transductive")
    if workflow.is_main_process:
        print(
            "The arm transductive is left out: no cohort with axial slices is there for testing alone.", file=sys.stderr
        )

AXES = outputs.axes(config)
FIGURES = outputs.plan(outputs.FIGURES, config)
TABLES = outputs.plan(outputs.TABLES, config)


def fingerprint(script, planned=None):
    """The digest of the code that a rule's script runs (Snakemake does not see edited modules).

    With the `planned` figures or tables it is a function of the wildcards, since each has code of its own.
    """
    path = ROOT / "scripts" / f"{script}.py"
    if planned is None:
        return code_digest(path, ROOT)

    def of_output(wildcards):
        """The digest for one figure or table."""
        return code_digest(path, ROOT, planned[wildcards.name]["place"])

    return of_output


def slices_of_scans():
    """The slice archives of all scans, four files each."""
    return collect("<slices>/{scan}.{part}", scan=SCANS.scan, part=["hu.npy", "labels.npy", "tsv", "json"])


def all_slices():
    """The slices of all scans as one archive; jobs select by the split table."""
    return collect("<slices>.{part}", part=["hu.npy", "labels.npy", "tsv", "json"])


def scan_row(wildcards):
    """The sheet's row of one scan as a dict."""
    return SCANS.set_index("scan", drop=False).loc[wildcards.scan].to_dict()


def scans_to_cut():
    """A pattern for the scans that a rule of their own does not cut as it makes them."""
    return "|".join(re.escape(scan) for scan in SCANS.query("cohort != 'phantom'").scan) or "(?!)"


def simulated_row(wildcards):
    """The sheet's row of one simulated scan."""
    return SCANS.set_index("scan", drop=False).loc[f"{wildcards.patient}-{wildcards.scanner}"].to_dict()


def scan_files(wildcards):
    """The series of one scan, and its mask where that is a file of its own."""
    row = scan_row(wildcards)
    files = {"series": row["series"]}
    if row["mask"] and row["mask"] != row["series"]:
        files["mask"] = row["mask"]
    return files


def of_trainings(trainings, file, seeds):
    """A file of every training (rows of COMPARED), and of every seed within it."""
    stem = "<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight:g}/seed{seed}"
    return [f"{stem}/{file}".format(**one, seed=seed) for one in trainings.to_dict("records") for seed in seeds]


def compared(question, file):
    """A file of every training that answers a question of the comparison, and of every seed within it."""
    return of_trainings(COMPARED[question], file, config["seeds"])


def warm_up_of(encoder, weights, size_px, suffix="safetensors"):
    """The warmed-up decoder of one encoder at one slice size; every training that starts from it shares it."""
    return f"<transfer>/warmup/{encoder}-{weights}-{size_px}px/seed{{seed}}.{suffix}"


def main_warm_up(suffix="safetensors"):
    """The warmed-up decoder of the main models."""
    main = config["encoders"]["main"]
    return warm_up_of(main["name"], main["weights"], config["slices"]["size_px"], suffix)


def warm_up_settings(wildcards):
    """The config's warm-up, with the comparison's steps and window where the decoder is not that of the main models."""
    settings, small = config["transfer"]["warm_up"], config["comparison"]
    if warm_up_of(wildcards.encoder, wildcards.weights, wildcards.size) == main_warm_up():
        return settings
    return {**settings, "steps": small["warm_up_steps"], "window": small["warm_up_window"]}


def compared_settings(wildcards):
    """The config's training, with the comparison's steps and what this training varies."""
    varied = {"smoothing": wildcards.smoothing, "style_weight": float(wildcards.style_weight)}
    return {**config["transfer"]["training"], "steps": config["comparison"]["steps"], **varied}


def ablated(wildcards):
    """The settings of one point of the ablations."""
    return ABLATIONS.points[wildcards.point]


def ablated_warm_up(wildcards):
    """The ablations' warm-up of the decoder at one stride."""
    return {**ABLATIONS.warm_up, "stride": int(wildcards.stride)}


def ablated_decoder(wildcards):
    """The warmed-up decoder that a point's generator starts from."""
    size_px, stride = config["ablations"]["size_px"], ablated(wildcards).stride
    return f"<ablations>/warmup/{size_px}px-stride{stride}/seed{wildcards.seed}.safetensors"


def ablated_training(wildcards):
    """How a point's generator is trained."""
    return ablated(wildcards).training


def ablated_layers(wildcards):
    """The layer lists of a point's generator."""
    return ablated(wildcards).layers


def ablated_augment(wildcards):
    """How a point's slices are made; nothing for the plain U-Net."""
    return ablated(wildcards).augment if wildcards.arm in augmented_arms() else {}


def ablated_generator(wildcards):
    """The generator of a point, its own or the one it shares, with its encoder; none for the plain U-Net."""
    if wildcards.arm not in augmented_arms():
        return {}
    generator = f"<ablations>/{model_of(wildcards)}/{ablated(wildcards).generator}/seed{wildcards.seed}"
    return {"weights": main_weights("safetensors"), "generator": f"{generator}/generator.safetensors"}


def selected_taps(wildcards):
    """The selected layer lists, for a training that uses them."""
    if wildcards.get("layers", config["transfer"]["layers"]) != "selected":
        return []
    main = config["encoders"]["main"]
    return f"<encoders>/{wildcards.get('encoder', main['name'])}/{wildcards.get('weights', main['weights'])}.taps.json"


def public_config():
    """The config as records and the report hold it: without the user's paths."""
    return settings.public(config, Config)


def scan_sources(wildcards):
    """The files of all scans; a function, since Snakemake's report prints the paths of a list."""
    return list(dict.fromkeys(path for column in ("series", "mask") for path in SCANS[column] if path))


def scan_rows():
    """What the manifest of sources says of each scan."""
    return SCANS[["scan", "cohort", "series", "mask", "licence"]].to_dict("records")


def sources_of_weights():
    """The records of weights that came from elsewhere."""
    main, trunk = config["encoders"]["main"], config["metrics"]["lpips_trunk"]
    asked = [(main["name"], main["weights"]), ("vgg16", trunk)]
    return [f"<encoders>/{name}/{weights}.json" for name, weights in asked if weights not in ("domain", "random")]


def config_files():
    """The config files of this run, in the order they were laid over each other."""
    root, paths = ROOT.resolve(), [Path(path).resolve() for path in workflow.configfiles]
    return [str(path.relative_to(root) if path.is_relative_to(root) else path) for path in paths]


def own_sheets(wildcards):
    """The user's table of scans, where there is one; a function as `scan_sources`."""
    return [config["sheet"]] if config["sheet"] else []


def final_files():
    """What a run is made for, the PDF apart: tables with their lineages, figures, pages, generators and exports."""
    tables = paper_tables(["csv", "md", "tex"])
    lineages = collect("<paper>/tables/{table}.lineage.json", table=TABLES)
    bundles = of_seeds("<transfer>/ours/seed{seed}.bundle.safetensors")
    pages = ["<paper>/environment.html", "<paper>/viewer.html", "<paper>/answer.md"]
    pictures = [*paper_figures(["png", "pdf"]), *described("layers.png")]
    return [*tables, *lineages, *pictures, *pages, *bundles, *exported_files()]


def workflow_files():
    """The files of the workflow itself, by their place in the checkout."""
    return ["Snakefile", *(f"rules/{path.name}" for path in sorted((ROOT / "rules").glob("*.smk")))]


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


def inception_trunk():
    """ImageNet weights of Inception-v3, where only its head is trained."""
    return "<encoders>/inception_v3.safetensors" if config["metrics"]["classifier"]["weights"] == "imagenet" else []


def paper_tables(forms):
    """Every table of the paper."""
    return collect("<paper>/tables/{table}.{form}", table=TABLES, form=forms)


def paper_figures(forms):
    """Every figure of the paper."""
    return collect("<paper>/figures/{figure}.{form}", figure=FIGURES, form=forms)


def file_digests(names):
    """The digests of files that a script reads and no module imports, by their place in the checkout or absolute.

    A param and no input: in a clone at another place the paths of inputs would be others, and all would run again.
    """
    return {name: sha256_file(ROOT / name) for name in names}


def pinned_series(wildcards):
    """The pinned row of one patient of spine_mets."""
    return catalogue.pinned_row(config, "spine_mets", wildcards.case, ROOT)


def pinned_scan(wildcards):
    """The pinned row of one scan of verse."""
    return catalogue.pinned_row(config, "verse", wildcards.case, ROOT)


def pinned_subject(wildcards):
    """The pinned row of one subject of totalsegmentator."""
    return catalogue.pinned_row(config, "totalsegmentator", wildcards.case, ROOT)


def described(form):
    """The layer descriptions of the main encoder's weights and of every compared encoder, in one form."""
    main, small = config["encoders"]["main"], config["comparison"]
    pairs = dict.fromkeys([(main["name"], main["weights"]), *((name, small["weights"]) for name in small["encoders"])])
    return [f"<encoders>/{name}/{weights}.{form}" for name, weights in pairs]


def model_of(wildcards):
    """The transfer model or the painter that makes the slices of an arm."""
    return ARMS[wildcards.arm].maker


def lent(wildcards):
    """Whether test scans lend the styles of an arm."""
    return ARMS[wildcards.arm].lent


def online_of(wildcards):
    """The settings of what changes the training batches of an arm anew; none for most."""
    return config["segment"].get(ARMS[wildcards.arm].online, {})


def augment_of(wildcards):
    """The settings of making an arm's slices, without those of the painters of other arms."""
    others = {ARMS[arm].maker for arm in arms_with("painter")} - {model_of(wildcards)}
    return {key: value for key, value in config["augment"].items() if key not in others}


def generator_of(wildcards):
    """The generator that makes the slices of an arm."""
    return f"<transfer>/{model_of(wildcards)}/seed{wildcards.seed}/generator.safetensors"


def augmented_of(wildcards):
    """The augmented archive that an arm adds to its training slices; none for those without augmentation."""
    archive = archive_of(wildcards.arm)
    if not archive:
        return {}
    stem = f"<augmented>/{archive}/seed{lending_seed(int(wildcards.seed), UNET_SEEDS, config['seeds'])}"
    return {"hu": f"{stem}.hu.npy", "labels": f"{stem}.labels.npy", "rows": f"{stem}.tsv"}


def exported_files():
    """The augmented sets in the layouts of other tools, as far as the config asks for any."""
    asked = config["exports"]
    pattern = "<exports>/{layout}/{arm}-seed{seed}.zip"
    return collect(pattern, layout=asked["formats"], arm=asked["arms"], seed=config["seeds"])


def asked_exports(wildcards):
    """What `snakemake export` makes."""
    if not exported_files():
        raise WorkflowError("exports: nothing is asked for. Set `exports: formats` to some of nnunet, monai, dicom.")
    return exported_files()


def dataset_of(wildcards):
    """The name of nnU-Net's dataset; its number depends on arm and seed, not on which others are exported."""
    if wildcards.layout != "nnunet":
        return ""
    arms = exported_arms()
    number = len(arms) * config["seeds"].index(int(wildcards.seed)) + arms.index(wildcards.arm)
    number += config["exports"]["first_dataset"]
    return f"Dataset{number:03d}_ctstyle_{wildcards.arm}_seed{wildcards.seed}"


def of_seeds(pattern):
    """A pattern for every seed of the run."""
    return collect(pattern, seed=config["seeds"])


def stylize_files(wildcards):
    """The content, the bundle, and where they are asked for the CT that gives the style and the mask."""
    from ctstyle.apply import plan

    try:
        plan.require(config)
    except CTStyleError as error:
        raise WorkflowError(str(error)) from None
    return ASKED.files


def stylized(name):
    """A file of the folder that the stylised series goes to; what is there stays until the new one is whole."""
    path = f"{config['stylize']['output']}/{name}"
    return update(path) if Path(workflow.pathvars.apply(path)).exists() else path


def stylized_series():
    """The new series as one file, and beside it the mask where there is one."""
    if ASKED is None or not ASKED.suffix:
        return {}
    mask = {"mask": stylized(f"mask{ASKED.suffix}")} if ASKED.mask else {}
    return {"series": stylized(f"ct{ASKED.suffix}"), **mask}


def stylize_style():
    """The asked style's name in the bundle; empty where another CT gives it."""
    return ASKED.style if ASKED else ""
