"""The bundle: it serves as the generator did, and whatever is no whole bundle is refused by name."""

import json
import struct

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from ctstyle.encoders.weights import random
from ctstyle.slices.archive import Archive, ScanFiles, write_scan
from ctstyle.transfer.about import NotABundle, UnknownStyle, read_about, style_name
from ctstyle.transfer.bundle import Bundle
from ctstyle.transfer.moments import moments
from tests.bundles import SETTINGS, random_bundle, random_generator


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "seed0.bundle.safetensors"
    bundle = random_bundle()
    bundle.save(path)
    return bundle, path


@torch.no_grad()
def test_a_loaded_bundle_generates_the_same_bits_and_is_small(saved):
    bundle, path = saved
    loaded = Bundle.load(path)
    x = torch.rand(2, 1, 48, 64, generator=torch.Generator().manual_seed(0))
    body = torch.ones(2, 48, 64, dtype=torch.bool)
    for name in ("s1", "s2"):
        one, two = (
            each.generator.generate_from_statistics(
                x, each.styles[name].mean, each.styles[name].deviation, content_body=body
            )
            for each in (bundle, loaded)
        )
        assert torch.equal(one, two)
    assert loaded.slices == bundle.slices and loaded.model == "ours"
    # VGG16 to relu3_1 and its mirror, float32; the whole trunk alone would be 59 MB
    assert path.stat().st_size < 4 * (555_328 + 553_921 + 2000)


def test_the_styles_of_a_run_are_those_of_its_training_slices(tmp_path):
    generator, rows, paths = random_generator(), [], []
    for number, (scan, side) in enumerate((("a", "train"), ("b", "train"), ("c", "test"))):
        y, x = np.mgrid[:48, :48]
        hu = np.where(np.hypot(y - 24, x - 24) < 18, 100 * number, -1000).astype(np.int16)[None].repeat(2, 0)
        hu[1] += 50
        files = ScanFiles.beside(tmp_path / f"{scan}.hu.npy")
        frame = pd.DataFrame(
            {"index": [0, 1], "orientation": "axial", "position_mm": 0.0, "row0_mm": 0.0, "column0_mm": 0.0}
        )
        frame = frame.assign(sop_instance_uid="", level=0, foreground_px=0, sha256="")
        about = {"scan": scan, "patient": scan, "cohort": "x", "acquisition": {}, "grey_values": "hounsfield"}
        write_scan(files, hu=hu, labels=np.zeros_like(hu), rows=frame, spacing_mm=3.0, **about)
        paths.append(files.hu)
        rows.append({"scan": scan, "patient": scan, "style": "s1", "side": side})
    archive = Archive.open(paths).join(pd.DataFrame(rows))
    hints = pd.Series({"a": "standard", "b": "standard", "c": "sharp"})
    bundle = Bundle.of(generator, archive, SETTINGS, hints=hints, model="ours", weights=random("vgg16", seed=0))
    (style,) = bundle.styles.values()
    assert (style.name, style.hint, style.slices) == ("s1", "standard", 4)
    training = np.concatenate([np.load(path) for path in paths[:2]])
    mean, deviation = moments(generator, training, window=SETTINGS.window).pooled()
    torch.testing.assert_close(style.mean, mean)
    torch.testing.assert_close(style.deviation, deviation)


def _truncated(path, data):
    path.write_bytes(data[:-100])


def _one_bit(path, data):
    path.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])


def _text(path, data):
    path.write_text("not tensors")


def _generator(path, data):
    random_generator().save(path)


def _plain(path, data):
    safetensors.torch.save_file({"x": torch.zeros(2)}, path)


def _newer(path, data):
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header["__metadata__"]["ctstyle"]) | {"version": 2}
    header["__metadata__"]["ctstyle"] = json.dumps(about)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_truncated, "no generator bundle"),
        (_one_bit, "the bundle is damaged.*SHA-256"),
        (_text, "no generator bundle"),
        (_generator, "known here.*found None, version None"),
        (_plain, "no 'ctstyle' in its metadata"),
        (_newer, "known here.*version 2.*expected.*version 1"),
    ],
)
def test_what_is_no_whole_bundle_is_refused(saved, tmp_path, change, message):
    path = tmp_path / "other.safetensors"
    change(path, saved[1].read_bytes())
    with pytest.raises(NotABundle, match=message) as caught:
        Bundle.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_bundle_is_named(tmp_path):
    with pytest.raises(NotABundle, match=r"gone\.safetensors"):
        read_about(tmp_path / "gone.safetensors")


def test_a_style_is_found_by_name_or_by_a_hint_of_its_own(saved):
    about = read_about(saved[1])
    assert style_name(about, "s2") == style_name(about, "sharp") == "s2"
    with pytest.raises(UnknownStyle, match=r"no such style.*found s9, expected s1 \(standard\) \| s2 \(sharp\)"):
        style_name(about, "s9")
    about["styles"][0]["hint"] = "sharp"
    with pytest.raises(UnknownStyle, match="several styles bear this hint"):
        style_name(about, "sharp")
