"""From optical constants to grey values: refraction contrast, blur, noise and rings."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d

WORKERS = 2
_SLICES_AT_ONCE = 16
_RING_SLICES = 10.0  # sigma in slices: a defect of the detector covers some rows
_DEFECTIVE = 1.5  # a column further than this many sigma from the others leaves a ring: one in eight


def transfer_filter(
    mu_per_cm: NDArray[np.float32],
    phase_per_cm: NDArray[np.float32],
    voxel_um: float,
    wavelength_um: float,
    distance_mm: float,
    psf_um: float,
) -> NDArray[np.float32]:
    """Return the scan that tomography without phase retrieval would reconstruct.

    The transfer function of weak objects, applied once in 3-D (Ruhlandt and Salditt 2016 for the 3-D propagator)::

        f(q) = [mu(q) cos chi + (4 pi / lambda) delta(q) sin chi] exp(-2 pi^2 psf^2 q^2),  chi = pi lambda R q^2

    By the Fourier slice theorem this equals filtering every projection in 2-D before reconstruction. The bare
    Laplacian, its limit for small q, is wrong on edges sharper than sqrt(lambda R).

    Parameters
    ----------
    mu_per_cm : array (z, y, x)
        Linear attenuation, fractional at edges.
    phase_per_cm : array (z, y, x)
        (4 pi / lambda) delta in 1/cm; only differences matter. Both arrays repeat periodically.
    voxel_um : float
        Voxel edge.
    wavelength_um : float
        Wavelength of the X-rays.
    distance_mm : float
        R, from the sample to the detector.
    psf_um : float
        Sigma of the Gaussian point spread function.
    """
    absorption = fft.rfftn(mu_per_cm, workers=WORKERS)
    refraction = fft.rfftn(phase_per_cm, workers=WORKERS)
    along, plane = propagator(mu_per_cm.shape, voxel_um, wavelength_um * distance_mm * 1e3, psf_um)
    for index, factor in enumerate(along):
        kernel = factor * plane
        absorption[index] *= kernel.real
        absorption[index] += refraction[index] * kernel.imag
    return fft.irfftn(absorption, s=mu_per_cm.shape, overwrite_x=True, workers=WORKERS)


def propagator(
    shape: tuple[int, ...], voxel_um: float, fringe_um2: float, psf_um: float
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return ``exp(i chi) exp(-2 pi^2 psf^2 q^2)`` on the grid of ``rfftn``, as two factors whose product it is.

    It is the exponential of a sum of squares, so that no exponential is needed for every voxel.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (z, y, x).
    voxel_um : float
    fringe_um2 : float
        Wavelength times distance.
    psf_um : float
        Sigma of the Gaussian point spread function.

    Returns
    -------
    array (z,) of complex128
    array (y, x // 2 + 1) of complex128
    """
    nz, ny, nx = shape
    rate = math.pi * (1j * fringe_um2 - 2 * math.pi * psf_um**2)
    z, y, x = (
        np.exp(rate * q**2) for q in (fft.fftfreq(nz, voxel_um), fft.fftfreq(ny, voxel_um), fft.rfftfreq(nx, voxel_um))
    )
    return z, y[:, None] * x[None, :]


def add_noise(grey: NDArray[np.float32], sigma: float, rng: np.random.Generator) -> None:
    """Add noise of standard deviation ``sigma`` as filtered back projection makes it: power grows as q_xy.

    White noise of the projections goes through the ramp filter, and the slices are independent (Riederer et al. 1978).

    Parameters
    ----------
    grey : array (z, y, x)
        Changed in place.
    sigma : float
        Standard deviation, in the units of ``grey``.
    rng : numpy.random.Generator
        Random source.
    """
    _, ny, nx = grey.shape
    q = np.hypot(fft.fftfreq(ny)[:, None], fft.fftfreq(nx)[None, :])
    amplitude = np.sqrt(q / q.mean())[:, : nx // 2 + 1].astype(np.float32) * np.float32(sigma)
    for start in range(0, len(grey), _SLICES_AT_ONCE):
        part = grey[start : start + _SLICES_AT_ONCE]
        white = fft.rfft2(rng.standard_normal(part.shape, dtype=np.float32), workers=WORKERS)
        part += fft.irfft2(white * amplitude, s=(ny, nx), workers=WORKERS)


def add_rings(
    grey: NDArray[np.float32], rms: float, rng: np.random.Generator, axis: tuple[float, float] | None = None
) -> None:
    """Add rings about the rotation axis, which runs along z, through the middle of the slices unless told otherwise.

    Parameters
    ----------
    grey : array (z, y, x)
        Changed in place.
    rms : float
        Root mean square over all radii and slices, in the units of ``grey``.
    rng : numpy.random.Generator
        Random source.
    axis : tuple of float, optional
        Its place (y, x) in voxels; it may lie outside of the slices, as in a part of a scan.
    """
    nz, ny, nx = grey.shape
    y, x = axis or ((ny - 1) / 2, (nx - 1) / 2)
    radius = np.hypot(np.arange(ny)[:, None] - y, np.arange(nx)[None, :] - x)
    column = np.rint(radius).astype(np.intp)
    defects = rng.standard_normal((nz, column.max() + 1))
    defects = gaussian_filter1d(defects, _RING_SLICES, axis=0, mode="wrap")
    defects[np.abs(defects) < _DEFECTIVE * defects.std()] = 0
    level = math.sqrt(np.mean(defects**2))
    if not level:
        return
    defects *= rms / level
    for index in range(nz):
        grey[index] += defects[index][column].astype(np.float32)
