"""LPIPS against an own float64 evaluation of its formula on torchvision's layers, and the honesty of its trunk."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from ctstyle.measures.perceptual import NoTrunk, build_lpips

lpips = pytest.importorskip("lpips")
HEADS = Path(lpips.__file__).parent / "weights" / "v0.1"
# the layers after which LPIPS reads AlexNet and VGG16 (Zhang et al. 2018), as numbers in torchvision's `features`
READ = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
BUILD = {"alex": torchvision.models.alexnet, "vgg": torchvision.models.vgg16}


@pytest.fixture(scope="module")
def trunks():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        states = {}
        for net in READ:
            with torch.device("meta"):
                features = BUILD[net](weights=None).features
            features = features.to_empty(device="cpu")
            for value in features.parameters():
                torch.nn.init.kaiming_normal_(value) if value.ndim > 1 else torch.nn.init.normal_(value, std=0.05)
            states[net] = {f"features.{key}": value.clone() for key, value in features.state_dict().items()}
    return states


def slices(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, size, size), dtype=np.float32)


def distance(perceptual, first, second, **how):
    rows = np.arange(len(first))
    return perceptual.between(np.concatenate([first, second]), rows, len(first) + rows, **how)


def reference(net: str, state: dict, first: np.ndarray, second: np.ndarray, mean, std) -> np.ndarray:
    """LPIPS by its formula: unit-length features, squared difference, linear head, position mean, sum of layers."""
    with torch.device("meta"):
        features = BUILD[net](weights=None).features
    features = features.to_empty(device="cpu").double()
    features.load_state_dict({key.removeprefix("features."): value.double() for key, value in state.items()})
    heads = torch.load(HEADS / f"{net}.pth", weights_only=True, map_location="cpu")
    mean, std = (torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (mean, std))
    x, y = ((torch.from_numpy(image)[:, None].double() - mean) / std for image in (first, second))
    total, layer = 0, 0
    for number, module in enumerate(features):
        x, y = module(x.clone()), module(y.clone())
        if number in READ[net]:
            unit = [z / (z.norm(dim=1, keepdim=True) + 1e-10) for z in (x, y)]
            weight = heads[f"lin{layer}.model.1.weight"].double()
            total = total + ((unit[0] - unit[1]) ** 2 * weight.reshape(1, -1, 1, 1)).sum(1).mean((1, 2))
            layer += 1
    return total.detach().numpy()


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_distance_follows_the_formula_with_the_trunk_given(net, trunks):
    perceptual = build_lpips(net, trunks[net], trunk="test weights")
    first, second = slices(2, seed=1), slices(2, seed=2)
    # LPIPS states ImageNet's mean and deviation rounded, for inputs in [-1, 1]
    mean = [(v + 1) / 2 for v in (-0.030, -0.088, -0.188)]
    std = [v / 2 for v in (0.458, 0.448, 0.450)]
    expected = reference(net, trunks[net], first, second, mean, std)
    assert distance(perceptual, first, second) == pytest.approx(expected, rel=1e-4)
    assert distance(perceptual, first, second, batch=1) == pytest.approx(expected, rel=1e-4)
    assert (distance(perceptual, first, first) == 0).all()


def test_a_trunk_may_bring_its_own_preprocessing(trunks):
    mean, std = [0.48, 0.46, 0.41], [1 / 255] * 3
    state = {**trunks["vgg"], "preprocessing.mean": torch.tensor(mean), "preprocessing.std": torch.tensor(std)}
    perceptual = build_lpips("vgg", state, trunk="another input scale")
    first, second = slices(1, seed=5), slices(1, seed=6)
    expected = reference("vgg", trunks["vgg"], first, second, mean, std)
    assert distance(perceptual, first, second) == pytest.approx(expected, rel=1e-3)


def test_another_trunk_gives_another_distance_and_carries_its_name(trunks):
    first, second = slices(1, seed=1), slices(1, seed=2)
    negated = {key: value.flip(0) for key, value in trunks["alex"].items()}
    one = build_lpips("alex", trunks["alex"], trunk="one")
    two = build_lpips("alex", negated, trunk="two (approximation)")
    assert distance(one, first, second) != pytest.approx(distance(two, first, second), rel=1e-3)
    assert one.name == "LPIPS 0.1 alex (one)" and "two (approximation)" in two.name


def test_building_does_not_touch_the_random_state(trunks):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    build_lpips("alex", trunks["alex"], trunk="one")
    assert torch.rand(1) == expected


def test_diversity_is_the_mean_over_pairs(trunks):
    perceptual = build_lpips("alex", trunks["alex"], trunk="one")
    outputs = slices(3, seed=4)
    pairs = [distance(perceptual, outputs[[i]], outputs[[j]])[0] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert perceptual.diversity(outputs) == pytest.approx(np.mean(pairs), rel=1e-5)
    assert perceptual.diversity(outputs[:1].repeat(3, 0)) == pytest.approx(0, abs=1e-9)
    assert np.isnan(perceptual.diversity(outputs[:1]))


@pytest.mark.parametrize("net", READ)
def test_all_pairs_at_once_are_the_pairs_one_by_one(net, trunks):
    perceptual = build_lpips(net, trunks[net], trunk="random")
    outputs = slices(5)
    outputs[4] = outputs[0] + 1e-3  # nearly alike, where a difference of products could lose its digits
    found = perceptual.pairwise(outputs, batch=2)
    for row in range(5):
        one_by_one = distance(perceptual, outputs[[row]].repeat(5, 0), outputs)
        np.testing.assert_allclose(found[row], one_by_one, rtol=0, atol=1e-6)


def test_chosen_pairs_of_a_stack_are_those_pairs_one_by_one(trunks):
    perceptual = build_lpips("vgg", trunks["vgg"], trunk="random")
    stack, first, second = slices(5, 32), np.array([0, 4, 2, 2, 0]), np.array([1, 3, 2, 0, 1])
    found = perceptual.between(stack, first, second, batch=2)
    expected = distance(perceptual, stack[first], stack[second])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    assert found[2] == 0 and found[0] == found[4] > 0


def test_an_incomplete_trunk_is_refused(trunks):
    lacking = {key: value for key, value in trunks["vgg"].items() if key != "features.28.weight"}
    with pytest.raises(NoTrunk, match=r"features\.28\.weight"):
        build_lpips("vgg", lacking, trunk="half")
    with pytest.raises(NoTrunk, match="alex, vgg, squeeze"):
        build_lpips("resnet", {}, trunk="none")
