"""The segmentation benchmark: its scores on made-up objects, its plan, its page, and one tiny run from end to end."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cells import runner
from benchmarks.segmentation import forest, ours, plan, report, scores, single, tasks
from benchmarks.segmentation.plan import OURS, STEPS, Cell
from benchmarks.segmentation.runner import BENCHMARK
from benchmarks.segmentation.single import Setting

VOXEL = 0.5


def balls(shape, *spheres):
    """Return a mask of balls, each (z, y, x, radius) in voxels."""
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    mask = np.zeros(shape, bool)
    for *centre, radius in spheres:
        mask |= sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2
    return mask


TRUTH = balls((48, 64, 96), (24, 32, 30, 12), (24, 20, 60, 3), (24, 44, 60, 3), (24, 44, 80, 5), (0, 10, 90, 4))


def rated(found):
    resin = np.ones_like(TRUTH)
    depth = np.broadcast_to((np.arange(64)[:, None] + 0.5) * VOXEL, TRUTH.shape).astype(np.float32)
    return scores.score(found, TRUTH, resin, depth, VOXEL)


def test_the_truth_scores_full_marks():
    full = rated(TRUTH)
    assert (full["dice"], full["iou"], full["vv_error_points"], full["profile_error_points"]) == (1, 1, 0, 0)
    assert (full["count_error_percent"], full["diameter_error_um"], full["interior_recall_large"]) == (0, 0, 1)
    assert full["objects_truth"] == 4, "the one that a face cuts does not count"
    assert (full["objects_3_to_6"], full["objects_above_10"]) == (3, 1)
    assert full["recall_3_to_6"] == full["recall_above_10"] == 1
    assert full["recall_below_3"] is None


def test_a_missed_domain_costs_recall_and_count_of_its_class():
    found = TRUTH & ~balls(TRUTH.shape, (24, 44, 80, 5))
    missed = rated(found)
    assert missed["recall_3_to_6"] == pytest.approx(2 / 3)
    assert missed["recall_above_10"] == 1
    assert missed["count_error_percent"] == pytest.approx(-25)
    lost = 100 * (found.sum() - TRUTH.sum()) / TRUTH.size
    assert missed["vv_error_points"] == pytest.approx(lost)
    assert missed["profile_error_points"] > 0


def test_a_rim_is_found_but_its_interior_is_not():
    hollow = rated(TRUTH & ~balls(TRUTH.shape, (24, 32, 30, 10)))
    assert hollow["recall_above_10"] == 1, "its centroid is right"
    assert hollow["interior_recall_large"] < 0.1
    assert hollow["iou"] < 0.6


def test_half_a_domain_is_not_recalled():
    half = TRUTH.copy()
    half[:, :, 18:36] = False
    assert rated(half)["recall_above_10"] == 0


def test_errors_of_opposite_sign_cancel_in_the_volume_ratio_but_not_in_the_profile():
    moved = rated(np.roll(TRUTH, 20, axis=1))
    assert moved["vv_error_points"] == 0
    assert moved["profile_error_points"] > 1


def test_the_substrate_does_not_count():
    resin = np.ones_like(TRUTH)
    resin[:, 60:] = False
    noise = TRUTH.copy()
    noise[:, 61:] = True
    depth = np.ones(TRUTH.shape, np.float32)
    assert scores.score(noise, TRUTH, resin, depth, VOXEL)["dice"] == 1
    assert scores.score(noise, TRUTH, np.ones_like(TRUTH), depth, VOXEL)["dice"] < 1


def test_a_picture_has_circles():
    picture = balls((64, 64), (30, 30, 10))
    found = scores.find_objects(picture, VOXEL)
    assert found.diameters_um == pytest.approx([10], rel=0.02)
    assert found.centroids_um == pytest.approx(np.array([[15.25, 15.25]]))


def test_the_plan_takes_less_than_five_core_hours():
    summary = Path(__file__).parents[2] / "docs/benchmarks/segmentation.json"
    cells = plan.plan()
    # Of a processor with bfloat16; one without needs a quarter more (docs/decisions.md).
    usual = [one for one in json.loads(summary.read_text())["runs"] if one["made_with"]["precision"] == "bfloat16"]
    for records in ([], usual):
        assert 3 < runner.planned_hours(plan.expected_cpu_s, cells, records) < plan.CORE_HOURS
    assert runner.planned_hours(plan.expected_cpu_s, plan.plan(seeds=5)) > plan.CORE_HOURS, "more seeds would not fit"
    assert len({cell.key for cell in cells}) == len(cells)


def test_results_replace_the_estimate_but_not_those_of_a_killed_run():
    cell = plan.learning("C", OURS, 3, 2)
    known = [record(plan.learning("C", OURS, 3, seed), cpu_s=100.0) for seed in (0, 1)]
    assert plan.expected_cpu_s(cell, known) == 100
    assert plan.expected_cpu_s(cell, [one | {"resumed": True} for one in known]) == plan.expected_cpu_s(cell)
    assert plan.expected_cpu_s(plan.learning("fibres", OURS, 3, 2), known) > 100, "another task"


def test_pairs_of_a_seed_come_together_and_the_curves_before_single_points():
    cells = plan.plan()
    seeds = [cell.seed for cell in cells]
    switch = seeds.index(1), seeds.index(2)
    assert seeds[: switch[1]] == sorted(seeds[: switch[1]])
    for place, cell in enumerate(cells):
        curve = cell.labels in plan.CURVE[:2] and cell.task in ("C", "fibres") and cell.method == OURS
        if curve and (cell.steps, cell.chosen) == (STEPS, "pick"):
            others = {one.method for one in cells[place + 1 : place + 3]}
            assert others == {"imagenet", "forest"}, cell
    only_zero = [cell for cell in cells if cell.labels == 0]
    assert {cell.task for cell in only_zero if cell.method == OURS} == set(plan.TASKS)
    assert ("cement", "otsu") not in {(cell.task, cell.method) for cell in only_zero}
    assert cells.index(plan.earlier_cell(0)) < min(n for n, cell in enumerate(cells) if cell.method == "earlier")


def test_what_cannot_run_here_is_not_planned(monkeypatch):
    monkeypatch.setattr(plan, "find_spec", lambda name: None if name == "nnunetv2" else object())
    assert set(plan.METHODS) - set(plan.available()) == {"nnunet"}
    assert not [cell for cell in plan.plan(plan.available()) if cell.method == "nnunet"]
    assert [cell for cell in plan.plan() if cell.method == "nnunet"]


SMALL = (48, 112, 64)


def test_every_label_of_the_workflow_trains_and_keeps_its_distance(tmp_path):
    problem = tasks.make_problem(plan.learning("A", OURS, 3, 0), tmp_path, SMALL)
    scan = tasks._scan("A", 0, tmp_path, SMALL)
    training = problem.training
    assert len(training.slices) == 3
    assert training.unlabelled, "as the workflow collects them"
    assert set(problem.tests) == {"A", "carried"}
    for item in training.slices:
        z = tasks.EDGE + item.z
        assert problem.tests["A"].place.start - z > tasks.GUARD
        normal = ours.normalise(scan.grey[z - 1 : z + 2], scan.looks.centre, scan.looks.spread)
        assert item.image[1] == pytest.approx(normal[1], abs=1e-5)
        assert (item.label == (scan.labels[z] == ours.DOMAIN)).all()
    alike = tasks.make_problem(plan.learning("A", "forest", 3, 0), tmp_path, SMALL).training
    assert [one.z for one in alike.slices] == [one.z for one in training.slices], "all methods get the same labels"
    part = ours.Labelled("scan", scan.grey, {}, scan.looks, scan.voxel_um)
    chance = [tasks._chosen(plan.learning("C", OURS, 3, seed, chosen="random"), part) for seed in (0, 0, 1)]
    assert [len(set(one)) for one in chance] == [3, 3, 3]
    assert chance[0] == chance[1] != chance[2]


def test_tiles_have_equal_areas_and_share_no_pixel():
    for tiles, shape in ((tasks.FINE_TILES, (300, 150)), (tasks.COARSE_TILES, (500, 250))):
        times = np.zeros(shape, int)
        for tile in tiles:
            assert times[tile].size == 22_500
            times[tile] += 1
        assert times.max() == 1
    assert max(rows.stop for rows, _ in tasks.COARSE_TILES) + 16 <= tasks.COARSE_TEST.start


@pytest.mark.skipif(not tasks.FIBRES.is_dir(), reason="real scans are not in the repository")
@pytest.mark.parametrize("pair", [tasks.FINE, tasks.COARSE])
def test_fibres_are_what_is_dark(pair):
    grey, fibre = tasks.read_fibres(*pair[:2])
    assert grey[fibre].mean() < grey[~fibre].mean() - grey.std()
    assert 0.3 < fibre.mean() < 0.45


@pytest.mark.skipif(not tasks.FIBRES.is_dir(), reason="real scans are not in the repository")
def test_every_second_seed_turns_the_picture_with_its_labels():
    one, other = (tasks.make_problem(plan.learning("fibres", OURS, 3, seed), Path()) for seed in (0, 1))
    assert len(one.training.slices) == len(other.training.slices) == 3
    assert (one.tests["fibres-to-fine"].truth == other.tests["fibres-to-fine"].truth).all()
    assert (one.tests["fibres-within"].truth != other.tests["fibres-within"].truth).any()
    unlabelled = [cell for cell in plan.plan() if (cell.task, cell.method, cell.labels) == ("fibres", OURS, 0)]
    shown = [test.truth.tobytes() for cell in unlabelled for test in tasks.make_problem(cell, Path()).tests.values()]
    assert len(shown) == len(set(shown)) == 3, "the same picture twice would make an interval too narrow"
    for problem in (one, other):
        test = problem.tests["fibres-within"]
        assert test.grey[test.truth].mean() < test.grey[~test.truth].mean(), "a picture turned without its mask"
        for item in problem.training.slices:
            assert item.image[1][item.label == 1].mean() < item.image[1][item.label == 0].mean()


def test_filters_of_the_forest_are_of_the_middle_slice_and_its_neighbours():
    stack = np.zeros((3, 32, 32), np.float32)
    stack[1, 16, 16] = 1
    found = forest.features(stack)
    assert found.shape == (32, 32, 2 + 7 * len(forest.SCALES))
    assert np.isfinite(found).all()
    assert not found[..., :2].any(), "the neighbours are empty"
    assert (np.abs(found[..., 2:]).reshape(-1, 7 * len(forest.SCALES)).max(0) > 0).all()


def record(cell, dice=0.9, **changes):
    rating = rated(TRUTH) | {"dice": dice}
    made = {"commit": "x", "torch": "2", "device": "cpu", "precision": "float32", "threads": 1, "machine": "x"}
    facts = {"train_wall_s": 9.0, "train_cpu_s": 8.0, "cpu_s": 20.0, "resumed": False}
    tests = dict.fromkeys(plan.TASKS[cell.task].tests, rating)
    return asdict(cell) | facts | {"tests": tests, "made_with": made | {"steps_scale": 1.0}} | changes


def page_of(records, folder, cells=None):
    report.write_report(records, plan.plan() if cells is None else cells, folder)
    return (folder / "segmentation.md").read_text()


# Scans of three seeds differ far more than two methods do.
SCANS = (0.5, 0.7, 0.9)


def paired(gains):
    ours_, others = [], []
    for seed, (level, gain) in enumerate(zip(SCANS, gains, strict=True)):
        ours_.append(record(plan.learning("C", OURS, 3, seed), level + gain))
        others.append(record(plan.learning("C", "imagenet", 3, seed), level))
    return ours_, others


def test_differences_are_between_pairs_of_a_seed():
    ours_, others = paired((0.019, 0.020, 0.021))
    (found,) = report.Results([*ours_, *reversed(others)]).differences()
    assert found.values == pytest.approx((0.019, 0.020, 0.021))
    # Student's t with two degrees of freedom: 4.3027 * 0.001 / sqrt(3).
    assert found.interval == pytest.approx((0.02 - 0.0024841, 0.02 + 0.0024841), abs=1e-6)
    assert found.verdict == "better"
    # Between the same runs without their pairs, nothing could be said.
    shuffled = [one | {"seed": (one["seed"] + 1) % 3} for one in others]
    (unpaired,) = report.Results([*ours_, *shuffled]).differences()
    assert unpaired.mean == pytest.approx(found.mean)
    assert unpaired.verdict == "not told apart"
    (partly,) = report.Results([*ours_, *others[1:]]).differences()
    assert partly.values == pytest.approx((0.020, 0.021)), "a seed that only one has is no pair"


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((0.02, 0.03, 0.02), "better"), ((-0.02, -0.03, -0.02), "worse"), ((0.02, -0.03, 0.02), "not told apart")],
)
def test_a_claim_needs_an_interval_without_zero_and_losses_come_first(gains, verdict, tmp_path):
    ours_, others = paired(gains)
    records = [*ours_, *others, *(one | {"method": "forest", "steps": 0} for one in ours_)]
    page = page_of(records, tmp_path)
    rows = re.findall(r"^\| (better|worse|not told apart) \|.*", page, re.MULTILINE)
    assert sorted(rows) == sorted([verdict, "not told apart"]), "equal to the forest, whose pairs do not differ"
    assert rows == sorted(rows, key=["worse", "better", "not told apart"].index)
    assert f"1 {verdict}" in page or verdict == "not told apart"


def test_one_seed_makes_no_claim(tmp_path):
    ours_, others = paired((0.02, 0.02, 0.02))
    page = page_of([ours_[0], others[0]], tmp_path)
    assert "## Differences" not in page
    assert "| phantom C | ours, from ImageNet, 3 labels | 0.500 |" in page


def rows_of(page):
    return [line for line in page.splitlines() if line.startswith("| ") and "---" not in line][1:]


def test_the_page_shows_what_was_run_and_nothing_else(tmp_path, monkeypatch):
    records = [record(plan.learning("A", OURS, 3, 0)), record(Cell("B", "otsu", 0, 0, 0), 0.7)]
    page = page_of(records, tmp_path)
    assert f"**2 of {len(plan.plan())} planned runs are done**" in page
    assert "`make bench-segmentation` goes on" in page
    assert [row.split(" | ")[:2] for row in rows_of(page)] == [
        ["| phantom A", "ours, from our base, 3 labels"],
        ["| phantom A to B", "ours, from our base, 3 labels"],
        ["| phantom B", "Otsu, no label"],
    ]
    assert not list(tmp_path.glob("*.svg")), "no figure of nothing"
    assert "goes on" not in page_of(records, tmp_path, [plan.learning("A", OURS, 3, 0)])

    def planned(_results, test):
        cells = [cell for cell in plan.plan() if test in plan.TASKS[cell.task].tests]
        return [(cell.method, cell.labels, cell.steps, cell.chosen) for cell in cells[:3]]

    monkeypatch.setattr(report.Results, "groups", planned)
    assert len(rows_of(page_of(records, tmp_path))) > 3, "a page that is written from the plan has more rows"


def test_figures_show_curves_and_times(tmp_path):
    curve = [record(plan.learning("C", OURS, n, 0), 0.5 + n / 20) for n in plan.CURVE]
    zero = [record(Cell("C", OURS, 0, 0, 0), 0.55), record(Cell("C", "otsu", 0, 0, 0), 0.0)]
    page = page_of([*curve, *zero, record(plan.learning("C", "forest", 3, 0), 0.6, resumed=True)], tmp_path)
    assert page.index("segmentation-labels.svg") < page.index("segmentation-time.svg") < page.index("## Scores")
    labels, times = ((tmp_path / f"segmentation-{name}.svg").read_text() for name in ("labels", "time"))
    assert "random forest" in labels
    assert "Otsu" not in labels, "a failure would take all the height"
    assert labels.count('stroke-dasharray="12 3"') == 1, "the base without a label"
    assert "random forest" not in times, "a training that was killed was not timed as a whole"
    assert "not run" not in labels + times


@pytest.mark.parametrize("at_once", [True, False])
def test_a_killed_runner_loses_no_finished_run_and_makes_none_twice(tmp_path, monkeypatch, at_once):
    setting, docs = Setting(tmp_path / "work", tmp_path / "results"), tmp_path / "docs"
    setting.results.mkdir()
    (setting.results / "A_carried_n0_s0_seed0.json").write_text('{"task": "A", "scores": {}}')  # of an earlier version
    cells, begun = plan.plan()[:3], []

    def run(command, **_):
        cell = next(cell for cell in cells if cell.key in command)
        begun.append(cell)
        if len(begun) == 2:
            raise KeyboardInterrupt
        (setting.results / f"{cell.key}.json").write_text(json.dumps(record(cell)))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(runner.subprocess, "run", run)
    if not at_once:  # a runner that would write its page at the end
        monkeypatch.setattr(runner, "publish", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        runner.work_through(BENCHMARK, cells, setting, docs, None)
    if not at_once:
        assert not (docs / "segmentation.json").exists(), "with the folder of results all would be lost"
        return
    kept = json.loads((docs / "segmentation.json").read_text())["runs"]
    assert [plan.cell_of(one) for one in kept] == cells[:1], "written at once"
    shutil.rmtree(setting.results)  # the committed page is enough
    assert runner.work_through(BENCHMARK, cells, setting, docs, None) == 0
    assert begun == [cells[0], cells[1], cells[1], cells[2]]
    assert len(json.loads((docs / "segmentation.json").read_text())["runs"]) == 3
    assert "3 done" in runner.tell_plan(BENCHMARK, cells, runner.read_records(BENCHMARK, setting.results, docs))


def test_a_run_that_is_killed_after_training_does_not_train_again(tmp_path, monkeypatch):
    setting, cell = Setting(tmp_path / "work", tmp_path / "results", size=SMALL), plan.learning("C", OURS, 1, 0)
    setting.results.mkdir()
    trained, score = [], scores.score
    blank = np.zeros((1, 64, 64), np.float32)
    looks = ours.Appearance(0.0, 1.0, (1.0,) * 3, [0], np.zeros((0, 1)))
    test = tasks.Test(blank, slice(0, 1), blank > 0, blank == 0, blank, 1.0, looks)

    def train(_training, _config, _seed, out, _threads):
        trained.append(out)
        shutil.copytree(ours.own_base(), out)

    monkeypatch.setattr(single, "make_problem", lambda *_: tasks.Problem("labels", {"C": test}))
    monkeypatch.setattr(ours, "probabilities", lambda *_: np.zeros(blank.shape, np.uint8))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ours, "train_bundle", train)
    monkeypatch.setattr(scores, "score", killed)
    with pytest.raises(KeyboardInterrupt):
        single.run_cell(cell, setting)
    assert not list(setting.results.iterdir())
    monkeypatch.setattr(scores, "score", score)
    assert single.run_cell(cell, setting) == 0
    assert len(trained) == 1
    # What if the trained model were not kept?
    (setting.results / f"{cell.key}.json").unlink()
    assert single.run_cell(cell, setting) == 0
    assert len(trained) == 2, "the folder of a finished run is removed, so this one trained again"


def test_a_tiny_run_from_end_to_end_and_not_twice(tmp_path, caplog):
    setting, docs = Setting(tmp_path / "work", tmp_path / "results", steps_scale=0.003, size=SMALL), tmp_path / "docs"
    cells = BENCHMARK.possible(f"^C_{OURS}_n1_s300_pick_seed0$")
    result = setting.results / f"{cells[0].key}.json"
    with caplog.at_level("INFO"):
        assert runner.work_through(BENCHMARK, cells, setting, docs, max_minutes=0.01) == 0
    assert "left for the next time" in caplog.text
    assert not result.exists()
    assert runner.work_through(BENCHMARK, cells, setting, docs, None) == 0
    made = json.loads(result.read_text())
    assert (made["steps_done"], made["resumed"]) == (1, False)
    assert 0 < made["train_cpu_s"] < made["cpu_s"]
    assert made["parameters"] > 1e6
    before = result.stat().st_mtime_ns
    assert runner.work_through(BENCHMARK, cells, setting, docs, None) == 0
    assert result.stat().st_mtime_ns == before
    page = (docs / "segmentation.md").read_text()
    assert "A trial" in page
    assert re.search(r"ours, from our base, 1 label \| \d\.\d{3} ", page)
