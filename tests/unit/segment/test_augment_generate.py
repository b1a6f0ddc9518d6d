"""Generation: pairing, masks carried, refusals counted, files read back, and the controls' histograms."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, stats
from skimage.exposure import match_histograms

from ctstyle.measures.structure import gradient_ssim, wasserstein1_hu
from ctstyle.segment.controls import PAINTERS, by_rank, histogram_painter, noise_painter
from ctstyle.segment.generate import (
    COLUMNS,
    Generated,
    Slices,
    choose_pairs,
    generate,
    lent_slices,
    network_painter,
    training_slices,
)
from ctstyle.segment.guard import counts
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings
from ctstyle.transfer.gallery import NothingToPair, pair_slices
from tests.synthetic_run import write_run, write_split

WINDOW = Window(-250, 750)


def trunks(count: int, shift: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Trunks in air with a vertebra of 300 HU at a random height, and their masks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96]
    hu, labels = np.full((count, 96, 96), -250.0), np.zeros((count, 96, 96), np.uint8)
    for image, marks in zip(hu, labels):
        texture = ndimage.gaussian_filter(rng.standard_normal((96, 96)), 2) * 100
        inside = ((x - 48) / 40) ** 2 + ((y - 48) / 30) ** 2 < 1
        vertebra = (x - 48) ** 2 + (y - rng.integers(52, 66)) ** 2 < 64
        image[inside] = 40 + shift + texture[inside]
        image[vertebra] = 300 + shift
        marks[vertebra] = 31
    return np.round(hu).astype(np.int16), labels


def slices(count: int, *, style: str, shift: int = 0, seed: int = 0, level=31) -> Slices:
    hu, labels = trunks(count, shift, seed)
    rows = pd.DataFrame({"scan": f"scan-{style}", "index": range(10, 10 + count), "level": level, "style": style})
    return Slices(hu=hu, labels=labels, rows=rows)


def shift_to_style(content_hu, style_hu, target_style, rng):
    """A perfect painter of this file's styles, which are shifts of the body's grey."""
    body = body_mask(content_hu, WINDOW)
    bodies = body_mask(style_hu, WINDOW)
    shift = [s[b].mean() - c[d].mean() for s, b, c, d in zip(style_hu, bodies, content_hu, body)]
    return np.where(body, content_hu + np.reshape(shift, (-1, 1, 1)), content_hu)


def test_masks_are_carried_and_every_slice_has_a_row():
    content, style = slices(5, style="s1"), slices(3, style="s2", shift=120, seed=9)
    made = generate(shift_to_style, content, style, AugmentSettings(batch=2), window=WINDOW, model="ours", seed=4)
    assert list(made.rows.columns) == COLUMNS
    assert made.hu.dtype == np.int16 and made.labels.dtype == np.uint8 and made.hu.shape == (5, 96, 96)
    assert np.array_equal(made.labels, content.labels)
    assert made.rows["index"].tolist() == made.rows["index"].sort_values().tolist() == list(range(5))
    assert made.rows["content_index"].tolist() == [10, 11, 12, 13, 14]
    assert set(made.rows["style_scan"]) == {"scan-s2"} and set(made.rows["target_style"]) == {"s2"}
    body = body_mask(content.hu, WINDOW)
    assert made.hu[body].mean() - content.hu[body].mean() == pytest.approx(120, abs=8)


def test_refused_slices_are_rows_without_pixels():
    content, style = slices(4, style="s1"), slices(2, style="s2", shift=120, seed=9)

    def second_one_is_broken(content_hu, style_hu, target_style, rng):
        painted = shift_to_style(content_hu, style_hu, target_style, rng)
        painted[1] = np.nan
        return painted

    made = generate(second_one_is_broken, content, style, AugmentSettings(), window=WINDOW, model="m", seed=0)
    assert made.rows["accepted"].tolist() == [1, 0, 1, 1]
    assert made.rows["index"].tolist() == [0, -1, 1, 2]
    assert np.array_equal(made.labels, content.labels[[0, 2, 3]])
    assert counts(made.rows["reason"])["accepted"] == 3 and counts(made.rows["reason"])["not finite"] == 1


def test_all_refused_is_an_empty_archive():
    content, style = slices(3, style="s1"), slices(2, style="s2", shift=120)
    flat = generate(
        lambda c, s, names, rng: np.full(c.shape, 40.0),
        content,
        style,
        AugmentSettings(),
        window=WINDOW,
        model="m",
        seed=0,
    )
    assert flat.hu.shape == (0, 96, 96) and flat.labels.shape == (0, 96, 96)
    assert (flat.rows["reason"] == "nearly constant").all()


def test_the_archive_reads_back(tmp_path):
    content, style = slices(3, style="s1"), slices(2, style="s2", shift=120)
    made = generate(shift_to_style, content, style, AugmentSettings(), window=WINDOW, model="ours", seed=1)
    paths = [tmp_path / name for name in ("seed1.hu.npy", "seed1.labels.npy", "seed1.tsv")]
    made.save(*paths)
    back = Generated.load(*paths)
    assert np.array_equal(back.hu, made.hu) and np.array_equal(back.labels, made.labels)
    pd.testing.assert_frame_equal(back.rows, made.rows, check_dtype=False)


def test_a_seed_repeats_and_another_seed_pairs_anew():
    content, style = slices(6, style="s1"), slices(9, style="s2", shift=120)
    arguments = {"window": WINDOW, "model": "noise", "guarded": False}
    one, two, three = (
        generate(noise_painter(WINDOW), content, style, AugmentSettings(), seed=seed, **arguments) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.hu, two.hu) and one.rows.equals(two.rows)
    assert one.rows["style_index"].tolist() != three.rows["style_index"].tolist()
    assert not np.array_equal(one.hu, three.hu)


def places(count: int, styles: dict[str, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `count` content slices and of so many slices of each style."""
    style = [{"level": 20 + k, "style": name} for name, number in styles.items() for k in range(number)]
    return pd.DataFrame({"level": range(20, 20 + count), "style": "s1"}), pd.DataFrame(style)


@pytest.mark.parametrize("per_content, expected", [(0.25, 9), (0.5, 18), (1, 36), (1.5, 54), (2, 72), (0.001, 1)])
def test_so_many_slices_are_painted_and_the_styles_have_equal_shares(per_content, expected):
    content, style = places(12, {"s2": 5, "s3": 4, "s4": 7})
    pairs = choose_pairs(content, style, AugmentSettings(per_content=per_content), seed=3)
    assert len(pairs) == expected
    shares = pairs["target_style"].value_counts()
    assert shares.max() - shares.min() <= 1 or expected == 1
    assert (style["style"].to_numpy()[pairs["style"]] == pairs["target_style"]).all()
    assert pairs["content"].value_counts().max() <= max(1, 2 * per_content) * 3


def test_fewer_slices_are_a_part_of_more_and_another_seed_takes_others():
    content, style = places(12, {"s2": 5, "s3": 4})
    few, more, all_of_them, other = (
        choose_pairs(content, style, AugmentSettings(per_content=share), seed=seed)
        for share, seed in ((0.25, 0), (0.5, 0), (1, 0), (0.25, 1))
    )
    known = [set(map(tuple, pairs.to_numpy())) for pairs in (few, more, all_of_them, other)]
    assert known[0] < known[1] < known[2] and known[0] != known[3]
    pd.testing.assert_frame_equal(all_of_them, pair_slices(content, style, seed=0))


@pytest.mark.parametrize("targets, expected", [(1, {"s2"}), (2, {"s2", "s3"}), (3, {"s2", "s3", "s4"})])
def test_fewer_targets_have_as_many_slices(targets, expected):
    content, style = places(7, {"s4": 3, "s2": 3, "s3": 3})
    pairs = choose_pairs(content, style, AugmentSettings(targets=targets), seed=0)
    assert len(pairs) == 21 and set(pairs["target_style"]) == expected
    assert set(style["style"].to_numpy()[pairs["style"]]) == expected
    made = generate(
        lambda c, s, names, rng: c,
        slices(3, style="s1"),
        Slices(
            *(np.concatenate([trunks(2)[k]] * 2) for k in (0, 1)),
            places(0, {"s2": 2, "s3": 2})[1].assign(scan="a", index=0),
        ),
        AugmentSettings(targets=min(targets, 2), per_content=0.5),
        window=WINDOW,
        model="m",
        seed=0,
        guarded=False,
    )
    assert len(made.hu) == 3 and set(made.rows["target_style"]) == expected & {"s2", "s3"}


def test_contents_and_styles_come_from_training_patients_alone():
    about = {
        "source": ("s1", "train", 9),
        "source-unmasked": ("s1", "train", 0),
        "source-test": ("s1", "test", 9),
        "other": ("s2", "train", 0),
        "other-val": ("s2", "val", 9),
    }
    rows = pd.DataFrame(
        [
            {"scan": scan, "index": i, "level": 31, "style": style, "side": side, "foreground_px": foreground * i}
            for scan, (style, side, foreground) in about.items()
            for i in range(2)
        ]
    )
    arrays = {scan: np.full((2, 4, 4), n, np.int16) for n, scan in enumerate(about)}
    content, style = training_slices(Archive(rows, {}, arrays, {k: v.astype(np.uint8) for k, v in arrays.items()}))
    assert content.rows["scan"].tolist() == ["source"] * 2 and (content.hu == 0).all() and content.hu.shape == (2, 4, 4)
    assert style.rows["scan"].tolist() == ["other"] * 2 and (style.labels == 3).all()


def test_lent_slices_are_those_of_the_region_and_their_masks_are_not_read(tmp_path):
    paths, sheet = write_run(tmp_path)
    write_split(sheet, tmp_path / "split.tsv")
    run = open_run(paths, tmp_path / "split.tsv")
    content, style = lent_slices(run)
    assert set(content.rows["scan"]) == {"p0-a", "p1-a", "p2-a"} and len(style.labels) == 0
    assert style.rows[["scan", "index", "style"]].to_numpy().tolist() == [["real", 0, "real"]]
    assert np.array_equal(style.hu, run.select(scan="real", index=0).hu())
    made = generate(
        shift_to_style, content, style, AugmentSettings(), window=WINDOW, model="ours", seed=0, guarded=False
    )
    assert set(made.rows["style_scan"]) == {"real"} and len(made.hu) == len(content.hu)
    with pytest.raises(NothingToPair, match="transductive"):
        lent_slices(run.select(cohort="made"))


def test_the_network_painter_speaks_in_the_window_and_passes_alpha():
    content, style = trunks(2)[0], trunks(2, shift=100, seed=5)[0]
    body = body_mask(content, WINDOW)

    def half_way(x, y, alpha, *, content_body, style_body, target_style):
        assert target_style == ["s2", "s2"]
        assert x.shape == y.shape == (2, 1, 96, 96) and x.dtype == torch.float32
        assert np.array_equal(content_body, body) and np.array_equal(style_body, body_mask(style, WINDOW))
        return (1 - alpha) * x + alpha * y + 0.1

    def painter(generate, alpha):
        model = SimpleNamespace(device=torch.device("cpu"), generate=generate)
        return network_painter(model, WINDOW, alpha=alpha)

    painted = painter(half_way, 0.25)(content, style, ["s2"] * 2, np.random.default_rng(0))
    assert painted[body] == pytest.approx((0.75 * content + 0.25 * style + 100)[body], abs=0.01)
    assert (painted[~body] == content[~body]).all()
    broken = painter(lambda x, y, alpha, **bodies: x * float("nan"), 1.0)
    assert np.isnan(broken(content, style, ["s2"] * 2, np.random.default_rng(0))[body]).all()


def test_noise_has_the_histogram_of_the_style_and_the_outline_but_no_anatomy():
    content, style = trunks(2)[0], trunks(2, shift=150, seed=7)[0]
    painted = noise_painter(WINDOW)(content, style, ["s2"] * 2, np.random.default_rng(0))
    body, style_body = body_mask(content, WINDOW), body_mask(style, WINDOW)
    for i in range(2):
        assert stats.ks_2samp(painted[i][body[i]], style[i][style_body[i]]).statistic < 0.02
        assert wasserstein1_hu(painted[i][body[i]], style[i][style_body[i]]) < 1.0
        assert (painted[i][~body[i]] == -250).all()
        inner = ndimage.binary_erosion(body[i], iterations=4)
        assert abs(np.corrcoef(painted[i][inner], content[i][inner])[0, 1]) < 0.3
        assert gradient_ssim(WINDOW.to_unit(content[i]), WINDOW.to_unit(painted[i]), inner) < 0.9


def test_ranks_carry_the_values_over():
    field = np.array([0.3, -1.0, 2.0, 0.9])
    assert by_rank(field, np.array([10, 20, 30, 40, 50])).tolist() == [25.0, 15.0, 45.0, 35.0]


def test_histogram_matching_is_that_of_scikit_image_inside_the_body():
    content, style = trunks(1)[0], trunks(1, shift=150, seed=7)[0]
    painted = histogram_painter(WINDOW)(content, style, ["s2"] * 2, np.random.default_rng(0))[0]
    body, style_body = body_mask(content, WINDOW)[0], body_mask(style, WINDOW)[0]
    expected = match_histograms(content[0][body].astype(float), style[0][style_body].astype(float))
    assert painted[body] == pytest.approx(expected)
    assert (painted[~body] == content[0][~body]).all()


@pytest.mark.parametrize("name", PAINTERS)
def test_controls_and_rivals_are_made_from_the_pairs_that_ours_is_offered(name):
    content, style = slices(5, style="s1"), slices(3, style="s2", shift=120, seed=9)
    settings, pairs = AugmentSettings(batch=2, pairing="random"), ["content_index", "style_index", "target_style"]
    ours = generate(shift_to_style, content, style, settings, window=WINDOW, model="ours", seed=4)
    painter = PAINTERS[name](WINDOW, settings)
    arguments = {"window": WINDOW, "model": name, "guarded": False}
    rival, same, other = (generate(painter, content, style, settings, seed=seed, **arguments) for seed in (4, 4, 5))
    assert rival.rows[pairs].equals(ours.rows[pairs]) and rival.rows["accepted"].all() and len(rival.hu) == 5
    assert np.array_equal(rival.hu, same.hu) and not np.array_equal(rival.hu, other.hu)
    assert not np.array_equal(rival.hu, content.hu)
