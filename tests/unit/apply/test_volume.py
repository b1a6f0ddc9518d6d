"""A stylised volume: an affine style is met exactly, nothing outside moves, and lost structure is flagged."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
import torch

from ctstyle.apply.volume import stylise_volume, volume_statistics
from ctstyle.ct.volume import Volume
from ctstyle.segment.guard import NOT_FINITE, STRUCTURE
from ctstyle.slices.crop import NoBody
from ctstyle.study.analysis import GuardSettings
from tests.bundles import SETTINGS, pixel_bundle, random_bundle

GUARD = GuardSettings()
EVERY = replace(SETTINGS, every_mm=4.0)


def scan() -> Volume:
    """A trunk that tapers from feet to head, with bone and fat, on a grid of 3 mm."""
    z, y, x = np.mgrid[:10, :64, :64]
    noise = np.random.default_rng(1).normal(0, 15, z.shape)
    hu = np.where(np.hypot(y - 32, x - 32) < 26 - z, 40 + noise, -1000)
    hu[:, 38:46, 28:36] = 300 + noise[:, 38:46, 28:36]
    hu[:, 20:26, 24:40] = -100 + noise[:, 20:26, 24:40]
    hu[4, 42, 32], hu[4, 32, 32] = 1800, -900
    return Volume(
        hu=np.rint(hu).astype(np.int16), origin_mm=(0.0, 0.0, 0.0), spacing_mm=(3.0, 3.0, 4.0), direction=np.eye(3)
    )


def affine(volume: Volume) -> Volume:
    """Another scanner: 1.4 HU - 20 of every voxel within the window."""
    seen = (volume.hu >= -250) & (volume.hu <= 750)
    return replace(volume, hu=np.where(seen, np.rint(1.4 * volume.hu - 20), volume.hu).astype(np.int16))


def test_an_affine_style_is_met_exactly():
    volume, other = scan(), affine(scan())
    bundle = pixel_bundle(EVERY)
    made = stylise_volume(volume, bundle, volume_statistics(bundle, other), guard=GUARD)
    body = (volume.hu > -200) & (volume.hu < 700)
    far = np.hypot(*(np.mgrid[:64, :64] - 32)) < 14
    assert np.abs(made.volume.hu.astype(int) - other.hu)[body & far].max() <= 2
    assert not made.rows["flagged"].any() and len(made.rows) == 10
    np.testing.assert_array_equal(made.rows["position_mm"], 4.0 * np.arange(10))


def test_one_style_for_the_whole_volume_flickers_less_than_one_for_each_slice():
    volume = scan()
    volume.hu[::2, 28:34, 24:40] = 300
    bundle = pixel_bundle(EVERY)
    made = stylise_volume(volume, bundle, volume_statistics(bundle, affine(scan())), guard=GUARD)
    assert made.flicker["volume"]["step_hu"] < 0.7 * made.flicker["slice"]["step_hu"]


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_alpha_scales_the_change_and_its_own_style_changes_nothing(alpha):
    volume, bundle = scan(), pixel_bundle(EVERY)
    full, part = (
        stylise_volume(
            volume, bundle, volume_statistics(bundle, affine(volume)), alpha=a, guard=GUARD
        ).volume.hu.astype(int)
        for a in (1.0, alpha)
    )
    assert np.abs((part - volume.hu) - alpha * (full - volume.hu)).max() <= 1
    own = stylise_volume(volume, bundle, volume_statistics(bundle, volume), guard=GUARD)
    np.testing.assert_array_equal(own.volume.hu, volume.hu)


@pytest.mark.parametrize("orientation", ["axial", "sagittal"])
def test_a_network_keeps_the_grid_air_and_what_lies_outside_the_window(orientation):
    volume = scan()
    before = volume.hu.copy()
    bundle = random_bundle(replace(SETTINGS, orientation=orientation))
    style = bundle.styles["s2"]
    made = stylise_volume(volume, bundle, (style.mean, style.deviation), guard=GUARD, batch=3)
    new = made.volume
    np.testing.assert_array_equal(volume.hu, before)
    assert (new.origin_mm, new.spacing_mm, new.hu.dtype) == (volume.origin_mm, volume.spacing_mm, np.int16)
    outside = (volume.hu < -250) | (volume.hu > 750)
    np.testing.assert_array_equal(new.hu[outside], volume.hu[outside])
    assert new.hu[~outside].min() >= -250 and new.hu[~outside].max() <= 750 and (new.hu != volume.hu).any()
    whole = stylise_volume(volume, bundle, (style.mean, style.deviation), guard=GUARD, batch=64)
    assert np.abs(whole.volume.hu.astype(int) - new.hu).max() <= 1, "the batch decides nothing but rounding"


def test_the_way_the_voxels_are_stored_does_not_matter():
    volume, bundle = scan(), random_bundle()
    style = bundle.styles["s1"]
    turned = Volume.from_sitk(SimpleITK.DICOMOrient(volume.to_sitk(), "RIP"))
    one, two = (stylise_volume(v, bundle, (style.mean, style.deviation), guard=GUARD).volume for v in (volume, turned))
    assert not np.array_equal(one.hu, two.hu)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(two.to_sitk(), "LPS")), one.hu)


class _Breaks(torch.nn.Module):
    """A decoder that paints what it is told into the restyled maps of slice 2 of 3 and leaves all else."""

    def __init__(self, value: float):
        super().__init__()
        self.value, self.calls = value, 0

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The maps; in every second and third call of a batch noise or NaN in their middle slice."""
        self.calls += 1
        if self.calls % 3 == 1:
            return maps
        made = maps.clone()
        noise = torch.rand(made[1].shape, generator=torch.Generator().manual_seed(0))
        made[1] = torch.where(torch.full_like(noise, self.value).isnan(), self.value, noise)
        return made


@pytest.mark.parametrize(
    ("value", "put_back", "reason", "written"),
    [(0, False, STRUCTURE, "stylised"), (0, True, STRUCTURE, "original"), (np.nan, False, NOT_FINITE, "original")],
)
def test_a_slice_that_lost_its_structure_is_flagged_and_put_back_where_asked(value, put_back, reason, written):
    volume = scan()
    volume = replace(volume, hu=volume.hu[:3].copy())
    bundle = pixel_bundle(EVERY, _Breaks(value))
    style = volume_statistics(bundle, affine(volume))
    made = stylise_volume(volume, bundle, style, guard=GUARD, put_back=put_back)
    assert made.rows["reason"].tolist() == ["", reason, ""] and made.rows["flagged"].tolist() == [0, 1, 0]
    assert made.rows["written"].tolist() == ["stylised", written, "stylised"]
    same = [np.array_equal(new, old) for new, old in zip(made.volume.hu, volume.hu)]
    assert same == [False, written == "original", False]


def test_a_slice_of_air_stays_and_is_not_flagged():
    volume, bundle = scan(), random_bundle()
    volume.hu[9] = -1000
    style = bundle.styles["s1"]
    made = stylise_volume(volume, bundle, (style.mean, style.deviation), guard=GUARD)
    assert (made.volume.hu[9] == -1000).all()
    assert made.rows.iloc[9][["body_px", "change_hu", "flagged", "reason"]].tolist() == [0, 0.0, 0, ""]


def test_a_volume_without_a_body_is_refused():
    volume = scan()
    with pytest.raises(NoBody, match="no body in any slice"):
        stylise_volume(replace(volume, hu=np.full_like(volume.hu, -1000)), random_bundle(), (None, None), guard=GUARD)
