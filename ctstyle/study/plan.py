"""The plan of a run: by the wildcards of a rule, the files and settings of its jobs.

Rules look up their entry (`lookup`, and `patterns` of rules/common.smk). Paths are patterns with Snakemake's pathvars
(`<transfer>`) and wildcards (`{seed}`).
"""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.study import ablations
from ctstyle.study.arms import ARMS, archive_of, arms_with, exported_arms, lending_seed, unet_seeds
from ctstyle.study.comparison import module_sizes, trainings


class NothingAsked(CTStyleError):
    """A target that makes nothing with this config."""


Entries = dict[str, dict[str, Any]]

TRAININGS = {
    "ours": "ctstyle.transfer.train:train_model",
    "adain": "ctstyle.transfer.train:train_model",
    "contextual": "ctstyle.transfer.contextual:train_model",
    "cyclegan": "ctstyle.transfer.cyclegan:train_model",
}
"""The functions that train the generators of the models, by place; each takes the job (`run.job.Run`)."""


def plan(config: Mapping[str, Any]) -> dict[str, Any]:
    """All entries of a checked config, by what their jobs have in common. Raises SeedError and CTStyleError."""
    chains, contextual = ablations.plan(config), config["transfer"]["contextual"]
    if "contextual" in config["transfer"]["models"]:
        module_sizes((config["slices"]["size_px"],) * 2, contextual["crn"]["smallest_px"])
    return {
        "models": models(config),
        "warm_ups": warm_ups(config),
        "compared": compared(config),
        # a training of the comparison reads the selected layer lists of its own encoder
        "taps": taps("{encoder}/{weights}"),
        "arms": arms(config),
        "points": points(config, chains),
        "small_warm_ups": small_warm_ups(chains),
        "small_segment": chains.segment,
        "datasets": datasets(config),
    }


def main_weights(config: Mapping[str, Any], suffix: str = "safetensors") -> str:
    """A file of the weights of the encoder that the main models use."""
    main = config["encoders"]["main"]
    return f"<encoders>/{main['name']}/{main['weights']}.{suffix}"


def weight_sources(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of weights that are not trained here."""
    return {key: config["encoders"][key] for key in ("file", "random_seed")}


def weight_records(config: Mapping[str, Any]) -> list[str]:
    """The descriptions of weights that came from elsewhere."""
    main, trunk = config["encoders"]["main"], config["metrics"]["lpips_trunk"]
    asked = [(main["name"], main["weights"]), ("vgg16", trunk)]
    return [f"<encoders>/{name}/{weights}.json" for name, weights in asked if weights not in ("domain", "random")]


def classifier_trunk(config: Mapping[str, Any]) -> list[str]:
    """ImageNet weights of Inception-v3, where only its head is trained."""
    return ["<encoders>/inception_v3.safetensors"] if config["metrics"]["classifier"]["weights"] == "imagenet" else []


def main_decoder(config: Mapping[str, Any]) -> str:
    """The warmed-up decoder that the main models start from."""
    main, size_px = config["encoders"]["main"], config["slices"]["size_px"]
    return f"<transfer>/warmup/{main['name']}-{main['weights']}-{size_px}px/seed{{seed}}.safetensors"


def models(config: Mapping[str, Any]) -> Entries:
    """By model: the `place` of its training, its `settings`, what else it is `told`, and the files it reads (`inputs`)
    beside slices and split.
    """
    transfer, weights = config["transfer"], {"weights": main_weights(config)}
    start = {**weights, "decoder": main_decoder(config), **main_taps(config)}
    reads = {"ours": start, "adain": start, "contextual": weights, "cyclegan": {}}
    told = {"layers": transfer["layers"], "size_px": config["slices"]["size_px"]}
    return {
        model: {
            "place": place,
            "settings": transfer.get(model, transfer["training"]),
            "told": told if reads[model] is start else {},
            "inputs": reads[model],
        }
        for model, place in TRAININGS.items()
    }


def taps(encoder: str) -> Entries:
    """By the choice of layer lists: the file of the selected ones of an encoder (name/weights), where they are used."""
    return {"registry": {}, "deep": {}, "selected": {"taps": f"<encoders>/{encoder}.taps.json"}}


def main_taps(config: Mapping[str, Any]) -> dict[str, str]:
    """The file of the selected layer lists, where the main models use them."""
    main = config["encoders"]["main"]
    return taps(f"{main['name']}/{main['weights']}")[config["transfer"]["layers"]]


def warm_ups(config: Mapping[str, Any]) -> Entries:
    """By encoder, weights and size of the slices: how a decoder is warmed up.

    That of the main models by the config's section, those of the comparison in fewer steps.
    """
    main, small, settings = config["encoders"]["main"], config["comparison"], config["transfer"]["warm_up"]
    compared = {**settings, "steps": small["warm_up_steps"], "window": small["warm_up_window"]}
    pairs = [(name, small["weights"]) for name in small["encoders"]] + [(main["name"], main["weights"])]
    found = {f"{name}-{weights}-{small['size_px']}px": compared for name, weights in pairs}
    return {**found, f"{main['name']}-{main['weights']}-{config['slices']['size_px']}px": settings}


def compared(config: Mapping[str, Any]) -> Entries:
    """By smoothing and style weight: how a generator of the comparison is trained."""
    training, steps = config["transfer"]["training"], config["comparison"]["steps"]
    frames = trainings(config["comparison"], config["encoders"]["main"], training["style_weight"])
    return {
        f"{smoothing}-w{weight:g}": {**training, "steps": steps, "smoothing": smoothing, "style_weight": weight}
        for frame in frames.values()
        for smoothing, weight in zip(frame["smoothing"], frame["style_weight"])
    }


def arms(config: Mapping[str, Any]) -> Entries:
    """By arm: who makes its slices (`model`), with which settings (`augment`), from which files (`inputs`, without the
    slices of the run), whether test scans lend the styles (`lent`), the archive that its U-Net of each seed is trained
    with (`added`), and the settings of what changes its batches (`online`).
    """
    painters = {ARMS[arm].maker for arm in arms_with("painter")}
    unets = unet_seeds(config["segment"]["seeds"], config["seeds"])
    found: Entries = {}
    for name, arm in ARMS.items():
        others = painters - {arm.maker}
        generator = f"<transfer>/{arm.maker}/seed{{seed}}/generator.safetensors"
        found[name] = {
            "model": arm.maker,
            "lent": arm.lent,
            "augment": {key: value for key, value in config["augment"].items() if key not in others},
            "online": config["segment"].get(arm.online, {}),
            "inputs": {"weights": main_weights(config), "generator": generator},
            "added": {
                str(seed): _archive(archive_of(name), lending_seed(seed, unets, config["seeds"])) for seed in unets
            },
        }
    return found


def _archive(arm: str, seed: int) -> dict[str, str]:
    """The files of the slices made for an arm; none for "", an arm without."""
    ends = {"hu": "hu.npy", "labels": "labels.npy", "rows": "tsv"} if arm else {}
    return {key: f"<augmented>/{arm}/seed{seed}.{end}" for key, end in ends.items()}


def points(config: Mapping[str, Any], chains: ablations.Plan) -> Entries:
    """By point of the ablations: how its generator is made (`training`, `told`, `inputs`), and by
    arm how its slices are made (`augment`) and from which files (`inputs`); the plain U-Net adds none.
    """
    size_px, found = config["ablations"]["size_px"], {}
    for name, point in chains.points.items():
        generator = f"<ablations>/{ablations.ARM}/{point.generator}/seed{{seed}}/generator.safetensors"
        found[name] = {
            "training": point.training,
            "told": {"layers": point.layers, "size_px": size_px},
            "inputs": {
                "weights": main_weights(config),
                "decoder": f"<ablations>/warmup/{size_px}px-stride{point.stride}/seed{{seed}}.safetensors",
                **main_taps(config),
            },
            "plain": {"augment": {}, "inputs": {}},
            ablations.ARM: {
                "augment": point.augment,
                "inputs": {"weights": main_weights(config), "generator": generator},
            },
        }
    return found


def small_warm_ups(chains: ablations.Plan) -> Entries:
    """By stride: how a decoder of the ablations is warmed up."""
    strides = {point.stride for point in chains.points.values()}
    return {str(stride): {**chains.warm_up, "stride": stride} for stride in strides}


def datasets(config: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """By layout, arm and seed: the name of nnU-Net's dataset, whose number does not depend on what else is exported."""
    made, seeds = exported_arms(), config["seeds"]
    numbers: Entries = {arm: {} for arm in made}
    for number, (seed, arm) in enumerate(product(seeds, made), start=config["exports"]["first_dataset"]):
        numbers[arm][str(seed)] = f"Dataset{number:03d}_ctstyle_{arm}_seed{seed}"
    none = {arm: dict.fromkeys(map(str, seeds), "") for arm in made}
    return {"nnunet": numbers, "monai": none, "dicom": none}


def exports(config: Mapping[str, Any]) -> list[str]:
    """The archives that the config asks for."""
    asked = config["exports"]
    return [
        f"<exports>/{layout}/{arm}-seed{seed}.zip"
        for layout in asked["formats"]
        for arm in asked["arms"]
        for seed in config["seeds"]
    ]


def asked_exports(config: Mapping[str, Any]) -> list[str]:
    """What `snakemake export` makes. Raises NothingAsked."""
    found = exports(config)
    if not found:
        raise NothingAsked(
            "nothing is asked for",
            where="exports",
            expected="`exports: formats` with some of nnunet, monai, dicom",
        )
    return found


def stylized(folder: str, asked: Any) -> dict[str, str]:
    """The files of a series that `snakemake stylize` makes as `asked` (`apply.plan.Asked`, or None), in its folder.

    The record lies in a folder of results of its own: the audit of a run that this lies in passes it over.
    """
    names = {"rows": "slices.tsv", "about": "about.json", "picture": "picture.png"}
    names["record"] = "provenance/records/stylize.json"
    if asked is not None and asked.suffix:
        names["series"] = f"ct{asked.suffix}"
        names |= {"mask": f"mask{asked.suffix}"} if asked.mask else {}
    return {name: f"{folder}/{path}" for name, path in names.items()}


def products(
    config: Mapping[str, Any], *, tables: Iterable[str], figures: Iterable[str], described: Iterable[str]
) -> list[str]:
    """What a run is made for, the PDF apart: tables with their lineages, figures, pages, generators and exports.

    `tables` and `figures` are their names, `described` the encoders and weights whose layers are shown.
    """
    names = list(tables)
    printed = [f"<paper>/tables/{name}.{form}" for name in names for form in ("csv", "md", "tex")]
    lineages = [f"<paper>/tables/{name}.lineage.json" for name in names]
    drawn = [f"<paper>/figures/{name}.{form}" for name in figures for form in ("png", "pdf")]
    layers = [f"<encoders>/{name}.layers.png" for name in described]
    pages = ["<paper>/environment.html", "<paper>/viewer.html", "<paper>/answer.md"]
    bundles = [f"<transfer>/ours/seed{seed}.bundle.safetensors" for seed in config["seeds"]]
    return [*printed, *lineages, *drawn, *layers, *pages, *bundles, *exports(config)]
