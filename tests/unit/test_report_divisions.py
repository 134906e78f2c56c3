"""What a page says of bins, blocks and zones: their values, who chose them, and how to set them."""

import html
import json
import re

import pyarrow.parquet as pq
import pytest
import yaml

from tomoprofile.config import Config
from tomoprofile.errors import InputError
from tomoprofile.report.divisions import Divisions
from tomoprofile.report.rendering import Renderer
from tomoprofile.report.results import Results
from tomoprofile.report.sections import SECTIONS


def shown(files, name) -> str:
    """Return one section of the page."""
    (one,) = [one for one in SECTIONS if one.name == name]
    results = Results(files)
    content = one.build(**{part: results.get(part, results.classes[0]) for part in one.needs})
    renderer = Renderer(has_depth=results.get("plane").has_depth)
    return html.unescape(renderer.section(one, content, sample=files.sample, suffix=""))


def facts(files) -> dict:
    metadata = pq.read_schema(files.profile).metadata
    return {name: json.loads(metadata[name.encode()]) for name in ("settings", "automatic")}


def line_to_set(page: str) -> dict:
    """Return what the configuration says once a reader has pasted the line of the page."""
    (line,) = re.findall(r"write in the configuration: <code>(.*?)</code>", page)
    return yaml.safe_load(line)["profile"]


def test_chosen_values_are_named_and_can_be_set(scans):
    files = scans("own surface")
    told = facts(files)
    assert told["automatic"] == ["bin_um", "block_um", "zones"]
    section = shown(files, "profile")
    settings = Config.model_validate({"profile": line_to_set(section)}).profile.model_dump(mode="json")
    assert {name: settings[name] for name in told["automatic"]} == {
        name: told["settings"][name] for name in told["automatic"]
    }
    assert "Chosen automatically to fit this scan: bins of " in section
    assert all(f"{zone['name']} (" in section for zone in told["settings"]["zones"])
    assert "Set in the configuration" not in section
    assert "Chosen" not in shown(files, "zones"), "once"


def test_without_depth_the_blocks_are_told_with_the_zones(scans):
    page = shown(scans("no substrate"), "zones")
    assert line_to_set(page) == {"block_um": facts(scans("no substrate"))["settings"]["block_um"]}
    assert "Chosen automatically to fit this scan: blocks of " in page


def test_given_values_are_not_called_automatic(scans):
    page = shown(scans("plain"), "profile")
    told = facts(scans("plain"))
    assert told["automatic"] == []
    assert f"Set in the configuration, under profile: bins of {told['settings']['bin_um']:g} µm; blocks of " in page
    assert "Chosen automatically" not in page


def test_a_table_that_does_not_say_is_named(scans, tmp_path):
    table = pq.read_table(scans("plain").profile).replace_schema_metadata({})
    pq.write_table(table, tmp_path / "profile.parquet")
    with pytest.raises(InputError, match="does not say with which bins"):
        Divisions.read(tmp_path / "profile.parquet")
