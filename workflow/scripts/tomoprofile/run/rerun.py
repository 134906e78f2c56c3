"""Make one scan again from a stage on: what was made from there on is removed, so the next run misses it.

All of it, up to the page: Snakemake does not make a file again that only results need which are there.

Light on purpose: it reads no image.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, Fault, StageError
from ..files import digest_file
from ..layout import ScanLayout
from ..samples import Scan
from .claim import claimed
from .record import Run
from .waiting import has_labels, models_to_train

_LEARNED_FROM = ("convert", "interface")  # stages whose outputs training reads


@dataclass(frozen=True)
class Stage:
    """A stage of the way of a scan.

    Attributes
    ----------
    words : str
        What is made again, for messages.
    outputs : callable
        Takes the files of a scan, returns those that the stage makes, folders as a whole.
    """

    words: str
    outputs: Callable[[ScanLayout], Iterable[Path]]


# In the order of the data.
STAGES: dict[str, Stage] = {
    "convert": Stage("conversion", lambda files: (files.check, files.volume.path)),
    "interface": Stage(
        "substrate and appearance",
        lambda files: (files.interface, files.substrate_distance, files.resin, files.appearance),
    ),
    "segment": Stage(
        "segmentation",
        lambda files: (
            *(files.threshold, files.mask, files.familiarity),
            *(files.probability.path, files.uncertainty.path, files.instances.path),
        ),
    ),
    "measure": Stage(
        "domains",
        lambda files: (
            files.domains,
            files.domains_at("low").parent,
            files.objects_at("low").parent,
            files.labels.path,
            files.classes,
        ),
    ),
    "profile": Stage(
        "profile, zones and baselines",
        lambda files: (
            *(files.profile, files.zones, files.breakpoints, files.correlation, files.sizes, files.baselines),
            *(files.phase, files.thickness),
        ),
    ),
    "report": Stage("report", lambda files: (files.report, files.provenance, files.tables)),
}


def make_again(run: Run, sample: str, stage: str) -> list[str]:
    """Remove what was made of a scan from a stage on; returns what was done and what the next run does, line by line.

    The model stays, and so do labels.

    Parameters
    ----------
    run : Run
        The last run of the results folder.
    sample : str
        Name of the scan.
    stage : str
        A key of :data:`STAGES`.

    Raises
    ------
    ConfigError
        When there is no such scan.
    StageError
        When a run is alive, or when files that are needed once more are gone; nothing is removed then.
    """
    scans = {scan.sample: scan for scan in run.scans}
    if sample not in scans:
        remedy = f"Scans of the last run: {', '.join(scans)}."
        raise ConfigError(Fault("rerun", sample, "there is no such scan", remedy))
    files = run.layout.scan(sample)
    _require_raw(scans[sample], files, Path(run.work_dir), stage)
    names = list(STAGES)
    again = names[names.index(stage) :]
    outputs = [path for name in again for path in STAGES[name].outputs(files)]
    with claimed(run.layout.results.absolute(), run.work_dir, on_cluster=False):
        # The record that stores were discarded must go, too, or they would not be discarded again.
        removed = [path for path in (*outputs, files.discarded) if _removed(path)]
    follows = [STAGES[name].words for name in again]
    return [
        f"{sample}: removed {', '.join(str(path.relative_to(files.folder)) for path in removed) or 'nothing'}.",
        f"The next run makes again: {', '.join(follows)}; then the page of the beamtime. Labels stay as they are.",
        *_training(run, scans[sample], stage),
    ]


def _training(run: Run, scan: Scan, stage: str) -> list[str]:
    """Return what is said where the labels of a scan are learned again, because its voxels may be others."""
    served = models_to_train(run.scans, run.config).get(scan.model, [])
    if scan not in served or stage not in _LEARNED_FROM or not has_labels(scan, run.work_dir):
        return []
    others = len(served) - 1
    also = f", and the {others} other scans of this model are segmented again" if others else ""
    return [f"Its labels train the model {scan.model}: that is trained again, too{also}."]


def _require_raw(scan: Scan, files: ScanLayout, work_dir: Path, stage: str) -> None:
    """Refuse when the scan must be converted again, or its mask entered again, and the files went to an archive."""
    needed = []
    if stage == "convert" or not files.volume.metadata.exists():
        needed.append(scan.path)
    if scan.own_mask and list(STAGES).index(stage) <= list(STAGES).index("segment"):
        needed += [image.path for image in scan.own_mask.images]
    gone = [path for path in needed if not (work_dir / path).exists()]
    if gone:
        remedy = "Bring it back, or begin with a later stage (`--from`)."
        raise StageError(*(Fault(path, "", f"{scan.sample} cannot be made again without it", remedy) for path in gone))


def _removed(path: Path) -> bool:
    """Remove a file with its digest, or a folder; return whether there was one."""
    if path.is_dir():
        shutil.rmtree(path)
        return True
    digest_file(path).unlink(missing_ok=True)
    there = path.exists()
    path.unlink(missing_ok=True)
    return there
