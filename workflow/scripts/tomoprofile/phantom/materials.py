"""Optical constants of the materials of the simulated scan.

Values at 10, 15, 20 and 30 keV; between them both constants closely follow power laws, so they are interpolated on
doubly logarithmic axes. Sources: xraylib 4.3 (Schoonjans et al. 2011) for cured epoxy (C50H90N2O8), water and silicon;
NIST XCOM mass attenuation (Al 52.93 %, O 47.07 % by mass; Si 46.74 %, O 53.26 %) for the attenuation of Al2O3 and of
fused SiO2, whose refraction follows from their electron density.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, Fault

EPOXY_DENSITY_G_CM3 = 1.16  # the density of the table below; the constants scale with it
ALUMINA_DENSITY_G_CM3 = 3.95
SILICA_DENSITY_G_CM3 = 2.20
_ELECTRON_RADIUS_M = 2.8179403e-15
_AVOGADRO = 6.02214076e23
_OXIDES = {  # density in g/cm³, electrons per formula unit, molar mass in g/mol
    "alumina": (ALUMINA_DENSITY_G_CM3, 2 * 13 + 3 * 8, 101.961),
    "silica": (SILICA_DENSITY_G_CM3, 14 + 2 * 8, 60.084),
}

_ENERGIES_KEV = (10.0, 15.0, 20.0, 30.0)
_DELTA = {
    "epoxy": (2.665e-6, 1.183e-6, 6.652e-7, 2.955e-7),
    "water": (2.307e-6, 1.024e-6, 5.753e-7, 2.555e-7),
    "silicon": (4.89e-6, 2.16e-6, 1.21e-6, 5.37e-7),
}
_MU_PER_CM = {
    "epoxy": (3.19, 1.08, 0.585, 0.333),
    "water": (5.32, 1.67, 0.808, 0.375),
    "silicon": (78.9, 24.1, 10.4, 3.35),
    "alumina": (65.9, 20.0, 8.80, 3.06),
    "silica": (41.8, 12.8, 5.60, 1.92),
}
MATERIALS = ("epoxy", "water", "silicon", "alumina", "silica", "air")


@dataclass(frozen=True)
class OpticalConstants:
    """Refraction and absorption of one material: n = 1 - delta + i beta, mu = 4 pi beta / lambda.

    Attributes
    ----------
    delta : float
        Refractive index decrement.
    mu_per_cm : float
        Linear attenuation in 1/cm.
    """

    delta: float
    mu_per_cm: float


def wavelength_um(energy_kev: float) -> float:
    """Return the wavelength in micrometres of photons of ``energy_kev``."""
    return 1.2398420e-3 / energy_kev


def optical_constants(material: str, energy_kev: float, density_g_cm3: float = EPOXY_DENSITY_G_CM3) -> OpticalConstants:
    """Return the optical constants of a material.

    Parameters
    ----------
    material : str
        One of ``MATERIALS``.
    energy_kev : float
        Photon energy, 10 to 30 keV.
    density_g_cm3 : float
        Density of the epoxy; the other materials have their own.

    Raises
    ------
    ConfigError
        When the energy lies outside the table, because extrapolation would be a guess.
    """
    if not _ENERGIES_KEV[0] <= energy_kev <= _ENERGIES_KEV[-1]:
        problem = "optical constants are known from 10 to 30 keV"
        raise ConfigError(Fault("phantom: energy_kev", str(energy_kev), problem, "Choose an energy in this range."))
    if material == "air":
        return OpticalConstants(0.0, 0.0)
    scale = density_g_cm3 / EPOXY_DENSITY_G_CM3 if material == "epoxy" else 1.0
    delta = _oxide_delta(material, energy_kev) if material in _OXIDES else _interpolate(_DELTA[material], energy_kev)
    return OpticalConstants(scale * delta, scale * _interpolate(_MU_PER_CM[material], energy_kev))


def _interpolate(values: tuple[float, ...], energy_kev: float) -> float:
    return math.exp(np.interp(math.log(energy_kev), np.log(_ENERGIES_KEV), np.log(values)))


def _oxide_delta(material: str, energy_kev: float) -> float:
    """Return r_e lambda^2 n_e / 2 pi: far above the absorption edges every electron counts once."""
    density, electrons, g_mol = _OXIDES[material]
    electrons_per_m3 = density * 1e6 * _AVOGADRO * electrons / g_mol
    return _ELECTRON_RADIUS_M * (wavelength_um(energy_kev) * 1e-6) ** 2 * electrons_per_m3 / (2 * math.pi)
