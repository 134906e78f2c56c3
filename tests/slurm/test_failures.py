"""What a beamtime must survive: each test disturbs a run, and the tables end as those of an undisturbed one."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from cluster import CPU_NODES, wait_for
from project import RESULTS

MEMORY = Path(__file__).parent / "memory"
TABLES = RESULTS.scan("a").zones  # and all before it; the reports are made again where they are looked at


@pytest.fixture(autouse=True)
def nothing_left(cluster):
    """Every test begins and ends with an empty queue and all nodes."""
    yield
    cluster.run("scancel", "--user=root")
    wait_for(lambda: not cluster.jobs("RUNNING", "PENDING", "COMPLETING"), "an empty queue", 60)


def test_a_job_killed_for_memory_grows_and_completes(project, undisturbed):
    project.forget("a/probability.ome.zarr/slabs/z00016.json", "a/domains.parquet", "a/zones.parquet")
    said = project.on_cluster(TABLES, PYTHONPATH=str(MEMORY), MEMORY_TEST="predict_slab:sample=a,slab=z00016=5200")
    first, second = project.submitted(said, "predict_slab")
    # SLURM samples memory and kills without cgroups: it then calls the job failed, not out of memory.
    assert project.cluster.accounted(first, "State") in ("FAILED", "OUT_OF_MEMORY")
    assert "memory limit" in next(project.folder.glob(f".snakemake/slurm_logs/**/{first}.log")).read_text()
    assert project.cluster.accounted(second, "State") == "COMPLETED"
    asked = [int(project.cluster.accounted(job, "ReqMem").rstrip("M")) for job in (first, second)]
    assert asked[1] == pytest.approx(1.5 * asked[0], abs=1)
    assert project.tables("a") == undisturbed.tables("a")


@pytest.mark.deep
def test_a_job_that_always_fails_lets_its_siblings_finish(project, undisturbed):
    raw = project.folder / "data/raw/phantom_A"
    damaged = sorted(raw.glob("*.tif"))[37]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-500])
    project.forget("a/volume.ome.zarr/slabs/z00016.json", "a/volume.ome.zarr/slabs/z00032.json", "a/domains.parquet")
    said = project.on_cluster(ok=False)
    assert len(project.submitted(said, "convert_slab")) == 1 + 3, "three attempts, and the sibling"
    assert project.results.scan("a").volume.record("z00016").exists()
    summary = said[said.index("scan  state") :]
    assert "a: convert_slab z00032 failed, SLURM job" in summary
    assert str(RESULTS.log("convert_slab", "a", "z00032")) in summary
    assert damaged.name in summary
    index = project.results.index.read_text()
    assert "convert_slab z00032 failed" in index
    assert damaged.name in index
    damaged.write_bytes(whole)
    said = project.on_cluster()
    assert len(project.submitted(said, "convert_slab")) == 1
    assert project.tables("a") == undisturbed.tables("a")
    assert "convert_slab z00032 failed" not in project.results.index.read_text()


def test_after_scancel_only_the_missing_slab_is_computed(project, undisturbed):
    project.forget("a/probability.ome.zarr/slabs/*", "a/domains.parquet", "a/zones.parquet")
    run = project.start(TABLES, "--retries", "0")
    project.cluster.run("scancel", project.hold("predict_slab_wildcards_a_z00016"))
    said = project.finish(run, ok=False)
    assert "a: predict_slab z00016 stopped without an error message" in said
    said = project.on_cluster(TABLES)
    assert len(project.submitted(said, "predict_slab")) == 1
    assert project.tables("a") == undisturbed.tables("a")


@pytest.mark.deep
def test_snakemake_killed_is_guarded_and_resumed(project, undisturbed):
    project.forget("a/probability.ome.zarr/slabs/*", "a/domains.parquet", "a/zones.parquet")
    run = project.start(TABLES)
    job = project.hold("predict_slab_wildcards_a_z00048")
    wait_for(lambda: "Finished jobid" in run.stdout.readline(), "a finished slab", 90)
    run.kill()
    run.communicate()
    said = project.on_cluster(TABLES, ok=False)
    assert "LockException" not in said
    assert "of an earlier run in this folder" in said
    assert f"{job}  RUNNING" in said
    assert "scancel" in said
    assert "predict_slab a_z00048" in said
    assert not project.submitted(said, "predict_slab"), "nothing may be submitted twice"
    project.signal(job, signal.SIGCONT)
    wait_for(lambda: not project.cluster.jobs("RUNNING", "PENDING", "COMPLETING"), "the end of the old jobs", 60)
    said = project.on_cluster(TABLES)
    assert f"Earlier, the run of process {run.pid}" in said
    assert len(project.submitted(said, "predict_slab")) < 4, "what was finished before the kill stays"
    assert project.tables("a") == undisturbed.tables("a")


@pytest.mark.deep
def test_one_interrupt_cancels_the_jobs(project, undisturbed):
    project.forget("a/probability.ome.zarr/slabs/z00016.json", "a/domains.parquet", "a/zones.parquet")
    run = project.start(TABLES)
    project.hold("predict_slab_wildcards_a_z00016")
    run.send_signal(signal.SIGINT)
    project.finish(run, ok=False)
    wait_for(lambda: not project.cluster.jobs("RUNNING", "PENDING"), "the end of the jobs", 30)
    project.on_cluster(TABLES)
    assert project.tables("a") == undisturbed.tables("a")


@pytest.fixture
def nodes(cluster):
    """Start again the nodes that a test kills."""
    yield cluster
    for node in CPU_NODES:
        if node not in cluster.daemons:
            cluster.start_node(node)
        cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)


def _kill_node_of(project, comment):
    job = project.hold(comment)
    node = project.cluster.run("squeue", "-h", "-o", "%N", "-j", job).strip()
    project.cluster.kill_node(node)
    wait_for(lambda: project.cluster.node_state(node) == "DOWN", f"node {node} to be noticed", 90)
    return job, node


def test_a_dying_node_gives_its_job_back_to_the_queue(project, undisturbed, nodes):
    project.forget("a/zones.parquet")
    run = project.start(TABLES)
    job, node = _kill_node_of(project, "rule_profile_depth_wildcards_a")
    wait_for(lambda: nodes.jobs("PENDING").get(job), "the job to be queued again", 60)
    # SLURM waits two minutes before a requeued job may run again; an administrator may say now.
    nodes.run("scontrol", "update", f"jobid={job}", "StartTime=now")
    said = project.finish(run)
    assert project.submitted(said, "profile_depth") == [job], "Snakemake saw nothing of it"
    assert nodes.accounted(job, "State") == "COMPLETED"
    assert nodes.accounted(job, "NodeList") != node
    assert project.tables("a") == undisturbed.tables("a")


@pytest.mark.deep
def test_a_dying_node_without_requeue_is_avoided(project, undisturbed, nodes):
    project.forget("a/zones.parquet")
    run = project.start(TABLES, "--slurm-no-requeue")
    job, node = _kill_node_of(project, "rule_profile_depth_wildcards_a")
    said = project.finish(run)
    first, second = project.submitted(said, "profile_depth")
    assert first == job
    assert nodes.accounted(first, "State") == "NODE_FAIL"
    assert nodes.accounted(second, "NodeList") != node
    assert project.tables("a") == undisturbed.tables("a")


@pytest.mark.deep
def test_a_full_disk_is_told_and_leaves_no_half_shard(project, undisturbed):
    project.forget(
        "a/probability.ome.zarr/slabs/z00016.json",
        "a/probability.ome.zarr/0/c/0/3",
        "a/domains.parquet",
        "a/zones.parquet",
    )
    disk = project.results.scan("a").probability.path / "0/c/0/3"
    (disk / "0").mkdir(parents=True)
    # Two pages: the folder that Zarr makes, and hardly a byte of the shard.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)], check=True)
    try:
        (disk / "0").mkdir()
        (disk / "ballast").write_bytes(os.urandom(4096))
        said = project.on_cluster(TABLES, "--retries", "0", ok=False)
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["ballast"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert "a: predict_slab z00016 failed" in said
    assert "No space left on device" in said
    assert "Free some space" in said
    assert not project.results.scan("a").probability.record("z00016").exists()
    said = project.on_cluster(TABLES)
    assert len(project.submitted(said, "predict_slab")) == 1
    assert project.tables("a") == undisturbed.tables("a")


@pytest.mark.deep
def test_a_shard_cut_short_is_found_and_written_again(project, undisturbed):
    shard = project.results.scan("a").probability.path / "0/c/0/2/0/0"
    shard.write_bytes(shard.read_bytes()[:-10])
    project.forget("a/domains.parquet", "a/zones.parquet")
    said = project.on_cluster(TABLES, "--retries", "0", ok=False)
    assert "0/c/0/2/0/0: the shard is not the one that was written" in said
    assert not project.results.scan("a").domains.exists()
    said = project.on_cluster(TABLES)
    assert len(project.submitted(said, "predict_slab")) == 1
    assert project.tables("a") == undisturbed.tables("a")
