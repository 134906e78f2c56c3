"""Sums of deformations, the model made of them, and templates in the middle of cases."""

import resource
from dataclasses import replace

import numpy as np
import pytest
from amplify_cases import bumps, grid_of, positions, torso_case
from safetensors import SafetensorError
from safetensors.numpy import save_file

from tomoprofile.amplify import register
from tomoprofile.amplify.basis import Basis
from tomoprofile.amplify.grid import Case
from tomoprofile.amplify.lattice import Lattice
from tomoprofile.amplify.middle import build_template, choose_template
from tomoprofile.amplify.model import DeformationModel, build_model, read_model, without_outliers
from tomoprofile.amplify.register import RegisterSettings, register_case
from tomoprofile.amplify.registration import Refusal, Registration, read_registration
from tomoprofile.amplify.storage import write_arrays
from tomoprofile.amplify.sums import Sums, added, read_sums
from tomoprofile.amplify.template import Template
from tomoprofile.errors import InputError, StageError

AS_IT_IS = lambda *_: (2.0, "")  # noqa: E731 - the comparison with mirrored copies has its own tests, and takes long
FEW = RegisterSettings(steps=(30, 20))
LATTICE = Lattice((60.0, 48.0), (6, 5))


def cases_of(count, rng, lattice=LATTICE, template="t"):
    """Registrations whose coefficients have three directions and a little noise."""
    directions = rng.standard_normal((3, *lattice.shape))
    made = []
    for number in range(count):
        weights = rng.standard_normal(3) * [3, 2, 1]
        coefficients = np.tensordot(weights, directions, 1) + 0.1 * rng.standard_normal(lattice.shape) + 2
        volumes = {1: float(np.exp(5 + 0.2 * rng.standard_normal()))}
        facts = {"similarity_after": 0.5}
        made.append(
            Registration(f"c{number}", template, coefficients.astype(np.float32), np.zeros(2), None, "", facts, volumes)
        )
    return made


def bare(case):
    return replace(case, label=None)


@pytest.mark.parametrize("lattice", [LATTICE, Lattice((60.0, 48.0, 52.0), (9, 8, 7))])
def test_the_basis_is_orthonormal_and_leaves_out_the_fastest_waves_only(lattice):
    basis = Basis(lattice)
    rng = np.random.default_rng(1)
    numbers = rng.standard_normal(basis.size)
    coefficients = basis.to_coefficients(numbers)
    assert np.allclose(basis.of_coefficients(coefficients), numbers)
    assert np.square(coefficients).sum() == pytest.approx(np.square(numbers).sum())
    whole = np.prod(lattice.shape)
    assert basis.size == min(whole, 1500)
    anything = rng.standard_normal(lattice.shape)
    again = basis.to_coefficients(basis.of_coefficients(anything))
    assert np.allclose(again, anything) == (basis.size == whole)
    assert basis.frequencies[0] == 0


def test_sums_of_parts_are_the_pooled_analysis():
    cases = cases_of(23, np.random.default_rng(1))
    parts = [cases[:4], cases[4:5], cases[5:17], cases[17:]]
    whole = added(Sums.of(part, "t", LATTICE) for part in parts)
    model = DeformationModel.of(whole)
    rows = np.stack([Basis(LATTICE).of_coefficients(case.coefficients) for case in cases])
    centred = rows - rows.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    variances = singular**2 / 22
    count = len(model.variances)
    assert count >= 3
    assert np.allclose(model.variances, variances[:count], rtol=1e-6)
    assert np.allclose(model.mean, rows.mean(0), rtol=1e-6, atol=1e-9)
    assert np.allclose(np.abs(np.sum(model.components * directions[:count], axis=1)), 1, atol=1e-6)
    logs = np.log([case.volumes[1] for case in cases])
    low, high = model.volume_range(1)
    assert np.log([low, high]) == pytest.approx(
        [logs.mean() - 3 * logs.std(ddof=1), logs.mean() + 3 * logs.std(ddof=1)]
    )
    assert model.volume_range(2) is None


@pytest.mark.parametrize("seed", range(3))
def test_how_cases_are_divided_among_sites_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    cases = cases_of(12, rng)
    cases[3] = replace(cases[3], refusal=Refusal.REGION)
    plain = Sums.of(cases, "t", LATTICE)
    order = rng.permutation(12)
    cuts = np.sort(rng.integers(0, 13, 3))
    parts = [Sums.of([cases[k] for k in part], "t", LATTICE) for part in np.split(order, cuts)]
    other = added(parts)
    assert other.count == plain.count == 11
    assert other.refused == plain.refused == {"other body region": 1}
    assert np.allclose(other.products, plain.products, rtol=1e-9)
    assert np.allclose((Sums.none("t", LATTICE) + plain).total, plain.total, rtol=0)


def test_a_refused_case_is_in_no_sum_and_another_template_is_a_fault():
    cases = cases_of(6, np.random.default_rng(1))
    wild = replace(cases[0], coefficients=cases[0].coefficients * 100, refusal=Refusal.FOLDED)
    assert np.allclose(Sums.of([wild, *cases[1:]], "t", LATTICE).total, Sums.of(cases[1:], "t", LATTICE).total)
    with pytest.raises(InputError, match="another template"):
        Sums.of([*cases, replace(cases[0], template="other")], "t", LATTICE)
    with pytest.raises(InputError, match="different templates"):
        Sums.of(cases, "t", LATTICE) + Sums.none("other", LATTICE)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_cases_are_a_fault(count):
    cases = cases_of(count, np.random.default_rng(1))
    cases += [replace(case, refusal=Refusal.REGION) for case in cases_of(2, np.random.default_rng(2))]
    with pytest.raises(StageError, match=r"at least 3 .*Left out: 2 other body region"):
        DeformationModel.of(Sums.of(cases, "t", LATTICE))


def test_sums_of_fewer_than_twenty_are_marked_and_files_hold_what_was_written(tmp_path):
    cases = cases_of(20, np.random.default_rng(1))
    many, few = Sums.of(cases, "t", LATTICE), Sums.of(cases[:19], "t", LATTICE)
    assert (many.shareable, few.shareable) == (True, False)
    many.write(tmp_path / "sums.safetensors")
    again = read_sums(tmp_path / "sums.safetensors")
    assert np.array_equal(again.products, many.products)
    assert replace(again, total=None, products=None) == replace(many, total=None, products=None)
    assert b'shareable\\":false' not in (tmp_path / "sums.safetensors").read_bytes()[:600].replace(b" ", b"")
    few.write(tmp_path / "few.safetensors")
    assert b'shareable\\":false' in (tmp_path / "few.safetensors").read_bytes()[:600].replace(b" ", b"")


@pytest.mark.parametrize("change", [{"parts": [7, 5]}, {"count": -1}, {"refused": {"no reason": 1}}, {"count": None}])
def test_sums_that_cannot_be_are_refused(tmp_path, change):
    sums = Sums.of(cases_of(4, np.random.default_rng(1)), "t", LATTICE)
    facts = {"template": "t", "lengths": [60.0, 48.0], "parts": [6, 5], "count": 4, "classes": [], "refused": {}}
    arrays = {"total": sums.total, "products": sums.products, "volumes": np.zeros((0, 3))}
    write_arrays(tmp_path / "good.safetensors", "file of sums of deformations", arrays, facts)
    assert read_sums(tmp_path / "good.safetensors").count == 4
    write_arrays(tmp_path / "bad.safetensors", "file of sums of deformations", arrays, {**facts, **change})
    with pytest.raises(InputError, match="not a file of sums"):
        read_sums(tmp_path / "bad.safetensors")
    broken = {**arrays, "total": np.full_like(sums.total, np.nan)}
    write_arrays(tmp_path / "nan.safetensors", "file of sums of deformations", broken, facts)
    with pytest.raises(InputError, match="not finite"):
        read_sums(tmp_path / "nan.safetensors")


def test_outliers_are_left_out_in_shape_and_in_likeness(caplog):
    cases = cases_of(12, np.random.default_rng(1))
    far = replace(cases[2], coefficients=cases[2].coefficients + 60)
    unlike = replace(cases[5], measures={"similarity_after": 0.1})
    judged = without_outliers([*cases[:2], far, *cases[3:5], unlike, *cases[6:]])
    assert [case.name for case in judged if case.refusal is Refusal.OUTLIER] == ["c2", "c5"]
    assert without_outliers(cases) == cases
    template = Template(Case("t", np.zeros((24, 30), np.float32), grid_of(4, 2)), LATTICE)
    template.__dict__["digest"] = "t"
    model, _ = build_model(judged, template)
    assert model.sums.refused == {"outlier": 2}
    assert "c2 is left out" in caplog.text
    # All cases of cases_of lie on one side of the template.
    shifted = [replace(case, coefficients=case.coefficients + 200) for case in cases]
    model, _ = build_model(shifted, template)
    assert model.template_outlies
    assert "farther from the mean shape" in caplog.text


def test_the_template_is_no_outlier_for_being_compared_with_nothing():
    """It is not registered to itself, so nothing says how alike it became."""
    cases = cases_of(12, np.random.default_rng(1))
    template = replace(cases[0], coefficients=np.zeros_like(cases[0].coefficients), measures={})
    assert without_outliers([template, *cases[1:]]) == [template, *cases[1:]]
    mutant = replace(template, measures={"similarity_after": 0.0})
    assert without_outliers([mutant, *cases[1:]])[0].refusal is Refusal.OUTLIER


def test_the_same_deformation_is_the_same_file(tmp_path):
    """What depends on it is made again where its bytes differ."""
    path = tmp_path / "x"
    facts = {"name": "c", "measures": {"folds": 0.0}}
    written, mutant = set(), set()
    for _ in range(40):
        write_arrays(path, "registration", {"b": np.zeros(3), "a": np.ones(2)}, facts)
        written.add(path.read_bytes())
        save_file({"a": np.ones(2)}, path, {"kind": "registration", "facts": "{}"})
        mutant.add(path.read_bytes())
    assert len(written) == 1
    assert len(mutant) == 2, "two entries are written in any order"


def test_what_cannot_be_written_is_an_error_of_the_disk_and_leaves_nothing(tmp_path):
    """Which tells where room is needed; that of safetensors does not, and jobs show its traceback instead."""
    arrays = {"a": np.zeros(10_000)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_arrays(tmp_path / "x", "registration", arrays, {})
        with pytest.raises(SafetensorError):
            save_file(arrays, tmp_path / "mutant")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] in ([], ["mutant"])


def modes(points):
    """Return three smooth shifts of positions: a wide liver, a low kidney, a broad body."""
    liver = bumps(points, [-0.2, -0.38], 0.25, [0.0, -1.0], 0.09)
    kidney = bumps(points, [0.1, 0.42], 0.25, [-1.0, 0.0], 0.08)
    return np.stack([0.06 * np.stack([0 * points[0], points[1]]), liver, kidney])


@pytest.fixture(scope="module")
def population():
    """A template and 20 unlabelled cases of three modes, registered."""
    template = Template.of(bare(torso_case("template", np.random.default_rng(0))))
    weights = np.random.default_rng(10).standard_normal((20, 3))

    def moved(weight):
        def move(points):
            for _ in range(8):  # the exponential of the velocity, in steps
                points = points + np.tensordot(weight, modes(points), 1) / 8
            return points

        return move

    cases = [torso_case(f"c{n}", np.random.default_rng(n + 1), move=moved(w)) for n, w in enumerate(weights)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(register, "orientation", AS_IT_IS)
        return template, cases, [register_case(bare(case), template, FEW) for case in cases]


def angles(model, lattice, truth, inside, count):
    """Return principal angles in degrees between true and learned modes, as displacements within the body."""
    basis = Basis(lattice)
    learned = [
        lattice.velocity(_tensor(basis.to_coefficients(component)), inside.shape).numpy()[:, inside].ravel()
        for component in model.components[:count]
    ]
    q1, q2 = (np.linalg.qr(np.stack(rows).T)[0] for rows in (learned, [mode[:, inside].ravel() for mode in truth]))
    return np.degrees(np.arccos(np.linalg.svd(q1.T @ q2, compute_uv=False).clip(-1, 1)))


def _tensor(array):
    import torch

    return torch.from_numpy(np.asarray(array, np.float32))


def test_three_true_modes_are_recovered_from_twenty_unlabelled_cases(population):
    template, _, made = population
    assert [case.why for case in made if case.refusal is not None] == []
    model, _ = build_model(made, template)
    truth, body = modes(positions(64, 2)), torso_case("", np.random.default_rng(0)).label > 0
    found = angles(model, template.lattice, truth, body, 3)
    assert found.max() < 20, found
    assert model.variances[:3].sum() / model.total_variance > 0.7
    assert not model.template_outlies
    # Shuffled among the control points the same coefficients show no mode.
    shuffled = []
    for number, case in enumerate(made):
        mixed = np.random.default_rng(number).permutation(case.coefficients.ravel())
        shuffled.append(replace(case, coefficients=mixed.reshape(case.coefficients.shape)))
    nothing = DeformationModel.of(Sums.of(shuffled, template.digest, template.lattice))
    assert angles(nothing, template.lattice, truth, body, 3).max() > 60


@pytest.mark.deep
def test_the_nearest_case_is_the_template_and_a_strange_first_one_is_passed_over(population, caplog):
    _, cases, _ = population
    strange = np.random.default_rng(50).standard_normal((2, 64, 64)).astype(np.float32)
    one, two = (Case(f"stranger {n}", image, grid_of(64, 2)) for n, image in enumerate(strange))
    chosen = choose_template([one, *map(bare, cases[:3])])
    assert chosen.case.name in {case.name for case in cases[:3]}
    assert "stranger 0 cannot be the template" in caplog.text
    with pytest.raises(StageError, match="no case is like most"):
        choose_template([one, two])


@pytest.mark.deep
def test_the_mean_image_moves_towards_the_cases(population, monkeypatch):
    """Started from a case at the rim, the rest of the mean deformation shrinks."""
    monkeypatch.setattr(register, "orientation", AS_IT_IS)
    _, cases, _ = population
    start = Template.of(bare(cases[0]))
    built = build_template([bare(case) for case in cases[1:5]], start, FEW)
    assert len(built.rest) >= 2
    assert built.rest[1] < 0.7 * built.rest[0], built.rest
    with pytest.raises(StageError, match="mean image needs"):
        build_template([bare(cases[1])], start, FEW)


def test_models_are_built_from_files(population, tmp_path):
    template, _, made = population
    paths = [tmp_path / f"{case.name}.safetensors" for case in made]
    for case, path in zip(made, paths, strict=True):
        case.write(path)
    one, other = build_model(paths, template)[0], build_model(made, template)[0]
    assert np.array_equal(one.components, other.components)
    one.sums.write(tmp_path / "sums.safetensors")
    assert np.array_equal(read_model(tmp_path / "sums.safetensors").components, one.components)
    assert read_registration(paths[0]).name == made[0].name
