"""The way from a mask to the tables of a phase, through real stores; and a thickness found by drawing every sphere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from domains_scan import write_store
from scipy import ndimage

from tomoprofile.config_profile import ProfileConfig
from tomoprofile.phase.table import SegmentedPhases, measure_phases
from tomoprofile.substrate.resin import Resin
from tomoprofile.tables import at_level
from tomoprofile.volume.plane import Plane, WithoutSubstrate

PROFILE = ProfileConfig(bin_um=1.0, block_um=1.0, resamples=100)


def measure(
    folder: Path,
    mask: np.ndarray,
    voxel_size_um=(1.0, 1.0, 1.0),
    *,
    plane: Plane | None = None,
    resin: Resin | None = None,
    profile: ProfileConfig = PROFILE,
    connectivity: int = 26,
    shard_slices: int = 8,
    slices: int = 64,
    level: str | None = "calibrated",
    is_mask: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables of a mask, or of a stored probability; of the first one the rows of a level, or all."""
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / f"probability_{shard_slices}.ome.zarr"
    stored = mask.astype(np.uint8) * 255 if mask.dtype == bool else mask
    write_store(store, {"domain": stored}, shard_slices, voxel_size_um)
    (plane or WithoutSubstrate()).save(folder / "interface.json")
    (resin or Resin.everywhere()).save(folder / "resin.npz")
    settings = {b"settings": json.dumps(profile.model_dump(mode="json")).encode()}
    pq.write_table(pa.table({"depth_um": [0.0]}).replace_schema_metadata(settings), folder / "profile.parquet")
    files = (folder / name for name in ("interface.json", "resin.npz", "profile.parquet"))
    scan = SegmentedPhases(store, *files, {"domain": 0.5}, (0.3, 0.7), is_mask)
    out = folder / "phase.parquet", folder / "thickness.parquet"
    measure_phases(scan, connectivity, 1, out, slices=slices)
    found = pd.read_parquet(out[0])
    return found if level is None else at_level(found, level), pd.read_parquet(out[1])


def positions(shape) -> np.ndarray:
    """Return the middles of voxels, from the middle of the scan, array (z, y, x, 3)."""
    return np.stack(np.meshgrid(*(np.arange(n) + 0.5 - n / 2 for n in shape), indexing="ij"), axis=-1)


def drawn_thickness(mask: np.ndarray) -> np.ndarray:
    """Return the local thickness of every voxel, by drawing the sphere around every voxel: slow, and nothing like ours.

    The border of the array is not a border of the phase.
    """
    radius = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1, 1:-1]
    found = np.zeros(mask.shape)
    for centre in np.argwhere(mask):
        r = radius[tuple(centre)]
        box = tuple(slice(max(0, int(c - r)), int(c + r) + 2) for c in centre)
        inside = sum(np.square(axis - c) for axis, c in zip(np.ogrid[box], centre, strict=True)) < r * r
        inside = inside[tuple(slice(0, n) for n in found[box].shape)]
        found[box] = np.where(inside, np.maximum(found[box], 2 * r), found[box])
    return np.where(mask, found, 0)
