"""Finished scans for exports: masks that went through the real stage of the domains, in a results folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from domains_scan import PLANE, write_store

from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.table import Level, Segmented, measure_domains
from tomoprofile.export.scan import FinishedScan, finished_scan
from tomoprofile.layout import Layout
from tomoprofile.volume.store import describe_store, open_store

SAMPLE = "bone"


def finished(
    folder: Path,
    masks,
    grey=None,
    *,
    edges_um=(1.0, 1.0, 1.0),
    slice_axis=0,
    geometry=None,
    scale=None,
    connectivity=26,
    shard_slices=8,
) -> FinishedScan:
    """Return a scan whose masks, grey values, voxel edges and geometry are given in the order of its raw file."""
    masks = masks if isinstance(masks, dict) else {"domain": masks}
    stored = {name: np.moveaxis(np.where(mask, 255, 0).astype("uint8"), slice_axis, 0) for name, mask in masks.items()}
    first = next(iter(stored.values()))
    grey = np.zeros(first.shape, "uint8") if grey is None else np.moveaxis(grey, slice_axis, 0)
    edges = tuple(edges_um[axis] for axis in [slice_axis, *(n for n in range(3) if n != slice_axis)])
    files = Layout(folder).scan(SAMPLE)
    files.folder.mkdir(parents=True)
    files.check.write_text("")
    write_store(files.volume.path, grey, shard_slices, edges)
    source = {"source": {"sample": SAMPLE, "path": "raw", "slice_axis": slice_axis}}
    describe_store(files.volume.path, edges, scale, source, geometry.reordered(slice_axis) if geometry else None)
    write_store(files.probability.path, stored, shard_slices, edges)
    PLANE.save(files.interface)
    levels = {
        "calibrated": Level(dict.fromkeys(stored, 0.5), files.objects_at("calibrated"), files.domains_at("calibrated"))
    }
    objects = ObjectsConfig(connectivity=connectivity, min_voxels=1, min_slices=1)
    measure_domains(Segmented(files.probability.path, files.volume.path, None), files.interface, levels, objects)
    assert open_store(files.volume.path).shape == first.shape
    return finished_scan(folder, SAMPLE)
