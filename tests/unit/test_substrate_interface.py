"""The substrate plane: found in scans whose plane is known, refused where nothing can be trusted."""

import functools
import json
import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.special import erf

from tomoprofile.errors import ConfigError, StageError
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.substrate import edges
from tomoprofile.substrate.doubts import DOUBTS, has_a_step, may_be_another
from tomoprofile.substrate.interface import find_interface, fit_interface
from tomoprofile.volume.grey import GreyScale
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store, open_store

VOXEL = 0.5


def store_of(folder, grey, voxel_size_um=(VOXEL,) * 3, shard_slices=32, dtype=np.float32, grey_scale=None):
    path = folder / "volume.ome.zarr"
    store = create_store(path, grey.shape, dtype, voxel_size_um, shard_slices, grey_scale)
    for start, stop in store.shards():
        store.write(start, grey[start:stop].astype(dtype))
    return path


def tilted(shape, axis, sign, tilt_deg, height, voxel_size_um=(VOXEL,) * 3):
    """Return a plane whose substrate is ``height`` of the scan thick at its middle; tilted unlike along both sides."""
    slope = math.tan(math.radians(tilt_deg))
    normal = np.zeros(3)
    normal[axis], normal[(axis + 1) % 3], normal[(axis + 2) % 3] = sign, 0.6 * slope, 0.8 * slope
    point = np.array(shape) * voxel_size_um / 2
    extent = shape[axis] * voxel_size_um[axis]
    point[axis] = height * extent if sign > 0 else (1 - height) * extent
    return Plane.through(tuple(normal), float(normal @ point))


def edge_volume(shape, plane, voxel_size_um=(VOXEL,) * 3, noise=1.0, rims=100.0, blur_um=0.5, step=10.0, seed=0):
    """Return a blurred step from substrate to resin, with the bright and dark rim that refraction adds to it."""
    z, y, x = ((np.arange(n) + 0.5) * edge for n, edge in zip(shape, voxel_size_um, strict=True))
    depth = plane.depth_um(z[:, None, None], y[None, :, None], x[None, None, :]) / blur_um
    grey = step / 2 * (1 - erf(depth / math.sqrt(2))) - rims * depth * np.exp(0.5 - depth**2 / 2)
    return grey + np.random.default_rng(seed).normal(0, noise, shape)


def fit(folder, spec="auto"):
    out = folder / "interface.json"
    fit_interface(folder / "volume.ome.zarr", spec, out, folder / "resin.npz")
    return Plane.load(out), json.loads(out.read_text())


def error_um_and_deg(found, true, shape, voxel_size_um=(VOXEL,) * 3):
    """Return the distance of the true plane from the one found, below the middle of the scan, and their angle."""
    middle = np.array(shape) * voxel_size_um / 2
    foot = middle - true.depth_um(*middle) * np.array(true.normal)
    angle = math.degrees(math.acos(min(1.0, float(np.dot(found.normal, true.normal)))))
    return abs(float(found.depth_um(*foot))), angle


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rims", [0.0, 100.0])
def test_the_plane_is_found_from_every_side(tmp_path, axis, sign, rims):
    shape = [64, 72, 80]
    shape[axis] = 96
    true = tilted(shape, axis, sign, 1.0, 0.25)
    store_of(tmp_path, edge_volume(shape, true, rims=rims))
    found, record = fit(tmp_path)
    distance, angle = error_um_and_deg(found, true, shape)
    assert distance < 0.25 * VOXEL
    assert angle < 0.05
    assert found.axis == axis
    assert math.copysign(1, found.normal[axis]) == sign
    assert record["how"] == "auto"
    assert record["axis"] == "zyx"[axis]
    assert record["tilt_deg"] == pytest.approx(1, abs=0.1)
    assert record["residual_um"] < VOXEL
    assert record["inlier_fraction"] > 0.95
    assert record["n_columns"] >= 64
    assert record["warning"] == ""


def test_the_position_without_tilt_would_be_wrong_at_the_sides(tmp_path):
    shape = (128, 64, 64)
    true = tilted(shape, 1, 1, 3.0, 0.3)
    store_of(tmp_path, edge_volume(shape, true))
    found, _ = fit(tmp_path)
    corner = np.array([0, 0, 0.0])
    corner[1] = true.offset_um / true.normal[1]
    assert abs(found.depth_um(*corner)) < 0.25 * VOXEL
    flat = Plane((0.0, 1.0, 0.0), float(0.3 * 64 * VOXEL))
    assert abs(flat.depth_um(*corner)) > 2 * VOXEL


@pytest.mark.parametrize(("dtype", "scale", "shift"), [(np.uint8, 4, 60), (np.uint16, 400, 20000)])
def test_integer_grey_values_and_unlike_voxel_edges(tmp_path, dtype, scale, shift):
    edges_um, shape = (0.8, 0.5, 1.1), (64, 96, 64)
    true = tilted(shape, 1, -1, 1.5, 0.3, edges_um)
    grey = np.clip(edge_volume(shape, true, edges_um, rims=30) * scale + shift, 0, np.iinfo(dtype).max)
    store_of(tmp_path, np.rint(grey), edges_um, dtype=dtype, grey_scale=GreyScale(1 / scale, -shift / scale, "1/cm"))
    found, record = fit(tmp_path)
    distance, angle = error_um_and_deg(found, true, shape, edges_um)
    assert distance < 0.25 * 0.5
    assert angle < 0.05
    assert record["substrate_grey"] == pytest.approx(10, abs=0.5)
    assert record["resin_grey"] == pytest.approx(0, abs=0.5)
    assert record["grey_unit"] == "1/cm"


def test_a_cylindrical_reconstruction_is_no_obstacle(tmp_path):
    shape = (64, 120, 120)
    true = tilted(shape, 1, 1, 1.0, 0.3)
    grey = edge_volume(shape, true) + 500  # the outside is far darker than anything in it
    y, x = np.mgrid[:120, :120] - 59.5
    grey[:, y**2 + x**2 > 59**2] = 0
    store_of(tmp_path, grey)
    found, record = fit(tmp_path)
    distance, angle = error_um_and_deg(found, true, shape)
    assert distance < 0.25 * VOXEL
    assert angle < 0.05
    assert record["inlier_fraction"] > 0.9


def test_slices_that_are_no_numbers_are_left_out(tmp_path):
    shape = (96, 96, 96)
    true = tilted(shape, 1, 1, 1.0, 0.3)
    grey = edge_volume(shape, true)
    grey[20:26] = np.nan
    grey[70, 10:80] = np.nan
    store_of(tmp_path, grey)
    found, record = fit(tmp_path)
    distance, angle = error_um_and_deg(found, true, shape)
    assert distance < 0.25 * VOXEL
    assert angle < 0.05
    assert record["n_columns"] < 144
    assert [row.count(None) for row in record["residual_map_um"]].count(len(record["residual_map_um"][0])) >= 1


HARD_SHAPE = (96, 160, 128)
BEHIND = (np.arange(160) > 130)[None, :, None]
HARD = {
    "air beyond the resin": (0.2, {"noise": 3}, lambda grey: np.where(BEHIND, grey - 1, grey)),
    "cupping": (0.2, {"noise": 3, "rims": 0}, lambda grey: grey + 3 * np.linspace(-1, 1, 128) ** 2),
    "a small step in noise": (0.2, {"noise": 3, "rims": 0, "step": 1}, None),
    "much noise": (0.2, {"noise": 27}, None),
    "a wide blur": (0.2, {"noise": 3, "rims": 0, "blur_um": 3}, None),
    "clipped to 8 bits": (0.2, {"noise": 3}, lambda grey: np.clip(10 * grey + 100, 0, 255) // 1),
    "a thin substrate": (0.07, {"noise": 3}, None),
    "little resin": (0.8, {"noise": 3}, None),
}


@pytest.mark.parametrize("case", list(HARD))
def test_hard_scans(tmp_path, case):
    height, how, spoil = HARD[case]
    true = tilted(HARD_SHAPE, 1, 1, 1.0, height)
    grey = edge_volume(HARD_SHAPE, true, **how)
    store_of(tmp_path, grey if spoil is None else spoil(grey))
    found, _ = fit(tmp_path)
    distance, angle = error_um_and_deg(found, true, HARD_SHAPE)
    assert distance < 0.25 * VOXEL
    assert angle < 0.2


def test_a_defect_in_a_third_of_the_columns_does_not_move_the_plane(tmp_path):
    shape = (96, 96, 96)
    true, lump = tilted(shape, 1, 1, 1.0, 0.25), tilted(shape, 1, 1, 1.0, 0.4)
    grey = edge_volume(shape, true)
    grey[:28] = edge_volume(shape, lump)[:28]
    store_of(tmp_path, grey)
    found, record = fit(tmp_path)
    distance, angle = error_um_and_deg(found, true, shape)
    assert distance < 0.25 * VOXEL
    assert angle < 0.05
    assert 0.6 < record["inlier_fraction"] < 0.8
    assert "columns agree" in record["warning"]
    heights = [[0.25 * 48] * 68 + [0.4 * 48] * 28]
    assert abs(np.mean(heights) - 12) > 4 * VOXEL  # least squares on every column would be far off


def test_the_result_does_not_depend_on_the_shards(tmp_path):
    shape = (70, 64, 64)
    true = tilted(shape, 0, 1, 1.0, 0.3)
    grey = edge_volume(shape, true)
    found = []
    for shard_slices in (5, 32):
        folder = tmp_path / str(shard_slices)
        folder.mkdir()
        store_of(folder, grey, shard_slices=shard_slices)
        found.append(fit(folder)[0])
    assert found[0].normal == pytest.approx(found[1].normal, abs=1e-6)
    assert found[0].offset_um == pytest.approx(found[1].offset_um, abs=1e-4)


def wavy(shape):
    """Return an edge whose height changes by 12 um from place to place."""
    a, b = np.mgrid[: shape[0], : shape[2]]
    height = 60 + 12 * np.sin(a / 6) * np.sin(b / 6)
    return np.where(np.arange(shape[1])[None, :, None] < height[:, None, :], 10.0, 0.0)


def stepped(share, voxels):
    """Return a substrate that is ``voxels`` higher in a share of the scan."""
    low, high = Plane((0.0, 1.0, 0.0), 20.0), Plane((0.0, 1.0, 0.0), 20.0 + voxels * VOXEL)
    grey, part = edge_volume(SHAPE, low), round(share * SHAPE[0])
    grey[:part] = edge_volume(SHAPE, high)[:part]
    return grey


def layers(*bounds, rims=True):
    """Return resin with bright layers, each (first, last voxel) along y, and rims at their edges."""
    y = np.arange(SHAPE[1])
    bright = np.sum([np.zeros(len(y)), *((y >= first) & (y < last) for first, last in bounds)], axis=0)
    profile = gaussian_filter1d(bright, 1)
    profile = 10 * profile - 60 * gaussian_filter1d(np.gradient(np.gradient(profile)), 1) * rims
    return np.random.default_rng(5).normal(0, 1, SHAPE) + profile[None, :, None]


SHAPE = (64, 120, 64)
FLAT = Plane((0.0, 1.0, 0.0), 20.0)
REFUSED = {
    "nothing but one value": (np.full(SHAPE, 3.0), "no substrate"),
    "noise": (np.random.default_rng(0).normal(0, 1, SHAPE), "no substrate|no plane"),
    "a drift": (np.broadcast_to(np.linspace(10, 0, 120)[None, :, None], SHAPE), "not a plane"),
    "too steep": (edge_volume(SHAPE, tilted(SHAPE, 1, 1, 14, 0.4)), "tilted"),
    "at the very end": (edge_volume(SHAPE, Plane((0.0, 1.0, 0.0), 1.5), rims=0), "very end"),
    "no plane": (wavy(SHAPE), "not a plane"),
    "a step of 20 voxels": (stepped(0.4, 20), "has a step"),
    "a step of 6 voxels": (stepped(0.4, 6), "has a step"),
    "a substrate at both ends": (layers((0, 30), (90, 120)), "as bright as the substrate in the resin"),
    "two plates": (layers((15, 40), (70, 95)), "may be the wrong one"),
    "a bright layer in the resin": (layers((0, 30), (60, 75)), "as bright as the substrate in the resin"),
    "a bright layer near the substrate": (layers((0, 30), (42, 54)), "has a step|as bright|as dark|no plane"),
    "resin on both sides": (layers((50, 80)), "no substrate|as dark as the resin"),
    "air taken for resin": (layers((0, 80)) + 1.2 * layers((0, 14), rims=False), "may be the wrong one|brighter"),
    "nothing but resin": (layers(), "no substrate|no plane"),
    "one slice": (edge_volume(SHAPE, FLAT)[:1], "needed|no substrate|no plane"),
    "slices that are no numbers": (np.full(SHAPE, np.nan), "no substrate"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_trusted_is_an_error_with_a_way_out(tmp_path, case):
    grey, problem = REFUSED[case]
    path = store_of(
        tmp_path, grey + np.random.default_rng(1).normal(0, 0.01, grey.shape) * (case != "nothing but one value")
    )
    with pytest.raises(StageError, match=problem) as caught:
        fit(tmp_path)
    assert str(path) in str(caught.value)
    assert "slice:" in str(caught.value)
    assert "plane:" in str(caught.value)
    assert not list(tmp_path.glob("*interface.json*"))


ONLY_BY_LOOKING = ["a step of 6 voxels", "a substrate at both ends", "two plates", "a bright layer in the resin"]


@pytest.mark.parametrize("case", [*ONLY_BY_LOOKING, "air taken for resin"])
def test_without_looking_for_other_candidates_a_wrong_plane_would_pass(tmp_path, case):
    """The mutant: a fit that is good, and of the wrong thing."""
    store = open_store(store_of(tmp_path, REFUSED[case][0]))
    side, outside = edges.block_side(store.shape), edges.constant_outside(store)
    doubts = [doubt for doubt in DOUBTS if doubt not in (has_a_step, may_be_another)]
    assert len(doubts) == len(DOUBTS) - 2
    _, record = find_interface(store, edges.block_means(store, side, outside), side, outside, doubts)
    assert record["inlier_fraction"] > 0.9
    assert record["warning"] == ""


def test_columns_on_no_edge_count_against_the_plane():
    a, b = (grid.ravel().astype(float) for grid in np.mgrid[:20, :20])
    edge = 5 + 0.1 * a - 0.2 * b
    edge[:100] = np.nan
    edge[100:140] += 7
    sheet = edges.fit_sheet(a, b, edge, 0.5)
    assert sheet.coefficients == pytest.approx((5, 0.1, -0.2))
    assert sheet.agrees.mean() == 0.65
    plain = np.linalg.lstsq(np.stack([np.ones(300), a[100:], b[100:]], axis=1), edge[100:], rcond=None)[0]
    assert abs(plain[0] - 5) > 0.5


def test_falling_edges_are_found_between_voxels():
    position = np.linspace(18, 22, 41)
    depth = np.arange(40)[None, :] + 0.5 - position[:, None]
    for rims in (0.0, 80.0):
        profile = 5 * (1 - erf(depth)) - rims * depth * np.exp(-(depth**2))
        assert edges.falling_edge(profile, 3) == pytest.approx(position, abs=0.25)
    assert np.isnan(edges.falling_edge(np.zeros((1, 40)), 3)).all()
    assert np.isnan(edges.falling_edge(np.arange(40.0)[None, :], 3)).all()


def test_a_slice_of_the_sheet(tmp_path):
    store_of(tmp_path, np.zeros((20, 8, 8)), (0.5, 1, 1))
    above, record = fit(tmp_path, "slice:4")
    assert above.depth_um(2.0, 0, 0) == 0
    assert above.depth_um(2.25, 3, 1) == 0.25
    assert (record["how"], record["residual_um"], record["n_columns"], record["warning"]) == ("slice:4", None, 0, "")
    below, _ = fit(tmp_path, "slice:4:below")
    assert below.depth_um(2.5, 0, 0) == 0
    assert below.depth_um(2.25, 3, 1) == 0.25


def test_a_plane_of_the_sheet(tmp_path):
    store_of(tmp_path, np.zeros((20, 8, 8)), (0.5, 1, 1))
    plane, record = fit(tmp_path, "plane:0,2,0,6")
    assert plane.normal == (0, 1, 0)
    assert plane.depth_um(1, 5, 1) == 2
    assert record["how"] == "plane:0,2,0,6"


@pytest.mark.parametrize("spec", ["slice:20", "slice:-1", "plane:0,1,0,8", "plane:-1,0,0,1", "perhaps"])
def test_planes_that_leave_no_resin_are_refused(tmp_path, spec):
    store_of(tmp_path, np.zeros((20, 8, 8)), (0.5, 1, 1))
    with pytest.raises(ConfigError, match="interface"):
        fit(tmp_path, spec)
    assert not list(tmp_path.glob("*interface.json*"))


@pytest.mark.parametrize("kind", ["A", "B", "C"])
def test_simulated_scans_with_their_alumina_line(tmp_path, kind):
    phantom = simulate(PhantomSettings.of_kind(kind, size=(64, 160, 96)))
    store_of(tmp_path, phantom.grey)
    found, _ = fit(tmp_path)
    distance, angle = error_um_and_deg(found, phantom.plane, phantom.grey.shape)
    assert distance < 0.25 * VOXEL  # though the fringes of the line's other side shift the edge by up to half a voxel
    assert angle < 0.15  # 0.05 um over this field


ACCURACY = [(kind, tilt_deg) for kind in ("A", "B", "C") for tilt_deg in (0.0, 0.5, 1.0, 2.0)]


@pytest.mark.parametrize(("kind", "tilt_deg"), ACCURACY)
@pytest.mark.parametrize("orientation", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_simulated_substrates_are_found_to_a_quarter_voxel(tmp_path, kind, tilt_deg, orientation):
    phantom = phantom_of(kind, tilt_deg)
    grey = np.moveaxis(phantom.grey, (0, 1, 2), orientation)
    normal = np.empty(3)
    normal[list(orientation)] = phantom.plane.normal
    true = Plane(tuple(normal), phantom.plane.offset_um)
    if tilt_deg == 1.0:  # from the other end
        axis = true.axis
        grey = np.flip(grey, axis)
        length = grey.shape[axis] * VOXEL
        normal[axis] *= -1
        true = Plane(tuple(normal), true.offset_um + normal[axis] * length)
    store_of(tmp_path, grey)
    found, record = fit(tmp_path)
    distance, angle = error_um_and_deg(found, true, grey.shape)
    assert distance < 0.25 * VOXEL
    assert angle < 0.05
    assert record["inlier_fraction"] > 0.99
    assert record["residual_um"] < 0.25 * VOXEL


@functools.cache
def phantom_of(kind, tilt_deg):
    return simulate(PhantomSettings.of_kind(kind, size=(128, 160, 128), seed=3, tilt_deg=tilt_deg))


@pytest.mark.parametrize("rim", [0, 1])
def test_half_of_the_rim_pair_would_be_beside_the_edge(rim):
    """The mutant: the bright or the dark rim alone lies more than a quarter voxel from the edge."""
    depth = np.arange(40) + 0.5 - 20.0
    profile = (5 * (1 - erf(depth)) - 80 * depth * np.exp(-(depth**2)))[None, :]
    bright, dark = profile.argmax() + 0.5, profile.argmin() + 0.5
    assert edges.falling_edge(profile, 3)[0] == pytest.approx(20, abs=0.05)
    assert abs((bright, dark)[rim] - 20) > 0.25


def test_the_map_shows_where_the_substrate_leaves_the_plane(tmp_path):
    shape = (96, 96, 96)
    plane = tilted(shape, 1, 1, 1.0, 0.25)
    grey = edge_volume(shape, plane)
    higher = Plane(plane.normal, plane.offset_um + 1.0)
    grey[:16, :, :16] = edge_volume(shape, higher)[:16, :, :16]
    store_of(tmp_path, grey)
    _, record = fit(tmp_path)
    deviation = np.array(record["residual_map_um"], float)
    assert deviation.shape == (12, 12)
    assert deviation[:2, :2] == pytest.approx(1.0, abs=0.1)
    assert np.abs(deviation[3:, 3:]).max() < 0.1


@pytest.mark.parametrize("distance_mm", [20.0, 100.0])
def test_fringes_do_not_move_the_edge_of_a_bare_substrate(tmp_path, distance_mm):
    """What is left on kind B is the coating, thinner than its fringes: those of its two sides overlap."""
    settings = PhantomSettings.of_kind("B", size=(64, 160, 96), tilt_deg=1.0, alumina_um=0.0, distance_mm=distance_mm)
    phantom = simulate(settings)
    store_of(tmp_path, phantom.grey)
    distance, angle = error_um_and_deg(fit(tmp_path)[0], phantom.plane, phantom.grey.shape)
    assert distance < 0.05 * VOXEL
    assert angle < 0.05
