"""What a run will need: told, and refused when there is not enough."""

import re
from collections import namedtuple

import pytest
from model_facts import measured, model_facts, write_bundle

from tomoprofile.config import read_config
from tomoprofile.run import estimates, feasibility
from tomoprofile.run.estimates import needs_of, total_needs
from tomoprofile.samples import Scan

SCAN = Scan(
    sample="a",
    path="a",
    format="tiff_folder",
    slices=2048,
    rows=2048,
    columns=2048,
    dtype="uint16",
    voxel_size_um="0.5",
    labels="labels",
)
Usage = namedtuple("Usage", "total used free")


def test_a_scan_of_2048_cubed_makes_at_most_256_files():
    assert needs_of(SCAN, read_config({})).files <= 256


def test_files_are_those_that_the_kind_of_segmentation_leaves(tmp_path):
    bundle = {"method": "bundle", "bundle": str(write_bundle(tmp_path / "b"))}
    models = {"default": {"method": "unet"}, "bundle": bundle, "otsu": {"method": "otsu"}}

    def files(flips=False, **cells):
        config = read_config({"models": models, "predict": {"flips": flips}})
        return needs_of(SCAN.model_copy(update=cells), config).files

    # 32 shards and 8 slabs: two stores of them, each slab with a record and its digest, Snakemake's record, a log and
    # a benchmark.
    slabs = 2 * (32 + 8 * 5)
    # Outputs count three times, as each has a digest and Snakemake's record; every job has a log and a benchmark, and
    # some leave more beside.
    shared = {"check": 5, "stores": 5 + 5 + 8, "interface": 8, "measure": 20, "profile": 17, "baselines": 5}
    shared |= {"report": 11}
    every = slabs + sum(shared.values())
    assert files(model="otsu") == files(mask="m.tif") == every + 5
    assert files(model="bundle") == every + 5 + (5 + 2)
    assert (
        files() == files(model="bundle") + 5 + 2 * 3 + 5
    )  # three slices to label with a mask to correct, and the check of labels
    assert files(labels="") == files(model="bundle"), "the model learns from other scans"
    assert files(flips=True) == files() + 32 + 4, "a third store, whose slabs need no records"
    assert files(flips=True, model="otsu") == files(model="otsu")
    assert files(mask="instances:m.tif") == files(mask="m.tif") + 32 + 8 * 3 + 8
    assert files(model="otsu", interface="mask:s.tif") == files(model="otsu") + 3


def test_each_measured_class_is_stored_and_measured_but_computed_once(tmp_path):
    classes = {"background": 0, "domain": 1, "void": 2}
    known = {name: measured() for name in ("domain", "void")}
    network = model_facts().network.model_copy(update={"classes": 3, "measured": (1, 2)})
    bundle = write_bundle(tmp_path / "b", model_facts(network=network, classes=[*classes], measured=known))
    models = {
        "one": {"method": "unet", "classes": classes},
        "two": {"method": "unet", "classes": classes, "measure": ["domain", "void"]},
        "bundle": {"method": "bundle", "bundle": str(bundle)},
    }

    def needs(model, flips=False, **cells):
        config = read_config({"models": models, "predict": {"flips": flips}})
        return needs_of(SCAN.model_copy(update={"model": model} | cells), config)

    one, two = needs("one"), needs("two")
    assert two.gpu_minutes == one.gpu_minutes, "the network runs once"
    assert two.files == one.files + 32
    assert two.core_hours > one.core_hours
    assert two.bytes_kept["minimal"] > 1.9 * one.bytes_kept["minimal"]
    assert needs("bundle").files == two.files - 5 - 2 * 3 - 5, (
        "a bundle measures what it measures; no slices are proposed"
    )
    assert needs("two", flips=True).files == two.files + 2 * 32 + 4
    assert needs("two", mask="m.tif").files == needs("one", mask="m.tif").files, "a binary mask is of one class"
    assert needs("two", mask="classes:m.tif").files == needs("one", mask="m.tif").files + 32
    objects = needs("two", mask="instances:i.tif;classes:c.tif")
    assert objects.files == needs("two", mask="instances:i.tif").files + 32


def test_needs_grow_with_the_scan_and_fall_with_what_is_not_kept():
    config = read_config({})
    needs = needs_of(SCAN, config)
    half = needs_of(SCAN.model_copy(update={"slices": 1024}), config)
    assert needs.gpu_minutes == pytest.approx(2 * half.gpu_minutes)
    assert needs.bytes_kept["all"] == pytest.approx(2 * half.bytes_kept["all"], rel=0.01)
    assert needs.bytes_kept["minimal"] < 0.05 * needs.bytes_kept["standard"]
    assert needs.bytes_kept["standard"] < needs.bytes_kept["all"]
    threshold = needs_of(SCAN, read_config({"models": {"default": {"method": "otsu"}}}))
    assert threshold.gpu_minutes == 0
    assert threshold.core_hours == threshold.core_hours_without_gpu < needs.core_hours_without_gpu


def test_training_is_counted_once_for_all_scans_of_a_model():
    models = {"default": {"method": "unet"}, "long": {"method": "unet", "steps": 3000}, "otsu": {"method": "otsu"}}
    config = read_config({"models": models})
    scans = [SCAN.model_copy(update={"sample": name}) for name in "abc"]
    apart = [total_needs([scan], config, with_training=False) for scan in scans]
    together = total_needs(scans, config)
    training = together.core_hours_without_gpu - sum(one.core_hours_without_gpu for one in apart)
    # docs/benchmarks/segmentation.md: 167 to 189 CPU seconds for 300 steps of the default network; at most two cycles
    # and one for the folds.
    assert 3 * 150 < training * 3600 < 3 * 250
    assert together.models == 1
    assert together.gpu_minutes > sum(one.gpu_minutes for one in apart)
    both = total_needs([*scans, SCAN.model_copy(update={"sample": "d", "model": "long"})], config)
    assert both.models == 2
    more = both.core_hours_without_gpu - together.core_hours_without_gpu - apart[0].core_hours_without_gpu
    assert more == pytest.approx(3300 / 900 * training)
    threshold = total_needs([SCAN.model_copy(update={"model": "otsu"})], config)
    assert (threshold.models, threshold.gpu_minutes) == (0, 0)


def test_minutes_are_those_of_the_cores_of_this_machine_but_no_chain_of_jobs_is_shortened(monkeypatch):
    small = SCAN.model_copy(update={"slices": 64, "rows": 64, "columns": 64})
    config = read_config({})
    took = {}
    for cores in (1, 2, 1000):
        monkeypatch.setattr(estimates, "cores_here", lambda cores=cores: cores)
        took[cores] = [total_needs([scan], config).seconds_here for scan in (SCAN, small)]
    assert took[1][0] == pytest.approx(2 * took[2][0])
    assert took[1][0] > 3600, "8.6 gigavoxels by a network on one core"
    assert 60 < took[1000][1] < 300, "training alone takes longer than a thousandth of the work"


def test_needs_are_told_in_minutes_and_with_training():
    told = {finding.sample: finding.message for finding in feasibility._needs([SCAN], read_config({}))}
    assert re.search(r"about [\d.]+ (min|h) on the \d+ cores? of this machine", told["-"])
    assert "training of 1 model included" in told["-"]
    assert "training" not in told["a"], "it belongs to the model, not to one scan"
    assert "GPU-minute" in told["-"]
    otsu = feasibility._needs([SCAN], read_config({"models": {"default": {"method": "otsu"}}}))[-1].message
    assert "GPU" not in otsu


def test_a_label_volume_costs_what_it_takes_and_stays():
    plain, painted = (needs_of(SCAN, read_config({"objects": {"label_volume": wanted}})) for wanted in (False, True))
    more = {painted.bytes_kept[keep] - plain.bytes_kept[keep] for keep in plain.bytes_kept}
    assert len({round(size) for size in more}) == 1
    assert 0.2e9 < more.pop() < 0.5e9
    # 32 + 16 + 8 + 4 shards; zarr.json of four levels and of the store; its two records, the log and the benchmark.
    assert painted.files - plain.files == 60 + 5 + 2 + 2
    assert 0 < painted.core_hours - plain.core_hours < 0.1


def test_a_mask_needs_no_network_whatever_the_model():
    config = read_config({"predict": {"flips": True}})
    of_model = needs_of(SCAN, config)
    mask = needs_of(SCAN.model_copy(update={"mask": "m.tif", "model": "not configured"}), config)
    assert mask.gpu_minutes == 0
    assert mask.core_hours == mask.core_hours_without_gpu < 0.12 * of_model.core_hours_without_gpu
    assert mask.bytes_kept["all"] < of_model.bytes_kept["all"]
    objects = needs_of(SCAN.model_copy(update={"mask": "instances:m.tif"}), config)
    assert objects.gpu_minutes == 0
    assert objects.bytes_kept["all"] > mask.bytes_kept["all"]
    assert mask.files < objects.files <= 300


def disk(monkeypatch, free):
    monkeypatch.setattr(feasibility.shutil, "disk_usage", lambda _: Usage(0, 0, free))


@pytest.mark.parametrize(
    ("keep", "free", "status"),
    [("all", 50e9, "ok"), ("all", 30e9, "error"), ("minimal", 30e9, "warning"), ("minimal", 20e9, "error")],
)
def test_a_disk_that_would_not_suffice_is_refused(tmp_path, monkeypatch, keep, free, status):
    disk(monkeypatch, free)
    config = read_config({"results": str(tmp_path), "keep": keep})
    (finding,) = feasibility._check_disk(config, [SCAN, SCAN.model_copy(update={"sample": "b"})])
    assert finding.status == status
    assert "GB free" in finding.message
    assert "minimal: 871 MB" in finding.message


def test_too_few_files_are_refused(tmp_path, monkeypatch):
    disk(monkeypatch, 1e12)
    Files = namedtuple("Files", "f_files f_favail")
    config = read_config({"results": str(tmp_path)})
    for left, status in ((1000, "ok"), (100, "error")):
        monkeypatch.setattr(feasibility.os, "statvfs", lambda _, left=left: Files(10**6, left))
        (finding,) = feasibility._check_disk(config, [SCAN])
        assert finding.status == status
