"""Which arrays of a Zarr folder are images: of OME-Zarr of any version, of several images in one folder, bare ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from ...errors import Fault, InputError
from ...logs import LOG
from ...units import micrometres
from .base import COPY_AGAIN, decoding

_DEEPEST = 3  # groups in groups
_LAYOUT = "bioformats2raw.layout"
_AXES = "tczyx"  # of versions that do not name them
_SHOWN = 5


@dataclass(frozen=True)
class FoundArray:
    """The full resolution of an image in a Zarr folder.

    Attributes
    ----------
    name : str
        By which it is chosen: its path in the folder, empty for the folder itself.
    array : zarr.Array
    axes : list of str
        Names of its axes, empty where they are not known.
    edges_um : list of float or None
        Of a voxel along all its axes; None where there is none, or its unit is not known.
    """

    name: str
    array: Any
    axes: list[str]
    edges_um: list[float] | None


def images_in(path: Path) -> list[FoundArray]:
    """Return the images in a Zarr folder, the largest first; none where it is a result of ours or holds labels alone.

    Raises
    ------
    InputError
        When it cannot be read as Zarr.
    """
    with decoding(path, "Zarr", "the folder"):
        found = zarr.open(str(path), mode="r")
        images = [*_images(path, found, "", 0)]
    return sorted(images, key=lambda image: -math.prod(image.array.shape))


def image_in(path: Path, name: str) -> FoundArray:
    """Return the image of a name, or the only one.

    Raises
    ------
    InputError
        When there is no such image, or it is not clear which one is meant.
    """
    images = images_in(path)
    chosen = [image for image in images if image.name == name.strip("/")] if name else images
    if len(chosen) == 1:
        return chosen[0]
    names = [f"{path}/{image.name}" for image in images[:_SHOWN]]
    inside = ", ".join(names) or "none of its own"
    if name:
        raise InputError(Fault(str(path), repr(name), "there is no image of this name", f"There are: {inside}."))
    problem = "this Zarr group does not hold exactly one image"
    raise InputError(Fault(str(path), f"{len(images)} arrays", problem, f"Name the array itself ({inside})."))


def is_own(path: Path) -> bool:
    """Return whether a folder is a store that tomoprofile wrote."""
    with decoding(path, "Zarr", "the folder"):
        return "tomoprofile" in zarr.open(str(path), mode="r").attrs


def _images(path: Path, found: Any, name: str, depth: int) -> Iterator[FoundArray]:
    if isinstance(found, zarr.Array):
        names = getattr(found.metadata, "dimension_names", None) or found.attrs.get("_ARRAY_DIMENSIONS") or ()
        yield FoundArray(name, found, [str(each or "") for each in _list(names)], None)
        return
    ome: Any = found.attrs.get("ome", found.attrs)  # version 0.5 and those before
    scales = _list(ome.get("multiscales"))
    for number, scale in enumerate(scales):
        yield _full_resolution(path, found, name, scale, number if len(scales) > 1 else None)
    if scales or depth == _DEEPEST:
        return
    if ome.get(_LAYOUT) or found.attrs.get(_LAYOUT):
        groups = {key: group for key, group in found.groups() if key != "OME"}
    else:
        for key, array in sorted(found.arrays()):
            yield from _images(path, array, f"{name}/{key}".strip("/"), depth + 1)
        groups = {key: group for key, group in found.groups() if key not in ("labels", "OME")}
    for key, group in sorted(groups.items()):
        yield from _images(path, group, f"{name}/{key}".strip("/"), depth + 1)


def _full_resolution(path: Path, group: Any, name: str, scale: Any, number: int | None) -> FoundArray:
    first = scale["datasets"][0]
    array = group[first["path"]]
    if not isinstance(array, zarr.Array):
        raise InputError(Fault(str(path), "", "the full resolution of the OME-Zarr image is no array", COPY_AGAIN))
    listed = _list(scale.get("axes"))
    axes = [str(axis.get("name", "")) if isinstance(axis, dict) else str(axis) for axis in listed]
    axes = axes or list(_AXES if array.ndim == len(_AXES) else ())
    units = [micrometres(axis.get("unit", "")) if isinstance(axis, dict) else None for axis in listed]
    edges = [1.0] * array.ndim
    for step in [*_list(first.get("coordinateTransformations")), *_list(scale.get("coordinateTransformations"))]:
        if step.get("type") == "scale" and "scale" in step:
            edges = [edge * float(factor) for edge, factor in zip(edges, step["scale"], strict=True)]
    spatial = [(edge, unit) for edge, unit, axis in zip(edges, units, axes, strict=False) if axis.lower() in "zyx"]
    if not spatial or any(unit is None for _, unit in spatial):
        if any(edge != 1 for edge in edges):
            told = ", ".join(f"{edge:g}" for edge in edges)
            LOG.warning("%s: the scale of the image (%s) has no unit of length and is not used", path, told)
        return FoundArray(_name(name, first["path"], number), array, axes, None)
    um = [edge * (unit or 1.0) for edge, unit in zip(edges, units, strict=True)]
    return FoundArray(_name(name, first["path"], number), array, axes, um)


def _name(group: str, array: str, number: int | None) -> str:
    """Return how an image is chosen: by its group, or by its array where a group has several images."""
    return group if number is None else f"{group}/{array}".strip("/")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
