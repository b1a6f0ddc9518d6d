"""The list of phantom scans follows from the settings alone."""

import numpy as np
import pytest

from ctstyle.cohorts.phantom import scans
from ctstyle.study.data import PhantomSettings
from ctstyle.study.settings import ConfigError, build, plain


def test_default_cohort_has_every_test_patient_in_every_style():
    settings = PhantomSettings()
    listed = scans(settings, "cohorts/phantom")
    assert len({scan.patient for scan in listed}) == 12 + 3 + 3 + 3 + 2 + 10
    assert len(listed) == 23 + 10 * 4 == len({scan.scan for scan in listed})
    tested = [scan for scan in listed if scan.split_hint == "test"]
    assert {scan.patient for scan in tested}.isdisjoint(scan.patient for scan in listed if scan.split_hint != "test")
    for patient in {scan.patient for scan in tested}:
        assert [s.style_hint for s in tested if s.patient == patient] == list(settings.styles)
    assert listed[0].series == listed[0].mask == "cohorts/phantom/phantom-p00-standard.zip"


def test_validation_patients_are_of_the_source_style():
    assert [s.style_hint for s in scans(PhantomSettings(), "x") if s.split_hint == "val"] == ["standard", "standard"]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_few_patients_cover_the_whole_spine(seed):
    settings = PhantomSettings(seed=seed)
    low, high = settings.levels
    levels = np.sort([settings.first_level(i) for i in range(12)])
    assert levels[0] >= low and levels[-1] < high
    gaps = np.diff(np.concatenate([[low], levels, [high]]))
    # 12 independent uniform draws leave a gap of 4.5 levels or more in a third of all cohorts
    assert gaps.max() < 0.2 * (high - low)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"train": {"unheard": 2}}, "train"),
        ({"levels": (5.0, 2.0)}, "levels"),
        ({"levels": (3.0, 19.0)}, "levels"),
        ({"train": {}, "val": {}, "test_patients": 0}, "test_patients"),
        ({"styles": {**plain(PhantomSettings())["styles"], "soft_display": None}}, "train"),
        ({"styles": {"standard": None}}, "styles"),
    ],
)
def test_contradictions_are_named(change, key):
    with pytest.raises(ConfigError, match=f"phantom: .*{key}"):
        build(PhantomSettings, {**plain(PhantomSettings()), **change}, "phantom")


def test_a_style_of_null_is_left_out():
    styles = {"lowkv_contrast": None, "soft_display": {"kvp": 120, "mas": 120}, "standard": {"kvp": 120, "mas": 110}}
    asked = {"styles": styles, "train": {"standard": 1, "lowkv_contrast": 0}, "val": {}, "test_patients": 1}
    hints = [scan.style_hint for scan in scans(build(PhantomSettings, asked), "x")]
    assert hints == ["standard", "soft_display", "standard"]


def test_a_patient_that_is_not_in_the_cohort_is_named():
    with pytest.raises(ConfigError, match="phantom-p99"):
        PhantomSettings().index("phantom-p99")
