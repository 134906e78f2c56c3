"""New pairs: drawn shapes, warped labels, varied appearance, and gates."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from amplify_cases import KIDNEY, bumps, dice, grid_of, positions, torso_case

from tomoprofile.amplify import sample as room
from tomoprofile.amplify.appearance import AppearanceSettings, varied, with_amplitudes
from tomoprofile.amplify.grid import Case
from tomoprofile.amplify.model import DeformationModel
from tomoprofile.amplify.register import Registration
from tomoprofile.amplify.sample import (
    Kind,
    SampleSettings,
    Source,
    elastic,
    read_pairs,
    sample_pairs,
    truncated,
    write_pairs,
)
from tomoprofile.amplify.sums import Sums
from tomoprofile.amplify.template import Template
from tomoprofile.amplify.warp import warped
from tomoprofile.errors import InputError, StageError


def learned(template, dims=2, count=12, amount=1.0):
    """Return a model of one mode, the shift of a kidney, made from coefficients instead of images."""
    points = positions(template.case.grid.shape[0], dims)
    middle, vector = ([0.0] * (dims - 2) + part for part in ([0.1, 0.42], [1.0, 0.0]))
    wanted = torch.from_numpy(bumps(points, middle, 0.25, vector, 3.0 * amount)).float()
    lattice = template.lattice
    coefficients = lattice.zeros().requires_grad_()
    optimiser = torch.optim.LBFGS([coefficients], max_iter=60)

    def loss():
        optimiser.zero_grad()
        value = (lattice.velocity(coefficients, wanted.shape[1:]) - wanted).square().mean()
        value.backward()
        return value

    optimiser.step(loss)
    mode = coefficients.detach().numpy()
    rng = np.random.default_rng(7)
    weights = rng.standard_normal(count)
    voxel = float(np.prod(template.case.grid.spacing))
    own = np.bincount(template.case.label.ravel())
    cases = []
    for number, weight in enumerate(weights):
        volumes = {k: own[k] * voxel * float(np.exp(0.05 * rng.standard_normal())) for k in range(1, 6)}
        coefficients = (weight * mode).astype(np.float32)
        cases.append(Registration(f"c{number}", template.digest, coefficients, np.zeros(dims), volumes=volumes))
    return DeformationModel.of(Sums.of(cases, template.digest, lattice)), mode


@pytest.fixture(scope="module", params=[2, 3])
def made(request):
    dims = request.param
    template = Template.of(torso_case("template", np.random.default_rng(1), 64 if dims == 2 else 24, dims))
    model, mode = learned(template, dims)
    still = Registration("template", template.digest, template.lattice.zeros().numpy(), np.zeros(dims))
    return template, model, mode, [Source(template.case, still)]


@pytest.mark.parametrize("kind", [Kind.DEFORMATION, Kind.ELASTIC, Kind.MIXED])
def test_pairs_are_accepted_within_the_learned_range(made, kind):
    template, model, _, sources = made
    pairs = list(sample_pairs(model, template, sources, SampleSettings(kind, 6), 3))
    good = [pair for pair in pairs if pair.record["accepted"]]
    assert len(good) == 6
    for pair in good:
        assert pair.image.shape == pair.label.shape == template.case.grid.shape
        assert pair.record["min_jacobian"] > 0.1
        assert pair.record["kind"] == "elastic" or np.abs(pair.record["weights"]).max() <= 2.5
        assert set(np.unique(pair.label)) == set(range(6))
        assert {"seed": 3, "source": "template"}.items() <= pair.record.items()
    overlaps = [dice(pair.label, template.case.label) for pair in good]
    assert 0.5 < min(overlaps) < 0.99
    kinds = {pair.record["kind"] for pair in pairs}
    assert kinds == ({"deformation", "elastic"} if kind is Kind.MIXED else {str(kind)})


def test_a_drawn_shape_has_its_organ_where_the_mode_puts_it(made):
    """Of the two possible directions of a map only one is right, and weights are its sizes."""
    template, model, _, sources = made
    dims = len(template.case.grid.shape)
    places = positions(template.case.grid.shape[0], dims)[-2]
    before = places[template.case.label == KIDNEY].mean()
    moved, weights = [], []
    for pair in sample_pairs(model, template, sources, SampleSettings(Kind.DEFORMATION, 8), 1):
        if pair.record["accepted"]:
            moved.append(places[pair.label == KIDNEY].mean() - before)
            shape = torch.from_numpy(model.coefficients(np.array(pair.record["weights"]))).float()
            field = template.lattice.velocity(shape, template.case.grid.shape)[-2].numpy()
            weights.append(float(field[template.case.label == KIDNEY].mean()))
    assert np.corrcoef(moved, weights)[0, 1] > 0.9
    assert np.polyfit(weights, moved, 1)[0] * (template.case.grid.lengths[0] / 2) == pytest.approx(1, abs=0.35)


def test_a_seed_gives_the_same_pairs_whatever_came_before(made):
    template, model, _, sources = made
    settings = SampleSettings(Kind.MIXED, 3)
    one, other = (list(sample_pairs(model, template, sources, settings, 5)) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) and a.record == b.record for a, b in zip(one, other, strict=True))
    another = list(sample_pairs(model, template, sources, settings, 6))
    assert not np.array_equal(one[0].image, another[0].image)


def test_gates_leave_out_folds_and_organs_of_unlearned_size(made, monkeypatch):
    template, model, _, sources = made
    wild = SampleSettings(Kind.ELASTIC, 2, elastic=0.25, elastic_length=0.05)
    with pytest.raises(StageError, match="only 0 of 10"):
        list(sample_pairs(model, template, sources, wild, 1))
    monkeypatch.setattr(room, "LEAST_JACOBIAN", -np.inf)
    monkeypatch.setattr(room, "volume_out_of_range", lambda *_: "")
    passed = list(sample_pairs(model, template, sources, wild, 1))
    assert min(pair.record["min_jacobian"] for pair in passed) < 0
    monkeypatch.undo()
    small = replace(model, sums=replace(model.sums, volumes={KIDNEY: (12.0, 0.0, 0.0)}))  # all of 1 mm
    pairs = sample_pairs(small, template, sources, SampleSettings(Kind.MIXED, 1), 1)
    first = next(pairs)
    assert f"class {KIDNEY} has" in first.record["reason"]
    assert first.image is None
    with pytest.raises(StageError, match="only 0 of 5"):
        list(pairs)


def test_what_cannot_be_drawn_from_is_a_fault(made):
    template, model, _, sources = made
    assert list(sample_pairs(None, template, sources, SampleSettings(Kind.NONE), 1)) == []
    with pytest.raises(StageError, match="no deformation model"):
        next(iter(sample_pairs(None, template, sources, SampleSettings(Kind.MIXED), 1)))
    unlabelled = [Source(replace(sources[0].case, label=None), sources[0].registration)]
    with pytest.raises(StageError, match="no labelled case"):
        next(iter(sample_pairs(model, template, unlabelled, SampleSettings(Kind.MIXED), 1)))
    foreign = replace(model, sums=replace(model.sums, template="other"))
    with pytest.raises(InputError, match="another template"):
        next(iter(sample_pairs(foreign, template, sources, SampleSettings(Kind.MIXED), 1)))


def test_one_labelled_case_is_enough_for_elastic(made):
    template, _, _, sources = made
    alone = [Source(sources[0].case)]
    assert len(list(sample_pairs(None, template, alone, SampleSettings(Kind.ELASTIC, 2), 1))) == 2


def test_elastic_fields_have_the_size_asked_for(made):
    template = made[0]
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
    other = torso_case("other", rng, noise=0.02, move=lambda p: p * 1.1)
    changed = varied(case.image, other.image, AppearanceSettings(), np.random.default_rng(3))
    assert not np.allclose(changed, case.image, atol=0.05)
    assert np.corrcoef(changed.ravel(), case.image.ravel())[0, 1] > 0.9
    nothing = AppearanceSettings(0.0, 0.0, 0.0, 0.0)
    assert np.allclose(varied(case.image, other.image, nothing, np.random.default_rng(3)), case.image, atol=1e-4)
    # Slow waves take the amplitudes of the other case, and keep the phases of their own.
    mixed = with_amplitudes(case.image, 2 * case.image, 1.0, 0.02)
    own, new = np.fft.fftn(case.image), np.fft.fftn(mixed)
    assert abs(new[0, 0] / own[0, 0]) == pytest.approx(2, rel=0.01)
    assert abs(new[30, 30] / own[30, 30]) == pytest.approx(1, rel=0.01)
    assert np.angle(new[1, 1] / own[1, 1]) == pytest.approx(0, abs=1e-3)


def test_pairs_are_written_with_the_record_of_those_left_out(made, tmp_path):
    template, model, _, sources = made
    settings = SampleSettings(Kind.MIXED, 2)
    pairs = list(sample_pairs(model, template, sources, settings, 1))
    pairs.append(replace(pairs[0], image=None, label=None, record={**pairs[0].record, "index": 9, "accepted": False}))
    write_pairs(tmp_path / "pairs.safetensors", pairs, settings)
    again = read_pairs(tmp_path / "pairs.safetensors")
    assert [pair.record for pair in again] == [pair.record for pair in pairs]
    assert np.array_equal(again[0].image, pairs[0].image)
    assert again[-1].image is None
    template.write(tmp_path / "template.safetensors")
    with pytest.raises(InputError, match="not a file of training pairs"):
        read_pairs(tmp_path / "template.safetensors")
