"""The benchmark of federated training: its plan, sites that share nothing, its page on made-up numbers, tiny runs."""

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from federated_sites import files_of, make_training_sets, settings

from benchmarks.amplification import cases
from benchmarks.cells import intervals, runner
from benchmarks.cells.benchmark import Setting
from benchmarks.federation import costs, plan, report, results, rounds, sites
from benchmarks.federation.plan import ABSENT, ALGORITHMS, CENTRAL, EVERYWHERE, GROWS, LOCAL, REGISTER, SITES, Cell
from benchmarks.federation.runner import BENCHMARK
from tomoprofile.federate.coordinator import State
from tomoprofile.federate.plan import Plan
from tomoprofile.federate.simulate import simulate
from tomoprofile.federate.site import arrays_of, first_state
from tomoprofile.labels.training_set import read_training_set

SEEDS = 3


def test_the_plan_takes_less_than_three_core_hours(monkeypatch):
    cells = plan.plan()
    assert 2 < runner.planned_hours(BENCHMARK.expected_cpu_s, cells) < plan.CORE_HOURS
    assert len({cell.key for cell in cells}) == len(cells)
    assert [plan.cell_of(asdict(cell)) for cell in cells] == cells
    monkeypatch.setattr(plan, "SEEDS", 4)
    assert runner.planned_hours(BENCHMARK.expected_cpu_s, plan.plan()) > plan.CORE_HOURS, "another seed would not fit"


def test_the_plan_compares_what_was_asked_for():
    cells = set(plan.plan())
    for task in plan.TASKS:
        for method in (*LOCAL, CENTRAL, "fedavg"):
            for amplified in (False, True):
                assert {Cell(task, method, amplified, seed) for seed in range(SEEDS)} <= cells
    assert {Cell("torso", method) for method in ALGORITHMS} <= cells
    assert {cell.sites for cell in cells if cell.method == GROWS} == {2, 4, 8, 16}
    assert all(task.steps == plan.ROUNDS * task.round_steps for task in plan.TASKS.values()), "equal steps for all"


def test_a_run_begins_when_what_it_needs_is_there():
    done = []
    for cell in plan.plan():
        assert not plan.waits(cell, done), f"{cell.key} would wait if one runner follows the plan"
        done.append(asdict(cell))
    registered = [asdict(Cell("torso", method)) for method in REGISTER]
    assert plan.waits(Cell("torso", "fedavg", True), registered[1:]) == "the cases of A are not registered"
    assert not plan.waits(Cell("torso", "local_B", True), registered[1:]), "it needs its own site alone"
    assert plan.waits(Cell("torso", CENTRAL, True), [])
    assert not plan.waits(Cell("torso", CENTRAL), [])
    assert not plan.waits(Cell("fringes", "fedavg", True), []), "these deformations are not learned"


def test_sites_share_no_case_and_hold_out_what_never_trains():
    trains = {site: set(plan.pool(site)) for site in SITES}
    tests = {site: set(plan.held_out(site)) for site in EVERYWHERE}
    every = [*trains.values(), *tests.values()]
    assert len(set.union(*every)) == sum(map(len, every)), "equal numbers would be equal bodies"
    assert max(map(max, trains.values())) < cases.FIRST_TEST
    for site in SITES:
        picked = {seed: plan.chosen(site, seed) for seed in range(SEEDS)}
        assert all(set(one) <= trains[site] and len(set(one)) == plan.LABELLED for one in picked.values())
        assert picked[0] != picked[1]


def test_the_absent_phantom_lies_between_and_beyond_the_others():
    of = {site: cases.phantom_settings(f"phantom_{site}", 0) for site in EVERYWHERE}
    others = [of[site] for site in SITES]
    for name in ("distance_mm", "noise_per_cm", "density_g_cm3"):
        each = [getattr(one, name) for one in others]
        assert min(each) < getattr(of[ABSENT], name) < max(each)
    assert of[ABSENT].energy_kev > max(one.energy_kev for one in others)
    assert len({one.seed for one in of.values()}) == len(of)
    assert cases.phantom_settings("phantom", 7) == replace(of["C"], seed=5007), "that of the other benchmark"


MADE = {"commit": "x", "torch": "2", "device": "cuda", "precision": "float32", "threads": 1, "machine": "x"}
FACTS = {"resumed": False, "cpu_s": 100.0, "made_with": MADE | {"steps_scale": 1.0, "load_per_core": 1.0}}
ROUNDS = {
    "sites": 3,
    "rounds": 10,
    "round_steps": 60,
    "numbers": 1_000_000,
    "bytes": 4_000_000,
    "wall_s": 700.0,
    "seconds": {"answers": 660.0, "steps": 600.0, "coordinator": 4.0, "checkpoints": 1.0},
    "calls": {"answers": 33, "steps": 1800, "coordinator": 11, "checkpoints": 3},
    "peak_mb": 900,
}


def record(cell, dice=0.6, **others):
    """Return a result whose test cases differ, as do its organs; the last case lacks one."""
    organs = list(cases.classes_of(plan.TASKS[cell.task].sites["A"]))[1:]
    here = [site for site in EVERYWHERE if not (cell.method == "fedbn" and site == ABSENT)]
    found = {}
    for place, site in enumerate(here):
        each = dice + 0.05 * np.arange(plan.TESTED)[:, None] - 0.02 * np.arange(len(organs))[None] - 0.03 * place
        rows = [[*map(float, row)] for row in each]
        if len(organs) > 1:
            rows[-1][0] = None
        found[site] = {"organs": organs, "dice": rows}
    facts = {"federation": ROUNDS} if cell.method in ALGORITHMS else {}
    facts |= {"steps": 600, "train_wall_s": 180.0, "dice": dice, "tests": found}
    return asdict(cell) | FACTS | facts | others


def compared(federated, local=0.5, task="torso", noise=0.001):
    """Return results of all methods without pairs; all labels in one place give a Dice of 0.6, and a bit more."""
    made = []
    for seed in range(SEEDS):
        bit = 0.01 * seed
        made.append(record(Cell(task, CENTRAL, seed=seed), 0.6 + bit))
        made.append(record(Cell(task, "fedavg", seed=seed), federated + bit + noise * (-1) ** seed))
        made += [record(Cell(task, method, seed=seed), local + bit + 0.01 * n) for n, method in enumerate(LOCAL)]
    return made


def page_of(records, folder):
    folder.mkdir(exist_ok=True)
    report.write_report(records, plan.plan(), folder)
    return (folder / "federation.md").read_text()


def test_a_share_is_of_pairs_of_seed_and_case():
    rng = np.random.default_rng(0)
    level = 0.6 + 0.1 * rng.standard_normal((SEEDS, 1)) + 0.1 * rng.standard_normal((1, 5))
    found = intervals.ratio(0.95 * level, level)
    assert (found.value, found.low, found.high) == pytest.approx((0.95, 0.95, 0.95))
    unpaired = intervals.ratio(0.95 * level, np.roll(level, 1, axis=(0, 1)))
    assert unpaired.high - unpaired.low > 0.01, "without the pairs it would be uncertain"


@pytest.mark.parametrize(
    ("federated", "share", "above"),
    [
        (0.60, "**reached** everywhere, intervals included", "**reached** everywhere, intervals included"),
        (0.515, "**not reached** at A, B, C", "**not reached** at A, B, D"),
    ],
)
def test_the_page_says_of_each_number_whether_it_is_reached(federated, share, above, tmp_path):
    """The model of site C is the best local one, with 0.52, and that of B with 0.51 where its own does not count."""
    page = page_of(compared(federated, noise=0.0), tmp_path)
    first, second = re.findall(r"^- (.*)\.$", page.split("## Dice")[0], re.M)
    assert first == f"organs: {share}"
    assert second == f"organs: {above}"
    assert "| organs | without | site A | " in page
    assert (tmp_path / "federation-sites.svg").is_file()


def test_a_number_that_an_interval_leaves_open_is_said_to_be(tmp_path):
    assert "leaves it open at A, B, C" in page_of(compared(0.59, noise=0.015), tmp_path)
    estimate = intervals.Estimate(0.98, 0.96, 1.0, SEEDS)
    assert "open at A" in report.verdict({"A": estimate, "B": replace(estimate, low=0.975)}, results.SHARE)
    assert report.verdict({"A": replace(estimate, value=0.96)}, results.SHARE) == "**not reached** at A"


def test_the_best_other_model_is_that_of_another_site():
    found = {one.site: one for one in results.Results(compared(0.6)).comparisons()}
    assert {site: one.best for site, one in found.items()} == {
        "A": "local_C",
        "B": "local_C",
        "C": "local_B",
        "D": "local_C",
    }
    assert found["C"].above_best.value > found["A"].above_best.value
    # The best of some is not the best of all.
    few = results.Results([one for one in compared(0.6) if one["method"] != "local_C"])
    assert {one.site: one.best for one in few.comparisons()} == {"A": "", "B": "", "C": "local_B", "D": ""}


def test_there_is_a_page_that_says_so_before_anything_was_run(tmp_path):
    page = page_of([], tmp_path)
    assert "Nothing was run yet" in page
    assert "reached" not in page
    assert not re.search(r"0\.\d\d\d", page)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["federation.json", "federation.md"]
    assert json.loads((tmp_path / "federation.json").read_text()) == {"runs": []}


def test_what_pairs_and_other_rules_do_stands_on_the_page(tmp_path):
    pairs = [record(Cell("torso", "fedavg", True, seed), 0.65 + 0.01 * seed) for seed in range(SEEDS)]
    others = [record(Cell("torso", method), 0.55) for method in ALGORITHMS[1:]]
    page = page_of([*compared(0.6, noise=0.0), *pairs, *others], tmp_path)
    gains = page.split("## What pairs add")[1].split("##")[0]
    assert re.search(r"federated \(FedAvg\) \| \+0\.050 \(\+0\.050 to \+0\.050\)", gains)
    (norms,) = re.findall(r"^\| federated, FedBN \| (.*) \|$", page.split("## Other rules")[1], re.M)
    assert norms.split(" | ")[-1] == "not tested", "a site that took no part has no norms"


def test_the_cost_of_a_round_is_what_lies_beside_the_steps(tmp_path):
    one = costs.Round.of(ROUNDS)
    assert (one.steps, one.beside, one.coordinator) == pytest.approx((20, 2, 0.5))
    assert one.sent_s == pytest.approx(2 * 8 * 4e6 / 1e8)
    found = results.Results(compared(0.6))
    assert "**reached**: 3.14 s a round" in costs.overhead_told(found)
    assert "| 18.00 | 20.00 | 2.00 | 0.500 | 24.0 | 1.10 GPU | 3 |" in page_of(compared(0.6), tmp_path)
    slow = ROUNDS | {"seconds": ROUNDS["seconds"] | {"answers": 1100.0}}
    runs = [record(Cell("torso", "fedavg", seed=0), federation=slow)]
    assert "**missed**" in costs.overhead_told(results.Results(runs))
    both = [*runs, record(Cell("torso", "fedavg", seed=1)), record(Cell("torso", "fedavg", seed=2))]
    assert "**not reached by all runs**" in costs.overhead_told(results.Results(both))
    # Of a resumed run only the last rounds were watched.
    assert not costs.overhead_told(results.Results([runs[0] | {"resumed": True}]))


def test_growth_and_what_follows_on_paper(tmp_path):
    grown = []
    for count in plan.GROWTH:
        seconds = {"answers": 30.0 * count, "steps": 24.0 * count, "coordinator": 0.3 * count, "checkpoints": 0.0}
        told = ROUNDS | {"sites": count, "rounds": 3, "seconds": seconds}
        grown.append(asdict(Cell("fringes", GROWS, sites=count)) | FACTS | {"federation": told, "tests": {}})
    page = page_of(grown, tmp_path)
    assert re.findall(r"^\| (\d+) \| 2\.00 \| ", page, re.M) == ["2", "4", "8", "16"]
    assert "| 16 | 2.00 | 1.600 | 100.0 | 128.0 | 900 |" in page
    # 0.1 s for a site and a million numbers: 100 sites and 30 million take 300 s.
    assert "| average of a round | 300 s |" in page
    assert "| moved in a round | 24 GB |" in page


@pytest.fixture(scope="module")
def two_sites(tmp_path_factory):
    made = make_training_sets(tmp_path_factory.mktemp("sites"))
    return {name: made[name] for name in ("site-a", "site-c")}


def test_models_that_judge_are_left_out_and_change_no_bit(two_sites, tmp_path):
    config = settings(rounds=1, round_steps=1)
    each = {name: (files_of(path, tmp_path / "whole" / name), config) for name, path in two_sites.items()}
    whole = simulate(each, 1, tmp_path / "whole.safetensors", 1)
    sets = {name: read_training_set(path) for name, path in two_sites.items()}
    federation = rounds.Federation(sets, config, 1, tmp_path / "run")
    state, told = federation.run(1)
    assert state.mark == whole.mark
    assert told["calls"]["steps"] == 2, "a round of one step at two sites, and nothing else"
    assert sum(row["trains"] for row in whole.history) > 1, "what was left out"
    assert told["seconds"]["answers"] > told["seconds"]["steps"] > 0
    assert told["bytes"] == 4 * told["numbers"]
    # It was the start of the task that did it: one task later the first round is missing.
    tasks = Plan.of(config.train).tasks
    late = next(number for number, task in enumerate(tasks) if not task.leaves_out) + 1
    replace(first_state(config, 1), task=late).write(tmp_path / "late.safetensors")
    assert simulate(each, 1, tmp_path / "late.safetensors", 1).mark != whole.mark
    # A finished run is not made again.
    again, told = federation.run(1)
    assert again.mark == state.mark
    assert told["calls"]["answers"] == 0


def test_norms_that_sites_keep_are_part_of_their_networks(two_sites, tmp_path):
    sets = {name: read_training_set(path) for name, path in two_sites.items()}
    config = rounds.with_rounds(settings(), "fedbn", 1, 1)
    federation = rounds.Federation(sets, config, 1, tmp_path)
    state, _ = federation.run(1)
    networks = federation.networks(state)
    assert networks.keys() == sets.keys(), "none of a site that took no part"
    one, other = (arrays_of(network) for network in networks.values())
    differ = {name for name in one if not np.array_equal(one[name], other[name])}
    assert differ
    assert not differ & state.tensors.keys()


def test_functions_are_watched_only_while_they_are_asked_to_be(tmp_path):
    real = State.write
    watch = rounds.Watch()
    state = State.first("x", {"a": np.zeros(3, np.float32)})
    with watch.running():
        state.write(tmp_path / "one")
    state.write(tmp_path / "two")
    assert State.write is real
    assert (watch.calls["checkpoints"], watch.calls["answers"]) == (1, 0)
    assert watch.seconds["checkpoints"] > 0
    with pytest.raises(ZeroDivisionError), watch.running():
        1 / 0  # noqa: B018
    assert State.write is real


def test_all_labels_in_one_place_are_those_of_the_sites(two_sites):
    one, other = (read_training_set(path) for path in two_sites.values())
    both = sites.together([one, other])
    assert [item.name for item in both.slices] == [item.name for item in (*one.slices, *other.slices)]
    assert both.seen.keys() == {*one.seen, *other.seen}
    assert sites.together([one]) is one


@pytest.mark.deep
def test_tiny_runs_from_end_to_end_and_not_twice(tmp_path):
    setting, docs = Setting(tmp_path / "work", tmp_path / "results", 1, 0.02, (32, 30, 40)), tmp_path / "docs"
    cells = [Cell("fringes", "fedavg", True), Cell("fringes", "local_B"), Cell("fringes", GROWS, sites=2)]
    waiting = Cell("torso", "fedavg", True)
    assert runner.work_through(BENCHMARK, [*cells, waiting], setting, docs, None) == 0
    made = {cell: json.loads((setting.results / f"{cell.key}.json").read_text()) for cell in cells}
    assert made[cells[0]]["tests"].keys() == set(EVERYWHERE)
    assert all(0 < one["accepted"] <= plan.PAIRS for one in made[cells[0]]["pairs"].values())
    assert made[cells[0]]["steps"] == made[cells[1]]["steps"] == plan.ROUNDS
    assert made[cells[0]]["federation"]["calls"]["steps"] == 3 * plan.ROUNDS
    assert len(made[cells[1]]["tests"][ABSENT]["dice"]) == plan.TESTED
    assert len(list(setting.results.glob("*.json"))) == len(cells), "what needs registered cases waits"
    before = [path.stat().st_mtime_ns for path in sorted(setting.results.glob("*.json"))]
    assert runner.work_through(BENCHMARK, cells, setting, docs, None) == 0
    assert [path.stat().st_mtime_ns for path in sorted(setting.results.glob("*.json"))] == before
    assert "A trial" in (docs / "federation.md").read_text()
