"""Velocity fields on a lattice, their maps, and how alike two images are."""

import math

import numpy as np
import pytest
import torch
from amplify_cases import grid_of, positions, seen, torso

from tomoprofile.amplify import flow
from tomoprofile.amplify.flow import exponential, inconsistency, jacobian
from tomoprofile.amplify.grid import Case, Grid, identity, in_other, resampled
from tomoprofile.amplify.lattice import Lattice
from tomoprofile.amplify.similarity import Fixed, overlap, standardised


def random_field(lattice, rng, amount):
    return torch.from_numpy(rng.standard_normal(lattice.shape) * amount).float()


@pytest.mark.parametrize("dims", [2, 3])
def test_a_linear_field_is_exact_and_its_exponential_is_that_of_the_matrix(dims):
    grid = grid_of(32, dims)
    lattice = Lattice.over(grid, 10.0)
    matrix = torch.tensor([[0.1, 0.05, 0.0], [-0.08, 0.06, 0.02], [0.03, 0.0, -0.12]])[:dims, :dims]
    offset = torch.tensor([1.0, -2.0, 0.5])[:dims]
    coefficients = lattice.linear(matrix, offset)
    assert float(lattice.bending(coefficients)) < 1e-10
    field = lattice.velocity(coefficients, grid.shape)
    places = (torch.from_numpy(positions(32, dims)) * 32).float()
    assert torch.allclose(field, torch.tensordot(matrix, places, dims=1) + offset.reshape(-1, *[1] * dims), atol=1e-4)
    moved = exponential(field, lattice.lengths)[0].flip(-1) * 32
    full = torch.zeros(dims + 1, dims + 1)
    full[:dims, :dims], full[:dims, dims] = matrix, offset
    whole = torch.matrix_exp(full)
    middle = (slice(10, 22),) * dims
    expected = torch.tensordot(whole[:dims, :dims] - torch.eye(dims), places, dims=1) + whole[:dims, dims].reshape(
        -1, *[1] * dims
    )
    assert (moved.movedim(-1, 0)[(slice(None), *middle)] - expected[(slice(None), *middle)]).abs().max() < 0.05
    determinant = jacobian(exponential(field, lattice.lengths))[middle]
    assert float((determinant - math.exp(float(matrix.trace()))).abs().max()) < 0.01


@pytest.mark.parametrize("dims", [2, 3])
def test_going_there_and_back_arrives_at_the_start(dims, monkeypatch):
    grid = grid_of(40 if dims == 3 else 64, dims)
    lattice = Lattice.over(grid, 12.0)
    coefficients = random_field(lattice, np.random.default_rng(3), 3.0)
    forward, backward = (
        exponential(lattice.velocity(sign * coefficients, grid.shape), lattice.lengths) for sign in (1, -1)
    )
    assert inconsistency(forward, backward) < 0.05
    assert inconsistency(forward, -forward) > 0.1, "minus the displacement is not the inverse"
    monkeypatch.setattr(flow, "_STEP", 1e9)  # hardly any squaring: a plain step is not the exponential
    rough = [exponential(lattice.velocity(s * coefficients, grid.shape), lattice.lengths) for s in (1, -1)]
    assert inconsistency(*rough) > 2 * inconsistency(forward, backward)


def test_determinants_are_those_of_finite_differences_and_see_every_fold():
    grid = grid_of(48, 2)
    lattice = Lattice.over(grid, 12.0)
    field = exponential(
        lattice.velocity(random_field(lattice, np.random.default_rng(5), 3.0), grid.shape), lattice.lengths
    )
    voxels = (field[0].flip(-1) * 24).numpy()
    rows, columns = (np.gradient(voxels, axis=axis) for axis in (0, 1))
    expected = (1 + rows[..., 0]) * (1 + columns[..., 1]) - rows[..., 1] * columns[..., 0]
    found = jacobian(field).numpy()
    assert np.abs(np.median(found / expected[:-1, :-1]) - 1) < 0.05
    assert found.min() > 0
    # One voxel that jumps over its neighbour: central differences do not see it.
    jump = torch.zeros(1, 48, 48, 2)
    jump[0, 20, 20, 0] = 2 * 1.5 / 48
    assert jacobian(jump).min() < 0
    plain = 1 + np.gradient((jump[0, ..., 0] * 24).numpy(), axis=1)
    assert plain.min() > 0


def test_positions_follow_patient_space_whatever_the_order_of_the_axes():
    template = grid_of(40, 2)
    points = positions(40, 2)
    image = (10 * points[0] + points[1]).astype(np.float32)
    # The same picture with its axes exchanged, one of them reversed, and half of the spacing.
    finer = np.kron(image, np.ones((2, 2), np.float32))
    turned = finer.T[::-1]
    affine = np.array([[0.0, 1.0, -0.5], [-1.0, 0.0, 78.5], [0.0, 0.0, 1.0]])
    case = Case("turned", np.ascontiguousarray(turned), Grid.of(turned.shape, affine))
    found, inside = resampled(case, template)
    assert float(inside.min()) == 1.0
    assert np.abs(found[0, 0].numpy() - image).max() < 0.05
    other = template.padded(3)
    assert np.allclose(in_other(template, other, identity(template.shape))[0, 0, 0], -1 + 2 * 3.5 / 46)


@pytest.mark.parametrize("grey", [lambda image: -image, lambda image: 3 * image + 100])
def test_likeness_does_not_depend_on_contrast_but_a_plain_difference_does(grey):
    label = torso(positions(64, 2), 2)
    one = seen(label, np.random.default_rng(1), noise=0.0)
    other = np.roll(one, 4, axis=1)
    tensors = [torch.from_numpy(image)[None, None] for image in (one, grey(one), grey(other))]
    valid = torch.ones(1, 1, 64, 64)
    same, changed, moved = (standardised(tensor, valid) for tensor in tensors)
    fixed = Fixed.of(same, valid)
    assert abs(float(fixed.likeness(changed, valid)) - float(fixed.likeness(same, valid))) < 1e-4
    assert float(fixed.likeness(moved, valid)) < float(fixed.likeness(changed, valid)) - 0.1
    if float(changed.mean() - same.mean()) == 0 and grey(1.0) < 0:
        assert float((same - changed).square().mean()) > float((same - moved).square().mean())


def test_overlap_is_dice_and_an_image_without_structure_compares_with_nothing():
    one = torch.zeros(1, 2, 8, 8)
    one[0, 0, :4], one[0, 1, 4:] = 1, 1
    other = one.roll(2, dims=2)
    assert float(overlap(one, one)) == pytest.approx(1.0)
    assert float(overlap(one, other)) == pytest.approx(0.5)
    flat = torch.full((1, 1, 8, 8), 7.0)
    assert float(standardised(flat, torch.ones_like(flat)).abs().max()) == 0.0
