"""The command that writes the completion of a shell."""

from __future__ import annotations

import argparse
from pathlib import Path

from .command import Commands, add_command


def register(commands: Commands) -> None:
    """Add ``completion``."""
    completion = add_command(
        commands,
        "completion",
        _completion,
        "write what bash or zsh needs to complete commands, options and files with the Tab key",
        "source <(tomoprofile completion bash)      # in ~/.bashrc\n"
        "tomoprofile completion zsh > ~/.zfunc/_tomoprofile   # a folder of $fpath",
    )
    completion.add_argument("shell", choices=("bash", "zsh"), help="your shell")


def _completion(options: argparse.Namespace) -> None:
    import shtab

    from . import parser

    whole = parser()
    for action in _actions(whole):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(whole, options.shell))


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the actions of a parser and of its commands."""
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            found += [more for command in action.choices.values() for more in _actions(command)]
    return found
