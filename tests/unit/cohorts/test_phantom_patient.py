"""Virtual patients: anatomy in the right place, labels on bone, the same bytes from the same seed."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from ctstyle.cohorts.phantom import scanner
from ctstyle.cohorts.phantom.patient import Patient, draw_anatomy, make_patient
from ctstyle.cohorts.phantom.scanner import measure
from ctstyle.cohorts.phantom.spine import LEVELS, draw_spine, vertebra_solid
from ctstyle.ct.anatomy import VERTEBRA_IDS
from ctstyle.study.data import PhantomSettings
from tests.hounsfield import PUBLISHED_HU, hounsfield

SETTINGS = PhantomSettings(slices=4, thickness_mm=7.0)
KEV = 72.0
BEAM = measure(120.0)


@pytest.fixture(scope="module")
def drawn():
    return {i: draw_anatomy(SETTINGS, i) for i in (0, 1, 2)}


@pytest.fixture(scope="module")
def scanned():
    settings = PhantomSettings(slices=2, angles=120)
    patient = make_patient(settings, "phantom-p00")
    return settings, patient, scanner.scan_patient(settings, patient, "soft_display", BEAM)


def spine():
    return draw_spine(np.random.default_rng(5), size=1.0, kyphosis=1.0, scoliosis_mm=2.0, wear=0.3, bone_share=0.1)


def test_the_same_seed_draws_the_same_patient_and_another_seed_another(drawn):
    canvas, labels, z = draw_anatomy(SETTINGS, 1)
    assert canvas.densities.tobytes() == drawn[1][0].densities.tobytes()
    assert labels.tobytes() == drawn[1][1].tobytes() and (z == drawn[1][2]).all()
    other, _, _ = draw_anatomy(dataclasses.replace(SETTINGS, seed=1), 1)
    assert np.abs(other.densities - canvas.densities).mean() > 0.02


def test_patients_differ(drawn):
    outlines = [
        (hounsfield(canvas.densities * [[[[1]]], [[[1]]], [[[0]]]], KEV) > -500).sum()
        for canvas, _, _ in drawn.values()
    ]
    assert len(set(outlines)) == 3
    assert np.abs(drawn[0][0].densities - drawn[1][0].densities).mean() > 0.05


@pytest.mark.parametrize("index", [0, 1, 2])
def test_labels_lie_on_bone_and_name_the_level(drawn, index):
    canvas, labels, _ = drawn[index]
    mineral = canvas.densities[1]
    # muscle counts as 4 mg/ml of mineral, fat and marrow as less than none
    assert (mineral[labels > 0] > 0.005).mean() > 0.97
    named = [LEVELS.index(level) for level in LEVELS if VERTEBRA_IDS[level] in labels]
    assert named == list(range(named[0], named[-1] + 1))
    # the processes of the vertebra above reach down into the first slice
    assert 0 <= SETTINGS.first_level(index) - named[0] < 2.6


def test_trabecular_and_cortical_bone_have_published_hounsfield_units(drawn):
    for canvas, labels, _ in drawn.values():
        densities = canvas.densities.copy()
        densities[2] = 0
        hu = hounsfield(densities, KEV)
        bone = labels > 0
        core = np.stack([binary_erosion(part, iterations=5) for part in bone])
        low, high = PUBLISHED_HU["trabecular bone"]
        if core.sum() > 50:
            assert low <= np.median(hu[core]) <= high
        low, high = PUBLISHED_HU["cortical bone"]
        assert low <= np.quantile(hu[bone], 0.9) <= high


def test_vertebrae_grow_towards_the_feet_and_are_stacked_without_overlap():
    vertebrae = spine()
    z = np.array([v.centre[2] for v in vertebrae])
    heights = np.array([v.height for v in vertebrae])
    gaps = -np.diff(z) - (heights[1:] + heights[:-1]) / 2
    assert (gaps > 0.5).all() and (gaps < 16).all()
    width = {v.level: v.width for v in vertebrae}
    assert width["L3"] > 1.25 * width["T10"] > 1.25 * width["T4"] * 0.9
    # thoracolumbar length T1..L5 of an adult spine is about 43 to 50 cm
    assert 380 < z[1] - z[-1] < 520


@pytest.mark.parametrize("level", ["T3", "T8", "L2"])
def test_the_canal_is_free_and_wide_enough_for_the_cord(level):
    v = spine()[LEVELS.index(level)]
    y = v.depth / 2 + np.linspace(1.0, v.canal_depth - 3, 20)
    for height in np.linspace(-0.5, 0.5, 5) * v.height:
        solid, _ = vertebra_solid(v, np.zeros(20), y, np.full(20, height))
        assert (solid > 0).all()
    solid, _ = vertebra_solid(v, np.zeros(1), np.zeros(1), np.zeros(1))
    assert solid[0] < -5


def test_bone_of_one_vertebra_is_one_piece():
    from scipy.ndimage import label

    v = spine()[LEVELS.index("T7")]
    ticks = np.arange(-45, 75, 1.5)
    z, y, x = np.meshgrid(np.arange(-50, 30, 1.5), ticks, ticks, indexing="ij")
    solid, _ = vertebra_solid(v, x, y, z)
    pieces = np.bincount(label(solid < 0)[0].ravel())[1:]
    assert pieces.max() > 0.999 * pieces.sum()
    # a thoracic vertebra has a volume of about 15 to 35 cm3
    assert 12e3 < (solid < 0).sum() * 1.5**3 < 40e3


def test_a_saved_patient_scans_to_the_same_bytes(scanned, tmp_path):
    settings, patient, before = scanned
    patient.save(tmp_path / "p.npz")
    loaded = Patient.load(tmp_path / "p.npz")
    after = scanner.scan_patient(settings, loaded, "soft_display", BEAM)
    assert before.hu.tobytes() == after.hu.tobytes()
    assert loaded.name == "phantom-p00" and loaded.origin_z_mm == patient.origin_z_mm


def test_styles_see_the_same_anatomy_with_other_noise(scanned):
    settings, patient, plain = scanned
    other = scanner.scan_patient(settings, patient, "full_range_sharp", BEAM)
    assert plain.labels is other.labels
    assert np.corrcoef(plain.hu.ravel(), other.hu.ravel())[0, 1] > 0.97
    centre = (slice(None), slice(100, 156), slice(100, 156))
    assert np.abs(plain.hu[centre] - other.hu[centre]).mean() > 5
