"""Commands before a run: write the sample sheet, check every input."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import ConfigError, InputError
from ..logs import LOG, once_a_kind
from .command import Commands, add_command, add_config, load, workflow_command


def register(commands: Commands) -> None:
    """Add ``scan`` and ``check``."""
    scan = add_command(
        commands,
        "scan",
        _scan,
        "find scans below a folder and write the sample sheet; cells filled in by hand are kept",
        "tomoprofile scan /data/beamtime --labels labels\ntomoprofile scan cement.tif --voxel-size-um 1",
    )
    scan.add_argument("folder", type=Path, help="folder with scans in any format, or one scan")
    scan.add_argument("--out", type=Path, default=Path("config/samples.tsv"), help="the sheet to write")
    scan.add_argument("--slice-axis", type=int, choices=(0, 1, 2), default=0, help="axis of the files that becomes z")
    scan.add_argument("--voxel-size-um", type=float, help="for scans whose header does not give it")
    scan.add_argument("--interface", default="auto", help="value of the column `interface` for all scans")
    scan.add_argument("--model", default="default", help="value of the column `model` for all scans")
    scan.add_argument("--labels", type=Path, help="folder for labelled slices; each scan gets a folder below it")

    check = add_command(
        commands,
        "check",
        _check,
        "check configuration, sheet and every input; nothing is computed",
        "tomoprofile check",
    )
    add_config(check)


def _scan(options: argparse.Namespace) -> int:
    from ..earlier import EarlierSheet
    from ..samples import filled_in, write_samples
    from ..volume.discover import survey

    earlier = EarlierSheet.read(options.out)
    aside = [*earlier.aside, *([options.labels] if options.labels else [])]
    with once_a_kind():
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
    from ..config import read_config
    from ..layout import Layout
    from ..logs import progress
    from ..run.check import check_scan, write_findings
    from ..run.feasibility import check_run, require
    from ..samples import read_samples
    from ..segment.kinds import segmenter_of

    raw = load(options.config)
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
    LOG.info("%d checks passed; see %s. Next: `%s`.", len(findings), out, workflow_command())
