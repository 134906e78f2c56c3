"""Nearest neighbours and sizes of domains whose truth is known: points at random, in clusters, and on a lattice."""

import numpy as np
import pandas as pd
import pytest
from profile_scan import ONE_ZONE

from tomoprofile.config_profile import ProfileConfig
from tomoprofile.domains.measures import nearest
from tomoprofile.profile import domains
from tomoprofile.profile.domains import Domains, diameter_edges_um, nearest_neighbours, sizes_table
from tomoprofile.profile.estimators import draw_blocks
from tomoprofile.profile.exposure import Exposure
from tomoprofile.profile.masks import Grid, Space
from tomoprofile.profile.ranges import zone_ranges
from tomoprofile.substrate.resin import Resin
from tomoprofile.volume.plane import Plane

SHAPE = (100, 110, 120)
DRAWS = draw_blocks(12, 100, 1)
PLANE = Plane((0.0, 1.0, 0.0), 10.0)  # 100 um of resin


def grid_of(view="all"):
    space = Space.of(SHAPE, (1.0,) * 3, PLANE, Resin.everywhere(), view)
    return Grid.dividing(space, np.array([0.0, 50.0, 100.0]), 30)


def exposure_of(grid, resin):
    """Return the exposure of a scan whose ends cut nothing."""
    return Exposure(grid, resin, (-np.inf, np.inf), DRAWS)


def placed(points, grid, diameter=2.0):
    """Return points inside the scan's resin as domains, with neighbours among those that are seen."""
    low, high = np.array([0, 10, 0]), np.array(SHAPE)
    seen = points[((points > low) & (points < high)).all(axis=1)]
    columns = dict(zip(("centroid_z_um", "centroid_y_um", "centroid_x_um"), seen.T, strict=True))
    table = pd.DataFrame(columns | nearest(columns)).assign(equivalent_diameter_um=diameter, edge_weight=1.0)
    return Domains.placed(table, grid)


def neighbours(found, grid):
    zones = zone_ranges(grid, ProfileConfig(zones=ONE_ZONE).zones)
    density = np.array([len(found.layer) / 1.2 * 1e3])
    nothing = np.zeros((2, 12), np.int64)  # the resin does not matter to distances
    return pd.DataFrame(nearest_neighbours(zones, found, density, exposure_of(grid, nothing))).iloc[0]


def poisson(rng, mean=300):
    """Return points in the scan and 20 um around it."""
    low, high = np.full(3, -20.0), np.array(SHAPE) + 20.0
    number = rng.poisson(mean * np.prod(high - low) / (100 * 100 * 120))
    return rng.uniform(low, high, (number, 3))


def mean_clark_evans(number=60, points_of=poisson):
    rng, grid = np.random.default_rng(1), grid_of()
    return np.mean([neighbours(placed(points_of(rng), grid), grid)["clark_evans"] for _ in range(number)])


def test_points_at_random_are_neither_clustered_nor_regular():
    assert mean_clark_evans() == pytest.approx(1, abs=0.02)


def test_neighbours_outside_the_scan_would_be_missed(monkeypatch):
    """The mutant: without a border rule points near the border seem lonely."""
    monkeypatch.setattr(domains, "distance_to_border_um", lambda _grid, z_um, _y, _x: np.full(len(z_um), np.inf))
    assert mean_clark_evans() > 1.03


def test_far_neighbours_left_out_without_weights_would_seem_near(monkeypatch):
    """The mutant: the border rule alone leaves out far neighbours more often than near ones."""
    lattice = domains._lattice

    def endless(grid):
        found = lattice(grid)
        return Domains(**(vars(found) | {"border_um": np.full(len(found.layer), np.inf)}))

    monkeypatch.setattr(domains, "_lattice", endless)
    assert mean_clark_evans(20) < 0.97


def test_clusters_and_lattices_are_told_apart():
    def clusters(rng):
        parents = poisson(rng, 60)
        return np.repeat(parents, 5, axis=0) + rng.normal(0, 2, (5 * len(parents), 3))

    assert mean_clark_evans(5, clusters) < 0.6
    steps = np.stack(np.meshgrid(*(np.arange(-19.5, n + 20, 10) for n in SHAPE), indexing="ij"), axis=-1)
    grid = grid_of("cylinder")
    found = neighbours(placed(steps.reshape(-1, 3), grid), grid)
    assert found[["nearest_mean_um", "nearest_mean_um_lo", "nearest_mean_um_hi"]].to_numpy() == pytest.approx(10)
    assert found["nearest_sd_um"] == pytest.approx(0, abs=1e-9)
    assert found["clark_evans"] > 1.5


def test_few_points_tell_nothing_of_neighbours():
    grid = grid_of()
    found = neighbours(placed(np.array([[50, 60, 60], [50, 60, 63], [50, 60, 66.0]]), grid), grid)
    assert found[["nearest_mean_um", "nearest_sd_um", "clark_evans"]].isna().all()


@pytest.mark.parametrize(
    ("largest", "width"), [(14.2, 0.5), (3.0, 0.1), (2.9, 0.1), (90.0, 5.0), (0.31, 0.02), (0.0, 0.05)]
)
def test_classes_of_sizes_have_round_borders(largest, width):
    found = placed(np.array([[50, 60, 60.0]]), grid_of(), diameter=largest)
    edges = diameter_edges_um(found)
    assert np.diff(edges) == pytest.approx(width)
    assert edges[0] == 0
    assert edges[-2] <= largest + 1e-9 or not largest
    assert largest < edges[-1]


def test_classes_add_up_to_the_zone():
    rng, grid = np.random.default_rng(6), grid_of()
    found = placed(poisson(rng), grid)
    found = Domains(**(vars(found) | {"diameter_um": rng.lognormal(1, 0.3, len(found.layer))}))
    found.weight[::7] = 0  # cut by a side
    found.weight[1::7] = 1.5
    zones = zone_ranges(grid, ProfileConfig(zones=[*ONE_ZONE, {"name": "deep", "from_um": 50}]).zones)
    resin = grid.count_resin()
    table = sizes_table(["all", "deep"], zones, found, exposure_of(grid, resin))
    for name, depth in (("all", 0), ("deep", 1)):
        rows = table[table["zone"] == name]
        chosen = (found.weight > 0) & (found.layer >= depth)
        expected = np.histogram(found.diameter_um[chosen], [*rows["diameter_lo_um"], rows["diameter_hi_um"].iloc[-1]])
        assert np.array_equal(rows["n_domains"], expected[0])
        voxels = resin[depth:].sum()
        assert rows["number_density_per_mm3"].sum() == pytest.approx(found.weight[chosen].sum() / voxels * 1e9)
        assert rows["volume_ratio_share"].sum() == pytest.approx(1)
        inside = rows["number_density_per_mm3"].between(
            rows["number_density_per_mm3_lo"], rows["number_density_per_mm3_hi"]
        )
        assert inside.all()
    weighted = found.weight * found.diameter_um**3
    first = rows["diameter_hi_um"].to_numpy()[9]
    deep = (found.layer == 1) & (found.diameter_um < first)
    expected = weighted[deep].sum() / weighted[found.layer == 1].sum()
    assert rows["volume_ratio_share"].iloc[:10].sum() == pytest.approx(expected)
