"""What is wrong with a configuration or a sheet is said in sentences, with key, value, line and remedy."""

import math
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tomoprofile import validation
from tomoprofile.cli import main
from tomoprofile.config import Config, Section, UNetConfig, read_config
from tomoprofile.config_file import load_config
from tomoprofile.errors import ConfigError
from tomoprofile.samples import Scan

WRONG = [None, "x", "", "a b", -1, 0, 1.5, 1e300, math.nan, 2**80, "9" * 5000, [], [1], [1] * 40, {}, {1: 1}, True]
WRONG += [{"method": "otzu"}, {"a": {"method": "otzu"}}, {"a": "b"}, {"a": 1, "b": "c"}, {"b c": 2, "d": 3}, b"\xff"]
# pydantic speaks of itself, of Python or of its own pages.
PYDANTIC = re.compile(r"\bshould\b|[Ii]nput|unable to|pydantic|discrim|instance")


def said(raw, source="config.yaml"):
    with pytest.raises(ConfigError) as caught:
        read_config(raw, str(source))
    return str(caught.value)


def every_mistake():
    """Yield pydantic's errors for wrong values in every field of every section and of the sheet."""
    for section in (*Section.__subclasses__(), Scan):
        for name in section.model_fields:
            for value in WRONG:
                try:
                    section.model_validate({name: value})
                except ValidationError as error:
                    yield from error.errors()


def test_every_kind_of_mistake_has_a_sentence():
    kinds = {item["type"]: item for item in every_mistake()}
    assert len(kinds) > 15
    for kind, item in kinds.items():
        if kind != "extra_forbidden":
            told = validation.sentence(item)
            assert not PYDANTIC.search(told), told
            assert " " in told


@pytest.mark.parametrize("kind", ["int_parsing", "literal_error", "union_tag_invalid", "model_type", "too_short"])
def test_mutant_without_a_sentence_is_seen(monkeypatch, kind):
    monkeypatch.delitem(validation._SENTENCES, kind)
    with pytest.raises(AssertionError):
        test_every_kind_of_mistake_has_a_sentence()


def test_a_missing_method_is_the_network():
    config = read_config({"models": {"default": {"neighbours": 0}, "plain": {"method": "otsu"}, "empty": None}})
    assert config.models["default"] == UNetConfig(neighbours=0)
    assert config.models["plain"].method == "otsu"
    assert config.models["empty"] == UNetConfig()


def test_a_section_with_nothing_but_comments_below_it_is_the_default(tmp_path):
    path = tmp_path / "c.yaml"
    for name, field in Config.model_fields.items():
        if isinstance(field.default, Section):
            path.write_text(f"{name}:\n  # all commented out\n")
            assert getattr(read_config(load_config(path)), name) == field.default


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"bin_um": 3}, "bin_um: unknown key (got 3). Did you mean `profile.bin_um`?"),
        ({"store": {"bin_um": 3}}, "Did you mean `profile.bin_um`?"),
        ({"Profile": {}}, "Did you mean `profile`?"),
        (
            {"models": {"a": {"input-scale": 3}}},
            "models.a.input-scale: unknown key (got 3). Did you mean `input_scale`?",
        ),
        (
            {"models": {"a": {"bundle": "x"}}},
            "models.a.bundle: unknown key (got 'x'). The key is one of `method: bundle`",
        ),
        ({"models": {"bundle": {"method": "bundle", "bundle": "x", "steps": 3}}}, "models.bundle.steps: unknown key"),
        ({"models": {"a": {"method": "Otzu"}}}, "models.a.method: the value must be one of `unet`, `bundle`, `otsu`"),
        ({"models": {"a": {"method": "Otzu"}}}, "(got 'Otzu'). Did you mean `otsu`?"),
        ({"models": {"a": "otsu"}}, "Write `a: {method: otsu}`."),
        ({"keep": "al"}, "keep: the value must be `minimal`, `standard` or `all` (got 'al'). Did you mean `all`?"),
        ({"predict": {"device": "gpu"}}, "the value must be `auto`, `cpu` or `cuda` (got 'gpu'). Did you mean `cpu`?"),
        (
            {"models": {"a": {"decoder_channels": [1, 2]}}},
            "decoder_channels: the value has too few entries (got [1, 2])",
        ),
        ({"report": "x"}, "report: the value must be a section, with `key: value` in the lines below it (got 'x')"),
        ({"seed": -1}, "seed: the value must be at least 0 (got -1). Leave the key out for its default, 1"),
        ({"nothing_like_it": 1}, "nothing_like_it: unknown key (got 1). config/README.md shows every key."),
        ({1: 2}, "the value must have text for keys (got 1)"),
    ],
)
def test_messages(raw, told):
    assert told in said(raw)


def test_a_wrong_entry_of_a_list_does_not_make_the_list_too_short():
    told = said({"profile": {"zones": [{"name": "a b", "from_um": 0}]}})
    assert "profile.zones.0.name" in told
    assert "entries" not in told
    assert "entry" in said({"profile": {"zones": []}})


def test_each_mistake_has_the_line_of_its_key(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "seed: 1\nmodels:\n  default:\n    stepz: 3\n  other:\n    method: otzu\nprofile:\n  bin_um: thick\n"
        "  zones:\n    - {name: a, from_um: 0}\n    - name: b\nobjects:\n  min_voxels: 0\n"
    )
    told = said(yaml.safe_load(path.read_text()), path)
    for line, key in (
        (4, "models.default.stepz"),
        (6, "models.other.method"),
        (8, "profile.bin_um"),
        (11, "profile.zones.1.from_um"),
        (13, "objects.min_voxels"),
    ):
        assert f"{path}:{line}: {key}" in told


def test_the_command_says_it_for_broken_and_missing_configurations(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    for content, told in (
        (None, "config/samples.tsv"),  # no configuration is that of all defaults, and the sheet is missed
        (b"models:\n\tdefault: {method: otsu}\n", "config/config.yaml:2"),
        ("report: {title: 試料}\n".encode("cp932"), "config/config.yaml:1: the configuration is not UTF-8"),
        (b"models:\n  default: {method: otzu}\n", "config/config.yaml:2: models.default.method"),
    ):
        if content is not None:
            Path("config/config.yaml").write_bytes(content)
        assert main(["check"]) == 1
        assert told in capsys.readouterr().err
