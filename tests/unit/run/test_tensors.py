"""Every kind of tensor file: whatever is wrong with it, its own error names the file, and no other value is loaded."""

import json
import os
import re
import stat
import struct

import pytest
import safetensors.torch
import torch

from ctstyle.encoders.network import WrongArchitecture, build
from ctstyle.encoders.weights import INCEPTION, Weights, random
from ctstyle.errors import CTStyleError
from ctstyle.run.tensors import Kind
from ctstyle.segment.unet import build_unet, load_unet, save_unet
from ctstyle.study.analysis import UNetSettings
from ctstyle.study.networks import CRNSettings, GeneratorSettings
from ctstyle.transfer.apply import load_model
from ctstyle.transfer.contextual import CRN, ContextualTransformation
from ctstyle.transfer.cyclegan import CycleGAN, ResNetGenerator
from ctstyle.transfer.generator import MODEL
from tests.bundles import random_generator

UNET = UNetSettings(channels=(4, 8), strides=(2,), residual_units=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A good file of every kind by its name, and what loads it."""
    folder, generator = tmp_path_factory.mktemp("files"), random_generator()
    encoder = generator.encoder
    state, origin = {"features.0.weight": torch.rand(2, 3), "features.0.bias": torch.rand(2)}, ("x",) * 5
    saves = {
        "encoder": Weights(state, *origin, licence="x").save,
        "inception": lambda path: INCEPTION.save(path, state, {}),
        "generator": lambda path: generator.save(path, model="ours"),
        "contextual": ContextualTransformation(encoder, {"s2": CRN(CRNSettings(channels=4), size_px=(32, 32))}).save,
        "cyclegan": CycleGAN({"s2": ResNetGenerator(GeneratorSettings(channels=4, blocks=1))}).save,
        "unet": lambda path: save_unet(build_unet(UNET, seed=0), UNET, path),
    }
    loads = dict.fromkeys(("generator", "contextual", "cyclegan"), lambda path: load_model(path, encoder))
    loads |= {"encoder": Weights.load, "inception": INCEPTION.load, "unet": load_unet}
    made = {}
    for name, save in saves.items():
        save(folder / f"{name}.safetensors")
        loads[name](folder / f"{name}.safetensors")
        made[name] = (folder / f"{name}.safetensors", loads[name])
    return made


KINDS = ("encoder", "inception", "generator", "contextual", "cyclegan", "unet")


def refused(load, path):
    """The message of the one error that `load` raises."""
    with pytest.raises(Exception) as caught:
        load(path)
    error = caught.value
    assert type(error).__module__.startswith("ctstyle.") and str(path) in str(error), repr(error)
    assert error.found and error.expected and error.fix and str(error).isprintable()
    return str(error)


def header_of(data):
    """The header of a file and where its tensors begin."""
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), 8 + size


def with_header(data, header):
    """The file with another header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[header_of(data)[1] :]


def with_text(data, text):
    """The file with another text where kind, facts and digest stand."""
    header, _ = header_of(data)
    return with_header(data, header | {"__metadata__": {"ctstyle": text}})


DAMAGE = {
    "empty": lambda data: b"",
    "text": lambda data: b"not tensors at all",
    "cut": lambda data: data[:-7],
    "cut in the header": lambda data: data[:60],
    "grown": lambda data: data + bytes(8),
    "a flipped bit": lambda data: data[:-3] + bytes([data[-3] ^ 4]) + data[-2:],
    "a header of 2^60 bytes": lambda data: struct.pack("<Q", 1 << 60) + data[8:],
    "no facts": lambda data: with_header(data, {k: v for k, v in header_of(data)[0].items() if k != "__metadata__"}),
    "facts that are no JSON": lambda data: with_text(data, "{"),
    "facts that are a list": lambda data: with_text(data, "[1]"),
    "facts of depth": lambda data: with_text(data, "[" * 100_000),
    "facts of 2 MB": lambda data: with_text(data, json.dumps("x" * 2_000_000)),
    "facts with escapes": lambda data: with_text(data, json.dumps({"kind": "\x1b[2J\x07SOUND"})),
    "no digest": lambda data: with_text(
        data,
        json.dumps(
            {k: v for k, v in json.loads(header_of(data)[0]["__metadata__"]["ctstyle"]).items() if k != "sha256"}
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_error_of_its_kind(files, tmp_path, kind, damage):
    good, load = files[kind]
    path = tmp_path / "file.safetensors"
    path.write_bytes(DAMAGE[damage](good.read_bytes()))
    refused(load, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_without_a_file_is_named_and_never_waited_for(files, tmp_path, kind):
    _, load = files[kind]
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "gone", tmp_path, tmp_path / "fifo"):
        refused(load, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_refused(files, kind):
    models = ("generator", "contextual", "cyclegan")
    for other in KINDS:
        if other != kind and not (kind in models and other in models):
            assert "its kind is" in refused(files[kind][1], files[other][0])


TENSORS = {
    "NaN": lambda value: value * float("nan"),
    "infinite": lambda value: value / 0,
    "another shape": lambda value: value[None],
    "another type": lambda value: value.to(torch.float64),
    "whole numbers": lambda value: value.to(torch.int32),
}


@pytest.mark.parametrize("kind", ["generator", "contextual", "cyclegan", "unet"])
@pytest.mark.parametrize("change", [*TENSORS, "missing", "one more"])
def test_tensors_that_do_not_fit_are_refused_whoever_wrote_the_digest(files, tmp_path, kind, change):
    good, load = files[kind]
    forger = MODEL if kind != "unet" else Kind("U-Net", CTStyleError, "")
    state, facts = forger.load(good)
    key = next(iter(state))
    if change in TENSORS:
        state[key] = TENSORS[change](state[key])
    elif change == "missing":
        del state[key]
    else:
        state["one.more"] = torch.zeros(3)
    forger.save(tmp_path / "forged.safetensors", state, facts)
    assert key in refused(load, tmp_path / "forged.safetensors") or change in ("one more", "infinite")


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("generator", {"channels": 10**12}),
        ("generator", {"stride": "4"}),
        ("generator", {"scale": -1.0}),
        ("generator", {"scale": "1"}),
        ("generator", {"statistics": "skin"}),
        ("generator", {"adain_tap": "relu9_9"}),
        ("generator", {"kind": []}),
        ("contextual", {"crn": {"channels": 10**9}}),
        ("contextual", {"crn": {"layers": 3}}),
        ("contextual", {"size_px": None}),
        ("contextual", {"styles": ["s2", "s3"]}),
        ("cyclegan", {"generator": {"channels": 10**9}}),
        ("cyclegan", {"styles": 5}),
        ("unet", {"channels": [10**9, 10**9]}),
        ("unet", {"residual_units": 10**9}),
        ("unet", {"strides": "2"}),
        ("unet", {"width": 3}),
    ],
)
def test_facts_that_no_such_file_has_are_refused_and_nothing_is_allocated(files, tmp_path, kind, facts):
    good, load = files[kind]
    forger = MODEL if kind != "unet" else Kind("U-Net", CTStyleError, "")
    state, known = forger.load(good)
    forger.save(tmp_path / "forged.safetensors", state, known | facts)
    refused(load, tmp_path / "forged.safetensors")


def test_an_encoder_takes_no_tensor_of_another_type_and_no_impossible_preprocessing():
    state = dict(random("vgg16", seed=0).state)
    with pytest.raises(WrongArchitecture, match=r"features\.0\.bias.*torch\.float64"):
        build("vgg16", state | {"features.0.bias": state["features.0.bias"].double()})
    for mean, std in (([0.0, 0, 0], [1.0, 0, 1]), ([0.0, 0], [1.0, 1, 1]), ([float("nan"), 0, 0], [1.0, 1, 1])):
        with pytest.raises(WrongArchitecture, match="preprocessing"):
            build("vgg16", state | {"preprocessing.mean": torch.tensor(mean), "preprocessing.std": torch.tensor(std)})


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o007])
def test_the_same_content_gives_the_same_bytes_and_the_users_mode(tmp_path, umask):
    kind, state = Kind("example", CTStyleError, "a test"), {"a": torch.rand(3), "b": torch.rand(2, 2)}
    before = os.umask(umask)
    try:
        for name in ("one", "two"):
            kind.save(tmp_path / name, state, {"z": 1, "a": [1.5]})
    finally:
        os.umask(before)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o666 & ~umask
    assert {one.name for one in tmp_path.iterdir()} == {"one", "two"}
    loaded, facts = kind.load(tmp_path / "one")
    assert facts == {"z": 1, "a": [1.5]} == kind.facts(tmp_path / "one")
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert safetensors.torch.load_file(tmp_path / "one").keys() == state.keys()  # any other program reads it too


def test_nothing_of_the_library_makes_files_that_only_the_user_may_read(root):
    """What these make is private whatever the umask; temporary folders are, but not what is moved out of them."""
    makers = re.compile(r"\b(save_file|NamedTemporaryFile|mkstemp)\(")
    found = [path.name for path in (root / "ctstyle").rglob("*.py") if makers.search(path.read_text())]
    assert found == []
