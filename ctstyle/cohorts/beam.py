"""The X-ray beams of the virtual scanner: what a tube voltage makes of a filtered tungsten spectrum.

They are the same for every scan, and the tables that they come from take longer to read than a scan takes to be
reconstructed; so they are measured once and kept in a file.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ctstyle.cohorts.phantom.tissues import BASIS, mass_attenuation, mass_attenuations
from ctstyle.errors import CTStyleError


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
    return Beam(effective, photons, tuple(mass_attenuation(material, effective) for material in BASIS))


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
