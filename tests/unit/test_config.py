import json
from pathlib import Path

import pytest

from tomoprofile.config import json_schema, read_config
from tomoprofile.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_an_empty_configuration_has_every_default():
    config = read_config({})
    assert config.models["default"].method == "unet"
    assert config.store.slab_slices % config.store.shard_slices == 0
    assert config.profile.zones[-1].to_um is None


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"stor": {}}, ["stor", "unknown key", "Did you mean `store`?"]),
        ({"store": {"shard_slice": 8}}, ["store.shard_slice", "8", "Did you mean `shard_slices`?"]),
        ({"store": {"slab_slices": "many"}}, ["store.slab_slices", "'many'", "integer"]),
        ({"store": {"slab_slices": 100}}, ["slab_slices=100", "not a multiple of shard_slices=64"]),
        ({"models": {"m": {"method": "unet", "steps": -1}}}, ["models.m.steps", "-1", "greater than or equal to 1"]),
        ({"models": {"m": {"method": "magic"}}}, ["models.m", "magic", "otsu"]),
        ({"models": {}}, ["models", "at least 1"]),
        ({"profile": {"zones": [{"name": "a", "from_um": 9, "to_um": 3}]}}, ["zone 'a'", "before it begins"]),
        ({"objects": {"band": [0.7, 0.3]}}, ["objects", "low before high"]),
    ],
)
def test_each_mistake_names_key_value_and_remedy(raw, told):
    with pytest.raises(ConfigError) as caught:
        read_config(raw, "my.yaml")
    message = str(caught.value)
    assert "my.yaml" in message
    for part in told:
        assert part in message


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        read_config({"stor": {}, "seed": -1, "profile": {"bin_um": 0}})
    assert len(caught.value.faults) == 3


def test_the_schema_in_the_repository_is_that_of_the_models():
    written = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert written == json.loads(json.dumps(json_schema())), "run `make schema`"


def test_every_key_and_column_is_documented():
    """config/README.md has a row for every key and every column, with its default."""
    from tomoprofile.config import Section
    from tomoprofile.samples import COLUMNS

    text = (ROOT / "config/README.md").read_text()
    keys = {name for section in Section.__subclasses__() for name in section.model_fields}
    missing = sorted(name for name in keys | set(COLUMNS) if f"`{name}`" not in text)
    assert not missing


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"classes": {"background": 0}}, "at least 2 items"),
        ({"classes": {"background": 0, "domain": 0}}, "same value 0"),
        ({"classes": {"background": 0, "domain": 65536}}, "65535"),
        ({"classes": {"background": 0, "the domain": 1}}, "pattern"),
        ({"classes": {"background": 0, "ignored": 1}}, "cannot be called `ignore`"),
        ({"classes": {"background": 0, "void": 1, "Void": 2}}, "upper and lower case"),
        ({"measure": "background"}, "none of the classes beside the background"),
        ({"measure": "void"}, "measure='void'"),
    ],
)
def test_classes_that_cannot_be(settings, told):
    with pytest.raises(ConfigError) as caught:
        read_config({"models": {"default": {"method": "unet", **settings}}})
    assert told in str(caught.value)
    assert "models.default" in str(caught.value)


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("cylindre", ["profile.field_of_view", "'cylinder'", "'cylindre'"]),
        ({"radius_um": -1}, ["profile.field_of_view.radius_um", "greater than 0"]),
        ({"radius": 3}, ["Did you mean `radius_um`"]),
    ],
)
def test_a_field_of_view_is_a_name_or_a_circle(view, told):
    with pytest.raises(ConfigError) as caught:
        read_config({"profile": {"field_of_view": view}})
    assert all(word in str(caught.value) for word in told)
    assert "_view." not in str(caught.value).replace("field_of_view.", "")
    own = read_config({"profile": {"field_of_view": {"radius_um": 3, "centre_um": [1, 2]}}}).profile.field_of_view
    assert (own.radius_um, own.centre_um) == (3, (1, 2))
