"""Commands and pieces of configuration in the guides are those that the program understands."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

from tomoprofile.cli import parser
from tomoprofile.config import read_config
from tomoprofile.errors import ConfigError

ROOT = Path(__file__).parents[2]
GUIDES = (
    "docs/recipes.md",
    "docs/labelling.md",
    "docs/organs.md",
    "README.md",
    "profiles/README.md",
    "config/README.md",
)


def blocks(guide, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / guide).read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(guide):
    """Return the words of every command of the program in a guide, also of those within ``<(...)`` and ``&&``."""
    for block in blocks(guide, "bash"):
        for line in block.splitlines():
            for part in re.split(r"&&|<\(|\)|\|| > ", line.partition(" #")[0]):
                words = shlex.split(part, comments=True)
                if words[:1] in (["tomoprofile"], ["snakemake"]):
                    yield words


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_is_understood(guide):
    for program, *words in commands(guide):
        known = parser() if program == "tomoprofile" else get_argument_parser()
        options = known.parse_args(words)
        assert program == "snakemake" or options.run is not None


def test_there_are_commands_to_try():
    found = [words for guide in GUIDES for words in commands(guide)]
    assert len(found) > 20
    assert {words[1] for words in found if words[0] == "tomoprofile"} >= {
        "scan",
        "check",
        "prelabel",
        "rerun",
        "status",
    }


def test_a_command_that_does_not_exist_is_seen():
    """The mutant: a name that is spelled wrong."""
    with pytest.raises(SystemExit):
        parser().parse_args(["prelable"])


def test_every_piece_of_configuration_is_valid():
    pieces = [yaml.safe_load(text) for guide in ("docs/recipes.md", "docs/organs.md") for text in blocks(guide, "yaml")]
    assert len(pieces) >= 4
    for piece in pieces:
        read_config(piece)
    with pytest.raises(ConfigError):
        read_config({"profile": {"zone": []}})
