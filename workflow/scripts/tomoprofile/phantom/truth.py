"""The truth of a simulated scan, on its voxels: the objects and the profile that a perfect segmentation would give."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import label

from ..volume.plane import Plane
from .geometry import CLASSES, Spheres
from .painting import TALLIES
from .shapes import united

MATRIX, SUBSTRATE, AIR = 0, 3, 4
BIN_UM = 1.0


def merge_touching(spheres: Spheres, tallies: NDArray[np.int64], voxel_um: float) -> tuple[Spheres, NDArray[np.int64]]:
    """Merge two domains grown together into one object, as an exact segmentation counts them.

    Only where their labelled voxels inside the scan are one region under 26-connectivity: a face of the scan can cut
    off the neck between them, and then two objects are seen.

    Parameters
    ----------
    spheres : Spheres
        All objects, inside and outside the scan.
    tallies : array (n, 10)
        What was painted for each.
    voxel_um : float
        Voxel edge.

    Returns
    -------
    Spheres, array (m, 10)
        The objects, with a merged one in the place of its first part, all without shapes, and their tallies.
    """
    shapes = spheres.shapes
    if shapes is None:
        return spheres, tallies
    centres, diameters, tallies = spheres.centres_um.copy(), spheres.diameters_um.copy(), tallies.copy()
    keep = np.ones(len(spheres), bool)
    for first, second in enumerate(shapes.partners):
        if second <= first or not _one_region(spheres, tallies, first, second, voxel_um):
            continue
        centres[first], diameters[first] = united(shapes, spheres.centres_um, spheres.diameters_um, first, second)
        both = tallies[[first, second]]
        tallies[first] = [*both[:, :4].sum(axis=0), *_box(both).T.ravel()]
        keep[second] = False
    merged = Spheres(centres[keep], diameters[keep], spheres.classes[keep], spheres.large[keep])
    return merged, tallies[keep]


def _box(tallies: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the half-open box around the boxes of several objects: array (2, 3)."""
    return np.stack([tallies[:, 4::2].min(axis=0), tallies[:, 5::2].max(axis=0)])


def _one_region(spheres: Spheres, tallies: NDArray[np.int64], first: int, second: int, voxel_um: float) -> bool:
    both = tallies[[first, second]]
    if spheres.shapes is None or not both[:, 0].all():
        return False
    low, high = _box(both)
    axes = [(np.arange(a, b) + 0.5) * voxel_um for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    held = [spheres.shapes.holds(one, points - spheres.centres_um[one]) for one in (first, second)]
    return label(held[0] | held[1], structure=np.ones((3, 3, 3)))[1] == 1


def object_table(
    spheres: Spheres, tallies: NDArray[np.int64], shape: tuple[int, int, int], voxel_um: float, plane: Plane
) -> pd.DataFrame:
    """Return one row for each domain and void with a voxel in the scan.

    ``voxels`` to ``on_border`` are of the labelled voxels inside the scan, as a measurement sees them; ``diameter_um``,
    ``centre_*_um`` and ``centre_depth_um`` are of the whole body: its centre of mass and the sphere of its volume.

    Parameters
    ----------
    spheres : Spheres
        All objects, inside and outside the scan.
    tallies : array (n, 10)
        What was painted for each; fillers have none.
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    voxel_um : float
        Voxel edge.
    plane : Plane
        Resin-facing side of the substrate.
    """
    seen = tallies[:, 0] > 0
    row = dict(zip(TALLIES, tallies[seen].T, strict=True))
    centres = spheres.centres_um[seen]
    volume = row["voxels"] * voxel_um**3
    centroids = [(row[f"sum_{axis}"] / row["voxels"] + 0.5) * voxel_um for axis in "zyx"]
    on_border = np.zeros(int(seen.sum()), bool)
    for axis, voxels in zip("zyx", shape, strict=True):
        on_border |= (row[f"{axis}_start"] == 0) | (row[f"{axis}_stop"] == voxels)
    return pd.DataFrame(
        {
            "object_id": np.arange(1, len(volume) + 1),
            "class": spheres.classes[seen],
            "large": spheres.large[seen],
            "diameter_um": spheres.diameters_um[seen],
            **{f"centre_{axis}_um": centres[:, index] for index, axis in enumerate("zyx")},
            "centre_depth_um": plane.depth_um(*centres.T),
            "voxels": row["voxels"],
            "volume_um3": volume,
            "equivalent_diameter_um": np.cbrt(6 * volume / math.pi),
            **{f"centroid_{axis}_um": centroid for axis, centroid in zip("zyx", centroids, strict=True)},
            "depth_um": plane.depth_um(*centroids),
            "on_border": on_border,
        }
    )


def profile_table(
    labels: NDArray[np.uint8], objects: pd.DataFrame, voxel_um: float, plane: Plane, measured: str = "domain"
) -> pd.DataFrame:
    """Return the voxelised profile of a class: the reference, as the target curve has sampling noise.

    The volume fraction is voxels of the class over resin voxels. Resin is everything beyond the substrate, **domains
    and voids included**: a measurement with the class *domain* alone cannot tell a void from the matrix, and has voids
    in its denominator too. ``n_domains`` and the mean diameter are of the objects that touch no face of the scan, by
    depth of the centroid. The columns are the same for every class.

    Parameters
    ----------
    labels : array (z, y, x) of uint8
        0 matrix, 1 domain, 2 void, 3 substrate, 4 air.
    objects : DataFrame
        From :func:`object_table`.
    voxel_um : float
        Voxel edge.
    plane : Plane
        Resin-facing side of the substrate.
    measured : {"domain", "void"}
    """
    value = CLASSES[measured]
    z, y, x = ((np.arange(n) + 0.5) * voxel_um for n in labels.shape)
    corners = np.array([[plane.depth_um(a, b, c) for c in x[[0, -1]]] for a in z[[0, -1]] for b in y[[0, -1]]])
    bins = max(1, math.ceil(corners.max() / BIN_UM))
    resin, domain = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
    for index, z_um in enumerate(z):
        depth = plane.depth_um(z_um, y[:, None], x[None, :])
        inside = labels[index] < SUBSTRATE
        bin_of = np.clip((depth / BIN_UM).astype(np.intp), 0, bins - 1)
        resin += np.bincount(bin_of[inside], minlength=bins)
        domain += np.bincount(bin_of[labels[index] == value], minlength=bins)
    whole = objects[(objects["class"] == value) & ~objects["on_border"]]
    bin_of = np.clip((whole["depth_um"] / BIN_UM).astype(int), 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    diameters = np.bincount(bin_of, weights=whole["equivalent_diameter_um"], minlength=bins)
    low = np.arange(bins) * BIN_UM
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "depth_um": low + BIN_UM / 2,
                "depth_lo_um": low,
                "depth_hi_um": low + BIN_UM,
                "resin_um3": resin * voxel_um**3,
                "domain_um3": domain * voxel_um**3,
                "volume_ratio": domain / resin,
                "n_domains": count,
                "mean_equivalent_diameter_um": diameters / count,
            }
        )
