"""One scan measured by SLURM jobs that Dask asks for."""

import subprocess

import pytest
import yaml
from cluster import wait_for
from project import RESULTS


def by_workers(project, count):
    """Let SLURM jobs share the measuring and the profile of a scan that is segmented."""
    path = project.folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {"objects": {"slurm_workers": count}}))
    project.forget("a/domains.parquet", "a/zones.parquet")
    return project


def worker_jobs(cluster):
    """Return the jobs of Dask that SLURM has accounted for."""
    lines = cluster.run("sacct", "-X", "-n", "-P", "-o", "JobID,JobName,State").splitlines()
    return {line.split("|")[0]: line.split("|")[2] for line in lines if line.split("|")[1] == "tomoprofile-dask"}


def test_slurm_jobs_give_the_bytes_of_one_node(project, undisturbed):
    earlier = worker_jobs(project.cluster)
    said = by_workers(project, 2).on_cluster(RESULTS.scan("a").zones)
    assert project.tables("a") == undisturbed.tables("a")
    (asking,) = project.submitted(said, "measure_domains")
    log = project.results.log("measure_domains", "a").read_text()
    assert "2 SLURM jobs requested" in log
    assert "dashboard: http" in log
    assert "2 SLURM jobs requested" in project.results.log("profile_depth", "a").read_text()
    jobs = worker_jobs(project.cluster).keys() - earlier.keys()
    assert len(jobs) == 4, "two for the domains, and two for the profile"
    partition = project.cluster.accounted(asking, "Partition")
    assert {project.cluster.accounted(job, "Partition") for job in jobs} == {partition}
    wait_for(lambda: not project.cluster.jobs("RUNNING", "PENDING"), "no worker is left behind", 60)


@pytest.mark.deep
def test_a_worker_that_is_cancelled_costs_its_tasks_only(project, undisturbed):
    run = by_workers(project, 2).start(RESULTS.scan("a").zones)
    cluster = project.cluster

    def working():
        jobs = cluster.run("squeue", "-h", "-n", "tomoprofile-dask", "-t", "RUNNING", "-o", "%i").split()
        return jobs if len(jobs) == 2 else None

    wait_for(working, "two workers", 120)
    subprocess.run(["scancel", working()[0]], env=cluster.environment, check=True)
    project.finish(run)
    assert project.tables("a") == undisturbed.tables("a")
    assert "shards measured 8 of 8" in project.results.log("measure_domains", "a").read_text()
