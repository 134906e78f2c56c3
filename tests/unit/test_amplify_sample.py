"""New shapes: their size and limits, warped labels, varied appearance."""

import numpy as np
import pytest
import torch
from amplify_cases import bumps, dice, grid_of, positions, torso_case

from tomoprofile.amplify.appearance import AppearanceSettings, varied
from tomoprofile.amplify.grid import Case
from tomoprofile.amplify.sample import SampleSettings, elastic, truncated
from tomoprofile.amplify.template import Template
from tomoprofile.amplify.warp import warped


@pytest.fixture(scope="module", params=[2, 3])
def template(request):
    dims = request.param
    return Template.of(torso_case("template", np.random.default_rng(1), 64 if dims == 2 else 24, dims))


def test_elastic_fields_have_the_size_asked_for(template):
    sizes = []
    for seed in range(10):
        _, coefficients = elastic(template, SampleSettings(elastic=0.02), np.random.default_rng(seed))
        field = template.lattice.velocity(torch.from_numpy(coefficients).float(), template.case.grid.shape)
        sizes.append(float(field.square().sum(0).mean().sqrt()))
    assert np.mean(sizes) == pytest.approx(0.02 * max(template.lattice.lengths), rel=0.2)
    assert np.std(sizes) > 0


def test_no_component_is_drawn_beyond_the_limit():
    numbers = truncated(20000, 1.0, np.random.default_rng(1))
    assert np.abs(numbers).max() <= 1
    assert numbers.std() == pytest.approx(0.54, abs=0.02)


def test_a_warped_label_keeps_thin_organs():
    """A vessel two voxels wide, oblique, against its true course; the class of the nearest voxel breaks it."""
    shape, half = (96, 96), 1.0
    points = positions(96, 2)

    def vessel(p):
        return (np.abs((p[0] - 0.3 * p[1]) * 48) < half).astype(np.int32)

    def move(p):
        return p + bumps(p, [0.0, 0.0], 0.4, [0.2, 0.1], 1)

    label, true = vessel(points), vessel(move(points))
    field = torch.from_numpy((move(points) - points)[::-1].copy()).float().movedim(0, -1)[None]
    case = Case("vessel", label.astype(np.float32), grid_of(96, 2), label)
    found = warped(case, case.grid, field)[1]
    places = torch.from_numpy(move(points)[::-1].copy()).float().movedim(0, -1)[None]
    nearest = torch.nn.functional.grid_sample(
        torch.from_numpy(label.astype(np.float32))[None, None], places, mode="nearest", align_corners=False
    )[0, 0].numpy()
    assert shape == found.shape
    assert dice(found, true) > dice(nearest, true)
    assert dice(found, true) > 0.85


def test_appearance_changes_grey_values_but_no_place():
    rng = np.random.default_rng(1)
    case = torso_case("case", rng, noise=0.02)
    changed = varied(case.image, AppearanceSettings(), np.random.default_rng(3))
    assert not np.allclose(changed, case.image, atol=0.05)
    assert np.corrcoef(changed.ravel(), case.image.ravel())[0, 1] > 0.9
    nothing = AppearanceSettings(0.0, 0.0, 0.0)
    assert np.allclose(varied(case.image, nothing, np.random.default_rng(3)), case.image, atol=1e-4)
