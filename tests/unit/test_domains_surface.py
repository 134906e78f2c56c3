"""Surface, sphericity and shape of bodies whose measures are known (A9)."""

import math

import numpy as np
import pytest
from domains_scan import ellipsoid, measure, rotation_zx
from skimage.measure import marching_cubes, mesh_surface_area

from tomoprofile.domains import measures, sums
from tomoprofile.domains.axes import covariance
from tomoprofile.domains.surface import DIRECTIONS, direction_weights
from tomoprofile.domains.table import measure_array

# Relative error allowed on average over places of the centre, by radius in voxels.
ALLOWED = {2.0: 0.03, 3.0: 0.02, 4.0: 0.008, 5.0: 0.01, 10.0: 0.004}
PLACE = (0.13, 0.29, -0.41)  # of a centre: off the grid, where all voxels of a shell do not enter at once


def spheres(radius, places=None):
    """Return spheres at random places, more of small ones, whose number of voxels varies."""
    rng = np.random.default_rng(7)
    places = places or int(400 / radius**2) + 8
    return [ellipsoid((radius,) * 3, offset=rng.uniform(-0.5, 0.5, 3)) for _ in range(places)]


def assert_surface_of_spheres(surfaces, radius):
    error = np.mean(surfaces) / (4 * math.pi * radius**2) - 1
    assert abs(error) <= ALLOWED[radius], f"{100 * error:+.2f} %"


def assert_sphericity_of_spheres(sphericity):
    assert np.all(np.abs(np.asarray(sphericity) - 1) <= 0.05)


def of_mask(mask, edges=(1.0, 1.0, 1.0)):
    columns = measure_array(np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8"), edges)
    return {name: values[0] for name, values in columns.items()}


@pytest.mark.parametrize("radius", ALLOWED)
def test_surface_of_spheres(radius):
    found = [of_mask(mask) for mask in spheres(radius)]
    assert_surface_of_spheres([row["surface_um2"] for row in found], radius)
    if radius >= 3:  # 6 voxels diameter
        assert_sphericity_of_spheres([row["sphericity"] for row in found])
    for row in found:
        assert row["compactness"] == pytest.approx(row["sphericity"] ** 3, rel=1e-12)


@pytest.mark.parametrize("radius", [5.0, 10.0])
def test_mutant_marching_cubes_fails_both_gates(radius):
    masks = spheres(radius, places=4)
    surfaces = np.array([mesh_surface_area(*marching_cubes(mask.astype(float), 0.5)[:2]) for mask in masks])
    with pytest.raises(AssertionError):
        assert_surface_of_spheres(surfaces, radius)
    voxels = np.array([mask.sum() for mask in masks])
    with pytest.raises(AssertionError):
        assert_sphericity_of_spheres(np.cbrt(math.pi * (6 * voxels) ** 2) / surfaces)


def ellipsoid_surface(axes):
    """Thomsen's formula, within 1.1 % of the surface of any ellipsoid."""
    p = 1.6075
    a, b, c = (axis**p for axis in axes)
    return 4 * math.pi * ((a * b + a * c + b * c) / 3) ** (1 / p)


def test_mutant_with_equal_weights_fails_the_gate(monkeypatch):
    """A sphere would not tell: its shadow is the same from all directions."""
    elongated, axes = (1.5, 0.5, 0.5), (16.0, 5.0, 5.0)
    mask = ellipsoid(axes, elongated, rotation_zx(40), offset=PLACE)
    right = of_mask(mask, elongated)["surface_um2"]
    monkeypatch.setattr("tomoprofile.domains.surface.direction_weights", lambda _: np.full(13, 1 / 13))
    wrong = of_mask(mask, elongated)["surface_um2"]
    assert right == pytest.approx(ellipsoid_surface(axes), rel=0.03)
    assert wrong != pytest.approx(ellipsoid_surface(axes), rel=0.05)


@pytest.mark.parametrize("radius", [2.0, 3.0, 4.0])
def test_mutant_that_gives_short_chords_not_back_fails_the_gate(radius, monkeypatch):
    monkeypatch.setattr("tomoprofile.domains.surface.missed_shadow", lambda *_: 0.0)
    with pytest.raises(AssertionError):
        assert_surface_of_spheres([of_mask(mask)["surface_um2"] for mask in spheres(radius)], radius)


@pytest.mark.parametrize("axes", [(6.0, 3.0, 3.0), (6.0, 6.0, 3.0), (7.0, 5.0, 3.0)])
def test_surface_of_ellipsoids(axes):
    rng = np.random.default_rng(3)
    found = [
        of_mask(ellipsoid(axes, rotation=rotation_zx(rng.uniform(0, 90)), offset=rng.uniform(-0.5, 0.5, 3)))
        for _ in range(30)
    ]
    assert np.mean([row["surface_um2"] for row in found]) == pytest.approx(ellipsoid_surface(axes), rel=0.02)


def test_weights_of_cubic_voxels_are_the_published_ones():
    """Legland, Kieu, Devaux 2007: edges, face diagonals and body diagonals."""
    published = {1: 0.04577789120476, 2: 0.03698062787608, 3: 0.03519563978232}
    for step, weight in zip(DIRECTIONS, direction_weights((0.5, 0.5, 0.5)), strict=True):
        assert weight == pytest.approx(2 * published[np.abs(step).sum()], rel=1e-8)


@pytest.mark.parametrize("edges", [(1.0, 1.0, 1.0), (2.0, 0.5, 0.7), (0.2, 1.0, 3.0)])
def test_weights_are_shares_of_the_sphere(edges):
    weights = direction_weights(edges)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200_000, 3))
    steps = np.array(DIRECTIONS) * edges
    nearest = np.abs(points @ (steps / np.linalg.norm(steps, axis=1, keepdims=True)).T).argmax(axis=1)
    np.testing.assert_allclose(weights, np.bincount(nearest, minlength=13) / len(points), atol=0.004)


@pytest.mark.parametrize("edges", [(1.0, 0.5, 0.5), (0.5, 1.0, 0.75)])
def test_a_sphere_in_anisotropic_voxels(tmp_path, edges):
    row = measure(tmp_path, ellipsoid((6.0, 6.0, 6.0), edges, offset=PLACE), voxel_size_um=edges).iloc[0]
    assert row["equivalent_diameter_um"] == pytest.approx(12, rel=0.005)
    assert row["sphericity"] == pytest.approx(1, abs=0.02)
    assert row["axis_1_um"] == pytest.approx(6, rel=0.01)
    assert row["axis_3_um"] == pytest.approx(6, rel=0.01)


def test_the_face_of_the_cut_counts(tmp_path):
    """Half a ball at the border: half the sphere and the disc of the cut."""
    mask = ellipsoid((20.0, 20.0, 20.0), offset=(0.5, 0.2, -0.3))
    half = mask[mask.shape[0] // 2 :]
    row = measure(tmp_path, half).iloc[0]
    # Planes of voxels are 7 % low (13 directions), so the gate is wide; without the cut it would be 33 % less.
    assert row["surface_um2"] == pytest.approx(3 * math.pi * 400, rel=0.05)
    assert row["on_border"]


@pytest.mark.parametrize("tilt", [0.0, 30.0, 75.0, 90.0])
def test_axes_and_tilt_of_an_ellipsoid(tmp_path, tilt):
    row = measure(tmp_path, ellipsoid((12.0, 8.0, 5.0), rotation=rotation_zx(tilt), offset=PLACE)).iloc[0]
    assert [row[f"axis_{i}_um"] for i in (1, 2, 3)] == pytest.approx([12, 8, 5], abs=0.1)
    assert row["elongation"] == pytest.approx(8 / 12, rel=0.02)
    assert row["flatness"] == pytest.approx(5 / 8, rel=0.02)
    assert row["tilt_deg"] == pytest.approx(tilt, abs=0.7)


def test_a_cylinder(tmp_path):
    """Variance of a cylinder: L^2 / 12 along it, r^2 / 4 across."""
    z, y, x = np.ogrid[-20:20, -9:10, -9:10]
    mask = np.pad((y**2 + x**2 <= 49) & (z > -100), 2)
    row = measure(tmp_path, mask).iloc[0]
    assert row["axis_1_um"] == pytest.approx(math.sqrt(5 / 12 * (40**2 - 1)), rel=1e-9)
    assert row["axis_2_um"] == pytest.approx(math.sqrt(5 / 4) * 7, rel=0.02)
    assert row["surface_um2"] == pytest.approx(2 * math.pi * 7 * 40 + 2 * math.pi * 49, rel=0.05)
    assert row["tilt_deg"] == pytest.approx(0, abs=1e-6)


def test_what_is_one_voxel_thick_is_as_thick_as_a_voxel():
    """The centres alone would say that it has no thickness; a brick of n voxels has (n^2 - 1) edge^2 / 12."""
    edges = (1.0, 0.5, 0.25)
    for size in ((1, 1, 1), (1, 5, 17), (3, 5, 17)):
        row = of_mask(np.pad(np.ones(size, bool), 1), edges)
        spreads = [max(n * n - 1, 1) * e * e / 12 for n, e in zip(size, edges, strict=True)]
        expected = sorted((math.sqrt(5 * spread) for spread in spreads), reverse=True)
        assert [row[f"axis_{i}_um"] for i in (1, 2, 3)] == pytest.approx(expected, rel=1e-12)


def test_a_thin_rod_has_no_preferred_side():
    """Along a diagonal two axes are raised; which directions they take by accident must not matter."""
    mask = np.zeros((9, 9, 9), bool)
    mask[range(1, 8), range(1, 8), range(1, 8)] = True
    row = of_mask(mask, (1.0, 0.5, 0.25))
    turned = of_mask(mask[::-1, ::-1], (1.0, 0.5, 0.25))
    for name in ("axis_1_um", "axis_2_um", "axis_3_um", "surface_um2"):
        assert row[name] == pytest.approx(turned[name], rel=1e-9)


@pytest.mark.parametrize("radius", [2.0, 3.0, 5.0])
def test_axes_of_small_ellipsoids(radius):
    """Axes in the ratio 1:2:3 and the volume of a sphere of that radius; the mutant adds edge^2 / 12 everywhere."""
    axes, rng = np.array([3.0, 2.0, 1.0]) * radius / 6 ** (1 / 3), np.random.default_rng(2)
    masks = [
        ellipsoid(axes, rotation=rotation_zx(rng.uniform(0, 90)), offset=rng.uniform(-0.5, 0.5, 3)) for _ in range(60)
    ]
    found = [of_mask(mask) for mask in masks]
    for i, axis in enumerate(axes, start=1):
        assert np.mean([row[f"axis_{i}_um"] for row in found]) == pytest.approx(axis, rel=0.03)
    added = np.mean([math.sqrt(row["axis_3_um"] ** 2 + 5 / 12) for row in found])
    assert added != pytest.approx(axes[2], rel=0.02)


def giant(side: int, corner: int):
    """Return the sums of a cube of voxels, in closed form and whole numbers of any size."""
    volume = side**3
    one = sum(range(corner, corner + side))
    two = sum(i * i for i in range(corner, corner + side))
    cube = sums.Sums.empty(1, "uint16", True)
    cube.moments[0] = [volume, *[one * side**2] * 3, *[two * side**2] * 3, *[one * one * side] * 3]
    cube.box[0] = [corner] * 3 + [corner + side] * 3
    cube.grey[0, 0] = -volume * 2**15
    cube.grey[:, 1:].view(np.uint64)[0, 0] = volume * 2**30  # all voxels 0, the farthest from the reference
    cube.grey_range[0] = -(2**15)
    return cube


def test_sums_of_a_giant_fit():
    """2^33 voxels at indices up to 4096: the sums reach 2^57, grey squares 2^63, and nothing is lost."""
    cube = giant(2048, 2048)
    cube.refuse_overflow((4096, 4096, 4096), "objects")
    expected = (2048**2 - 1) / 12
    np.testing.assert_allclose(covariance(cube, (1, 1, 1)), np.eye(3)[None] * expected, atol=1e-6)
    values = measures.values(cube, measures.GreyScale(), sums.grey_reference("uint16", 0))
    assert (values["grey_mean"][0], values["grey_sd"][0], values["grey_min"][0]) == (0, 0, 0)
    signed = cube.grey[0, 1] / cube.voxels[0]
    assert signed < 0, "the mutant that reads squares as signed numbers is wrong here"


def test_sums_beyond_64_bits_are_refused():
    cube = giant(1024, 0)
    cube.refuse_overflow((1024, 1024, 1024), "objects")
    with pytest.raises(sums.StageError, match="64 bits"):
        cube.refuse_overflow((100_000, 1024, 1024), "objects")
    cube.moments[0, 0] = 2**34
    with pytest.raises(sums.StageError, match="crop the substrate"):
        cube.refuse_overflow((1024, 1024, 1024), "objects")


def test_mutant_without_shift_loses_the_axes_of_a_small_domain_far_away():
    cube = giant(2, 60_000_000)
    exact = covariance(cube, (1, 1, 1))[0, 0, 0]
    assert exact == 3 / 12
    naive = cube.moments[0, 4] / 8 - (cube.moments[0, 1] / 8) ** 2
    assert naive != pytest.approx(3 / 12, abs=0.01)
