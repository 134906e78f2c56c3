"""The methods compared: each labels and measures one scan, and returns the number of objects.

Everything that a method needs is imported when it is made, so that neither imports nor warm-up are measured.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]  # probabilities, 0 or 255, (z, y, x)
Grey = NDArray[np.uint16]
Work = Callable[[Mask, Grey], int]

EDGES = (0.5, 0.5, 0.5)
SLICES = 64  # of a slab of ours
CHUNK = 128  # of dask
PROPERTIES = (
    "area",
    "bbox",
    "centroid",
    "inertia_tensor_eigvals",
    "intensity_mean",
    "intensity_std",
    "intensity_min",
    "intensity_max",
)


@dataclass(frozen=True)
class Method:
    """One way from a mask to a table.

    Attributes
    ----------
    title : str
        With what is measured beyond labels.
    make : callable
        Imports what it needs and returns the work.
    needs : tuple of str
        Modules.
    part : int
        Side of the central cube that is measured where the whole scan would take hours; 0: the whole scan.
    """

    title: str
    make: Callable[[], Work]
    needs: tuple[str, ...] = ()
    part: int = 0

    @property
    def missing(self) -> str:
        """Modules that are not installed."""
        return ", ".join(name for name in self.needs if importlib.util.find_spec(name) is None)


def _ours(slices: int | None = None) -> Work:
    from tomoprofile.domains.table import measure_array

    return lambda mask, grey: len(measure_array(mask, grey, EDGES, slices=slices)["voxels"])


def _cc3d_statistics() -> Work:
    import cc3d

    def work(mask: Mask, _: Grey) -> int:
        labels, count = cc3d.connected_components(mask, connectivity=26, binary_image=True, return_N=True)
        cc3d.statistics(labels, no_slice_conversion=True)
        return int(count)

    return work


def _cc3d_simpleitk() -> Work:
    import cc3d
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

    def work(mask: Mask, grey: Grey) -> int:
        labels, count = cc3d.connected_components(mask, connectivity=26, binary_image=True, return_N=True)
        image, values = SimpleITK.GetImageFromArray(labels), SimpleITK.GetImageFromArray(grey)
        # Shape and grey values in one pass, which is faster than two filters in turn.
        measure = SimpleITK.LabelIntensityStatisticsImageFilter()
        measure.ComputePerimeterOn()
        measure.Execute(image, values)
        return int(count)

    return work


def _cc3d_skimage() -> Work:
    import cc3d

    return _label_and_regionprops(lambda mask: cc3d.connected_components(mask, connectivity=26, binary_image=True))


def _scipy_skimage() -> Work:
    from scipy import ndimage

    return _label_and_regionprops(lambda mask: ndimage.label(mask, np.ones((3, 3, 3)))[0])


def _label_and_regionprops(label: Callable[[Mask], NDArray[np.integer]]) -> Work:
    from skimage.measure import regionprops_table

    def work(mask: Mask, grey: Grey) -> int:
        return len(regionprops_table(label(mask), grey, properties=PROPERTIES)["area"])

    return work


def _porespy() -> Work:
    from porespy.metrics import regionprops_3D
    from scipy import ndimage

    def work(mask: Mask, _: Grey) -> int:
        regions = regionprops_3D(ndimage.label(mask, np.ones((3, 3, 3)))[0])
        for region in regions:  # nothing is computed before it is asked for
            _ = region.volume, region.bbox, region.centroid, region.inertia_tensor_eigvals, region.surface_area
        return len(regions)

    return work


def _dask_image() -> Work:
    import dask
    import dask.array
    from dask_image.ndmeasure import label

    def work(mask: Mask, _: Grey) -> int:
        with dask.config.set(scheduler="synchronous"):
            labels, count = label(dask.array.from_array(mask, chunks=CHUNK), np.ones((3, 3, 3)))
            _, count = dask.compute(labels, count)
        return int(count)

    return work


def _floor() -> Work:
    # The sum of 8-byte words: nothing that reads every voxel can be faster.
    return lambda mask, _: int(mask.reshape(-1)[: mask.size // 8 * 8].view(np.uint64).sum() < 0)


OURS, FLOOR = "ours", "floor"
METHODS = {
    FLOOR: Method("reading the mask once", _floor),
    OURS: Method("tomoprofile, one shot: all columns of domains.parquet", _ours),
    "ours-slabs": Method(f"tomoprofile, slabs of {SLICES} slices: the same", lambda: _ours(SLICES)),
    "cc3d": Method("cc3d, cc3d.statistics: voxels, box, centroid", _cc3d_statistics, ("cc3d",)),
    "cc3d-simpleitk": Method(
        "cc3d, SimpleITK LabelIntensityStatistics: shape with perimeter, grey values",
        _cc3d_simpleitk,
        ("cc3d", "SimpleITK"),
    ),
    "cc3d-skimage": Method(
        f"cc3d, scikit-image regionprops_table: {len(PROPERTIES)} properties, no surface", _cc3d_skimage, ("cc3d",)
    ),
    "scipy-skimage": Method(
        f"scipy label, scikit-image regionprops_table: {len(PROPERTIES)} properties, no surface",
        _scipy_skimage,
        part=256,
    ),
    "porespy": Method("PoreSpy regionprops_3D: 5 properties with surface", _porespy, ("porespy",), part=128),
    "dask-image": Method(f"dask-image label, chunks of {CHUNK}: labels only", _dask_image, ("dask_image",), part=256),
}
