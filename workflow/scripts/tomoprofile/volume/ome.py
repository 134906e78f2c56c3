"""What an OME-Zarr 0.5 image says of its axes, voxel size and channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def ome_metadata(
    name: str, voxel_size_um: tuple[float, float, float], levels: int, channels: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the metadata of an OME-Zarr 0.5 image whose arrays ``0``, ``1``, ... are halved repeatedly.

    OME-Zarr measures from the centre of voxel (0, 0, 0): the first voxel of a coarser level, which covers
    several, has its centre farther out.

    Parameters
    ----------
    name : str
        Folder of the store (``NAME.ome.zarr``).
    voxel_size_um : tuple of float
        Voxel edges of array ``0`` along (z, y, x) in micrometres.
    levels : int
        Number of arrays.
    channels : sequence of str, optional
        Names of the channels; viewers show them beside their layers.
    """
    several = bool(channels)
    datasets = []
    for level in range(levels):
        scale = [1.0] * several + [float(edge) * 2**level for edge in voxel_size_um]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if level:
            shift = [0.0] * several + [float(edge) * (2**level - 1) / 2 for edge in voxel_size_um]
            transformations.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}] * several
    axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    multiscale = {"name": name.removesuffix(".ome.zarr"), "axes": axes, "datasets": datasets}
    metadata: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if several:
        window = {"min": 0, "start": 0, "end": 255, "max": 255}
        shown = [{"label": channel, "color": "FFFFFF", "window": window, "active": True} for channel in channels]
        metadata["omero"] = {"channels": shown}
    return metadata
