"""Pairs drawn from labelled cases: slices of deformed scans, their records, and what they may not do."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from amplified_scans import EDGE_UM, FEW, ORGANS, SIDE, Scans, config_of
from amplify_cases import KIDNEY, bumps, dice, positions
from scipy import ndimage

from tomoprofile.amplify import pairs, stored
from tomoprofile.amplify.grid import Grid
from tomoprofile.amplify.model import DeformationModel
from tomoprofile.amplify.pairs import Drawing, LabelledCase, Learned
from tomoprofile.amplify.registration import Refusal, Registration, read_registration
from tomoprofile.amplify.sample import SampleSettings
from tomoprofile.amplify.slices import slice_in_plane, slice_in_space
from tomoprofile.amplify.stages import draw_pairs, learn, register
from tomoprofile.amplify.stored import StoredCase
from tomoprofile.amplify.sums import Sums, read_sums
from tomoprofile.amplify.template import Template
from tomoprofile.errors import InputError, StageError
from tomoprofile.labels.classes import IGNORE, Classes
from tomoprofile.labels.folds import make_folds
from tomoprofile.labels.masks import merge, read_annotators
from tomoprofile.labels.training_set import LabelledScan, collect_labels, read_training_set, write_training_set
from tomoprofile.network import folds
from tomoprofile.network.card import model_card
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.facts import LabelFacts, read_facts
from tomoprofile.network.fine_tune import fine_tune
from tomoprofile.shift.appearance import FEATURES, Appearance

CONFIG = config_of(kind="mixed")
FAR = (4, 27)  # slices, in groups that judge each other


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Return scans `whole`, `few` and `bare`, the first two labelled."""
    made = Scans(tmp_path_factory.mktemp("scans"))
    for number, (name, shift) in enumerate((("whole", 0.0), ("few", 0.06), ("bare", -0.06))):
        label = made.add(name, shift, seed=number)
        if name == "whole":
            made.label(name, label)
        elif name == "few":
            label[FEW[0], :6] = IGNORE
            made.label(name, label, FEW)
    return made


def labelled(scans, *names):
    return [
        LabelledScan(name, scans.volume(name), scans.folder / name / "labels", scans.folder / name / "appearance.json")
        for name in names
    ]


@pytest.fixture(scope="module")
def given(scans):
    """Return the training set of both labelled scans, and where it stands how all three differ."""
    both = labelled(scans, "whole", "few")
    return scans.collected(both, CONFIG), scans.registered(["whole", "few", "bare"], both, CONFIG)


@pytest.fixture(scope="module")
def drawn(scans, given):
    out = scans.folder / "amplified.npz"
    draw_pairs(given[0], labelled(scans, "whole", "few"), CONFIG, given[1], 1, out)
    return out


def stored_case(scans, name):
    case = StoredCase.at(name, scans.volume(name))
    labels = merge(read_annotators(scans.folder / name / "labels", case.store.shape, Classes.of(CONFIG)))
    return replace(case, labels=labels)


def moved_by(template, voxels):
    """Return the coefficients of a shift along (z, y, x)."""
    shift = np.array(voxels, np.float32).reshape(-1, 1, 1, 1) * EDGE_UM / 1000
    return np.broadcast_to(shift, template.lattice.shape).copy()


@pytest.mark.parametrize("most", [stored.MOST_VOXELS, 16**3], ids=["same voxels", "map of fewer voxels"])
def test_a_slice_of_a_moved_case_is_a_slice_of_the_scan(scans, monkeypatch, most):
    monkeypatch.setattr(stored, "MOST_VOXELS", most)
    case = stored_case(scans, "whole")
    template = Template.of(case.small())
    box = template.case.grid
    # In millimetres along the axes of the box, in which the scan's slices, rows and columns follow each other.
    way = moved_by(template, (3, -2, 0))
    field = pairs.map_to_source(template, -way, None)[0]  # the map of a drawn shape is that of minus its velocity
    found = slice_in_space(case, case.grid, box, field, 10, 1)
    grey = case.store.read(0, SIDE)
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_array_equal(found.label[inner], case.labels[13][2:-6, 4:-4])
    np.testing.assert_allclose(found.image[:, *inner], grey[12:15, 2:-6, 4:-4], atol=1e-3)
    flat, least = slice_in_plane(case, case.grid, template, [moved_by(template, (3, -2, 0))], 10, 1)
    np.testing.assert_array_equal(flat.label[inner], case.labels[10][2:-6, 4:-4])
    np.testing.assert_allclose(flat.image[:, *inner], grey[9:12, 2:-6, 4:-4], atol=1e-3)
    assert least == pytest.approx(1, abs=1e-3)
    assert (flat.label[:2] == IGNORE).all(), "rows from beyond the scan are not known"


def test_deformations_within_the_plane_are_those_in_space_where_these_stay_in_it(scans):
    case = stored_case(scans, "whole")
    template = Template.of(case.small())
    rng = np.random.default_rng(3)
    way = 3 * ndimage.gaussian_filter(rng.normal(size=template.lattice.shape), (0, 50, 1, 1)) * 10
    way[0] = 0
    way[:] = way[:, :1]  # the same in all slices
    in_space = slice_in_space(case, case.grid, template.case.grid, pairs.map_to_source(template, way, None)[0], 16, 1)
    in_plane, _ = slice_in_plane(case, case.grid, template, [-way], 16, 1)
    assert np.abs(in_space.image - case.store.read(15, 18)).max() > 0.5, "it moves"
    assert (in_space.label == in_plane.label).mean() > 0.98
    assert np.abs(in_space.image - in_plane.image).mean() < 0.01


def test_a_template_with_its_axes_in_another_direction_moves_slices_alike(scans):
    case = stored_case(scans, "whole")
    small = case.small()
    affine = np.array(small.grid.affine)
    affine[:3, 3] += affine[:3, 2] * (SIDE - 1)
    affine[:3, 2] *= -1
    mirrored = Template.of(replace(small, image=small.image[:, :, ::-1].copy(), grid=Grid.of(small.grid.shape, affine)))
    one, other = moved_by(mirrored, (0, 0, 3)), moved_by(mirrored, (0, 0, -3))
    found, _ = slice_in_plane(case, case.grid, mirrored, [one], 10, 1)
    np.testing.assert_array_equal(found.label[:, 4:-4], case.labels[10][:, 1:-7])
    field = pairs.map_to_source(mirrored, other, None)[0]
    in_space = slice_in_space(case, case.grid, mirrored.case.grid, field, 10, 1)
    np.testing.assert_array_equal(in_space.label[:, 4:-4], found.label[:, 4:-4])


def test_the_training_set_keeps_what_is_labelled_and_tells_how_each_pair_was_drawn(given, drawn):
    before, after = (read_training_set(path) for path in (given[0], drawn))
    assert [item.name for item in after.slices] == [item.name for item in before.slices]
    for one, other in zip(before.slices, after.slices, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    accepted = [pair for pair in after.pairs if pair["accepted"]]
    assert [pair["kind"] for pair in accepted].count("elastic") == 2
    assert [pair["kind"] for pair in accepted].count("deformation") == 2
    for pair in after.pairs:
        assert pair["source"] in ("whole", "few")
        assert pair["in_plane"] == (pair["source"] == "few")
        assert pair["weights"]
        assert pair["seed"] == 1
        assert bool(pair["slices"]) == pair["accepted"] == (not pair["reason"])
    assert {item.pair for item in after.drawn} == {pair["index"] for pair in accepted}
    told = after.facts["amplification"]
    assert told["slices"] == len(after.drawn)
    assert told["registered"] == ["whole", "few", "bare"]
    json.dumps(told)


def test_the_same_seed_gives_the_same_file(scans, given, drawn, tmp_path):
    both = labelled(scans, "whole", "few")
    draw_pairs(given[0], both, CONFIG, given[1], 1, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == drawn.read_bytes()
    draw_pairs(given[0], both, CONFIG, given[1], 2, tmp_path / "other.npz")
    first, other = (read_training_set(path).drawn[0].image for path in (drawn, tmp_path / "other.npz"))
    assert first.shape != other.shape or np.abs(first - other).max() > 0.1


def test_few_labelled_slices_stay_in_their_plane_and_what_is_ignored_stays_so(drawn):
    training = read_training_set(drawn)
    flat = [item for item in training.drawn if item.sample == "few"]
    assert {item.z for item in flat} <= {*FEW}
    real = {item.z: item for item in training.slices if item.sample == "few"}
    for item in flat:
        assert item.groups == (real[item.z].group,)
        ignored = (item.label == IGNORE).sum()
        assert (ignored > 100) == (item.z == FEW[0])
    solid = [item for item in training.drawn if item.sample == "whole"]
    groups = tuple(sorted({item.group for item in training.slices if item.sample == "whole"}))
    assert {item.groups for item in solid} == {groups}, "slices of a volume move into each other"


@pytest.fixture
def parts_of(monkeypatch, tmp_path):
    """Return what gives the part of a training set that each fold trains on; nothing is trained."""
    seen = []

    class Untrained:
        def __init__(self, *arguments):
            pass

        def run(self):
            return None

        def result(self, _share):
            return None

        def logit(self, image):
            return np.zeros((len(ORGANS), *image.shape[1:]), np.float32)

    monkeypatch.setattr(folds, "CropSampler", lambda part, *_: seen.append(part))
    monkeypatch.setattr(folds, "Trainer", Untrained)
    monkeypatch.setattr(folds, "SlicePredictor", Untrained)

    def of(training):
        seen.clear()
        judges = folds.Judges(lambda: None, CONFIG, 1, tmp_path / f"m{len(list(tmp_path.iterdir()))}", "x")
        judges.judge(training, make_folds(training, Classes.of(CONFIG).indices), 4)
        return list(seen)

    return of


def test_a_fold_sees_no_pair_of_what_it_judges(drawn, parts_of, monkeypatch):
    training = read_training_set(drawn)
    # The whole case, and each of the two slices of the other, are judged apart.
    number = {"whole": lambda _: 0, "few": lambda z: 1 + FEW.index(z)}
    training = replace(
        training,
        slices=[replace(item, group=number[item.sample](item.z)) for item in training.slices],
        drawn=[
            replace(item, groups=(0,) if item.sample == "whole" else (1 + FEW.index(item.z),))
            for item in training.drawn
        ],
    )

    def leaks():
        parts = parts_of(training)
        every = {item.group for item in training.slices}
        left_out = [every - {item.group for item in part.slices} for part in parts]
        assert len(parts) == 3
        assert all(left_out)
        return [item for part, out in zip(parts, left_out, strict=True) for item in part.drawn if {*item.groups} & out]

    assert not leaks()
    assert all(part.drawn for part in parts_of(training)), "pairs of other slices train"
    monkeypatch.setattr(folds, "apart_from", lambda drawn, _: drawn)  # the mutant
    assert leaks()


def test_one_labelled_volume_is_judged_without_any_pair_of_it(scans, parts_of, tmp_path):
    """Its slices move into each other, so a pair shows parts of all of them, whatever is judged."""
    alone, config = labelled(scans, "whole"), config_of(kind="elastic")
    collect_labels(alone, config, tmp_path / "own.npz")
    training = read_training_set(tmp_path / "own.npz")
    apart = [replace(item, group=item.z // 8) for item in training.slices]  # as those of a thicker scan
    write_training_set(replace(training, slices=apart), tmp_path / "apart.npz")
    draw_pairs(tmp_path / "apart.npz", alone, config, None, 1, tmp_path / "out.npz")
    training = read_training_set(tmp_path / "out.npz")
    assert training.drawn
    parts = parts_of(training)
    assert len(parts) > 1
    assert not [item for part in parts for item in part.drawn]
    # Mutant: pairs that are said to show only the slice of their own number.
    in_plane = [replace(item, groups=(item.z // 8,)) for item in training.drawn]
    assert [item for part in parts_of(replace(training, drawn=in_plane)) for item in part.drawn]


@pytest.mark.parametrize(("batch", "real", "least"), [(4, 0.25, 1), (8, 0.25, 2), (6, 0.5, 3), (5, 0.25, 2)])
def test_each_step_has_its_share_of_labelled_slices_and_of_each_kind(drawn, batch, real, least, monkeypatch):
    training = read_training_set(drawn)
    still = {"scale": 0, "spectrum": 0, "noise": 0, "rings": 0, "gain": 0, "offset": 0, "voids": 0}
    config = config_of(kind="mixed", real=real).model_copy(update={"batch": batch, "steps": 20})
    config = type(config).model_validate(config.model_dump() | {"augment": still})
    level = {"": 0.0, "elastic": 1.0, "deformation": 2.0}
    marked = replace(
        training,
        slices=[replace(item, image=np.full_like(item.image, level[""])) for item in training.slices],
        drawn=[replace(item, image=np.full_like(item.image, level[item.kind])) for item in training.drawn],
    )
    sampler = CropSampler(marked, config, 1)

    def counts():
        levels = [np.round(sampler.draw(step)[0].mean((1, 2, 3))) for step in range(6)]
        return [tuple(int((found == level[kind]).sum()) for kind in level) for found in levels]

    assert {count[0] for count in counts()} == {least}
    elastic, deformation = (sum(count[n] for count in counts()) for n in (1, 2))
    assert abs(elastic - deformation) <= 1
    # Mutant: a sampler that draws from all slices alike has steps without any labelled one.
    monkeypatch.setattr(sampler, "pools", lambda _: sampler.drawn[:1] * batch)
    assert {count[0] for count in counts()} == {0}


def test_without_pairs_crops_are_those_of_before(given):
    training = read_training_set(given[0])
    plain = CropSampler(training, config_of(), 1).draw(3)
    amplified = CropSampler(training, config_of(kind="mixed"), 1).draw(3)
    for one, other in zip(plain, amplified, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_pair_that_folds_or_swells_is_left_out_and_told(scans, given, monkeypatch, tmp_path):
    both = labelled(scans, "whole", "few")
    out = tmp_path / "out.npz"
    monkeypatch.setattr(pairs, "volume_out_of_range", lambda *_: "class 3 has twice its volume")
    draw_pairs(given[0], both, config_of(kind="elastic", pairs=6), None, 1, out)
    training = read_training_set(out)
    told = training.facts["amplification"]
    assert told["left_out"][pairs.VOLUME] >= 1
    assert {item.sample for item in training.drawn} == {"few"}, "of a few slices no volume is known"
    monkeypatch.setattr(pairs, "LEAST_JACOBIAN", 10.0)
    with pytest.raises(StageError, match="no drawn pair was accepted"):
        draw_pairs(given[0], both, config_of(kind="elastic", pairs=2), None, 1, out)


@pytest.fixture(scope="module")
def one_mode(scans):
    """Return a whole labelled case, and a model of one mode, the shift of a kidney, made from coefficients."""
    case = stored_case(scans, "whole")
    own = Template.of(case.small())
    lattice, points = own.lattice, positions(own.case.grid.shape[0], 3)
    wanted = torch.from_numpy(bumps(points, [-0.2, 0.1, 0.42], 0.25, [0.0, 1.0, 0.0], 3.0)).float()
    coefficients = lattice.zeros().requires_grad_()
    optimiser = torch.optim.LBFGS([coefficients], max_iter=60)

    def loss():
        optimiser.zero_grad()
        value = (lattice.velocity(coefficients, wanted.shape[1:]) - wanted).square().mean()
        value.backward()
        return value

    optimiser.step(loss)
    mode, rng = coefficients.detach().numpy(), np.random.default_rng(7)
    voxels, voxel = np.bincount(np.stack([*case.labels.values()]).ravel()), (EDGE_UM / 1000) ** 3
    cases = []
    for number, weight in enumerate(rng.standard_normal(12)):
        volumes = {k: voxels[k] * voxel * float(np.exp(0.05 * rng.standard_normal())) for k in case.whole_classes}
        moved = (weight * mode).astype(np.float32)
        cases.append(Registration(f"c{number}", own.digest, moved, np.zeros(3), volumes=volumes))
    model = DeformationModel.of(Sums.of(cases, own.digest, lattice))
    still = Registration("whole", own.digest, lattice.zeros().numpy(), np.zeros(3))
    appearance = Appearance(0.0, 0.5, (EDGE_UM,) * 3, [0], np.zeros((4, len(FEATURES))))
    return LabelledCase(case, own, {}, appearance), Learned(own, model, {"whole": still})


def drawn_from(one_mode, learned=None, settings=None, seed=1, **amplify):
    """Return the records and the slices of pairs of one whole case."""
    case, known = one_mode
    return list(Drawing([case], learned or known, config_of(**amplify).amplify, 0, seed, settings).pairs())


@pytest.mark.parametrize("kind", ["deformation", "elastic", "mixed"])
def test_pairs_are_accepted_within_the_learned_range(one_mode, kind):
    pairs_of = drawn_from(one_mode, kind=kind, pairs=6, seed=3)
    good = [(record, slices) for record, slices in pairs_of if record["accepted"]]
    assert len(good) == 6
    overlaps = []
    for record, slices in good:
        assert record["min_jacobian"] > 0.1
        assert record["kind"] == "elastic" or np.abs(record["weights"]).max() <= 2.5
        truth = np.stack([one_mode[0].case.labels[item.z] for item in slices])
        label = np.stack([item.label for item in slices])
        overlaps.append(dice(np.where(label == IGNORE, 0, label), truth))
    assert 0.5 < min(overlaps) < 0.99
    kinds = {record["kind"] for record, _ in pairs_of}
    assert kinds == ({"deformation", "elastic"} if kind == "mixed" else {kind})


def test_a_pair_depends_on_its_number_and_not_on_how_many_there_are(one_mode):
    few, many = (drawn_from(one_mode, kind="mixed", pairs=count) for count in (2, 4))
    for (record, slices), (same, again) in zip(few, many, strict=False):
        assert record == same
        assert all(np.array_equal(one.image, other.image) for one, other in zip(slices, again, strict=True))


def test_a_drawn_shape_has_its_organ_where_the_mode_puts_it(one_mode):
    """Of the two possible directions of a map only one is right, and weights are its sizes."""
    (case, learned), rows = one_mode, np.arange(SIDE)[:, None]
    lattice, grid = learned.template.lattice, learned.template.case.grid
    moved, sizes = [], []
    for record, slices in drawn_from(one_mode, kind="deformation", pairs=8):
        shape = torch.from_numpy(learned.model.coefficients(np.array(record["weights"]))).float()
        velocity = lattice.velocity(shape, grid.shape)[1].numpy()
        for item in slices:
            before, after = case.case.labels[item.z] == KIDNEY, item.label == KIDNEY
            if before.sum() > 10 and after.any():
                moved.append((rows * after).sum() / after.sum() - (rows * before).sum() / before.sum())
                sizes.append(float(velocity[item.z][before].mean()) * 1000 / EDGE_UM)
    assert len(moved) >= 8
    assert np.corrcoef(moved, sizes)[0, 1] > 0.9
    assert np.polyfit(sizes, moved, 1)[0] == pytest.approx(1, abs=0.35)


def test_gates_leave_out_folds_and_organs_of_unlearned_size(one_mode, monkeypatch):
    wild = SampleSettings(elastic=0.25, elastic_length=0.05)
    with pytest.raises(StageError, match="no drawn pair was accepted"):
        drawn_from(one_mode, settings=wild, kind="elastic", pairs=2)
    monkeypatch.setattr(pairs, "LEAST_JACOBIAN", -np.inf)  # the mutant
    monkeypatch.setattr(pairs, "volume_out_of_range", lambda *_: "")
    passed = drawn_from(one_mode, settings=wild, kind="elastic", pairs=2)
    assert min(record["min_jacobian"] for record, _ in passed) < 0
    monkeypatch.undo()
    learned = one_mode[1]
    sums = replace(learned.model.sums, volumes={KIDNEY: (12.0, 0.0, 0.0)})  # all of 1 mm³
    small = replace(learned, model=replace(learned.model, sums=sums))
    drawing = Drawing([one_mode[0]], small, config_of(kind="deformation", pairs=1).amplify, 0, 1)
    record, slices = next(found := drawing.pairs())
    assert record["reason"] == pairs.VOLUME
    assert f"class {KIDNEY} has" in record["why"]
    assert record["why"].count("mm³") == 2
    assert not slices
    with pytest.raises(StageError, match="no drawn pair was accepted"):
        list(found)


def test_coefficients_on_another_template_are_refused(one_mode):
    learned = one_mode[1]
    foreign = replace(learned.model, sums=replace(learned.model.sums, template="other"))
    with pytest.raises(InputError, match="another template"):
        replace(learned, model=foreign)
    moved = {"whole": replace(learned.registrations["whole"], template="other")}
    with pytest.raises(InputError, match="another template"):
        replace(learned, registrations=moved)


def test_volumes_are_judged_only_where_all_of_a_class_is_labelled(scans):
    case = stored_case(scans, "whole")
    assert CONFIG.classes["kidney"] in case.whole_classes
    assert CONFIG.classes["vessel"] not in case.whole_classes, "it leaves the field of view"
    assert not stored_case(scans, "few").whole_classes
    cut = replace(case, labels={z: mask for z, mask in case.labels.items() if z < 16})
    assert CONFIG.classes["kidney"] not in cut.whole_classes


def test_a_refused_case_is_left_out_and_named_on_the_card(scans, tmp_path):
    made = Scans(tmp_path)
    made.add("constant", image=np.zeros((SIDE, SIDE, SIDE), np.float32))
    names = ["whole", "few", "bare"]
    both = labelled(scans, "whole", "few")
    files = scans.registered(names, both, CONFIG)
    register("constant", made.volume("constant"), files.template, tmp_path / "refused.safetensors", 1)
    refused = read_registration(tmp_path / "refused.safetensors")
    assert refused.refusal is Refusal.EMPTY
    files = replace(files, registrations=[*files.registrations, tmp_path / "refused.safetensors"])
    learn(files, both, CONFIG)
    training = scans.collected(both, CONFIG)
    draw_pairs(training, both, CONFIG, files, 1, tmp_path / "out.npz")
    facts = read_training_set(tmp_path / "out.npz").facts
    assert facts["amplification"]["refused"] == {"constant": refused.why}
    assert facts["amplification"]["registered"] == names
    fine_tune(tmp_path / "out.npz", CONFIG, 1, tmp_path / "model", threads=1)
    card = (tmp_path / "model/docs/README.md").read_text()
    assert f"constant: {refused.why}" in card
    assert "accepted 2 deformation, 2 elastic" in card
    told = read_facts(tmp_path / "model")
    assert told.labels.amplification.refused == {"constant": refused.why}
    plain = told.model_copy(update={"labels": LabelFacts(labels={}, training=())})
    assert "drawn" not in model_card("m", plain).split("Judged")[0]


def test_the_template_itself_does_not_move(scans, given, tmp_path):
    register("whole", scans.volume("whole"), given[1].template, tmp_path / "own.safetensors", 1)
    found = read_registration(tmp_path / "own.safetensors")
    assert found.refusal is None
    assert not found.coefficients.any()
    assert not found.shift_mm.any()


def test_labelled_cases_of_which_none_is_registered_are_a_fault_with_a_remedy(scans, given, tmp_path):
    names = ["whole", "few", "bare"]
    paths = [scans.folder / name / "registration.safetensors" for name in names]
    for path in paths[:2]:
        case = replace(read_registration(path), refusal=Refusal.REGION, why="another part of the body")
        case.write(tmp_path / path.parent.name)
    files = replace(given[1], registrations=[tmp_path / "whole", tmp_path / "few", paths[2]])
    with pytest.raises(StageError, match="none of the 2 labelled cases could be registered") as caught:
        draw_pairs(given[0], labelled(scans, "whole", "few"), CONFIG, files, 1, tmp_path / "out.npz")
    assert "elastic" in str(caught.value)
    # Labels do not need a registration to be deformed at random.
    draw_pairs(given[0], labelled(scans, "whole"), config_of(kind="elastic"), None, 1, tmp_path / "out.npz")


def test_volumes_of_all_cases_are_known_from_the_labels_of_the_template(scans, given):
    volumes = read_sums(given[1].sums).volumes
    case = stored_case(scans, "whole")
    assert {*volumes} == {*case.whole_classes}
    kidney = CONFIG.classes["kidney"]
    true = sum((mask == kidney).sum() for mask in case.labels.values()) * (EDGE_UM / 1000) ** 3
    count, logarithms, _ = volumes[kidney]
    assert count == 3
    assert np.exp(logarithms / count) == pytest.approx(true, rel=0.05), "shifts change no volume"
