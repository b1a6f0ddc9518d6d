"""The bundle: it serves as the generator did, and whatever is no whole bundle is refused by name."""

import dataclasses
import json
import random as drawing
import struct
from functools import partial

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from ctstyle.encoders.weights import random
from ctstyle.run.tensors import state_digest
from ctstyle.slices.archive import Archive, ScanFiles, write_scan
from ctstyle.slices.window import Window
from ctstyle.transfer.about import (
    BUNDLE,
    LONGEST_HINT,
    NotABundle,
    UnknownStyle,
    check_about,
    plain,
    read_about,
    style_name,
)
from ctstyle.transfer.bundle import Bundle, _tensors, moments
from tests.bundles import SETTINGS, random_bundle, random_generator
from tests.damage import mutated


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
            each.generator.generate_from_maps(
                each.generator.encode(x), each.styles[name].mean, each.styles[name].deviation, content_body=body
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
    mean, deviation = moments(generator, training, window=Window(*SETTINGS.window_hu)).pooled()
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
    path.write_bytes(data)
    state, about = BUNDLE.load(path)
    BUNDLE.save(path, state, about | {"version": 3})


EDITS = (
    ('"scale": 0.8', '"scale": 0.9'),
    ('"window_hu": [-250, 750]', '"window_hu": [-250, 950]'),
    ('"hint": "sharp"', '"hint": "harsh"'),
    ('"name": "s1"', '"name": "s3"'),
    ('"spacing_mm": 3.0', '"spacing_mm": 3.1'),
    ('"statistics": "body"', '"statistics": "slice"'),
    ('"scale": 0.8', '"scale": 1e999'),
)
"""What an editor changes in the header: the old digest, which covered the tensors alone, saw none of it."""


def _edited(path, data, old, new):
    old, new = (json.dumps(text)[1:-1].encode() for text in (old, new))
    assert data.count(old) == 1
    size = struct.unpack("<Q", data[:8])[0]
    header = data[8 : 8 + size].rstrip().replace(old, new)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + size :])


_nan = partial(_edited, old='"scale": 0.8', new='"scale": NaN')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_truncated, "no generator bundle"),
        (_one_bit, "the file is damaged: its SHA-256"),
        (_text, "no generator bundle"),
        (_generator, "its kind is 'trained model', not 'generator bundle'"),
        (_plain, "no `ctstyle` in its header"),
        (_newer, r"version: 2 was expected.*expected a whole file of the rule bundle_generator \(version 2\)"),
        (_nan, "NaN in its facts"),
        *((partial(_edited, old=old, new=new), "damaged: its SHA-256") for old, new in EDITS),
    ],
)
def test_what_is_no_whole_bundle_is_refused(saved, tmp_path, change, message):
    path = tmp_path / "other.safetensors"
    change(path, saved[1].read_bytes())
    with pytest.raises(NotABundle, match=message) as caught:
        Bundle.load(path)
    assert str(path) in str(caught.value)


def facts_of(bundle):
    """All that a bundle knows beside its tensors."""
    styles = [(one.name, one.hint, one.slices) for one in bundle.styles.values()]
    return bundle.model, bundle.generator.about(), bundle.slices, styles, bundle.weights


def outcome(path):
    """ "refused", or facts and digest of the bundle that was loaded. Any other exception than NotABundle is a fault."""
    try:
        bundle = Bundle.load(path)
    except NotABundle as error:
        assert str(path) in str(error) and str(error).isprintable()
        return "refused"
    return facts_of(bundle), state_digest(_tensors(bundle.generator.encoder, bundle.generator, bundle.styles))


HOSTILE = (
    "\x1b[2J",
    "../../x",
    "",
    "s1\n",
    10**400,
    1 << 40,
    -1,
    0,
    1e-320,
    1e300,
    96.5,
    True,
    None,
    [],
    {},
    [[0]],
    "s" * 999,
)


def places(value, path=()):
    """Every place of a tree of JSON."""
    yield path
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(below, (*path, key))


def changed_at(value, path, new):
    """A tree of JSON with one place changed."""
    if not path:
        return new
    value = value.copy()
    value[path[0]] = changed_at(value[path[0]], path[1:], new)
    return value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("generator", "channels"), 10**12, "a decoder of another tap"),
        (("generator", "stride"), 16, "a decoder of another tap"),
        (("generator", "encoder"), "vgg99", "vgg99"),
        (("generator", "adain_tap"), "relu9_1", "relu9_1"),
        (("generator", "scale"), -0.8, "scale"),
        (("generator", "statistics"), "skin", "skin"),
        (("slices", "window_hu"), [750, -250], "window_hu.*the first below the second"),
        (("slices", "size_px"), 10**9, "size_px"),
        (("styles", 0, "name"), "../s1", "name"),
        (("styles", 0, "name"), "s2", "two styles of one name"),
        (("styles", 0, "hint"), "\x1b[2Jsharp", r"hint: '\\x1b\[2Jsharp' does not match"),
        (("styles", 0, "hint"), "\u202eprahs", "hint"),
        (("styles", 0, "hint"), "a" * 65, "hint"),
        (("weights", "true_name"), "$x", "true_name"),
        (("weights",), {}, "weights"),
        (("slices",), None, "slices"),
    ],
)
def test_a_forger_who_writes_a_right_digest_still_meets_bounds_and_grammar(saved, tmp_path, path, value, message):
    state, about = BUNDLE.load(saved[1])
    forged = tmp_path / "forged.safetensors"
    BUNDLE.save(forged, state, changed_at(about, path, value))
    with pytest.raises(NotABundle, match=message) as caught:
        Bundle.load(forged)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["style.s1.deviation", "style.s2.mean", "preprocessing.std", "decoder.layers.0.bias"])
@pytest.mark.parametrize("change", [lambda t: t * float("nan"), lambda t: t[..., :-1], lambda t: t.double(), None])
def test_tensors_that_are_none_of_a_bundles_are_refused(saved, tmp_path, key, change):
    state, about = BUNDLE.load(saved[1])
    forged = tmp_path / "forged.safetensors"
    if change:
        state[key] = change(state[key])
    else:
        state[f"{key}.more"] = state.pop(key)
    BUNDLE.save(forged, state, about)
    assert outcome(forged) == "refused"


def test_a_hint_is_kept_in_signs_that_terminals_files_and_dicom_take_for_text():
    assert plain("GE STANDARD contrast", LONGEST_HINT) == "GE STANDARD contrast"
    assert plain("Köln: I70f\\3^=$\x1b[31m\n", LONGEST_HINT) == "Köln: I70f_3_____31m_"
    assert len(plain("a" * 999, LONGEST_HINT)) == LONGEST_HINT


@pytest.mark.slow
def test_a_fuzz_of_bundles_loads_identically_or_gives_the_one_error(saved, tmp_path):
    path, draw, whole = tmp_path / "fuzz.safetensors", drawing.Random(4), saved[1].read_bytes()
    other = tmp_path / "other.safetensors"
    random_bundle(dataclasses.replace(SETTINGS, spacing_mm=2.0)).save(other)
    known = {one.read_bytes(): outcome(one) for one in (saved[1], other)}
    assert len(set(map(repr, known.values()))) == 2 and "refused" not in known.values()
    other, begin = other.read_bytes(), 8 + struct.unpack("<Q", whole[:8])[0]
    for number in range(2000):
        if number % 4:  # the header is small, and all of the danger
            data = mutated(whole[:begin], other[:begin], draw) + whole[begin:]
        else:
            data = mutated(whole, other, draw)
        path.write_bytes(data)
        assert outcome(path) in ([known[data]] if data in known else ["refused", *known.values()]), number


@pytest.mark.slow
def test_a_fuzz_of_forged_facts_loads_what_they_say_or_gives_the_one_error(saved, tmp_path):
    path, draw = tmp_path / "forged.safetensors", drawing.Random(5)
    state, about = BUNDLE.load(saved[1])
    everywhere, loaded = list(places(about)), 0
    for number in range(2500):
        forged = changed_at(about, draw.choice(everywhere), draw.choice(HOSTILE))
        try:
            check_about(forged)
        except ValueError:
            continue
        BUNDLE.save(path, state, forged)
        if outcome(path) != "refused":
            loaded += 1
            again = tmp_path / "again.safetensors"
            Bundle.load(path).save(again)
            assert BUNDLE.facts(again) == forged, number
    assert loaded > 10


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
