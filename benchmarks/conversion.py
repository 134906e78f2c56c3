"""Conversion of raw scans: our slabs beside zarr-python's own copy, in time and memory.

`make bench-conversion` writes docs/benchmarks/conversion.{json,md}; each turn is kept, so remove them to begin anew.
Scans in a BigTIFF and in an HDF5 file are copied into OME-Zarr stores of the same layout and codecs, in turns and each
time in a fresh process: by `convert_slab`, which also looks for slices of one value, NaN and damage and makes a digest,
and by `zarr.create_array` with one assignment per shard. The dense scan is simulated grey values of 16 bits; the sparse
one has 8 bits and is a hole in its file but for a hundredth of its slices: hardly anything is compressed, hardly any
disk is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import zarr

from tomoprofile.files import whole_file
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import convert_slab
from tomoprofile.volume.formats import hdf5_probe
from tomoprofile.volume.store import CHUNK, CHUNK_SLICES, GREY_COMPRESSOR, lay_out_store

PAGE = Path(__file__).parents[1] / "docs/benchmarks/conversion.md"
SHARD = 64  # slices, as is the default
GOAL = 1.3
FORMS = {"tiff_stack": "BigTIFF", "hdf5": "HDF5"}
SCANS = {"dense": (512, 1024, 1024), "sparse": (960, 2048, 2048)}
WRITTEN = 96  # one slice in so many of a sparse scan


def write_dense(folder: Path, shape: tuple[int, int, int]) -> str:
    """Write one scan in both formats: noise on steps, as smooth and as noisy as reconstructions are."""
    slices, side, _ = shape
    rng = np.random.default_rng(1)
    noise = rng.normal(20_000, 900, (SHARD + 1, side, side)).astype(np.uint16)
    with (
        tifffile.TiffWriter(folder / "raw.tif", bigtiff=True) as tif,
        h5py.File(folder / "raw.h5", "w") as file,
    ):
        data = file.create_dataset("data", shape, np.uint16)
        for z in range(slices):
            plane = np.roll(noise[z % len(noise)], 17 * z, axis=1)
            plane[side // 4 : side // 2, side // 4 : side // 2] += 4000
            tif.write(plane, photometric="minisblack", contiguous=True, metadata=None)
            data[z] = plane
    return "uint16"


def write_sparse(folder: Path, shape: tuple[int, int, int]) -> str:
    """Write scans that take no room on disk but for a few slices, each half background."""
    image = tifffile.memmap(folder / "raw.tif", shape=shape, dtype=np.uint8, bigtiff=True, photometric="minisblack")
    rng = np.random.default_rng(1)
    with h5py.File(folder / "raw.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(shape)
        data = h5py.Dataset(h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U8LE, space, plist))
        for z in range(WRITTEN // 2, shape[0], WRITTEN):
            plane = rng.integers(90, 130, shape[1:], np.uint8)
            plane[: shape[1] // 2] = 0  # as much background as makes slices of nothing else no fault
            image[z] = data[z] = plane
    image.flush()
    return "uint8"


def scan_of(path: Path, form: str, shape: tuple[int, int, int], dtype: str) -> Scan:
    """Return the row of the sheet."""
    size = dict(zip(("slices", "rows", "columns"), shape, strict=True))
    dataset = "/data" if form == "hdf5" else ""
    return Scan(sample="a", path=str(path), format=form, dataset=dataset, dtype=dtype, voxel_size_um="1", **size)


def ours(path: Path, form: str, shape: tuple[int, int, int], dtype: str) -> None:
    """Convert as the workflow does."""
    out = path.with_name("ours.ome.zarr")
    lay_out_store(out, shape, dtype, SHARD)
    convert_slab(scan_of(path, form, shape, dtype), out, 0, shape[0])


def zarrs(path: Path, form: str, shape: tuple[int, int, int], dtype: str) -> None:
    """Copy with zarr-python alone, into the same layout with the same codecs."""
    chunks = (CHUNK_SLICES, min(CHUNK, shape[1]), min(CHUNK, shape[2]))
    array = zarr.create_array(
        str(path.with_name("zarr.zarr")),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=(SHARD, *(-(-n // c) * c for n, c in zip(shape[1:], chunks[1:], strict=True))),
        compressors=[GREY_COMPRESSOR, zarr.codecs.Crc32cCodec()],
        overwrite=True,
    )
    if form == "hdf5":
        with h5py.File(path) as file:
            for start in range(0, shape[0], SHARD):
                array[start : start + SHARD] = file["data"][start : min(start + SHARD, shape[0])]
        return
    image = tifffile.memmap(path, mode="r")
    for start in range(0, shape[0], SHARD):
        array[start : start + SHARD] = image[start : min(start + SHARD, shape[0])]


WAYS = {"ours": ours, "zarr": zarrs}


def one(request: dict[str, Any]) -> dict[str, float]:
    """Run one conversion in this process; return its seconds, its CPU seconds, and its peak memory beyond the start."""
    path, form, shape = Path(request["path"]), request["form"], tuple(request["shape"])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    held = memory_mb("VmHWM")
    start, before = time.perf_counter(), cpu_seconds()
    WAYS[request["way"]](path, form, shape, request["dtype"])
    seconds = time.perf_counter() - start
    for helper in hdf5_probe._HELPERS:  # the process that opens HDF5 files first counts, too, once it has ended
        helper.process.communicate()
    return {"seconds": seconds, "cpu_seconds": cpu_seconds() - before, "peak_mb": memory_mb("VmHWM") - held}


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def memory_mb(name: str) -> float:
    """Return a figure of this process's memory, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def measure(request: dict[str, Any]) -> dict[str, float]:
    """Run :func:`one` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.conversion", "--one", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, what: str, shape: tuple[int, int, int], repeats: int, figures: Path) -> None:
    """Add turns of both ways for both formats to the figures, until there are so many of each."""
    dtype = {"dense": write_dense, "sparse": write_sparse}[what](folder, shape)
    shard_mb = SHARD * shape[1] * shape[2] * np.dtype(dtype).itemsize / 2**20
    facts = {"shape": list(shape), "dtype": dtype, "shard_mb": shard_mb}
    for form, name in FORMS.items():
        path = folder / ("raw.h5" if form == "hdf5" else "raw.tif")
        request = {"path": str(path), "form": form, "shape": shape, "dtype": dtype}
        while True:
            found = read(figures)
            scan = found.setdefault(what, {**facts, "turns": {}})
            if {key: scan[key] for key in facts} != facts:
                raise SystemExit(f"{figures} holds another {what} scan: remove it to begin anew")
            turns = scan["turns"].setdefault(name, [])
            if len(turns) >= repeats:
                break
            for stale in ("ours.ome.zarr", "zarr.zarr"):
                shutil.rmtree(folder / stale, ignore_errors=True)
            turns.append({way: measure(request | {"way": way}) for way in WAYS})
            same(folder)
            print(name, turns[-1], flush=True)
            found["machine"] = {
                "cores": len(os.sched_getaffinity(0)),
                "processor": platform.machine(),
                "python": platform.python_version(),
                "zarr": zarr.__version__,
            }
            with whole_file(figures) as partial:
                partial.write_text(json.dumps(found, indent=1) + "\n")


def read(figures: Path) -> dict[str, Any]:
    """Return what was found so far."""
    return json.loads(figures.read_text()) if figures.exists() else {}


def same(folder: Path) -> None:
    """Check that both ways wrote the same shards with the same voxels."""
    mine, other = folder / "ours.ome.zarr/0", folder / "zarr.zarr"
    shards = [{int(file.parts[-3]) for file in array.glob("c/*/0/0")} for array in (mine, other)]
    assert shards[0] == shards[1]
    arrays = [zarr.open_array(str(array), mode="r") for array in (mine, other)]
    for number in shards[0]:
        first, second = (array[number * SHARD : (number + 1) * SHARD] for array in arrays)
        assert np.array_equal(first, second)


def spread(values: list[float], digits: int) -> str:
    """Return the median and the range of figures."""
    low, middle, high = (f"{n:.{digits}f}" for n in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def table(found: dict[str, Any]) -> list[str]:
    """Return the lines of one scan."""
    slices, rows, columns = found["shape"]
    voxels = slices * rows * columns / 1e9
    least = min(map(len, found["turns"].values()))
    lines = [
        f"{slices} x {rows} x {columns} voxels ({voxels:.2f} gigavoxels) of {found['dtype']}; a shard is "
        f"{found['shard_mb']:.0f} MB. Turns: {least}.",
        "",
        "| format | way | CPU s | times faster, CPU | wall s | times faster, wall | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, turns in found["turns"].items():
        for way in WAYS:
            cells = []
            for key in ("cpu_seconds", "seconds"):
                ratios = [turn["zarr"][key] / turn["ours"][key] for turn in turns]
                cells += [spread([turn[way][key] for turn in turns], 2), spread(ratios, 2) if way == "ours" else ""]
            peak = spread([turn[way]["peak_mb"] for turn in turns], 0)
            lines.append(f"| {name} | {way} | {' | '.join(cells)} | {peak} |")
    return lines


def page(found: dict[str, Any]) -> str:
    """Return the page of results."""
    machine = found["machine"]
    lines = [
        "# Conversion",
        "",
        "`make bench-conversion`: raw scans copied into OME-Zarr stores by the stage `convert_slab`, in turns with "
        f"zarr-python {machine['zarr']}'s own copy into the same layout with the same codecs. Both write the same "
        f"shards with the same voxels, which is checked. Shards of {SHARD} slices; medians, and the range, of fresh "
        f"processes on {machine['cores']} shared cores ({machine['processor']}, Python {machine['python']}); the "
        "factor is taken in each turn. Ours also makes a digest of the grey values and looks for slices of one value. "
        f"Goal: {GOAL} times the speed of that copy, and memory of one shard. The machine did other work at the same "
        "time, so that CPU time is the surer measure. Memory is the peak beyond the imports; with zarr-python's copy "
        "of a BigTIFF it includes the pages of the mapped file.",
    ]
    for what in SCANS:
        if what in found:
            lines += ["", f"## A {what} scan", "", *table(found[what])]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="*", help="dense, sparse (default: both)")
    parser.add_argument("--shrink", type=int, default=1, help="divide each edge by this (for a try)")
    parser.add_argument("--repeats", type=int, default=5, help="turns; those that are in the figures count")
    parser.add_argument("--folder", type=Path, help="where the scans are written (default: the folder for such files)")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page; its figures go beside it as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(json.loads(options.one))))
        return
    figures = options.out.with_suffix(".json")
    for what in options.scans or SCANS:
        z, y, x = (n // options.shrink for n in SCANS[what])
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            compare(Path(name), what, (z, y, x), options.repeats, figures)
    with whole_file(options.out) as partial:
        partial.write_text(page(read(figures)))
    print(options.out.read_text())


if __name__ == "__main__":
    main()
