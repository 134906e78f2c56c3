"""A model of one beamtime on a scan of another: the collapse that is announced, and the one label that mends it."""

import json
import shutil

import pandas as pd
import pytest
import tifffile
from project import RESULTS

from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.volume.store import open_store

BASE = {"crop": 64, "decoder_channels": [64, 32, 16, 16]}
PLAIN = {"scale": 0, "spectrum": 0, "noise": 0, "rings": 0, "gain": 0, "offset": 0, "voids": 0}
FAMILIARITY = RESULTS.scan("phantom_B").familiarity
SETTINGS = {
    "store": {"shard_slices": 16, "slab_slices": 32},
    "profile": {"resamples": 100, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
}

# Two trainings and three runs; what a stranger is, and how it is told, is tested on smaller ones (test_shift_alarm,
# test_check_familiarity).
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def carried(project):
    """A scan of kind B, segmented by a model that has seen kind A alone, without variation in training."""
    project.tomoprofile("phantom", "a", "--size", 64, 192, 160)
    project.tomoprofile("phantom", "b", "--kind", "B", "--size", 64, 192, 160, "--seed", 2)
    project.configure(models={"default": {**BASE, "method": "unet", "steps": 80, "augment": PLAIN}}, **SETTINGS)
    project.tomoprofile("scan", "a/raw", "--labels", "labels")
    project.snakemake("pick")
    project.tomoprofile("annotate", "a/truth", RESULTS.scan("phantom_A").to_label.table, "labels/phantom_A")
    project.snakemake(RESULTS.model("default").metadata, RESULTS.scan("phantom_A").zones)
    shutil.copytree(project.results.model("default").folder, project.folder / "models/earlier")
    project.configure(models={"default": {"method": "bundle", "bundle": "models/earlier"}}, **SETTINGS)
    project.tomoprofile("scan", "b/raw")
    project.snakemake(RESULTS.scan("phantom_B").report, RESULTS.index)
    return project


def test_the_check_says_so_before_anything_is_computed(carried):
    check = pd.read_csv(carried.results.scan("phantom_B").check, sep="\t")
    (found,) = check[check["item"] == "familiarity"].itertuples()
    assert found.status == "warning"
    assert "Label one slice" in found.message


def test_every_table_and_page_says_so(carried):
    results = carried.results
    for name in ("domains", "profile", "zones"):
        flags = pd.read_parquet(results.scan("phantom_B").folder / f"{name}.parquet")["flag"]
        assert flags.str.contains("outside_model").all(), name
    page = results.scan("phantom_B").report.read_text()
    assert "Unlike what the model has seen" in page
    assert "Unlike what the model has seen" in results.index.read_text()
    own = pd.read_parquet(results.scan("phantom_A").zones)["flag"]
    assert not own.str.contains("model").any(), "the scan it learned from is no stranger"


def agreement(project):
    """Return the Dice of the scan's segmentation with the truth: volumes could agree by accident."""
    model = json.loads((project.folder / FAMILIARITY).read_text())["model"]
    (level,) = segmenter_at(project.folder / model).levels().values()
    found = open_store(project.results.scan("phantom_B").probability.path, "domain").read(0, 64) >= level * 255
    truth = tifffile.imread(project.folder / "b/truth/labels.tif") == 1
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_the_slice_to_label_is_there_with_a_mask_and_mends_the_model(carried):
    results = carried.results
    carried_over = agreement(carried)
    (image,) = results.scan("phantom_B").to_label.folder.glob("phantom_B_z*.tif")
    mask = tifffile.imread(image.parent / "prelabels" / image.name)
    assert mask.shape == tifffile.imread(image).shape
    assert 0 < mask.mean() < 1
    table = carried.folder / "to_label.tsv"
    table.write_text(f"slice\tfile\n{int(image.stem[-5:])}\t{image.name}\n")
    carried.tomoprofile("annotate", "b/truth", table, "labels/phantom_B")
    unet = {**BASE, "method": "unet", "base": "models/earlier", "steps": 60}
    carried.configure(models={"default": unet}, **SETTINGS)
    carried.tomoprofile("scan", "b/raw", "--labels", "labels")
    carried.snakemake(RESULTS.scan("phantom_B").zones)
    assert agreement(carried) > carried_over + 0.005
    zones = pd.read_parquet(results.scan("phantom_B").zones).set_index("level")
    truth = pd.read_parquet(carried.folder / "b/truth/profile.parquet")
    wanted = truth["domain_um3"].sum() / truth["resin_um3"].sum()
    assert abs(zones.at["calibrated", "volume_ratio"] / wanted - 1) < 0.15
    assert not zones["flag"].str.contains("model").any()


def test_the_earlier_model_proposes_the_slices_it_doubts_most(carried):
    proposed = pd.read_csv(carried.results.scan("phantom_B").to_label.table, sep="\t")
    assert len(proposed) == 3
    assert (proposed["doubt"] > 0).all()
    assert [(z * 3) // 64 for z in proposed["slice"]] == [0, 1, 2], "one from each third"
    for row in proposed.itertuples():
        assert (carried.results.scan("phantom_B").to_label.folder / row.prelabel).is_file()
