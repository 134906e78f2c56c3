"""Two sites of a federation whose parts are jobs on SLURM, one on each partition; server and coordinator are not."""

import shutil
from contextlib import ExitStack

import numpy as np
import pytest
import yaml
from cluster_project import ClusterProject, site_profiles
from federated_sites import NAMES, PLAIN, files_of, make_training_sets, settings
from flare import Federation

from tomoprofile.federate.simulate import simulate
from tomoprofile.network.bundle import load_network
from tomoprofile.samples import Scan, write_samples

LIMITS = {"heartbeat_s": 20, "round_s": 120, "wait_s": 400}
RUN = settings(rounds=1, round_steps=2, rounds_per_job=8, **LIMITS)
PARTITIONS = dict(zip(NAMES[:2], ("gpu", "standard"), strict=True))
RULES = ("fed_statistics", "fed_client", "fed_collect")


def site_project(cluster, federation, name):
    """Return the working folder of a site: its labels, its configuration, and its profile with a partition."""
    project = ClusterProject(federation.folder / f"project_{name}", cluster)
    site_profiles(project.folder)
    profile = project.folder / "profiles/with-accounting/config.yaml"
    told = yaml.safe_load(profile.read_text())
    resources = {"slurm_partition": PARTITIONS[name]} | ({"gpu": 1} if PARTITIONS[name] == "gpu" else {})
    told["set-resources"]["fed_client"] = resources | {"mem_mb": 3000}
    profile.write_text(yaml.safe_dump(told))
    train = federation.of().train.model_dump(mode="json") | {"federation": str(federation.folder / "federation" / name)}
    project.configure(models={"default": PLAIN | {"train": train}})
    labels = project.folder / "labels/a"
    labels.mkdir(parents=True)
    (labels / "a_z00003.tif").touch()
    size = {"slices": 48, "rows": 128, "columns": 96, "dtype": "float32", "voxel_size_um": "0.5"}
    scan = Scan(sample="a", path="a.tif", format="tiff_stack", labels="labels/a", **size)
    write_samples(project.folder / "config/samples.tsv", [scan])
    gathered = project.results.training_set("default")
    gathered.parent.mkdir(parents=True)
    shutil.copy(federation.training_sets[name], gathered)
    return project


@pytest.mark.deep
def test_sites_that_are_slurm_jobs_learn_what_a_simulation_learns(cluster, tmp_path):
    made = make_training_sets(tmp_path / "made")
    training_sets = {name: made[name] for name in PARTITIONS}
    each = {name: (files_of(path, tmp_path / "simulated" / name), RUN) for name, path in training_sets.items()}
    expected = simulate(each, 1, tmp_path / "simulated/state.safetensors", 1).tensors
    with Federation(tmp_path, training_sets, RUN) as federation, ExitStack() as stack:
        federation.serve()
        sites = {name: site_project(cluster, federation, name) for name in training_sets}
        runs = {}
        for name, site in sites.items():
            bundle = site.results.model("default").metadata.relative_to(site.folder)
            runs[name] = site.start(bundle, "--allowed-rules", *RULES, said_to=site.folder / "said.txt")
            stack.callback(runs[name].kill)
        state = federation.all_segments()
        for name, run in runs.items():
            assert run.wait(300) == 0, (sites[name].folder / "said.txt").read_text() + sites[name].logs()
    for name, site in sites.items():
        (job,) = site.submitted((site.folder / "said.txt").read_text(), "fed_client")
        assert site.cluster.accounted(job, "State") == "COMPLETED"
        assert site.cluster.accounted(job, "Partition") == PARTITIONS[name]
        assert ("gres/gpu=1" in site.cluster.accounted(job, "AllocTRES")) == (PARTITIONS[name] == "gpu")
        bundle = load_network(site.results.model("default").folder).state_dict()
        for tensor, value in expected.items():
            assert np.allclose(state.tensors[tensor], value, rtol=1e-4, atol=1e-5), tensor
            is_of_all = ".running_" not in tensor  # statistics are of a site's own crops
            assert np.array_equal(bundle[tensor].numpy(), state.tensors[tensor]) == is_of_all, tensor
