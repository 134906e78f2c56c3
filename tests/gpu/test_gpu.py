"""The same code on a CUDA device; run by `make test-gpu`, which fails where there is none."""

import sys
from pathlib import Path

import pytest
import torch

from tomoprofile.config import UNetConfig
from tomoprofile.segment import predict, train
from tomoprofile.segment.bundle import decision_level
from tomoprofile.segment.training_set import collect_labels
from tomoprofile.volume.store import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from segment_scan import build, dice

pytestmark = pytest.mark.gpu


def test_training_and_prediction_on_the_gpu_agree_with_the_cpu(tmp_path, monkeypatch):
    assert torch.cuda.is_available(), "no CUDA device: these tests are for a machine that has one"
    scan = build(tmp_path)
    config = UNetConfig(steps=100, crop=64, guard_slices=8, window=96)
    collect_labels([scan.label("labels", (8, 24, 40))], config, tmp_path / "t.npz")
    train.fine_tune(tmp_path / "t.npz", config, 1, tmp_path / "model", threads=2)
    found = {}
    for name in ("cuda", "cpu"):
        monkeypatch.setattr(predict, "choose_device", lambda name=name: torch.device(name))
        out = scan.empty(f"{name}.ome.zarr")
        predict.predict_slab(scan.volume, out, tmp_path / "model", config, 0, 48, threads=2)
        found[name] = open_store(out).read(0, 48) >= decision_level(tmp_path / "model") * 255
    assert dice(found["cuda"][28:36], scan.truth[28:36]) > 0.8
    assert (found["cuda"] != found["cpu"]).mean() < 0.002
