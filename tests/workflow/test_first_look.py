"""A first report before any label: by the model that comes with the package, flagged wherever it is read."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from tomoprofile.phantom.geometry import DOMAIN
from tomoprofile.phantom.truth import SUBSTRATE

SIZE = (48, 160, 128)


@pytest.fixture(scope="module")
def looked_at(project):
    """A scan of kind B, which has voids and more noise, from its file to its report without a label."""
    project.tomoprofile("phantom", "b", "--kind", "B", "--size", *SIZE, "--seed", 3)
    project.configure(
        models={"default": {"method": "bundle", "bundle": "tomoprofile"}},
        store={"shard_slices": 16, "slab_slices": 32},
        profile={"resamples": 100, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
        keep="minimal",
    )
    project.tomoprofile("scan", "b/raw")
    project.snakemake()
    return project


def volume_ratio(project):
    zones = pd.read_parquet(project.results.scan("phantom_B").zones)
    (found,) = zones[zones["level"] == "calibrated"]["volume_ratio"]
    return found


def true_ratio(project):
    labels = tifffile.imread(project.folder / "b/truth/labels.tif")
    return np.mean(labels[labels != SUBSTRATE] == DOMAIN)


def test_domains_are_found_and_voids_are_none(looked_at):
    truth = true_ratio(looked_at)
    assert truth > 0.01
    assert volume_ratio(looked_at) == pytest.approx(truth, rel=0.1)


def test_what_is_not_kept_is_gone_and_nothing_is_left_to_do(looked_at):
    """What needs the voxels again is a deep test of what is kept."""
    scan = looked_at.results.scan("phantom_B")
    assert not scan.volume.path.exists()
    assert not scan.probability.path.exists()
    assert json.loads(scan.discarded.read_text())["bytes"] > 100_000
    assert looked_at.planned() == set()
    assert "1 scan: 1 done" in looked_at.tomoprofile("status").stdout


def test_nobody_can_take_it_for_a_measurement(looked_at):
    scan = looked_at.results.scan("phantom_B")
    for table in (scan.zones, scan.profile):
        assert pd.read_parquet(table)["flag"].str.contains("outside_model").all()
    page = scan.report.read_text()
    assert "No label was used" in page
    assert "do not use them before you have labelled one slice" in " ".join(page.split())
    assert "Uncalibrated decision level" not in page, "there are no labels that could be too few"
    assert "no label was used" in looked_at.results.index.read_text()
    (proposed,) = (scan.folder / "to_label").glob("phantom_B_z*.tif")
    assert tifffile.imread(proposed).shape == SIZE[1:]
    assert (scan.folder / "to_label/prelabels" / proposed.name).is_file()
