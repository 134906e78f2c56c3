"""The benchmark of amplification: its plan, its intervals on made-up numbers, its page, and tiny runs."""

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks.amplification import (
    cases,
    engines,
    fringes,
    learning,
    modes,
    plan,
    registered,
    report,
    results,
    single,
)
from benchmarks.amplification.plan import ENGINE, MODES, REGISTER, TUNING, Cell
from benchmarks.amplification.runner import BENCHMARK
from benchmarks.cells import intervals, runner
from benchmarks.cells.benchmark import Setting
from benchmarks.cells.single import BUSY, run_once

SEEDS, CASES = 5, 6


def test_the_plan_takes_less_than_four_core_hours(monkeypatch):
    cells = plan.plan()
    assert 3 < runner.planned_hours(BENCHMARK.expected_cpu_s, cells) < plan.CORE_HOURS
    assert len({cell.key for cell in cells}) == len(cells)
    assert [plan.cell_of(asdict(cell)) for cell in cells] == cells
    monkeypatch.setattr(plan, "SEEDS", 6)
    assert runner.planned_hours(BENCHMARK.expected_cpu_s, plan.plan()) > plan.CORE_HOURS, "another seed would not fit"


def test_the_plan_compares_what_was_asked_for():
    cells = plan.plan()
    for labels in (1, 3):
        for kind in plan.SHAPES:
            assert len({cell.seed for cell in cells if cell == Cell("A", kind, labels, cell.seed)}) >= 5
    for kind in ("none", "elastic", "mixed"):
        assert len({cell.seed for cell in cells if cell == Cell("A", kind, 8, cell.seed)}) >= 5
    for task in ("C", "variants"):
        for kind in plan.TASKS[task].kinds:
            assert len({cell.seed for cell in cells if cell == Cell(task, kind, 1, cell.seed)}) >= 3
    assert "physics" in plan.TASKS["C"].kinds
    assert plan.TASKS["A"].tests.keys() >= {"A-A", "A-C"}
    assert max(cell.labels for cell in cells if cell.task in plan.POOLS) <= min(plan.POOLS[task] for task in plan.TASKS)


def test_a_run_begins_when_what_it_needs_is_there():
    cells = plan.plan()
    done = []
    for cell in cells:
        assert not plan.waits(cell, done), f"{cell.key} would wait if one runner follows the plan"
        done.append(asdict(cell) | {"dice": 0.5})
    tuning = [one for one in done if one["kind"] == TUNING]
    assert plan.waits(Cell("A", "elastic", 1, 0), tuning[1:])
    assert plan.waits(Cell("C", "physics", 1, 0), [])
    assert plan.waits(Cell("A", "deformation", 1, 0), tuning), "cases are not registered"
    assert not plan.waits(Cell("A", "none", 1, 0), [])
    assert plan.waits(Cell("three", MODES), [asdict(Cell("A", REGISTER))])


def test_what_waits_is_made_once_what_it_needs_is_there(tmp_path, monkeypatch):
    tuning = [cell for cell in plan.plan() if cell.kind == TUNING]
    first, begun = Cell("A", "elastic", 1, 0), []

    def run(_bench, cell, setting):
        begun.append(cell)
        (setting.results / f"{cell.key}.json").write_text(json.dumps(record(cell)))
        return 0

    monkeypatch.setattr(runner, "_run", run)
    setting = Setting(tmp_path / "work", tmp_path / "results")
    assert runner.work_through(BENCHMARK, [first, *tuning], setting, tmp_path / "docs", None) == 0
    assert begun == [*tuning, first]
    assert runner.work_through(BENCHMARK, [first, *tuning], setting, tmp_path / "docs", None) == 0
    assert len(begun) == len(tuning) + 1, "nothing is made twice"
    begun.clear()
    hasty = replace(BENCHMARK, waits=lambda *_: "")
    setting = Setting(tmp_path / "work", tmp_path / "results_again")
    runner.work_through(hasty, [first, *tuning], setting, tmp_path / "docs_again", None)
    assert begun[0] == first, "it was the waiting that changed the order"


def test_the_best_elastic_deformation_is_taken_by_its_mean():
    tried = [
        (one, seed, dice)
        for one, pair in zip(plan.ELASTIC, ((0.4, 0.6), (0.7, 0.1), (0.5, 0.52)), strict=False)
        for seed, dice in enumerate(pair)
    ]
    records = [asdict(Cell("A", TUNING, 1, seed, one)) | {"dice": dice} for one, seed, dice in tried]
    assert plan.tuned([*records, {"kind": "none", "elastic": None, "dice": 0.9}]) == plan.ELASTIC[2]


def scores(seed, gain=0.0, noise=0.02):
    """Return made-up Dice (seeds, cases): seeds and cases differ far more than two kinds do."""
    rng = np.random.default_rng(seed)
    level = 0.6 + 0.1 * rng.standard_normal((SEEDS, 1)) + 0.1 * rng.standard_normal((1, CASES))
    one = level + gain + noise * rng.standard_normal((SEEDS, CASES))
    return one, level + noise * rng.standard_normal((SEEDS, CASES))


def test_differences_are_between_pairs_of_seed_and_case():
    one, other = scores(0, gain=0.05)
    found = intervals.difference(one, other)
    assert found.value == pytest.approx((one - other).mean())
    assert found.low < found.value < found.high
    assert found.verdict == "better"
    assert intervals.difference(other, one).verdict == "worse"
    # Without the pairs nothing could be said of them.
    unpaired = intervals.difference(one, np.roll(other, 1, axis=(0, 1)))
    assert unpaired.value == pytest.approx(found.value)
    assert unpaired.verdict == "not told apart"


def test_an_interval_of_nothing_holds_zero_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(intervals, "SAMPLES", 400)

    def held():
        rng = np.random.default_rng(7)
        each = []
        for _ in range(300):
            # What a seed's labels happen to be good for shifts all its cases alike.
            apart = 0.02 * rng.standard_normal((SEEDS, 1)) + 0.01 * rng.standard_normal((SEEDS, CASES))
            found = intervals.difference(apart, np.zeros_like(apart))
            each.append(found.low <= 0 <= found.high)
        return np.mean(each)

    assert 0.9 < held() < 0.995
    monkeypatch.setattr(intervals, "widening", lambda _seeds: 1.0)
    assert held() < 0.9, "percentiles of five seeds alone are too narrow"


def test_label_equivalents_are_read_from_the_curve():
    steps = {1: 0.5, 3: 0.6, 8: 0.7}
    rng = np.random.default_rng(1)
    seeds = 0.01 * rng.standard_normal((SEEDS, 1))
    curve = {count: dice + seeds + np.zeros((SEEDS, CASES)) for count, dice in steps.items()}
    same = intervals.label_equivalent(curve, curve[3])
    assert (same.value, same.low, same.high) == pytest.approx((3, 3, 3), rel=1e-3), "seeds are paired with the curve"
    between = intervals.label_equivalent(curve, curve[3] + 0.05)
    assert between.value == pytest.approx(np.sqrt(3 * 8), rel=1e-3), "linear in the logarithm"
    above = intervals.label_equivalent(curve, curve[8] + 0.1)
    assert (above.value, above.high) == pytest.approx((8, 8))
    below = intervals.label_equivalent(curve, curve[1] - 0.1)
    assert (below.value, below.low) == pytest.approx((1, 1))
    # A curve that falls tells nothing of more labels.
    falling = curve | {8: curve[3] - 0.05}
    assert intervals.label_equivalent(falling, curve[3]).value == pytest.approx(3, rel=0.01)
    noisy = curve[3] + 0.05 * rng.standard_normal((SEEDS, 1))
    spread = intervals.label_equivalent(curve, noisy)
    assert spread.low < spread.value < spread.high


def test_principal_angles_and_explained_variance_of_known_spans():
    axes = np.eye(6)
    turned = axes[2] * np.cos(np.radians(30)) + axes[5] * np.sin(np.radians(30))
    found = modes.principal_angles(np.stack([3 * axes[0] + axes[1], axes[1], turned]), axes[:3])
    assert found == pytest.approx([0, 0, 30], abs=0.01)
    fields = np.array([[2.0, 0, 0, 0, 0, 0], [-2, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, -1, 0, 0, 0, 0]]) + 5
    assert modes.explained(axes[:1], fields) == pytest.approx(0.8)
    assert modes.explained(axes[:2], fields) == pytest.approx(1)
    assert modes.explained(axes[4:], fields) == pytest.approx(0)


MADE = {"commit": "x", "torch": "2", "device": "cpu", "precision": "float32", "threads": 1, "machine": "x"}
FACTS = {"resumed": False, "cpu_s": 100.0, "made_with": MADE | {"steps_scale": 1.0, "load_per_core": 1.0}}


def record(cell, dice=0.6):
    """Return a result whose test cases differ, as do its organs; the last case lacks one."""
    organs = list(cases.classes_of(cell.population))[1:]
    each = dice + 0.05 * np.arange(CASES)[:, None] - 0.02 * np.arange(len(organs))[None]
    rows = [[*map(float, row)] for row in each]
    if len(organs) > 1:
        rows[-1][0] = None
    names = {"tuning": 0} if cell.kind == TUNING else plan.TASKS[cell.task].tests
    return asdict(cell) | FACTS | {"dice": dice, "tests": {name: {"organs": organs, "dice": rows} for name in names}}


def compared(gain, labels=(1, 3, 8)):
    """Return results in which mixed pairs gain so much over others, in all seeds nearly alike."""
    made = []
    for seed in range(SEEDS):
        for count in labels:
            level = 0.4 + 0.1 * np.log(count) + 0.03 * seed
            made.append(record(Cell("A", "none", count, seed), level))
            made.append(record(Cell("A", "elastic", count, seed), level + 0.001 * (-1) ** seed))
            made.append(record(Cell("A", "mixed", count, seed), level + gain + 0.001 * seed))
    return made


def page_of(records, folder, cells=None):
    folder.mkdir(exist_ok=True)
    report.write_report(records, plan.plan() if cells is None else cells, folder)
    return (folder / "amplification.md").read_text()


def test_there_is_no_page_before_anything_was_run(tmp_path):
    report.write_report([], plan.plan(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("gain", "told"), [(0.05, "Helps"), (-0.05, "Harms")])
def test_the_page_says_where_it_helps_and_where_it_harms(gain, told, tmp_path):
    page = page_of(compared(gain), tmp_path)
    (line,) = re.findall(rf"\*\*{told}\*\*.*?- (learned and elastic, against random elastic, tuned: .*?)\n", page, re.S)
    assert "torso, same site, 1 labelled case; torso, same site, 3 labelled cases" in line
    assert "**Not told apart**" in page, "elastic against labelled cases only"
    assert page.index("amplification-labels.svg") < page.index("## Where it helps") < page.index("## Differences")
    assert "phantom C |" not in page, "it was not run"
    svg = (tmp_path / "amplification-labels.svg").read_text()
    assert "torso, same site" in svg
    assert "variants" not in svg


def test_the_page_says_which_kinds_were_trained_on_which_device(tmp_path):
    records = compared(0.05)
    assert "Trained on" not in page_of(records, tmp_path / "one")
    for one in records:
        if one["kind"] == "none":
            one["made_with"] = one["made_with"] | {"device": "cuda"}
    told = "Trained on cpu: random elastic, tuned, learned and elastic; on cuda: labelled cases only."
    assert told in page_of(records, tmp_path / "two")


def test_absent_organs_do_not_count_and_the_worst_one_is_named(tmp_path):
    found = results.Results([record(Cell("A", "none", 1, 0), 0.6), record(Cell("A", "none", 1, 1), 0.6)])
    (mean,) = found.paired("A-A", [("none", 1)])
    assert mean.shape == (2, CASES)
    assert mean[0, 0] == pytest.approx(0.6 - 0.02 * 2)
    assert mean[0, -1] == pytest.approx(0.6 + 0.25 - 0.02 * 2.5), "without the organ that is absent"
    page = page_of(list(found.records.values()), tmp_path)
    assert "| aorta 0.645 |" in page


def test_label_equivalents_stand_on_the_page(tmp_path):
    page = page_of(compared(0.1 * np.log(3)), tmp_path)
    rows = re.findall(r"^\| torso, same site \| (\d) \| learned and elastic \| (\S+ ?\S* ?\S*?) \(", page, re.M)
    assert [count for count, _ in rows] == ["1", "3", "8"]
    assert float(rows[0][1]) == pytest.approx(3, rel=0.1)
    assert rows[2][1] == "at least 8"


def test_runs_without_training_stand_on_the_page(tmp_path):
    angles = {"registered": [5.0, 10.0, 19.0], "true": [2.0, 3.0, 9.0], "each_other": [4.0, 8.0, 12.0]}
    share = {"registered": 0.7, "true": 0.8, "own": 0.75}
    engine = {"wall_s": 61.0, "cpu_s": 28.0, "dice": 0.93, "organs": [], "folds": 0}
    records = [
        asdict(Cell("A", REGISTER)) | FACTS | {"refused": {"A004": "it folds"}, "folds": 0, "seconds": [20.0, 30.0]},
        asdict(Cell("A", MODES))
        | FACTS
        | {"cases": 19, "dominant": ["size", "fat", "bend"], "angles": {"3": angles}, "explained": {"3": share}},
        asdict(Cell("torso", ENGINE)) | FACTS | {"before": 0.5, "engines": {"tomoprofile": engine, "demons": engine}},
    ]
    page = page_of([one | {"tests": {}} for one in records], tmp_path)
    assert "| 13 modes | 19 | 3 | 5, 10, 19 | 2, 3, 9 | 4, 8, 12 | 70% | 80% |" in page
    assert "| torsos of two sites | tomoprofile | 61 | 28 | 1 | 1.0 | 0.500 to 0.930 | 0 |" in page
    assert "25 s each (wall, median), 0 folded voxels; A004 was refused: it folds" in page
    assert "svg" not in page


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_folds_between_two_voxels_are_counted_for_every_engine(axis):
    shape, spacing_mm = (8, 6, 10), (2.0, 1.5, 1.0)
    moved = np.zeros((*shape, 3))
    layer = np.moveaxis(moved, axis, 0)[3]
    layer[..., axis] = 0.95 * spacing_mm[axis]
    assert engines.folds(moved, spacing_mm) == 0, "it stops before the next voxel"
    layer[..., axis] = 1.25 * spacing_mm[axis]
    across = np.prod([n - 1 for other, n in enumerate(shape) if other != axis])
    assert engines.folds(moved, spacing_mm) == across
    # Central differences do not see it.
    assert np.gradient(moved[..., axis], spacing_mm[axis], axis=axis).min() > -1


def test_seeds_label_other_cases_and_more_labels_keep_the_first():
    first = cases.pool("A", 0)
    assert sorted(first) == list(range(plan.POOLS["A"]))
    assert first != cases.pool("A", 1)
    assert not {number for each in cases.tests(plan.TASKS["A"], False).values() for _, number in each} & set(first)
    kept = {number for each in cases.tests(plan.TASKS["A"], True).values() for _, number in each}
    assert not kept & {number for each in cases.tests(plan.TASKS["A"], False).values() for _, number in each}
    assert {name: each[0][0] for name, each in cases.tests(plan.TASKS["A"], False).items()} == {
        "A-A": "A",
        "A-D": "D",
        "A-C": "C",
    }


def test_labels_become_indices_of_the_classes_that_are_learned():
    labels = np.array([[cases.LABELS["aorta"], cases.LABELS["stomach"], cases.LABELS["liver"], 0]], np.uint8)
    index = cases.classes_of("A")
    assert cases.truth_of("A", labels).tolist() == [[index["aorta"], 0, index["liver"], 0]]
    assert index["aorta"] != cases.LABELS["aorta"], "otherwise this says nothing"
    assert cases.truth_of("phantom", np.array([0, 1, 2, 3], np.uint8)).tolist() == [0, 1, 0, 0]


def test_dice_of_an_organ_that_a_case_lacks_is_unknown():
    truth, found = np.array([1, 1, 0, 0], np.uint8), np.array([1, 0, 2, 0], np.uint8)
    assert learning.dice(found, truth, [1, 2]) == [pytest.approx(2 / 3, abs=1e-5), None]


def test_physics_draws_fringes_where_the_labels_were_moved_to():
    silent = ("noise_per_cm", "rings_per_cm", "texture_ratio", "streaks_per_cm", "cupping_per_cm")
    settings = replace(cases.phantom_settings("phantom", 0), **dict.fromkeys(silent, 0))
    share = np.zeros((20, 40, 40), np.float32)
    share[5:15, 10:22, 14:26] = 1
    grey = fringes.imaged({1: share}, settings, np.random.default_rng(0))
    moved = fringes.imaged({1: np.roll(share, 6, axis=2)}, settings, np.random.default_rng(0))
    assert grey.shape == share.shape
    assert moved[10, 16, 10:34] == pytest.approx(grey[10, 16, 4:28], abs=0.02 * float(np.ptp(grey)))
    # A domain refracts less than the matrix, so its border has a dark and a bright rim, as wide as before it was moved.
    assert np.abs(grey[10, 16] - np.median(grey)).max() > 5 * np.abs(grey[10, 16, 18:22] - np.median(grey)).max()
    # An image that is stretched has its fringes stretched as well; physics does not do that.
    wide = np.zeros_like(share)
    wide[5:15, 10:22, 8:32] = 1
    rim = fringes.imaged({1: wide}, settings, np.random.default_rng(0))[10, 16, 2:14]
    assert rim == pytest.approx(grey[10, 16, 8:20], abs=0.05 * float(np.ptp(grey)))


def test_runs_whose_keys_differ_after_the_last_dot_do_not_wait_for_each_other(tmp_path):
    setting = Setting(tmp_path / "work", tmp_path / "results")
    setting.results.mkdir()
    one, other = (plan.Cell("A", plan.TUNING, 1, 0, elastic) for elastic in ((0.02, 0.15), (0.02, 0.3)))

    def first(_folder):
        # Another runner comes while this one works; a run is busy only where the run is the same.
        assert run_once(other, setting, lambda _folder: {"of": "other"}) == 0
        assert run_once(one, setting, lambda _folder: {"of": "one, twice"}) == BUSY
        return {"of": "one"}

    assert run_once(one, setting, first) == 0
    found = {path.stem: json.loads(path.read_text())["of"] for path in setting.results.glob("*.json")}
    assert found == {one.key: "one", other.key: "other"}


TINY = (32, 30, 40)


def test_a_registration_is_made_once_and_kept(tmp_path, monkeypatch):
    setting = Setting(tmp_path / "work", tmp_path / "results", size=TINY)
    setting.results.mkdir()
    made = []

    def register(case, template, _settings):
        made.append(case.name)
        still = np.zeros(template.lattice.shape, np.float32)
        return registered.Registration(case.name, template.digest, still, np.zeros(3), measures={"seconds": 1.0})

    monkeypatch.setattr(registered, "register_case", register)
    assert [one.name for one in registered.registrations("A", range(2), setting)] == ["A000", "A001"]
    (setting.results / "registrations/A001.safetensors").unlink()  # as of a run that was killed
    assert [one.name for one in registered.registrations("A", range(2), setting)] == ["A000", "A001"]
    assert made == ["A000", "A001", "A001"]
    # Those of another template are made again.
    other = replace(setting, size=(34, 30, 40))
    registered.registrations("A", range(2), other)
    assert made[3:] == ["A000", "A001"]


@pytest.mark.deep
def test_a_tiny_run_from_end_to_end_and_not_twice(tmp_path, monkeypatch):
    setting, docs = Setting(tmp_path / "work", tmp_path / "results", steps_scale=0.004, size=TINY), tmp_path / "docs"
    cells = [cell for cell in plan.plan() if cell.kind == TUNING][:1]
    assert runner.work_through(BENCHMARK, cells, setting, docs, None) == 0
    result = setting.results / f"{cells[0].key}.json"
    made = json.loads(result.read_text())
    assert (made["steps_done"], made["resumed"]) == (2, False)
    assert 0 < made["accepted"] <= plan.PAIRS
    assert len(made["tests"]["tuning"]["dice"]) == plan.TUNING_CASES
    before = result.stat().st_mtime_ns
    assert runner.work_through(BENCHMARK, cells, setting, docs, None) == 0
    assert result.stat().st_mtime_ns == before
    page = (docs / "amplification.md").read_text()
    assert "A trial" in page
    assert "Tuning of elastic deformations" in page
    # What learned pairs need waits for their cases, and is left.
    waiting = [Cell("A", "deformation", 1, 0)]
    assert runner.work_through(BENCHMARK, waiting, setting, docs, None) == 0
    assert len(list(setting.results.glob("*.json"))) == 1
    monkeypatch.setattr(single, "_tuned", lambda _setting: (0.02, 0.15))
    assert single.run_cell(Cell("C", "physics", 1, 0), setting) == 0
