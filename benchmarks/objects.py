"""Objects: labels and measures of every domain, ours beside scipy and scikit-image. Prints a Markdown table.

All methods work on the same mask in one run, in turns, so that what else the machine does falls on all alike; one
thread, CPU time, median of the repetitions. `stores and files` is what the workflow does: decode both stores, write
the objects file, read it, write the table. The others have everything in memory and write nothing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.measure import regionprops_table

from tomoprofile.domains import measures
from tomoprofile.domains.objects import Runs
from tomoprofile.domains.runs import extract_runs, label_runs
from tomoprofile.domains.stitch import stitch_objects
from tomoprofile.domains.sums import grey_reference, sums_of_part
from tomoprofile.domains.table import measure_domains
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import GreyScale, create_store, open_store

SIDE, SHARD, REPEATS, EDGES = 256, 32, 7, (0.5, 0.5, 0.5)
PLANE = Plane((1.0, 0.0, 0.0), 0.0)
PROPERTIES = ("area", "bbox", "centroid", "inertia_tensor_eigvals", "intensity_mean", "intensity_min", "intensity_max")


def spheres(side: int, smallest: float, largest: float, rng: np.random.Generator) -> np.ndarray:
    """Return probabilities: spheres of random radius at random places until 4 % of the voxels are covered."""
    image = np.zeros((side,) * 3, np.uint8)
    covered = 0.0
    while covered < 0.04 * side**3:
        radius, centre = rng.uniform(smallest, largest), rng.uniform(0, side, 3)
        low, high = np.maximum(centre - radius, 0).astype(int), np.minimum(centre + radius + 1, side).astype(int)
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        square = sum((axis + 0.5 - c) ** 2 for axis, c in zip(np.ogrid[part], centre, strict=True))
        image[part][square < radius**2] = 255
        covered += 4 / 3 * np.pi * radius**3
    return image


def peers(probability: np.ndarray, grey: np.ndarray) -> int:
    """Label and measure without surface, edge weights and depth."""
    labels, count = ndimage.label(probability >= 128, np.ones((3, 3, 3)))
    regionprops_table(labels, grey, properties=PROPERTIES)
    return count


def in_memory(probability: np.ndarray, grey: np.ndarray) -> int:
    """All columns of domains.parquet, from one part, without stores and files."""
    runs, ny = extract_runs(probability, 128), probability.shape[1]
    component, voxels = label_runs(runs, ny, 26)
    row = np.repeat(np.arange(len(runs.row_ptr) - 1, dtype=np.int32), np.diff(runs.row_ptr))
    domains = Runs(row // ny, row % ny, runs.x_start, runs.x_stop, component.astype(np.int64) + 1)
    _, sums = sums_of_part(domains, grey, probability, 0)
    measures.size_and_surface(sums, EDGES), measures.place(sums, EDGES, PLANE), measures.axes(sums, EDGES, PLANE)
    measures.values(sums, GreyScale(), grey_reference(grey.dtype)), measures.border(sums, probability.shape, PLANE)
    return len(voxels)


def from_stores(folder: Path) -> int:
    """Run both stages of the workflow in one thread."""
    count = stitch_objects(folder / "probability", 0.5, 26, 1, folder / "objects.parquet")
    inputs = ("objects.parquet", "volume", "probability", "interface.json", "domains.parquet")
    measure_domains(*(folder / name for name in inputs), threads=1)
    return count


def decode(folder: Path) -> None:
    """Only read what the two stages read: the probabilities twice, the grey values once."""
    for name in ("probability", "probability", "volume"):
        sum(1 for _ in open_store(folder / name).iter_shards())


def compare(title: str, probability: np.ndarray, grey: np.ndarray, repeats: int, folder: Path) -> None:
    """Print the table of one scan."""
    for name, image in (("probability", probability), ("volume", grey)):
        store = create_store(folder / name, image.shape, image.dtype, EDGES, SHARD)
        for start, stop in store.shards():
            store.write(start, image[start:stop])
    PLANE.save(folder / "interface.json")
    methods: dict[str, Callable[[], int | None]] = {
        "ours, in memory": lambda: in_memory(probability, grey),
        "ours, stores and files": lambda: from_stores(folder),
        "only decoding the stores": lambda: decode(folder),
        "scipy label + regionprops_table": lambda: peers(probability, grey),
    }
    counts = {name: method() for name, method in methods.items()}  # also warms up the compiler
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for name, method in [*methods.items()] * repeats:  # in turns
        start = time.process_time()
        method()
        seconds[name].append(time.process_time() - start)
    assert len(set(counts.values()) - {None}) == 1, counts
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    objects, share = counts["ours, in memory"], (probability >= 128).mean()
    print(f"\n{title}: {objects} objects, {share:.1%} of {probability.shape}\n")
    print(
        "| method | CPU s (median) | least .. most | Mvoxel / CPU-s | against ours in memory |\n|---|---|---|---|---|"
    )
    for name, median in medians.items():
        ratio = median / medians["ours, in memory"]
        spread = f"{min(seconds[name]):.3f} .. {max(seconds[name]):.3f}"
        print(f"| {name} | {median:.3f} | {spread} | {probability.size / median / 1e6:.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    for kind, (least, most) in {"radius 3-12 voxels": (3, 12), "radius 2-4 voxels": (2, 4)}.items():
        mask = spheres(SIDE, least, most, generator)
        noise = generator.normal(30_000, 1_000, mask.shape).astype(np.uint16)
        with tempfile.TemporaryDirectory() as temporary:
            compare(kind, mask, noise, REPEATS, Path(temporary))
