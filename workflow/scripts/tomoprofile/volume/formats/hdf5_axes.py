"""What an HDF5 file says of the axes of a dataset: their names, and the edges of a voxel along them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...units import micrometres, text_of_header
from .axes import Axes
from .base import step_of_axis

_LETTERS = set("tczyx")
_SIZES = ("voxel_size", "voxelsize", "pixel_size", "pixelsize", "x_pixel_size")


def axis_names(item: h5py.Dataset, group: Any) -> list[str]:
    """Return the letters of the axes of a dataset, as ilastik, labels of dimensions or NXdata give them, or nothing."""
    found = [*_tags(item)] or [*_labels(item)] or _listed(item, group)
    return found if len(found) == item.ndim and set(found) <= _LETTERS else []


def edges_of(path: Path, item: h5py.Dataset, group: Any, axes: Axes) -> tuple[float, float, float] | None:
    """Return the edges of a voxel in µm along z, y, x, or None where the file does not say.

    Parameters
    ----------
    path : Path
        The file, for messages.
    item : h5py.Dataset
    group : h5py.Group
        Around the dataset, as it was named.
    axes : Axes

    Raises
    ------
    InputError
        When the positions along an axis are not equally far apart.
    """
    names = _listed(item, group)
    by_place = axes.pick(names) if len(names) == item.ndim else ("z", "y", "x")
    for wanted in (by_place, ("z", "y", "x")):
        edges = [_edge(path, group, name, length) for name, length in zip(wanted, axes.pick(item.shape), strict=True)]
        if all(edges):
            return edges[0], edges[1], edges[2]
    edges = [_edge_of_scale(path, item, axis) for axis in axes.order]
    return (edges[0], edges[1], edges[2]) if all(edges) else _told_size(item, group)


def _edge(path: Path, group: Any, name: str, length: int) -> float | None:
    axis = group.get(name) if name and name != "." else None
    if not isinstance(axis, h5py.Dataset) or axis.ndim != 1 or len(axis) not in (length, length + 1):
        return None
    return _step(path, name, axis)


def _edge_of_scale(path: Path, item: h5py.Dataset, axis: int) -> float | None:
    scales = item.dims[axis]
    if not len(scales) or scales[0].ndim != 1 or len(scales[0]) != item.shape[axis]:
        return None
    return _step(path, str(axis), scales[0])


def _step(path: Path, name: str, axis: h5py.Dataset) -> float | None:
    factor = micrometres(axis.attrs.get("units", axis.attrs.get("unit", "")))
    step = step_of_axis(path, name, axis[()]) if factor else None
    return step * factor if step and factor else None


def _told_size(item: h5py.Dataset, group: Any) -> tuple[float, float, float] | None:
    """Return what attributes or datasets beside the image say of the size of a voxel."""
    size = item.attrs.get("element_size_um")  # of ilastik and of Fiji's plugin, z, y, x
    if size is not None and np.size(size) == 3:
        z, y, x = (float(edge) for edge in np.ravel(size))
        return z, y, x
    for place in (item, group):
        for name in _SIZES:
            size, unit = place.attrs.get(name), place.attrs.get(f"{name}_units", place.attrs.get(f"{name}_unit"))
            beside = group.get(name) if size is None else None
            if isinstance(beside, h5py.Dataset) and beside.size in (1, 3):
                size, unit = beside[()], beside.attrs.get("units", beside.attrs.get("unit"))
            factor = micrometres(unit) if unit is not None else None
            # Of three different numbers the order is not known.
            if size is not None and factor and np.size(size) in (1, 3) and np.ptp(np.ravel(size)) == 0:
                edge = float(np.ravel(size)[0]) * factor
                return edge, edge, edge
    return None


def _tags(item: h5py.Dataset) -> Iterator[str]:
    tags = item.attrs.get("axistags")
    if tags is None:
        return
    try:
        yield from (str(axis["key"]) for axis in json.loads(text_of_header(tags))["axes"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return


def _labels(item: h5py.Dataset) -> Iterator[str]:
    labels = [text_of_header(dimension.label).lower() for dimension in item.dims]
    if all(labels):
        yield from labels


def _listed(item: h5py.Dataset, group: Any) -> list[str]:
    """Return the names of axes as NXdata gives them: of the group, or of the dataset before 2014."""
    for holder in (group, item):
        names = holder.attrs.get("axes")
        if names is None:
            continue
        if np.size(names) > 1:
            return [text_of_header(name).strip() for name in np.ravel(names)]
        return [part for part in re.split(r"[\s:,\[\]]+", text_of_header(names)) if part]
    return []
