"""The jobs and files that estimates count are those that the workflow would make."""

from pathlib import Path

import pytest
from model_facts import write_bundle
from project import Project

from tomoprofile.config import read_config
from tomoprofile.run.plan import planned_jobs
from tomoprofile.samples import Scan, write_samples

MODELS = {
    "default": {"method": "unet"},
    "continued": {"method": "unet", "base": "models/earlier"},
    "earlier": {"method": "bundle", "bundle": "models/earlier"},
    "threshold": {"method": "otsu"},
    "several": {"method": "unet", "classes": {"background": 0, "domain": 1, "void": 2}, "measure": ["domain", "void"]},
}
SCANS = {
    "unet": {"labels": "labels"},
    "continued": {"model": "continued", "labels": "labels"},
    "unlabelled": {},  # by the model of another scan's labels
    "fresh": {"labels": "to_label"},
    "bundle": {"model": "earlier"},
    "otsu": {"model": "threshold"},
    "mask": {"mask": "mask.tif"},
    "instances": {"mask": "instances:objects.tif"},
    "several": {"model": "several", "labels": "labels"},
    "map": {"model": "several", "mask": "classes:map.tif", "reference": "other.tif"},
    "both": {"model": "several", "mask": "instances:objects.tif;classes:map.tif"},
    "bone": {"model": "threshold", "interface": "none", "dtype": "int32"},  # stored as another type
    "relief": {"model": "threshold", "interface": "mask:substrate.tif"},
}
RARE = {"phase": True, "objects": {"label_volume": True}, "predict": {"flips": True}, "keep": "minimal"}


def row(sample, cells):
    size = {"slices": 100, "rows": 30, "columns": 30, "dtype": "uint8", "voxel_size_um": "1"}
    return Scan(sample=sample, path=f"{sample}.tif", format="tiff_stack", **(size | cells))


def jobs_of_workflow(said):
    """Return rule, log and outputs of every job of a dry run."""
    found, rule, outputs = set(), "", ()
    for line in said.splitlines():
        key, _, value = line.strip().partition(" ")
        if key in ("rule", "localrule"):
            rule = value.rstrip(":")
        elif key == "output:":
            outputs = frozenset(value.split(", "))
        elif key == "log:":
            found.add((rule, value, outputs))
    return found


@pytest.mark.parametrize("settings", [{}, RARE], ids=["defaults", "rare"])
def test_planned_jobs_and_outputs_are_those_of_the_workflow(tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the earlier model lies
    write_bundle(Path(MODELS["earlier"]["bundle"]))
    project = Project(tmp_path)
    settings = settings | {"store": {"shard_slices": 16, "slab_slices": 32}, "models": MODELS}
    project.configure(**settings)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a_z00003.tif").touch()  # a model without any label is not planned
    scans = [row(sample, cells) for sample, cells in SCANS.items()]
    write_samples(tmp_path / "config/samples.tsv", scans)
    planned = [job for scan in scans for job in planned_jobs(scan, read_config(settings))]
    named = {(job.rule, str(job.log), frozenset(map(str, job.outputs))) for job in planned}
    assert len(named) == len(planned) > 100
    would = jobs_of_workflow(project.dry_run())
    # Labels are checked once there are some.
    assert {(rule, log) for rule, log, _ in named - would} == {("check_labels", "results/logs/check_labels/fresh.log")}
    assert sorted(rule for rule, _, _ in would - named) == [
        *["collect_labels"] * 3,
        *["fine_tune"] * 3,
        "report_beamtime",
    ]
