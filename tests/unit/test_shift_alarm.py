"""Whether a scan looks like those a model has seen: simulated scans that differ in one condition at a time."""

import json

import numpy as np
import pytest

from tomoprofile.errors import InputError
from tomoprofile.files import write_record
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.shift import alarm
from tomoprofile.shift.alarm import Familiarity, compare, doubt_of, remember
from tomoprofile.shift.appearance import Appearance, describe, like_most, look_at_scan, sample_slices
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store

SUBSTRATE = 3


def looks(seed, kind="A", resin_only=True, **changes):
    """Return how a simulated scan looks."""
    phantom = simulate(PhantomSettings.of_kind(kind, (48, 256, 256), seed, **changes))
    slices = sample_slices(48)
    grey = [phantom.grey[z].astype(float) for z in slices]
    resin = [phantom.labels[z] != SUBSTRATE if resin_only else like_most(phantom.grey[z]) for z in slices]
    return describe(grey, resin, slices, (phantom.settings.voxel_um,) * 3, "phantom")


@pytest.fixture(scope="module")
def seen():
    sure = np.repeat(np.array([0, 255, 25], np.uint8), [900, 90, 10])
    return remember({"x": looks(11)}, [sure])


@pytest.mark.parametrize(("seed", "changes"), [(12, {}), (13, {"noise_per_cm": 3.3}), (14, {"tilt_deg": 2.0})])
def test_another_scan_of_the_same_kind_is_inside(seen, seed, changes):
    found = compare(seen, looks(seed, **changes), 0.01)
    assert (found.status, found.reasons) == ("inside", [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"noise_per_cm": 6.0}, "darkest voxels"),
        ({"noise_per_cm": 1.5}, "brightest voxels"),
        ({"distance_mm": 50.0}, "fine noise"),
        ({"density_g_cm3": 1.07}, "darkest voxels"),
        ({"psf_um": 0.8}, "strength of rims"),
        ({"void_ratio": 0.002}, "brightest voxels"),
        ({"kind": "B"}, "brightest voxels"),
        ({"kind": "C"}, "voxels"),
    ],
)
def test_a_scan_that_differs_is_outside_and_the_reason_is_told(seen, changes, reason):
    found = compare(seen, looks(15, **changes), None)
    assert found.status == "outside"
    assert any(reason in text for text in found.reasons), found.reasons


def test_voids_in_few_tiles_would_be_missed_by_the_middle_of_all(seen, monkeypatch):
    with_voids = looks(16, void_ratio=0.001)
    assert compare(seen, with_voids, None).status == "outside"
    monkeypatch.setattr(alarm, "PARTS", {"middle": 50})
    assert compare(seen, with_voids, None).status == "inside", "the mutant"


def test_without_an_interface_the_substrate_is_left_out_by_its_looks(seen):
    assert compare(seen, looks(17, resin_only=False), None).status == "inside"


def test_the_doubt_of_the_network_counts(seen):
    known = seen.doubt
    same = looks(12)
    assert compare(seen, same, known).status == "inside"
    unsure = compare(seen, same, 3 * known + 0.1)
    assert unsure.status == "outside"
    assert "uncertainty" in unsure.reasons[0]


def test_doubt_is_the_expected_share_of_wrong_voxels_among_those_found():
    assert doubt_of([np.array([255, 255, 0], np.uint8)]) == 0
    assert doubt_of([np.array([255, 51], np.uint8)]) == pytest.approx(51 / 306)
    assert doubt_of([np.zeros(4, np.uint8)]) is None


def test_voxels_of_another_size_are_told(seen):
    same = looks(12)
    coarse = Appearance(same.centre, same.spread, (0.7,) * 3, same.slices, same.features)
    found = compare(seen, coarse, None)
    assert found.status == "outside"
    assert "voxel size (1.40 times)" in found.reasons


def test_too_little_resin_is_unknown_and_never_inside(seen):
    same = looks(12)
    few = Appearance(same.centre, same.spread, same.voxel_size_um, [3], same.features[:4])
    found = compare(seen, few, None)
    assert found.status == "unknown"
    assert "too little resin" in found.reasons[0]


def test_the_most_similar_of_several_scans_counts():
    seen = remember({"a": looks(11), "b": looks(18, kind="B")}, [])
    assert compare(seen, looks(19, kind="B"), None).status == "inside"
    assert compare(seen, looks(12), None).status == "inside"


def test_the_verdict_is_kept(tmp_path, seen):
    found = compare(seen, looks(12), 0.05, 7)
    found.save(tmp_path / "familiarity.json", model="m")
    assert Familiarity.load(tmp_path / "familiarity.json") == found
    assert (found.label_slice, json.loads((tmp_path / "familiarity.json").read_text())["model"]) == (7, "m")
    write_record(tmp_path / "familiarity.json", {})
    with pytest.raises(InputError, match="not a comparison"):
        Familiarity.load(tmp_path / "familiarity.json")


def stored(folder, grey, plane=None):
    store = create_store(folder / "v.ome.zarr", grey.shape, "float32", (1.0, 1.0, 1.0), 4)
    store.write(0, grey.astype(np.float32))
    (plane or Plane((0.0, 1.0, 0.0), 10.0)).save(folder / "interface.json")
    look_at_scan(store.path, folder / "interface.json", folder / "appearance.json")
    return Appearance.load(folder / "appearance.json")


def test_the_scale_is_that_of_the_resin_alone(tmp_path):
    grey = np.random.default_rng(0).normal(5, 2, (4, 70, 64))
    grey[:, :10] = 1000
    found = stored(tmp_path, grey)
    assert found.centre == pytest.approx(5, abs=0.1)
    assert found.spread == pytest.approx(2, rel=0.03)
    assert not len(found.features), "no tile lies wholly in the resin"


@pytest.mark.parametrize(
    ("grey", "told"),
    [
        (np.full((4, 70, 64), 3.0), "constant"),
        (np.where(np.arange(64) < 3, np.nan, np.random.default_rng(0).normal(size=(4, 70, 64))), "NaN or infinite"),
    ],
)
def test_resin_without_contrast_or_numbers_is_an_error(tmp_path, grey, told):
    with pytest.raises(InputError, match=told):
        stored(tmp_path, grey)


def test_a_scan_without_resin_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no resin beyond the interface"):
        stored(tmp_path, np.random.default_rng(0).normal(size=(4, 70, 64)), Plane((0.0, 1.0, 0.0), 80.0))
