import json

import numpy as np
import pytest
from segment_scan import build, dice

from tomoprofile.config import ThresholdConfig
from tomoprofile.errors import StageError
from tomoprofile.segment import threshold as stage
from tomoprofile.segment.bundle import decision_level
from tomoprofile.segment.predict import predict_slab
from tomoprofile.segment.threshold import fit_threshold
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store, open_store

OTSU = ThresholdConfig(method="otsu")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"))


def test_otsu_finds_domains_roughly_and_no_substrate(scan):
    fit_threshold(scan.volume, scan.interface, OTSU, scan.folder / "threshold.json")
    out = scan.empty("otsu.ome.zarr")
    predict_slab(scan.volume, out, scan.folder / "threshold.json", OTSU, 0, 48, 1)
    found = open_store(out).read(0, 48)
    assert set(np.unique(found)) == {0, 255}
    assert not found[scan.phantom.labels == 3].any()
    deep = np.arange(128) > 50  # beyond the fringes of the substrate
    assert dice(found[:, deep] > 0, scan.truth[:, deep]) > 0.6
    assert decision_level(scan.folder / "threshold.json") == 0.5


def hollow_spheres(folder, radius, shape=(40, 30, 30)):
    """Write a bright volume with one dark shell; its interior is as bright as the rest."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    distance = np.sqrt((z - 19) ** 2 + (y - 15) ** 2 + (x - 15) ** 2)
    image = np.full(shape, 200, np.uint8)
    image[(distance <= radius) & (distance > radius - 3)] = 20
    store = create_store(folder / "hollow.ome.zarr", shape, "uint8", (1.0, 1.0, 1.0), 4)
    for start, stop in store.shards():
        store.write(start, image[start:stop])
    Plane((0.0, 1.0, 0.0), 0.0).save(folder / "interface.json")
    return distance <= radius


def filled(folder, shard_slices, config):
    fit_threshold(folder / "hollow.ome.zarr", folder / "interface.json", config, folder / "threshold.json")
    path = folder / f"{config.method}{shard_slices}.ome.zarr"
    out = create_store(path, (40, 30, 30), "uint8", (1.0, 1.0, 1.0), 4)
    for start in range(0, 40, shard_slices):
        predict_slab(
            folder / "hollow.ome.zarr", path, folder / "threshold.json", config, start, start + shard_slices, 1
        )
    return open_store(out.path).read(0, 40) > 0


def test_filling_restores_the_interior_that_a_threshold_misses(tmp_path):
    sphere = hollow_spheres(tmp_path, 10)
    config = ThresholdConfig(method="threshold_fill", smooth_voxels=0, max_hole_um=20)
    assert (filled(tmp_path, 8, config) == sphere).all()
    plain = filled(tmp_path, 8, config.model_copy(update={"method": "otsu"}))
    assert (plain & sphere).sum() < 0.75 * sphere.sum(), "a bare threshold leaves the interior out (P21)"


def test_filling_does_not_depend_on_slabs_but_without_its_halo_it_would(tmp_path, monkeypatch):
    sphere = hollow_spheres(tmp_path, 10)
    config = ThresholdConfig(method="threshold_fill", smooth_voxels=1, max_hole_um=20)
    one, other = filled(tmp_path, 4, config), filled(tmp_path, 20, config)
    assert (one == other).all()
    assert one[19, 15, 15]
    monkeypatch.setattr(stage.math, "ceil", lambda _: 0)
    assert not filled(tmp_path, 8, config.model_copy(update={"smooth_voxels": 0}))[sphere].all()


def test_holes_longer_than_allowed_and_open_ones_stay(tmp_path):
    hollow_spheres(tmp_path, 10)
    short = ThresholdConfig(method="threshold_fill", smooth_voxels=0, max_hole_um=10)
    assert not filled(tmp_path, 8, short)[19, 15, 15]


def test_resin_of_one_grey_value(tmp_path):
    store = create_store(tmp_path / "v.ome.zarr", (4, 8, 8), "uint8", (1.0, 1.0, 1.0), 4)
    store.write(0, np.full((4, 8, 8), 7, np.uint8))
    Plane((0.0, 1.0, 0.0), 0.0).save(tmp_path / "i.json")
    with pytest.raises(StageError, match="no resin with different grey values"):
        fit_threshold(tmp_path / "v.ome.zarr", tmp_path / "i.json", OTSU, tmp_path / "t.json")


def test_the_file_tells_its_conditions(scan):
    fit_threshold(scan.volume, scan.interface, OTSU, scan.folder / "t.json")
    record = json.loads((scan.folder / "t.json").read_text())
    assert record["method"] == "otsu"
    assert record["domains_are"] == "dark"
    assert -25 < record["threshold"] < 0
