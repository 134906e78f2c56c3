"""Where domains lie in the simulated scan, and what is recorded of them."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from tomoprofile.errors import ConfigError, StageError
from tomoprofile.phantom import scan
from tomoprofile.phantom.geometry import DOMAIN, VOID, target_volume_ratio
from tomoprofile.phantom.settings import PhantomSettings
from tomoprofile.phantom.truth import SUBSTRATE, profile_table


@pytest.fixture(scope="module")
def layout():
    """Plane and spheres of a scan large enough for statistics."""
    settings = PhantomSettings.of_kind("A", size=(256, 300, 256), seed=4)
    plane, spheres, _ = scan.lay_out(settings, np.random.default_rng(4))
    return settings, plane, spheres


@pytest.fixture(scope="module")
def deep():
    """A simulated scan that reaches the plateau."""
    return scan.simulate(PhantomSettings.of_kind("A", size=(160, 288, 160), seed=2))


@pytest.fixture(scope="module")
def profile(deep):
    return profile_table(deep.labels, deep.objects, deep.settings.voxel_um, deep.plane)


@pytest.fixture(scope="module")
def voided():
    return scan.simulate(PhantomSettings.of_kind("B", size=(64, 160, 96), seed=1))


def smallest_gap(centres, diameters):
    gaps = cdist(centres, centres) - (diameters[:, None] + diameters[None, :]) / 2
    np.fill_diagonal(gaps, np.inf)
    return gaps.min()


def test_objects_keep_their_distance(layout):
    _, plane, spheres = layout
    assert smallest_gap(spheres.centres_um, spheres.diameters_um) >= 1 - 1e-9
    depth = plane.depth_um(*spheres.centres_um.T)
    assert (depth - spheres.diameters_um / 2).min() >= 1 - 1e-9


def test_without_sequential_addition_objects_would_overlap(layout):
    _, _, spheres = layout
    thrown = spheres.centres_um.copy()
    np.random.default_rng(0).shuffle(thrown[:, 0])
    assert smallest_gap(thrown, spheres.diameters_um) < 0


def test_small_domains_have_the_sizes_of_p25(layout):
    _, plane, spheres = layout
    diameters = spheres.diameters_um[~spheres.large]
    assert len(diameters) > 4000
    assert diameters.mean() == pytest.approx(3.0, rel=0.015)
    assert diameters.std() / diameters.mean() == pytest.approx(0.25, abs=0.01)
    logs = np.log(diameters)
    assert abs(((logs - logs.mean()) ** 3).mean() / logs.std() ** 3) < 0.15  # lognormal: symmetric in the logarithm
    near = plane.depth_um(*spheres.centres_um.T)[~spheres.large] < 80
    assert diameters[near].mean() == pytest.approx(diameters[~near].mean(), abs=0.06)  # P26: sizes do not change


def test_large_domains_lie_near_the_substrate_and_nothing_else_does(layout):
    settings, plane, spheres = layout
    depth, radius = plane.depth_um(*spheres.centres_um.T), spheres.diameters_um / 2
    large = spheres.large
    assert 4 <= large.sum() <= 10
    assert (2 * radius[large]).min() >= 10.5
    assert (2 * radius[large]).max() <= 15
    assert (depth + radius)[large].max() <= 27
    assert depth[~large].min() >= 27
    inside = (spheres.centres_um > radius[:, None]) & (
        spheres.centres_um < np.array(settings.size) * settings.voxel_um - radius[:, None]
    )
    assert (inside.all(axis=1) & large).any()


def test_plane_is_tilted_about_both_lateral_axes(layout):
    settings, plane, _ = layout
    assert plane.tilt_deg == pytest.approx(settings.tilt_deg, abs=1e-9)
    nz, ny, nx = plane.normal
    assert ny > 0.99
    assert abs(nz) > 1e-3
    assert abs(nx) > 1e-3
    assert nz != nx
    middle = [n * settings.voxel_um / 2 for n in settings.size]
    assert plane.depth_um(middle[0], settings.substrate_um, middle[2]) == pytest.approx(0, abs=1e-9)


def ratio_between(profile, low, high):
    bins = profile[(profile.depth_lo_um >= low) & (profile.depth_hi_um <= high)]
    return bins.domain_um3.sum() / bins.resin_um3.sum()


def test_volume_ratio_follows_the_target_curve(profile):
    assert 100 * ratio_between(profile, 80, 131) == pytest.approx(4.0, abs=0.4)
    assert 100 * ratio_between(profile, 45, 75) == pytest.approx(100 * target_volume_ratio(60), abs=0.5)
    assert ratio_between(profile, 36, 48) > ratio_between(profile, 80, 131)
    assert ratio_between(profile, 27, 30) <= 0.35 * ratio_between(profile, 40, 45)


def test_objects_are_the_connected_regions_of_the_labels(deep):
    regions, number = ndimage.label(deep.labels == DOMAIN, structure=np.ones((3, 3, 3)))
    objects = deep.objects
    assert number == len(objects)
    edge = deep.settings.voxel_um
    at = (objects[[f"centre_{axis}_um" for axis in "zyx"]].to_numpy() / edge).astype(int)
    at = np.clip(at, 0, np.array(deep.labels.shape) - 1)
    whole = ~objects.on_border.to_numpy()
    ids = regions[tuple(at[whole].T)]
    assert (ids > 0).all()
    assert np.array_equal(np.bincount(regions.ravel())[ids], objects.voxels[whole])
    centroids = (np.array(ndimage.center_of_mass(np.ones(regions.shape, bool), regions, ids)) + 0.5) * edge
    assert np.allclose(centroids, objects.loc[whole, [f"centroid_{axis}_um" for axis in "zyx"]])
    faces = np.concatenate([np.unique(regions[face]) for face in _faces(regions.ndim)])
    assert set(faces) - {0} == set(range(1, number + 1)) - set(ids)


def _faces(ndim):
    for axis in range(ndim):
        for end in (0, -1):
            yield (slice(None),) * axis + (end,)


def test_objects_are_cut_by_the_faces_in_proportion(deep):
    """Were objects placed in the scan alone, fewer would be cut, and their centres would keep away from its faces."""
    objects = deep.objects[~deep.objects.large]
    width = deep.settings.size[0] * deep.settings.voxel_um
    assert (objects.centre_z_um < 0).sum() > 10
    assert (objects.centre_z_um > width).sum() > 10
    inside = objects[objects.centre_z_um.between(0, width)]
    rim = (inside.centre_z_um < 5) | (inside.centre_z_um > width - 5)
    assert rim.mean() == pytest.approx(10 / width, abs=0.04)


def test_occupancy_and_labels_agree(deep):
    domain = deep.labels == DOMAIN
    assert deep.occupancy.min() >= 0
    assert deep.occupancy.max() <= 1 + 1e-5
    assert deep.occupancy[domain].min() > 0.3
    assert deep.occupancy[~domain].max() < 0.7
    assert deep.occupancy.mean() == pytest.approx(domain.mean(), rel=0.01)


def test_profile_counts_every_voxel_once_and_voids_as_resin(voided):
    edge3 = voided.settings.voxel_um**3
    table = profile_table(voided.labels, voided.objects, voided.settings.voxel_um, voided.plane)
    assert table.resin_um3.sum() == pytest.approx((voided.labels != SUBSTRATE).sum() * edge3)
    assert table.domain_um3.sum() == pytest.approx((voided.labels == DOMAIN).sum() * edge3)
    assert (voided.labels == VOID).any()
    whole = voided.objects[(voided.objects["class"] == DOMAIN) & ~voided.objects.on_border]
    assert table.n_domains.sum() == len(whole)
    assert (table.depth_hi_um - table.depth_lo_um == 1).all()


def test_profile_of_voids_counts_voids_alone(voided):
    table = profile_table(voided.labels, voided.objects, voided.settings.voxel_um, voided.plane, "void")
    assert table.domain_um3.sum() == pytest.approx((voided.labels == VOID).sum() * voided.settings.voxel_um**3)
    whole = voided.objects[(voided.objects["class"] == VOID) & ~voided.objects.on_border]
    assert table.n_domains.sum() == len(whole) > 0
    by_hand = whole[whole.depth_um.between(20, 21, inclusive="left")]
    assert table.n_domains[20] == len(by_hand)


def test_profile_by_slice_of_y_would_differ():
    """The mutant of A7: with the tilt left out, the first micrometres miss resin that the plane finds there."""
    tilted = scan.simulate(PhantomSettings.of_kind("A", size=(96, 96, 96), seed=1, tilt_deg=2.0))
    edge = tilted.settings.voxel_um
    flat = dataclasses.replace(tilted.plane, normal=(0.0, 1.0, 0.0), offset_um=tilted.settings.substrate_um)
    right = profile_table(tilted.labels, tilted.objects, edge, tilted.plane)
    wrong = profile_table(tilted.labels, tilted.objects, edge, flat)
    assert right.resin_um3[0] == pytest.approx((96 * edge) ** 2, rel=0.02)
    shared = min(len(right), len(wrong))
    difference = np.abs(right.domain_um3[:shared] - wrong.domain_um3[:shared])
    assert difference.max() > 0.1 * right.domain_um3.max()


def test_voids_have_their_share_and_are_no_domains(voided):
    resin = (voided.labels != SUBSTRATE).sum()
    assert (voided.labels == VOID).sum() / resin == pytest.approx(voided.settings.void_ratio, rel=0.5)
    assert set(voided.objects["class"]) == {DOMAIN, VOID}
    assert not voided.objects.large[voided.objects["class"] == VOID].any()
    assert voided.occupancy[voided.labels == VOID].max() == 0


def test_substrate_is_where_the_plane_says(deep):
    z, y, x = np.nonzero(deep.labels[::16, :, ::16] == SUBSTRATE)
    edge = deep.settings.voxel_um
    depth = deep.plane.depth_um((16 * z + 0.5) * edge, (y + 0.5) * edge, (16 * x + 0.5) * edge)
    assert depth.max() <= 0
    assert depth.min() < -10
    silicon = deep.grey[:, :12].mean()
    assert silicon == pytest.approx(10.4, abs=0.3)


def test_equal_settings_give_equal_scans_and_another_seed_another():
    settings = PhantomSettings.of_kind("A", size=(48, 96, 96), seed=7)
    first, again = scan.simulate(settings), scan.simulate(settings)
    assert np.array_equal(first.grey, again.grey)
    assert np.array_equal(first.labels, again.labels)
    assert first.objects.equals(again.objects)
    other = scan.simulate(dataclasses.replace(settings, seed=8))
    assert not np.array_equal(first.labels, other.labels)
    assert not np.array_equal(first.grey, other.grey)


def test_noise_and_optics_do_not_move_domains():
    settings = PhantomSettings.of_kind("A", size=(48, 96, 96), seed=7)
    noisy = scan.simulate(dataclasses.replace(settings, noise_per_cm=9.0, distance_mm=50.0))
    assert np.array_equal(scan.simulate(settings).labels, noisy.labels)


def test_types_and_shapes(deep):
    assert deep.grey.shape == deep.labels.shape == deep.occupancy.shape == deep.settings.size
    assert (deep.grey.dtype, deep.labels.dtype, deep.occupancy.dtype) == (np.float32, np.uint8, np.float32)


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        PhantomSettings(voxel_um=0.6, energy_kev=40, size=(16, 96, 96))
    text = str(caught.value)
    assert all(key in text for key in ("phantom: voxel_um", "phantom: energy_kev", "phantom: size"))


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="Kinds: A, B"):
        PhantomSettings.of_kind("Z")


def test_too_many_objects_are_refused():
    settings = PhantomSettings.of_kind("A", size=(48, 96, 96), gap_um=5.0, large_per_mm2=2000.0)
    with pytest.raises(StageError, match="no room"):
        scan.simulate(settings)
