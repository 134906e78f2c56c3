"""A small scan with spheres, and everything the report reads, written as the stages before it would."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from model_facts import measured, model_facts, scores, write_bundle

from tomoprofile.baselines.block import SegmentedScan, segment_block
from tomoprofile.baselines.table import write_baselines
from tomoprofile.config import ObjectsConfig, ProfileConfig
from tomoprofile.files import temporary_folder
from tomoprofile.report.baselines import draw_outlines
from tomoprofile.report.page import SampleFiles
from tomoprofile.substrate.resin import Resin
from tomoprofile.tables import DIAMETERS
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store

EDGE = 0.5
LEVELS = {"low": 0.3, "calibrated": 0.45, "high": 0.7}
ZONES = (("interface", 0.0, 9.0), ("bulk", 9.0, None))
SHARD = 16


def plant(plane: Plane, shape, n_small: int, n_large: int, rng) -> list[tuple[np.ndarray, float]]:
    """Return (centre in um, diameter in um) of spheres that do not touch."""
    spheres: list[tuple[np.ndarray, float]] = []
    size = np.array(shape) * EDGE
    reach = float(np.max([plane.depth_um(*corner) for corner in np.ndindex(2, 2, 2) for corner in [corner * size]]))
    for count, low, high, first, last in ((n_large, 5.0, 6.0, 0.0, 9.0), (n_small, 1.8, 3.4, 10.0, reach)):
        for _ in range(200 * count):
            if count <= 0:
                break
            centre, diameter = rng.uniform(0, size), rng.uniform(low, high)
            depth = plane.depth_um(*centre)
            if not (first + diameter / 2 < depth < last):
                continue
            if any(np.linalg.norm(centre - other) < (diameter + d) / 2 + 1.2 for other, d in spheres):
                continue
            spheres.append((centre, diameter))
            count -= 1
    return spheres


def paint(spheres, plane: Plane, shape, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return grey values, probability and the number of the sphere of every voxel (0 for none)."""
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * EDGE for n in shape], indexing="ij", sparse=True)
    grey = rng.normal(120, 6, shape)
    grey += np.where(plane.depth_um(z, y, x) < 0, 90, 0)
    probability = np.zeros(shape)
    owner = np.zeros(shape, np.int64)
    for number, (centre, diameter) in enumerate(spheres, 1):
        low = [max(0, int((c - diameter) / EDGE) - 2) for c in centre]
        high = [min(n, int((c + diameter) / EDGE) + 3) for c, n in zip(centre, shape, strict=True)]
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        at = [(np.arange(a, b) + 0.5) * EDGE - c for a, b, c in zip(low, high, centre, strict=True)]
        radius = np.sqrt(at[0][:, None, None] ** 2 + at[1][None, :, None] ** 2 + at[2][None, None, :] ** 2)
        outside = (radius - diameter / 2) / EDGE
        here = 1 / (1 + np.exp(np.clip(3 * outside, -30, 30)))
        owner[part][here > probability[part]] = number
        probability[part] = np.maximum(probability[part], here)
        grey[part] += 35 * np.exp(-((outside - 0.8) ** 2)) - 45 * np.exp(-((outside + 0.8) ** 2))
    return np.clip(grey, 0, 255).astype("uint8"), np.round(probability * 255).astype("uint8"), owner


def run_schema(level: float, shape, edges, n_domains: int) -> pa.Schema:
    """Return columns and conditions of a run file."""
    conditions = {"level": level, "connectivity": 26, "min_voxels": 5, "shape": shape, "voxel_size_um": edges}
    return pa.schema(
        [(name, pa.int32()) for name in ("z", "y", "x_start", "x_stop")] + [("domain_id", pa.int64())],
        metadata={key: json.dumps(value) for key, value in (conditions | {"n_domains": n_domains}).items()},
    )


def write_runs(path: Path, mask: np.ndarray, level: float) -> None:
    """Write a run file: one row group a shard."""
    schema = run_schema(level, mask.shape, [EDGE] * 3, int(mask.max()))
    path.parent.mkdir(exist_ok=True)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, mask.shape[0], SHARD):
            rows = []
            for z, y in np.argwhere(mask[start : start + SHARD].any(axis=2)):
                line = np.concatenate([[0], mask[start + z, y], [0]])
                edges = np.flatnonzero(np.diff(line))
                rows += [(start + z, y, a, b, line[a + 1]) for a, b in pairwise(edges) if line[a + 1]]
            columns = list(zip(*rows, strict=True)) or [[]] * 5
            arrays = [pa.array(np.array(c, np.int64)).cast(f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def measure(mask: np.ndarray, plane: Plane) -> pd.DataFrame:
    """Return the columns of domains.parquet that the report needs."""
    ids = np.unique(mask[mask > 0])
    voxels = np.bincount(mask.ravel())[ids]
    places = np.argwhere(mask)
    owners = mask[mask > 0]
    centre = [np.bincount(owners, weights=(places[:, i] + 0.5) * EDGE)[ids] / voxels for i in range(3)]
    volume = voxels * EDGE**3
    table = pd.DataFrame({"domain_id": ids, "class": 1, "voxels": voxels, "volume_um3": volume})
    table["equivalent_diameter_um"] = (6 * volume / math.pi) ** (1 / 3)
    for axis, values in zip("zyx", centre, strict=True):
        table[f"centroid_{axis}_um"] = values
    table["depth_um"] = plane.depth_um(*centre)
    x = table["centroid_x_um"]
    table["cavities"] = 0
    table["flag"] = np.where(table["equivalent_diameter_um"] < 4 * EDGE, "small_for_surface;small_for_axes", "")
    table["edge_weight"] = np.where((x < 1.5) | (x > mask.shape[2] * EDGE - 1.5), 0.0, 1.1)
    return table


def estimate(mask, domains, depth, low, high, level) -> dict:
    """Return one row of estimates for a range of depths."""
    inside = (depth >= low) & (depth < high)
    resin = float(inside.sum()) * EDGE**3
    found = float((mask[inside] > 0).sum()) * EDGE**3
    here = domains[(domains["depth_um"] >= low) & (domains["depth_um"] < high)]
    values = {
        "volume_ratio": found / resin if resin else 0.0,
        "mean_equivalent_diameter_um": here["equivalent_diameter_um"].mean(),
        "number_density_per_mm3": len(here) / resin * 1e9 if resin else 0.0,
    }
    row = {"level": level, "resin_um3": resin, "domain_um3": found, "n_domains": len(here)}
    for name, value in values.items():
        spread = value * 0.5 / math.sqrt(max(len(here), 1))
        row |= {name: value, f"{name}_lo": value - spread, f"{name}_hi": value + spread}
    quantiles = here["equivalent_diameter_um"].quantile([0, 0.1, 0.5, 0.9, 1]) if len(here) else [math.nan] * 5
    row |= dict(zip(DIAMETERS, quantiles, strict=False)) | {DIAMETERS[-1]: here["equivalent_diameter_um"].max()}
    for name in ("diameter_median_um", "volume_weighted_diameter_um"):
        row |= {f"{name}_lo": row[name] - 0.1, f"{name}_hi": row[name] + 0.1}
    row["flag"] = "few" if len(here) < 5 else ""
    return row


def nearest(row: dict) -> dict:
    """Return distances to the nearest neighbour as for domains at random places."""
    mean = 0.554 * (row["number_density_per_mm3"] / 1e9) ** (-1 / 3) if row["n_domains"] > 1 else math.nan
    ends = {"nearest_mean_um_lo": mean - 0.3, "nearest_mean_um_hi": mean + 0.3}
    return {"nearest_mean_um": mean, **ends, "nearest_sd_um": mean / 3, "clark_evans": mean / mean}


def write_estimates(folder: Path, domains: pd.DataFrame, zones: list[str], rows: list[dict]) -> None:
    """Write breakpoints, sizes and correlation of a scan."""
    breaks = [
        ("volume_ratio", 9.0, 8.0, 10.5, "flat to rising", 0.0, 0.001, ""),
        ("number_density_per_mm3", math.nan, math.nan, math.nan, "none", math.nan, math.nan, ""),
    ]
    names = ("quantity", "depth_um", "depth_um_lo", "depth_um_hi", "change", "slope_before", "slope_after", "flag")
    pd.DataFrame(breaks, columns=names).to_parquet(folder / "breakpoints.parquet", index=False)
    edges = np.arange(1.0, 7.5, 0.5)
    sizes, lags = [], []
    for row in rows:
        if row["level"] != "calibrated":
            continue
        inside = domains[(domains["depth_um"] >= row["from_um"]) & (domains["depth_um"] < row["to_um"])]
        counts, _ = np.histogram(inside["equivalent_diameter_um"], edges)
        volumes, _ = np.histogram(inside["equivalent_diameter_um"], edges, weights=inside["volume_um3"])
        for low, high, n, volume in zip(edges[:-1], edges[1:], counts, volumes, strict=True):
            density = n / row["resin_um3"] * 1e9 if row["resin_um3"] else math.nan
            ends = {"number_density_per_mm3_lo": 0.8 * density, "number_density_per_mm3_hi": 1.2 * density}
            share = volume / volumes.sum() if volumes.sum() else math.nan
            place = {"zone": row["zone"], "diameter_lo_um": low, "diameter_hi_um": high, "n_domains": n}
            sizes.append(place | {"number_density_per_mm3": density, **ends, "volume_ratio_share": share})
        ratio = row["volume_ratio"]
        for lag in np.arange(0, 12, EDGE):
            s2 = ratio**2 + ratio * (1 - ratio) * math.exp(-lag)
            known = {"s2": s2, "s2_lo": 0.9 * s2, "s2_hi": 1.1 * s2, "autocovariance": math.exp(-lag), "pairs": 1000}
            lags.append({"zone": row["zone"], "lag_um": lag, **known})
    assert {row["zone"] for row in sizes} == set(zones)
    pd.DataFrame(sizes).to_parquet(folder / "sizes.parquet", index=False)
    pd.DataFrame(lags).to_parquet(folder / "correlation.parquet", index=False)


def write_thresholds(folder: Path) -> None:
    """Write what thresholds find, as the workflow does."""
    level, profile, objects = LEVELS["calibrated"], ProfileConfig(), ObjectsConfig()
    files = (folder / name for name in ("volume.ome.zarr", "probability.ome.zarr", "interface.json", "resin.npz"))
    scan = SegmentedScan(*files, level)
    Resin.everywhere().save(folder / "resin.npz")
    with temporary_folder(folder / "baselines.parquet") as block_folder:
        block = segment_block(scan, profile, objects, block_folder)
        write_baselines(folder / "baselines.parquet", block, profile, draw_outlines(block, None))


def write_scan(
    folder: Path,
    sample: str = "epoxy_1",
    normal=(0.0, 1.0, 0.02),
    shape=(40, 64, 48),
    n_small: int = 40,
    n_large: int = 2,
    bin_um: float = 3.0,
    zones=ZONES,
    **record,
) -> SampleFiles:
    """Write all inputs of one report; ``record`` goes into interface.json."""
    rng = np.random.default_rng(7)
    axis = int(np.argmax(np.abs(normal)))
    size = np.array(shape) * EDGE
    start = 4.0 if normal[axis] > 0 else size[axis] - 4.0
    plane = Plane.through(normal, float(np.dot(normal, size / 2) + (start - size[axis] / 2) * normal[axis]))
    folder.mkdir(parents=True, exist_ok=True)
    grey, probability, owner = paint(plant(plane, shape, n_small, n_large, rng), plane, shape, rng)
    for name, data in (("volume", grey), ("probability", probability)):
        store = create_store(folder / f"{name}.ome.zarr", shape, "uint8", (EDGE,) * 3, SHARD)
        for first, stop in store.shards():
            store.write(first, data[first:stop])
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * EDGE for n in shape], indexing="ij", sparse=True)
    depth = plane.depth_um(z, y, x)
    bins, rows = [], []
    end = float(depth.max())
    for level, threshold in LEVELS.items():
        mask = np.where(probability >= math.ceil(threshold * 255), owner, 0)
        small = np.flatnonzero(np.bincount(mask.ravel()) < 5)
        mask[np.isin(mask, small)] = 0
        write_runs(folder / "objects" / f"{level}.parquet", mask, threshold)
        domains = measure(mask, plane)
        if level == "calibrated":
            pq.write_table(pa.Table.from_pandas(domains, preserve_index=False), folder / "domains.parquet")
        for low in np.arange(0, end - bin_um, bin_um):
            ends = {"depth_um": low + bin_um / 2, "depth_lo_um": low, "depth_hi_um": low + bin_um}
            bins.append(ends | estimate(mask, domains, depth, low, low + bin_um, level))
        for zone, low, high in zones:
            rows.append({"zone": zone, "from_um": low, "to_um": high or end})
            rows[-1] |= estimate(mask, domains, depth, low, high or math.inf, level)
            rows[-1] |= nearest(rows[-1])
    profile = pd.DataFrame(bins)
    profile.loc[profile["depth_hi_um"] > end - 2 * bin_um, "flag"] = "far_end"
    profile.to_parquet(folder / "profile.parquet", index=False)
    pd.DataFrame(rows).to_parquet(folder / "zones.parquet", index=False)
    write_estimates(folder, pd.read_parquet(folder / "domains.parquet"), [row[0] for row in zones], rows)
    plane.save(folder / "interface.json", **({"how": "fitted", "residual_um": 0.1, "warning": ""} | record))
    write_thresholds(folder)
    known = measured(LEVELS["calibrated"], held_out=scores())
    return SampleFiles(
        sample=sample,
        volume=folder / "volume.ome.zarr",
        probability=folder / "probability.ome.zarr",
        objects={level: folder / "objects" / f"{level}.parquet" for level in LEVELS},
        domains=folder / "domains.parquet",
        profile=folder / "profile.parquet",
        zones=folder / "zones.parquet",
        breakpoints=folder / "breakpoints.parquet",
        correlation=folder / "correlation.parquet",
        sizes=folder / "sizes.parquet",
        interface=folder / "interface.json",
        baselines=folder / "baselines.parquet",
        segmenter=write_bundle(folder / "bundle", model_facts(measured={"domain": known})),
        provenance={"configuration": "0123456789abcdef", "seed": 1},
    )


def write_crowded(folder: Path, n_domains: int = 100_000, pixels: int = 2048, n_slices: int = 9) -> SampleFiles:
    """Write a scan of a beamtime's size for the page alone: large slices full of discs, and a long table of domains.

    The slices are 100 um thick, so that a few of them make a scan of a millimetre.
    """
    files, rng = write_scan(folder), np.random.default_rng(3)
    shape, edges, spacing = (n_slices, pixels, pixels), (100.0, EDGE, EDGE), 20
    plane = Plane.through((0.0, 1.0, 0.0), 20.0)
    schema = run_schema(LEVELS["calibrated"], shape, edges, n_domains)
    run_file = folder / "objects" / "crowded.parquet"
    runs = pq.ParquetWriter(run_file, schema)
    stores = {name: folder / f"crowded_{name}.ome.zarr" for name in ("volume", "probability")}
    volume, probability = (create_store(path, shape, "uint8", edges, 1) for path in stores.values())
    around, number = np.arange(-9, 10), 0
    for z in range(n_slices):
        grey = rng.normal(120, 12, shape[1:])
        found = np.zeros(shape[1:], np.uint8)
        owner = np.zeros(shape[1:], np.int64)
        for y in range(60, pixels - spacing, spacing):
            for x in range(spacing, pixels - spacing, spacing):
                cy, cx, radius = *rng.uniform(-4, 4, 2), rng.uniform(2, 4)
                distance = np.hypot(around[:, None] - cy, around - cx) - radius
                part = slice(y - 9, y + 10), slice(x - 9, x + 10)
                found[part] = np.maximum(found[part], 255 / (1 + np.exp(np.clip(3 * distance, -30, 30))))
                grey[part] += 60 * np.exp(-((distance - 1) ** 2)) - 70 * np.exp(-((distance + 1) ** 2))
                number += 1
                owner[part][distance <= 0.05] = number
        volume.write(z, np.clip(grey, 0, 255).astype("uint8")[None])
        probability.write(z, found[None])
        owner[found < math.ceil(LEVELS["calibrated"] * 255)] = 0
        row, at = np.nonzero(np.diff(owner, axis=1, prepend=0, append=0))
        values = np.pad(owner, ((0, 0), (0, 1)))[row, at]
        start = np.flatnonzero(values)
        columns = (np.full(start.size, z), row[start], at[start], at[start + 1], values[start])
        arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, schema, strict=True)]
        runs.write_table(pa.Table.from_arrays(arrays, schema=schema))
    runs.close()
    size = np.array(shape) * edges
    places = rng.uniform((0, 30, 0), size, (n_domains, 3))
    diameter = np.clip(rng.lognormal(1.08, 0.25, n_domains), 1.2, 15.0)
    domains = pd.DataFrame({"domain_id": np.arange(n_domains), "volume_um3": math.pi / 6 * diameter**3})
    domains = domains.assign(equivalent_diameter_um=diameter, cavities=0, edge_weight=1.0, flag="")
    domains[[f"centroid_{axis}_um" for axis in "zyx"]] = places
    domains["depth_um"] = plane.depth_um(*places.T)
    domains.to_parquet(folder / "crowded.parquet", index=False)
    zones = pd.read_parquet(files.zones)
    zones.loc[zones["zone"] == "bulk", "to_um"] = math.nan
    zones.to_parquet(files.zones, index=False)
    plane.save(files.interface, how="fitted", residual_um=0.1, warning="")
    return replace(
        files, objects=files.objects | {"calibrated": run_file}, domains=folder / "crowded.parquet", **stores
    )


def write_mask(path: Path, method: str = "mask") -> Path:
    """Write mask.json."""
    record = {"method": method, "decision_level": 0.5, "path": "masks/a.nii.gz", "foreground_value": 255}
    record |= {"voxels": {"domain": 7}, "sha256_of_slabs": {"z00000": "abc"}}
    path.write_text(json.dumps(record))
    return path


def forget_band(zones: Path, out: Path) -> Path:
    """Write zones or a profile as those of a given mask."""
    table = pd.read_parquet(zones)
    band = table["level"] != "calibrated"
    for name in table.columns.drop(["level", "flag", "resin_um3"]).drop(["zone", "from_um", "to_um"], errors="ignore"):
        if not name.startswith("depth"):
            table[name] = table[name].astype("Int64" if name == "n_domains" else float).mask(band)
    table["flag"] = table["flag"].mask(band, "given_mask")
    table.to_parquet(out, index=False)
    return out


def write_threshold(path: Path) -> Path:
    """Write threshold.json."""
    path.write_text(json.dumps({"method": "otsu", "threshold": 101.5, "domains_are": "dark", "decision_level": 0.5}))
    return path
