"""A virtual CT scanner: attenuation at an effective energy, photon noise, filtered back-projection, export.

A grey-scale style is what its settings cause: the tube voltage moves the effective energy (and with it bone and
iodine), the tube current the noise, the kernel sharpness and noise texture, and a display export burns a window in.

The beams that tube voltages make are the same for every scan, and the tables that they come from take longer to read
than a scan takes to be reconstructed. So they are measured once and kept in a file.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ctstyle.cohorts.phantom.patient import Patient, view_angles
from ctstyle.cohorts.phantom.tissues import BASIS, mass_attenuation, mass_attenuations
from ctstyle.ct.write import CTSeries, write_ct_zip
from ctstyle.errors import CTStyleError
from ctstyle.study.data import PhantomSettings, Style

_SOURCE_TO_AXIS_CM = 57.0
_DETECTOR_EFFICIENCY = 0.8
_ELECTRONIC_NOISE = 30.0


class UnknownBeam(CTStyleError):
    """A tube voltage whose beam was not measured."""


@dataclass(frozen=True)
class Beam:
    """A beam: its effective energy `kev`, `photons` per cm2 and mAs at 1 m, `attenuation` of `BASIS` there (cm2/g)."""

    kev: float
    photons: float
    attenuation: tuple[float, float, float]

    @property
    def water(self) -> float:
        """Mass attenuation of water in cm2/g."""
        return self.attenuation[BASIS.index("water")]


def measure(kvp: float) -> Beam:
    """The beam of a tube voltage in kV.

    Spectrum from spekpy (10 degree anode; 3 mm Al + 0.9 mm Ti, a usual CT filter). The effective energy is the one at
    which water attenuates like the spectrum does behind 20 cm of water, weighted by energy as in a scintillator.
    """
    import spekpy

    tube = spekpy.Spek(kvp=kvp, th=10).filter("Al", 3.0).filter("Ti", 0.9)
    photons = float(tube.get_flu())
    kev, fluence = tube.filter("Water", 200.0).get_spectrum()
    water = mass_attenuations("water", kev)
    mu = float((fluence * kev * water).sum() / (fluence * kev).sum())
    effective = float(np.interp(-mu, -water, kev))
    first, second, third = (mass_attenuation(material, effective) for material in BASIS)
    return Beam(effective, photons, (first, second, third))


def save_beams(path: Path, kvps: Iterable[float]) -> None:
    """Measure the beams of tube voltages (kV) and write them as JSON."""
    beams = {f"{kvp:g}": asdict(measure(kvp)) for kvp in sorted(set(kvps))}
    path.write_text(json.dumps(beams, indent=1) + "\n", encoding="utf-8")


def load_beams(path: Path) -> dict[str, Beam]:
    """The beams of `save_beams` by tube voltage, to be asked by `beam_of`."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {kvp: Beam(**{**beam, "attenuation": tuple(beam["attenuation"])}) for kvp, beam in found.items()}


def beam_of(beams: Mapping[str, Beam], kvp: float) -> Beam:
    """The beam of a tube voltage in kV; raises UnknownBeam."""
    if f"{kvp:g}" not in beams:
        raise UnknownBeam(
            "no beam was measured at this tube voltage",
            where="phantom: styles: kvp",
            found=f"{kvp:g} kV",
            expected=" or ".join(beams),
            fix="Run rule measure_beams again.",
        )
    return beams[f"{kvp:g}"]


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel: scikit-image's name of the ramp's window, in-plane smoothing (mm), edge gain."""

    filter_name: str
    smoothing_mm: float
    edge_gain: float


KERNELS = {
    "soft": Kernel("cosine", 0.0, 0.0),
    "medium": Kernel("shepp-logan", 0.0, 0.0),
    "sharp": Kernel("ramp", 0.0, 2.0),
}
"""Kernels from smooth to sharp."""


@dataclass(frozen=True)
class Scanned:
    """What the scanner hands out: `hu` float32 `[z, y, x]`, slices from feet to head, and the iodine it saw."""

    hu: np.ndarray
    labels: np.ndarray
    iodine_mg_ml: float


def iodine_concentration(patient: Patient, style: Style) -> float:
    """Iodine in arterial blood (mg/ml) when this patient is scanned in this style; 0 without contrast agent."""
    if patient.injected >= style.contrast_share:
        return 0.0
    low, high = style.iodine_mg_ml
    return low + patient.phase * (high - low)


def scan_patient(settings: PhantomSettings, patient: Patient, style: str, beam: Beam) -> Scanned:
    """Scan a patient in one of the settings' styles, whose tube voltage gives `beam`.

    The noise is independent per style and patient.
    """
    chosen = settings.style(style)
    order = list(settings.scanners).index(style)
    number = settings.index(patient.name)
    rng = np.random.default_rng([settings.seed, number, 100 + order])
    iodine = iodine_concentration(patient, chosen)
    paths = line_integrals(patient.sinograms, beam, iodine_mg_ml=iodine)
    photons = photons_per_ray(
        chosen, beam, pixel_mm=patient.pixel_mm, thickness_mm=patient.thickness_mm, angles=paths.shape[-1]
    )
    hu = reconstruct(
        add_noise(paths, photons=photons, rng=rng),
        kernel=KERNELS[chosen.kernel],
        pixel_mm=patient.pixel_mm,
        beam=beam,
    )
    return Scanned(hu, patient.labels, iodine)


def line_integrals(sinograms: np.ndarray, beam: Beam, *, iodine_mg_ml: float) -> np.ndarray:
    """Attenuation along each ray, `[z, detector, angle]`, from basis sinograms `[3, z, detector, angle]`."""
    water, mineral, iodine = beam.attenuation
    return water * sinograms[0] + mineral * sinograms[1] + (iodine * iodine_mg_ml / 1000.0) * sinograms[2]


def photons_per_ray(style: Style, beam: Beam, *, pixel_mm: float, thickness_mm: float, angles: int) -> float:
    """Photons that reach one detector bin at the axis without a patient: fluence x area x mAs per view."""
    fluence = beam.photons * (100.0 / _SOURCE_TO_AXIS_CM) ** 2
    return _DETECTOR_EFFICIENCY * fluence * (pixel_mm * thickness_mm / 100.0) * style.mas / angles


def add_noise(paths: np.ndarray, *, photons: float, rng: np.random.Generator) -> np.ndarray:
    """Line integrals as measured with Poisson counts and Gaussian electronic noise."""
    counts = rng.poisson(photons * np.exp(-paths.astype(np.float64)))
    counts = counts + rng.normal(0.0, _ELECTRONIC_NOISE, paths.shape)
    return -np.log(np.maximum(counts, 1.0) / photons)


def reconstruct(paths: np.ndarray, *, kernel: Kernel, pixel_mm: float, beam: Beam) -> np.ndarray:
    """Filtered back-projection of `[z, detector, angle]` to Hounsfield units, float32 `[z, y, x]`.

    Calibrated to water = 0 and vacuum = -1000 at the effective energy of `beam`; outside the field of view lies air.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.transform import iradon

    angles = view_angles(paths.shape[-1])
    size = paths.shape[1]
    y, x = np.ogrid[:size, :size]
    outside = np.hypot(y - size // 2, x - size // 2) > size // 2 - 2
    scale = 10.0 / pixel_mm / beam.water
    out = np.empty((paths.shape[0], size, size), np.float32)
    for k, sinogram in enumerate(paths):
        image = iradon(sinogram, angles, filter_name=kernel.filter_name, circle=True) * scale
        if kernel.smoothing_mm:
            image = gaussian_filter(image, kernel.smoothing_mm / pixel_mm)
        if kernel.edge_gain:
            image = image + kernel.edge_gain * (image - gaussian_filter(image, 1.0))
        image = 1000.0 * (image - 1.0)
        image[outside] = -1000.0
        out[k] = image
    return out


def export(hu: np.ndarray, style: Style) -> np.ndarray:
    """Pixels as written: int16 HU in [-1024, 3071], or uint8 grey values 0..255 of the style's display window."""
    if style.export == "hounsfield":
        return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    level, width = style.window
    return np.rint(np.clip((hu - level) / width + 0.5, 0, 1) * 255).astype(np.uint8)


def write_scan(path: Path, settings: PhantomSettings, patient: Patient, style: str, beam: Beam) -> None:
    """`scan_patient`, written as DICOM, CT and vertebra masks in one zip (`dicom.write.write_ct_zip`)."""
    scanned = scan_patient(settings, patient, style, beam)
    chosen = settings.style(style)
    half = patient.pixel_mm * (patient.labels.shape[-1] // 2)
    write_ct_zip(
        path,
        CTSeries(
            patient=patient.name,
            name=f"{patient.name}-{style}",
            pixels=export(scanned.hu, chosen),
            labels=scanned.labels,
            origin_mm=(-half, -half, patient.origin_z_mm),
            spacing_mm=(patient.pixel_mm, patient.pixel_mm, patient.thickness_mm),
            kvp=chosen.kvp,
            exposure_mas=chosen.mas,
            kernel=chosen.kernel.upper(),
            contrast=f"Iodine {scanned.iodine_mg_ml:.1f} mg/ml in blood" if scanned.iodine_mg_ml else "",
            window=chosen.window if chosen.export == "display" else None,
        ),
    )
