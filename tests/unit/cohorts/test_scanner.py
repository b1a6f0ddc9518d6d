"""The scanner on test objects with known answers: calibration, noise, kernels, voltage and iodine."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from ctstyle.cohorts.phantom import scanner
from ctstyle.cohorts.phantom.patient import project
from ctstyle.cohorts.phantom.scanner import UnknownBeam, beam_of, load_beams, measure, save_beams
from ctstyle.cohorts.phantom.tissues import basis_densities, mass_attenuation
from ctstyle.study.data import PhantomSettings, Style, default_styles
from tests.hounsfield import PUBLISHED_HU

SETTINGS = PhantomSettings(grid_px=128, pixel_mm=2.0, angles=180, slices=2)
TICKS = (np.arange(128) - 64) * 2.0
X, Y = np.meshgrid(TICKS, TICKS)
INSERTS = ("lung", "adipose", "muscle", "blood", "liver", "disc", "cerebrospinal fluid")


def inserts() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A water cylinder of 18 cm with rods of tissue and one of 10 mg/ml iodine, and the middle of each rod."""
    densities = np.zeros((3, 1, 128, 128), np.float32)
    densities[0, 0][np.hypot(X, Y) < 90] = 1.0
    rods = {}
    for k, tissue in enumerate((*INSERTS, "iodine")):
        angle = 2 * np.pi * k / 8
        distance = np.hypot(X - 55 * np.cos(angle), Y - 55 * np.sin(angle))
        if tissue == "iodine":
            densities[2, 0][distance < 14] = 1.0
        else:
            densities[:2, 0, distance < 14] = np.array(basis_densities(tissue))[:, None]
        rods[tissue] = distance < 8
    rods["water"] = np.hypot(X, Y) < 12
    rods["air"] = (np.hypot(X, Y) > 104) & (np.hypot(X, Y) < 118)
    return densities, rods


@cache
def beam_at(kvp):
    return measure(kvp)


@pytest.fixture(scope="module")
def cylinder():
    densities, rods = inserts()
    return project(densities, SETTINGS), rods


def image(sinograms, *, kvp=120.0, iodine=10.0, kernel="medium", photons=None, seed=0):
    beam = beam_at(kvp)
    paths = scanner.line_integrals(sinograms, beam, iodine_mg_ml=iodine)
    if photons:
        paths = scanner.add_noise(paths, photons=photons, rng=np.random.default_rng(seed))
    return scanner.reconstruct(paths, kernel=scanner.KERNELS[kernel], pixel_mm=2.0, beam=beam)[0]


@pytest.mark.parametrize("tissue", [*INSERTS, "air"])
def test_scanned_tissues_have_published_hounsfield_units(cylinder, tissue):
    sinograms, rods = cylinder
    low, high = PUBLISHED_HU[tissue]
    assert low <= image(sinograms)[rods[tissue]].mean() <= high


def test_water_is_zero(cylinder):
    sinograms, rods = cylinder
    for kernel in scanner.KERNELS:
        assert abs(image(sinograms, kernel=kernel)[rods["water"]].mean()) < 3


def test_iodine_is_brighter_at_80_kvp_by_the_ratio_of_tabulated_attenuation(cylinder):
    sinograms, rods = cylinder
    seen = {kvp: image(sinograms, kvp=kvp)[rods["iodine"]].mean() for kvp in (80.0, 120.0)}
    kev = {kvp: beam_at(kvp).kev for kvp in seen}
    per_mg = {kvp: mass_attenuation("iodine", kev[kvp]) / mass_attenuation("water", kev[kvp]) for kvp in seen}
    for kvp in seen:
        assert seen[kvp] == pytest.approx(10 * per_mg[kvp], abs=6)
    # CT phantoms measure about 25 and 40 HU per mg/ml at 120 and 80 kVp
    assert 22 < per_mg[120.0] < 30 and 1.5 < per_mg[80.0] / per_mg[120.0] < 1.9


def test_effective_energies_are_those_of_ct():
    energies = [beam_at(kvp).kev for kvp in (80, 100, 120, 140)]
    assert energies == sorted(energies)
    assert 50 < energies[0] < 60 and 62 < energies[2] < 76


def test_beams_are_read_as_they_were_measured(tmp_path):
    save_beams(tmp_path / "beams.json", [120.0, 80.0, 120.0])
    beams = load_beams(tmp_path / "beams.json")
    assert (
        list(beams) == ["80", "120"] and beam_of(beams, 120) == beam_at(120.0) and beam_of(beams, 80) == beam_at(80.0)
    )
    assert beam_at(120.0).attenuation[2] == mass_attenuation("iodine", beam_at(120.0).kev)
    with pytest.raises(UnknownBeam, match="100 kV"):
        beam_of(beams, 100)


def test_noise_falls_with_the_root_of_the_dose(cylinder):
    sinograms, _ = cylinder
    clean = image(sinograms)
    noise = [(image(sinograms, photons=n, seed=1) - clean)[np.hypot(X, Y) < 35].std() for n in (2e5, 8e5, 32e5)]
    assert noise[0] / noise[1] == pytest.approx(2.0, rel=0.08)
    assert noise[1] / noise[2] == pytest.approx(2.0, rel=0.08)


def test_photons_follow_current_and_voltage():
    def photons(**change):
        style = dataclasses.replace(Style(kvp=120, mas=100), **change)
        return scanner.photons_per_ray(style, beam_at(style.kvp), pixel_mm=1.6, thickness_mm=5, angles=180)

    assert photons(mas=200) == pytest.approx(2 * photons())
    assert photons(kvp=80) < 0.5 * photons()


def test_kernels_stand_in_the_order_of_their_sharpness(cylinder):
    sinograms, _ = cylinder
    edge = {k: np.abs(np.diff(image(sinograms, kernel=k)[64])).max() for k in scanner.KERNELS}
    clean = {k: image(sinograms, kernel=k) for k in scanner.KERNELS}
    noise = {
        k: (image(sinograms, kernel=k, photons=1e6) - clean[k])[np.hypot(X, Y) < 35].std() for k in scanner.KERNELS
    }
    assert edge["soft"] < edge["medium"] < edge["sharp"]
    assert noise["soft"] < noise["medium"] < noise["sharp"]


def test_contrast_goes_to_its_share_of_patients():
    class Somebody:
        def __init__(self, injected, phase):
            self.injected, self.phase = injected, phase

    style = Style(kvp=120, mas=100, iodine_mg_ml=(4.0, 12.0), contrast_share=0.5)
    assert scanner.iodine_concentration(Somebody(0.7, 0.5), style) == 0.0
    assert scanner.iodine_concentration(Somebody(0.2, 0.5), style) == 8.0


def test_display_export_burns_the_window_in():
    hu = np.array([[[-500.0, -160.0, 40.0, 239.0, 900.0]]])
    shown = scanner.export(hu, default_styles()["soft_display"])
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[0, 0], [0, 0, 128, 254, 255])
    assert scanner.export(hu, default_styles()["standard"]).tolist() == [[[-500, -160, 40, 239, 900]]]
