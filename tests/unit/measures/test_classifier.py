"""The grey-scale classifier: it learns, its statistics and its ImageNet input equal float64 and torchvision, and it
refuses what would make its accuracy a lie."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torchvision.transforms.functional import normalize

import ctstyle.measures.classifier as module
from ctstyle.measures.classifier import Classifier, ClassifierError, StyledSlices, classifier_sides, train_classifier
from ctstyle.measures.inception import inception, initialise, prepare
from ctstyle.slices.archive import Archive, ScanFiles, write_scan
from ctstyle.slices.window import Window
from ctstyle.study.analysis import ClassifierSettings
from tests.killed import killed_and_resumed

SIZE = 76
STYLES = ("bright", "dark", "noisy")


def styled(patients: list[str], seed: int, per_scan: int = 2) -> StyledSlices:
    """Every patient (a disc of its own size and place) in three grey scales."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    slices, styles, owners = [], [], []
    for patient in patients:
        for style in STYLES:
            for _ in range(per_scan):
                row, column, radius = rng.uniform((0.4, 0.4, 0.2), (0.6, 0.6, 0.35))
                disc = ((y - row) ** 2 + (x - column) ** 2 < radius**2).astype(float)
                grey = {"bright": 0.2 + 0.7 * disc, "dark": 0.2 + 0.2 * disc, "noisy": 0.2 + 0.45 * disc}[style]
                noise = 0.15 if style == "noisy" else 0.01
                slices.append(grey + noise * rng.standard_normal(disc.shape))
                styles.append(style)
                owners.append(patient)
    scans = np.char.add(np.char.add(owners, "-"), styles)
    stack = np.stack(slices).clip(0, 1).astype(np.float32)
    return StyledSlices(slices=stack, styles=np.array(styles), patients=np.array(owners), scans=scans)


TRAINING, HELDOUT = styled(["p0", "p1", "p2", "p3"], 0), styled(["q0", "q1", "q2"], 1)


@pytest.fixture(scope="module")
def trained() -> tuple[Classifier, pd.DataFrame]:
    return train_classifier(TRAINING, HELDOUT, ClassifierSettings(steps=16, batch=6), seed=0)


@pytest.fixture(scope="module")
def trunk() -> dict[str, torch.Tensor]:
    """Tensors as in torchvision's ImageNet file, auxiliary head and thousand classes included, but random."""
    network = torchvision.models.inception_v3(weights=None, aux_logits=True, init_weights=False)
    initialise(network, seed=3)
    return network.state_dict()


def test_learns_the_grey_scale_of_unseen_patients(trained):
    classifier, history = trained
    assert classifier.classes == STYLES and classifier.chance == pytest.approx(1 / 3)
    assert classifier.heldout_accuracy > 0.85 and classifier.heldout_accuracy_scans > 0.85
    assert (classifier.heldout_slices, classifier.heldout_scans, classifier.heldout_majority) == (18, 9, 1 / 3)
    assert not classifier.near_chance and replace(classifier, heldout_accuracy_scans=4 / 9).near_chance
    assert list(history.columns) == ["step", "loss", "accuracy"] and len(history) == 16
    assert history["loss"].iloc[-5:].mean() < history["loss"].iloc[0] == pytest.approx(np.log(3), rel=0.05)


def test_probabilities_do_not_depend_on_the_batch(trained):
    classifier, _ = trained
    whole = classifier.probabilities(HELDOUT.slices)
    assert whole.dtype == np.float64 and whole.shape == (18, 3)
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-12)
    for batch in (1, 7):
        np.testing.assert_allclose(classifier.probabilities(HELDOUT.slices, batch=batch), whole, atol=2e-5)
    assert classifier.probabilities(HELDOUT.slices[:0]).shape == (0, 3)


def test_a_saved_classifier_is_the_same(trained, tmp_path):
    classifier, _ = trained
    classifier.save(tmp_path / "c.safetensors")
    loaded = Classifier.load(tmp_path / "c.safetensors")
    np.testing.assert_array_equal(
        loaded.probabilities(HELDOUT.slices[:4]), classifier.probabilities(HELDOUT.slices[:4])
    )
    about = loaded.about()
    assert about == classifier.about()
    name = "Inception-v3, trained from scratch, 16 steps, on this run's training patients"
    assert about["true_name"] == name and about["near_chance"] is False and len(about["sha256"]) == 64
    whole = (tmp_path / "c.safetensors").read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    for data in (b"nothing", whole[:-8], flipped, whole.replace(b"trained from scratch", b"trained by somebody ", 1)):
        (tmp_path / "d.safetensors").write_bytes(data)
        with pytest.raises(ClassifierError, match=r"d\.safetensors: this file holds no grey-scale classifier"):
            Classifier.load(tmp_path / "d.safetensors")


def test_same_seed_same_classifier(monkeypatch):
    monkeypatch.setattr(module, "SETTLING_BATCHES", 1)
    settings = ClassifierSettings(steps=2, batch=3)
    runs = [
        train_classifier(TRAINING, HELDOUT, replace(settings, shift_px=shift), seed=seed)[0].about()["sha256"]
        for seed, shift in ((0, 4), (0, 4), (1, 4), (0, 0))
    ]
    assert runs[0] == runs[1] and len(set(runs)) == 3


@pytest.mark.parametrize("weights", ["scratch", "imagenet"])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, trunk, weights):
    monkeypatch.setattr(module, "SETTLING_BATCHES", 1)
    settings = ClassifierSettings(steps=4, batch=3, weights=weights, size_px=75)
    given = trunk if weights == "imagenet" else None

    def trained(checkpoint=None):
        return train_classifier(TRAINING, HELDOUT, settings, seed=0, trunk_state=given, checkpoint=checkpoint)

    (whole, history), (resumed, rows) = trained(), killed_and_resumed(trained, tmp_path, stop=2)
    assert resumed.about() == whole.about() and rows.equals(history)


def test_batch_norm_takes_the_statistics_of_the_training_slices(monkeypatch):
    monkeypatch.setattr(module, "SETTLING_BATCHES", 2)
    images = torch.rand(2, 1, 75, 75, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 1.0]).reshape(
        2, 1, 1, 1
    )
    network = inception(2)
    initialise(network, seed=0)
    layer = network.Conv2d_1a_3x3
    module._settle_batch_norm(network, images, torch.tensor([0, 1]), seed=0)
    rgb = (2 * images.double() - 1).expand(-1, 3, -1, -1)
    maps = torch.nn.functional.conv2d(rgb, layer.conv.weight.double(), stride=2)
    torch.testing.assert_close(layer.bn.running_mean.double(), maps.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.bn.running_var.double(), maps.var(dim=(0, 2, 3)), rtol=2e-3, atol=1e-6)
    assert layer.bn.momentum == 0.1 and not network.training


def test_the_head_on_an_imagenet_trunk_is_fed_as_torchvision_does(trunk):
    settings = ClassifierSettings(weights="imagenet", steps=60, batch=6, size_px=75, learning_rate=1e-2)
    classifier, history = train_classifier(TRAINING, HELDOUT, settings, seed=0, trunk_state=trunk)
    assert history["loss"].iloc[-10:].mean() < 0.75 * history["loss"].iloc[0]
    assert "frozen ImageNet trunk" in classifier.true_name
    state = classifier.network.state_dict()
    assert all(torch.equal(trunk[key], value) for key, value in state.items() if not key.startswith("fc."))

    reference = torchvision.models.inception_v3(
        weights=None, aux_logits=False, transform_input=True, init_weights=False, num_classes=3
    )
    reference.load_state_dict(state)
    images = torch.nn.functional.interpolate(
        torch.from_numpy(HELDOUT.slices[:4])[:, None], size=(75, 75), mode="bilinear", antialias=True
    ).expand(-1, 3, -1, -1)
    with torch.no_grad():
        logits = reference.eval()(normalize(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    np.testing.assert_allclose(classifier.probabilities(HELDOUT.slices[:4]), logits.softmax(1), atol=1e-5)


def test_slices_are_resized_by_their_shorter_side():
    images = prepare(np.full((2, 80, 160), 0.25, np.float32), 100)
    assert images.shape == (2, 1, 100, 200) and float(images.min()) == float(images.max()) == 0.25
    assert prepare(np.zeros((2, 80, 160), np.float32), 0).shape == (2, 1, 80, 160)


def test_every_style_is_drawn_equally_often():
    labels = np.repeat([0, 1, 2], [50, 2, 8])
    drawn = np.concatenate([module._balanced(labels, 6, np.random.default_rng(i)) for i in range(40)])
    assert np.bincount(labels[drawn]).tolist() == [80, 80, 80]
    assert len(set(drawn[labels[drawn] == 0])) > 30


def test_moving_keeps_grey_values_and_stays_within_the_shift():
    image = torch.zeros(200, 1, 20, 20)
    image[:, 0, 10, 8] = 0.7
    moved = module._move(image, 3, np.random.default_rng(0))
    assert moved.shape == image.shape and set(moved.unique().tolist()) == set(image.unique().tolist())
    _, _, rows, columns = moved.nonzero(as_tuple=True)
    assert set(rows.tolist()) == set(range(7, 14))
    # column 8, or 11 where mirrored
    assert set(columns.tolist()) == set(range(5, 15))
    still = module._move(image, 0, np.random.default_rng(0)).nonzero(as_tuple=True)[3]
    assert set(still.tolist()) == {8, 11} and 60 < int((still == 8).sum()) < 140


def test_most_slices_of_a_scan_decide():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    fake = SimpleNamespace(classes=("a", "b"), probabilities=lambda slices: p)
    # scan 1: one vote for a, two for b, though a has more probability; scan 2: a tie that probability decides for a
    scans, styles = np.array(["1", "1", "1", "2", "2", "3"]), np.array(["b", "b", "b", "a", "a", "a"])
    heldout = StyledSlices(slices=np.zeros((6, 1, 1), np.float32), styles=styles, patients=scans, scans=scans)
    assert module._score(fake, heldout) == {
        "heldout_accuracy": pytest.approx(3 / 6),
        "heldout_accuracy_scans": pytest.approx(2 / 3),
        "heldout_majority": pytest.approx(2 / 3),
    }


def only(slices: StyledSlices, chosen: np.ndarray) -> StyledSlices:
    return StyledSlices(**{key: value[chosen] for key, value in vars(slices).items()})


@pytest.mark.parametrize(
    ("training", "heldout", "settings", "match"),
    [
        (TRAINING, TRAINING, {}, "both trained on and held out.*p0"),
        (only(TRAINING, TRAINING.styles == "dark"), HELDOUT, {}, "fewer than two styles"),
        (only(TRAINING, TRAINING.styles != "dark"), HELDOUT, {}, "not trained on.*dark"),
        (TRAINING, only(HELDOUT, HELDOUT.styles == ""), {}, "no held-out slices"),
        (TRAINING, HELDOUT, {"size_px": 74}, "too small.*74 px"),
        (TRAINING, HELDOUT, {"weights": "imagenet"}, "needs the tensors of a trunk"),
    ],
)
def test_what_would_spoil_the_accuracy_is_refused(training, heldout, settings, match):
    with pytest.raises(ClassifierError, match=match):
        train_classifier(training, heldout, ClassifierSettings(steps=1, batch=3, **settings), seed=0)


def test_another_architecture_is_no_trunk(trunk):
    settings = ClassifierSettings(weights="imagenet", steps=1, size_px=75)
    key = "Mixed_7c.branch1x1.conv.weight"
    for state in ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, {**trunk, key: torch.zeros(1, 2, 3, 3)}):
        with pytest.raises(ClassifierError, match="not torchvision's Inception-v3"):
            train_classifier(TRAINING, HELDOUT, settings, seed=0, trunk_state=state)
    with pytest.raises(ClassifierError, match="takes no trunk"):
        train_classifier(TRAINING, HELDOUT, ClassifierSettings(steps=1), seed=0, trunk_state=trunk)


def test_the_sides_are_training_patients_and_test_patients_of_their_cohorts(tmp_path):
    split = pd.DataFrame(
        [
            ("a1", "p1", "a", "s1", "train"),
            ("a2", "p2", "a", "s2", "val"),
            ("a3", "p3", "a", "s2", "test"),
            ("b1", "p4", "b", "s1", "test"),
        ],
        columns=["scan", "patient", "cohort", "style", "side"],
    )
    for number, row in split.iterrows():
        hu = np.full((2, 4, 4), 250 * number, np.int16)
        rows = pd.DataFrame({"index": [0, 1], "orientation": "axial", "sop_instance_uid": "", "sha256": ""})
        rows[["position_mm", "row0_mm", "column0_mm", "level", "foreground_px"]] = 0
        files = ScanFiles.beside(tmp_path / f"{row['scan']}.hu.npy")
        names = {key: row[key] for key in ("scan", "patient", "cohort")}
        about = {"acquisition": {}, "grey_values": "hounsfield", "spacing_mm": 2.0}
        write_scan(files, hu=hu, labels=np.zeros_like(hu, np.uint8), rows=rows, **names, **about)
    archive = Archive.open(sorted(map(str, tmp_path.glob("*.hu.npy")))).join(split)
    training, heldout = classifier_sides(archive, Window(-250, 750))
    assert training.scans.tolist() == ["a1"] * 2 and training.styles.tolist() == ["s1"] * 2
    assert heldout.patients.tolist() == ["p3"] * 2 and heldout.styles.tolist() == ["s2"] * 2
    assert np.all(training.slices == 0.25) and np.all(heldout.slices == 0.75)
