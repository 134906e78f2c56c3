import re
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from tomoprofile.cli import main
from tomoprofile.config import Config, read_config
from tomoprofile.config_profile import Section
from tomoprofile.errors import ConfigError, InputError
from tomoprofile.run.reference import GUIDE, OUTPUTS, SCHEMA, reference_tables, schema_text, sections, with_tables
from tomoprofile.samples import Scan

ROOT = Path(__file__).parents[2]


def documented(section):
    """Return key and default of each row of a table in config/README.md."""
    text = (ROOT / GUIDE).read_text()
    table = re.search(rf"<!-- {section}: .*?-->\n(.*?)<!-- end -->", text, re.DOTALL)[1]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    return {key.strip(" `"): default.strip(" `") for key, default in rows}


@pytest.mark.parametrize("section", [*sections(), Scan])
def test_what_is_left_out_has_the_documented_default(section):
    for name, told in documented(section.__name__).items():
        field = section.model_fields[name]
        if field.is_required() or not told:
            assert (told, field.default) in [("required", PydanticUndefined), ("", None), ("", "")]
        else:
            kind = TypeAdapter(Annotated[field.annotation, field])
            assert kind.validate_python(yaml.safe_load(told)) == field.default, name


def test_an_empty_configuration_has_every_default():
    config = read_config({})
    for name, field in Config.model_fields.items():
        assert getattr(config, name) == field.default
    for section in (config.store, config.pick, config.predict, config.objects, config.profile, config.report):
        assert section == type(section)()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"stor": {}}, ["stor", "unknown key", "Did you mean `store`?"]),
        ({"store": {"shard_slice": 8}}, ["store.shard_slice", "8", "Did you mean `shard_slices`?"]),
        ({"store": {"slab_slices": "many"}}, ["store.slab_slices", "'many'", "must be a whole number", "default, 256"]),
        ({"store": {"slab_slices": 100}}, ["slab_slices=100", "not a multiple of shard_slices=64"]),
        ({"models": {"m": {"method": "unet", "steps": -1}}}, ["models.m.steps", "-1", "must be at least 1"]),
        ({"models": {"m": {"method": "magic"}}}, ["models.m", "magic", "otsu"]),
        ({"models": {}}, ["models", "at least one entry"]),
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


def test_schema_and_guide_in_the_repository_are_those_of_the_models():
    guide = (ROOT / GUIDE).read_text()
    assert (ROOT / SCHEMA).read_text() == schema_text(), "run `make schema`"
    assert guide == with_tables(guide), "run `make schema`"


def test_every_section_has_its_table_and_every_key_its_meaning():
    """But keys that are sections of their own, and the `method` that names the section."""
    guide = (ROOT / GUIDE).read_text()
    assert set(re.findall(r"<!-- (\w+): ", guide)) == set(reference_tables())
    for section in (*sections(), Scan):
        missing = {name for name, field in section.model_fields.items() if not field.description}
        assert not {
            name for name in missing - {"method"} if not isinstance(section.model_fields[name].default, Section)
        }


def test_every_choice_is_told():
    for section in (*sections(), Scan):
        for name, field in section.model_fields.items():
            if get_origin(field.annotation) is Literal and field.description:
                assert all(f"`{choice}`" in field.description for choice in get_args(field.annotation)), name


def test_a_changed_default_and_an_unknown_table_are_seen(tmp_path):
    guide = (ROOT / GUIDE).read_text()
    assert with_tables(guide.replace("| `64` |", "| `32` |")) == guide
    with pytest.raises(InputError, match=r"StorConfig.*StoreConfig"):
        with_tables(guide.replace("<!-- StoreConfig", "<!-- StorConfig"))
    assert main(["schema", str(tmp_path)]) == 1, "no checkout"
    for file in (GUIDE, SCHEMA, OUTPUTS):
        (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / OUTPUTS).write_text((ROOT / OUTPUTS).read_text())
    (tmp_path / GUIDE).write_text(guide.replace("| `64` |", "| `32` |"))
    assert main(["schema", str(tmp_path)]) == 0
    assert [(tmp_path / file).read_text() for file in (GUIDE, SCHEMA)] == [guide, (ROOT / SCHEMA).read_text()]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"classes": {"background": 0}}, "at least 2 entries"),
        ({"classes": {"background": 0, "domain": 0}}, "same value 0"),
        ({"classes": {"background": 0, "domain": 65536}}, "65535"),
        ({"classes": {"background": 0, "the domain": 1}}, "begin with a letter"),
        ({"classes": {"background": 0, "ignored": 1}}, "cannot be called `ignore`"),
        ({"classes": {"background": 0, "void": 1, "Void": 2}}, "upper and lower case"),
        ({"measure": ["background"]}, "names 'background', the background; there are domain"),
        ({"measure": ["void"]}, "names 'void', which `classes` lacks; there are domain"),
        ({"measure": ["domain", "domain"]}, "names 'domain' twice"),
        ({"measure": "void"}, "write `measure: [void]`"),
        ({"measure": ""}, "write `measure: [domain]`"),
        ({"measure": [1]}, "must be text"),
    ],
)
def test_classes_that_cannot_be(settings, told):
    with pytest.raises(ConfigError) as caught:
        read_config({"models": {"default": {"method": "unet", **settings}}})
    assert told in str(caught.value)
    assert "models.default" in str(caught.value)


@pytest.mark.parametrize("name", ["otsu", "unet", "own_view"])
def test_a_model_may_have_the_name_of_a_method(name):
    with pytest.raises(ConfigError, match=rf"models\.{name}\.smooth_voxel: .*Did you mean `smooth_voxels`"):
        read_config({"models": {name: {"method": "otsu", "smooth_voxel": 1}}})


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("cylindre", ["profile.field_of_view", "Did you mean `cylinder`?", "'cylindre'"]),
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
