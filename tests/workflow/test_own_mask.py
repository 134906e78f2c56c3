"""A mask of the user's own goes the whole way to the report, with no label, no model and no training."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from tomoprofile.phantom.geometry import DOMAIN
from tomoprofile.phantom.truth import SUBSTRATE
from tomoprofile.volume.plane import Plane, Relief
from tomoprofile.volume.store import open_store

SIZE = (64, 128, 96)
SMALLEST = 5  # voxels of an object that counts, by default


@pytest.fixture(scope="module")
def finished(project):
    """A project in which one scan is listed twice: with the mask of its truth, and with objects of its own."""
    project.configure(
        models={"default": {"method": "unet"}, "otsu": {"method": "otsu"}},
        store={"shard_slices": 8, "slab_slices": 32},
        profile={
            "resamples": 200,
            "block_um": 12,
            "zones": [{"name": "near", "from_um": 0, "to_um": 27}, {"name": "far", "from_um": 27}],
        },
    )
    project.tomoprofile("phantom", "data", "--size", *SIZE)
    project.tomoprofile("scan", "data/raw")
    mask = truth(project)
    numbers = np.where(mask, 1 + np.indices(SIZE)[2] // 40, 0)  # three objects, touching and in many pieces
    tifffile.imwrite(project.folder / "mask.tif", mask.astype("uint8") * 255, photometric="minisblack")
    tifffile.imwrite(project.folder / "objects.tif", numbers.astype("uint16"), photometric="minisblack")
    substrate = tifffile.imread(project.folder / "data/truth/labels.tif") == SUBSTRATE
    tifffile.imwrite(project.folder / "substrate.tif", substrate.astype("uint8"), photometric="minisblack")
    write_sheet(
        project,
        {"sample": "given", "mask": "mask.tif", "labels": "nowhere"},
        {"sample": "objects", "mask": "instances:objects.tif"},
        {"sample": "relief", "mask": "mask.tif", "interface": "mask:substrate.tif"},
    )
    # The model `default` has no labels, and the folder `nowhere` no slice: none of it may matter.
    project.checked = project.tomoprofile("check").stderr
    project.snakemake()
    return project


def write_sheet(project, *changes):
    sheet = project.folder / "config/samples.tsv"
    header, row = sheet.read_text().splitlines()[:2]
    names = header.split("\t")
    cells = dict(zip(names, row.split("\t"), strict=True)) | {"mask": "", "labels": ""}
    rows = ["\t".join((cells | change)[name] for name in names) for change in changes]
    sheet.write_text("\n".join([header, *rows]) + "\n")


def truth(project):
    return tifffile.imread(project.folder / "data/truth/labels.tif") == DOMAIN


def test_the_table_has_the_objects_of_the_mask(finished):
    labels, n = ndimage.label(truth(finished), np.ones((3, 3, 3)))
    voxels = np.bincount(labels.ravel())[1:]
    found = pd.read_parquet(finished.results.scan("given").domains)
    assert found["confidence"].isna().all()
    assert sorted(found["voxels"]) == sorted(voxels[voxels >= SMALLEST])
    assert 0 < len(found) < n + 1


def test_no_model_was_made_or_asked(finished):
    assert not finished.results.model("default").folder.exists()
    assert not finished.results.scan("given").to_label.folder.exists()
    rules = {path.name for path in finished.results.logs.iterdir()}
    assert rules.isdisjoint({"fine_tune", "collect_labels", "pick_slices", "compare_with_model"})
    assert rules.isdisjoint({"predict_slab", "look_at_scan"})
    assert rules >= {"enter_mask", "enter_instances", "accept_mask"}


def test_the_check_says_what_is_not_used(finished):
    assert "labels in nowhere are not used" in finished.results.check.read_text()
    assert "GPU" not in finished.checked


@pytest.mark.parametrize("table", ["profile", "zones"])
def test_the_boundary_is_unknown_not_certain(finished, table):
    given = pd.read_parquet(finished.results.scan("given").folder / f"{table}.parquet")
    band = given[given["level"] != "calibrated"]
    assert set(band["flag"]) == {"given_mask"}
    assert band[["volume_ratio", "mean_equivalent_diameter_um", "n_domains", "domain_um3"]].isna().all(axis=None)
    own = given[given["level"] == "calibrated"]
    assert own["volume_ratio"].notna().any()
    assert not own["flag"].str.contains("given_mask").any()


def test_the_pages_say_so(finished):
    page = finished.results.scan("given").report.read_text()
    assert "Segmentation of your own" in page
    assert "No model of this workflow found the domains" in page
    assert "<dt>band</dt><dd>unknown</dd>" in page
    assert "boundary levels" not in page
    assert "accuracy on held-out labels" not in page
    index = finished.results.index.read_text()
    assert index.count("boundary uncertainty unknown") == 3


def test_provenance_has_the_mask_in_place_of_a_model(finished):
    record = json.loads(finished.results.scan("given").provenance.read_text())
    assert record["model"]["mask"]["path"] == "mask.tif"
    assert record["model"]["mask"]["voxels"] == {"domain": truth(finished).sum()}
    assert {job["rule"] for job in record["jobs"]} >= {"convert_slab", "enter_mask", "accept_mask"}


def test_objects_are_in_their_store_as_they_were(finished):
    store = open_store(finished.results.scan("objects").instances.path)
    assert (store.read(0, SIZE[0]) == tifffile.imread(finished.folder / "objects.tif")).all()


def test_given_objects_are_measured_as_they_are(finished):
    """Three numbers are three domains, although they touch and lie in many pieces."""
    numbers = tifffile.imread(finished.folder / "objects.tif")
    found = pd.read_parquet(finished.results.scan("objects").domains).set_index("label")
    assert sorted(found.index) == sorted(set(np.unique(numbers)) - {0})
    for label, row in found.iterrows():
        assert row["voxels"] == (numbers == label).sum()
        assert row["grey_min"] <= row["grey_mean"] <= row["grey_max"]
    assert found["confidence"].isna().all()
    assert (found["euler"] > 1).all(), "of many pieces"
    zones = pd.read_parquet(finished.results.scan("objects").zones)
    assert zones.loc[zones["level"] == "calibrated", "n_domains"].sum() == len(found)


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake()


def test_a_changed_mask_is_entered_again_and_nothing_is_converted(finished):
    path = finished.folder / "mask.tif"
    before, state = path.read_bytes(), path.stat()
    tifffile.imwrite(path, np.where(truth(finished), 1, 0).astype("uint8"), photometric="minisblack")
    planned = finished.planned()
    path.write_bytes(before)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert {"enter_mask given z00000", "accept_mask given", "measure_domains given"} <= planned
    assert not any("convert_slab" in job or "objects" in job for job in planned)


def test_scans_with_and_without_a_mask_side_by_side(finished):
    sheet = (finished.folder / "config/samples.tsv").read_text()
    given = {"sample": "given", "mask": "mask.tif", "labels": "nowhere"}
    write_sheet(finished, given, {"sample": "otsu", "model": "otsu"})
    planned = finished.planned()
    (finished.folder / "config/samples.tsv").write_text(sheet)
    assert {"predict_slab otsu z00000", "predict_slab otsu z00032", "fit_threshold otsu"} <= planned
    assert not any(job.endswith(" given") or " given " in job for job in planned)


def test_a_mirrored_mask_is_suspected_before_the_run(finished):
    mask = truth(finished)
    tifffile.imwrite(finished.folder / "mirrored.tif", mask[:, :, ::-1].astype("uint8"), photometric="minisblack")
    write_sheet(finished, {"sample": "given", "mask": "mirrored.tif"})
    finished.tomoprofile("check")
    assert "the mask fits the slices better when taken as mirrored" in finished.results.check.read_text()
    write_sheet(finished, {"sample": "given", "mask": "mask.tif"})
    finished.tomoprofile("check")
    assert "the mask fits" not in finished.results.check.read_text()


def test_a_wrong_mask_stops_before_anything_is_computed(finished):
    tifffile.imwrite(finished.folder / "classes.tif", tifffile.imread(finished.folder / "data/truth/labels.tif"))
    write_sheet(finished, {"sample": "new", "mask": "classes.tif"})
    done = finished.run("tomoprofile", "check")
    assert done.returncode == 1
    assert "classes.tif: a mask must hold 0 and one other value" in done.stderr
    said = finished.snakemake(ok=False)
    assert "instances:classes.tif" in said
    assert not finished.results.scan("new").volume.path.exists()


def test_a_mask_of_the_substrate_goes_the_same_way(finished):
    results = finished.results
    relief = Plane.load(results.scan("relief").interface)
    assert isinstance(relief, Relief)
    plane = Plane.load(finished.folder / "data/truth/interface.json")
    domains = pd.read_parquet(results.scan("relief").domains)
    at = [domains[f"centroid_{axis}_um"] for axis in "zyx"]
    assert (domains["depth_um"] == relief.depth_um(*at)).all()
    assert np.abs(domains["depth_um"] - plane.depth_um(*at)).max() < 0.5
    given, rough = (pd.read_parquet(results.scan(name).profile) for name in ("given", "relief"))
    both = given.merge(rough, on=["depth_um", "level"]).query("level == 'calibrated' and n_domains_x > 5")
    assert len(both) > 3
    assert np.allclose(both["volume_ratio_x"], both["volume_ratio_y"], atol=0.006)
    assert results.scan("relief").report.is_file()
    assert not results.scan("given").substrate_distance.exists()
