"""A training that is killed half-way goes on from its checkpoint, and the model is that of an unbroken run."""

import os
import signal

import pytest
import torch
from cluster import wait_for
from project import RESULTS

from tomoprofile.config import read_config
from tomoprofile.network.fine_tune import fine_tune

MODEL = {"method": "unet", "steps": 150, "batch": 2, "crop": 64}
MODEL["decoder_channels"] = [32, 16, 16, 16]
TOLERANCE = 1e-6  # of a weight; on one machine the models are the same bit for bit


@pytest.mark.deep
def test_a_training_killed_half_way_continues_from_its_checkpoint(project):
    config = {"models": {"default": MODEL}, "store": {"shard_slices": 8, "slab_slices": 16}}
    project.configure(**config)
    sheet = project.folder / "config/samples.tsv"
    header, row = sheet.read_text().splitlines()
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True)) | {"labels": "labels"}
    sheet.write_text("\n".join([header, "\t".join(cells.values())]) + "\n")
    project.on_cluster("pick")
    project.tomoprofile("annotate", "data/truth", RESULTS.scan("a").to_label.table, "labels")
    run = project.start(RESULTS.model("default").weights, "--quiet", "rules")
    job = project.job("rule_fine_tune_wildcards_default")
    models = project.results.model("default").folder.parent
    wait_for((models / "default.checkpoint.pt").exists, "the first checkpoint", 200)
    # As the kernel does when a node runs out of memory: without a word.
    for pid in project.processes(job):
        os.kill(pid, signal.SIGKILL)
    said = project.finish(run)
    first, second = project.submitted(said, "fine_tune")
    assert first == job
    assert project.cluster.accounted(first, "State") == "FAILED"
    assert project.cluster.accounted(second, "Partition") == "gpu"
    log = project.results.log("fine_tune", "default").read_text()
    step = int(log.partition("continuing from step ")[2].split()[0])
    assert step in (50, 100)
    assert not (models / "default.checkpoint.pt").exists()
    unbroken = project.folder / "unbroken"
    settings = read_config(config).models["default"]
    fine_tune(project.results.training_set("default"), settings, 1, unbroken, threads=2)
    weights = [torch.load(folder / "models/model.pt", weights_only=True) for folder in (models / "default", unbroken)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        assert torch.allclose(weight.float(), weights[1][name].float(), rtol=0, atol=TOLERANCE), name
