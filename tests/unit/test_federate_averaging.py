"""Averages of sites against numbers calculated by hand."""

import numpy as np
import pytest

from tomoprofile.config_train import TrainConfig
from tomoprofile.errors import Fault, FederationError
from tomoprofile.federate import averaging
from tomoprofile.federate.averaging import averaged, pushed
from tomoprofile.federate.coordinator import Coordinator, State, dice
from tomoprofile.federate.plan import Plan
from tomoprofile.federate.update import Kind, Update

RUN = {"mode": "simulate", "run": "r", "rounds": 2, "rounds_per_job": 2}


def numbers(*values):
    return np.array(values, np.float32)


def update(voxels, task=0, **tensors):
    return Update(Kind.WEIGHTS, tensors, task, voxels, 1)


def test_the_mean_is_weighted_by_labelled_voxels():
    found = averaged({"a": update(1, w=numbers(0, 8)), "b": update(3, w=numbers(4, 0))})
    assert found["w"].dtype == np.float32
    assert found["w"].tolist() == [3, 2]
    # The mutant: sites that count alike.
    assert averaged({"a": update(2, w=numbers(0, 8)), "b": update(2, w=numbers(4, 0))})["w"].tolist() != [3, 2]


def test_a_site_without_labels_has_no_weight_and_without_any_there_is_no_mean():
    assert averaged({"a": update(0, w=numbers(9)), "b": update(5, w=numbers(4))})["w"].tolist() == [4]
    with pytest.raises(ValueError, match="no site has labelled voxels"):
        averaged({"a": update(0, w=numbers(9))})


def test_the_variance_of_a_norm_is_that_of_all_sites_together(monkeypatch):
    """Of grey values 0, 2 at one site and 10, 12, 14, 16 at another one."""
    first, second = np.array([0.0, 2]), np.array([10.0, 12, 14, 16])
    answers = {
        name: update(
            values.size, **{"n.running_mean": values.mean(keepdims=True), "n.running_var": values.var(keepdims=True)}
        )
        for name, values in (("a", first), ("b", second))
    }
    together = np.concatenate([first, second])
    found = averaged(answers)
    assert np.allclose(found["n.running_mean"], together.mean())
    assert np.allclose(found["n.running_var"], together.var())
    # The mutant: a plain average forgets how far the sites are apart.
    monkeypatch.setattr(averaging, "_VARIANCE", ".none")
    assert averaged(answers)["n.running_var"] < together.var() / 5


def test_the_order_in_which_answers_arrive_changes_no_bit():
    rng = np.random.default_rng(0)
    answers = {name: update(7 + n, w=rng.normal(size=1000).astype(np.float32)) for n, name in enumerate("cab")}
    other = {name: answers[name] for name in "abc"}
    assert np.array_equal(averaged(answers)["w"], averaged(other)["w"])


def test_a_server_with_momentum_goes_on_in_the_direction_of_earlier_rounds():
    before, mean = {"w": numbers(1), "n.running_var": numbers(1)}, {"w": numbers(3), "n.running_var": numbers(2)}
    tensors, kept = pushed(before, mean, {}, rate=0.5, decay=0.6)
    assert tensors["w"].tolist() == [2]  # 1 + 0.5 * 2
    assert tensors["n.running_var"].tolist() == [2]  # statistics are not pushed
    assert kept["w"].tolist() == [2]
    tensors, kept = pushed(tensors, {"w": numbers(2), "n.running_var": numbers(2)}, kept, rate=0.5, decay=0.6)
    assert np.allclose(tensors["w"], 2.6)  # nothing new, but 0.6 * 2 of the round before
    assert np.allclose(kept["w"], 1.2)
    assert pushed(before, mean, {}, rate=1, decay=0)[0]["w"].tolist() == mean["w"].tolist()


def state(task=0, **tensors):
    return State("x", task, tensors, tensors)


def test_the_coordinator_averages_judges_and_begins_anew():
    coordinator = Coordinator(TrainConfig(**RUN), 1, 2)
    plan = Plan.of(TrainConfig(**RUN))
    assert [(task.part, task.trains) for task in plan.tasks[:4]] == [(0, True), (0, False), (1, True), (1, False)]
    assert [task.trains for task in plan.tasks[6:]] == [True, True, False]
    one = coordinator.go_on(state(w=numbers(0)), {"a": update(1, w=numbers(2)), "b": update(1, w=numbers(4))})
    assert (one.task, one.tensors["w"].tolist()) == (1, [3])
    counts = {name: np.array([value]) for name, value in (("overlap", 4.0), ("found", 5.0), ("labelled", 6.0))}
    judged = Update(Kind.METRICS, counts, 1, 10, 1)
    two = coordinator.go_on(one, {"a": judged, "b": judged})
    assert two.tensors["w"].tolist() == [0], "the model of the next part begins where the first one began"
    assert dice(counts).tolist() == [pytest.approx(8 / 11)]
    assert [row["trains"] for row in two.history] == [True, False]
    assert two.history[0]["sites"]["b"]["voxels"] == 1


def test_too_few_answers_other_tasks_and_other_kinds_are_refused():
    coordinator = Coordinator(TrainConfig(**RUN), 1, 2)
    good = update(1, w=numbers(2))
    with pytest.raises(FederationError, match="2 sites must answer, and 1 did: a"):
        coordinator.go_on(state(w=numbers(0)), {"a": good})
    with pytest.raises(FederationError, match="the answer to task 0 was expected"):
        coordinator.go_on(state(w=numbers(0)), {"a": good, "b": update(1, task=1, w=numbers(2))})
    for wrong in (numbers(np.nan), numbers(1, 2), np.array([1.0])):
        with pytest.raises(FederationError, match=r"b, round 0: (w|the update is larger)"):
            coordinator.go_on(state(w=numbers(0)), {"a": good, "b": update(1, w=wrong)})


def test_an_answer_that_cannot_be_used_is_left_out_where_enough_others_can(monkeypatch, caplog):
    coordinator = Coordinator(TrainConfig(**RUN), 1, 2)
    good = {"a": update(1, w=numbers(2)), "b": update(3, w=numbers(6))}
    for wrong in (numbers(np.nan), numbers(1, 2), np.array([1.0])):
        caplog.clear()
        after = coordinator.go_on(state(w=numbers(0)), good | {"c": update(100, w=wrong)})
        assert (after.task, after.tensors["w"].tolist()) == (1, [5])
        assert sorted(after.history[0]["sites"]) == ["a", "b"]
        (told,) = after.refusals()
        assert (told["task"], told["site"]) == (0, "c")
        assert told["why"].startswith("c, round 0")
        assert f"goes on without the answer of c: {told['why']}" in caplog.text
    # What is no update at all counts as little.
    no = {"c": FederationError(Fault("c", "", "no update", ""))}
    assert coordinator.go_on(state(w=numbers(0)), good, no).refusals() == [
        {"task": 0, "site": "c", "why": "c: no update."}
    ]
    with pytest.raises(FederationError, match="c: no update"):
        coordinator.go_on(state(w=numbers(0)), {"a": good["a"]}, no)
    assert coordinator.go_on(state(w=numbers(0)), good).refusals() == []
    # The mutant: without the check, one site spoils the model of all.
    monkeypatch.setattr(Coordinator, "check", lambda _, __, ___, answer: answer)
    spoilt = coordinator.go_on(state(w=numbers(0)), good | {"c": update(100, w=numbers(np.nan))})
    assert np.isnan(spoilt.tensors["w"]).all()


def test_a_checkpoint_holds_all_of_a_state(tmp_path):
    told = State(
        "x",
        3,
        {"a/b": numbers(1)},
        {"a/b": numbers(2)},
        {"a/b": numbers(3)},
        {"site-a": {"found": numbers(4)}},
        ({"task": 2},),
    )
    told.write(tmp_path / "state.safetensors")
    read = State.read(tmp_path / "state.safetensors")
    assert (read.agreement, read.task, read.history) == ("x", 3, ({"task": 2},))
    for part in ("tensors", "start", "momentum"):
        assert getattr(read, part)["a/b"].tolist() == getattr(told, part)["a/b"].tolist()
    assert read.mark == told.mark
    assert State.first("x", {"a/b": numbers(1)}).mark != told.mark
    assert read.held_out["site-a"]["found"].tolist() == [4]
