"""Measures of a phase on bodies whose values are known, on random ones counted in another way, and on real scans."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_scan import PROFILE, drawn_thickness, measure, positions
from scipy import ndimage, stats
from skimage.measure import euler_number

from tomoprofile.config import read_config
from tomoprofile.config_profile import Circle, ProfileConfig
from tomoprofile.phase import neighbours, scan, thickness
from tomoprofile.phase.anisotropy import degree_interval, fabric_matrix, fabric_of
from tomoprofile.phase.neighbours import count_neighbours
from tomoprofile.phase.scan import Phase
from tomoprofile.phase.summits import raise_summits
from tomoprofile.phase.thickness import Level, capped_distance
from tomoprofile.phase.window import Window
from tomoprofile.profile.estimators import draw_blocks
from tomoprofile.profile.masks import Space
from tomoprofile.substrate.resin import Resin
from tomoprofile.volume.plane import Face, OwnSurface, Plane, WithoutSubstrate

DATA = Path(__file__).parents[3] / "shared/data"
ZONES = ProfileConfig(
    bin_um=1.0,
    block_um=1.0,
    resamples=100,
    guard_um=2.0,
    zones=[{"name": "near", "from_um": 0, "to_um": 9}, {"name": "far", "from_um": 14}],
)


def blobs(shape, sigma=2.0, seed=0, share=0.5):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap")
    return noise > np.quantile(noise, 1 - share)


def balls(n, period, radius, shift=(0, 0, 0)):
    """Balls on a lattice that goes on beyond the scan."""
    away = (positions((n,) * 3) - np.array(shift) + period / 2) % period - period / 2
    return (away**2).sum(axis=-1) < radius**2


def only(tables) -> pd.Series:
    (row,) = tables[0].to_dict("records")
    return row


# --- Euler number and surface -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("connectivity", [6, 26])
def test_groups_of_eight_add_up_to_the_euler_number(connectivity):
    for seed in range(3):
        mask = np.pad(np.random.default_rng(seed).random((9, 8, 7)) < 0.4, 1)
        found = count_neighbours(mask, np.zeros(mask.shape, np.int32), 1, len(mask), connectivity)
        assert found.euler[0] / 8 == euler_number(mask, {6: 1, 26: 3}[connectivity])


def test_euler_number_of_a_ball_a_torus_and_a_shell():
    place = positions((40,) * 3)
    ring = np.hypot(place[..., 1], place[..., 2])
    away = np.linalg.norm(place, axis=-1)
    for mask, known in (
        (away < 12, 1),
        (np.hypot(ring - 12, place[..., 0]) < 5, 0),
        ((away < 14) & (away > 8), 2),
    ):
        found = count_neighbours(mask, np.zeros(mask.shape, np.int32), 1, len(mask), 26)
        assert found.euler[0] / 8 == known


def test_the_window_neither_adds_nor_takes_connections(tmp_path):
    """Whole periods of a lattice of tunnels: every place where the lattice may be cut gives the same density."""
    period = 12
    for shift in (0, 5):
        place = (np.stack(np.indices((2 * period + 1,) * 3), -1) + shift) % period < 4
        mask = place.sum(axis=-1) >= 2  # beams along all three axes: one piece and two tunnels for each knot more
        found = only(measure(tmp_path / str(shift), mask))["euler_density_per_mm3"]
        assert found == pytest.approx(-2e9 / period**3)
    pieces = euler_number(mask, 3) * 1e9 / mask.size  # as if everything ended at the faces
    assert abs(pieces * period**3 / 1e9 + 2) > 0.3


def test_surface_of_balls_and_of_tilted_plates(tmp_path):
    radius, period = 6.3, 17
    found = only(measure(tmp_path / "balls", balls(4 * period + 1, period, radius, (0.3, 0.1, 0.4))))
    assert found["surface_density_per_mm"] == pytest.approx(4e3 * np.pi * radius**2 / period**3, rel=0.03)
    normal = np.array([2.0, 3.0, 5.0]) / np.sqrt(38)
    plates = positions((64,) * 3) @ normal % 12 < 5
    assert only(measure(tmp_path / "plates", plates))["surface_density_per_mm"] == pytest.approx(2e3 / 12, rel=0.03)


def test_the_faces_of_the_scan_are_no_surface(tmp_path):
    solid = only(measure(tmp_path, np.ones((20, 20, 20), bool)))
    assert solid["surface_density_per_mm"] == 0
    assert solid["volume_ratio"] == 1
    assert solid["euler_density_per_mm3"] == 0
    assert np.isnan(solid["anisotropy"])


def test_small_objects_belong_to_the_phase(tmp_path):
    mask = np.zeros((16, 16, 16), bool)
    mask[::4, ::4, ::4] = True  # single voxels, which the table of domains drops
    found = only(measure(tmp_path, mask))
    assert found["phase_um3"] == mask.sum()
    assert found["volume_ratio"] == mask.mean()


# --- Anisotropy -------------------------------------------------------------------------------------------------------


def test_directions_of_rods_and_plates(tmp_path):
    rng = np.random.default_rng(4)
    axis = np.array([0.48, 0.6, 0.64])
    place = positions((64,) * 3)
    across = place - (place @ axis)[..., None] * axis
    rods = np.zeros(place.shape[:3], bool)
    for _ in range(25):
        centre = rng.uniform(-32, 32, 3)
        rods |= np.linalg.norm(across - (centre - centre @ axis * axis), axis=-1) < 4
    row = only(measure(tmp_path / "rods", rods))
    assert row["anisotropy"] > 0.9
    assert abs(np.array([row[f"long_{a}"] for a in "zyx"]) @ axis) > 0.99
    row = only(measure(tmp_path / "plates", place @ axis % 12 < 5))
    assert row["anisotropy"] > 0.95
    assert abs(np.array([row[f"short_{a}"] for a in "zyx"]) @ axis) > 0.99
    assert row["intercept_3_um"] == pytest.approx(6, rel=0.05)  # two surfaces each 12 voxels


def test_balls_are_alike_in_all_directions_also_on_oblong_voxels(tmp_path):
    assert only(measure(tmp_path / "cubic", balls(69, 17, 6.3)))["anisotropy"] < 0.05
    place = positions((40, 80, 80)) * (2, 1, 1)
    mask = (((place + 10) % 20 - 10) ** 2).sum(axis=-1) < 8.2**2
    assert only(measure(tmp_path / "oblong", mask, (2.0, 1.0, 1.0)))["anisotropy"] < 0.1
    assert only(measure(tmp_path / "wrong", mask, (1.0, 1.0, 1.0)))["anisotropy"] > 0.4


def test_intercepts_of_a_known_ellipsoid():
    steps = np.array(neighbours.DIRECTIONS)
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    lengths = np.array([9.0, 4.0, 2.0])
    crossings = np.sqrt(((unit / lengths) ** 2).sum(axis=1)) * np.linalg.norm(steps, axis=1)
    fabric = fabric_of(fabric_matrix(np.full(13, 1e6), 1e6 * crossings, (1.0, 1.0, 1.0)))
    np.testing.assert_allclose(fabric.lengths_um, lengths)
    assert fabric.degree == pytest.approx(1 - (2 / 9) ** 2)
    np.testing.assert_allclose(np.abs(fabric.axes), np.eye(3), atol=1e-9)


def test_the_interval_of_the_anisotropy_begins_at_0_where_chance_explains_it(tmp_path):
    """Resampled degrees never do: of 8 isotropic samples the interval of their percentiles held 0 in none."""
    settings = ProfileConfig(bin_um=1.0, block_um=1.0, resamples=300)
    lows, degrees = [], []
    for seed in range(8):
        mask = blobs((48, 48, 48), 2.0, seed)
        row = only(measure(tmp_path / str(seed), mask, profile=settings))
        assert row["anisotropy_lo"] <= row["anisotropy"] <= row["anisotropy_hi"]
        lows.append(row["anisotropy_lo"])
        degrees.append(row["anisotropy"])
    assert sum(low == 0 for low in lows) >= 6  # of 7.6 expected
    assert min(degrees) > 0.01


def test_the_interval_of_a_known_anisotropy_holds_it():
    """Where a field stretched along x exceeds its mean, intercepts are stretched as much."""
    rng, held = np.random.default_rng(5), 0
    draws = draw_blocks(27, 300, 1)
    for _ in range(12):
        noise = ndimage.gaussian_filter(rng.normal(size=(48, 48, 48)), (2, 2, 3), mode="wrap")
        place = np.arange(48) // 16
        cells = (place[:, None, None] * 9 + place[:, None] * 3 + place).astype(np.int32)
        counts = count_neighbours(noise > 0, cells, 27, 48, 26)
        both = counts.pairs.astype(float), counts.changes.astype(float)
        matrix = fabric_matrix(*(part.sum(axis=1) for part in both), (1.0, 1.0, 1.0))
        resampled = fabric_matrix(*(part @ draws.T for part in both), (1.0, 1.0, 1.0))
        low, high = degree_interval(matrix, resampled, 27)
        assert low > 0
        held += low <= 1 - (2 / 3) ** 2 <= high
    assert held >= 8  # of 11.4: fewer happen once in a thousand times


# --- Thickness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edges", [(1.0, 1.0, 1.0), (2.5, 1.0, 1.5)])
def test_capped_distances_are_exact(edges):
    targets = np.random.default_rng(2).random((17, 23, 19)) < 0.004
    exact = ndimage.distance_transform_edt(~targets, sampling=edges) ** 2
    found = capped_distance(targets, 7.5, edges)
    near = exact < 7.5**2
    np.testing.assert_allclose(found[near], exact[near], rtol=1e-6)
    assert (found[~near] >= 7.5**2).all()
    assert near.any()
    assert not near.all()


@pytest.mark.parametrize(
    ("kind", "across"), [("plate", 7.3), ("rod", 7.3), ("plate", 13.1), ("rod", 13.1), ("ball", 13.1)]
)
def test_thickness_of_bodies(tmp_path, kind, across):
    turned = positions((72,) * 3) @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] - (0.3, 0.2, 0.1)
    away = np.linalg.norm(turned[..., : {"plate": 1, "rod": 2, "ball": 3}[kind]], axis=-1)
    found = only(measure(tmp_path, away < across / 2))
    assert found["thickness_mean_um"] == pytest.approx(across, abs=1.0)
    assert found["thickness_sd_um"] < 1.5


@pytest.mark.parametrize("across", [6.3, 13.4, 20.3, pytest.param(38.5, marks=pytest.mark.deep)])
def test_lone_balls_are_as_thick_as_they_are(tmp_path, monkeypatch, across):
    """The largest sphere in a ball is the ball, whose middle is that of no voxel."""
    side = int(2.2 * across) + 8
    mask = np.linalg.norm(positions((side,) * 3) - (0.3, 0.45, 0.2), axis=-1) < across / 2
    found = only(measure(tmp_path / "ball", mask))["thickness_mean_um"]
    assert found == pytest.approx(across, abs=max(1.0, 0.05 * across))
    monkeypatch.setattr(thickness, "raise_summits", lambda squares, *_: squares)
    assert only(measure(tmp_path / "mutant", mask))["thickness_mean_um"] < found - 0.4


def test_bounds_around_a_summit_hold_and_are_tight():
    """Of random sets of points: no place in the voxel is farther from all of them than the bound says."""
    rng = np.random.default_rng(6)
    places = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 13)] * 3, indexing="ij"), -1).reshape(-1, 3)
    over = []
    for _ in range(40):
        directions = rng.normal(size=(300, 3))
        points = 6 * directions / np.linalg.norm(directions, axis=1, keepdims=True) + rng.uniform(-0.5, 0.5, 3)
        near = positions((3, 3, 3)).reshape(-1, 3)
        squares = (np.square(near[:, None] - points).sum(axis=-1)).min(axis=1).reshape(3, 3, 3).astype(np.float32)
        found = float(np.sqrt(raise_summits(squares, 9.0, (1.0, 1.0, 1.0))[1, 1, 1]))
        if squares[1, 1, 1] < squares.max():
            assert found == pytest.approx(np.sqrt(squares[1, 1, 1]))
            continue
        largest = np.sqrt(np.square(places[:, None] - points).sum(axis=-1).min(axis=1).max())
        over.append(found - largest)
    assert len(over) > 10
    assert min(over) > -0.06  # the places tried are a ninth of a voxel apart
    assert np.mean(over) < 0.15


@pytest.mark.parametrize(("kind", "across"), [("plate", 12.4), ("plate", 15.0), ("rod", 12.4), ("rod", 15.0)])
def test_thick_bodies_are_measured_on_wider_cells(tmp_path, monkeypatch, kind, across):
    monkeypatch.setattr(thickness, "MOST_RADIUS", 4.0)  # thickness 8 voxels on voxels, 16 on cells of 2, 32 on 4
    turned = positions((72,) * 3) @ np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    found = only(measure(tmp_path, np.linalg.norm(turned[..., : {"plate": 1, "rod": 2}[kind]], axis=-1) < across / 2))
    assert found["thickness_mean_um"] == pytest.approx(across, abs=2)  # one cell


def test_wide_cells_do_not_hide_pores(tmp_path, monkeypatch):
    """Cells that were only looked at in their middle would miss seven pores of eight, and read twice the thickness."""
    monkeypatch.setattr(thickness, "MOST_RADIUS", 4.0)
    mask = np.ones((64,) * 3, bool)
    mask[3::9, 3::9, 3::9] = False
    found = only(measure(tmp_path, mask))
    exact = drawn_thickness(mask[:28, :28, :28])[14:, 14:, 14:].max()
    assert found["thickness_max_um"] <= exact + 2


def agree_with_drawn_spheres(found, space, own):
    """Compare with spheres drawn around every voxel: each share lies between theirs for this diameter and one less."""
    drawn = drawn_thickness(own)
    side = len(own)
    inner = np.minimum.reduce(np.meshgrid(*[np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side))] * 3))
    rows = found[(found["space"] == space) & (found["voxels"] > 1000) & (found["thickness_um"] <= 16)]
    assert len(rows) >= 8
    for row in rows.itertuples():
        known = drawn[own & (inner >= row.thickness_um + 2)]
        assert row.voxels == known.size
        at_least, one_less = (np.mean(known >= row.thickness_um - less - 1e-6) for less in (0, 1))
        assert at_least - 0.03 <= row.share_thicker <= one_less + 0.03


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_thickness_of_random_bodies_is_that_of_drawn_spheres(tmp_path, share):
    mask = blobs((40,) * 3, 3.0, 5, share)
    _, found = measure(tmp_path, mask)
    agree_with_drawn_spheres(found, "phase", mask)
    agree_with_drawn_spheres(found, "rest", ~mask)


def test_cut_balls_do_not_look_thinner(tmp_path, monkeypatch):
    mask = balls(60, 20, 6.4, (7.3, 7.3, 7.3))  # the faces of the scan cut balls
    found = only(measure(tmp_path / "scan", mask))["thickness_mean_um"]
    assert found == pytest.approx(12.8, abs=1.2)
    clear = Phase._clear
    monkeypatch.setattr(Phase, "_clear", lambda *a: tuple(np.full(part.shape, np.inf) for part in clear(*a)))
    assert only(measure(tmp_path / "mutant", mask))["thickness_mean_um"] < found - 1


def test_a_phase_thicker_than_the_scan_can_show_is_flagged(tmp_path):
    place = positions((48,) * 3)
    thick = only(measure(tmp_path / "thick", np.abs(place[..., 0]) < 20))
    assert "thick_phase" in thick["flag"]
    assert "thick" not in only(measure(tmp_path / "thin", place[..., 0] % 10 < 5))["flag"]


def test_one_slice_has_no_thickness(tmp_path):
    found, distribution = measure(tmp_path, blobs((1, 40, 40)))
    assert found["thickness_mean_um"].isna().all()
    assert found["euler_density_per_mm3"].isna().all()
    assert distribution.empty


# --- Partition, window, intervals -------------------------------------------------------------------------------------


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([1, 5, 16]), st.booleans())
def test_tables_do_not_depend_on_the_slabs(tmp_path_factory, seed, slices, shard_slices, deep):
    rng = np.random.default_rng(seed)
    mask = blobs(tuple(rng.integers(20, 40, 3)), rng.uniform(0.5, 4), seed, rng.uniform(0.1, 0.9))
    plane = Plane.through((0.2, 1.0, 0.1), 3.0) if deep else None
    given = {"plane": plane, "profile": ZONES if deep else PROFILE}
    whole = measure(tmp_path_factory.mktemp("whole"), mask, slices=1000, shard_slices=len(mask), **given)
    parts = measure(tmp_path_factory.mktemp("parts"), mask, slices=slices, shard_slices=shard_slices, **given)
    for one, other in zip(whole, parts, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("mutant", ["halo", "seam"])
def test_a_missing_halo_would_be_seen(tmp_path, monkeypatch, mutant):
    mask = blobs((40, 40, 40), 3.0, 1)
    whole = measure(tmp_path / "whole", mask, slices=100)
    if mutant == "halo":
        monkeypatch.setattr(Level, "halo", property(lambda _: (2, 2, 2)))
    else:

        def alone(phase, cells, n_cells, slices, connectivity):
            return count_neighbours(phase[:slices], cells[:slices], n_cells, slices, connectivity)

        monkeypatch.setattr(scan, "count_neighbours", alone)
    parts = measure(tmp_path / "parts", mask, slices=10)
    assert not all(one.equals(other) for one, other in zip(whole, parts, strict=True))


def own_surface() -> OwnSurface:
    distances = np.random.default_rng(1).uniform(-2, 14, (7, 6, 8)).astype(np.float32)
    return OwnSurface((0.0, 0.0, 0.0), 0.0, distances, (3.0, 3.0, 3.0))


@pytest.mark.parametrize(
    "plane",
    [Plane.through((0.3, -0.2, 1.0), 4.0), None, Face.through((0.0, -1.0, 0.0), -15.0), own_surface()],
    ids=["substrate", "none", "face", "surface"],
)
def test_cells_are_where_the_profile_counts(plane):
    shape, edges = (12, 15, 21), (1.5, 1.0, 1.0)
    air = np.zeros((3, 4, 6), bool)
    air[2, 1:3, 4] = True
    resin = Resin(4, air, None)
    view = Circle(radius_um=7.3)
    space = Space.of(shape, edges, plane or WithoutSubstrate(), resin, view)
    window = Window.of(space, ZONES if plane else PROFILE)
    cells = np.stack([window.cells(z) for z in range(shape[0])])
    layer, block = window.grid.place(*(part.ravel() for part in np.meshgrid(
        *((np.arange(n) + 0.5) * e for n, e in zip(shape, edges, strict=True)), indexing="ij")))  # fmt: skip
    np.testing.assert_array_equal(cells.ravel(), np.where(layer < 0, -1, layer * window.grid.n_blocks + block))
    counted = np.bincount(cells[cells >= 0], minlength=window.n_cells)
    np.testing.assert_array_equal(counted, window.grid.count_resin().ravel())
    assert (cells < 0).any()
    np.testing.assert_array_equal(window.cells(3, slice(2, 9), slice(5, 20)), cells[3, 2:9, 5:20])


def test_zones_are_measured_apart(tmp_path):
    mask = np.zeros((40, 40, 40), bool)
    mask[:, 4:10:2] = True  # plates near the substrate, a solid far from it
    mask[:, 20:30] = True
    found, distribution = measure(tmp_path, mask, plane=Plane.through((0.0, 1.0, 0.0), 0.0), profile=ZONES)
    whole, near, far = found.to_dict("records")
    assert [row["zone"] for row in (whole, near, far)] == ["whole", "near", "far"]
    assert near["material_um3"] == 40 * 40 * 7  # without the guard
    assert near["phase_um3"] == 40 * 40 * 3
    assert far["volume_ratio"] == 10 / 26
    assert whole["phase_um3"] == mask.sum()
    assert whole["from_um"] == 2
    assert near["thickness_mean_um"] < 3 < far["thickness_mean_um"]
    assert set(distribution["zone"]) == {"whole", "near", "far"}


@pytest.mark.deep
def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path):
    """Of Boolean models of balls, for which volume fraction and surface are known (Miles 1976)."""
    rng, n, radius, number = np.random.default_rng(8), 48, 4.2, 6e-4
    volume, surface = 4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2
    left = np.exp(-number * volume)
    known = {"volume_ratio": 1 - left, "surface_density_per_mm": 1e3 * number * surface * left}
    held = dict.fromkeys(known, 0)
    for run in range(20):
        mask = np.zeros((n,) * 3, bool)
        for centre in rng.uniform(-6, n + 6, (rng.poisson(number * (n + 12) ** 3), 3)):
            mask |= ((np.stack(np.indices((n,) * 3), -1) + 0.5 - centre) ** 2).sum(axis=-1) < radius**2
        row = only(measure(tmp_path / str(run), mask))
        for name, value in known.items():
            held[name] += row[f"{name}_lo"] <= value <= row[f"{name}_hi"]
    assert min(held.values()) >= 15  # of 19 expected: four fewer happen once in a thousand times


# --- Boundary band ----------------------------------------------------------------------------------------------------


def test_the_band_is_what_other_levels_of_probability_give(tmp_path):
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(36, 36, 36)), 2.5, mode="wrap")
    probability = np.rint(255 * stats.norm.cdf(noise / noise.std() * 2)).astype(np.uint8)
    found, _ = measure(tmp_path / "all", probability, level=None)
    assert list(found["level"]) == ["low", "calibrated", "high"]
    for level, least in (("low", 0.3), ("calibrated", 0.5), ("high", 0.7)):
        alone, _ = measure(tmp_path / level, probability >= least * 255)
        one = found[found["level"] == level].reset_index(drop=True)
        pd.testing.assert_frame_equal(one.drop(columns="level"), alone.drop(columns="level"), check_exact=True)
    assert found["volume_ratio"].is_monotonic_decreasing
    assert found["thickness_mean_um"].is_monotonic_decreasing
    assert found["separation_mean_um"].is_monotonic_increasing


def test_a_mask_without_levels_is_counted_once(tmp_path, monkeypatch):
    mask = blobs((24, 24, 24))
    counted = []
    openings = Phase.openings
    monkeypatch.setattr(Phase, "openings", lambda self, *a: counted.append(self.threshold) or openings(self, *a))
    threshold, _ = measure(tmp_path / "threshold", mask, level=None)
    assert set(counted) == {128}
    low, calibrated, high = (row.drop("level") for _, row in threshold.iterrows())
    assert low.equals(calibrated)
    assert high.equals(calibrated)
    given, _ = measure(tmp_path / "given", mask, level=None, is_mask=True)
    assert list(given["flag"].str.contains("given_mask")) == [True, False, True]
    assert list(given["volume_ratio"].isna()) == [True, False, True]
    assert given["material_um3"].notna().all()


# --- When it is measured ----------------------------------------------------------------------------------------------


def test_phases_are_measured_where_there_is_no_substrate_unless_told():
    config = read_config({"models": {"default": {"method": "unet"}, "bone": {"method": "otsu", "phase": True}}})
    assert config.measures_phase("default", has_substrate=False)
    assert not config.measures_phase("default", has_substrate=True)
    assert config.measures_phase("bone", has_substrate=True)
    assert not read_config({"phase": False}).measures_phase("default", has_substrate=False)
    assert read_config({"phase": True}).measures_phase("default", has_substrate=True)


# --- Real scans -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason="real scans are not in the repository")
@pytest.mark.parametrize("name", ["bone", "polymer"])
def test_real_scans_agree_with_drawn_spheres(tmp_path, name):
    if name == "bone":
        grey = tifffile.imread(DATA / "xct_volumes_mit/bone_128x128x128.tif")
    else:
        grey = np.fromfile(DATA / "xct_small_mit/polymer3d_8bit_128x128x128.raw", np.uint8).reshape((128,) * 3)
    crop = ndimage.gaussian_filter(grey[36:92, 36:92, 36:92].astype(float), 1)
    mask = crop > (crop.min() + crop.max()) / 2
    whole, found = measure(tmp_path, mask)
    assert whole["volume_ratio"].iloc[0] == mask.mean()
    agree_with_drawn_spheres(found, "phase", mask)
