"""Numbers and volumes end at the same border: where every voxel holds one domain, each density is one per voxel.

The truth needs no code of ours: as many domains as voxels, wherever in its voxel each of them lies.
"""

import numpy as np
import pandas as pd
import pytest
from profile_scan import inputs_in, tables_in, write_runs

from benchmarks.coverage import profile_of, realise
from tomoprofile.config_profile import Circle
from tomoprofile.errors import StageError
from tomoprofile.phantom.settings import PhantomSettings, phantom_profile
from tomoprofile.profile.depth import profile_depth
from tomoprofile.profile.masks import Grid
from tomoprofile.substrate.resin import Resin
from tomoprofile.tables import read_facts
from tomoprofile.volume.plane import Plane, Relief

SHAPE, EDGE = (36, 60, 40), 0.5
RADIUS_UM = 2.0  # of the largest domain: the far end is left out from here on
ZONES = [{"name": "near", "from_um": 0, "to_um": 7.3}, {"name": "far", "from_um": 7.3}]
STRAIGHT = Plane((0.0, 1.0, 0.0), 4.13)


def relief():
    """Return a substrate with a wave of 1 um."""
    nodes, spacing_um = (10, 16, 11), (2.0, 2.0, 2.0)
    z, y, x = (np.arange(n) * step for n, step in zip(nodes, spacing_um, strict=True))
    height = 5 + np.sin(z[:, None, None] / 3) * np.cos(x[None, None, :] / 4)
    return Relief((0.0, 1.0, 0.0), 5.0, (y[None, :, None] - height).astype(np.float32), spacing_um)


SURFACES = {
    "straight": STRAIGHT,
    "straight, from the other side": Plane((0.0, -1.0, 0.0), -27.2),
    "along z": Plane((1.0, 0.0, 0.0), 2.2),
    "tilted": Plane.through((0.02, 1.0, -0.03), 4.4),
    "near end inside the resin": Plane((0.0, 1.0, 0.0), -3.3),
}
VIEWS = {"all": "all", "cylinder": "cylinder", "circle": Circle(radius_um=7.1, centre_um=(16.2, 9.9))}


def one_in_every_voxel(folder, surface, config, resin=None):
    """Return the tables of a scan in which every voxel is a domain with its centroid anywhere in it."""
    rng = np.random.default_rng(4)
    z, y, x = ((index + rng.random(SHAPE)).ravel() * EDGE for index in np.indices(SHAPE))
    diameter = np.full(z.size, 0.6)
    diameter[0] = 2 * RADIUS_UM
    table = pd.DataFrame({"class": "domain", "voxels": 1, "equivalent_diameter_um": diameter, "edge_weight": 1.0})
    places = {"centroid_z_um": z, "centroid_y_um": y, "centroid_x_um": x}
    table.assign(**places, nearest_um=0.1).to_parquet(folder / "domains.parquet")
    rows = [index.ravel().astype(np.int32) for index in np.indices(SHAPE[:2])]
    ends = {"x_start": np.int32(0), "x_stop": np.int32(SHAPE[2]), "domain_id": np.int64(1)}
    write_runs(folder / "runs.parquet", pd.DataFrame({"z": rows[0], "y": rows[1]} | ends), SHAPE, EDGE, 16)
    if isinstance(surface, Relief):
        np.save(folder / "substrate_distance.npy", surface.nodes)
        surface.save(folder / "interface.json", node_spacing_um=list(surface.node_spacing_um))
    else:
        surface.save(folder / "interface.json")
    more = {}
    if resin is not None:
        resin.save(folder / "resin.npz")
        more["resin"] = folder / "resin.npz"
    profile_depth(inputs_in(folder, **more), config, 1, tables_in(folder))
    return {name: pd.read_parquet(path) for name, path in vars(tables_in(folder)).items()}


def settings_of(**more):
    return phantom_profile(bin_um=2.7, block_um=4, resamples=100, zones=ZONES, **more)


def densities(tables):
    """Return the number density of each row of profile and zones that has one, in domains per voxel."""
    both = pd.concat([tables["profile"], tables["zones"]])
    return both["number_density_per_mm3"].dropna().to_numpy() * EDGE**3 / 1e9


def refuse_any_other(tables):
    assert len(densities(tables)) > 9
    assert densities(tables) == pytest.approx(1, rel=1e-12)
    for name in ("profile", "zones"):
        rows = tables[name]
        np.testing.assert_array_equal(rows["n_domains"], np.round(rows["resin_um3"] / EDGE**3))
        assert rows["volume_ratio"].dropna().eq(1).all()
    zones = tables["sizes"].groupby("zone")["number_density_per_mm3"].sum(min_count=1)
    assert zones.to_numpy() * EDGE**3 / 1e9 == pytest.approx(1, rel=1e-12)
    breaks = tables["breakpoints"].set_index("quantity")
    assert breaks.loc["number_density_per_mm3", "change"] == "none"


@pytest.mark.parametrize("name", SURFACES)
def test_density_is_one_domain_per_voxel_at_every_border(tmp_path, name):
    tables = one_in_every_voxel(tmp_path, SURFACES[name], settings_of(field_of_view="all"))
    refuse_any_other(tables)
    whole = tables["profile"]["flag"].str.contains("far_end")
    assert (whole & tables["profile"]["number_density_per_mm3"].notna()).any(), "a bin that the far end cuts"


@pytest.mark.parametrize("view", VIEWS)
def test_density_is_one_domain_per_voxel_in_any_field_of_view_beside_air_and_beyond_a_guard(tmp_path, view):
    air = np.zeros([-(-n // 8) for n in SHAPE], bool)
    air[:, 5, 1:3] = True
    config = settings_of(field_of_view=VIEWS[view], guard_um=0.9)
    refuse_any_other(one_in_every_voxel(tmp_path, STRAIGHT, config, Resin(8, air, None)))


def test_density_is_one_domain_per_voxel_above_a_rough_substrate(tmp_path):
    refuse_any_other(one_in_every_voxel(tmp_path, relief(), settings_of(field_of_view="cylinder")))


def exactly(grid, z_um, y_um, x_um):
    """The mutant: a domain lies where its centroid lies, a voxel where its centre lies."""
    layer = np.searchsorted(grid.borders_um, grid.plane.depth_um(z_um, y_um, x_um), side="right") - 1
    places = zip((z_um, y_um, x_um), grid.voxel_size_um, strict=True)
    z, y, x = ((at / edge).astype(int) for at, edge in places)
    counts = (layer >= 0) & (layer < grid.n_layers)
    return np.where(counts, layer, -1), np.where(counts, grid.blocks[0][z] + grid.blocks[1][y] + grid.blocks[2][x], -1)


def test_objects_cut_at_the_exact_border_would_be_too_few_or_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(Grid, "place", exactly)
    tables = one_in_every_voxel(tmp_path, STRAIGHT, settings_of(field_of_view="all"))
    off = np.abs(densities(tables) - 1)
    assert off.max() > 0.05
    last = tables["profile"].query("level == 'calibrated'")["number_density_per_mm3"].dropna().iloc[-1]
    assert abs(last * EDGE**3 / 1e9 - 1) > 0.05
    with pytest.raises(AssertionError):
        refuse_any_other(tables)


def last_bin_and_plateau(scan, folder):
    """Return how many spheres the densities of the last bin and of the plateau give in their volumes, and the truth.

    The truth counts the centres between the exact depths and lateral faces; volumes are those of boxes.
    """
    config = phantom_profile(resamples=100, zones=[{"name": "bulk", "from_um": 80}])
    tables = profile_of(scan, config, folder)
    far_um = read_facts(folder / "profile.parquet")["classes"]["domain"]["whole_objects_um"][1]
    last = tables["profile"].dropna(subset="number_density_per_mm3").iloc[-1]
    spheres = pd.read_parquet(scan.domains)
    seen = spheres[["centre_z_um", "centre_x_um"]].to_numpy()
    depth = spheres["centre_depth_um"][((seen > 0) & (seen < 48)).all(axis=1)]
    found = []
    for row, low in ((last, last["depth_lo_um"]), (tables["zones"].iloc[0], 80)):
        high = min(far_um, row.get("depth_hi_um", far_um))
        true = (depth.between(low, high, inclusive="left")).sum()
        found.append((row["number_density_per_mm3"] / 1e9 * (high - low) * 48 * 48, true))
    return np.array(found)


@pytest.mark.deep
def test_densities_of_many_simulated_scans_with_a_straight_substrate(tmp_path, monkeypatch):
    """Spheres that are painted, counted and weighted, not points: their weights leave a sampling error."""
    right, wrong = np.zeros((2, 2)), np.zeros((2, 2))
    for seed in range(100):
        settings = PhantomSettings(size=(96, 256, 96), seed=seed, tilt_deg=0, large_per_mm2=400, substrate_um=14.2)
        try:
            scan = realise(settings, tmp_path)
        except StageError:  # where chance packed too densely there is no room
            continue
        right += last_bin_and_plateau(scan, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(Grid, "place", exactly)
            wrong += last_bin_and_plateau(scan, tmp_path)
    assert right[0, 1] > 500
    assert right[:, 0] / right[:, 1] == pytest.approx([1, 1], abs=0.035)
    assert right[1, 0] / right[1, 1] == pytest.approx(1, abs=0.005)
    assert wrong[0, 0] / wrong[0, 1] < 0.96
    assert wrong[1, 0] / wrong[1, 1] < 0.996
