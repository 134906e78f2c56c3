"""A simulated torso: volumes, sides, modes of variation, and the displacement that is known at every voxel."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from tomoprofile.anatomy import modes
from tomoprofile.anatomy.case import render, simulate_case, simulate_template, template_labels
from tomoprofile.anatomy.lattice import Field, Grid, jacobian
from tomoprofile.anatomy.modes import basis, draw, draw_coefficients, moved, velocities
from tomoprofile.anatomy.settings import LABELS, MODES, SITES, AnatomySettings, Site, Torso
from tomoprofile.anatomy.shapes import Points
from tomoprofile.anatomy.template import Template, measured_grid, median_ml, template_of
from tomoprofile.errors import ConfigError, StageError

SMALL = AnatomySettings(size=(48, 44, 56))
ORGANS_WITH_VOLUME = [name for name in LABELS if name not in ("aorta", "vena_cava")]


@pytest.fixture(scope="module")
def case():
    """A case on the usual voxels; its body has a gallbladder."""
    torso = Torso(gallbladder_absent=0)
    return simulate_case(AnatomySettings(torso=torso), 5)


def volumes(template, shift=None):
    """Return the volumes of the organs in ml, of the template or after a displacement into it."""
    grid = measured_grid(template.torso)
    positions = grid.positions()
    if shift is not None:
        positions = positions + shift.on(grid)
    z, y, x = positions.reshape(3, -1)
    counts = np.bincount(template.labels(Points(x, y, z)), minlength=len(LABELS) + 1)
    return {name: counts[value] * math.prod(grid.spacing_mm) / 1e3 for name, value in LABELS.items()}


def dice(one, other, value):
    return 2 * ((one == value) & (other == value)).sum() / ((one == value).sum() + (other == value).sum())


def middle(labels, grid, name):
    """Return the mean position of an organ along z, y, x."""
    return [axis[where].mean() for axis, where in zip(grid.along(), (labels == LABELS[name]).nonzero(), strict=True)]


@pytest.mark.parametrize("torso", [Torso(), Torso(liver_ml=1150, spleen_ml=300, stomach_ml=250, width_mm=340)])
def test_organs_of_the_template_have_their_median_volumes(torso):
    template = template_of(torso)
    for name in ORGANS_WITH_VOLUME:
        assert volumes(template)[name] == pytest.approx(median_ml(torso, name), rel=0.01)
    as_drawn = volumes(Template(torso, template.bodies, {}))
    assert any(abs(as_drawn[name] / median_ml(torso, name) - 1) > 0.1 for name in ORGANS_WITH_VOLUME)


def test_organs_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="spleen: the organ does not fit"):
        template_of(Torso(width_mm=260, depth_mm=190, liver_ml=2200, spleen_ml=400))


def test_volumes_vary_as_asked():
    """The squares of the changes that single modes make add up to the variance of the logarithm."""
    torso = Torso()
    template = template_of(torso)
    before, squares, without_own = volumes(template), dict.fromkeys(LABELS, 0.0), dict.fromkeys(LABELS, 0.0)
    for mode in MODES:
        after = volumes(template, velocities(torso)[mode].times(-1).flow())
        for name in LABELS:
            square = math.log(after[name] / before[name]) ** 2
            squares[name] += square
            without_own[name] += square * (mode != name and not (mode == "kidneys" and "kidney" in name))
    for name in ORGANS_WITH_VOLUME:
        cv = getattr(torso, f"{name.removesuffix('_left').removesuffix('_right')}_cv")
        # The right kidney has the speed of the left one, and its own neighbours.
        assert math.sqrt(math.expm1(squares[name])) == pytest.approx(cv, rel=0.12), name
        assert math.sqrt(math.expm1(without_own[name])) < 0.9 * cv, name  # the modes of the organs are needed


@pytest.mark.deep
def test_fifty_cases_have_the_volumes_of_the_population():
    """Mean and spread over cases, within what chance allows in one of a thousand populations."""
    torso = Torso(gallbladder_absent=0)
    template, found = template_of(torso), []
    for seed in range(50):
        drawn = draw(AnatomySettings(torso=torso), np.random.default_rng(seed))
        found.append(volumes(template, drawn.back))
    for name in ORGANS_WITH_VOLUME:
        kind = name.removesuffix("_left").removesuffix("_right")
        mean, cv = getattr(torso, f"{kind}_ml"), getattr(torso, f"{kind}_cv")
        values = np.array([volume[name] for volume in found])
        assert values.mean() == pytest.approx(mean, rel=3.3 * cv / math.sqrt(50) + 0.03), name
        assert np.log(values).std() == pytest.approx(math.sqrt(math.log1p(cv**2)), rel=0.33 + 0.1), name


def test_left_is_left(case):
    """In the patient's space: x to the left, y to the back, z to the head."""
    labels, grid = case.labels, case.settings.grid
    side = {name: middle(labels, grid, name)[2] for name in LABELS}
    height = {name: middle(labels, grid, name)[0] for name in LABELS}

    def is_upright(side):
        left = ("spleen", "stomach", "kidney_left", "aorta")
        right = ("liver", "gallbladder", "kidney_right", "vena_cava")
        return all(side[name] > 0 for name in left) and all(side[name] < 0 for name in right)

    assert is_upright(side)
    twin = {name: middle(labels[:, :, ::-1], grid, name)[2] for name in LABELS}
    assert not is_upright(twin)
    assert height["kidney_left"] > height["kidney_right"]
    assert height["liver"] > height["kidney_right"]
    assert middle(labels, grid, "kidney_left")[1] > middle(labels, grid, "stomach")[1]
    x, y, z = case.geometry.lps.origin
    assert (z, y, x) == pytest.approx(grid.origin_mm)
    assert case.geometry.lps.direction == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def warped(labels, displacement, grid):
    """Return an image of the template on a case."""
    shift = displacement / np.reshape(grid.spacing_mm, (3, 1, 1, 1))
    return map_coordinates(labels, np.indices(labels.shape) + shift, order=0)


def test_the_displacement_takes_the_template_to_the_case(case):
    template, grid = template_labels(case.settings), case.settings.grid
    moved = warped(template, case.displacement_mm(), grid)
    scores = {name: dice(moved, case.labels, value) for name, value in LABELS.items()}
    assert min(scores.values()) > 0.88  # the voxels of the template are rounded once more
    assert scores["liver"] > 0.97
    for wrong in (0 * case.displacement_mm(), -case.displacement_mm(), case.displacement_mm()[::-1]):
        assert min(dice(warped(template, wrong, grid), case.labels, value) for value in LABELS.values()) < 0.75


def test_the_inverse_displacement_leads_back(case):
    grid = case.settings.grid
    there = case.displacement_mm()
    back = there + case.drawn.velocity.flow().at(grid.positions() + there)
    inner = np.s_[:, 8:-8, 8:-8, 8:-8]  # what moves in from beyond the field of view is not known
    assert np.sqrt((back[inner] ** 2).sum(axis=0)).max() < 0.5
    assert np.sqrt((there[inner] ** 2).sum(axis=0)).max() > 10
    assert np.array_equal(case.inverse_displacement_mm(), case.drawn.velocity.flow().on(grid))


def test_a_case_follows_the_sum_of_the_modes():
    settings = AnatomySettings(size=(24, 20, 28))
    true = basis(settings)
    drawn = draw(settings, np.random.default_rng(2))
    total = sum(drawn.coefficients[mode] * part for mode, part in zip(MODES, true, strict=True))
    assert drawn.velocity.on(settings.grid) == pytest.approx(total, abs=1e-3)
    # Each mode moves something, and none is a sum of others.
    flat = true.reshape(len(MODES), -1)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    assert np.linalg.svd(unit, compute_uv=False).min() > 0.1


def test_modes_do_what_their_names_say():
    torso = Torso()
    speed = {
        mode: lambda place, f=field: f.at(np.float32(place)[:, None])[:, 0] for mode, field in velocities(torso).items()
    }
    assert speed["respiration"]((82, 0, -70))[0] == pytest.approx(-10, abs=1.5)  # at the right dome
    assert abs(speed["respiration"]((80, 60, 0))[0]) < 2.5  # the spine stays
    assert speed["bend"]((0, 50, 0)) == pytest.approx([0, 0, 10], abs=0.2)
    assert speed["bend"]((135, 50, 0))[2] < 1
    assert speed["kidney_height"]((-10, 40, 60))[0] == pytest.approx(9, abs=1)
    assert speed["riedel"]((-20, 8, -98))[0] == pytest.approx(-12, abs=1)
    assert speed["flattening"]((0, -100, 0))[1] > 2
    assert speed["flattening"]((0, 0, 150))[2] > 3
    assert speed["size"]((100, -100, 100)) == pytest.approx(np.array([3, -3, 3]), abs=0.01)
    # One standard deviation of the logarithm of the fat's thickness, at the sides.
    skin, muscle = 142 + 16, 139
    thicker = np.float32(velocities(torso)["fat"].flow().at(np.float32([[0, 0], [0, 0], [muscle, skin]])))[2]
    assert thicker[1] - thicker[0] == pytest.approx(16 * math.expm1(torso.fat_sd), rel=0.25)
    assert thicker[0] < 3


def correlated(draws):
    """Return the largest correlation between two coefficients."""
    return np.abs(np.corrcoef(draws.T) - np.eye(draws.shape[1])).max()


def test_coefficients_are_normal_and_independent():
    number = 2000
    settings = AnatomySettings(site=Site("shifted", shifts=(("fat", 1.5), ("size", -0.5))))
    rng = np.random.default_rng(11)
    draws = np.array([[draw_coefficients(settings, rng)[mode] for mode in MODES] for _ in range(number)])
    mean = np.array([{"fat": 1.5, "size": -0.5}.get(mode, 0.0) for mode in MODES])
    assert draws.mean(axis=0) == pytest.approx(mean, abs=4 / math.sqrt(number))
    assert draws.std(axis=0) == pytest.approx(1, abs=4 / math.sqrt(2 * number))
    assert correlated(draws) < 4.5 / math.sqrt(number)
    draws[:, 1] = 0.8 * draws[:, 1] + 0.2 * draws[:, 0]
    assert correlated(draws) > 4.5 / math.sqrt(number)


def test_equal_seeds_give_equal_cases():
    one, same, other = (simulate_case(SMALL, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.hu, same.hu)
    assert np.array_equal(one.labels, same.labels)
    assert one.coefficients == same.coefficients != other.coefficients
    assert not np.array_equal(one.labels, other.labels)
    elsewhere = simulate_case(dataclasses.replace(SMALL, site=Site("noisy", noise_hu=25)), 3)
    assert np.array_equal(one.labels, elsewhere.labels)
    assert not np.array_equal(one.hu, elsewhere.hu)


def test_an_organ_may_be_absent():
    with_it, without = (
        simulate_case(dataclasses.replace(SMALL, torso=Torso(gallbladder_absent=share)), 6) for share in (0, 1)
    )
    was = with_it.labels == LABELS["gallbladder"]
    assert was.sum() > 20
    assert without.absent == ("gallbladder",)
    assert without.volumes_ml()["gallbladder"] == 0
    assert np.array_equal(with_it.labels[~was], without.labels[~was])
    assert (without.labels[was] == LABELS["liver"]).mean() > 0.2  # the liver fills its bed
    assert simulate_template(SMALL).absent == ()
    template = template_labels(SMALL, without.absent)
    assert not (template == LABELS["gallbladder"]).any()
    assert (template == LABELS["liver"]).sum() > (template_labels(SMALL) == LABELS["liver"]).sum()


def test_a_body_that_would_fold_is_drawn_again(monkeypatch):
    usual = dict.fromkeys(MODES, 0.0)
    thin = usual | {"fat": -8.0}  # e^-3.6 of the fat is left

    def drawn_from(*numbers):
        following = iter(numbers)
        monkeypatch.setattr(modes, "draw_coefficients", lambda *_: next(following))
        return draw(SMALL, np.random.default_rng(0))

    drawn = drawn_from(thin, thin, usual)
    assert drawn.coefficients == usual
    assert drawn.redrawn == 2
    monkeypatch.setattr(modes, "MOST_DRAWS", 1)
    with pytest.raises(StageError, match="in each of 1 draws"):
        drawn_from(thin)
    monkeypatch.setattr(modes, "folds", lambda *_: False)
    unchecked = drawn_from(thin)
    assert unchecked.coefficients == thin
    change = jacobian(unchecked.back, SMALL.grid)
    assert change.min() < 0.1 or change.max() > 10


def test_a_field_is_what_its_lattice_says():
    """Values, slopes and their flow against a rotation, whose flow is known."""
    lattice = Grid((-60, -60, -60), (6, 6, 6), (21, 21, 21))
    z, y, x = lattice.positions()
    angle = 0.4
    near = np.exp(-((np.maximum(np.sqrt(z**2 + y**2 + x**2) - 40, 0) / 6) ** 2))
    turning = Field.through(lattice, np.stack([0 * z, angle * x * near, -angle * y * near]).astype(np.float32))
    grid = Grid((-15.5, -14, -13), (7, 5, 4), (5, 6, 7))
    at = grid.positions()
    values = np.stack([0 * at[0], angle * at[2], -angle * at[1]])
    assert turning.on(grid) == pytest.approx(values, abs=0.03)
    assert turning.at(at) == pytest.approx(turning.on(grid), abs=1e-4)
    slopes = turning.slopes_on(grid)
    assert slopes[1, 2] == pytest.approx(np.full(grid.size, angle), abs=0.02)
    assert slopes[2, 1] == pytest.approx(np.full(grid.size, -angle), abs=0.02)
    assert slopes[0] == pytest.approx(0 * slopes[0], abs=0.02)
    flow = turning.flow()
    cosine, sine = math.cos(angle) - 1, math.sin(angle)
    turned = np.stack([0 * at[0], cosine * at[1] + sine * at[2], cosine * at[2] - sine * at[1]])
    assert flow.on(grid) == pytest.approx(turned, abs=0.05)
    assert jacobian(flow, grid) == pytest.approx(np.ones(grid.size), abs=0.02)
    assert abs(values - turned).max() > 0.5  # a velocity is no displacement


def test_a_mode_that_folds_has_a_jacobian_below_zero():
    lattice = Grid((-60, -60, -60), (6, 6, 6), (21, 21, 21))
    z = lattice.positions()[0]
    folding = Field.through(lattice, np.stack([-1.5 * z * np.exp(-((z / 25) ** 2)), 0 * z, 0 * z]))
    grid = Grid((-20, -20, -20), (4, 4, 4), (11, 11, 11))
    assert jacobian(folding, grid).min() < -0.4
    assert jacobian(folding.flow(), grid).min() > 0.1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Torso(liver_ml=0), "liver_ml"),
        (lambda: Torso(fat_sd=float("nan")), "fat_sd"),
        (lambda: Site(phase="arterial"), "phase"),
        (lambda: Site(shifts=(("fat", 2.0),)), "at most 1.5"),
        (lambda: Site(shifts=(("weight", 1.0),)), "unknown mode"),
        (lambda: Site(noise_hu=-1), "noise_hu"),
        (lambda: AnatomySettings(size=(8, 96, 96)), "at least 16"),
        (lambda: AnatomySettings(size=(5000, 5000, 5000)), "at most"),
        (lambda: AnatomySettings.of_site("E"), "A, B, C, D"),
    ],
)
def test_settings_of_no_body_are_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


def test_sites_differ_in_phase_scanner_and_population():
    assert {site.phase for site in SITES.values()} == {"native", "portal venous"}
    assert len({(site.kernel_mm, site.noise_hu, site.slice_mm) for site in SITES.values()}) == len(SITES)
    assert sum(bool(site.shifts) for site in SITES.values()) == 3


def test_a_given_body_is_rendered():
    """Two sites can scan one body."""
    body = moved(SMALL.torso, dict.fromkeys(MODES, 0.0) | {"spleen": 2.0})
    large, usual = render(SMALL, 1, body), simulate_template(SMALL, 1)
    assert large.volumes_ml()["spleen"] > 1.7 * usual.volumes_ml()["spleen"]
    assert large.volumes_ml()["liver"] == pytest.approx(usual.volumes_ml()["liver"], rel=0.1)
