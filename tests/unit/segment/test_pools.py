"""Which slices an arm is trained on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctstyle.segment.controls import PAINTERS
from ctstyle.segment.generate import COLUMNS, Generated
from ctstyle.segment.online import ONLINE, online_change
from ctstyle.segment.train import NoAugmentation, arm_pools, arm_settings, pool_sizes
from ctstyle.slices.run import labelled, open_run
from ctstyle.study.analysis import SegmentSection, SegmentSettings
from ctstyle.study.arms import ARMS, archive_of, augmented_arms
from ctstyle.study.networks import MODELS
from ctstyle.study.settings import keys_of
from tests.synthetic_run import write_run, write_split


@pytest.fixture
def run(tmp_path):
    paths, sheet = write_run(tmp_path)
    write_split(sheet, tmp_path / "split.tsv")
    return open_run(paths, tmp_path / "split.tsv")


def _generated(count):
    rows = pd.DataFrame([dict.fromkeys(COLUMNS, "") | {"reason": "structure lost"}])
    return Generated(np.full((count, 32, 32), 7, np.int16), np.ones((count, 32, 32), np.uint8), rows)


def test_plain_is_the_source_style_of_training_patients(run):
    (only,) = arm_pools("plain", run, None)
    assert np.array_equal(only.hu, run.select(scan=["p0-a", "p1-a", "p2-a"]).hu())


def test_the_oracle_adds_labelled_slices_of_other_styles(run):
    source, others = arm_pools("oracle", run, None)
    assert len(source.hu) == 12
    assert np.array_equal(others.hu, run.select(scan=["p3-b", "p4-c"]).hu())


def test_an_augmented_arm_adds_what_was_generated_for_it(run):
    source, added = arm_pools("ours", run, _generated(5))
    assert len(source.hu) == 12 and (added.hu == 7).all() and len(added.hu) == 5


def test_an_arm_may_share_the_slices_of_another(run):
    assert archive_of("ours_intensity") == archive_of("ours") == "ours"
    assert archive_of("plain") == archive_of("oracle") == archive_of("intensity") == ""
    pools = arm_pools("ours_intensity", run, _generated(5))
    assert (pools[1].hu == 7).all() and pool_sizes(pools) == {"source_slices": 12, "added_slices": 5}
    assert pool_sizes(arm_pools("intensity", run, None)) == {"source_slices": 12, "added_slices": 0}
    assert pool_sizes(arm_pools("oracle", run, None))["added_slices"] > 0


def test_an_arm_without_an_accepted_slice_says_why(run):
    with pytest.raises(NoAugmentation, match=r"arm ours.*structure lost"):
        arm_pools("ours", run, _generated(0))


def test_scans_without_a_mask_are_not_labelled(run):
    run.rows.loc[run.rows["scan"] == "p1-a", "foreground_px"] = 0
    assert set(labelled(run.select(side="train", style="s1")).rows["scan"]) == {"p0-a", "p2-a"}


def test_the_rival_differs_from_plain_in_its_norm_alone(run):
    settings = SegmentSettings(steps=7)
    rival = arm_settings("instance", settings)
    assert rival.unet.norm == "instance" and settings.unet.norm == "none"
    assert replace(rival, unet=settings.unet) == settings == arm_settings("ours", settings)
    (plain,), (same,) = arm_pools("plain", run, None), arm_pools("instance", run, None)
    assert np.array_equal(plain.hu, same.hu)


def test_every_arm_names_what_exists():
    for name, arm in ARMS.items():
        assert arm.online in ONLINE and (not arm.online or arm.online in keys_of(SegmentSection)), name
        assert arm.added != "painter" or arm.maker in PAINTERS, name
        assert arm.added != "generator" or arm.maker in MODELS, name
        assert arm.added != "shared" or arm.maker in augmented_arms(), name
        replace(SegmentSettings().unet, **arm.unet)
    for column in ("label", "short"):
        assert len({getattr(arm, column) for arm in ARMS.values()}) == len(ARMS)


def test_every_change_is_built_from_its_section():
    for name, kind in ONLINE.items():
        assert type(online_change(name, {})) is kind
