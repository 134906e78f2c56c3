"""Counts of a scan: those of a direct look at every voxel, for any slabs, however many share them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profile_scan import runs_of, write_runs

from tomoprofile.domains.objects import Runs
from tomoprofile.domains.workers import Here
from tomoprofile.profile import correlation, counting
from tomoprofile.profile.correlation import count_pairs, line_axis, n_lags, pairs_at
from tomoprofile.profile.counting import count_scan, dense
from tomoprofile.profile.masks import Grid, Space
from tomoprofile.substrate.resin import Resin
from tomoprofile.volume.plane import Plane

COMMON = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def space_of(shape, plane):
    """Return a whole scan of voxels of 1 um."""
    return Space.of(shape, (1.0,) * 3, plane, Resin.everywhere(), "all")


@st.composite
def scans(draw):
    """Draw labels, a grid of a plane of any orientation, and which layers belong to two zones."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 23), st.integers(1, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = (rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(np.int32)
    labels[labels > 0] = rng.integers(1, 4, labels.sum())
    normal = draw(st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.1, 1, 0.15), (0.1, -0.1, -1), (-1, 0.2, 0.3)]))
    plane = Plane.through(normal, draw(st.floats(-20, 12)))
    voxel_um = draw(st.sampled_from([1.0, 0.7]))
    view = draw(st.sampled_from(["all", "cylinder"]))
    side = draw(st.integers(2, 9))
    air = rng.random([-(-n // side) for n in shape]) < draw(st.sampled_from([0.0, 0.3]))
    borders_um, block_um = np.array([0.0, 3.0, 7.5, 40.0]), draw(st.floats(2, 30))
    grid = Grid.dividing(Space.of(shape, (voxel_um,) * 3, plane, Resin(side, air, None), view), borders_um, block_um)
    zones = np.array([[True, False, False], [False, True, True]])
    return labels, grid, zones, draw(st.integers(1, 6))


def directly(labels, grid, zones):
    """Return pairs of domains and of resin by zone, block of the first point and distance, voxel by voxel."""
    z, y, x = (index.ravel() for index in np.indices(grid.shape))
    centres = ((index + 0.5) * edge for index, edge in zip((z, y, x), grid.voxel_size_um, strict=True))
    layer, block = (found.reshape(grid.shape) for found in grid.place(*centres))
    axis = line_axis(grid)
    layer, block, labels = (np.moveaxis(array, axis, -1) for array in (layer, block, labels))
    found = np.zeros((2, len(zones), grid.n_blocks, n_lags(grid)), np.int64)
    for index, zone in enumerate(zones):
        resin = np.append(zone, False)[layer]
        stretch = np.cumsum(~resin, axis=-1)  # pairs across air are none
        for lag in range(n_lags(grid)):
            ends = slice(None, resin.shape[-1] - lag), slice(lag, None)
            both = resin[..., ends[0]] & resin[..., ends[1]] & (stretch[..., ends[0]] == stretch[..., ends[1]])
            at = block[..., ends[0]]
            found[1, index, :, lag] = np.bincount(at[both], minlength=grid.n_blocks)
            both &= (labels[..., ends[0]] > 0) & (labels[..., ends[1]] > 0)
            found[0, index, :, lag] = np.bincount(at[both], minlength=grid.n_blocks)
    return found


@COMMON
@given(scan=scans())
def test_counts_are_those_of_every_voxel_for_any_slabs(scan, tmp_path):
    labels, grid, zones, shard_slices = scan
    paths = {}
    # Levels may have been cut differently.
    for level, slices in (("low", 2), ("calibrated", shard_slices), ("high", 99)):
        paths[level] = tmp_path / f"{level}.parquet"
        write_runs(paths[level], runs_of(labels), labels.shape, grid.voxel_size_um[0], slices)
    counts = count_scan(paths, "domain", grid, zones, Here())
    expected = directly(labels, grid, zones)
    for part, pairs in zip((counts.domain_pairs, counts.resin_pairs), expected, strict=True):
        found = pairs_at(dense(part).reshape(len(zones), grid.n_blocks, -1))
        assert np.array_equal(found, pairs)
    assert np.array_equal(dense(counts.resin), grid.count_resin())
    assert set(counts.voxels.values()) == {(labels > 0).sum()}
    for domain in counts.domain.values():
        assert np.array_equal(zones @ dense(domain), expected[0][..., 0])


def test_a_cut_that_forgets_its_slices_would_be_seen(tmp_path, monkeypatch):
    """The mutant: slabs that overlap by a slice count it twice."""
    labels = np.ones((8, 5, 6), np.int32)
    grid = Grid.dividing(space_of(labels.shape, Plane((1.0, 0.0, 0.0), 0.0)), np.array([0.0, 20.0]), 3)
    write_runs(tmp_path / "r.parquet", runs_of(labels), labels.shape, 1.0, 2)
    paths = {"calibrated": tmp_path / "r.parquet"}
    assert count_scan(paths, "domain", grid, np.array([[True]]), Here()).resin.sum() == labels.size
    cut = counting._slabs
    overlapping = lambda *given: [dataclasses.replace(one, stop=min(one.stop + 1, 8)) for one in cut(*given)]  # noqa: E731
    monkeypatch.setattr(counting, "_slabs", overlapping)
    assert count_scan(paths, "domain", grid, np.array([[True]]), Here()).resin.sum() > labels.size


class Holed(Grid):
    """A grid of which a strip of three columns does not count: narrower than the step with which lines are searched."""

    def place(self, z_um, y_um, x_um):
        layer, block = super().place(z_um, y_um, x_um)
        hole = (x_um > 20) & (x_um < 23)
        return np.where(hole, -1, layer), np.where(hole, -1, block)

    def count(self, z, y, x_start, x_stop, tallies):
        for low, high in ((0, 20), (23, self.shape[2])):
            start, stop = np.maximum(x_start, low), np.minimum(x_stop, high)
            held = start < stop
            super().count(z[held], y[held], start[held], stop[held], tallies)


@pytest.mark.parametrize("look_again", [True, False])
def test_narrow_holes_in_the_resin_are_not_looked_over(look_again, monkeypatch):
    rng = np.random.default_rng(2)
    labels = (rng.random((3, 6, 64)) < 0.4).astype(np.int32)
    grid = Holed.dividing(space_of(labels.shape, Plane((0.0, 1.0, 0.0), 0.0)), np.array([0.0, 4.0, 9.0]), 9)
    zones = np.eye(2, dtype=bool)
    runs = Runs(*(column.to_numpy() for _, column in runs_of(labels).items()))
    resin = grid.count_resin()
    if not look_again:  # the mutant
        fine = correlation._windows
        monkeypatch.setattr(correlation, "_windows", lambda *given: fine(*given[:3], 16))
    domain, all_pairs = count_pairs(grid, runs, 0, 3, zones, resin)
    # Pairs across the hole are left out of both.
    volume = pairs_at(domain)[..., 0].sum(), pairs_at(all_pairs)[..., 0].sum()
    outside = np.r_[0:20, 23:64]
    expected = (labels[:, :, outside] > 0).sum(), 3 * 6 * len(outside)
    assert (volume == expected) == look_again


def test_pairs_of_spheres_fall_as_their_surface_says():
    """The slope at 0 is -S_V / 4 (Debye, Anderson and Brumberger, J. Appl. Phys. 28 (1957) 679)."""
    radius, shape = 6.0, (40, 40, 40)
    z, y, x = (np.arange(n) + 0.5 - n / 2 for n in shape)
    labels = (z[:, None, None] ** 2 + y[None, :, None] ** 2 + x**2 < radius**2).astype(np.int32)
    grid = Grid.dividing(space_of(shape, Plane((1.0, 0.0, 0.0), 0.0)), np.array([0.0, 40.0]), 40)
    runs = Runs(*(column.to_numpy() for _, column in runs_of(labels).items()))
    domain, resin = count_pairs(grid, runs, 0, 40, np.array([[True]]), grid.count_resin())
    s2 = pairs_at(domain)[0, 0] / pairs_at(resin)[0, 0]
    surface = 4 * math.pi * radius**2 / 40**3
    # Lines that pass the centre of voxels hit as many spheres as their area says; pairs thin out with the distance.
    assert s2[1] * 39 / 40 - s2[0] == pytest.approx(-surface / 4, rel=0.02)
    assert s2[0] == labels.mean()
    assert s2[13] == 0


def test_a_scan_without_domains_is_shared_too(tmp_path, monkeypatch):
    """No row group divides it; a slab is then a number of voxels."""
    labels = np.zeros((20, 5, 6), np.int32)
    grid = Grid.dividing(space_of(labels.shape, Plane((1.0, 0.0, 0.0), 3.0)), np.array([0.0, 30.0]), 3)
    write_runs(tmp_path / "r.parquet", runs_of(labels), labels.shape, 1.0, 20)
    monkeypatch.setattr(counting, "_SLAB_VOXELS", 100)
    paths = {"calibrated": tmp_path / "r.parquet"}
    assert [slab.stop for slab in counting._slabs(paths, "domain", grid)] == [3, 6, 9, 12, 15, 18, 20]
    counts = count_scan(paths, "domain", grid, np.array([[True]]), Here())
    assert np.array_equal(dense(counts.resin), grid.count_resin())
    assert counts.resin.sum() == 17 * 30
