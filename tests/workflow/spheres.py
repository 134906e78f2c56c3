"""A small scan that is quick to write: dark spheres in a bright, slightly noisy matrix."""

from pathlib import Path

import numpy as np
import tifffile

SHAPE = (48, 80, 72)


def write_spheres(path: Path) -> None:
    """Write a TIFF stack, uint8; its spheres have diameters of 7 to 15 voxels and do not touch."""
    rng = np.random.default_rng(1)
    grey = np.full(SHAPE, 170.0)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    for centre in np.ndindex(3, 5, 4):
        place = [16 * index + 8 for index in centre]
        inside = sum((axis - at) ** 2 for axis, at in zip((z, y, x), place, strict=True)) < rng.uniform(3.5, 7.5) ** 2
        grey[inside] = 70
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, (grey + rng.normal(0, 6, SHAPE)).round().astype("uint8"))
