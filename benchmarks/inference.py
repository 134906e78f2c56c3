"""Inference: megavoxels per core-second of our engines beside eager PyTorch and MONAI, and the Dice of each.

All methods segment the same slices of a simulated scan in turns, on one thread; CPU time, median and range of the
repetitions. `python -m benchmarks.inference` writes docs/benchmarks/inference.{json,md}. On a machine with a GPU,
`--device cuda`
also times whole slabs there, beside the copy bandwidth and the speed of the stores in the same run.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import BasicUNet
from numpy.typing import NDArray

from benchmarks.segmentation.ours import DOMAIN, SUBSTRATE, Labelled, collected, train_bundle
from benchmarks.segmentation.tasks import look_at
from tomoprofile.config import PredictConfig, UNetConfig
from tomoprofile.network.bundle import load_network
from tomoprofile.network.slices import SlicePredictor
from tomoprofile.network.unet import CPU_FLAGS
from tomoprofile.phantom.scan import simulate
from tomoprofile.phantom.settings import PhantomSettings
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.segment.segmenter import Slab
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.store import create_store, open_store

OUT = Path(__file__).parents[1] / "docs" / "benchmarks"
SIZE = (48, 768, 768)
LABELLED, TESTED, REPEATS = (8, 24, 40), (16, 32), 5
GPU_TURNS = 3


def train(folder: Path, steps: int) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    """Train a model into ``folder/model``; returns normalised stacks to test, and their truth."""
    settings = PhantomSettings.of_kind("A", SIZE, seed=5)
    phantom = simulate(settings)
    looks = look_at(phantom.grey, phantom.labels != SUBSTRATE, settings.voxel_um)
    masks = {z: (phantom.labels[z] == DOMAIN).astype(np.uint8) for z in LABELLED}
    training = collected([Labelled("scan", phantom.grey, masks, looks, settings.voxel_um)])
    train_bundle(training, UNetConfig(steps=steps), 1, folder / "model", torch.get_num_threads())
    looks.save(folder / "appearance.json")
    stacks = [normalise(phantom.grey[z - 1 : z + 2], looks.centre, looks.spread) for z in TESTED]
    return stacks, np.stack([phantom.labels[z] == DOMAIN for z in TESTED])


def methods(bundle: Path) -> dict[str, Callable[[NDArray[np.float32]], NDArray[np.uint8]]]:
    """Return every method, from a normalised stack to the probability of its slice."""
    eager = load_network(bundle).eval()
    peer = BasicUNet(spatial_dims=2, in_channels=3, out_channels=1).eval()
    ours = {"our windows, eager float32": {"engine": "torch", "precision": "float32"}}
    ours |= {"ours, PyTorch bfloat16": {"engine": "torch", "precision": "bfloat16"}}
    ours |= {"ours, OpenVINO float32": {"engine": "openvino", "precision": "float32"}}
    ours |= {"ours, OpenVINO bfloat16": {"engine": "openvino", "precision": "bfloat16"}}
    ours |= {"ours, OpenVINO int8": {"engine": "openvino", "precision": "int8"}}

    def usual(network: torch.nn.Module, measured: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
        @torch.inference_mode()
        def run(image: NDArray[np.float32]) -> NDArray[np.uint8]:
            batch = torch.from_numpy(image)[None]
            logits = sliding_window_inference(batch, [256, 256], 4, network, overlap=0.25, mode="gaussian")
            return (measured(logits)[0, 0] * 255).round().to(torch.uint8).numpy()

        return run

    found: dict[str, Callable[[NDArray[np.float32]], NDArray[np.uint8]]] = {
        "MONAI BasicUNet, sliding_window_inference, float32": usual(peer, torch.sigmoid),
        "our network, sliding_window_inference, eager float32": usual(eager, eager.measured),
    }
    for name, settings in ours.items():
        predictor = SlicePredictor(
            load_network(bundle), UNetConfig().window, PredictConfig(device="cpu", **settings), 1
        )
        found[name] = lambda image, predictor=predictor: predictor.probability(image)[0]
    return found


def measure(folder: Path, stacks: list[NDArray[np.float32]], truth: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return one row a method."""
    bundle = folder / "model"
    (level,) = (level * 255 for level in segmenter_at(bundle).levels().values())
    chosen = methods(bundle)
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    masks = {name: np.stack([run(stack) for stack in stacks]) >= level for name, run in chosen.items()}  # and warm up
    for _ in range(REPEATS):
        for name, run in chosen.items():
            begin = time.process_time()
            for stack in stacks:
                run(stack)
            seconds[name].append(time.process_time() - begin)
    voxels = truth.size / 1e6
    reference = masks["our network, sliding_window_inference, eager float32"]
    rows = []
    for name, times in seconds.items():
        speeds = [voxels / value for value in times]
        mask = masks[name]
        known = "BasicUNet" not in name  # it was not trained: only its speed is of interest
        rows.append(
            {
                "method": name,
                "mvoxel_per_core_s": statistics.median(speeds),
                "range": [min(speeds), max(speeds)],
                "core_s_per_gvoxel": 1000 / statistics.median(speeds),
                "dice": float(2 * (mask & truth).sum() / (mask.sum() + truth.sum())) if known else None,
                "changed": float((mask != reference).mean()) if known else None,
            }
        )
    return rows


def measure_gpu(folder: Path, trained: Path) -> dict[str, float]:
    """Time a slab on the GPU, beside the speed of copies and of the stores; the model lies in ``trained``."""
    shape = (128, 2048, 2048)
    grey = create_store(folder / "grey.ome.zarr", shape, "uint16", (0.5,) * 3, 64)
    rng = np.random.default_rng(0)
    for start, stop in grey.shards(0, shape[0]):
        grey.write(start, rng.normal(3000, 300, (stop - start, *shape[1:])).astype(np.uint16))
    begin = time.perf_counter()
    block = grey.read(0, shape[0])
    read = block.nbytes / (time.perf_counter() - begin)
    pinned = torch.from_numpy(block[:64].view(np.int16)).pin_memory()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    pinned.to("cuda", non_blocking=True)
    torch.cuda.synchronize()
    copy = pinned.numel() * 2 / (time.perf_counter() - begin)
    create_store(folder / "found.ome.zarr", shape, "uint8", (0.5,) * 3, 64, channels=("domain",))
    out = open_store(folder / "found.ome.zarr", "domain")
    segmenter, settings = segmenter_at(trained / "model"), PredictConfig(device="cuda")
    slab = Slab(grey.path, out.path, 0, 128, threads=8, settings=settings, appearance=trained / "appearance.json")
    segmenter.predict(replace(slab, stop=64))  # warm up
    begin = time.perf_counter()
    segmenter.predict(slab)
    seconds = time.perf_counter() - begin
    found = out.read(0, shape[0])
    begin = time.perf_counter()
    out.write(0, found[:64])
    write = found[:64].nbytes / (time.perf_counter() - begin)
    gigavoxels = block.size / 1e9
    return {
        "gpu_s_per_gvoxel": seconds / gigavoxels,
        "store_read_gb_s": read / 1e9,
        "store_write_gb_s": write / 1e9,
        "copy_gb_s": copy / 1e9,
        "share_of_slower": (1 / min(read / 2e9, write / 1e9, copy / 2e9)) / (seconds / gigavoxels),
    }


def gpu_page(device: str, turns: list[dict[str, float]]) -> str:
    """Return the Markdown page of runs on a GPU."""
    lines = [
        "# Inference on a GPU",
        "",
        f"`python -m benchmarks.inference --device cuda`, {len(turns)} times on one {device}: a slab of",
        "128 x 2048 x 2048 voxels of uint16 from store to store in bfloat16. The share is that",
        "of the time which the slowest of reading, writing and copying takes in the same run; the goal is 60 %.",
        "",
        "| GPU-s per gigavoxel | store read, GB/s | store write, GB/s | host to device, GB/s | share of the slowest |",
        "|---|---|---|---|---|",
    ]
    for row in turns:
        lines.append(
            f"| {row['gpu_s_per_gvoxel']:.1f} | {row['store_read_gb_s']:.2f} | {row['store_write_gb_s']:.2f} | "
            f"{row['copy_gb_s']:.0f} | {100 * row['share_of_slower']:.0f} % |"
        )
    return "\n".join(lines) + "\n"


def table(rows: list[dict[str, Any]], peak_gb: float) -> str:
    """Return the Markdown page."""
    base = next(row for row in rows if row["method"].startswith("our network, sliding"))["mvoxel_per_core_s"]
    lines = [
        "# Inference",
        "",
        f"`python -m benchmarks.inference`: {len(TESTED)} slices of {SIZE[1]} x {SIZE[2]} voxels, one thread",
        f"of a shared x86-64 machine ({', '.join(low_precision()) or 'no arithmetic for bfloat16 or int8'}), CPU time,",
        f"{REPEATS} turns; peak memory of the whole run {peak_gb:.1f} GB. Changed: share of voxels whose mask differs",
        "from the eager network's. Goals: 4 times eager float32 at equal Dice (0.002); 250 core-seconds a gigavoxel.",
        "",
        "| method | Mvoxel per core-second (range) | against eager | core-seconds per gigavoxel | Dice | changed |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["range"]
        dice = "not trained" if row["dice"] is None else f"{row['dice']:.4f}"
        changed = "" if row["changed"] is None else f"{100 * row['changed']:.3f} %"
        lines.append(
            f"| {row['method']} | {row['mvoxel_per_core_s']:.3f} ({low:.3f}-{high:.3f}) | "
            f"{row['mvoxel_per_core_s'] / base:.1f} | {row['core_s_per_gvoxel']:.0f} | {dice} | {changed} |"
        )
    return "\n".join(lines) + "\n"


def low_precision() -> list[str]:
    """Return what this CPU has for bfloat16 and int8; without any of it those are slower or change nothing."""
    flags = set(CPU_FLAGS.read_text().split()) if CPU_FLAGS.exists() else set()
    return sorted(flags & {"avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"})


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=100, help="of the training before")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stacks, truth = train(folder, options.steps)
        if options.device == "cuda":
            turns = [measure_gpu(Path(tempfile.mkdtemp(dir=folder)), folder) for _ in range(GPU_TURNS)]
            (OUT / "inference-gpu.json").write_text(json.dumps(turns, indent=1) + "\n")
            (OUT / "inference-gpu.md").write_text(gpu_page(torch.cuda.get_device_name(), turns))
            return
        rows = measure(folder, stacks, truth)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    (OUT / "inference.json").write_text(json.dumps(rows, indent=1) + "\n")
    (OUT / "inference.md").write_text(table(rows, peak))
    print(table(rows, peak))


if __name__ == "__main__":
    main()
