"""The stage of the profile, from objects files to its tables: time a voxel, memory against depth, and its resamples.

Scans are written as runs, without a single grey value: the same layer of spheres, repeated along the depth. Every
measurement runs in a fresh process, on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tomoprofile.domains.objects import ObjectsMetadata, Runs, write_objects
from tomoprofile.files import whole_file
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.profile.depth import ProfileInputs, ProfileTables, profile_depth
from tomoprofile.profile.domains import Domains, diameters
from tomoprofile.profile.estimators import Tallies, draw_blocks, estimate
from tomoprofile.profile.exposure import Exposure
from tomoprofile.profile.masks import Grid, Space
from tomoprofile.profile.ranges import Ranges, layer_borders
from tomoprofile.substrate.resin import Resin
from tomoprofile.tables import LEVELS
from tomoprofile.volume.plane import Plane

VOXEL_UM = 0.5
SHARD = 64
RADIUS = 3  # voxels: domains of 3 um
PITCH = 16  # voxels from one to the next: 2.7 %
SCANS = ((256, 256, 256), (512, 512, 512), (512, 1024, 1024), (1024, 1024, 1024), (2048, 1024, 1024))
DOMAINS, FIELD_UM, RESAMPLES = 1_000_000, 1000.0, 1000
PAGE = Path(__file__).parents[1] / "docs/benchmarks/profile.md"


def write_scan(shape: tuple[int, int, int], folder: Path) -> int:
    """Write objects file, table and plane of a scan full of spheres, shard by shard; returns the spheres."""
    z, y, x = (np.arange(PITCH) - PITCH // 2 for _ in range(3))
    ball = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x**2 <= RADIUS**2
    at_z, at_y = np.nonzero(ball.any(axis=2))
    start = ball.argmax(axis=2)[at_z, at_y]
    stop = start + ball.sum(axis=2)[at_z, at_y]
    cells = [n // PITCH for n in shape]
    corner_y, corner_x = (index.ravel() * PITCH for index in np.indices(cells[1:]))

    def runs_of(cell: int) -> Runs:
        parts = (
            np.add.outer(np.zeros_like(corner_y), at_z) + cell * PITCH,
            np.add.outer(corner_y, at_y),
            np.add.outer(corner_x, start),
            np.add.outer(corner_x, stop),
            np.add.outer(np.arange(len(corner_y)) + cell * len(corner_y) + 1, np.zeros_like(at_z)),
        )
        columns = [part.ravel() for part in parts]
        order = np.lexsort((columns[2], columns[1], columns[0]))
        return Runs(*(column[order].astype(np.int32) for column in columns[:4]), columns[4][order].astype(np.int64))

    def shards() -> Any:
        for first in range(0, cells[0], SHARD // PITCH):
            parts = [runs_of(cell) for cell in range(first, min(first + SHARD // PITCH, cells[0]))]
            yield Runs(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))

    number = math.prod(cells)
    metadata = ObjectsMetadata("domain", 0.5, 26, 1, shape, (VOXEL_UM,) * 3, number)
    write_objects(folder / "objects.parquet", [(metadata, shards())])
    index = np.indices(cells).reshape(3, -1)
    voxels = int(ball.sum())
    centres = (index * PITCH + PITCH / 2 + 0.5) * VOXEL_UM
    columns = {f"centroid_{axis}_um": centre for axis, centre in zip("zyx", centres, strict=True)}
    diameter = np.cbrt(6 * voxels / math.pi) * VOXEL_UM
    pd.DataFrame(columns).assign(
        voxels=voxels,
        equivalent_diameter_um=diameter,
        edge_weight=1.0,
        nearest_um=PITCH * VOXEL_UM,
        **{"class": "domain"},
    ).to_parquet(folder / "domains.parquet")
    # Along z the scan grows, and so does the depth.
    Plane.through((1.0, 0.01, 0.0), 10.0).save(folder / "interface.json")
    return number


def measure_stage(shape: tuple[int, int, int], folder: str) -> dict[str, Any]:
    """Return time and memory of the stage, in this process, which has done it once on a small scan."""
    small = Path(folder) / "small"
    small.mkdir()
    write_scan((64, 64, 64), small)
    _stage(small)
    here = Path(folder)
    number = write_scan(shape, here)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    _stage(here)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "shape": shape,
        "domains": number,
        "cpu_s": cpu,
        "wall_s": time.perf_counter() - started,
        "cpu_s_per_gigavoxel": cpu / math.prod(shape) * 1e9,
        "peak_mb": after.ru_maxrss / 1024,
    }


def _stage(folder: Path) -> None:
    out = ProfileTables(*(folder / f"{name}.out" for name in ProfileTables.__dataclass_fields__))
    objects, domains = (dict.fromkeys(LEVELS, folder / name) for name in ("objects.parquet", "domains.parquet"))
    profile_depth(ProfileInputs(objects, domains, folder / "interface.json"), phantom_profile(), 1, out)


def measure_resamples() -> dict[str, Any]:
    """Return the time of all intervals of a profile of a million domains, without counting voxels."""
    rng, config = np.random.default_rng(1), phantom_profile()
    shape = (int(FIELD_UM / VOXEL_UM),) * 3
    space = Space.of(shape, (VOXEL_UM,) * 3, Plane((1.0, 0.0, 0.0), 0.0), Resin.everywhere(), "all")
    borders, bins = layer_borders(FIELD_UM, 0.0, FIELD_UM, VOXEL_UM, config)
    grid = Grid.dividing(space, borders, config.block_um)
    table = pd.DataFrame({f"centroid_{axis}_um": rng.uniform(0, FIELD_UM, DOMAINS) for axis in "zyx"})
    table = table.assign(equivalent_diameter_um=rng.lognormal(1, 0.25, DOMAINS), edge_weight=1.0)
    found = Domains.placed(table, grid)
    draws = draw_blocks(grid.n_blocks, RESAMPLES, 1)
    every = Ranges(bins[:-1], bins[1:], (borders[:-1] >= bins[:-1, None]) & (borders[1:] <= bins[1:, None]))
    started, cpu = time.perf_counter(), time.process_time()
    weight, sized = (every.holds @ found.sums(part, grid) for part in (found.weight, found.weight * found.diameter_um))
    resin = np.full(weight.shape, 1e6)
    estimate(Tallies(resin, weight * 100, resin, weight, sized), VOXEL_UM**3, draws)
    nothing = np.zeros((grid.n_layers, grid.n_blocks), np.int64)  # the resin does not matter to diameters
    diameters(every, found, Exposure(grid, nothing, (-np.inf, np.inf), draws))
    return {
        "domains": DOMAINS,
        "bins": len(every.holds),
        "blocks": grid.n_blocks,
        "resamples": RESAMPLES,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - started,
    }


def fresh(function: Any, *given: Any) -> dict[str, Any]:
    """Return what a function returns in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, given)


def write_page(stages: list[dict[str, Any]], resamples: dict[str, Any]) -> None:
    """Write ``docs/benchmarks/profile.md`` and ``profile.json``."""
    lines = [
        "# Profile\n",
        "`make bench-profile`. The stage `profile_depth` from objects files to its five tables: three levels, resin, "
        "pairs, intervals of 1000 resamples. Scans of spheres of 3 um written as runs, voxels of 0.5 um; each in a "
        f"fresh process on one core ({platform.machine()}, Python {platform.python_version()}). Goal: 60 CPU seconds a "
        "gigavoxel, and memory that does not grow with the depth beyond the table of domains.\n",
        "| voxels | domains | CPU s | CPU s a gigavoxel | wall s | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for one in stages:
        size = " x ".join(map(str, one["shape"]))
        values = (f"{one[name]:.1f}" for name in ("cpu_s", "cpu_s_per_gigavoxel", "wall_s"))
        lines.append(f"| {size} | {one['domains']} | {' | '.join(values)} | {one['peak_mb']:.0f} |")
    lines.append(
        f"\nAll intervals of {resamples['bins']} bins of one level, {resamples['resamples']} resamples of "
        f"{resamples['domains']} domains in {resamples['blocks']} blocks: {resamples['cpu_s']:.1f} CPU s, "
        f"{resamples['wall_s']:.1f} s."
    )
    with whole_file(PAGE) as partial:
        partial.write_text("\n".join(lines) + "\n")
    with whole_file(PAGE.with_suffix(".json")) as partial:
        partial.write_text(json.dumps({"stage": stages, "resamples": resamples}, indent=1) + "\n")


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=float, default=math.inf, help="leave out scans of more gigavoxels")
    most = parser.parse_args().largest * 1e9
    stages = []
    for shape in SCANS:
        if math.prod(shape) <= most:
            with tempfile.TemporaryDirectory() as folder:
                stages.append(fresh(measure_stage, shape, folder))
                print(stages[-1], flush=True)
    write_page(stages, fresh(measure_resamples))


if __name__ == "__main__":
    main()
