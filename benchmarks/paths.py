"""The other hot paths beside what one would write otherwise: slices by random access, LPIPS of all pairs, resampling.

    python -m benchmarks.paths [ROUNDS]

One thread, CPU seconds in turn.
"""

import sys
import tempfile
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from benchmarks.side_by_side import interleave, machine, ratios, spread, table
from ctstyle.measures.perceptual import Perceptual, build_lpips
from ctstyle.slices.resample import area_weights, resample

SLICES, SIDE, READS, BATCH = 2000, 256, 4096, 8
IMAGES = 24
ROUNDS = 5


def read_memory_mapped(path: Path, order: np.ndarray) -> None:
    """Batches of slices as a training draws them, copied out of the file's pages."""
    slices = np.load(path, mmap_mode="r")
    for start in range(0, len(order), BATCH):
        np.asarray(slices[order[start : start + BATCH]])


def read_files(folder: Path, order: np.ndarray) -> None:
    """The same from a file for each slice."""
    for start in range(0, len(order), BATCH):
        np.stack([np.load(folder / f"{number}.npy") for number in order[start : start + BATCH]])


def random_access(rounds: int) -> list[list[object]]:
    """Slices per second out of one memory-mapped array and out of files, in the page cache."""
    rng = np.random.default_rng(0)
    order = rng.integers(SLICES, size=READS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        slices = rng.integers(-250, 750, (SLICES, SIDE, SIDE), dtype=np.int16)
        np.save(folder / "all.npy", slices)
        for number, one in enumerate(slices):
            np.save(folder / f"{number}.npy", one)
        took = interleave(
            {
                "ours": partial(read_memory_mapped, folder / "all.npy", order),
                "other": partial(read_files, folder, order),
            },
            rounds,
        )
    speed = [f"{READS / sorted(took[name])[rounds // 2]:.0f} slices/s" for name in ("ours", "other")]
    return [
        [
            f"{READS} slices of {SIDE} px by random access",
            *speed,
            "a .npy per slice",
            spread(ratios(took, "ours", "other")),
        ]
    ]


def one_by_one(perceptual: Perceptual, images: np.ndarray) -> None:
    """All pairs as pairwise calls."""
    for first, second in combinations(range(len(images)), 2):
        perceptual.between(images[[first, second]], np.array([0]), np.array([1]))


def all_pairs(rounds: int) -> list[list[object]]:
    """LPIPS of every pair of 24 images, VGG16 with random weights."""
    import torchvision

    torch.manual_seed(0)
    features = torchvision.models.vgg16(weights=None).features.state_dict()
    perceptual = build_lpips("vgg", {f"features.{key}": value for key, value in features.items()}, trunk="random")
    images = np.random.default_rng(0).random((IMAGES, 64, 64), dtype=np.float32)
    took = interleave(
        {"ours": partial(perceptual.pairwise, images), "other": partial(one_by_one, perceptual, images)}, rounds
    )
    times = [f"{sorted(took[name])[rounds // 2]:.2f} s" for name in ("ours", "other")]
    return [
        [
            f"LPIPS of all pairs of {IMAGES} images of 64 px",
            *times,
            "a call per pair",
            spread(ratios(took, "ours", "other")),
        ]
    ]


def resampling(rounds: int) -> list[list[object]]:
    """A slice of 512 x 512 onto 256 x 256 by area, beside scipy's Gaussian and spline."""
    image = np.random.default_rng(0).integers(-1000, 1000, (512, 512)).astype(np.int16)
    lattice, centres = 0.7 * np.arange(512), 1.4 * (np.arange(256) + 0.25)
    weights = area_weights(lattice, centres, 1.4)
    took = interleave(
        {
            "ours": lambda: [resample(image, weights, weights, outside=-1024.0) for _ in range(20)],
            "other": lambda: [
                ndimage.zoom(ndimage.gaussian_filter(image.astype(np.float64), 0.7), 0.5, order=1) for _ in range(20)
            ],
        },
        rounds,
    )
    times = [f"{sorted(took[name])[rounds // 2] / 20 * 1e3:.2f} ms" for name in ("ours", "other")]
    return [
        [
            "a slice of 512 px onto 256 px",
            *times,
            "scipy: Gaussian and linear zoom",
            spread(ratios(took, "ours", "other")),
        ]
    ]


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{machine()}; {rounds} rounds in turn, process time; minimum / median / maximum.\n")
    rows = [*random_access(rounds), *all_pairs(rounds), *resampling(rounds)]
    print(table(["path", "ours", "other", "which", "times as fast"], rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
