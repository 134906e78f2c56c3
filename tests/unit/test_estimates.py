"""What a run will need: told, and refused when there is not enough."""

from collections import namedtuple

import pytest

from tomoprofile.config import read_config
from tomoprofile.run import feasibility
from tomoprofile.run.estimates import needs_of
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


def test_a_scan_of_2048_cubed_makes_at_most_200_files():
    assert needs_of(SCAN, read_config({})).files <= 200


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


def test_a_label_volume_costs_what_it_takes_and_stays():
    plain, painted = (needs_of(SCAN, read_config({"objects": {"label_volume": wanted}})) for wanted in (False, True))
    more = {painted.bytes_kept[keep] - plain.bytes_kept[keep] for keep in plain.bytes_kept}
    assert len({round(size) for size in more}) == 1
    assert 0.2e9 < more.pop() < 0.5e9
    # 32 + 16 + 8 + 4 shards; zarr.json of four levels and of the store; its record, the log and the benchmark.
    assert painted.files - plain.files == 60 + 5 + 1 + 2
    assert 0 < painted.core_hours - plain.core_hours < 0.1


def test_a_mask_needs_no_network_whatever_the_model():
    config = read_config({"predict": {"flips": True}})
    of_model = needs_of(SCAN, config)
    mask = needs_of(SCAN.model_copy(update={"mask": "m.tif", "model": "not configured"}), config)
    assert mask.gpu_minutes == 0
    assert mask.core_hours == mask.core_hours_without_gpu < 0.1 * of_model.core_hours_without_gpu
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
    assert "minimal: 0.9 GB" in finding.message


def test_too_few_files_are_refused(tmp_path, monkeypatch):
    disk(monkeypatch, 1e12)
    Files = namedtuple("Files", "f_files f_favail")
    config = read_config({"results": str(tmp_path)})
    for left, status in ((1000, "ok"), (100, "error")):
        monkeypatch.setattr(feasibility.os, "statvfs", lambda _, left=left: Files(10**6, left))
        (finding,) = feasibility._check_disk(config, [SCAN])
        assert finding.status == status
