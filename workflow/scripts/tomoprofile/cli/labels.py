"""Commands around labelled slices."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, Fault
from .command import CONFIG, Commands, add_command

if TYPE_CHECKING:
    from ..labels.classes import Classes


def register(commands: Commands) -> None:
    """Add ``prelabel`` and ``annotate``."""
    prelabel = add_command(
        commands,
        "prelabel",
        _prelabel,
        "threshold the proposed slices: masks for a person to correct",
        "tomoprofile prelabel results/SAMPLE/to_label/slices.tsv labels/SAMPLE",
    )
    prelabel.add_argument("slices", type=Path, help="slices.tsv that pick_slices wrote")
    prelabel.add_argument("labels", type=Path, help="folder that receives the masks; existing ones are kept")
    prelabel.add_argument("--domains-are", choices=("dark", "bright"), default="dark", help="compared with the matrix")
    _add_model(prelabel)

    annotate = add_command(
        commands,
        "annotate",
        _annotate,
        "label the proposed slices of a simulated scan with its truth",
        "tomoprofile annotate demo/truth results/SAMPLE/to_label/slices.tsv labels/SAMPLE",
    )
    annotate.add_argument("truth", type=Path, help="folder truth/ of the phantom")
    annotate.add_argument("slices", type=Path, help="slices.tsv that pick_slices wrote")
    annotate.add_argument("labels", type=Path, help="folder that receives the masks")
    _add_model(annotate)


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, default=CONFIG, help="configuration that defines the classes, if any")
    command.add_argument("--model", default="default", help="model whose classes give the values in masks")


def _prelabel(options: argparse.Namespace) -> None:
    from ..config import ThresholdConfig
    from ..segment.prelabel import prelabel

    threshold = ThresholdConfig(method="otsu", domains_are=options.domains_are)
    prelabel(options.slices, options.labels, threshold, _classes(options))


def _annotate(options: argparse.Namespace) -> None:
    from ..phantom.annotator import annotate

    classes = _classes(options)
    values = dict(zip(classes.names, classes.values, strict=True))
    annotate(options.truth, options.slices, options.labels, values)


def _classes(options: argparse.Namespace) -> Classes:
    """Return the classes that labels are made for: the defaults where no model is configured."""
    from ..config import read_config
    from ..config_file import load_config
    from ..labels.classes import Classes

    raw = load_config(options.config) if options.config.is_file() else {}
    models = read_config(raw, str(options.config)).models
    if options.model not in models and options.model != "default":
        remedy = f"Models: {', '.join(models)}."
        raise ConfigError(Fault(f"{options.config}: models", options.model, "there is no such model", remedy))
    return Classes.of(models.get(options.model))
