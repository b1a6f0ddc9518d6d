"""Features follow their physical causes: HU shift, noise, kernel sharpness; and a real pair of kernels differs."""

import numpy as np
import pytest
from scipy import ndimage, special

from ctstyle.slices.features import EmptyBody, edge_width_px, feature_frame, features, tissue_peaks
from ctstyle.study.data import MEASURED


def scan(shift=0.0, noise=10.0, blur=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96]
    hu = np.full((4, 96, 96), -250.0)
    body = np.broadcast_to(((x - 48) / 42) ** 2 + ((y - 48) / 32) ** 2 < 1, hu.shape)
    hu[body] = 50
    hu[:, (x - 48) ** 2 + (y - 60) ** 2 < 81] = 350
    hu = hu + noise * rng.standard_normal(hu.shape)
    if blur:
        hu = ndimage.gaussian_filter(hu, (0, blur, blur))
    return np.round(hu + shift).astype(np.int16), body


def test_a_shift_of_grey_moves_the_quantiles_by_itself_and_nothing_else():
    plain, moved = (features(*scan(shift=s), {}) for s in (0, 70))
    for key in MEASURED:
        if key.startswith("hu_"):
            assert moved[key] == plain[key] + 70
        elif key in ("fat_hu", "soft_tissue_hu"):
            assert moved[key] == pytest.approx(plain[key] + 70, abs=5, nan_ok=True)
        else:
            assert moved[key] == pytest.approx(plain[key], rel=0.01)
    assert plain["hu_q50"] == pytest.approx(50, abs=3)


def test_noise_is_measured_in_hu():
    for noise in (5.0, 25.0):
        assert features(*scan(noise=noise), {})["noise_hu"] == pytest.approx(noise, rel=0.15)


def test_a_sharper_kernel_raises_high_frequencies_and_edges():
    sharp, smooth = features(*scan(), {}), features(*scan(blur=1.0), {})
    assert sharp["noise_high"] > smooth["noise_high"] + 0.1
    assert sharp["edge_width_px"] < smooth["edge_width_px"] - 0.3
    assert sharp["noise_hu"] > smooth["noise_hu"]


@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
def test_fat_and_soft_tissue_are_found_whatever_their_share(share):
    rng = np.random.default_rng(0)
    fat, muscle, lung = rng.normal(-100, 12, 4000), rng.normal(55, 15, 4000), np.full(3000, -250)
    values = np.concatenate([fat[: int(4000 * share)], muscle[: int(4000 * (1 - share))], lung])
    assert tissue_peaks(values, air_hu=-250) == pytest.approx((-100, 55), abs=5)
    assert np.isnan(tissue_peaks(lung, air_hu=-250)).all()


def test_the_fat_and_soft_tissue_of_a_real_scan_lie_where_published(shared_data):
    """Fat -120 to -60 HU, soft tissue 20 to 80 HU (unenhanced muscle and organs)."""
    import SimpleITK as sitk

    from ctstyle.slices.body import body_mask
    from ctstyle.slices.window import Window

    (path,) = [p for p in (shared_data / "lumbar_3mm_nifti").glob("*.nii.gz") if "ct" in p.name.lower()][:1]
    hu = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[10:-10:8].clip(-250, 750).astype(np.int16)
    found = features(hu, body_mask(hu, Window(-250, 750)), {})
    assert -120 <= found["fat_hu"] <= -60
    assert 20 <= found["soft_tissue_hu"] <= 80


@pytest.mark.parametrize("width", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("contrast", [50.0, 600.0])
def test_the_width_of_a_blurred_step_is_found_whatever_its_contrast(width, contrast):
    position = np.arange(96)[None, None, :] - 47.5 + np.zeros((1, 96, 1))
    step = contrast / 2 * (1 + special.erf(position / (width * np.sqrt(2))))
    assert edge_width_px(step, np.ones(step.shape, bool)) == pytest.approx(width, abs=0.2)


def test_acquisition_tags_are_read_in_the_spellings_of_dicom():
    tags = {"kvp": " 1.2E2", "exposure_mas": "", "kernel": ("Br38f", "3"), "manufacturer": "GE  MEDICAL"}
    found = features(*scan(), tags)
    assert found["kvp"] == 120 and np.isnan(found["exposure_mas"]) and np.isnan(found["slice_thickness_mm"])
    assert found["kernel"] == "Br38f\\3" and found["manufacturer"] == "GE MEDICAL" and found["model"] == ""


def test_a_scan_without_a_body_is_named():
    hu, body = scan()
    with pytest.raises(EmptyBody, match="scan-7"):
        feature_frame([("scan-1", hu, body, {}), ("scan-7", hu, np.zeros_like(body), {})])


def test_the_kernels_of_one_real_scan_are_told_apart(shared_data):
    """Siemens B70f (sharp) and B40f (smooth) of the same raw data: same tissue, other noise and edges."""
    import pydicom

    from ctstyle.slices.body import body_mask
    from ctstyle.slices.window import Window

    found = {}
    for file in sorted((shared_data / "siemens_kernel_pair").rglob("*.dcm"))[::4]:
        header = pydicom.dcmread(file)
        hu = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        found.setdefault(str(header.ConvolutionKernel), []).append(hu[::4, ::4].clip(-250, 750).astype(np.int16))
    assert len(found) == 2
    values = {}
    for kernel, hu in found.items():
        hu = np.stack(hu)
        values[kernel] = features(hu, body_mask(hu, Window(-250, 750)), {"kernel": kernel})
    sharp, smooth = values["B70f"], values["B40f"]
    assert sharp["noise_hu"] > 2 * smooth["noise_hu"]
    assert sharp["edge_width_px"] < smooth["edge_width_px"]
    assert abs(sharp["hu_q50"] - smooth["hu_q50"]) < 60
