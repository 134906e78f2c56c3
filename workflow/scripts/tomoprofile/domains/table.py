"""One row of measures for each domain, derived once from the merged sums.

Definitions and sources: ``docs/outputs.md``.
"""

from __future__ import annotations

import math
from functools import reduce
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import SphericalVoronoi

from .. import __version__
from ..errors import Fault, StoreError
from ..logs import LOG
from ..volume.plane import Plane
from ..volume.store import GreyScale, Store, open_store
from . import sums as s
from .runs import Runs
from .stitch import ObjectsMetadata, count_parts, read_objects_metadata, read_part
from .sums import DIRECTIONS, Sums, sum_part

UNITS = {
    "voxels": "1",
    "volume_um3": "um3",
    "equivalent_diameter_um": "um",
    "surface_um2": "um2",
    "depth_um": "um",
    "tilt_deg": "degree",
}


def measure_domains(objects: Path, volume: Path, probability: Path, interface: Path, out: Path, threads: int) -> None:
    """Measure every domain of a scan; shards in parallel through Dask.

    Parameters
    ----------
    objects : Path
        Runs written by :func:`~tomoprofile.domains.stitch.stitch_objects`.
    volume, probability : Path
        Stores of grey values and probability, of the same shape.
    interface : Path
        ``interface.json``: the plane depth is measured from.
    out : Path
        The table, Parquet; columns in ``docs/outputs.md``.
    threads : int
        Shards at a time.

    Raises
    ------
    StoreError
        When the stores and the objects do not belong together.
    """
    metadata = read_objects_metadata(objects)
    grey_store, probability_store, plane = open_store(volume), open_store(probability), Plane.load(interface)
    for store in (grey_store, probability_store):
        if store.shape != metadata.shape:
            problem = f"the store has another shape than {objects} says"
            got = "x".join(map(str, store.shape))
            raise StoreError(Fault(str(store.path), got, problem, "Remove the results of this scan and run again."))
    part = dask.delayed(_measure_part)
    parts = [
        part(objects, index, grey_store, probability_store, metadata.n_domains) for index in range(count_parts(objects))
    ]
    merged = dask.delayed(_add)
    while len(parts) > 1:  # a tree, so that no more than a few sums are in memory at once
        parts = [merged(parts[index : index + 2]) for index in range(0, len(parts), 2)]
    total = dask.compute(*parts, scheduler="threads", num_workers=threads)[0] if parts else _nothing(grey_store)
    table = derive_table(total, metadata, grey_store.grey, plane)
    _write(table, metadata, out)
    LOG.info("%d domains measured", len(table))


def _add(parts: list[Sums]) -> Sums:
    return reduce(Sums.__add__, parts)


def _measure_part(objects: Path, index: int, grey: Store, probability: Store, n_domains: int) -> Sums:
    runs = read_part(objects, index)
    first = int(runs.z[0]) // grey.shard_slices * grey.shard_slices
    stop = min(first + grey.shard_slices, grey.shape[0])
    beyond = runs.part(slice(0, 0))
    if index + 1 < count_parts(objects):
        following = read_part(objects, index + 1)
        beyond = following.part(following.z == stop)
    return sum_part(runs, beyond, grey.read(first, stop), probability.read(first, stop), first, n_domains)


def _nothing(grey: Store) -> Sums:
    none = np.zeros(0, np.int32)
    runs = Runs(none, none, none, none, none.astype(np.int64))
    empty = np.zeros((1, 1, 1), np.uint8)
    return sum_part(runs, runs, empty.astype(grey.dtype), empty, 0, 0)


def direction_weights(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the share of all directions in space nearest to each of the 13, for a voxel spacing (z, y, x).

    Areas of the Voronoi cells of the 26 directions on the unit sphere (Legland, Kiêu and Devaux 2007); sum 1.
    """
    ends = DIRECTIONS * np.asarray(spacing)
    ends = ends / np.linalg.norm(ends, axis=1, keepdims=True)
    areas = SphericalVoronoi(np.concatenate([ends, -ends])).calculate_areas()
    return 2 * areas[: len(DIRECTIONS)] / (4 * math.pi)


def crofton_surface(
    voxels: NDArray[np.int64], pairs: NDArray[np.int64], spacing: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return surface areas from counts of voxels and of neighbouring pairs.

    A line in direction k meets an object once for each voxel whose predecessor lies outside: V - P_k times in all.
    Crofton: S = 4 * sum_k c_k (v / d_k) (V - P_k), with voxel volume v, spacing d_k along the direction and its weight
    c_k. For spheres -0.4 % at a radius of 5 voxels, within -3 % at 2 to 3 (Legland, Kiêu and Devaux 2007).

    Parameters
    ----------
    voxels : array (n,)
    pairs : array (n, 13)
        Pairs (p, p + direction) with both voxels in the object.
    spacing : tuple of float
        Voxel edges (z, y, x).
    """
    distance = np.linalg.norm(DIRECTIONS * np.asarray(spacing), axis=1)
    weights = direction_weights(spacing) * math.prod(spacing) / distance
    return 4 * (voxels[:, None] - pairs) @ weights


def derive_table(total: Sums, metadata: ObjectsMetadata, grey: GreyScale, plane: Plane) -> pd.DataFrame:
    """Return the table of domains from merged sums; columns in ``docs/outputs.md``."""
    edges = np.asarray(metadata.voxel_size_um)
    counts = total.counts
    voxels = counts[:, s.VOXELS]
    volume = voxels * edges.prod()
    surface = crofton_surface(voxels, counts[:, s.PAIRS :], metadata.voxel_size_um)
    mean = counts[:, s.SUM_Z : s.SUM_X + 1] / voxels[:, None]
    centroid = (mean + 0.5) * edges
    axes, longest = _axes(counts, edges)
    normal = np.asarray(plane.normal)
    box = total.box
    lateral = [axis for axis in range(3) if axis != plane.axis]
    table = {
        "domain_id": total.ids,
        "class": np.ones(len(voxels), np.int16),
        "voxels": voxels,
        "volume_um3": volume,
        "equivalent_diameter_um": np.cbrt(6 * volume / math.pi),
        "surface_um2": surface,
        "sphericity": math.pi ** (1 / 3) * np.cbrt(6 * volume) ** 2 / surface,
        "compactness": 36 * math.pi * volume**2 / surface**3,
        **{f"centroid_{name}_um": centroid[:, axis] for axis, name in enumerate("zyx")},
        "depth_um": plane.depth_um(*centroid.T),
    }
    for axis, name in enumerate("zyx"):
        table |= {f"bbox_{name}_start": box[:, axis], f"bbox_{name}_stop": box[:, axis + 3]}
    table |= {f"axis_{rank + 1}_um": axes[:, rank] for rank in range(3)}
    table |= {
        "elongation": axes[:, 1] / axes[:, 0],
        "flatness": axes[:, 2] / axes[:, 1],
        "tilt_deg": np.degrees(np.arccos(np.clip(np.abs(longest @ normal), 0, 1))),
    }
    table |= _grey_columns(total, voxels, grey)
    table |= {
        "confidence": counts[:, s.SUM_PROBABILITY] / (255 * voxels),
        "on_border": (box[:, :3] == 0).any(1) | (box[:, 3:] == np.asarray(metadata.shape)).any(1),
        "edge_weight": edge_weights(box, metadata.shape, lateral),
    }
    return pd.DataFrame(table)


def _axes(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return semi-axes (n, 3), longest first, and the direction of the longest (n, 3).

    The ellipsoid with the same second moments: a_i = sqrt(5 lambda_i), where a voxel itself contributes edge^2 / 12.
    """
    n = counts[:, s.VOXELS].astype(float)
    first = counts[:, s.SUM_Z : s.SUM_X + 1] / n[:, None]
    covariance = np.empty((len(n), 3, 3))
    columns = {
        (0, 0): s.SUM_ZZ,
        (1, 1): s.SUM_YY,
        (2, 2): s.SUM_XX,
        (0, 1): s.SUM_ZY,
        (0, 2): s.SUM_ZX,
        (1, 2): s.SUM_YX,
    }
    for (i, j), column in columns.items():
        value = counts[:, column] / n - first[:, i] * first[:, j] + (i == j) / 12
        covariance[:, i, j] = covariance[:, j, i] = value * edges[i] * edges[j]
    values, vectors = np.linalg.eigh(covariance)
    return np.sqrt(5 * np.maximum(values[:, ::-1], 0)), vectors[:, :, -1]


def _grey_columns(total: Sums, voxels: NDArray[np.int64], grey: GreyScale) -> dict[str, NDArray[np.float64]]:
    middle = s.GREY_MIDDLE if total.grey.dtype.kind == "i" else 0
    mean = total.grey[:, 0] / voxels
    variance = np.maximum(total.grey[:, 1] / voxels - mean**2, 0)
    ends = np.sort(total.grey_range.astype(float) * grey.slope + grey.offset, axis=1)
    return {
        "grey_mean": (mean + middle) * grey.slope + grey.offset,
        "grey_sd": np.sqrt(variance) * abs(grey.slope),
        "grey_min": ends[:, 0],
        "grey_max": ends[:, 1],
    }


def edge_weights(box: NDArray[np.int32], shape: tuple[int, int, int], lateral: list[int]) -> NDArray[np.float64]:
    """Return Miles-Lantuéjoul weights for the faces along the substrate.

    An object counts when it touches none of them; of all n - 1 positions of a box of b voxels whose reference point
    lies in the window, n - b - 1 are such, and the weight makes up for the rest. 0 for objects that touch.
    """
    weight = np.ones(len(box))
    for axis in lateral:
        n, start, stop = shape[axis], box[:, axis].astype(float), box[:, axis + 3].astype(float)
        free = n - (stop - start) - 1
        inside = (start > 0) & (stop < n) & (free > 0)
        weight = np.where(inside, weight * n / np.where(inside, free, 1), 0.0)
    return weight


def _write(table: pd.DataFrame, metadata: ObjectsMetadata, out: Path) -> None:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    facts = {"tomoprofile_version": __version__, "level": f"{metadata.level:.6g}"}
    facts |= {"connectivity": str(metadata.connectivity), "min_voxels": str(metadata.min_voxels)}
    facts |= {f"unit:{name}": unit for name, unit in UNITS.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    pq.write_table(
        arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **facts}), partial, compression="zstd"
    )
    partial.replace(out)
