"""What may cross the wire, and what a site lets out."""

from pathlib import Path

import numpy as np
import pytest

from tomoprofile.errors import ConfigError, FederationError
from tomoprofile.federate.data_contract import DataContract
from tomoprofile.federate.policy import Allowance, Policy, read_policy
from tomoprofile.federate.update import Contract, Kind, Update, digest_of_tensors

TENSORS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.full((), 2.0)}
META = {"kind": "weights", "round": 1, "voxels": 1000, "cases": 3}
CONTRACT = Contract.like(Kind.WEIGHTS, TENSORS)


def update(tensors=TENSORS, **meta):
    return Update.received(tensors, META | meta, "site A")


def sums(count, volumes=((20.0, 1.0, 1.0),), cases=None, size=3):
    tensors = {"count": np.array([count]), "products": np.eye(size), "volumes": np.array(volumes).reshape(-1, 3)}
    tensors = {name: array.astype(np.float64) for name, array in tensors.items()}
    return update(tensors, kind="deformation_sums", cases=int(count) if cases is None else cases)


def released(policy, one):
    return policy.release(one, Contract.like(one.kind, one.tensors))


def test_what_is_sent_is_what_is_received():
    sent = update()
    again = Update.received(sent.tensors, sent.meta(), "site B")
    assert again == sent
    assert again.size == 6 * 4 + 8
    assert CONTRACT.check(again, "site B") is again
    assert CONTRACT.size == sent.size


class Sly(np.ndarray):
    """An array that could do anything when it is read."""


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ([1.0], "no tensors"),
        ({"a": [1.0, 2.0]}, "array of float32"),
        ({"a": np.zeros(3, np.uint8)}, "array of float32"),
        ({"a": np.zeros(3, np.int64)}, "array of float32"),
        ({"a": np.zeros(3, np.complex64)}, "array of float32"),
        ({"a": np.array([{}, None], object)}, "array of float32"),
        ({"a": np.zeros(3).view(Sly)}, "array of float32"),
        ({"a": np.zeros(3, ">f4")}, "array of float32"),
        ({"": np.zeros(3)}, "short text"),
        ({"a" * 201: np.zeros(3)}, "short text"),
        ({b"a": np.zeros(3)}, "short text"),
        ({"a\n": np.zeros(3)}, "short text"),
    ],
)
def test_only_arrays_of_numbers_are_tensors(tensors, problem):
    with pytest.raises(FederationError, match=problem):
        update(tensors)


@pytest.mark.parametrize(
    ("meta", "problem"),
    [
        ({"kind": "images"}, "one of weights, counts"),
        ({"kind": ["weights"]}, "one of weights, counts"),
        ({"round": -1}, "`round`"),
        ({"voxels": 1.5}, "`voxels`"),
        ({"voxels": True}, "`voxels`"),
        ({"cases": None}, "`cases`"),
        ({"cases": 10**13}, "`cases`"),
    ],
)
def test_the_description_is_checked(meta, problem):
    with pytest.raises(FederationError, match=problem):
        update(**meta)


def changed(**tensors):
    return update({name: array for name, array in (TENSORS | tensors).items() if array is not None})


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"b": None}, "missing"),
        ({"b": None, "c": np.zeros(())}, "was not agreed"),
        ({"b": None, "a.weight": np.zeros((3, 2), np.float32)}, "should be float32"),
        ({"b": np.zeros((), np.float32)}, "should be float64"),
        ({"c": np.zeros(1)}, "larger than the 32 bytes"),
        ({"b": np.array(np.nan)}, "not finite"),
        ({"b": np.array(-np.inf)}, "not finite"),
    ],
)
def test_a_contract_takes_nothing_else(tensors, problem):
    with pytest.raises(FederationError, match=problem) as caught:
        CONTRACT.check(changed(**tensors), "site A")
    assert all("site A, round 1" in fault.where and fault.remedy for fault in caught.value.faults)


def test_another_kind_is_not_what_was_agreed():
    with pytest.raises(FederationError, match="an update of weights was expected"):
        CONTRACT.check(update(kind="metrics"), "site A")


def test_a_size_is_refused_before_the_numbers_are_read(monkeypatch):
    monkeypatch.setattr(np, "isfinite", lambda _: pytest.fail("the numbers were read"))
    with pytest.raises(FederationError, match="larger than"):
        CONTRACT.check(changed(c=np.zeros(10**7)), "site A")


def test_a_flood_of_names_gives_a_short_message():
    with pytest.raises(FederationError, match="90 more") as caught:
        update({str(n): np.zeros(1, np.uint8) for n in range(100)})
    assert len(caught.value.faults) == 11


def test_a_digest_tells_every_difference():
    different = [
        TENSORS,
        changed(b=np.array(2.0 + 1e-15)).tensors,
        changed(b=np.array(2.0, np.float32)).tensors,
        changed(**{"a.weight": TENSORS["a.weight"].reshape(3, 2)}).tensors,
        changed(b=None, c=TENSORS["b"]).tensors,
    ]
    assert len({digest_of_tensors(tensors) for tensors in different}) == 5
    turned = {"b": TENSORS["b"], "a.weight": np.asfortranarray(TENSORS["a.weight"])}
    assert digest_of_tensors(turned) == update().digest


def test_kinds_leave_only_if_the_site_says_so():
    policy = Policy()
    assert policy.release(update(), CONTRACT).tensors.keys() == TENSORS.keys()
    released(policy, update(kind="counts"))
    released(policy, update(kind="metrics"))
    for one in (update(kind="quantiles"), sums(20)):
        with pytest.raises(FederationError, match="may not leave the site"):
            released(policy, one)
    released(Policy(allow={"quantiles": {}}), update(kind="quantiles"))
    with pytest.raises(FederationError, match="may not leave the site"):
        released(Policy(allow={"quantiles": {}}), update())


def test_what_leaves_keeps_the_contract_of_the_site():
    leaking = update({**TENSORS, "b": np.full((), np.pi), "image": np.zeros(0)})
    with pytest.raises(FederationError, match="image: a tensor of this name"):
        Policy().release(leaking, CONTRACT)


def test_names_and_sizes_can_be_limited():
    only = Policy(allow={"weights": {"names": ["a.*"], "most_numbers": 6}})
    released(only, changed(b=None))
    with pytest.raises(FederationError, match="at most 6 numbers"):
        released(only, update())
    with pytest.raises(FederationError, match="b: weights of this name may not leave"):
        released(Policy(allow={"weights": {"names": ["a.*"]}}), update())


def test_a_picture_does_not_leave_as_metrics_whatever_the_policy():
    wide = Policy(allow={"metrics": {"most_numbers": 10**9}})
    with pytest.raises(FederationError, match="at most 1000 numbers"):
        released(wide, update({"dice": np.zeros((64, 64))}, kind="metrics"))


def test_sums_of_few_cases_stay():
    policy = Policy(allow={"deformation_sums": {}})
    released(policy, sums(20))
    released(policy, sums(20, volumes=()))
    for few in (sums(19), sums(1), sums(19, cases=20), sums(25, cases=20), sums(-20, cases=20)):
        with pytest.raises(FederationError, match="fewer than 20 cases may not leave"):
            released(policy, few)
    with pytest.raises(FederationError, match="a class that fewer than 20 cases have"):
        released(policy, sums(25, volumes=[(25.0, 1.0, 1.0), (3.0, 1.0, 1.0)]))
    released(policy, sums(25, volumes=[(25.0, 1.0, 1.0), (0.0, 0.0, 0.0)]))
    with pytest.raises(FederationError, match="a class that fewer than 20 cases have"):
        released(policy, sums(25, volumes=[(0.0, 7.0, 49.0)]))
    with pytest.raises(FederationError, match="fewer than 30 cases"):
        released(Policy(allow={"deformation_sums": {}}, fewest_cases=30), sums(25))
    uncounted = update({"products": np.eye(3)}, kind="deformation_sums", cases=100)
    with pytest.raises(FederationError, match="fewer than 20 cases may not leave"):
        released(policy, uncounted)


def test_a_policy_is_read_or_nothing_leaves(tmp_path):
    path = tmp_path / "policy.yaml"
    with pytest.raises(FederationError, match="no policy file"):
        read_policy(path)
    path.write_text("allow:\n  weights: {}\n  quantiles: {most_numbers: 50}\nfewest_cases: 40\n")
    policy = read_policy(path)
    assert set(policy.allow) == {Kind.WEIGHTS, Kind.QUANTILES}
    assert policy.allow[Kind.QUANTILES].most_numbers == 50
    assert policy.fewest_cases == 40
    path.write_text("{}\n")
    assert set(read_policy(path).allow) == {Kind.WEIGHTS, Kind.COUNTS, Kind.METRICS}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fewest_cases: 19\n", "policy.yaml:1: fewest_cases: the value must be at least 20"),
        ("allow:\n  images: {}\n", "policy.yaml:2: allow.images: .*weights"),
        ("allow:\n  weights:\n    most: 3\n", "policy.yaml:3: allow.weights.most: unknown key"),
        ("alow: {}\n", "policy.yaml:1: alow: unknown key"),
        ("allow:\n  weights: {names: []}\n", "allow.weights.names"),
    ],
)
def test_a_typing_error_in_a_policy_is_refused(tmp_path, text, told):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(FederationError, match=told):
        read_policy(path)


def test_a_policy_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "policy.yaml").write_text("allow: [\n")
    with pytest.raises(ConfigError):
        read_policy(tmp_path / "policy.yaml")


def test_every_key_is_in_the_guide():
    guide = (Path(__file__).parents[2] / "docs/federation.md").read_text()
    for kind in (Policy, Allowance, DataContract):
        assert not [name for name in kind.model_fields if f"`{name}`" not in guide and f"{name}:" not in guide]
    assert not [kind for kind in Kind if f"`{kind}`" not in guide and f"{kind}:" not in guide]
