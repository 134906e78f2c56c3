"""Scans made of labels, for tests of the profile: analytic objects, their runs and their table."""

import math

import numpy as np
import pandas as pd

from tomoprofile.domains.measures import nearest
from tomoprofile.domains.objects import ObjectsMetadata, Runs, write_objects
from tomoprofile.profile.depth import ProfileInputs, ProfileTables, profile_depth
from tomoprofile.tables import LEVELS, read_facts
from tomoprofile.volume.plane import Plane


def paint(shape, voxel_um, centres_um, radii_um):
    """Label the voxels whose centre a sphere holds; 1, 2, ... in the order given, the first one keeps a voxel."""
    labels = np.zeros(shape, np.int32)
    for number, (centre, radius) in enumerate(zip(centres_um, radii_um, strict=True), start=1):
        low = np.maximum(np.floor((centre - radius) / voxel_um), 0).astype(int)
        high = np.minimum(np.ceil((centre + radius) / voxel_um), shape).astype(int)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        z, y, x = ((np.arange(a, b) + 0.5) * voxel_um - c for a, b, c in zip(low, high, centre, strict=True))
        inside = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2 < radius**2
        part = labels[box]
        part[inside & (part == 0)] = number
    return labels


def runs_of(labels):
    """Return z, y, x_start, x_stop, domain_id of the runs, in raster order."""
    padded = np.pad(labels, ((0, 0), (0, 0), (1, 1)))
    change = np.diff(padded, axis=2) != 0
    z, y, x = np.nonzero(change)
    following = labels[z[:-1], y[:-1], np.minimum(x[:-1], labels.shape[2] - 1)]
    is_run = (z[:-1] == z[1:]) & (y[:-1] == y[1:]) & (x[:-1] < labels.shape[2]) & (following > 0)
    return (
        pd.DataFrame({"z": z[:-1][is_run], "y": y[:-1][is_run], "x_start": x[:-1][is_run], "x_stop": x[1:][is_run]})
        .astype("int32")
        .assign(domain_id=following[is_run].astype("int64"))
    )


def table_of(runs, shape, voxel_um, plane):
    """Return the columns of ``domains.parquet`` that the profile needs.

    Objects that touch a lateral face count 0, cut or not, because nobody can tell. A box of b voxels has n - b - 1
    places in n voxels that touch neither face, so the weight is n / (n - b - 1) along each lateral axis.
    """
    length = (runs["x_stop"] - runs["x_start"]).astype("int64")
    sums = (
        pd.DataFrame(
            {
                "voxels": length,
                "z": (runs["z"] + 0.5) * length,
                "y": (runs["y"] + 0.5) * length,
                "x": (runs["x_start"] + runs["x_stop"]) / 2 * length,
            }
        )
        .groupby(runs["domain_id"])
        .sum()
    )
    edges = runs.assign(z_stop=runs["z"] + 1, y_stop=runs["y"] + 1).groupby("domain_id")
    low = edges[["z", "y", "x_start"]].min().to_numpy()
    high = edges[["z_stop", "y_stop", "x_stop"]].max().to_numpy()
    weight = np.ones(len(sums))
    for axis in {0, 1, 2} - {plane.axis}:
        whole = (low[:, axis] > 0) & (high[:, axis] < shape[axis])
        weight *= np.where(whole, shape[axis] / (shape[axis] - (high - low)[:, axis] - 1), 0)
    centroid = sums[["z", "y", "x"]].to_numpy() / sums[["voxels"]].to_numpy() * voxel_um
    volume = sums["voxels"].to_numpy() * voxel_um**3
    return pd.DataFrame(
        {
            "domain_id": sums.index.to_numpy(np.int64),
            "class": "domain",
            "voxels": sums["voxels"].to_numpy(np.int64),
            "volume_um3": volume,
            "equivalent_diameter_um": np.cbrt(6 * volume / math.pi),
            "centroid_z_um": centroid[:, 0],
            "centroid_y_um": centroid[:, 1],
            "centroid_x_um": centroid[:, 2],
            "edge_weight": weight,
            **nearest(dict(zip(("centroid_z_um", "centroid_y_um", "centroid_x_um"), centroid.T, strict=True))),
        }
    )


def write_runs(path, classes, shape, voxel_um, shard_slices):
    """Write the runs of a class called ``domain``, or a dictionary of the runs of several classes."""
    written = []
    for name, runs in (classes if isinstance(classes, dict) else {"domain": classes}).items():
        n_domains = int(runs["domain_id"].max()) if len(runs) else 0
        starts = range(0, shape[0], shard_slices)
        shards = [runs[(runs["z"] >= z) & (runs["z"] < z + shard_slices)] for z in starts]
        metadata = ObjectsMetadata(name, 0.5, 26, 1, shape, (voxel_um,) * 3, n_domains)
        written.append((metadata, [Runs(*(shard[column].to_numpy() for column in runs)) for shard in shards]))
    write_objects(path, written)


def tables_in(folder):
    return ProfileTables(*(folder / f"{name}.parquet" for name in TABLES))


def facts_in(path, name="domain"):
    """Return what the metadata of a table say of a class."""
    return read_facts(path)["classes"][name]


def inputs_in(folder, objects="runs.parquet", **more):
    """Return the inputs of one scan, the same at all levels."""
    levels = (dict.fromkeys(LEVELS, folder / name) for name in (objects, "domains.parquet"))
    return ProfileInputs(*levels, folder / "interface.json", **more)


def run_profile(
    folder, labels, plane, config, voxel_um=1.0, shard_slices=16, edit=None, seed=1, mask=None, workers=None
):
    """Write the inputs of one scan, the same at all levels, and return profile and zones of the calibrated level."""
    runs = runs_of(labels)
    table = table_of(runs, labels.shape, voxel_um, plane)
    if edit is not None:
        table = edit(table)
    write_runs(folder / "runs.parquet", runs, labels.shape, voxel_um, shard_slices)
    table.to_parquet(folder / "domains.parquet")
    plane.save(folder / "interface.json")
    profile_depth(inputs_in(folder, mask=mask), config, seed, tables_in(folder), workers)
    both = (pd.read_parquet(folder / name) for name in ("profile.parquet", "zones.parquet"))
    return tuple(table[table["level"] == "calibrated"].reset_index(drop=True) for table in both)


def depth_map(shape, voxel_um, plane):
    z, y, x = ((np.arange(n) + 0.5) * voxel_um for n in shape)
    return plane.depth_um(z[:, None, None], y[None, :, None], x[None, None, :])


def separate_spheres(rng, low, high, number, radius):
    """Return centres by random sequential addition: no two closer than a diameter and a voxel's diagonal."""
    centres = np.empty((0, 3))
    while len(centres) < number:
        new = rng.uniform(low, high)
        if not len(centres) or np.linalg.norm(centres - new, axis=1).min() > 2 * radius + 1.8:
            centres = np.vstack([centres, new])
    return centres


TABLES = ("profile", "zones", "breakpoints", "correlation", "sizes")
ONE_ZONE = [{"name": "all", "from_um": 0}]
TILTED = Plane.through((0.02, 1.0, -0.03), 9.3)


def many_spheres():
    """Random spheres of 3 to 9 um above a tilted substrate along y, 1 um voxels."""
    rng = np.random.default_rng(7)
    centres = rng.uniform((0, 0, 0), (48, 60, 64), size=(150, 3))
    radii = rng.uniform(1.5, 4.5, size=150)
    away = TILTED.depth_um(*centres.T) > radii + 1
    return paint((48, 60, 64), 1.0, centres[away], radii[away])
