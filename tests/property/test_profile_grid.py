"""Voxels by layer and block, against a direct count, for planes and scans of any kind."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprofile.config_profile import Circle
from tomoprofile.profile.masks import Grid, Space
from tomoprofile.substrate.resin import Resin
from tomoprofile.volume.plane import Plane

components = st.floats(-1, 1).filter(lambda value: abs(value) > 1e-3 or value == 0)
normals = st.tuples(components, components, components).filter(any)
shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
voxels = st.tuples(st.floats(0.3, 2), st.floats(0.3, 2), st.floats(0.3, 2))
borders = st.lists(st.floats(-5, 8), min_size=2, max_size=7, unique=True).map(sorted)


def in_view(grid, y, x):
    """Return whether points lie inside the circle of the field of view, by its equation."""
    circle = grid.view.circle
    if circle is None:
        return np.ones(y.shape, bool)
    return (y - circle.centre_um[0]) ** 2 + (x - circle.centre_um[1]) ** 2 <= circle.radius_um**2


@settings(max_examples=150, deadline=None)
@given(
    shape=shapes,
    edges=voxels,
    plane=st.builds(Plane.through, normals, st.floats(-3, 6)),
    borders_um=borders,
    block_um=st.floats(0.5, 6),
    view=st.sampled_from(["all", "cylinder", "auto", Circle(radius_um=2.5, centre_um=(3, 1))]),
    seed=st.integers(0, 99),
    side=st.integers(1, 4),
)
def test_every_voxel_is_counted_once_where_it_lies(shape, edges, plane, borders_um, block_um, view, seed, side):
    rng = np.random.default_rng(seed)
    air = Resin(side, rng.random([-(-n // side) for n in shape]) < 0.3, Circle(radius_um=2))
    grid = Grid.dividing(Space.of(shape, edges, plane, air, view), np.array(borders_um), block_um)
    z, y, x = np.indices(shape) + 0.5
    z, y, x = z * edges[0], y * edges[1], x * edges[2]
    layer, block = grid.place(z.ravel(), y.ravel(), x.ravel())
    depth = plane.depth_um(z, y, x).ravel()
    inside = in_view(grid, y, x).ravel() & ~air.is_air(*np.indices(shape)).ravel()
    expected = np.zeros((grid.n_layers, grid.n_blocks), np.int64)
    for index in range(grid.n_layers):
        here = (depth >= borders_um[index]) & (depth < borders_um[index + 1]) & inside
        assert np.array_equal(layer == index, here)
        expected[index] = np.bincount(block[here], minlength=grid.n_blocks)
    assert np.array_equal(grid.count_resin(), expected)
    # Whatever else lies in a voxel lies where the voxel is counted.
    shift = (rng.random(3) - 0.5)[:, None] * 0.999 * np.array(edges)[:, None]
    elsewhere = grid.place(*(np.stack([z.ravel(), y.ravel(), x.ravel()]) + shift))
    assert np.array_equal(elsewhere, (layer, block))
    # Single voxels as runs, a random half of them: the same places.
    chosen = rng.random(shape) < 0.5
    counted = np.zeros_like(expected)
    at_z, at_y, at_x = np.nonzero(chosen)
    grid.count(at_z, at_y, at_x, at_x + 1, counted)
    half = chosen.ravel() & (layer >= 0)
    np.subtract.at(counted, (layer[half], block[half]), 1)
    assert not counted.any()


@given(shape=shapes, edges=voxels, block_um=st.floats(0.5, 6))
def test_blocks_are_alike_and_no_smaller_than_asked(shape, edges, block_um):
    plane = Plane((0.0, 1.0, 0.0), 0.0)
    grid = Grid.dividing(Space.of(shape, edges, plane, Resin.everywhere(), "all"), np.array([-99.0, 99.0]), block_um)
    voxels = grid.count_resin()[0]
    assert voxels.min() > 0
    sides = [np.bincount(np.unique(grid.blocks[axis], return_inverse=True)[1]) for axis in (0, 2)]
    for axis, side in zip((0, 2), sides, strict=True):
        assert side.max() - side.min() <= 1
        assert len(side) == 1 or shape[axis] * edges[axis] / len(side) >= block_um * (1 - 1e-6)
    assert len(sides[0]) * len(sides[1]) == grid.n_blocks
    assert not grid.blocks[1].any()
