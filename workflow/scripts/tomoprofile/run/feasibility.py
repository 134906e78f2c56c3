"""What a run as a whole needs: models that exist, and room on the disk. No scan is opened, so this is checked first.

Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..config import Config, UNetConfig
from ..config_profile import AUTO
from ..errors import Fault, TomoprofileError
from ..federate.tool import require_flare
from ..labels.classes import sides_of
from ..layout import Layout
from ..network.backends import engine_faults
from ..samples import Scan
from ..segment.kinds import segmenter_of
from ..segment.segmenter import Segmenter
from ..units import duration_in_words, size_in_words
from .cases import check_amplification
from .check_sheet import check_sheet
from .estimates import KEEPS, Total, cores_here, needs_of, total_needs
from .findings import Finding, errors_of


class CheckError(TomoprofileError):
    """Every fault that a check found, one per line."""

    def __init__(self, errors: list[Finding]) -> None:
        super().__init__()
        self.errors = errors

    def __str__(self) -> str:
        count = "1 fault" if len(self.errors) == 1 else f"{len(self.errors)} faults"
        lines = [f"{count} in the inputs; nothing was computed:"]
        return "\n".join(lines + [f"  {error.sample}: {error.item}: {error.message}" for error in self.errors])


def check_run(config: Config, scans: list[Scan]) -> list[Finding]:
    """Check the models and the room on the disk, and report what each scan will need.

    Returns
    -------
    list of Finding
        ``-`` stands for the whole run.
    """
    findings: list[Finding] = []
    segmenters = {scan.sample: segmenter_of(scan, config) for scan in scans}
    for name in sorted({segmenter.name for segmenter in segmenters.values()} - {""}):
        served = [scan for scan in scans if segmenters[scan.sample].name == name]
        findings += _check_model(segmenters[served[0].sample], served)
    findings += _check_trainings(config, scans)
    if any(segmenter.needs.engine for segmenter in segmenters.values()):
        findings += errors_of("-", "engine", engine_faults(config.predict))
    findings += [finding for scan in scans for finding in _check_profile(scan, config)]
    # The classes of a model that cannot be read are unknown, and so are the needs.
    known = [scan for scan in scans if not segmenters[scan.sample].faults()]
    findings += check_sheet(config, scans) + check_amplification(config, scans)
    return [*findings, *_needs(known, config), *_check_disk(config, known)]


def require(findings: Iterable[Finding]) -> None:
    """Raise CheckError with all errors among the findings, if there are any."""
    errors = [finding for finding in findings if finding.status == "error"]
    if errors:
        raise CheckError(errors)


def _check_model(segmenter: Segmenter, scans: list[Scan]) -> list[Finding]:
    labelled, faults = any(scan.labels for scan in scans), segmenter.faults()
    if segmenter.needs.labels and not labelled:
        remedy = "Name a folder for them in the column `labels` of one scan; the run then proposes slices to label."
        faults.append(Fault(f"models.{segmenter.name}", "", "no scan of this model has labels", remedy))
    if faults:
        return errors_of("-", "model", faults)
    if labelled and segmenter.unused_labels:
        return [Finding("-", "model", "warning", segmenter.unused_labels)]
    return [*_mirrored(segmenter), Finding("-", "model", "ok", segmenter.summary)]


def _check_trainings(config: Config, scans: list[Scan]) -> list[Finding]:
    """Check that sites can train together, and that no scan waits for a model that is trained elsewhere."""
    trains = {name: one.train for name, one in config.models.items() if isinstance(one, UNetConfig)}
    faults: list[Fault] = []
    if any(train.mode == "federated" for train in trains.values()):
        try:
            require_flare("train.mode: federated")
        except TomoprofileError as error:
            faults += error.faults
    for scan in scans:
        if scan.model in trains and trains[scan.model].coordinates:
            remedy = "Give the scan a model of its own; as a site, a coordinator has a second configuration."
            problem = f"the training of {scan.model} is only coordinated here"
            faults.append(Fault(f"{scan.sample}: model", scan.model, problem, remedy))
    return errors_of("-", "train", faults)


def _mirrored(segmenter: Segmenter) -> list[Finding]:
    """Warn when a network shall tell left from right and is trained on mirrored crops."""
    model = segmenter.model
    sides = sides_of(tuple(model.classes)) if isinstance(model, UNetConfig) and model.augment.turn else None
    if sides is None:
        return []
    one, other = sides
    text = (
        f"{segmenter.name}: {one} and {other} differ by their side, but training mirrors its crops, so the network "
        "cannot tell them apart; set `augment: {turn: false}`"
    )
    return [Finding("-", "model", "warning", text)]


def _check_profile(scan: Scan, config: Config) -> list[Finding]:
    """Check that bins and blocks are no smaller than a voxel: most would hold nothing."""
    profile, least = config.profile_of(scan.model), min(scan.voxel_size_um)
    keys = ("bin_um", "block_um") if scan.interface != "none" else ("block_um",)
    given = {key: getattr(profile, key) for key in keys if getattr(profile, key) != AUTO}
    remedy = f"Leave the key out, or set it under `models: {{{scan.model}: {{profile: ...}}}}` for scans like this one."
    faults = [
        Fault(f"profile.{key}", f"{size:g} um", f"it is smaller than a voxel of this scan, {least:g} um", remedy)
        for key, size in given.items()
        if size < least * (1 - 1e-6)
    ]
    return errors_of(scan.sample, "profile", faults)


def _needs(scans: list[Scan], config: Config) -> list[Finding]:
    """Report what each scan will need, and all of them together."""
    findings = [
        Finding(scan.sample, "needs", "ok", _told(total_needs([scan], config, with_training=False))) for scan in scans
    ]
    count = "1 scan" if len(scans) == 1 else f"{len(scans)} scans"
    return [*findings, Finding("-", "needs", "ok", f"{count}: {_told(total_needs(scans, config))}")]


def _told(total: Total) -> str:
    """Return it in words a person can plan with: minutes on this machine first, then core-hours for a cluster."""
    cores = "1 core" if cores_here() == 1 else f"{cores_here()} cores"
    models = f", training of {total.models} model{'s' * (total.models > 1)} included" if total.models else ""
    text = (
        f"about {size_in_words(total.bytes_kept['all'])} and {total.files} files; about "
        f"{duration_in_words(total.seconds_here)} on the {cores} of this machine "
        f"({_core_time(total.core_hours_without_gpu)}{models})"
    )
    if not total.gpu_minutes:
        return text
    gpu = "less than 1 GPU-minute" if total.gpu_minutes < 1 else f"{total.gpu_minutes:.0f} GPU-minutes"
    return f"{text}; with a GPU {gpu} and {_core_time(total.core_hours)}"


def _core_time(hours: float) -> str:
    return f"{60 * hours:.0f} core-minutes" if hours < 2 else f"{hours:.1f} core-hours"


def _check_disk(config: Config, scans: list[Scan]) -> list[Finding]:
    """Check the room for everything that may be on the disk at once, and report what each choice of `keep` leaves."""
    needs = [needs_of(scan, config) for scan in scans]
    kept = {keep: sum(need.bytes_kept[keep] for need in needs) for keep in KEEPS}
    files = sum(need.files for need in needs)
    folder = Path(config.results).absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        fault = Fault("results", repr(config.results), "the folder cannot be written", "Choose another in `results:`.")
        return errors_of("-", "disk", [fault])
    # Files that an earlier run has already written need no further room.
    layout = Layout(config.results)
    stores = [store.path for scan in scans for store in layout.scan(scan.sample).stores]
    written = [path.stat().st_size for store in stores for path in store.rglob("*") if path.is_file()]
    free, free_files = shutil.disk_usage(folder).free + sum(written), os.statvfs(folder).f_favail + len(written)
    stays = ", ".join(f"{keep}: {size_in_words(kept[keep])}" for keep in KEEPS)
    needed = size_in_words(kept["all"])
    text = f"about {needed} needed below {config.results}, {size_in_words(free)} free; stays ({stays})"
    if config.keep == "minimal" and kept["all"] > free:
        most = max(need.bytes_kept["all"] for need in needs)
        if kept["minimal"] + most < free:
            remedy = "take a few scans at a time, as `snakemake results/SCAN/discarded.json ...`"
            return [Finding("-", "disk", "warning", f"{text}; too little for all scans at once: {remedy}")]
    if kept["all"] > free:
        remedy = "Make room, choose another disk in `results:`, or set `keep: minimal` and take a few scans at a time."
        return errors_of("-", "disk", [Fault("results", repr(config.results), text, remedy)])
    # Some file systems create inodes on demand, and report that there are none.
    if os.statvfs(folder).f_files and files > free_files:
        problem = f"about {files} files needed, {free_files} can still be created on this disk"
        remedy = "Choose another disk in `results:`, or raise `shard_slices`."
        return errors_of("-", "disk", [Fault("results", repr(config.results), problem, remedy)])
    return [Finding("-", "disk", "ok", f"{text}; {files} files")]
