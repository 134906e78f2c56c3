"""A row of the sheet and a mask that fits it, for tests of files that lie."""

import numpy as np
import tifffile

from tomoprofile.samples import MaskImage, Scan
from tomoprofile.volume.masks import read_mask

SHAPE = (6, 10, 12)
SCAN = Scan(
    sample="a", path="raw", format="hdf5", slices=6, rows=10, columns=12, dtype="uint8", voxel_size_um=(1.0, 1.0, 1.0)
)


def ball(shape=SHAPE):
    z, y, x = np.indices(shape)
    return ((z - 3) ** 2 + (y - 5) ** 2 + (x - 6) ** 2 < 9).astype("uint8")


def mask_of(path, scan=SCAN):
    reader = read_mask(scan, MaskImage(str(path)))
    return reader.read(0, scan.slices)


def ome(folder, name, description):
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / name, ball()[:3], photometric="minisblack", metadata=None, description=description)
    return folder / name
