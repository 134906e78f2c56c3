"""Air and filled corners are no resin: left out of numerator and denominator alike, and never cut into resin."""

import json

import numpy as np
import pandas as pd
import pytest
from profile_scan import inputs_in, runs_of, table_of, tables_in, write_runs
from scipy.ndimage import label
from test_substrate_interface import store_of

from tomoprofile.config_profile import Circle
from tomoprofile.errors import InputError
from tomoprofile.phantom.geometry import DOMAIN
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.phantom.truth import AIR, SUBSTRATE
from tomoprofile.profile.depth import profile_depth
from tomoprofile.substrate import edges
from tomoprofile.substrate.interface import fit_interface
from tomoprofile.substrate.resin import Resin, find_resin, reconstructed_circle
from tomoprofile.volume.store import open_store

SIZE = (128, 192, 128)
FILM_UM = 55.0


def simulated(kind, **changes):
    return simulate(PhantomSettings.of_kind(kind, size=SIZE, seed=5, **changes))


def resin_of(folder, grey, plane):
    store = open_store(store_of(folder, grey))
    outside, side = edges.constant_outside(store), edges.block_side(store.shape)
    return find_resin(store, plane, edges.block_means(store, side, outside), side, outside)


def air_voxels(resin, shape):
    return resin.is_air(*np.indices(shape, np.int32))


@pytest.fixture(scope="module")
def film():
    return simulated("A", film_um=FILM_UM)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("A", {}),
        ("A", {"tilt_deg": 2.0}),
        ("A", {"noise_per_cm": 27.0}),
        ("A", {"energy_kev": 30.0}),
        ("B", {"void_ratio": 0.01}),
        ("C", {}),
        ("A", {"cupping_per_cm": 4.0}),
    ],
)
def test_no_air_is_found_in_resin_with_domains_voids_and_cupping(tmp_path, kind, changes):
    phantom = simulated(kind, **changes)
    resin, told = resin_of(tmp_path, phantom.grey, phantom.plane)
    assert told["air"] is None
    assert not resin.air.any()
    assert resin.circle is None


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("A", {"tilt_deg": 2.0}), ("A", {"noise_per_cm": 27.0}), ("A", {"energy_kev": 30.0}), ("B", {})],
)
def test_the_air_beyond_a_film_is_found_whole_and_little_resin_with_it(tmp_path, kind, changes):
    phantom = simulated(kind, film_um=FILM_UM, **changes)
    resin, told = resin_of(tmp_path, phantom.grey, phantom.plane)
    found = air_voxels(resin, SIZE)
    assert found[phantom.labels == AIR].mean() > 0.999
    lost = found & (phantom.labels < SUBSTRATE)
    z, y, x = (np.indices(SIZE, np.float32) + 0.5) * 0.5
    below_um = FILM_UM - phantom.plane.depth_um(z, y, x)
    assert below_um[lost].max() < 20  # three blocks of 8 voxels, and the smoothing
    assert lost.mean() < 0.15
    assert told["air"]["separation"] >= 4
    assert told["air"]["contrast"] > 0.2


def tables_of(folder, phantom, resin_file, field_of_view="auto"):
    """Return the profile of the true domains of a phantom, the same at all levels."""
    labels, _ = label(phantom.labels == DOMAIN, np.ones((3, 3, 3)))
    runs = runs_of(labels)
    table_of(runs, SIZE, 0.5, phantom.plane).to_parquet(folder / "domains.parquet")
    write_runs(folder / "runs.parquet", runs, SIZE, 0.5, 32)
    phantom.plane.save(folder / "interface.json")
    config = phantom_profile(bin_um=5, block_um=15, field_of_view=field_of_view, zones=[{"name": "all", "from_um": 0}])
    profile_depth(inputs_in(folder, resin=resin_file), config, 1, tables_in(folder))
    table = pd.read_parquet(folder / "profile.parquet")
    return table[table["level"] == "calibrated"].set_index("depth_lo_um")


def test_volume_ratio_and_number_density_below_a_free_surface_are_those_of_the_resin(tmp_path, film):
    store_of(tmp_path, film.grey)
    spec = f"plane:{','.join(map(str, film.plane.normal))},{film.plane.offset_um}"
    fit_interface(tmp_path / "volume.ome.zarr", spec, tmp_path / "i.json", tmp_path / "resin.npz")
    assert json.loads((tmp_path / "i.json").read_text())["air"]["share"] == pytest.approx(0.39, abs=0.04)
    with_air = tables_of(tmp_path, film, None)
    profile = tables_of(tmp_path, film, tmp_path / "resin.npz")
    z, y, x = (np.indices(SIZE, np.float32) + 0.5) * 0.5
    depth, resin = film.plane.depth_um(z, y, x), film.labels < SUBSTRATE
    for low in (30.0, 35.0, 40.0, 45.0):
        here = (depth >= low) & (depth < low + 5) & resin
        true = (film.labels[here] == DOMAIN).mean()
        assert profile.loc[low, "volume_ratio"] == pytest.approx(true, abs=0.004)
    below = profile.loc[[30.0, 35.0, 40.0]]
    domains = film.objects[film.objects["class"] == DOMAIN]
    inside = domains["depth_um"].between(30, 45).sum()
    density = inside / (below["resin_um3"].sum() * 1e-9)
    found = np.average(below["number_density_per_mm3"], weights=below["resin_um3"])
    assert found == pytest.approx(density, rel=0.12)  # the truth counts objects that are cut at the sides, too
    # The mutant without the mask: at the surface and beyond, air would thin the domains out.
    deep = with_air.loc[30.0:].dropna(subset="number_density_per_mm3")
    assert np.average(deep["number_density_per_mm3"], weights=deep["resin_um3"]) < 0.8 * density
    assert profile.index.max() <= 50  # nothing is told of depths that are air
    assert with_air.index.max() > 70
    here = (depth >= 55) & resin
    assert not here.any()
    assert with_air.loc[60.0, "volume_ratio"] == 0
    whole = with_air["domain_um3"].sum() / with_air["resin_um3"].sum()
    true = (film.labels == DOMAIN).sum() / resin.sum()
    masked = profile["domain_um3"].sum() / profile["resin_um3"].sum()
    assert abs(masked - true) < 0.004
    assert abs(whole - true) > 0.004


def test_what_is_no_region_of_air_several_blocks_thick_stays_resin(tmp_path):
    phantom = simulated("A")
    grey = phantom.grey.copy()
    grey[60:70, 120:130, 60:70] = 0  # a bubble smaller than three blocks
    assert not resin_of(tmp_path, grey, phantom.plane)[0].air.any()


def test_the_border_of_air_does_not_follow_the_domains(tmp_path):
    """Blocks with many domains look different; a border along them would change the ratio below the surface."""
    kept, everything = [], []
    for seed in range(1, 7):
        film = simulate(PhantomSettings.of_kind("A", size=SIZE, seed=seed, film_um=52 + seed / 2))
        folder = tmp_path / str(seed)
        folder.mkdir()
        air = air_voxels(resin_of(folder, film.grey, film.plane)[0], SIZE)
        z, y, x = (np.indices(SIZE, np.float32) + 0.5) * 0.5
        below = 52 + seed / 2 - film.plane.depth_um(z, y, x)
        layer = (below >= 5) & (below < 10) & (film.labels < SUBSTRATE)
        everything.append((film.labels[layer] == DOMAIN).mean())
        kept.append((film.labels[layer & ~air] == DOMAIN).mean())
        assert 0.6 < (layer & ~air).sum() / layer.sum() <= 1
    # A border that follows medians of blocks takes 0.0033 off here, on average over such films.
    assert np.mean(kept) == pytest.approx(np.mean(everything), abs=0.0015)


def test_a_brighter_part_beyond_a_given_plane_does_not_make_the_resin_air(tmp_path):
    phantom = simulated("A")
    grey = phantom.grey.copy()
    grey[:, 120:] += 10  # a second plate
    assert not resin_of(tmp_path, grey, phantom.plane)[0].air.any()


def cylinder(phantom, radius_um, fill):
    y, x = (np.arange(n) * 0.5 + 0.25 - n / 4 for n in SIZE[1:])
    outside = np.broadcast_to(y[:, None] ** 2 + x[None, :] ** 2 > radius_um**2, SIZE)
    return np.where(outside, np.float32(fill), phantom.grey), outside


def test_filled_corners_are_found_and_left_out(tmp_path, film):
    grey, outside = cylinder(film, 25.0, 0.0)
    path = store_of(tmp_path, grey)
    store = open_store(path)
    circle = reconstructed_circle(store, edges.constant_outside(store))
    assert circle.radius_um == pytest.approx(25, abs=1)
    assert circle.centre_um == (48, 32)
    assert reconstructed_circle(open_store(path), float("nan")) is None
    Resin(8, np.zeros((16, 24, 16), bool), circle).save(tmp_path / "resin.npz")
    assert Resin.load(tmp_path / "resin.npz").circle == circle
    film.labels[outside & (film.labels == DOMAIN)] = 0
    auto = tables_of(tmp_path, film, tmp_path / "resin.npz")
    everything = tables_of(tmp_path, film, tmp_path / "resin.npz", "all")
    given = tables_of(tmp_path, film, None, Circle(radius_um=circle.radius_um, centre_um=(48, 32)))
    pd.testing.assert_frame_equal(auto.drop(columns="flag"), given.drop(columns="flag"))
    assert everything.loc[40.0, "volume_ratio"] < 0.9 * auto.loc[40.0, "volume_ratio"]
    assert everything["flag"].str.contains("outside_counted").all()
    assert not auto["flag"].str.contains("outside_counted").any()


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "resin.npz").write_text("nothing")
    with pytest.raises(InputError, match="where the resin is"):
        Resin.load(tmp_path / "resin.npz")
