"""The same code on a CUDA device; run by `make test-gpu`, which fails where there is none."""

import sys
from pathlib import Path

import pytest
import torch

from tomoprofile.config import PredictConfig, UNetConfig
from tomoprofile.labels.training_set import collect_labels
from tomoprofile.network.engine import make_engine
from tomoprofile.network.fine_tune import fine_tune
from tomoprofile.network.unet import SliceNetwork
from tomoprofile.volume.store import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from segment_scan import build, dice, level_of

pytestmark = pytest.mark.gpu


def test_training_and_prediction_on_the_gpu_agree_with_the_cpu(tmp_path):
    assert torch.cuda.is_available(), "no CUDA device: these tests are for a machine that has one"
    scan = build(tmp_path)
    config = UNetConfig(steps=100, crop=64, window=96)
    collect_labels([scan.label("labels", (8, 24, 40))], config, tmp_path / "t.npz")
    fine_tune(tmp_path / "t.npz", config, 1, tmp_path / "model", threads=2)
    found = {}
    for name in ("cuda", "cpu"):
        out = scan.empty(f"{name}.ome.zarr")
        settings = PredictConfig(device=name, gpu_windows=3)
        told = scan.predict(tmp_path / "model", out, settings=settings)
        assert told["device"] == name
        found[name] = open_store(out, "domain").read(0, 48) >= level_of(tmp_path / "model") * 255
    assert dice(found["cuda"][28:36], scan.truth[28:36]) > 0.8
    assert (found["cuda"] != found["cpu"]).mean() < 0.002


def test_a_batch_too_large_for_the_memory_is_halved(caplog):
    """A real out-of-memory: this process may have less than the windows need, whatever network it is."""
    assert torch.cuda.is_available(), "no CUDA device: these tests are for a machine that has one"
    windows = torch.randn(16, 3, 512, 512, device="cuda")

    def engine():
        return make_engine(SliceNetwork(3, 2, "efficientnet-lite0", (128, 64, 48, 32)), PredictConfig(device="cuda"), 2)

    before = engine()
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    before.logits(windows)
    assert not caplog.text, "with all memory there is nothing to halve"
    # Between what all windows need and what half of them do.
    needed = torch.cuda.max_memory_allocated() - held
    del before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 0.8 * needed) / total)
    try:
        assert engine().logits(windows).shape == (16, 1, 512, 512)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "windows at once instead of 16" in caplog.text
