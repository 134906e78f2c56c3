"""A run in which nothing happens, and what it tells of itself."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import tifffile
from cluster import REQUIRED, SYSTEM_CONF, wait_for
from project import RESULTS, ROOT


def test_a_small_scan_goes_the_whole_way(undisturbed):
    results = undisturbed.results
    assert results.index.stat().st_size > 0
    assert all(undisturbed.tables("a").values())
    assert "Nothing to be done" in undisturbed.on_cluster()
    assert len(list(undisturbed.folder.glob("efficiency_report_*.csv"))) == 1


def test_the_status_tells_what_it_took(undisturbed):
    said = undisturbed.tomoprofile("status").stdout
    assert "1 scan: 1 done" in said
    line = next(line for line in said.splitlines() if line.startswith("a "))
    assert line.split()[:4] == ["a", "done", "4/4", "4/4"]


def test_provenance_names_raw_data_software_and_slurm_jobs(undisturbed):
    record = json.loads(undisturbed.results.scan("a").provenance.read_text())
    slabs = record["raw"]["sha256_of_slabs"]
    assert list(slabs) == ["z00000", "z00016", "z00032", "z00048"]
    files = sorted((undisturbed.folder / "data/raw/phantom_A").glob("*.tif"))
    expected = hashlib.sha256(b"".join(tifffile.imread(file).tobytes() for file in files[16:32]))
    assert slabs["z00016"] == expected.hexdigest()
    for name, content in undisturbed.tables("a").items():
        assert record["tables_sha256"][name] == hashlib.sha256(content).hexdigest()
    jobs = {(job["rule"], job["slab"]): job for job in record["jobs"]}
    job = jobs["predict_slab", "z00032"]
    assert job["host"] == "gpu1"
    assert undisturbed.cluster.accounted(job["slurm_job"], "State") == "COMPLETED"
    assert job["seconds"] is not None
    assert record["seed"] == 1
    assert record["software"]["tomoprofile"]


@pytest.mark.deep
def test_two_gpu_jobs_run_at_once_and_never_three(project, undisturbed):
    project.forget("a/probability.ome.zarr/slabs/*", "a/domains.parquet", "a/zones.parquet")
    run = project.start(RESULTS.scan("a").zones)
    cluster = project.cluster
    wait_for(lambda: len(cluster.jobs("RUNNING")) == 2, "two jobs on the GPUs", 120)
    held = list(cluster.jobs("RUNNING"))
    for job in held:
        wait_for(lambda job=job: project.processes(job), "the job's processes", 20)
        project.signal(job, signal.SIGSTOP)
    wait_for(lambda: len(cluster.jobs("PENDING")) == 2, "two jobs that wait", 60)
    for _ in range(10):
        assert sorted(cluster.jobs("RUNNING")) == sorted(held)
        time.sleep(0.3)
    for job in held:
        project.signal(job, signal.SIGCONT)
    said = project.finish(run)
    jobs = project.submitted(said, "predict_slab")
    assert len(jobs) == 4
    for job in jobs:
        assert "gres/gpu=1" in cluster.accounted(job, "AllocTRES").split(",")
        assert cluster.accounted(job, "Partition") == "gpu"
    logs = [path.read_text() for path in project.results.log("predict_slab", "any").parent.glob("*.log")]
    assert {log.partition("GPU ")[2][0] for log in logs} == {"0", "1"}
    assert project.tables("a") == undisturbed.tables("a")


@pytest.mark.deep
def test_a_site_with_many_partitions(project):
    project.forget("a/probability.ome.zarr/slabs/z00016.json", "a/check.tsv")
    record = RESULTS.scan("a").probability.record("z00016")
    said = project.on_cluster(record, RESULTS.scan("a").check, profile="partitions")
    (predicted,) = project.submitted(said, "predict_slab")
    (checked,) = project.submitted(said, "check_inputs")
    assert project.cluster.accounted(predicted, "Partition") == "gpu"
    assert project.cluster.accounted(checked, "Partition") == "standard"


@pytest.fixture
def without_accounting(cluster):
    """The same cluster with nothing accounted: restarted, and restarted again afterwards."""
    cluster.stop("slurmctld")
    cluster.start_controller(accounting=False)
    yield cluster
    cluster.stop("slurmctld")
    cluster.start_controller()


def test_a_site_without_accounting_and_without_gpus(project, undisturbed, without_accounting):
    project.forget("a/probability.ome.zarr/slabs/z00016.json", "a/domains.parquet", "a/zones.parquet")
    said = project.on_cluster(RESULTS.scan("a").zones, profile="without-accounting")
    (job,) = project.submitted(said, "predict_slab")
    assert "on cpu" in project.results.log("predict_slab", "a", "z00016").read_text()
    assert job not in without_accounting.jobs()
    assert project.tables("a") == undisturbed.tables("a")


def test_without_a_cluster_the_suite_says_so_and_a_demand_for_it_fails(cluster):
    # A second cluster on this machine is refused, as on a machine that belongs to a cluster.
    assert SYSTEM_CONF.exists()
    test = f"{__file__}::test_the_status_tells_what_it_took"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    free = {name: value for name, value in os.environ.items() if name != REQUIRED}
    skipped = subprocess.run(command, cwd=ROOT, env=free, capture_output=True, text=True)
    assert skipped.returncode == 0
    assert "SLURM WAS NOT TESTED" in skipped.stdout
    assert "this machine belongs to a cluster" in skipped.stdout
    demanded = subprocess.run(command, cwd=ROOT, env=free | {REQUIRED: "1"}, capture_output=True, text=True)
    assert demanded.returncode == 1
    assert cluster.jobs() is not None, "the cluster of this run is left alone"
