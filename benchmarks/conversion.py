"""Conversion of raw scans: our slabs beside zarr-python's own copy, and the memory of a scan far larger than it.

`python -m benchmarks.conversion` writes docs/benchmarks/conversion.{json,md}. A BigTIFF and an HDF5 file of simulated
16-bit grey values are copied into OME-Zarr stores of the same layout and codecs, in turns and each time in a fresh
process: by `convert_slab`, which also looks for slices of one value, NaN and damage and makes a digest, and by
`zarr.create_array` with one assignment per shard. `--gigavoxels 4` adds sparse files of that size, of which slabs in
the middle are converted: their memory must be that of a shard.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
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

from tomoprofile.samples import Scan
from tomoprofile.volume.convert import convert_slab
from tomoprofile.volume.store import CHUNK, CHUNK_SLICES, GREY_COMPRESSOR, lay_out_store

PAGE = Path(__file__).parents[1] / "docs/benchmarks/conversion.md"
SHARD = 32  # slices
GOAL = 1.3
FORMS = {"tiff_stack": "BigTIFF", "hdf5": "HDF5"}


def write_raw(folder: Path, side: int, slices: int) -> None:
    """Write one scan in both formats: noise on steps, as smooth and as noisy as reconstructions are."""
    rng = np.random.default_rng(1)
    noise = rng.normal(20_000, 900, (SHARD + 1, side, side)).astype(np.uint16)
    with (
        tifffile.TiffWriter(folder / "raw.tif", bigtiff=True) as tif,
        h5py.File(folder / "raw.h5", "w") as file,
    ):
        data = file.create_dataset("data", (slices, side, side), np.uint16)
        for z in range(slices):
            plane = np.roll(noise[z % len(noise)], 17 * z, axis=1)
            plane[side // 4 : side // 2, side // 4 : side // 2] += 4000
            tif.write(plane, photometric="minisblack", contiguous=True, metadata=None)
            data[z] = plane


def write_sparse(folder: Path, voxels: float, side: int = 2048) -> int:
    """Write scans of that many 8-bit voxels that take no room on disk but for the slices in their middle."""
    slices = int(voxels) // side**2
    image = tifffile.memmap(
        folder / "raw.tif", shape=(slices, side, side), dtype=np.uint8, bigtiff=True, photometric="minisblack"
    )
    rng = np.random.default_rng(1)
    with h5py.File(folder / "raw.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(image.shape)
        data = h5py.Dataset(h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U8LE, space, plist))
        for z in range(slices // 2 - SHARD, slices // 2 + SHARD):
            image[z] = data[z] = rng.integers(90, 130, (side, side), np.uint8)
    image.flush()
    return slices


def scan_of(path: Path, form: str, shape: tuple[int, int, int], dtype: str) -> Scan:
    """Return the row of the sheet."""
    size = dict(zip(("slices", "rows", "columns"), shape, strict=True))
    dataset = "/data" if form == "hdf5" else ""
    return Scan(sample="a", path=str(path), format=form, dataset=dataset, dtype=dtype, voxel_size_um="1", **size)


def ours(path: Path, form: str, shape: tuple[int, int, int], dtype: str, part: tuple[int, int]) -> None:
    """Convert as the workflow does."""
    scan = scan_of(path, form, shape, dtype)
    out = path.with_name("ours.ome.zarr")
    lay_out_store(out, shape, dtype, SHARD)
    convert_slab(scan, out, *part)


def zarrs(path: Path, form: str, shape: tuple[int, int, int], dtype: str, part: tuple[int, int]) -> None:
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
            for start in range(*part, SHARD):
                array[start : start + SHARD] = file["data"][start : min(start + SHARD, shape[0])]
        return
    image = tifffile.memmap(path, mode="r")
    for start in range(*part, SHARD):
        array[start : start + SHARD] = image[start : min(start + SHARD, shape[0])]


WAYS = {"ours": ours, "zarr": zarrs}


def one(request: dict[str, Any]) -> dict[str, float]:
    """Run one conversion in this process; return its seconds, its CPU seconds, and its peak memory beyond the start."""
    path, form, shape = Path(request["path"]), request["form"], tuple(request["shape"])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    held = memory_mb("VmHWM")
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    WAYS[request["way"]](path, form, shape, request["dtype"], tuple(request["part"]))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "cpu_seconds": cpu, "peak_mb": memory_mb("VmHWM") - held}


def memory_mb(name: str) -> float:
    """Return a figure of this process's memory, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def measure(request: dict[str, Any]) -> dict[str, float]:
    """Run :func:`one` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.conversion", "--one", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, side: int, slices: int, repeats: int) -> list[dict[str, Any]]:
    """Return the figures of both ways for both formats, measured in turns."""
    write_raw(folder, side, slices)
    rows = []
    for form, name in FORMS.items():
        path = folder / ("raw.h5" if form == "hdf5" else "raw.tif")
        request = {"path": str(path), "form": form, "shape": (slices, side, side), "dtype": "uint16"}
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(repeats):
            for way, figures in found.items():
                figures.append(measure(request | {"way": way, "part": (0, slices)}))
        same(folder)
        medians = {
            way: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for way, runs in found.items()
        }
        ratio = {key: medians["zarr"][key] / medians["ours"][key] for key in ("seconds", "cpu_seconds")}
        rows.append(
            {"format": name, "voxels": slices * side**2, "medians": medians, "times_faster": ratio, "runs": found}
        )
    return rows


def same(folder: Path) -> None:
    """Check that both ways wrote the same voxels."""
    mine = zarr.open_array(str(folder / "ours.ome.zarr/0"), mode="r")
    other = zarr.open_array(str(folder / "zarr.zarr"), mode="r")
    for start in range(0, mine.shape[0], SHARD):
        assert np.array_equal(mine[start : start + SHARD], other[start : start + SHARD])


def sparse(folder: Path, gigavoxels: float) -> list[dict[str, Any]]:
    """Return time and memory of the slab in the middle of scans of which hardly anything is on the disk."""
    slices = write_sparse(folder, gigavoxels * 1e9)
    middle = slices // 2 // SHARD * SHARD
    rows = []
    for form, name in FORMS.items():
        path = folder / ("raw.h5" if form == "hdf5" else "raw.tif")
        shape = (slices, 2048, 2048)
        request = {"path": str(path), "form": form, "shape": shape, "dtype": "uint8", "way": "ours"}
        figures = measure(request | {"part": (middle - SHARD, middle + SHARD)})
        shard_mb = SHARD * 2048**2 / 2**20
        rows.append({"format": name, "voxels": slices * 2048**2, "shard_mb": shard_mb, **figures})
    return rows


def page(found: dict[str, Any]) -> str:
    """Return the page of results."""
    lines = [
        "# Conversion",
        "",
        f"`python -m benchmarks.conversion`: {found['slices']} slices of {found['side']}² voxels of 16 bits, shards of "
        f"{SHARD} slices, in turns with zarr-python {zarr.__version__}'s own copy into the same layout with the same",
        f"codecs; medians of {found['repeats']} fresh processes each, on {found['cores']} shared cores. The goal is "
        f"{GOAL} times the speed of that copy. Ours also makes",
        "a digest of the grey values and looks for slices of one value. Memory is the peak beyond the imports.",
        "",
        "| format | way | s | CPU s | peak memory, MB | times faster (wall, CPU) |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["copies"]:
        for way, figures in row["medians"].items():
            ratio = row["times_faster"]
            last = f"{ratio['seconds']:.2f}, {ratio['cpu_seconds']:.2f}" if way == "ours" else ""
            numbers = f"{figures['seconds']:.2f} | {figures['cpu_seconds']:.2f} | {figures['peak_mb']:.0f}"
            lines.append(f"| {row['format']} | {way} | {numbers} | {last} |")
    if found["sparse"]:
        lines += ["", "Two shards in the middle of a sparse scan:", ""]
        lines += ["| format | gigavoxels | shard, MB | s | CPU s | peak memory, MB |", "|---|---|---|---|---|---|"]
        for row in found["sparse"]:
            numbers = f"{row['shard_mb']:.0f} | {row['seconds']:.2f} | {row['cpu_seconds']:.2f} | {row['peak_mb']:.0f}"
            lines.append(f"| {row['format']} | {row['voxels'] / 1e9:.2f} | {numbers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024, help="voxels along y and x")
    parser.add_argument("--slices", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gigavoxels", type=float, default=4.0, help="of the sparse scans; 0 for none")
    parser.add_argument("--folder", type=Path, help="where the scans are written (default: the folder for such files)")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page; its figures go beside it as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(json.loads(options.one))))
        return
    found: dict[str, Any] = {"side": options.side, "slices": options.slices, "repeats": options.repeats}
    found["cores"] = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        found["copies"] = compare(Path(name), options.side, options.slices, options.repeats)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        found["sparse"] = sparse(Path(name), options.gigavoxels) if options.gigavoxels else []
    options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    options.out.write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
