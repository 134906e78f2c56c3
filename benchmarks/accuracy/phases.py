"""Errors of the measures of a phase on bodies whose values are known, and how often intervals hold them."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tomoprofile.config_profile import ProfileConfig
from tomoprofile.logs import LOG
from tomoprofile.phase.table import SegmentedPhases, measure_phases
from tomoprofile.substrate.resin import Resin
from tomoprofile.tables import CALIBRATED, at_level
from tomoprofile.volume.plane import WithoutSubstrate
from tomoprofile.volume.store import create_store, open_store

from .phase_bodies import BODIES, Mask
from .trials import read_results, write_results

SAMPLES, LONE, FEW = 40, 6, 2  # realisations of a sample, of other bodies, and of those beyond a size
LARGE = 30.0
_CLASS, _SHARD = "phase", 32
# Relative errors say nothing where the truth is 0, and little where it is a share: these are in hundredths.
ABSOLUTE = ("volume_ratio", "anisotropy")
Record = dict[str, Any]


def measured(mask: Mask) -> pd.Series:
    """Return the row of ``phase.parquet`` of a mask with voxels of 1 um, through real stores."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        store, profile = folder / "probability.ome.zarr", folder / "profile.parquet"
        create_store(store, mask.shape, "uint8", (1.0, 1.0, 1.0), _SHARD, channels=(_CLASS,))
        opened = open_store(store, _CLASS)
        for start, stop in opened.shards():
            opened.write(start, mask[start:stop].astype(np.uint8) * np.uint8(255))
        WithoutSubstrate().save(folder / "interface.json")
        Resin.everywhere().save(folder / "resin.npz")
        settings = json.dumps(ProfileConfig(bin_um=1.0, block_um=1.0, resamples=500).model_dump(mode="json"))
        table = pa.table({"depth_um": [0.0]}).replace_schema_metadata({"settings": settings})
        pq.write_table(table, profile)
        scan = SegmentedPhases(
            store, folder / "interface.json", folder / "resin.npz", profile, {_CLASS: 0.5}, (0.3, 0.7), is_mask=True
        )
        out = folder / "phase.parquet", folder / "thickness.parquet"
        measure_phases(scan, 26, 1, out)
        return at_level(pd.read_parquet(out[0]), CALIBRATED).iloc[0]


def errors(name: str, size: float, realisations: int) -> list[Record]:
    """Return mean and standard deviation of the errors of one body, in percent, one record per column.

    Parameters
    ----------
    name : str
        Of :data:`~.phase_bodies.BODIES`.
    size : float
    realisations : int
    """
    body = BODIES[name]
    rng = np.random.default_rng(zlib.crc32(f"{name}/{size}".encode()))
    found: dict[str, list[float]] = defaultdict(list)
    held: dict[str, list[bool]] = defaultdict(list)
    for _ in range(realisations):
        # Thicknesses of whole voxels would all lie at the ends of the steps in which they are measured.
        own = size if body.sampled else size + rng.uniform(-0.5, 0.5)
        row = measured(body.draw(own, body.side(size), rng))
        for column, known in body.truth(own).items():
            error = float(row[column]) - known
            found[column].append(100 * (error if column in ABSOLUTE else error / abs(known)))
            held[column].append(bool(row.get(f"{column}_lo", np.nan) <= known <= row.get(f"{column}_hi", np.nan)))
    return [
        {
            "body": name,
            "size": size,
            "column": column,
            "n": len(values),
            "mean": round(float(np.mean(values)), 2),
            "sd": round(float(np.std(values)), 2),
            "held": round(100 * float(np.mean(held[column]))) if body.sampled else None,
        }
        for column, values in found.items()
    ]


def plan() -> Iterable[tuple[str, float, int]]:
    """Yield body, size and realisations of each trial."""
    for name, body in BODIES.items():
        for size in body.sizes:
            yield name, size, SAMPLES if body.sampled else FEW if size > LARGE else LONE


def work_through(trials: Iterable[tuple[str, float, int]], path: Path) -> None:
    """Run the trials that are missing and save each as it ends."""
    for name, size, realisations in trials:
        results = read_results(path)
        done = results.setdefault("phases", [])
        if not any((one["body"], one["size"], one["n"]) == (name, size, realisations) for one in done):
            done += errors(name, size, realisations)
            write_results(path, results)
            LOG.info("%s, %g voxels", name, size)


def section(records: list[Record]) -> str:
    """Return the part of the page that shows them."""
    text = [_INTRODUCTION]
    for name, body in BODIES.items():
        of_body = [record for record in records if record["body"] == name]
        sizes = sorted({record["size"] for record in of_body})
        if not of_body:
            continue
        lines = [["column", *(f"{size:g}" for size in sizes)], ["---"] * (1 + len(sizes))]
        for column in dict.fromkeys(record["column"] for record in of_body):
            by_size = {record["size"]: record for record in of_body if record["column"] == column}
            unit = " (1/100)" if column in ABSOLUTE else ""
            lines.append([f"`{column}`{unit}", *(_cell(by_size.get(size)) for size in sizes)])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        text.append(f"### {name[0].upper()}{name[1:]}, by {body.of} in voxels\n\n{table}\n")
    return "\n".join(text)


def _cell(record: Record | None) -> str:
    if record is None:
        return "-"
    held = "" if record["held"] is None else f"; {record['held']} %"
    return f"{record['mean']:+.1f} ± {record['sd']:.1f}{held}"


_INTRODUCTION = f"""## Measures of a phase

Mean error ± standard deviation of the columns of `phase.parquet`, in percent of the truth, for `volume_ratio` and
`anisotropy` in hundredths. Bodies lie at random places and, except for random fields, in random orientations; except
for these they are up to half a voxel larger or smaller than the head of the column says. A ball, rod and plate are
alone; plates have gaps of the same thickness; of a gyroid area and Euler number are known; random fields with the
correlation exp(-r² / 4 width²) exceed their mean, or 1.5 standard deviations more, for which Rice and Adler give the
truth. There are {LONE} realisations of each body, {FEW} from {LARGE:g} voxels on.

Random fields are cubes of 64³ voxels of something larger, {SAMPLES} of each, so most of their spread is that of
samples. Behind it stands how many of the 95 % intervals hold the truth. The anisotropy of a sample is never below 0 and
chance makes it larger than it is; its interval allows for that.
"""
