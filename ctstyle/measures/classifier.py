"""The grey-scale classifier behind CIS: Inception-v3 (Szegedy et al. 2016) with one class per style of the run.

It is trained on training patients only, from scratch or as a linear head on a frozen ImageNet trunk, and its accuracy
is measured on patients it has not seen: CIS means nothing where that accuracy is near chance.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.measures.cis import is_near_chance
from ctstyle.measures.inception import (
    BATCH,
    IMAGENET_PX,
    ClassifierError,
    as_rgb,
    forward,
    inception,
    initialise,
    prepare,
    probabilities,
    trunk_part,
)
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.fit import descend, fit
from ctstyle.run.tensors import Kind, filled
from ctstyle.slices.archive import Archive
from ctstyle.slices.window import Window
from ctstyle.study.analysis import ClassifierSettings

SETTLING_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class StyledSlices:
    """Slices float32 `[n, H, W]` in [0, 1], and the style, patient and scan of each (arrays of n strings)."""

    slices: np.ndarray
    styles: np.ndarray
    patients: np.ndarray
    scans: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Classifier:
    """A trained grey-scale classifier; `classes` are the styles in the order of its probabilities.

    `heldout_accuracy` is over slices, `heldout_accuracy_scans` over scans (most of a scan's slices decide), and
    `heldout_majority` is what always naming the most frequent held-out style would reach: chance where styles are
    uneven. `size_px` 0 is the slices' own size.
    """

    network: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    size_px: int
    weights: str
    true_name: str
    source: str
    licence: str
    steps: int
    training_slices: int
    heldout_accuracy: float
    heldout_accuracy_scans: float
    heldout_majority: float
    heldout_slices: int
    heldout_scans: int

    @property
    def chance(self) -> float:
        """Accuracy of guessing: 1/K."""
        return 1 / len(self.classes)

    @property
    def near_chance(self) -> bool:
        """Whether the held-out accuracy over scans is not significantly above 1/K (`cis.is_near_chance`)."""
        return is_near_chance(self.heldout_accuracy_scans, self.heldout_scans, len(self.classes))

    def probabilities(self, slices: np.ndarray, *, batch: int = BATCH) -> np.ndarray:
        """Class probabilities float64 `[n, K]` of slices float32 `[n, H, W]` in [0, 1], on the network's device."""
        return probabilities(self.network, slices, self.size_px, batch)

    def about(self) -> dict[str, Any]:
        """All that is known of the classifier but its tensors, for its JSON file."""
        known = {key: getattr(self, key) for key in _KEPT}
        return {**known, "sha256": _digest(self.network), "chance": self.chance, "near_chance": self.near_chance}

    def save(self, path: Path) -> None:
        """Write the tensors (safetensors), with what `load` needs in the header of the file."""
        _FILE.save(path, self.network.state_dict(), {key: getattr(self, key) for key in _KEPT})

    @classmethod
    def load(cls, path: Path, *, device: torch.device | str = "cpu") -> "Classifier":
        """Read what `save` wrote; raises ClassifierError for any other file."""
        with _FILE.reading(path):
            state, kept = _FILE.load(path)
            kept["classes"] = tuple(kept["classes"])
            network = filled(partial(inception, len(kept["classes"])), state)
            return cls(network=network.to(device).eval(), **kept)


_FILE = Kind("grey-scale classifier", ClassifierError, "the rule train_classifier")
_KEPT = (
    "classes",
    "size_px",
    "weights",
    "true_name",
    "source",
    "licence",
    "steps",
    "training_slices",
    "heldout_accuracy",
    "heldout_accuracy_scans",
    "heldout_majority",
    "heldout_slices",
    "heldout_scans",
)


def classifier_sides(archive: Archive, window: Window) -> tuple[StyledSlices, StyledSlices]:
    """Training and held-out slices of a run; `archive` has the columns `style` and `side`.

    Training: all slices of training patients. Held out: test patients of the cohorts that have training patients, in
    whatever styles they were scanned; they serve the accuracy alone. Validation patients serve neither.
    """
    training = archive.select(side="train")
    heldout = archive.select(side="test", cohort=set(training.rows["cohort"]))
    return _styled(training, window), _styled(heldout, window)


def train_classifier(
    training: StyledSlices,
    heldout: StyledSlices,
    settings: ClassifierSettings,
    *,
    seed: int,
    trunk_state: Mapping[str, Tensor] | None = None,
    checkpoint: Checkpoint | None = None,
    log_every: int = 20,
    device: torch.device | None = None,
) -> tuple[Classifier, pd.DataFrame]:
    """Train on `training` and measure on `heldout`: the classifier and the history (`step, loss, accuracy`).

    Batches hold every style equally often. Slices are mirrored and shifted at random, but their grey values are never
    touched, for the grey scale is what is learnt. `trunk_state` holds torchvision's Inception-v3 for `imagenet` (its
    own last layer and `AuxLogits` are ignored). Raises ClassifierError for a patient on both sides, fewer than two
    styles, no held-out slices or one of an unknown style, slices below 75 px, and a trunk that is missing, of another
    architecture or not asked for; TrainingDiverged where a loss is not finite.
    """
    device = device or torch.device("cpu")
    classes = _classes(training, heldout)
    _check_trunk(settings, trunk_state)
    size_px = settings.size_px or (IMAGENET_PX if settings.weights == "imagenet" else 0)
    network = inception(len(classes))
    initialise(network, seed=seed)
    if trunk_state is not None:
        network.load_state_dict({**network.state_dict(), **trunk_part(trunk_state, network)})
    network.to(device)
    images = prepare(training.slices, size_px)
    targets = torch.from_numpy(np.searchsorted(classes, training.styles))
    run = {"seed": seed, "checkpoint": checkpoint, "log_every": log_every}
    if settings.weights == "scratch":
        history = _train_all(network, images.to(device), targets.to(device), settings, **run)
        _settle_batch_norm(network, images, targets, seed=seed)
        about = {
            "true_name": f"Inception-v3, trained from scratch, {settings.steps} steps, on this run's training patients",
            "source": "made here from the training slices",
            "licence": "that of the training slices",
        }
    else:
        history = _train_head(network.eval(), images, targets.to(device), settings, **run)
        about = {
            "true_name": f"Inception-v3, frozen ImageNet trunk as given, linear head trained {settings.steps} steps "
            "on this run's training patients",
            "source": "the given trunk, and a head made here from the training slices",
            "licence": "that of the trunk and of the training slices",
        }
    classifier = Classifier(
        network=network.eval(),
        classes=classes,
        size_px=size_px,
        weights=settings.weights,
        **about,
        steps=settings.steps,
        training_slices=len(training.slices),
        heldout_accuracy=float("nan"),
        heldout_accuracy_scans=float("nan"),
        heldout_majority=float("nan"),
        heldout_slices=len(heldout.slices),
        heldout_scans=len(set(heldout.scans)),
    )
    return replace(classifier, **_score(classifier, heldout)), history


def _train_all(
    network: nn.Module, images: Tensor, targets: Tensor, settings: ClassifierSettings, **run: Any
) -> pd.DataFrame:
    """Train every layer; half of the slices of a batch are mirrored on average, and all are shifted."""
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
    labels = targets.cpu().numpy()

    def step(_: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One batch."""
        chosen = torch.from_numpy(_balanced(labels, settings.batch, rng)).to(images.device)
        moved = _move(images[chosen], settings.shift_px, rng)
        return _descend(network(as_rgb(moved)), targets[chosen], optimiser, schedule)

    network.train()
    parts = {"network": network, "optimiser": optimiser, "schedule": schedule}
    return fit(step, parts=parts, steps=settings.steps, name="grey-scale classifier", **run)


def _train_head(
    network: nn.Module, images: Tensor, targets: Tensor, settings: ClassifierSettings, **run: Any
) -> pd.DataFrame:
    """Train the last layer on the features of every slice and of its mirror image, computed once."""
    head = network.fc
    network.fc = nn.Identity()
    # [2, n, 2048]: as they are, and mirrored
    features = torch.stack([forward(network, images, BATCH), forward(network, images.flip(-1), BATCH)])
    network.fc = head
    optimiser = torch.optim.AdamW(
        head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
    labels = targets.cpu().numpy()

    def step(_: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One batch of features."""
        chosen = torch.from_numpy(_balanced(labels, settings.batch, rng)).to(features.device)
        mirrored = torch.from_numpy(rng.integers(2, size=settings.batch)).to(features.device)
        return _descend(head(features[mirrored, chosen]), targets[chosen], optimiser, schedule)

    parts = {"head": head, "optimiser": optimiser, "schedule": schedule}
    return fit(step, parts=parts, steps=settings.steps, name="grey-scale classifier's head", **run)


def _descend(logits: Tensor, targets: Tensor, optimiser: Any, schedule: Any) -> dict[str, Tensor]:
    loss = F.cross_entropy(logits, targets)
    descend(loss, optimiser, schedule)
    return {"loss": loss, "accuracy": (logits.argmax(1) == targets).float().mean()}


@torch.no_grad()
def _settle_batch_norm(network: nn.Module, images: Tensor, targets: Tensor, *, seed: int) -> None:
    """Batch norm's running statistics anew, as plain means over batches of training slices, in place.

    The moving average of training rests on its last dozen batches, and at 96 px the deepest maps are one pixel each:
    with batches of 8 that is a hundred values per channel, taken while the weights still moved. In three trainings on
    the quick run's simulated patients this changed the accuracy on held-out slices by +0.07, +0.01 and -0.01. The
    batches are balanced over styles, as in training.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    rng = np.random.default_rng([seed, 1])
    device = next(network.parameters()).device
    for _ in range(SETTLING_BATCHES):
        chosen = torch.from_numpy(_balanced(targets.cpu().numpy(), BATCH, rng))
        network(as_rgb(images[chosen].to(device)))
    network.eval()
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def _balanced(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` slice numbers, the styles in turn in random order, a random slice of each."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    order = np.concatenate([rng.permutation(len(members)) for _ in range(-(-count // len(members)))])[:count]
    return np.array([rng.choice(members[style]) for style in order])


def _move(images: Tensor, shift_px: int, rng: np.random.Generator) -> Tensor:
    """Each image `[B, 1, H, W]` mirrored with probability 1/2 and shifted by up to `shift_px`; edges are repeated."""
    height, width = images.shape[2:]
    padded = F.pad(images, (shift_px,) * 4, mode="replicate")
    rows, columns = rng.integers(2 * shift_px + 1, size=(2, len(images)))
    moved = torch.stack(
        [
            image[:, top : top + height, left : left + width]
            for image, top, left in zip(padded, rows.tolist(), columns.tolist())
        ]
    )
    mirrored = torch.from_numpy(rng.integers(2, size=(len(images), 1, 1, 1)) == 1).to(images.device)
    return torch.where(mirrored, moved.flip(-1), moved)


def _check_trunk(settings: ClassifierSettings, trunk_state: Mapping[str, Tensor] | None) -> None:
    needed = settings.weights == "imagenet"
    if needed != (trunk_state is not None):
        raise ClassifierError(
            "`imagenet` needs the tensors of a trunk" if needed else "`scratch` takes no trunk",
            where="metrics: classifier: weights",
            found="no trunk" if needed else "a trunk",
            fix="Give torchvision's inception_v3 and set `weights: imagenet`, or neither.",
        )


def _classes(training: StyledSlices, heldout: StyledSlices) -> tuple[str, ...]:
    """The styles of training, sorted; raises where the two sides cannot be trained on and measured with."""
    classes = tuple(sorted(map(str, set(training.styles))))
    shared = sorted(set(training.patients) & set(heldout.patients))
    unknown = sorted(set(heldout.styles) - set(classes))
    faults = [
        (len(classes) < 2, "fewer than two styles to tell apart", classes, "two or more among the training slices"),
        (len(heldout.slices) == 0, "no held-out slices", 0, "test patients of a cohort that has training patients"),
        (bool(shared), "patients both trained on and held out", shared, "none"),
        (bool(unknown), "held-out slices in styles that were not trained on", unknown, classes),
    ]
    for faulty, what, found, expected in faults:
        if faulty:
            raise ClassifierError(
                what,
                where="grey-scale classifier",
                found=found,
                expected=expected,
                fix="Look at the columns `style` and `side` of results/styles/split.tsv.",
            )
    return classes


def _score(classifier: Classifier, heldout: StyledSlices) -> dict[str, Any]:
    probabilities = classifier.probabilities(heldout.slices)
    truth = np.searchsorted(classifier.classes, heldout.styles)
    predicted = probabilities.argmax(axis=1)
    right, styles = [], []
    for scan in np.unique(heldout.scans):
        of_scan = heldout.scans == scan
        votes = np.bincount(predicted[of_scan], minlength=len(classifier.classes))
        # the mean probability, below one vote, decides ties only
        decided = (votes + 0.5 * probabilities[of_scan].mean(axis=0)).argmax()
        styles.append(truth[of_scan][0])
        right.append(decided == styles[-1])
    return {
        "heldout_accuracy": float((predicted == truth).mean()),
        "heldout_accuracy_scans": float(np.mean(right)),
        "heldout_majority": float(np.bincount(styles).max() / len(styles)),
    }


def _styled(archive: Archive, window: Window) -> StyledSlices:
    text = {name: archive.rows[name].to_numpy(str) for name in ("style", "patient", "scan")}
    return StyledSlices(
        slices=window.to_unit(archive.hu()), styles=text["style"], patients=text["patient"], scans=text["scan"]
    )


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}


def _digest(network: nn.Module) -> str:
    """SHA-256 of the tensors as safetensors lays them out."""
    return hashlib.sha256(safetensors.torch.save(_tensors(network))).hexdigest()
