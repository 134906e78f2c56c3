"""Where a result comes from: raw data, model, labels, configuration, software and jobs, in one JSON file per scan."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..config import digest
from ..files import digest_of, read_record, write_record
from ..layout import Layout, StoreLayout
from ..segment.kinds import segmenter_at
from .status import MODEL_RULES, read_jobs

_SOFTWARE = (
    "numpy",
    "torch",
    "monai",
    "zarr",
    "tifffile",
    "h5py",
    "nibabel",
    "numba",
    "scipy",
    "pandas",
    "pyarrow",
    "snakemake",
)


def write_provenance(
    scan: dict[str, Any],
    config: dict[str, Any],
    segmenter: Path,
    volume: Path,
    tables: Sequence[Path],
    out: Path,
) -> dict[str, Any]:
    """Write ``provenance.json`` of a scan; returns its content.

    Parameters
    ----------
    scan : dict
        Row of the sample sheet.
    config : dict
        The whole configuration, with defaults.
    segmenter : Path
        Model bundle, ``threshold.json`` or ``mask.json``.
    volume : Path
        Store of the grey values; the records of its slabs hold the digests of the raw data.
    tables : sequence of Path
        Results, whose digests are recorded.
    out : Path
    """
    slabs = {path.stem: read_record(path) for path in StoreLayout(volume).written_records()}
    record = {
        "sample": scan["sample"],
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "software": {
            "tomoprofile": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _SOFTWARE},
        },
        "raw": {
            "row": scan,
            "sha256_of_slabs": {name: slab["sha256"] for name, slab in slabs.items()},
        },
        "model": segmenter_at(segmenter).provenance(),
        "seed": config["seed"],
        "config": config,
        "config_digest": digest(config),
        "tables_sha256": {path.name: digest_of(path) for path in tables},
        "jobs": _jobs(Layout(config["results"]), scan),
    }
    write_record(out, record)
    return record


def facts_for_page(record: dict[str, Any]) -> dict[str, Any]:
    """Return what the page of a scan states of its ``provenance.json``."""
    row = record["raw"]["row"]
    return {
        "tomoprofile": record["software"]["tomoprofile"],
        "configuration": record["config_digest"],
        "raw scan": row["path"],
        **({"mask": row["mask"]} if row["mask"] else {"model": row["model"]}),
        "seed": record["seed"],
    }


def _jobs(layout: Layout, scan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the jobs that made a scan's results and its model; the one that writes this is still running."""
    targets = (scan["sample"],) if scan["mask"] else (scan["sample"], scan["model"])
    return [
        {
            "rule": job.rule,
            "slab": job.slab,
            "host": job.host,
            "slurm_job": job.slurm_job,
            "gpu": job.gpu,
            "started": job.started.isoformat() if job.started else None,
            "seconds": job.seconds,
        }
        for target in targets
        for job in read_jobs(layout, target)
        if (job.rule in MODEL_RULES) == (target == scan["model"] and not scan["mask"])
    ]
