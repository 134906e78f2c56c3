import json

import numpy as np
import pytest
from scipy import ndimage
from segment_scan import build, dice, level_of
from skimage.filters import threshold_otsu

from tomoprofile.config import ThresholdConfig
from tomoprofile.errors import StageError
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.segment.segmenter import Slab
from tomoprofile.segment.threshold import fit_threshold
from tomoprofile.substrate.resin import Resin
from tomoprofile.volume.plane import Plane, WithoutSubstrate
from tomoprofile.volume.store import create_store, open_store

OTSU = ThresholdConfig(method="otsu")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"))


def test_otsu_finds_domains_roughly_and_no_substrate(scan):
    fit_threshold(scan.volume, scan.interface, OTSU, scan.folder / "threshold.json")
    out = scan.empty("otsu.ome.zarr")
    told = scan.predict(scan.folder / "threshold.json", out)
    assert told["engine"] == "threshold"
    found = open_store(out, "domain").read(0, 48)
    assert set(np.unique(found)) == {0, 255}
    assert not found[scan.phantom.labels == 3].any()
    deep = np.arange(128) > 50  # beyond the fringes of the substrate
    assert dice(found[:, deep] > 0, scan.truth[:, deep]) > 0.6
    assert level_of(scan.folder / "threshold.json") == 0.5


def empty(path, shape, edges, shard_slices):
    """Create a store for what a threshold finds."""
    create_store(path, shape, "uint8", edges, shard_slices, channels=("domain",))
    return open_store(path, "domain")


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


def segment(folder, volume, out, start, stop):
    segmenter_at(folder / "threshold.json").predict(Slab(volume, out, start, stop, threads=1))


def filled(folder, shard_slices, config):
    fit_threshold(folder / "hollow.ome.zarr", folder / "interface.json", config, folder / "threshold.json")
    path = folder / f"{config.method}{shard_slices}.ome.zarr"
    empty(path, (40, 30, 30), (1.0, 1.0, 1.0), 4)
    for start in range(0, 40, shard_slices):
        segment(folder, folder / "hollow.ome.zarr", path, start, start + shard_slices)
    return open_store(path, "domain").read(0, 40) > 0


def test_filling_restores_the_interior_that_a_threshold_misses(tmp_path):
    sphere = hollow_spheres(tmp_path, 10)
    config = ThresholdConfig(method="threshold_fill", smooth_voxels=0, max_hole_um=20)
    assert (filled(tmp_path, 8, config) == sphere).all()
    plain = filled(tmp_path, 8, config.model_copy(update={"method": "otsu"}))
    assert (plain & sphere).sum() < 0.75 * sphere.sum(), "a bare threshold leaves the interior out"


def test_filling_does_not_depend_on_slabs_but_without_its_halo_it_would(tmp_path):
    sphere = hollow_spheres(tmp_path, 10)
    config = ThresholdConfig(method="threshold_fill", smooth_voxels=0, max_hole_um=20)
    one, other = filled(tmp_path, 4, config), filled(tmp_path, 20, config)
    assert (one == other).all()
    assert (one == sphere).all()
    # The mutant: each slab on its own, as if it was a scan.
    whole = open_store(tmp_path / "hollow.ome.zarr")
    apart = []
    for start in range(0, 40, 8):
        part = create_store(tmp_path / "part.ome.zarr", (8, 30, 30), "uint8", (1.0, 1.0, 1.0), 4)
        part.write(0, whole.read(start, start + 8))
        out = empty(tmp_path / "part_filled.ome.zarr", (8, 30, 30), (1.0, 1.0, 1.0), 4)
        segment(tmp_path, part.path, out.path, 0, 8)
        apart.append(out.read(0, 8) > 0)
    assert (np.concatenate(apart) & sphere).sum() < 0.75 * sphere.sum()


@pytest.mark.parametrize("method", ["otsu", "threshold_fill"])
def test_smoothed_masks_do_not_depend_on_shards_and_slabs(scan, tmp_path, method):
    config = ThresholdConfig(method=method, max_hole_um=5)
    masks, thresholds = [], []
    for shard, slab in ((8, 8), (8, 48), (12, 24), (48, 48)):
        store = create_store(tmp_path / f"v{shard}.ome.zarr", scan.truth.shape, "float32", (0.5, 0.5, 0.5), shard)
        for start, stop in store.shards():
            store.write(start, scan.phantom.grey[start:stop])
        fit_threshold(store.path, scan.interface, config, tmp_path / "threshold.json")
        thresholds.append(json.loads((tmp_path / "threshold.json").read_text())["threshold"])
        out = empty(tmp_path / "out.ome.zarr", scan.truth.shape, (0.5, 0.5, 0.5), shard)
        for start in range(0, 48, slab):
            segment(tmp_path, store.path, out.path, start, start + slab)
        masks.append(out.read(0, 48))
    assert len(set(thresholds)) == 1
    assert masks[0].any()
    assert all((mask == masks[0]).all() for mask in masks)


def test_fringes_of_the_substrate_do_not_decide_the_threshold(scan):
    """An honest baseline: Otsu's method on the bare histogram separates the substrate's fringes."""
    fit_threshold(scan.volume, scan.interface, OTSU, scan.folder / "honest.json")
    honest = json.loads((scan.folder / "honest.json").read_text())["threshold"]
    z, y, x = ((np.arange(n) + 0.5) * 0.5 for n in scan.truth.shape)
    resin = scan.phantom.plane.depth_um(z[:, None, None], y[:, None], x) > 0
    smooth = ndimage.gaussian_filter(scan.phantom.grey, 1.0)
    bare = threshold_otsu(smooth[resin])
    deep = np.arange(128) > 50
    assert dice(smooth[:, deep] < honest, scan.truth[:, deep]) > 0.6
    assert dice(smooth[:, deep] < bare, scan.truth[:, deep]) < 0.1


def test_bright_domains_are_found_as_dark_ones_are(scan, tmp_path):
    for name, sign, config in (("d", 1, OTSU), ("b", -1, OTSU.model_copy(update={"domains_are": "bright"}))):
        store = create_store(tmp_path / f"{name}.ome.zarr", scan.truth.shape, "float32", (0.5, 0.5, 0.5), 48)
        store.write(0, sign * scan.phantom.grey)
        fit_threshold(store.path, scan.interface, config, tmp_path / f"{name}.json")
    dark, bright = (json.loads((tmp_path / f"{name}.json").read_text())["threshold"] for name in "db")
    assert bright == pytest.approx(-dark, abs=0.05)


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


def test_little_noise_does_not_draw_the_threshold_to_the_matrix_where_there_is_no_substrate(tmp_path, monkeypatch):
    """The range for the fringes of a substrate is narrower there than the contrast of the domains."""
    place = np.stack(np.indices((48, 48, 48)), -1) % 24 - 12
    voids = np.linalg.norm(place, axis=-1) < 6.2
    grey = np.random.default_rng(1).normal(150, 2, voids.shape) - 70 * voids
    store = create_store(tmp_path / "v.ome.zarr", voids.shape, "uint8", (1.0, 1.0, 1.0), 48)
    store.write(0, grey.round().astype("uint8"))
    WithoutSubstrate().save(tmp_path / "interface.json")
    Resin.everywhere().save(tmp_path / "resin.npz")
    smooth = ndimage.gaussian_filter(grey.astype(np.float32), OTSU.smooth_voxels)

    def share() -> float:
        fit_threshold(tmp_path / "v.ome.zarr", tmp_path / "interface.json", OTSU, tmp_path / "t.json")
        return (smooth < json.loads((tmp_path / "t.json").read_text())["threshold"]).mean()

    assert share() == pytest.approx(voids.mean(), rel=0.06)
    monkeypatch.setattr(WithoutSubstrate, "has_recorded_sample", False)
    assert share() > 1.5 * voids.mean()
