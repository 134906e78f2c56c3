"""Commands around labelled slices."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, Fault, InputError
from ..logs import LOG
from .command import CONFIG, Commands, add_command, add_config, load, workflow_command

if TYPE_CHECKING:
    from ..config import Config, ThresholdConfig
    from ..labels.classes import Classes


def register(commands: Commands) -> None:
    """Add ``prelabel``, ``rank`` and ``annotate``."""
    prelabel = add_command(
        commands,
        "prelabel",
        _prelabel,
        "make masks of slices for a person to correct: of the proposed ones by a threshold or an earlier model, "
        "without arguments for every scan that waits for labels; of the slice on which you drew a few strokes; or of "
        "finished scans, as they were segmented",
        "tomoprofile prelabel\ntomoprofile prelabel results/SAMPLE/to_label/slices.tsv labels/SAMPLE\n"
        "tomoprofile prelabel --scan raw/SAMPLE --scribbles strokes/SAMPLE_z00042.zip\n"
        "tomoprofile prelabel --finished SAMPLE",
    )
    prelabel.add_argument("slices", type=Path, nargs="?", help="slices.tsv of one scan, which the run wrote")
    prelabel.add_argument("labels", type=Path, nargs="?", help="folder that receives its masks; existing ones are kept")
    prelabel.add_argument("--domains-are", choices=("dark", "bright"), default="dark", help="compared with the matrix")
    prelabel.add_argument("--scan", help="with --scribbles: a scan, a converted store (volume.ome.zarr) or one slice")
    prelabel.add_argument(
        "--scribbles",
        type=Path,
        help="strokes on a slice of the scan as an image or ImageJ ROIs, the slice in its name (NAME_z00042.zip); mask "
        "and outlines are written beside it",
    )
    prelabel.add_argument(
        "--finished",
        nargs="+",
        metavar="SAMPLE",
        help="write what was found in these scans into their folders of labels, as SAMPLE_prelabel, to be corrected",
    )
    _add_model(prelabel)

    ranked = add_command(
        commands,
        "rank",
        _rank,
        "list the finished scans without labels, the one first that its model is most likely to get wrong",
        "tomoprofile rank\ntomoprofile prelabel --finished SAMPLE",
    )
    add_config(ranked)

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
    if options.finished:
        _prelabel_finished(options)
    elif options.scan or options.scribbles:
        _prelabel_from_scribbles(options)
    else:
        _prelabel_proposed(options)


def _prelabel_from_scribbles(options: argparse.Namespace) -> None:
    if options.slices or not (options.scan and options.scribbles):
        got = " ".join(str(part) for part in (options.slices, options.scan, options.scribbles) if part)
        remedy = "Write `tomoprofile prelabel --scan SCAN --scribbles FILE`, and nothing else."
        raise ConfigError(Fault("prelabel", got, "strokes need their scan, and no list of slices", remedy))
    from ..segment.scribbled import prelabel_from_scribbles

    prelabel_from_scribbles(options.scan, options.scribbles, _classes(options))


def _prelabel_proposed(options: argparse.Namespace) -> None:
    from ..config import ThresholdConfig
    from ..segment.prelabel import prelabel

    threshold = ThresholdConfig(method="otsu", domains_are=options.domains_are)
    if options.slices and not options.labels:
        remedy = "Name the folder for the masks as well, or neither: then every scan that waits gets its masks."
        raise ConfigError(Fault("prelabel", str(options.slices), "the folder for the masks is missing", remedy))
    if options.slices:
        prelabel(options.slices, options.labels, threshold, _classes(options))
    else:
        _prelabel_all_that_wait(options.config, threshold)


def _prelabel_all_that_wait(path: Path, threshold: ThresholdConfig) -> None:
    """Make masks for every scan that waits for labels, with the classes of its model."""
    from ..labels.classes import Classes
    from ..layout import Layout
    from ..run.waiting import scans_that_wait
    from ..samples import read_samples
    from ..segment.prelabel import prelabel

    config = _config(path)
    waiting = scans_that_wait(read_samples(config.samples, config.models), config)
    served = [scan for scan in waiting if scan.labels]
    if waiting and not served:
        names = ", ".join(scan.sample for scan in waiting[:5]) + ", ..." * (len(waiting) > 5)
        remedy = "Name a folder in the column `labels` of the sheet, as `tomoprofile scan FOLDER --labels labels` does."
        raise InputError(Fault(config.samples, names, "scans wait for labels and have no folder for them", remedy))
    faults = []
    for scan in served:
        proposed = Layout(config.results).scan(scan.sample).to_label
        try:
            prelabel(proposed.table, scan.labels, threshold, Classes.of(config.models[scan.model]))
        except InputError as error:  # the slices of others are fine
            faults += error.faults
    if faults:
        raise InputError(*faults)
    if waiting:
        LOG.info("Next: look at the pictures, correct the masks, then run again: %s", workflow_command())
    else:
        LOG.info("No scan waits for labels.")


def _prelabel_finished(options: argparse.Namespace) -> None:
    """Write what was found in some scans into their folders of labels."""
    if options.slices or options.scan or options.scribbles:
        got = " ".join(str(part) for part in (options.slices, options.scan, options.scribbles) if part)
        remedy = "Write `tomoprofile prelabel --finished SAMPLE`, and nothing else."
        raise ConfigError(Fault("prelabel", got, "finished scans need no slices and no strokes", remedy))
    from ..export.correction import write_for_correction
    from ..export.scan import finished_scan
    from ..labels.classes import Classes
    from ..labels.files import PRELABEL
    from ..samples import read_samples

    config = _config(options.config)
    rows = {scan.sample: scan for scan in read_samples(config.samples, config.models)}
    for sample in options.finished:
        scan = finished_scan(Path(config.results), sample)
        row = rows.get(sample)
        folder = Path((row.labels if row else "") or Path("labels", sample))
        out = write_for_correction(scan, Classes.of(config.models[row.model] if row else None), folder)
        told = "" if row and row.labels else f", and name {folder} in the column `labels` of {config.samples}"
        LOG.info("%s: correct it, save it without `%s` in its name%s", out, PRELABEL, told)
    LOG.info("Next: %s", workflow_command())


def _rank(options: argparse.Namespace) -> None:
    from ..layout import Layout
    from ..run.waiting import models_to_train
    from ..samples import read_samples
    from ..segment.ranking import ranked_scans

    config = _config(options.config)
    served = models_to_train(read_samples(config.samples, config.models), config)
    ranks = {
        model: ranked_scans(Layout(config.results), model, [scan.sample for scan in scans])
        for model, scans in served.items()
    }
    print("model", "sample", "doubt", "difference", "unit", "risk", "remark", sep="\t")
    for model, found in ranks.items():
        for one in found:
            difference = "" if one.difference is None else f"{one.difference:.4g}"
            print(model, one.sample, f"{one.doubt:.4g}", difference, one.unit, f"{one.risk:.4g}", one.why, sep="\t")
    best = [found[0].sample for found in ranks.values() if found]
    if best:
        LOG.info("Next: tomoprofile prelabel --finished %s", " ".join(best))
    else:
        LOG.info("No finished scan without labels has a model that was trained here.")


def _annotate(options: argparse.Namespace) -> None:
    from ..phantom.annotator import annotate

    classes = _classes(options)
    values = dict(zip(classes.names, classes.values, strict=True))
    annotate(options.truth, options.slices, options.labels, values)


def _classes(options: argparse.Namespace) -> Classes:
    """Return the classes that labels are made for: the defaults where no model is configured."""
    from ..labels.classes import Classes

    models = _config(options.config).models
    if options.model not in models and options.model != "default":
        remedy = f"Models: {', '.join(models)}."
        raise ConfigError(Fault(f"{options.config}: models", options.model, "there is no such model", remedy))
    return Classes.of(models.get(options.model))


def _config(path: Path) -> Config:
    from ..config import read_config

    return read_config(load(path), str(path))
