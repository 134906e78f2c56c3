"""One case is brought onto the template, or refused with a reason."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from amplify_cases import GREY, bumps, dice, grid_of, torso_case

from tomoprofile.amplify import fit, register
from tomoprofile.amplify.flow import exponential
from tomoprofile.amplify.grid import Case, Grid
from tomoprofile.amplify.memory import affordable_voxels
from tomoprofile.amplify.register import RegisterSettings, register_case
from tomoprofile.amplify.registration import Refusal, read_registration
from tomoprofile.amplify.start import moved_along, shift_to
from tomoprofile.amplify.template import Template, read_template
from tomoprofile.amplify.warp import warped
from tomoprofile.errors import InputError, StageError


def bare(case):
    return replace(case, label=None)


def deform(points):
    dims = len(points)
    return points * 1.08 + bumps(points, [-0.1] * dims, 0.35, [*[0] * (dims - 2), 0.12, -0.1], 1)


@pytest.fixture(scope="module")
def template():
    return Template.of(bare(torso_case("template", np.random.default_rng(1))))


@pytest.fixture
def straight(monkeypatch):
    """Without the comparison with mirrored copies, which takes long and has its own tests."""
    monkeypatch.setattr(register, "orientation", lambda *_: (2.0, ""))


def truth(template):
    return torso_case(
        "", np.random.default_rng(1), side=template.case.grid.shape[0], dims=len(template.case.grid.shape)
    )


def onto(template, case, made):
    """Return the overlap of the labels after a registration."""
    lattice, grid = template.lattice, template.case.grid
    field = exponential(lattice.velocity(torch.from_numpy(made.coefficients), grid.shape), lattice.lengths)
    moved = replace(case, grid=moved_along(grid, case.grid, made.shift_mm))
    return dice(truth(template).label, warped(moved, grid, field)[1])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_deformed_case_is_registered_whatever_its_contrast(template, sign):
    case = torso_case("case", np.random.default_rng(2), move=deform)
    made = register_case(Case("case", sign * case.image, case.grid), template)
    assert made.refusal is None, made.why
    assert dice(truth(template).label, case.label) < 0.82
    assert onto(template, case, made) > 0.9
    assert made.measures["folds"] == 0
    assert made.measures["min_jacobian"] > 0.1
    assert made.measures["inconsistency_voxels"] < 0.1
    assert made.measures["similarity_after"] > made.measures["similarity_before"] + 0.1


def test_a_plain_difference_fails_where_contrast_is_reversed(template, monkeypatch):
    def plain(self, moving, valid):
        return 1 - ((self.image - moving).square() * valid).sum() / valid.sum()

    monkeypatch.setattr(fit.Fixed, "likeness", plain)
    case = torso_case("case", np.random.default_rng(2), move=deform)
    made = register_case(Case("case", -case.image, case.grid), template)
    assert made.refusal is not None or onto(template, case, made) < 0.85


@pytest.mark.usefixtures("straight")
def test_a_case_in_three_dimensions():
    template = Template.of(bare(torso_case("template", np.random.default_rng(1), 24, 3)))
    case = torso_case("case", np.random.default_rng(2), 24, 3, deform)
    made = register_case(bare(case), template)
    assert made.refusal is None, (made.why, made.measures)
    assert made.coefficients.shape[0] == 3
    assert onto(template, case, made) > dice(truth(template).label, case.label) + 0.05


def test_spacing_origin_and_the_order_of_axes_do_not_matter(template):
    other = torso_case("case", np.random.default_rng(2), side=96, move=deform)
    affine = np.array([[0.0, -4 / 3, 400.0], [4 / 3, 0.0, -700.0], [0.0, 0.0, 1.0]])
    # Its first axis runs along the second one of the template, its second one backwards along the first.
    image, label = (np.ascontiguousarray(part.T[:, ::-1]) for part in (other.image, other.label))
    turned = Case("turned", image, Grid.of(image.shape, affine), label)
    made = register_case(bare(turned), template)
    assert made.refusal is None, made.why
    assert np.abs(made.shift_mm).max() > 200
    assert onto(template, turned, made) > 0.9


def test_the_shift_between_two_bodies_is_found(template):
    case = torso_case("case", np.random.default_rng(2))
    moved = replace(case, image=np.roll(case.image, 6, axis=1))
    assert np.abs(shift_to(template.case, moved) - [0.0, -12.0]).max() <= 128 / 24


def test_a_mirrored_case_is_refused(template):
    case = torso_case("case", np.random.default_rng(2), move=deform)
    made = register_case(Case("mirrored", case.image[:, ::-1].copy(), case.grid), template)
    assert made.refusal is Refusal.ORIENTATION
    assert "axis 1" in made.why


@pytest.mark.usefixtures("straight")
def test_without_the_comparison_a_mirrored_case_would_pass(template):
    case = torso_case("case", np.random.default_rng(2), move=deform)
    made = register_case(Case("mirrored", case.image[:, ::-1].copy(), case.grid), template)
    assert made.refusal is not Refusal.ORIENTATION


def test_another_part_of_a_body_is_refused(template):
    """Two legs, of the same tissues."""
    y, x = np.indices((64, 64)) / 32 - 1 + 1 / 64
    rng = np.random.default_rng(4)
    image = np.full((64, 64), -1.0)
    for middle in (-0.42, 0.42):
        image[y**2 + (x - middle) ** 2 < 0.35**2] = 0.0
        image[(y - 0.05) ** 2 + (x - middle) ** 2 < 0.1**2] = 1.5
    legs = Case("legs", (image + 0.1 * rng.standard_normal(image.shape)).astype(np.float32), grid_of(64, 2))
    assert register_case(legs, template).refusal is Refusal.REGION


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.full((64, 64), np.nan)])
def test_an_empty_case_is_refused(template, image):
    made = register_case(Case("empty", image.astype(np.float32), grid_of(64, 2)), template)
    assert made.refusal is Refusal.EMPTY


def test_noise_and_a_case_of_other_dimensions(template):
    noise = np.random.default_rng(100).standard_normal((64, 64)).astype(np.float32)
    assert register_case(Case("noise", noise, grid_of(64, 2)), template).refusal is not None
    with pytest.raises(InputError, match="another number of dimensions"):
        register_case(Case("solid", np.zeros((8, 8, 8), np.float32), grid_of(8, 3)), template)


def test_folds_and_no_gain_are_refused():
    good = {
        "similarity_before": 0.2,
        "similarity_after": 0.5,
        "cover": 0.9,
        "folds": 0,
        "min_jacobian": 0.3,
        "inconsistency_voxels": 0.05,
        "moved_voxels": 3.0,
    }
    expected = {
        ("folds", 2): Refusal.FOLDED,
        ("min_jacobian", 0.05): Refusal.FOLDED,
        ("inconsistency_voxels", 0.6): Refusal.INCONSISTENT,
        ("inconsistency_voxels", np.nan): Refusal.INCONSISTENT,
        ("similarity_after", 0.21): Refusal.NOT_ALIKE,
        ("cover", 0.3): Refusal.REGION,
    }
    assert register._refused(good) == (None, "")
    for (name, value), refusal in expected.items():
        assert register._refused({**good, name: value})[0] is refusal


@pytest.mark.usefixtures("straight")
def test_a_case_that_folds_is_refused_and_would_pass_without_the_gate(template, monkeypatch):
    """Coefficients too wild for the voxels they are judged on."""
    wild = torch.from_numpy(np.random.default_rng(1).standard_normal(template.lattice.shape) * 25).float()
    found = register._fine

    def fine(*arguments):
        _, before, level = found(*arguments)
        return wild, before - 1, level

    monkeypatch.setattr(register, "_fine", fine)
    monkeypatch.setattr(register, "LEAST_SHARED", 0.0)
    case = bare(torso_case("case", np.random.default_rng(2), move=deform))
    assert register_case(case, template).refusal is Refusal.FOLDED
    monkeypatch.setattr(register, "_refused", lambda _: (None, ""))
    assert register_case(case, template).refusal is None


@pytest.mark.deep
@pytest.mark.usefixtures("straight")
def test_labels_bring_organs_together_that_cannot_be_seen():
    hidden = {value: 0.0 if value in (4, 5) else level for value, level in GREY.items()}
    template = Template.of(torso_case("template", np.random.default_rng(1), grey=hidden))
    case = torso_case("case", np.random.default_rng(2), move=deform, grey=hidden)
    made = [register_case(case, template, RegisterSettings(labels=weight)) for weight in (0.0, 0.5)]
    assert [one.refusal for one in made] == [None, None]
    without, with_labels = (onto(template, case, one) for one in made)
    assert with_labels > without + 0.01


@pytest.mark.usefixtures("straight")
def test_little_memory_means_larger_voxels_and_the_log_says_so(template, caplog, monkeypatch):
    assert affordable_voxels(64**3, (128,) * 3, 4000, "cpu") == 64**3
    few = affordable_voxels(64**3, (128,) * 3, 600, "cpu")
    assert 16**3 < few < 64**3
    assert f"{few} voxels in place of {64**3}" in caplog.text
    monkeypatch.setattr("tomoprofile.amplify.memory._FEWEST", 16**2)
    case = bare(torso_case("case", np.random.default_rng(2), move=deform))
    made = register_case(case, template, RegisterSettings(memory_mb=3.0))
    assert made.measures["voxels"] < 64**2


@pytest.mark.usefixtures("straight")
def test_where_memory_runs_out_it_goes_on_with_fewer_voxels(template, caplog, monkeypatch):
    monkeypatch.setattr("tomoprofile.amplify.memory._FEWEST", 16**2)
    plain, failures = register._fine, iter([RuntimeError("DefaultCPUAllocator: can't allocate memory")])

    def fine(*arguments):
        for error in failures:
            raise error
        return plain(*arguments)

    monkeypatch.setattr(register, "_fine", fine)
    case = bare(torso_case("case", np.random.default_rng(2), move=deform))
    assert register_case(case, template).measures["voxels"] < 64**2
    assert "memory ran out" in caplog.text

    def never(*_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(register, "_fine", never)
    with pytest.raises(StageError, match="memory does not suffice"):
        register_case(case, template)


@pytest.mark.usefixtures("straight")
def test_files_give_back_what_was_written_and_nothing_else(template, tmp_path):
    case = bare(torso_case("case", np.random.default_rng(2), move=deform))
    made = register_case(case, template)
    made.write(tmp_path / "case.safetensors")
    again = read_registration(tmp_path / "case.safetensors")
    assert np.array_equal(again.coefficients, made.coefficients)
    assert replace(again, coefficients=None, shift_mm=None) == replace(made, coefficients=None, shift_mm=None)
    labelled = Template.of(truth(template))
    labelled.write(tmp_path / "template.safetensors")
    back = read_template(tmp_path / "template.safetensors")
    assert back.digest == labelled.digest == template.digest
    assert np.array_equal(back.case.label, labelled.case.label)
    assert back.lattice == labelled.lattice
    with pytest.raises(InputError, match="not a registration"):
        read_registration(tmp_path / "template.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="not a template"):
        read_template(tmp_path / "other.safetensors")
