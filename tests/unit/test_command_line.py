"""The command line explains itself: help, examples that can be typed, defaults, completion."""

import argparse
import re
import shlex
import shutil
import subprocess

import pytest

from tomoprofile.cli import main, parser
from tomoprofile.cli.completion import _actions


def commands():
    (choice,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return choice.choices


def test_without_arguments_it_helps(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    assert "the first hour:" in told
    for name in commands():
        assert re.search(rf"^    {name}\s", told, re.MULTILINE)


def test_every_command_has_an_example_that_can_be_typed():
    for name, command in commands().items():
        lines = [line.strip() for line in command.epilog.splitlines()[1:]]
        typed = [line for line in lines if line.startswith(f"tomoprofile {name}")]
        assert typed or name == "completion", name
        for line in typed:
            words = shlex.split(line.split(" > ")[0], comments=True)
            parser().parse_args(words[1:])


def test_an_example_that_cannot_be_typed_is_seen():
    """The mutant: an option that does not exist."""
    with pytest.raises(SystemExit):
        parser().parse_args(["scan", "folder", "--labell", "x"])


def test_every_argument_has_help_and_every_default_is_told():
    for name, command in commands().items():
        told = " ".join(command.format_help().split())
        for action in command._actions:
            assert action.help, f"{name} {action.dest}"
            if action.option_strings and action.default not in (None, False, argparse.SUPPRESS):
                assert f"(default: {action.default})" in told, f"{name} {action.dest}"
    assert "None" not in "".join(command.format_help() for command in commands().values())


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_understood_by_the_shell_and_knows_all_commands(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name in commands():
        assert name in script
    assert "--voxel-size-um" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_bash_completes_a_command(capsys):
    main(["completion", "bash"])
    script = capsys.readouterr().out
    ask = "COMP_WORDS=(tomoprofile prel); COMP_CWORD=1; _shtab_tomoprofile; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["prelabel"]


def test_actions_are_those_of_commands_too():
    found = {action.dest for action in _actions(parser())}
    assert {"version", "folder", "voxel_size_um", "slices"} <= found
