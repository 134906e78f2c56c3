"""The command ``tomoprofile``: the steps before, during and after a run of the workflow."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .errors import ConfigError, Fault, InputError, TomoprofileError
from .logs import LOG, log_to_terminal

if TYPE_CHECKING:
    from .labels.classes import Classes


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 fine, 1 a fault in the inputs or a failed comparison."""
    parser = _parser()
    options = parser.parse_args(arguments)
    log_to_terminal()
    try:
        return options.run(options) or 0
    except TomoprofileError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tomoprofile", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    scan = commands.add_parser(
        "scan", help="find scans below a folder and write the sample sheet; cells filled in by hand are kept"
    )
    scan.add_argument("folder", type=Path)
    scan.add_argument("--out", type=Path, default=Path("config/samples.tsv"))
    scan.add_argument("--slice-axis", type=int, choices=(0, 1, 2), default=0, help="axis of the files that becomes z")
    scan.add_argument("--voxel-size-um", type=float, help="for scans whose header does not give it")
    scan.add_argument("--interface", default="auto", help="value of the column `interface` for all scans")
    scan.add_argument("--model", default="default", help="value of the column `model` for all scans")
    scan.add_argument("--labels", type=Path, help="folder for labelled slices; each scan gets a folder below it")
    scan.set_defaults(run=_scan)

    check = commands.add_parser("check", help="check configuration, sheet and every input; nothing is computed")
    check.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    check.set_defaults(run=_check)

    status = commands.add_parser("status", help="show the progress of each scan, what failed and what it cost")
    status.add_argument("results", type=Path, nargs="?", default=Path("results"))
    status.set_defaults(run=_status)

    verify = commands.add_parser(
        "verify", help="read all results again and set aside what was damaged on disk since; the next run makes it anew"
    )
    verify.add_argument("results", type=Path, nargs="?", default=Path("results"))
    verify.set_defaults(run=_verify)

    index = commands.add_parser("index", help="write index.html of an unfinished run: done, failed and missing scans")
    index.add_argument("results", type=Path, nargs="?", default=Path("results"))
    index.set_defaults(run=_index)

    phantom = commands.add_parser("phantom", help="simulate a scan with known truth")
    phantom.add_argument("folder", type=Path, help="receives raw/ and truth/")
    phantom.add_argument("--kind", choices=("A", "B", "C"), default="A", help="C is the hard one")
    phantom.add_argument("--size", type=int, nargs="+", default=[256], help="voxels: one number, or z y x")
    phantom.add_argument("--seed", type=int, default=1)
    phantom.add_argument(
        "--form",
        default="tiff_folder_u16",
        choices=("tiff_folder_u16", "tiff_folder_f32", "tiff_stack", "hdf5"),
    )
    phantom.set_defaults(run=_phantom)

    prelabel = commands.add_parser("prelabel", help="threshold the proposed slices: masks for a person to correct")
    prelabel.add_argument("slices", type=Path, help="slices.tsv that pick_slices wrote")
    prelabel.add_argument("labels", type=Path, help="folder that receives the masks; existing ones are kept")
    prelabel.add_argument("--domains-are", choices=("dark", "bright"), default="dark")
    _add_model(prelabel)
    prelabel.set_defaults(run=_prelabel)

    annotate = commands.add_parser("annotate", help="label the proposed slices of a simulated scan with its truth")
    annotate.add_argument("truth", type=Path, help="folder truth/ of the phantom")
    annotate.add_argument("slices", type=Path, help="slices.tsv that pick_slices wrote")
    annotate.add_argument("labels", type=Path, help="folder that receives the masks")
    _add_model(annotate)
    annotate.set_defaults(run=_annotate)

    compare = commands.add_parser(
        "compare", help="compare the results of a simulated scan with its truth, class by class"
    )
    compare.add_argument("truth", type=Path)
    compare.add_argument("results", type=Path, help="folder of the sample's results")
    compare.set_defaults(run=_compare)

    schema = commands.add_parser(
        "schema", help="for developers: write the schema of the configuration, and the tables of the two guides"
    )
    schema.add_argument("root", type=Path, nargs="?", default=Path(), help="checkout of tomoprofile")
    schema.set_defaults(run=_schema)

    return parser


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, default=Path("config/config.yaml"), help="configuration that defines the classes, if any"
    )
    command.add_argument("--model", default="default", help="model whose classes give the values in masks")


def _scan(options: argparse.Namespace) -> int:
    from .earlier import EarlierSheet
    from .samples import filled_in, write_samples
    from .volume.discover import survey

    earlier = EarlierSheet.read(options.out)
    aside = [*earlier.aside, *([options.labels] if options.labels else [])]
    found = survey(options.folder, options.slice_axis, options.voxel_size_um, aside)
    if not found.scans:
        raise InputError(*found.faults)
    scans = [
        filled_in(
            scan,
            interface=options.interface,
            model=options.model,
            labels=str(options.labels / scan.sample) if options.labels else "",
        )
        for scan in earlier.named(found.scans)
    ]
    kept = earlier.merged(scans)
    write_samples(options.out, kept)
    for fault in found.faults:
        print(fault, file=sys.stderr)
    told = f"; what could not be read is named above ({len(found.unread)})" if found.faults else ""
    if len(kept) > len(scans):
        told = f", {len(kept) - len(scans)} of them rows of the earlier sheet for scans not found here{told}"
    count = "1 scan" if len(kept) == 1 else f"{len(kept)} scans"
    LOG.info("%s written to %s%s. Next: check it, then run `tomoprofile check`.", count, options.out, told)
    return int(bool(found.faults))


def _check(options: argparse.Namespace) -> None:
    from .config import read_config
    from .config_file import load_config
    from .layout import Layout
    from .logs import progress
    from .run.check import check_scan, write_findings
    from .run.feasibility import check_run, require
    from .samples import read_samples
    from .segment.kinds import segmenter_of

    raw = load_config(options.config)
    try:
        config = read_config(raw, str(options.config))
    except ConfigError as error:
        # The sheet is checked anyway: one run shows every fault that can be found without a valid configuration.
        models, sheet = raw.get("models"), raw.get("samples", "config/samples.tsv")
        try:
            read_samples(str(sheet), set(map(str, models)) if isinstance(models, dict) else {"default"})
        except ConfigError as more:
            raise ConfigError(*error.faults, *more.faults) from None
        raise
    scans = read_samples(config.samples, config.models)
    findings = check_run(config, scans)
    for scan in progress(scans, len(scans), "scans checked"):
        findings += check_scan(scan, segmenter_of(scan, config))
    require(findings)
    out = Layout(config.results).check
    write_findings(findings, out)
    for finding in findings:
        if finding.sample == "-" and finding.status == "ok":  # warnings have been told
            LOG.info("%s: %s", finding.item, finding.message)
    LOG.info("%d checks passed; see %s. Next: `snakemake`.", len(findings), out)


def _status(options: argparse.Namespace) -> None:
    from .run.record import read_run
    from .run.status import read_status, status_text

    run = read_run(options.results)
    print(status_text(run, read_status(run)))


def _verify(options: argparse.Namespace) -> None:
    from .run.verify import verify

    files, faults = verify(options.results)
    if faults:
        raise InputError(*faults)
    LOG.info("%d files and shards are what was written.", files)


def _index(options: argparse.Namespace) -> None:
    from .run.index import write_index
    from .run.record import read_run

    run = read_run(options.results)
    write_index(run)
    LOG.info("done, failed and missing scans: %s", run.layout.index)


def _phantom(options: argparse.Namespace) -> None:
    from .phantom.files import write_scan, write_truth
    from .phantom.scan import PhantomSettings, simulate

    size = tuple(options.size * 3 if len(options.size) == 1 else options.size)
    phantom = simulate(PhantomSettings.of_kind(options.kind, size=size, seed=options.seed))
    write_truth(phantom, options.folder / "truth")
    path = write_scan(phantom, options.folder / "raw" / f"phantom_{options.kind}", options.form)
    LOG.info("simulated scan in %s, its truth in %s", path, options.folder / "truth")


def _prelabel(options: argparse.Namespace) -> None:
    from .config import ThresholdConfig
    from .segment.prelabel import prelabel

    threshold = ThresholdConfig(method="otsu", domains_are=options.domains_are)
    prelabel(options.slices, options.labels, threshold, _classes(options))


def _annotate(options: argparse.Namespace) -> None:
    from .phantom.annotator import annotate

    classes = _classes(options)
    values = dict(zip(classes.names, classes.values, strict=True))
    annotate(options.truth, options.slices, options.labels, values)


def _classes(options: argparse.Namespace) -> Classes:
    """Return the classes that labels are made for: the defaults where no model is configured."""
    from .config import read_config
    from .config_file import load_config
    from .labels.classes import Classes

    raw = load_config(options.config) if options.config.is_file() else {}
    models = read_config(raw, str(options.config)).models
    if options.model not in models and options.model != "default":
        remedy = f"Models: {', '.join(models)}."
        raise ConfigError(Fault(f"{options.config}: models", options.model, "there is no such model", remedy))
    return Classes.of(models.get(options.model))


def _compare(options: argparse.Namespace) -> int:
    from .layout import ScanLayout
    from .run.against_truth import compare, measured_classes

    missed = False
    for name in measured_classes(ScanLayout(options.results)):
        comparisons = compare(options.truth, options.results, name)
        print(f"class {name}", *comparisons, sep="\n")
        missed |= not all(comparison.ok for comparison in comparisons)
    return int(missed)


def _schema(options: argparse.Namespace) -> None:
    from .run.reference import write_reference

    write_reference(options.root)


if __name__ == "__main__":
    sys.exit(main())
