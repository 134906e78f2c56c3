"""Scans without a substrate: no depth anywhere, and the numbers of the whole sample."""

import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from domains_scan import PLANE, measure, write_store
from profile_scan import inputs_in, tables_in
from report_scan import EDGE, LEVELS, scan_row

from tomoprofile.cells import parse_interface
from tomoprofile.config import ThresholdConfig
from tomoprofile.config_profile import ProfileConfig, Words
from tomoprofile.errors import ConfigError, InputError, StageError
from tomoprofile.profile.comparison import ScanResult, compare_scans
from tomoprofile.profile.depth import profile_depth
from tomoprofile.report.beamtime import BeamtimeEntry, report_beamtime
from tomoprofile.report.page import report_sample
from tomoprofile.segment.threshold import fit_threshold, predict_by_threshold
from tomoprofile.shift.appearance import Appearance, look_at_scan
from tomoprofile.substrate import resin as resin_module
from tomoprofile.substrate import sample as sample_module
from tomoprofile.substrate.given import given_plane
from tomoprofile.substrate.resin import Resin
from tomoprofile.substrate.sample import find_sample, find_surface
from tomoprofile.tables import read_facts
from tomoprofile.volume.plane import Plane, WithoutSubstrate
from tomoprofile.volume.store import open_store

DEPTHS = {
    "domains": ["depth_um", "tilt_deg"],
    "profile": ["depth_um", "depth_lo_um", "depth_hi_um"],
    "zones": ["from_um", "to_um"],
    "baselines": ["depth_lo_um", "depth_hi_um"],
}
FORBIDDEN = re.compile(r"substrate|resin|depth|interface", re.IGNORECASE)


@pytest.fixture(scope="module")
def found(scans):
    return scans("no substrate")


def visible(page):
    """Return what a reader sees of a page: its text, and the words in its plots."""
    text = page.read_text(encoding="utf-8")
    plots = re.findall(r'<script type="application/json".*?</script>', text, flags=re.DOTALL)
    told = [word for plot in plots for word in re.findall(r'"(?:text|name|hovertemplate)":"([^"]*)"', plot)]
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    return " ".join([re.sub(r"<[^>]+>", " ", text), *told])


# --- the sheet --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "parsed"),
    [
        ("none", ("none", ())),
        ("surface", ("surface", ())),
        ("face:z=0", ("face", (0.0, 1.0))),
        ("face:x=end", ("face", (2.0, -1.0))),
    ],
)
def test_forms_without_a_substrate(cell, parsed):
    assert parse_interface(cell) == parsed
    assert scan_row("a", interface=cell).interface == cell


@pytest.mark.parametrize("cell", ["None", "no", "face", "face:", "face:z", "face:w=0", "face:z=1", "face:z=END"])
def test_other_spellings_are_refused_with_the_forms_that_there_are(cell):
    with pytest.raises(ValueError, match=r"`none`.*`face:AXIS=end`"):
        parse_interface(cell)


@pytest.mark.parametrize(("cell", "first", "last"), [("face:z=0", 0.5, 7.5), ("face:z=end", 7.5, 0.5)])
def test_depth_from_a_face_counts_from_its_voxels(cell, first, last):
    plane = given_plane(cell, (8, 4, 4), (1.0, 2.0, 3.0))
    assert plane.depth_um(0.5, 1.0, 1.5) == pytest.approx(first)
    assert plane.depth_um(7.5, 1.0, 1.5) == pytest.approx(last)
    across = given_plane("face:x=end", (8, 4, 4), (1.0, 2.0, 3.0))
    assert across.depth_um(0.5, 1.0, 10.5) == pytest.approx(1.5)
    assert across.axis == 2


# --- tables -----------------------------------------------------------------------------------------------------------


def test_columns_of_depths_are_null_and_nothing_else_is(found):
    for name, columns in DEPTHS.items():
        table = pq.read_table(getattr(found, name))
        assert len(table)
        for column in columns:
            assert table[column].null_count == len(table), (name, column)
    assert pq.read_table(found.breakpoints).num_rows == 0
    zones = pd.read_parquet(found.zones)
    assert set(zones["zone"]) == {"whole"}
    known = zones[zones["level"] == "calibrated"].drop(columns=DEPTHS["zones"])
    assert known.notna().all(axis=None)


def test_the_record_has_no_plane(found):
    record = found.interface.read_text()
    assert '"how": "none"' in record
    assert not {"normal", "offset_um", "axis", "tilt_deg"} & set(re.findall(r'"(\w+)":', record))
    assert isinstance(Plane.load(found.interface), WithoutSubstrate)
    assert read_facts(found.profile)["plane"] is None
    assert "interface" not in read_facts(found.domains)


def test_numbers_are_those_of_the_whole_volume(found):
    """From the runs of the objects file alone, with weights over all three axes."""
    domains, zones = pd.read_parquet(found.domains), pd.read_parquet(found.zones)
    row = zones[zones["level"] == "calibrated"].iloc[0]
    shape = np.array(open_store(found.volume).shape)
    volume_um3 = np.prod(shape) * EDGE**3
    assert row["resin_um3"] == pytest.approx(volume_um3)
    certain = open_store(found.probability, "domain").read(0, shape[0])
    above = int((certain >= np.ceil(255 * LEVELS["calibrated"])).sum())
    kept = domains["voxels"].sum()
    assert 0.99 * above < kept <= above  # all but objects dropped as noise
    assert row["volume_ratio"] == pytest.approx(kept / np.prod(shape))
    start, stop = (domains[[f"bbox_{axis}_{end}" for axis in "zyx"]].to_numpy() for end in ("start", "stop"))
    whole = ~((start == 0) | (stop == shape)).any(axis=1)
    weight = np.where(whole, np.prod(shape / (shape - (stop - start) - 1), axis=1), 0)
    assert row["number_density_per_mm3"] == pytest.approx(weight.sum() / volume_um3 * 1e9)
    assert row["n_domains"] == len(domains)
    # The mutant: a plane at a face weights over two axes only, and counts domains that the others cut.
    lateral = np.where(~((start == 0) | (stop == shape))[:, 1:].any(axis=1), 1.0, 0.0)
    assert lateral.sum() != whole.sum()


def test_zones_and_bins_of_the_configuration_do_not_matter_without_depth(found, tmp_path):
    zones = [{"name": "near", "from_um": 0, "to_um": 5}, {"name": "far", "from_um": 5}]
    tables = {level: found.domains.with_name(f"{level}.parquet") for level in LEVELS} | {"calibrated": found.domains}
    inputs = inputs_in(found.domains.parent)
    inputs = type(inputs)(found.objects, tables, found.interface, found.domains.with_name("resin.npz"))
    profile_depth(inputs, ProfileConfig(bin_um=5, zones=zones, guard_um=3, resamples=200), 1, tables_in(tmp_path))
    there, here = (pd.read_parquet(path) for path in (found.zones, tmp_path / "zones.parquet"))
    pd.testing.assert_frame_equal(there, here)


# --- what is sample ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rod(tmp_path_factory):
    """A bright rod in air, with a void as large as air regions are; corners of slices are filled with a constant."""
    shape = (96, 128, 128)
    z, y, x = np.indices(shape)
    radius = np.hypot(y - 63.5, x - 63.5)
    grey = np.random.default_rng(1).normal(100, 4, shape)
    grey[radius > 44] -= 80
    void = (z - 48) ** 2 + (y - 63.5) ** 2 + (x - 58) ** 2 < 24**2
    grey[void] -= 80
    grey[radius > 63] = 0
    folder = tmp_path_factory.mktemp("rod")
    write_store(folder / "volume", np.clip(grey, 0, 255).astype("uint8"), 32)
    return folder, radius, void


def sample_of(folder, interface="none"):
    find_sample(folder / "volume", interface, folder / "interface.json", folder / "resin.npz")
    resin = Resin.load(folder / "resin.npz")
    return ~resin.is_air(*np.indices(open_store(folder / "volume").shape, np.int32)), resin


def test_air_around_a_sample_is_left_out_and_voids_are_not(rod):
    folder, radius, void = rod
    sample, resin = sample_of(folder)
    assert sample[void].all()
    assert not sample[(radius > 50) & (radius < 60)].any()
    assert sample[radius < 20].all()
    assert resin.circle.radius_um == pytest.approx(63, abs=2)


def test_air_beside_a_sample_is_left_out_where_depth_begins_at_a_face(rod):
    """The mutant is a plane beyond which everything counts at first, as beyond a substrate."""
    folder, radius, void = rod
    sample, resin = sample_of(folder, "face:z=0")
    assert sample[void].all()
    assert not sample[(radius > 50) & (radius < 60)].any()
    face = Plane.load(folder / "interface.json")
    assert face.depth_um(0.0, 5.0, 5.0) == 0
    of_sample = Resin.of_sample(folder / "interface.json", face)
    np.testing.assert_array_equal(of_sample.air, resin.air)
    assert resin.air.any()
    mutant = Plane(face.normal, face.offset_um)
    assert not Resin.of_sample(folder / "interface.json", mutant).air.any()


def test_a_void_would_be_left_out_without_the_look_at_the_sides(rod, monkeypatch):
    folder, _, void = rod
    monkeypatch.setattr(resin_module, "_around", lambda dark, _: dark)
    sample, _ = sample_of(folder)
    assert not sample[void].all()


def test_a_background_that_was_masked_is_no_circle(tmp_path):
    """Everything outside a bar has one value, and so have its voids."""
    z, y, x = np.indices((64, 128, 128))
    grey = np.random.default_rng(3).normal(100, 4, z.shape)
    bar, void = (abs(y - 64) < 28) & (abs(x - 64) < 54), (z - 32) ** 2 + (y - 64) ** 2 + (x - 64) ** 2 < 14**2
    grey[~bar | void] = 0
    write_store(tmp_path / "volume", grey.astype("uint8"), 32)
    sample, resin = sample_of(tmp_path)
    assert resin.circle is None
    assert sample[void].all()
    assert not sample[~bar].any()
    assert sample[bar].mean() > 0.7


def masked_bar(folder):
    """Write a bar with dark voids in a masked background, which is most of the scan; return bar and voids."""
    z, y, x = np.indices((48, 128, 128))
    grey = np.random.default_rng(4).normal(140, 4, z.shape)
    bar = (abs(y - 64) < 28) & (abs(x - 64) < 54)
    void = ((z % 16 - 8) ** 2 + (y % 16 - 8) ** 2 + (x % 16 - 8) ** 2 < 16) & bar
    grey[void] -= 60
    grey[~bar] = 0
    write_store(folder / "volume", np.clip(grey, 0, 255).astype("uint8"), 16)
    return bar, void


@pytest.mark.parametrize("known", [True, False])
def test_a_threshold_is_that_of_the_sample_and_not_of_what_surrounds_it(tmp_path, known):
    """The mutant without the record takes the background for the matrix, or for one large domain."""
    _, void = masked_bar(tmp_path)
    sample, _ = sample_of(tmp_path)
    if not known:
        (tmp_path / "resin.npz").unlink()
    config = ThresholdConfig(method="otsu", smooth_voxels=0)
    fit_threshold(tmp_path / "volume", tmp_path / "interface.json", config, tmp_path / "threshold.json")
    out = open_store(write_store(tmp_path / "out", {"domain": np.zeros(void.shape, "uint8")}, 16), "domain")
    predict_by_threshold(open_store(tmp_path / "volume"), out, tmp_path / "threshold.json", 0, len(void))
    found = out.read(0, len(void)) > 0
    right = (found == (void & sample)).all()
    assert right == known


def test_the_look_of_a_scan_is_that_of_its_sample(tmp_path):
    masked_bar(tmp_path)
    sample_of(tmp_path)
    look_at_scan(tmp_path / "volume", tmp_path / "interface.json", tmp_path / "appearance.json")
    assert Appearance.load(tmp_path / "appearance.json").centre == pytest.approx(140, abs=3)
    (tmp_path / "resin.npz").unlink()
    with pytest.raises(InputError):  # most of it is constant
        look_at_scan(tmp_path / "volume", tmp_path / "interface.json", tmp_path / "appearance.json")


def test_a_masked_background_would_count_as_sample_if_it_were_taken_for_corners(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_module, "_is_filled_outside", lambda *_: True)
    grey = np.full((64, 128, 128), 100, "uint8")
    grey += np.random.default_rng(3).integers(0, 9, grey.shape, "uint8")
    grey[:, :36], grey[:, 92:], grey[:, :, :10], grey[:, :, 118:] = 0, 0, 0, 0
    write_store(tmp_path / "volume", grey, 32)
    sample, resin = sample_of(tmp_path)
    assert resin.circle is not None
    assert sample[:, :36].any()


def test_a_sample_that_fills_the_scan_has_no_air_though_voids_are_cut_by_its_faces(tmp_path):
    z, y, x = np.indices((96, 96, 96))
    grey = np.random.default_rng(2).normal(100, 4, z.shape)
    grey[z**2 + (y - 48) ** 2 + (x - 48) ** 2 < 30**2] -= 80
    write_store(tmp_path / "volume", grey.astype("uint8"), 32)
    assert sample_of(tmp_path)[0].all()


# --- depth from the surface of the sample -----------------------------------------------------------------------------


def depths_of(folder):
    find_surface(folder / "volume", folder / "interface.json", folder / "substrate_distance.npy", folder / "resin.npz")
    plane = Plane.load(folder / "interface.json")
    assert plane.axis is None
    z, y, x = np.indices(open_store(folder / "volume").shape) + 0.5
    return plane.depth_um(z, y, x)


def test_depth_from_the_surface_of_a_rod_is_that_from_its_radius(rod):
    folder, radius, void = rod
    depth, near = depths_of(folder), (radius > 36) & (radius < 50)
    error = (depth - (44 - radius))[near]
    assert abs(error.mean()) < 0.2
    assert np.abs(error).max() < 4  # the side of a block
    assert (depth[void] > 10).all()


def test_a_void_inside_would_be_a_surface_without_the_look_at_what_is_around(rod, monkeypatch):
    folder, _, void = rod
    monkeypatch.setattr(sample_module, "_beyond", lambda means, *_: np.nan_to_num(means) < 60)
    assert (depths_of(folder)[void] < 0).any()


def test_a_sample_without_air_has_no_surface(tmp_path):
    grey = np.random.default_rng(2).normal(100, 4, (64, 64, 64))
    write_store(tmp_path / "volume", grey.astype("uint8"), 32)
    with pytest.raises(StageError, match=r"no air surrounds the sample.*`none`"):
        depths_of(tmp_path)


@pytest.mark.parametrize(("kind", "words"), [("own surface", "outer surface"), ("from a face", "face y = end")])
def test_pages_name_what_depth_is_measured_from(scans, tmp_path, kind, words):
    report_sample(scans(kind), "", tmp_path / "page.html")
    text = visible(tmp_path / "page.html")
    assert f"Domains against the distance from the {words}" in text
    assert f"Distance from the {words}" in text
    assert not re.search(r"\bsubstrate\b", text, re.IGNORECASE)
    zones = pd.read_parquet(scans(kind).zones)
    assert zones["zone"].unique().tolist() == ["near", "middle", "far"]
    assert zones.query("level == 'calibrated'")["volume_ratio"].between(0.01, 0.2).all()


# --- weights ----------------------------------------------------------------------------------------------------------


def test_domains_that_touch_any_face_have_no_weight(tmp_path):
    mask = np.zeros((20, 20, 20), bool)
    mask[:4, 8:12, 8:12] = True
    mask[10:14, 8:12, 8:12] = True
    assert (measure(tmp_path / "none", mask, plane=WithoutSubstrate())["edge_weight"] > 0).tolist() == [False, True]
    # With depth along z, the first one is cut by a face across the depth alone and keeps its weight.
    assert (measure(tmp_path / "plane", mask, plane=PLANE)["edge_weight"] > 0).tolist() == [True, True]


# --- pages ------------------------------------------------------------------------------------------------------------


def test_no_page_speaks_of_depth_or_of_a_substrate(found, tmp_path):
    report_sample(found, "", tmp_path / "page.html")
    text = visible(tmp_path / "page.html")
    assert not FORBIDDEN.findall(text)
    assert "Domains in the sample" in text
    assert "NaN" not in text
    assert " nan " not in text


def test_a_page_with_depth_does(scans, tmp_path):
    report_sample(scans("plain"), "", tmp_path / "page.html")
    assert {one.lower() for one in FORBIDDEN.findall(visible(tmp_path / "page.html"))} >= {
        "substrate",
        "resin",
        "depth",
    }


@pytest.mark.parametrize("language", ["en", "ja"])
def test_words_of_the_configuration_stand_everywhere(found, tmp_path, language):
    words = Words(domain="pore", matrix="bone")
    report_sample(found, "", tmp_path / "page.html", language, words)
    text = visible(tmp_path / "page.html")
    assert "Pores in the bone" in text
    assert not re.search(r"\bresin\b|樹脂|ドメイン|基板", text)
    # The class is still called as the model calls it.
    assert not re.search(r"\b[Dd]omains\b", text)


def test_the_index_of_scans_without_depth(found, tmp_path):
    entry = BeamtimeEntry(scan_row("epoxy_1"), Files(found), found.segmenter, words=Words(domain="void"))
    report_beamtime([entry, entry], [], "", tmp_path / "index.html", tmp_path / "comparison.parquet")
    text = visible(tmp_path / "index.html")
    assert not FORBIDDEN.findall(text)
    assert "Voids in the sample" in text


class Files:
    """Where the results of a scan are, as a layout has it."""

    def __init__(self, files):
        self.report = files.zones  # any file
        for name in ("zones", "profile", "interface"):
            setattr(self, name, getattr(files, name))


def test_whole_samples_are_compared_with_each_other(found):
    zones, profile = (pd.read_parquet(path).query("level == 'calibrated'") for path in (found.zones, found.profile))
    scans = [ScanResult(name, "wet", np.nan, profile, zones, 9) for name in "ab"]
    table = compare_scans({"domain": scans})
    rows = table[(table["kind"] == "zone") & (table["quantity"] == "volume_ratio")]
    assert rows["n_scans"].tolist() == [2]
    assert rows["from_um"].isna().all()


def test_no_scan_has_another_face():
    with pytest.raises(ValueError, match="interface"):
        scan_row("a", interface="face:q=0")
    with pytest.raises(ConfigError):
        given_plane("face:q=0", (4, 4, 4), (1.0, 1.0, 1.0))
