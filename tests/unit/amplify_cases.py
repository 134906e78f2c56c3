"""Small simulated cases for the tests of amplification: a body with organs, deformed by known modes."""

import numpy as np
from scipy import ndimage

from tomoprofile.amplify.grid import Case, Grid

BODY, SPINE, LIVER, KIDNEY, VESSEL = range(1, 6)
GREY = {0: -1.0, BODY: 0.0, SPINE: 1.5, LIVER: 0.5, KIDNEY: 0.8, VESSEL: 0.6}


def grid_of(side, dims, spacing=2.0):
    affine = np.diag([*[spacing] * dims, 1.0])
    return Grid.of((side,) * dims, affine)


def torso(points, dims):
    """Return the classes at positions (d, *shape) from -1 to 1: up-down (3-D only), front-back, left-right."""
    y, x = points[-2:]
    z = points[0] if dims == 3 else np.zeros_like(y)
    label = np.zeros(y.shape, np.int32)
    back = np.where(y > 0, 0.45, 0.7)
    label[(y / back) ** 2 + (x / 0.85) ** 2 < 1 + 0.6 * z] = BODY
    label[((y + 0.2 - 0.2 * z) / 0.28) ** 2 + ((x + 0.38) / 0.34) ** 2 + ((z - 0.4) / 0.6) ** 2 < 1.2] = LIVER
    label[((y - 0.1) / 0.15) ** 2 + ((x - 0.42) / 0.13) ** 2 + ((z + 0.2) / 0.4) ** 2 < 1.2] = KIDNEY
    label[((y - 0.3) / 0.13) ** 2 + (x / 0.14) ** 2 < 1] = SPINE
    label[((y - 0.08) / 0.07) ** 2 + ((x - 0.03) / 0.07) ** 2 < 1] = VESSEL
    return label


def positions(side, dims):
    axis = (np.arange(side) + 0.5) * 2 / side - 1
    return np.stack(np.meshgrid(*[axis] * dims, indexing="ij"))


def strands(points):
    """Return the structure of tissue, which belongs to the body and moves with it."""
    y, x = points[-2:]
    z = points[0] if len(points) == 3 else np.zeros_like(y)
    return 0.3 * np.sin(11 * x + 4 * y + 8 * z) * np.sin(8 * y - 5 * x + 6 * z + 1)


def seen(label, rng, noise=0.1, grey=None, structure=0.0):
    """Return an image of classes: structure, blur and noise."""
    values = grey or GREY
    image = np.select([label == value for value in values], list(values.values())) + structure * (label > 0)
    image = ndimage.gaussian_filter(image, 0.7)
    return (image + noise * rng.standard_normal(label.shape)).astype(np.float32)


def torso_case(name, rng, side=64, dims=2, move=None, **settings):
    """Return a case whose position ``p`` shows what the torso has at ``move(p)``."""
    points = positions(side, dims)
    points = points if move is None else move(points)
    label = torso(points, dims)
    return Case(name, seen(label, rng, structure=strands(points), **settings), grid_of(side, dims), label)


def dice(one, other):
    values = [value for value in np.unique(one) if value]
    return float(
        np.mean([2 * ((one == v) & (other == v)).sum() / ((one == v).sum() + (other == v).sum()) for v in values])
    )


def bumps(points, middle, width, vector, amount):
    """Return a smooth local shift (d, *shape) of positions."""
    square = sum((p - m) ** 2 for p, m in zip(points, middle, strict=True))
    weight = amount * np.exp(-0.5 * square / width**2)
    return np.stack([weight * v for v in vector])
