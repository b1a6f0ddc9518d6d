"""Tissues against tabulated attenuation (xraydb) and published Hounsfield units."""

import numpy as np
import pytest
import xraydb

from ctstyle.cohorts.phantom.scanner import measure
from ctstyle.cohorts.phantom.tissues import TISSUES, basis_densities, mass_attenuation
from tests.hounsfield import PUBLISHED_HU, hounsfield


def at(tissue, kvp):
    """Hounsfield units of a tissue at the effective energy of a tube voltage."""
    return hounsfield(np.array([*basis_densities(tissue), 0.0]), measure(kvp).kev)


@pytest.mark.parametrize("tissue", sorted(TISSUES))
@pytest.mark.parametrize("kev", [50.0, 70.0, 90.0])
def test_two_basis_materials_attenuate_like_the_tissue(tissue, kev):
    water, mineral = basis_densities(tissue)
    mixture = water * mass_attenuation("water", kev) + mineral * mass_attenuation("hydroxyapatite", kev)
    direct = TISSUES[tissue].density * sum(
        w * xraydb.mu_elam(element, 1000 * kev) for element, w in TISSUES[tissue].fractions.items()
    )
    assert mixture == pytest.approx(direct, rel=1e-3)


def test_water_and_mineral_agree_with_xraydb_by_formula():
    assert mass_attenuation("water", 60.0) == pytest.approx(xraydb.material_mu("H2O", 60000, density=1.0), rel=2e-3)
    mineral = xraydb.material_mu("Ca5P3O13H", 60000, density=1.0)
    assert mass_attenuation("hydroxyapatite", 60.0) == pytest.approx(mineral, rel=2e-3)


@pytest.mark.parametrize("tissue", sorted(set(PUBLISHED_HU) & set(TISSUES) - {"cortical bone"}))
def test_hounsfield_units_at_120_kvp_are_the_published_ones(tissue):
    low, high = PUBLISHED_HU[tissue]
    assert low <= at(tissue, 120.0) <= high


def test_fat_is_darker_and_bone_brighter_at_low_voltage():
    assert at("adipose", 80) < at("adipose", 120) - 10
    assert at("cortical bone", 80) > 1.25 * at("cortical bone", 120)
