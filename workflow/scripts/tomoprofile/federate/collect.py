"""The ordinary bundle of a site from its result: the same files, from the same code, as where a model trains alone."""

from __future__ import annotations

from pathlib import Path

from ..config import UNetConfig
from ..errors import Fault, StageError
from ..network.fine_tune import Trained, compute_reproducibly, write_model
from ..network.folds import Judged
from .result import SiteFiles, SiteResult
from .site import Site, load_tensors


def collect(files: SiteFiles, config: UNetConfig, seed: int, out: Path, threads: int) -> None:
    """Write the bundle of a site.

    Level and calibration come from the labels of the site, judged by models of all sites that did not train on them.

    Parameters
    ----------
    files : SiteFiles
    config : UNetConfig
    seed : int
    out : Path
        Folder of the bundle.
    threads : int

    Raises
    ------
    StageError
        When the result is not from the labels and settings that are there now.
    """
    compute_reproducibly(threads)
    site = Site(out.name, files, config, seed)
    told = site.config.model_copy(update={"train": config.train.told})
    result = SiteResult.read(files.result, site.identity)
    if result is None or not result.network:
        problem = "the federated training was of other labels or settings"
        raise StageError(Fault(str(files.result), "", problem, "Remove it and run the workflow again: it trains anew."))
    network = site.first
    load_tensors(network, result.network)
    each = [task.rounds for task in site.plan.tasks if task.leaves_out]
    folds = site.folds.folds
    steps = each[0] * config.train.round_steps if folds else 0
    judged = Judged(site.folds.kind, len(folds), steps, site.training.slices, result.logits)
    trained = Trained(network.eval(), judged, config.train.rounds * config.train.round_steps)
    write_model(out, trained, site.training, told, seed)
