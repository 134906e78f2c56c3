"""Federated training in the workflow: which jobs there are, and a simulation by the jobs themselves."""

import csv
import shutil

import numpy as np
import pytest
from federated_sites import NAMES, PLAIN, RUN, make_training_sets, settings, sites
from project import Project

from tomoprofile.config import read_config
from tomoprofile.federate import tool
from tomoprofile.federate.coordinator import State
from tomoprofile.network.bundle import load_network
from tomoprofile.run.feasibility import check_run
from tomoprofile.samples import Scan, write_samples
from tomoprofile.segment.kinds import segmenter_at

QUICK = {"rounds": 1, "round_steps": 1}


def row(sample, **cells):
    size = {"slices": 48, "rows": 128, "columns": 96, "dtype": "float32", "voxel_size_um": "0.5"}
    return Scan(sample=sample, path=f"{sample}.tif", format="tiff_stack", **{"labels": "labels"} | size | cells)


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.configure(models={name: PLAIN | {"train": RUN | QUICK} for name in NAMES})
    for name in NAMES:
        (tmp_path / "labels" / name).mkdir(parents=True)
        (tmp_path / "labels" / name / "a_z00003.tif").touch()
    scans = [row(name, model=name, labels=f"labels/{name}") for name in NAMES]
    write_samples(tmp_path / "config/samples.tsv", scans)
    return project


def federated(**train):
    return {"mode": "federated", "run": "tiny", "rounds": 3, "rounds_per_job": 4} | train


def test_every_model_of_a_simulated_run_is_a_site(project, tmp_path):
    made = make_training_sets(tmp_path / "made")
    for name, path in made.items():
        (tmp_path / "results/training").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / f"results/training/{name}.npz")
    rules = ("fed_simulate", "fed_collect", "fed_evaluate")
    table, bundle = "results/federated/tiny/evaluation.tsv", f"results/models/{NAMES[1]}"
    project.snakemake(table, f"{bundle}/configs/metadata.json", "--allowed-rules", *rules)
    with (tmp_path / table).open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [one["site"] for one in rows] == [*NAMES, "all sites"]
    assert int(rows[-1]["labelled"]) == sum(int(one["labelled"]) for one in rows[:-1]) > 0
    trained = State.read(tmp_path / "results/federated/tiny/simulated.safetensors").tensors["decoder.head.weight"]
    assert np.array_equal(load_network(tmp_path / bundle).state_dict()["decoder.head.weight"], trained)
    assert segmenter_at(tmp_path / bundle).levels().keys() == {"domain"}
    assert not [job for job in project.planned() if job.startswith("fine_tune")]


def test_site_and_coordinator_have_the_jobs_of_their_role(project):
    project.configure(models={"default": PLAIN | {"train": federated()}})
    write_samples(project.folder / "config/samples.tsv", [row("a", labels="labels/site-a")])
    jobs = {job.split()[0] for job in project.planned()}
    assert {"fed_statistics", "fed_client", "fed_collect", "predict_slab"} <= jobs
    assert not jobs & {"fine_tune", "fed_segment", "fed_simulate"}
    # The coordinator has neither scans nor a sheet.
    (project.folder / "config/samples.tsv").unlink()
    project.configure(models={"default": PLAIN | {"train": federated(role="coordinator", sites=list(NAMES))}})
    jobs = project.planned()
    assert {f"fed_segment tiny {number}" for number in range(3)} <= jobs
    assert {job.split()[0] for job in jobs} == {"all", "fed_segment", "fed_evaluate"}


def found(train, scans):
    config = read_config({"models": {"default": PLAIN | {"train": train}}})
    return [finding.message for finding in check_run(config, scans) if finding.item == "train"]


def test_a_scan_cannot_wait_for_a_model_that_is_trained_elsewhere():
    (told,) = found(federated(role="coordinator", sites=["a"]), [row("x", labels="")])
    assert "only coordinated here" in told


def test_the_missing_package_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr(tool.importlib.util, "find_spec", lambda _: None)
    (told,) = found(federated(), [row("x", labels="")])
    assert "pip install 'nvflare" in told
    assert not found({"mode": "simulate", "run": "r"}, [row("x", labels="")]), "a simulation needs none"


def test_a_federated_site_is_what_a_simulated_one_is(tmp_path):
    """Sites in a simulation and in a network agree on the same digest: nothing of the network between is part of it."""
    made = make_training_sets(tmp_path / "made")
    one = {"site-a": made["site-a"]}
    simulated = sites(one, tmp_path, settings())["site-a"]
    other = sites(one, tmp_path, settings(mode="federated", wait_s=5, heartbeat_s=7))["site-a"]
    assert (simulated.agreement, simulated.identity) == (other.agreement, other.identity)
