"""Augmentation: crops of labelled slices, varied as scans of one kind of sample differ.

A crop is varied as another scan would show it: rotated where the plane allows it, larger or smaller, with wider or
narrower rims, more noise with the spectrum of a reconstruction, rings, a different gain. Grey values are in robust
standard deviations of the scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..config import AugmentConfig
from ..labels.classes import BACKGROUND, DOMAIN, IGNORE
from ..volume.grey import compress, expand

OFTEN = 0.3  # share of crops that are scaled or get rings; doing so to all would blur the smallest domains
VOID_CONTRAST = (5.0, 15.0)  # times that of a domain: air against water in epoxy, PHYSICS_AND_METRICS 1
VOID_REACH = 6.0  # voxels of rim that grow with it
SPECTRUM_KNOTS = np.array([0.0, 0.06, 0.12, 0.25, 0.71])  # cycles per voxel; the corner of a crop is 0.71


def vary(
    image: NDArray[np.float32],
    label: NDArray[np.uint8],
    crop: int,
    square: bool,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a varied crop.

    Parameters
    ----------
    image : array (channels, y, x) of float32
        Normalised; at least ``crop`` on each side. It is scaled to ``crop``, see :func:`window_side`.
    label : array (y, x) of uint8
    crop : int
        Side of the result.
    square : bool
        Whether voxels are square in the plane: only then may it be rotated by 90 degrees.
    config : AugmentConfig
    rng : numpy.random.Generator
    """
    if image.shape[1] != crop:
        image, label = _resized(image, label, crop)
    if config.turn:
        image, label = _turned(image, label, square, rng)
    image = expand(image)
    if config.voids:
        image, label = _with_voids(image, label, config, rng)
    if config.spectrum or config.noise:
        image = _filtered(image, config, rng)
    if config.rings and rng.random() < OFTEN:
        image = image + _rings(crop, config.rings * rng.uniform(), rng)
    gain = np.exp(config.gain * rng.uniform(-1, 1))
    image = gain * image + config.offset * rng.uniform(-1, 1)
    if config.invert and rng.random() < 0.5:
        image = -image
    return compress(image), np.ascontiguousarray(label)


def _turned(
    image: NDArray[np.float32], label: NDArray[np.uint8], square: bool, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Mirror a crop along its axes, exchange these, and reverse the order of its slices, each at random."""
    for axis in (1, 2):
        if rng.random() < 0.5:
            image, label = np.flip(image, axis), np.flip(label, axis - 1)
    if square and rng.random() < 0.5:
        image, label = image.transpose(0, 2, 1), label.T
    if rng.random() < 0.5:
        image = image[::-1]  # the order of slices
    return image, label


def window_side(crop: int, largest: int, config: AugmentConfig, rng: np.random.Generator) -> int:
    """Return the side of the window to cut, so that scaling it to ``crop`` enlarges or shrinks it.

    Parameters
    ----------
    crop, largest : int
        Side of the result, and the largest side the slice allows.
    """
    amount = config.scale * rng.uniform(-1, 1) * (rng.random() < OFTEN)
    side = round(crop * np.exp(amount))
    return int(min(side, largest))


def _resized(
    image: NDArray[np.float32], label: NDArray[np.uint8], crop: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale a square window to ``crop``; label voxels take the nearest value, so that no new one arises."""
    side = image.shape[1]
    place = (np.arange(crop) + 0.5) * side / crop - 0.5
    low = np.clip(np.floor(place).astype(int), 0, side - 2)
    weight = np.clip(place - low, 0, 1).astype(np.float32)
    rows = image[:, low] * (1 - weight)[:, None] + image[:, low + 1] * weight[:, None]
    image = rows[:, :, low] * (1 - weight) + rows[:, :, low + 1] * weight
    nearest = np.clip(np.rint(place).astype(int), 0, side - 1)
    return image, label[nearest][:, nearest]


def _with_voids(
    image: NDArray[np.float32], label: NDArray[np.uint8], config: AugmentConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn some domains into voids: the same shape with several times the contrast, labelled background.

    Air refracts and absorbs like a domain of the same sign, only more, so a network that has never seen voids mistakes
    them for domains. Grey values are smoothed before they are amplified, or the noise would give them away.
    """
    parts, count = ndimage.label(label == DOMAIN)
    chosen = np.flatnonzero(rng.random(count) < config.voids) + 1
    if not chosen.size:
        return image, label
    voids = np.isin(parts, chosen)
    others = ndimage.binary_dilation((label == DOMAIN) & ~voids)
    reach = np.clip((VOID_REACH - ndimage.distance_transform_edt(~voids)) / 2, 0, 1) * ~others
    smooth = ndimage.gaussian_filter(image, (0, 0.7, 0.7))
    stronger = rng.uniform(*VOID_CONTRAST) - 1
    return (image + stronger * reach * smooth).astype(np.float32), np.where(voids, BACKGROUND, label)


def _filtered(image: NDArray[np.float32], config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """Change rims and noise: a smooth random transfer function, then noise with the spectrum of a reconstruction.

    Rims grow with the distance to the detector and with the density difference, by a factor that rises with spatial
    frequency (PHYSICS: sin of pi lambda R q^2), and the detector blurs them; a smooth random curve covers both. Noise
    of filtered back-projection has a power spectrum that rises as |q|.
    """
    side = image.shape[1]
    frequency = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None, :]).astype(np.float32)
    curve = config.spectrum * rng.standard_normal(len(SPECTRUM_KNOTS))
    transfer = np.exp(np.interp(frequency, SPECTRUM_KNOTS, np.cumsum(curve) / 2 - curve[0] / 2)).astype(np.float32)
    spectrum = fft.rfft2(image) * transfer
    white = rng.standard_normal(image.shape, dtype=np.float32)
    shape = np.sqrt(frequency)
    amount = config.noise * rng.uniform() ** 2 / float(np.sqrt((shape**2).mean()))
    spectrum += fft.rfft2(white) * (amount * shape)
    return fft.irfft2(spectrum, s=(side, side)).astype(np.float32)


def _rings(crop: int, amplitude: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return rings about an axis that may lie far outside the crop."""
    centre = rng.uniform(-3, 4, 2) * crop
    y, x = np.ogrid[:crop, :crop]
    radius = np.hypot(y - centre[0], x - centre[1])
    profile = ndimage.gaussian_filter1d(rng.standard_normal(int(radius.max()) + 2), 1.0)
    profile /= profile.std() + 1e-6
    return (amplitude * profile[radius.astype(int)]).astype(np.float32)


def padded(
    image: NDArray[np.float32], label: NDArray[np.uint8], side: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a slice padded to at least ``side`` on each side; the padding is labelled ignored."""
    missing = [(0, max(side - edge, 0)) for edge in label.shape]
    return np.pad(image, [(0, 0), *missing], mode="edge"), np.pad(label, missing, constant_values=IGNORE)
