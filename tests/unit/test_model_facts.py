"""What a bundle says of its model: read as it was written, else refused."""

import json
import math

import pytest
from model_facts import measured, model_facts, scores, write_bundle

from tomoprofile.errors import InputError
from tomoprofile.layout import BundleLayout
from tomoprofile.network.facts import ModelFacts, read_facts


def changed(folder, change):
    """Write a bundle whose record was changed."""
    path = write_bundle(folder) / BundleLayout("").metadata
    whole = json.loads(path.read_text())
    change(whole["tomoprofile"])
    path.write_text(json.dumps(whole))
    return folder


def test_facts_are_read_as_they_were_written(tmp_path):
    facts = model_facts(measured={"domain": measured(0.42, held_out=scores(dice=0.8))})
    assert read_facts(write_bundle(tmp_path, facts)) == facts
    assert facts.levels == {"domain": 0.42}
    assert facts.neighbours == 1


def test_several_classes_keep_their_order(tmp_path):
    network = model_facts().network.model_copy(update={"classes": 3, "measured": (2, 1)})
    known = {"void": measured(0.31), "domain": measured(0.42)}
    facts = model_facts(network=network, classes=["background", "domain", "void"], measured=known)
    assert list(read_facts(write_bundle(tmp_path, facts)).levels.items()) == [("void", 0.31), ("domain", 0.42)]


def test_a_model_of_an_earlier_network_is_refused_as_such(tmp_path):
    """Not as a damaged file: its weights are sound, but fit another network."""
    assert read_facts(write_bundle(tmp_path / "sound"))
    with pytest.raises(InputError, match=r"the model of an earlier version.*trains it again"):
        read_facts(changed(tmp_path, lambda record: record.pop("architecture")))
    with pytest.raises(InputError, match="architecture"):
        read_facts(changed(tmp_path, lambda record: record.update(architecture=3)))


@pytest.mark.parametrize("level", [math.nan, "0.5", 0, 1, -0.2, 1.5, None, True])
def test_a_level_that_is_none_is_refused(tmp_path, level):
    def change(record):
        record["measured"]["domain"]["level"] = level

    with pytest.raises(InputError) as caught:
        read_facts(changed(tmp_path, change))
    told = str(caught.value)
    assert str(tmp_path / BundleLayout("").metadata) in told
    assert "measured.domain.level" in told
    assert "run the workflow where its labels are" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record["measured"]["domain"]["held_out"].update(area_ratio=math.nan), "area_ratio"),
        (lambda record: record["measured"]["domain"]["calibration"].update(slope="steep"), "calibration.slope"),
        (lambda record: record.pop("seen"), "it lacks seen"),
        (lambda record: record.update(classes=["background", "void"]), "the network measures void, not domain"),
        (lambda record: record.update(classes=["background"]), "has 2 classes, 1 are named"),
        (lambda record: record.update(measured={}), "measured"),
        (lambda record: record["network"].update(measured=[0]), "network.measured.0"),
        (lambda record: record["network"].update(measured=[1, 1]), "measures domain, domain, not domain"),
        (lambda record: record["seen"].update(doubt=math.inf), "seen.doubt"),
    ],
)
def test_other_values_that_no_model_can_have_are_refused(tmp_path, change, told):
    with pytest.raises(InputError, match="not a model bundle written by this version") as caught:
        read_facts(changed(tmp_path, change))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"tomoprofile": 3}', '{"tomoprofile": {"decision_level": 0.5}}']
)
def test_what_is_not_a_bundle_is_refused(tmp_path, text):
    (tmp_path / "configs").mkdir()
    (tmp_path / BundleLayout("").metadata).write_text(text)
    with pytest.raises(InputError, match="not a model bundle written by this version"):
        read_facts(tmp_path)


def test_the_schema_says_what_each_fact_is():
    schema = ModelFacts.model_json_schema()
    assert schema["$defs"]["MeasuredClass"]["properties"]["level"]["exclusiveMaximum"] == 1
    undescribed = [
        name for name, fact in schema["$defs"]["NetworkFacts"]["properties"].items() if not fact["description"]
    ]
    assert not undescribed
