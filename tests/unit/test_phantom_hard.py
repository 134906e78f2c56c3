"""Kind C: irregular and touching domains in a resin with structure of its own, and bad reconstruction. A and B stay."""

import dataclasses
import hashlib
import math

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from tomoprofile.cli import main
from tomoprofile.errors import ConfigError, StageError
from tomoprofile.phantom import scan
from tomoprofile.phantom.annotator import annotate
from tomoprofile.phantom.artefacts import add_cupping, add_streaks
from tomoprofile.phantom.geometry import DOMAIN, FILLER, VOID, Spheres, target_volume_ratio
from tomoprofile.phantom.imaging import add_rings
from tomoprofile.phantom.materials import optical_constants, wavelength_um
from tomoprofile.phantom.matrix import matrix_texture
from tomoprofile.phantom.painting import paint_ellipsoids
from tomoprofile.phantom.settings import PhantomSettings
from tomoprofile.phantom.shapes import Shapes, draw_ellipsoids, grow_together, reach_um, united
from tomoprofile.phantom.truth import object_table, profile_table
from tomoprofile.volume.plane import Plane

SMALL = (48, 96, 96)
EVERYWHERE = np.ones((3, 3, 3))
FAR_PLANE = Plane((0.0, 1.0, 0.0), -100.0)


@pytest.fixture(scope="module")
def hard():
    return scan.simulate(PhantomSettings.of_kind("C", size=(128, 128, 128), seed=1))


@pytest.fixture(scope="module")
def deep():
    return scan.simulate(PhantomSettings.of_kind("C", size=(112, 256, 112), seed=3))


@pytest.fixture(scope="module")
def layout():
    settings = PhantomSettings.of_kind("C", size=(128, 200, 128), seed=2)
    plane, spheres, grid = scan.lay_out(settings, np.random.default_rng(2))
    return settings, plane, spheres, grid


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


# Taken before kind C existed. Grey values go through a Fourier transform whose last bits depend on the processor, so
# they are held by their sums with four series of random weights: one voxel that changed by 0.1 moves these by 0.1.
BEFORE = {
    "A": ("3955ee3b69dffbf1", "9be2d63c5f9ae2d5", (15566.6153, 20600.2695, -25253.1751, -32488.2712)),
    "B": ("375e43e33a4f4b7e", "cd0fda3f5bc56718", (-35514.8509, -12995.1232, -21258.2504, -283.5221)),
}


def weighted(grey):
    return np.random.default_rng(0).standard_normal((4, grey.size)) @ grey.ravel().astype(float)


@pytest.mark.parametrize("kind", ["A", "B"])
def test_kinds_a_and_b_are_what_they_were(kind):
    phantom = scan.simulate(PhantomSettings.of_kind(kind, size=SMALL, seed=7))
    labels, occupancy, sums = BEFORE[kind]
    assert digest(phantom.labels) == labels
    assert digest(phantom.occupancy) == occupancy
    assert np.allclose(weighted(phantom.grey), sums, rtol=0, atol=0.02)
    touched = phantom.grey.copy()
    touched[20, 50, 50] += 0.2
    assert not np.allclose(weighted(touched), sums, rtol=0, atol=0.02)
    assert digest(scan.simulate(PhantomSettings.of_kind(kind, size=SMALL, seed=7, elongation=1.01)).labels) != labels


def painted(matrix, edge=24):
    """Share and labels of one ellipsoid in the middle of a cube of voxels of 1 um."""
    share, labels = np.zeros((edge,) * 3, np.float32), np.zeros((edge,) * 3, np.uint8)
    shapes, which = Shapes(matrix[None], np.array([-1])), np.array([0])
    centre = np.full((1, 3), edge / 2 + 0.2)
    tallies = paint_ellipsoids(share, np.zeros(3), 1.0, centre, shapes, which, labels, (0, 0, 0), DOMAIN)
    return share, labels, tallies[0]


def test_ellipsoids_have_the_volumes_of_their_spheres():
    diameters = np.random.default_rng(0).uniform(6, 12, 60)
    matrices = draw_ellipsoids(diameters, 1.4, np.random.default_rng(1))
    volumes = math.pi / 6 * diameters**3
    assert np.allclose(4 / 3 * math.pi * np.abs(np.linalg.det(matrices)), volumes, rtol=1e-9)
    labelled = []
    for matrix, volume in zip(matrices, volumes, strict=True):
        share, labels, tally = painted(matrix)
        assert share.sum() == pytest.approx(volume, rel=0.01)
        assert tally[0] == (labels == DOMAIN).sum()
        labelled.append(tally[0] / volume)
    assert np.mean(labelled) == pytest.approx(1, rel=0.005)
    stretched = matrices[0] @ np.diag([1.02, 1, 1])
    assert painted(stretched)[0].sum() != pytest.approx(volumes[0], rel=0.01)


def test_painted_ellipsoids_are_where_their_matrices_say():
    matrix = draw_ellipsoids(np.array([12.0]), 1.4, np.random.default_rng(3))[0]
    share, labels, _ = painted(matrix)
    offsets = np.stack(np.indices(labels.shape), axis=-1) + 0.5 - 12.2
    unit = np.linalg.solve(matrix, offsets.reshape(-1, 3).T)
    assert np.array_equal(labels == DOMAIN, ((unit**2).sum(axis=0) < 1).reshape(labels.shape))
    moments = np.einsum("zyx,zyxi,zyxj->ij", share, offsets, offsets) / share.sum()
    assert np.allclose(moments, matrix @ matrix.T / 5 + np.eye(3) / 12, atol=0.15)  # an ellipsoid's, and a voxel's
    assert not np.allclose(moments, matrix.T @ matrix / 5 + np.eye(3) / 12, atol=0.5)  # a matrix the wrong way round


def test_shapes_are_irregular_as_wanted_and_lie_in_all_directions():
    matrices = draw_ellipsoids(np.full(4000, 2.0), 1.4, np.random.default_rng(0))
    axes = np.sort(np.linalg.norm(matrices, axis=1), axis=1)
    assert axes[:, 2].max() <= 1.4
    assert axes[:, 2].mean() > 1.15
    assert np.allclose(reach_um(matrices), axes[:, 2])

    def towards(matrices):
        """Mean square of the components of the longest axes' directions."""
        lengths = np.linalg.norm(matrices, axis=1)
        longest = matrices[np.arange(len(matrices)), :, lengths.argmax(axis=1)]
        return ((longest / lengths.max(axis=1, keepdims=True)) ** 2).mean(axis=0)

    assert np.allclose(towards(matrices), 1 / 3, atol=0.02)
    flattened = matrices * np.array([0.8, 1, 1])[:, None]  # a preferred direction would be seen
    assert not np.allclose(towards(flattened), 1 / 3, atol=0.02)


def rows_of(phantom):
    return phantom.objects[phantom.objects["class"] == DOMAIN]


@pytest.mark.parametrize("which", ["hard", "deep"])
def test_objects_are_the_connected_regions_of_the_labels(which, request):
    phantom = request.getfixturevalue(which)
    regions, number = ndimage.label(phantom.labels == DOMAIN, structure=EVERYWHERE)
    rows, edge = rows_of(phantom), phantom.settings.voxel_um
    assert number == len(rows)
    ids = np.arange(1, number + 1)
    voxels = np.bincount(regions.ravel())[1:]
    centroids = (np.array(ndimage.center_of_mass(regions > 0, regions, ids)) + 0.5) * edge
    distance, match = cKDTree(centroids).query(rows[[f"centroid_{axis}_um" for axis in "zyx"]])
    assert distance.max() < 1e-9
    assert sorted(match) == list(range(number))
    assert np.array_equal(voxels[match], rows.voxels)
    boxes = ndimage.find_objects(regions)
    cut = [any(p.start == 0 or p.stop == n for p, n in zip(box, regions.shape, strict=True)) for box in boxes]
    assert np.array_equal(np.array(cut)[match], rows.on_border)
    voids = phantom.objects[phantom.objects["class"] == VOID]
    assert ndimage.label(phantom.labels == VOID, structure=EVERYWHERE)[1] == len(voids)


def test_pairs_counted_as_two_would_be_seen(layout):
    """The mutant: object for object as they were placed."""
    settings, plane, spheres, grid = layout
    _, labels, merged, _ = scan.render(settings, plane, spheres, grid)
    kind, shapes = spheres.classes == DOMAIN, spheres.shapes
    tallies = np.zeros((len(spheres), 10), np.int64)
    share, fresh = np.zeros(grid.shape, np.float32), np.zeros(settings.size, np.uint8)
    where = (fresh, grid.corner, DOMAIN)
    edge, mine = settings.voxel_um, np.flatnonzero(kind)
    tallies[kind] = paint_ellipsoids(share, grid.origin_um, edge, spheres.centres_um, shapes, mine, *where)
    apart = object_table(spheres, tallies, settings.size, edge, plane)
    number = ndimage.label(labels == DOMAIN, structure=EVERYWHERE)[1]
    assert (merged["class"] == DOMAIN).sum() == number
    assert len(apart) > 1.05 * number
    assert apart.voxels.sum() == (labels == DOMAIN).sum()  # the neck belongs to one of them


def test_a_fifth_of_the_small_domains_are_in_pairs_and_all_else_keeps_its_distance(layout):
    settings, _, spheres, _ = layout
    shapes, small = spheres.shapes, (spheres.classes == DOMAIN) & ~spheres.large
    paired = shapes.partners >= 0
    assert paired[small].mean() == pytest.approx(0.2, abs=0.01)
    assert not paired[~small].any()
    assert np.array_equal(shapes.partners[shapes.partners[paired]], np.flatnonzero(paired))
    body = spheres.classes != FILLER
    reaches = reach_um(shapes.matrices_um)
    distances = np.linalg.norm(spheres.centres_um[body][:, None] - spheres.centres_um[body][None], axis=2)
    gaps = distances - reaches[body][:, None] - reaches[body][None]
    np.fill_diagonal(gaps, np.inf)
    one = np.flatnonzero(paired)
    assert (gaps[one, shapes.partners[one]] < 0.5).all()
    gaps[one, shapes.partners[one]] = np.inf
    assert gaps.min() >= settings.gap_um - 1e-9
    # Without being grown together, they would be as far apart as the others.
    assert distances[one, shapes.partners[one]].max() < 2 * reaches[one].max()


def two_spheres(distance, z_um):
    """Two spheres of 3 um beside each other along x, in a scan of 12 um."""
    centres = np.array([[z_um, 6, 6 - distance / 2], [z_um, 6, 6 + distance / 2]])
    shapes = Shapes(np.repeat(1.5 * np.eye(3)[None], 2, axis=0), np.array([1, 0]))
    return Spheres(centres, np.full(2, 3.0), np.full(2, DOMAIN, np.uint8), np.zeros(2, bool), shapes)


def rendered(spheres):
    settings = PhantomSettings.of_kind("C", size=(24, 24, 24), substrate_um=1, large_per_mm2=0)
    grid = scan.Grid.around(settings, 8)
    return scan.render(settings, FAR_PLANE, spheres, grid)


def test_a_pair_is_one_object_with_the_volume_of_both_and_two_where_a_face_cuts_its_neck_off():
    for z_um, expected in ((6.0, 1), (-1.0, 2)):
        occupancy, labels, objects, _ = rendered(two_spheres(2.7, z_um))
        assert ndimage.label(labels == DOMAIN, structure=EVERYWHERE)[1] == len(objects) == expected
        assert objects.on_border.all() == (z_um < 0)
        assert objects.voxels.sum() == (labels == DOMAIN).sum()
        assert occupancy.max() <= 1 + 1e-6
        if expected == 1:
            whole = objects.iloc[0]
            lens = math.pi * (6 + 2.7) * (3 - 2.7) ** 2 / 12
            volume = 2 * math.pi / 6 * 27 - lens
            assert math.pi / 6 * whole.diameter_um**3 == pytest.approx(volume, rel=0.003)
            assert whole.volume_um3 == pytest.approx(volume, rel=0.05)
            assert occupancy.sum() / 8 == pytest.approx(volume, rel=0.01)
            assert [whole[f"centre_{axis}_um"] for axis in "zyx"] == pytest.approx([6, 6, 6], abs=0.02)


def test_a_neck_painted_twice_would_be_too_full():
    """The mutant: two that overlap and do not know of each other."""
    pair = two_spheres(2.0, 6.0)
    alone = dataclasses.replace(pair.shapes, partners=np.full(2, -1))
    assert rendered(pair)[0].max() <= 1 + 1e-6
    assert rendered(dataclasses.replace(pair, shapes=alone))[0].max() > 1.5


def test_what_two_share_counts_once():
    pair = two_spheres(2.0, 6.0)
    centre, diameter = united(pair.shapes, pair.centres_um, pair.diameters_um, 0, 1)
    lens = math.pi * (6 + 2.0) * (3 - 2.0) ** 2 / 12
    assert diameter**3 == pytest.approx(2 * 27 - lens * 6 / math.pi, rel=0.005)
    assert diameter**3 < 0.95 * 2 * 27  # both volumes added up
    assert centre == pytest.approx([6, 6, 6], abs=0.03)


def test_pairs_overlap_a_little_about_their_centre_of_mass():
    rng = np.random.default_rng(0)
    first, second = (draw_ellipsoids(rng.uniform(2, 5, 300), 1.4, rng) for _ in range(2))
    centres, reaches = grow_together(first, second, rng)
    shapes = Shapes(np.concatenate([first, second]), np.full(600, -1))
    masses = np.abs([np.linalg.det(first), np.linalg.det(second)])
    assert np.allclose(masses[0][:, None] * centres[:, 0], -masses[1][:, None] * centres[:, 1])
    for index in range(300):
        line = centres[index, 0] + np.linspace(0, 1, 400)[:, None] * (centres[index, 1] - centres[index, 0])
        held = [shapes.holds(index + 300 * one, line - centres[index, one]) for one in (0, 1)]
        assert (held[0] | held[1]).all()
        assert 0 < (held[0] & held[1]).mean() < 0.15
    assert (np.linalg.norm(centres, axis=2).max(axis=1) < reaches).all()


def test_domains_follow_the_depth_of_kind_a(deep):
    profile = profile_table(deep.labels, deep.objects, deep.settings.voxel_um, deep.plane)

    def ratio(low, high):
        bins = profile[(profile.depth_lo_um >= low) & (profile.depth_hi_um <= high)]
        return bins.domain_um3.sum() / bins.resin_um3.sum(), target_volume_ratio(bins.depth_um).mean()

    for low, high in ((80, 115), (45, 75), (36, 48)):
        assert ratio(low, high)[0] == pytest.approx(ratio(low, high)[1], abs=0.007)
    assert ratio(27, 30)[0] < 0.4 * ratio(36, 48)[0]
    rows = rows_of(deep)
    assert rows[~rows.large & ~rows.on_border].depth_um.min() > 25
    large = rows[rows.large]
    assert (~large.on_border).any()
    assert large[~large.on_border].equivalent_diameter_um.min() > 10
    assert large.centre_depth_um.max() < 27
    assert (large.diameter_um <= 15).all()  # one that had merged with another would be wider


def test_the_analytic_diameter_is_that_of_the_voxels(deep):
    whole = rows_of(deep)[~rows_of(deep).on_border]
    share = whole.equivalent_diameter_um / whole.diameter_um
    assert share.mean() == pytest.approx(1, abs=0.003)
    assert share.std() < 0.02


def test_texture_has_its_amplitude_and_its_length():
    length, ratio = 5.0, 0.02
    field = matrix_texture((96, 96, 96), ratio, length, np.random.default_rng(0))

    def correlation(field, voxels):
        return np.mean([(field * np.roll(field, voxels, axis)).mean() for axis in range(3)]) / field.var()

    assert field.std() == pytest.approx(ratio, rel=1e-4)
    assert abs(field.mean()) < 1e-6
    assert correlation(field, 5) == pytest.approx(1 / math.e, abs=0.03)
    assert correlation(field, 10) == pytest.approx(math.exp(-4), abs=0.03)
    wrong = matrix_texture((96, 96, 96), ratio, 1.25 * length, np.random.default_rng(0))
    assert correlation(wrong, 5) != pytest.approx(1 / math.e, abs=0.03)


@pytest.mark.parametrize("distance_mm", [0.0, 20.0])
def test_texture_acts_on_attenuation_and_refraction_of_the_matrix(distance_mm):
    """One wave of density gives one wave of grey, whose height is known."""
    settings = PhantomSettings.of_kind("C", size=SMALL, large_per_mm2=0, distance_mm=distance_mm, psf_um=0.0)
    grid = scan.Grid.around(settings, 8)
    waves, ratio = 12, 0.05
    x = np.arange(grid.shape[2])
    texture = np.broadcast_to(ratio * np.cos(2 * np.pi * waves * x / grid.shape[2]), grid.shape).astype(np.float32)
    nothing = Spheres(np.empty((0, 3)), np.empty(0), np.empty(0, np.uint8), np.empty(0, bool))
    grey = scan.render(settings, FAR_PLANE, nothing, grid, texture.copy())[3]
    epoxy = optical_constants("epoxy", settings.energy_kev, settings.density_g_cm3)
    wavelength = wavelength_um(settings.energy_kev)
    q = waves / (grid.shape[2] * settings.voxel_um)
    chi = math.pi * wavelength * distance_mm * 1e3 * q**2
    refraction = 4 * math.pi / wavelength * 1e4 * epoxy.delta * math.sin(chi)
    height = ratio * (epoxy.mu_per_cm * math.cos(chi) + refraction)
    expected = epoxy.mu_per_cm + height * np.cos(2 * np.pi * waves * x / grid.shape[2])[grid.window[2]]
    assert np.allclose(grey, expected, atol=0.01 * height)
    if distance_mm:
        assert refraction > 10 * epoxy.mu_per_cm  # left out, it would be missed


def test_texture_is_of_the_matrix_alone():
    settings = PhantomSettings.of_kind("C", size=(32, 32, 32), substrate_um=1, large_per_mm2=0, distance_mm=0, psf_um=0)
    grid = scan.Grid.around(settings, 4)
    one = Spheres(np.full((1, 3), 8.0), np.array([10.0]), np.array([DOMAIN], np.uint8), np.zeros(1, bool))
    texture = np.full(grid.shape, 0.2, np.float32)
    occupancy, _, _, grey = scan.render(settings, FAR_PLANE, one, grid, texture)
    water, epoxy = optical_constants("water", 20), optical_constants("epoxy", 20, 1.05)
    assert np.allclose(grey[occupancy == 1], water.mu_per_cm, atol=1e-4)
    assert np.allclose(grey[occupancy == 0], 1.2 * epoxy.mu_per_cm, atol=1e-4)


def test_fillers_have_their_share_and_overlap_nothing(layout):
    settings, plane, spheres, grid = layout
    filler = spheres.classes == FILLER
    frame = grid.frame(settings.voxel_um)
    points = np.random.default_rng(0).uniform(frame.low_um, frame.high_um, (100_000, 3))
    resin = (plane.depth_um(*points.T) > 0).mean() * np.prod(frame.high_um - frame.low_um)
    radii, centres = spheres.diameters_um / 2, spheres.centres_um
    assert (math.pi / 6 * spheres.diameters_um[filler] ** 3).sum() / resin == pytest.approx(0.001, rel=0.05)
    assert (plane.depth_um(*centres[filler].T) >= radii[filler]).all()
    assert 0.5 <= 2 * radii[filler].min() < 2 * radii[filler].max() <= 1.5

    def overlaps(at):
        pairs = cKDTree(at).query_pairs(1.5, output_type="ndarray")
        near = (np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=1) < radii[filler][pairs].sum(axis=1)).sum()
        reaches = reach_um(spheres.shapes.matrices_um)
        for centre, reach in zip(centres[~filler], reaches[~filler], strict=True):
            near += (np.linalg.norm(at - centre, axis=1) < radii[filler] + reach).sum()
        return near

    assert overlaps(centres[filler]) == 0
    thrown = centres[filler].copy()
    np.random.default_rng(0).shuffle(thrown[:, 0])
    assert overlaps(thrown) > 0


def test_fillers_are_seen_and_are_no_domains():
    settings = PhantomSettings.of_kind("C", size=SMALL, seed=1)
    filled = scan.simulate(settings)
    plain = scan.simulate(dataclasses.replace(settings, filler_ratio=0))
    assert np.array_equal(filled.labels, plain.labels)
    assert np.array_equal(filled.occupancy, plain.occupancy)
    assert filled.objects.equals(plain.objects)
    assert (filled.grey - plain.grey).max() > 20
    shown = np.abs(filled.grey - plain.grey) > 20
    assert (filled.labels[shown] != DOMAIN).mean() > 0.99


def test_silica_refracts_as_its_electrons_say():
    silica = optical_constants("silica", 20)
    assert silica.delta == pytest.approx(1.14e-6, rel=0.01)
    assert silica.mu_per_cm == pytest.approx(5.6, rel=0.01)
    assert silica.delta > 1.5 * optical_constants("epoxy", 20).delta


def test_too_many_fillers_are_refused(monkeypatch):
    monkeypatch.setattr("tomoprofile.phantom.matrix._ROUNDS", 1)
    with pytest.raises(StageError, match="filler_ratio"):
        scan.simulate(PhantomSettings.of_kind("C", size=SMALL, filler_ratio=0.02))


def test_cupping_is_a_parabola_about_the_axis():
    grey = np.ones((3, 65, 65), np.float32)
    add_cupping(grey, 4.0)
    trend = grey - 1
    assert trend[1, 32, 32] == 0
    assert trend[1, 0, 0] == pytest.approx(4)
    assert trend[1, 32, 48] == pytest.approx(4 * 16**2 / (2 * 32**2))
    assert trend[1, 32, 48] != pytest.approx(4 * 16 / (math.sqrt(2) * 32))  # a cone would be
    assert np.array_equal(trend, np.rot90(trend, axes=(1, 2)))
    assert np.array_equal(trend[0], trend[2])


def direction_and_scale(image):
    """Return how far the power of an image is along one direction, 0 to 1, and its share at low frequencies."""
    qy, qx = np.meshgrid(fft.fftfreq(len(image)), fft.fftfreq(len(image)), indexing="ij")
    power = np.abs(fft.fft2(image - image.mean()) * 1.0) ** 2
    angle = np.arctan2(qy, qx)
    return abs((power * np.exp(2j * angle)).sum()) / power.sum(), power[np.hypot(qy, qx) < 0.15].sum() / power.sum()


def test_streaks_are_straight_low_and_as_high_as_wanted():
    grey = np.zeros((120, 96, 96), np.float32)
    add_streaks(grey, 3.0, np.random.default_rng(1))
    assert 0.9 * 3 < np.abs(grey).max() < 3 * 3  # some cross
    assert grey.max() > 1
    assert grey.min() < -1
    measured = np.array([direction_and_scale(image) for image in grey[10::20]])
    assert measured[:, 0].mean() > 0.5
    assert measured[:, 1].mean() > 0.95
    assert np.corrcoef(grey[60].ravel(), grey[62].ravel())[0, 1] > 0.8
    rings = np.zeros_like(grey)
    add_rings(rings, 3.0, np.random.default_rng(1))
    wrong = np.array([direction_and_scale(image) for image in rings[10::20]])
    assert wrong[:, 0].mean() < 0.3
    assert wrong[:, 1].mean() < 0.8


def test_artefacts_of_kind_c_have_their_heights():
    settings = PhantomSettings.of_kind("C", size=SMALL, seed=1)
    grey = scan.simulate(settings).grey

    def without(**changes):
        return grey - scan.simulate(dataclasses.replace(settings, **changes)).grey

    assert without(rings_per_cm=0).std() == pytest.approx(2, rel=0.2)
    assert np.ptp(without(cupping_per_cm=0)) == pytest.approx(4, rel=0.01)
    assert 2 < np.abs(without(streaks_per_cm=0)).max() < 9
    assert np.abs(without(streaks_per_cm=3)).max() == 0
    assert without(noise_per_cm=0).std() == pytest.approx(3, rel=0.02)


def test_kind_c_is_what_its_brief_says(hard):
    settings = hard.settings
    assert (settings.kind, settings.density_g_cm3, settings.distance_mm) == ("C", 1.05, 20)
    assert (settings.noise_per_cm, settings.rings_per_cm, settings.void_ratio) == (3, 2, 0.002)
    assert set(np.unique(hard.labels)) == {0, 1, 2, 3}
    assert hard.occupancy.max() <= 1 + 1e-6
    assert hard.occupancy.mean() == pytest.approx((hard.labels == DOMAIN).mean(), rel=0.01)
    again = scan.simulate(settings)
    assert np.array_equal(hard.grey, again.grey)
    assert hard.objects.equals(again.objects)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("elongation", 1.5),
        ("elongation", 0.9),
        ("touching_ratio", 0.6),
        ("texture_ratio", -0.1),
        ("texture_um", 0.1),
        ("filler_ratio", 0.1),
        ("cupping_per_cm", -1),
        ("streaks_per_cm", -1),
    ],
)
def test_settings_have_limits(name, value):
    with pytest.raises(ConfigError, match=f"phantom: {name}"):
        PhantomSettings.of_kind("C", **{name: value})


def test_a_scan_too_narrow_for_a_long_domain_is_refused():
    PhantomSettings.of_kind("A", size=(40, 96, 40))
    with pytest.raises(ConfigError, match="23 um"):
        PhantomSettings.of_kind("C", size=(40, 96, 40))


def test_command_simulates_and_annotates_kind_c(tmp_path):
    assert main(["phantom", str(tmp_path), "--kind", "C", "--size", "48", "96", "96"]) == 0
    truth = tifffile.imread(tmp_path / "truth" / "labels.tif")
    busy = np.argsort((truth == DOMAIN).sum(axis=(1, 2)))[-2:]
    (tmp_path / "slices.tsv").write_text(f"slice\tfile\n{busy[0]}\ta.tif\n{busy[1]}\tb.tif\n")
    masks = annotate(tmp_path / "truth", tmp_path / "slices.tsv", tmp_path / "labels")
    for index, path in zip(busy, masks, strict=True):
        mask = tifffile.imread(path)
        assert np.array_equal(mask, truth[index] == DOMAIN)
        assert mask.any()
    objects = pd.read_parquet(tmp_path / "truth" / "objects.parquet")
    assert set(objects["class"]) == {DOMAIN, VOID}
