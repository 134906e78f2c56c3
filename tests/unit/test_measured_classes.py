"""Domains and voids of a simulated scan, from the store of their true masks to the gates, in one pass of the stages."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from domains_scan import write_store

from benchmarks.acceptance import EXACT, gates
from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.table import Level, Segmented, measure_domains
from tomoprofile.layout import ScanLayout
from tomoprofile.phantom.files import write_truth
from tomoprofile.phantom.geometry import CLASSES, DOMAIN, VOID
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.profile.depth import ProfileInputs, ProfileTables, profile_depth
from tomoprofile.tables import LEVELS, of_class

pytestmark = pytest.mark.filterwarnings("ignore:divide by zero")  # by the error of rows that are all empty
# A3, A4 and the slopes of A2 are about spheres by the thousand: tests/acceptance.
JUDGED = {"domain": {"A1", "A5", "A7"}, "void": {"A1", "A2"}}
TABLES = ("domains", "profile", "zones", "breakpoints", "correlation", "sizes")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Folder of a scan with its truth, and of its true masks in one store."""
    folder = tmp_path_factory.mktemp("classes")
    phantom = simulate(PhantomSettings.of_kind("B", size=(112, 240, 128), seed=5, void_ratio=0.004, tilt_deg=1.0))
    write_truth(phantom, folder / "truth")
    masks = {name: np.where(phantom.labels == value, 255, 0).astype("uint8") for name, value in CLASSES.items()}
    return folder, phantom, masks


def measured(scan, name, masks):
    """Return the results of some masks in a folder of their own."""
    parent, phantom, _ = scan
    files, edges = ScanLayout(parent / name), (phantom.settings.voxel_um,) * 3
    files.folder.mkdir(exist_ok=True)
    write_store(files.probability.path, masks, 32, edges)
    write_store(files.volume.path, phantom.grey.astype("float32"), 32, edges)
    phantom.plane.save(files.interface)
    levels = {
        level: Level(dict.fromkeys(masks, 0.5), files.objects_at(level), files.domains_at(level)) for level in LEVELS
    }
    for level in levels.values():
        for path in (level.objects, level.table):
            path.parent.mkdir(exist_ok=True)
    whole = Segmented(files.probability.path, files.volume.path, is_mask=True)
    measure_domains(whole, files.interface, levels, ObjectsConfig(min_voxels=1, min_slices=1))
    inputs = ({level: place(level) for level in LEVELS} for place in (files.objects_at, files.domains_at))
    out = ProfileTables(**{field.name: getattr(files, field.name) for field in fields(ProfileTables)})
    config = phantom_profile(bin_um=1, resamples=100)
    profile_depth(ProfileInputs(*inputs, files.interface), config, 1, out)
    return files


@pytest.fixture(scope="module")
def both(scan):
    return measured(scan, "both", scan[2])


def plain(path):
    """Return a table with words in place of categories, whose numbers depend on the other rows."""
    table = pd.read_parquet(path)
    return table.astype(dict.fromkeys(table.select_dtypes("category"), str))


def missed(scan, files, name):
    return {gate.name for gate in gates(scan[0] / "truth", files, EXACT, name) if not gate.ok}


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_has_its_truth_and_the_rows_that_it_has_alone(scan, both, name):
    assert not missed(scan, both, name) & JUDGED[name]
    alone = measured(scan, name, {name: scan[2][name]})
    for table in TABLES:
        found, expected = (plain(getattr(files, table)) for files in (both, alone))
        assert list(found["class"].unique()) == list(CLASSES)
        pd.testing.assert_frame_equal(of_class(found, name), expected, check_exact=True)


def test_voids_taken_for_domains_and_classes_mixed_up_fail(scan):
    _, phantom, masks = scan
    filled = np.where(np.isin(phantom.labels, (DOMAIN, VOID)), 255, 0).astype("uint8")
    wrong = measured(scan, "filled", {"domain": filled})
    assert "A1" in missed(scan, wrong, "domain")
    swapped = measured(scan, "swapped", dict(zip(masks, reversed(masks.values()), strict=True)))
    for name, judged in JUDGED.items():
        assert missed(scan, swapped, name) >= judged - {"A7"}
