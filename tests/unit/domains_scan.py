"""Shapes of known size, and the way from a mask to its table, through real stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.table import Level, Segmented, measure_domains
from tomoprofile.volume.grey import GreyScale
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store, open_store

PLANE = Plane.through((1.0, 0.0, 0.0), 0.0)


def write_store(path: Path, image, shard_slices=8, voxel_size_um=(1.0, 1.0, 1.0), grey=None) -> Path:
    """Write an image, or a dictionary of the images of several channels, as a store."""
    channels = image if isinstance(image, dict) else {None: image}
    first = next(iter(channels.values()))
    names = tuple(filter(None, channels))
    create_store(path, first.shape, first.dtype, voxel_size_um, shard_slices, grey, channels=names)
    for name, part in channels.items():
        store = open_store(path, name)
        for start, stop in store.shards():
            store.write(start, part[start:stop])
    return path


def measure(
    folder: Path,
    mask,
    *,
    grey=None,
    probability=None,
    scale: GreyScale | None = None,
    voxel_size_um=(1.0, 1.0, 1.0),
    plane: Plane = PLANE,
    connectivity=26,
    min_voxels=1,
    min_slices=1,
    shard_slices=8,
    level=0.5,
    workers=None,
    instances=None,
    one_piece=(),
) -> pd.DataFrame:
    """Return the table of a mask, or of those of several classes; files of an earlier call are written over."""
    masks = mask if isinstance(mask, dict) else {"domain": mask}
    certain = {name: np.where(one, 255, 0).astype("uint8") for name, one in masks.items()}
    if probability is not None:
        certain = {"domain": probability}
    shape = next(iter(certain.values())).shape
    folder.mkdir(exist_ok=True)
    grey = np.zeros(shape, "uint8") if grey is None else grey
    write_store(folder / "probability", certain, shard_slices, voxel_size_um)
    write_store(folder / "volume", grey, shard_slices, voxel_size_um, scale)
    plane.save(folder / "interface.json")
    scan = Segmented(folder / "probability", folder / "volume", instances)
    probability = dict.fromkeys(certain, level)
    levels = {"calibrated": Level(probability, folder / "objects.parquet", folder / "domains.parquet")}
    objects = ObjectsConfig(connectivity=connectivity, min_voxels=min_voxels, min_slices=min_slices)
    measure_domains(scan, folder / "interface.json", levels, objects, one_piece=one_piece, workers=workers)
    return pd.read_parquet(folder / "domains.parquet")


def ellipsoid(semi_axes_um, voxel_size_um=(1.0, 1.0, 1.0), rotation=None, offset=(0.0, 0.0, 0.0)):
    """Return the mask of an ellipsoid whose voxels are those with their centre inside, with two voxels around it."""
    reach = [int(np.ceil(max(semi_axes_um) / edge)) + 3 for edge in voxel_size_um]
    at = np.meshgrid(
        *((np.arange(-n, n + 1) + o) * edge for n, o, edge in zip(reach, offset, voxel_size_um, strict=True)),
        indexing="ij",
    )
    points = np.stack(at, axis=-1) @ (np.eye(3) if rotation is None else rotation)
    return (points**2 / np.array(semi_axes_um) ** 2).sum(axis=-1) <= 1


def rotation_zx(degrees: float):
    """Return the matrix that turns the z axis by an angle towards x; columns are the turned axes."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
