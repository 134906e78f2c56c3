"""Run the workflow on a real cluster."""

from __future__ import annotations

import os
import shutil

import pytest
from cluster import REQUIRED, ClusterError, running_cluster
from cluster_project import ClusterProject, site_profiles

REMEDY = "`make test-slurm` fails without a cluster; it needs root and Debian's packages."


@pytest.fixture(scope="session")
def cluster():
    """The cluster; without it the tests are skipped, said loudly, or fail when it was asked for."""
    try:
        context = running_cluster()
        started = context.__enter__()
    except ClusterError as error:
        if os.environ.get(REQUIRED):
            pytest.fail(f"no SLURM cluster: {error}")
        pytest.skip(f"SLURM WAS NOT TESTED\n{error}\n{REMEDY}")
    try:
        yield started
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def undisturbed(cluster, tmp_path_factory) -> ClusterProject:
    """One small scan, segmented by Otsu's threshold in four slabs on the GPU nodes, and every stage run once."""
    project = ClusterProject(tmp_path_factory.mktemp("undisturbed"), cluster)
    site_profiles(project.folder)
    project.configure(
        models={"default": {"method": "otsu"}},
        store={"shard_slices": 8, "slab_slices": 16},
        profile={"resamples": 200, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
    )
    project.tomoprofile("phantom", "data", "--size", 64, 128, 96)
    project.tomoprofile("scan", "data/raw", "--out", "config/samples.tsv")
    sheet = project.folder / "config/samples.tsv"
    sheet.write_text(sheet.read_text().replace("phantom_A\t", "a\t", 1))
    project.said = project.on_cluster()
    return project


@pytest.fixture
def project(undisturbed, tmp_path) -> ClusterProject:
    """A copy of the undisturbed project, results included; a test removes what shall be computed again."""
    folder = tmp_path / "project"
    shutil.copytree(undisturbed.folder, folder, symlinks=True)
    return ClusterProject(folder, undisturbed.cluster)
