"""The base of our own: recipes within their ranges, labels as painted, a stream and a training that survive a kill."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprofile.base import bodies, recipe, render, train
from tomoprofile.base.bodies import BLOCK, CYLINDER, ELLIPSOID, Bodies, Canvas, place
from tomoprofile.base.drawing import draw_recipe
from tomoprofile.base.judge import HeldOut
from tomoprofile.base.recipe import DROPLET_RANGES, RANGES
from tomoprofile.base.render import simulate
from tomoprofile.base.scene import DOMAIN, build_scene
from tomoprofile.base.stream import Plan, Simulator, Stream
from tomoprofile.config import BundleConfig, UNetConfig
from tomoprofile.errors import InputError
from tomoprofile.layout import BundleLayout
from tomoprofile.network import facts, shipped
from tomoprofile.network.bundle import load_network
from tomoprofile.network.facts import bundle_folder, read_facts
from tomoprofile.network.initial import initial_network
from tomoprofile.network.shipped import base_state, write_base
from tomoprofile.report.flags import familiarity_flags
from tomoprofile.segment.kinds.bundle import Bundle
from tomoprofile.segment.kinds.network import Network
from tomoprofile.shift.alarm import compare

SIZE = (8, 64, 64)
PLAN = Plan(3, 4, 2, 64, 1, 8, 3, 4, SIZE)
CONFIG = UNetConfig(base="tomoprofile")


def out_of_range(recipes):
    """Return the drawn values that lie outside of their range; those that are not drawn are 0."""
    wrong = set()
    for one in recipes:
        for part in (one.domains, one.around, one.imaging):
            for name, value in vars(part).items():
                allowed = [table[name] for table in (RANGES, DROPLET_RANGES) if name in table]
                if not allowed or not value:
                    continue
                low, high = min(one.low for one in allowed), max(one.high for one in allowed)
                if name == "aspect":
                    low, high = 1.0, RANGES["slenderness"].high  # round, or as long as a rod
                if name in ("spread", "fringe"):
                    low = 0.0  # fibres are drawn to size; of materials the fringe follows
                if not low - 1e-9 <= (abs(value) if low >= 0 else value) <= high + 1e-9:
                    wrong.add(name)
    return wrong


def test_recipes_are_as_their_number_and_within_their_ranges(monkeypatch):
    recipes = [draw_recipe(5, number) for number in range(400)]
    assert recipes == [draw_recipe(5, number) for number in range(400)]
    assert recipes[0] != draw_recipe(6, 0)
    assert not out_of_range(recipes)
    assert {one.domains.shape for one in recipes} == set(recipe.SHAPES)
    monkeypatch.setitem(RANGES, "blur", RANGES["blur"]._replace(high=1.0))
    assert out_of_range(recipes) == {"blur"}


@pytest.mark.parametrize("shape", recipe.SHAPES)
def test_the_label_is_what_was_painted(shape):
    number = next(n for n in range(1000) if draw_recipe(5, n).domains.shape == shape)
    one = draw_recipe(5, number)
    scene = build_scene(replace(one, domains=replace(one.domains, diameter=12.0, fraction=0.1)), SIZE)
    painted = (scene.filled > 0.5)[scene.window]
    assert 0 < painted.sum() < painted.size
    assert ((scene.label == 1) == painted).all()
    assert not (scene.label[~scene.sample]).any()
    again = build_scene(replace(one, domains=replace(one.domains, diameter=12.0, fraction=0.1)), SIZE)
    assert all((scene.parts[name] == again.parts[name]).all() for name in scene.parts)


def painted_balls(gap, touching):
    canvas = Canvas(np.zeros((32, 32, 32), np.uint8), *(np.zeros((32, 32, 32), np.float32) for _ in range(3)))
    centres = np.array([[16.0, 16, 10], [16.0, 16, 20.5]])
    balls = Bodies(centres, np.stack([5.0 * np.eye(3)] * 2), ELLIPSOID, np.ones(2), np.zeros(2))
    return place(canvas, balls, DOMAIN, gap, touching, 10**6), canvas


def test_a_ball_has_its_volume_and_keeps_its_distance(monkeypatch):
    ball = 4 / 3 * np.pi * 125
    both, canvas = painted_balls(0.4, False)
    assert both == pytest.approx(2 * ball, rel=0.06)  # middles of voxels in a ball of 10: 5 % more or less
    assert canvas.share.sum() == pytest.approx(2 * ball, rel=0.02)
    one, _ = painted_balls(1.5, False)  # the middles of the voxels next to each other are 1 apart
    assert one == pytest.approx(ball, rel=0.06)
    monkeypatch.setattr(bodies, "_place", bodies._place.py_func)
    monkeypatch.setattr(bodies, "_has_room", lambda *_: True)
    assert painted_balls(1.5, False)[0] > 1.5 * ball


def near_but_left_out(grown):
    """Return how many voxels nearer than 1 to a body lie outside of the part of their row that is looked at."""
    rng, missed = np.random.default_rng(1), 0
    for kind in (ELLIPSOID, CYLINDER, BLOCK):
        for axes in ((4.0, 4, 4), (2, 3, 60), (1.5, 9, 12)):
            inverse = np.linalg.inv(np.linalg.qr(rng.standard_normal((3, 3)))[0] * axes)
            centre, bound = rng.uniform(5, 15, 3), 1 + grown * bodies._steepest(inverse)
            for z, y in np.ndindex(20, 20):
                first, last = bodies._row(z, y, centre, inverse, kind, bound, 0, 20)
                for x in (*range(first), *range(max(first, last), 20)):
                    missed += bodies._distance(z + 0.5, y + 0.5, x + 0.5, centre, inverse, kind)[0] < 1
    return missed


def test_rows_leave_out_nothing_that_is_near():
    assert near_but_left_out(1.0) == 0
    assert near_but_left_out(-1.0) > 0


def only_domains_that_refract(found):
    around, imaging = found.around, found.imaging
    others = (around.slab_share, around.void_share, around.filler_fraction, around.texture_amount, around.outside_share)
    return imaging.materials and imaging.fringe > 1 and found.domains.diameter < 12 and not any(others)


def test_one_map_images_as_two_do(monkeypatch):
    one = next(found for number in range(1000) if only_domains_that_refract(found := draw_recipe(9, number)))
    alone = simulate(one, SIZE)
    split = render._maps

    def two(parts, known):
        ((mixed, contrast),) = split(parts, known)
        return [(mixed * np.float32(part), unit) for part, unit in zip(contrast, np.eye(2), strict=True)]

    monkeypatch.setattr(render, "_maps", two)
    assert np.allclose(simulate(one, SIZE).grey, alone.grey, rtol=2e-3, atol=0.02)
    monkeypatch.setattr(render, "_maps", lambda *given: two(*given)[:1])
    assert not np.allclose(simulate(one, SIZE).grey, alone.grey, rtol=2e-3, atol=0.02)


def test_a_scan_is_finite_and_the_same_again():
    for number in range(6):
        scan = simulate(draw_recipe(9, number), SIZE)
        assert np.isfinite(scan.grey.astype(float)).all()
        assert set(np.unique(scan.label)) <= {0, 1}
        again = simulate(draw_recipe(9, number), SIZE)
        assert (scan.grey == again.grey).all()


def test_a_single_picture_is_its_own_neighbour():
    one = draw_recipe(9, 1)
    single = simulate(replace(one, imaging=replace(one.imaging, step=0)), SIZE)
    stack = single.stack(3, 1)
    assert (stack == stack[1]).all()
    several = simulate(replace(one, imaging=replace(one.imaging, step=1)), SIZE)
    assert (several.stack(3, 1) == several.grey[2:5]).all()


def drawn(steps, workers=0, plan=PLAN):
    with Simulator(plan.seed, plan.size, workers) as simulator, Stream(plan, simulator) as stream:
        return [stream.draw(step) for step in steps]


def same(one, other):
    return all(
        (a == b).all() for first, second in zip(one, other, strict=True) for a, b in zip(first, second, strict=True)
    )


def test_a_step_sees_the_same_after_a_kill_and_with_worker_processes():
    whole = drawn(range(4))
    assert same(whole, drawn(range(4), workers=1))
    assert same(whole[3:], drawn([3]))
    assert not same(whole[3:], drawn([3], plan=replace(PLAN, seed=4)))
    assert [list(PLAN.seen(step)) for step in (0, 4)] == [[0, 1, 2], [4, 5, 6, 7]]


def small_training(tmp_path, monkeypatch, stop=None):
    monkeypatch.setattr(train, "MACHINES", {"cpu": train.Machine(2, 64)})
    monkeypatch.setattr(train, "FIRST", 2)
    monkeypatch.setattr(train, "HELD_OUT_LOOK", 2)
    monkeypatch.setattr(train, "SAVES", 3)
    monkeypatch.setattr(train, "LEAST_SAVE", 1)
    monkeypatch.setattr(train, "SCAN_SIZE", SIZE)
    if stop is not None:
        advance = train.BaseTrainer.advance

        def killed(self):
            if self.step == stop:
                raise KeyboardInterrupt
            return advance(self)

        monkeypatch.setattr(train.BaseTrainer, "advance", killed)
    return train.make_base(tmp_path, 1.0, 7, 0, steps=3)


def test_a_killed_training_gives_the_same_base(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        whole = small_training(tmp_path / "whole", patch)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        small_training(tmp_path / "killed", patch, stop=2)
    assert (tmp_path / "killed/checkpoint.pt").is_file()
    with monkeypatch.context() as patch:
        steps = []
        advance = train.BaseTrainer.advance
        patch.setattr(train.BaseTrainer, "advance", lambda self: (steps.append(self.step), advance(self))[1])
        resumed = small_training(tmp_path / "killed", patch)
    assert steps == [2]
    assert resumed["sha256"] == whole["sha256"]
    assert resumed["plan"]["steps"] == 3
    with pytest.raises(InputError, match="has seed 7"):
        train.make_base(tmp_path / "killed", 1.0, 8, 0)


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A base of random weights, as if it were the shipped one."""
    torch.manual_seed(2)
    network = initial_network(UNetConfig(base="none"))
    write_base(tmp_path, network, UNetConfig(base="none"), {})
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    monkeypatch.setattr(facts, "SHIPPED", tmp_path)
    return network


def test_training_starts_from_the_base(base):
    found, made = initial_network(CONFIG).state_dict(), base.state_dict()
    assert all(torch.allclose(found[name].float(), made[name].float(), rtol=1e-3, atol=1e-6) for name in made)
    wide = initial_network(UNetConfig(base="tomoprofile", neighbours=2))
    stem = "encoder.stem.0.weight"
    assert torch.allclose(wide.state_dict()[stem].sum(1), made[stem].sum(1), atol=1e-2)
    classes = UNetConfig(base="tomoprofile", classes={"background": 0, "domain": 1, "void": 2})
    state = initial_network(classes).state_dict()
    others = [name for name in state if state[name].shape != made[name].shape]
    assert others
    assert all("head" in name for name in others)
    assert all(torch.allclose(state[n].float(), made[n].float(), rtol=1e-3, atol=1e-6) for n in made if n not in others)


@pytest.mark.usefixtures("base")
def test_a_base_of_another_network_is_refused():
    slim = UNetConfig(base="tomoprofile", decoder_channels=(64, 48, 32, 16), encoder="efficientnet-lite1")
    with pytest.raises(InputError, match="different decoder_channels") as refused:
        initial_network(slim)
    assert "different encoder" in str(refused.value)


@pytest.mark.usefixtures("base")
def test_other_weights_than_described_are_refused(monkeypatch):
    path = shipped.FOLDER / shipped.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not the weights"):
        base_state()
    # Without the comparison they would be taken.
    monkeypatch.setattr(
        shipped, "digest_of", lambda _: json.loads((shipped.FOLDER / shipped.FACTS).read_text())["sha256"]
    )
    assert base_state()


def test_the_base_is_a_bundle_that_no_label_made(base):
    folder = bundle_folder("tomoprofile")
    found, made = load_network(folder).state_dict(), base.state_dict()
    assert all(torch.allclose(found[name].float(), made[name].float(), rtol=1e-3, atol=1e-6) for name in made)
    told = read_facts(folder)
    assert told.levels == {"domain": 0.5}
    assert not told.measured["domain"].calibrated
    assert (told.labels.training, told.voxel_size_um) == ((), None)


def test_a_result_without_a_label_is_flagged_whatever_the_scan(base):
    assert base
    seen = read_facts(bundle_folder("tomoprofile")).seen
    verdict = compare(seen, None, 0.01, 7)
    assert (verdict.flag, verdict.label_slice) == ("outside_model", 7)
    (flag,) = familiarity_flags(verdict, "scan")
    assert flag.title == "No label was used"
    assert "to_label/scan_z00007.tif" in flag.text
    # Without the note that it is simulated, the model would only be one that could not be compared.
    assert compare(seen.model_copy(update={"simulated": False}), None, 0.01, 7).flag == ""


def test_the_own_base_is_used_by_its_name(base):
    assert base
    unlabelled = Bundle(bundle_folder("tomoprofile"), "first", BundleConfig(bundle="tomoprofile"))
    assert unlabelled.faults() == []
    assert "without any label" in unlabelled.summary
    trained = Network(shipped.FOLDER / "other", "default", CONFIG)
    assert trained.faults() == []
    assert trained.needs.earlier == str(shipped.FOLDER)
    BundleLayout(shipped.FOLDER).metadata.unlink()
    for segmenter in (unlabelled, trained):
        (fault,) = segmenter.faults()
        assert "without a model of its own" in fault.problem


def test_an_installation_without_a_base_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="without a base") as missing:
        initial_network(CONFIG)
    assert "base: imagenet" in str(missing.value)


def test_held_out_scans_are_grouped_by_what_they_show():
    with Simulator(11, SIZE, 0) as simulator:
        held_out = HeldOut(4, 1, simulator)
    perfect = held_out.dice(lambda image: next(label for own, label in held_out.slices if own is image).astype(float))
    assert {score for score in perfect if score is not None} == {1.0}
    nothing = held_out.by_group(held_out.dice(lambda image: np.zeros(image.shape[1:])))
    assert nothing["all"]["dice"] == 0
    assert sum(found["n"] for name, found in nothing.items() if name.startswith("shape ")) == nothing["all"]["n"]
