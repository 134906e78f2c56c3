"""How the domains of a scan were found, read from a model bundle or from ``threshold.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .tables import read_record

# Said elsewhere on the page, or of use to programs only.
_TOLD = ("held_out", "held_out_metrics", "decision_level", "calibrated", "network_data_format", "warning", "warnings")


@dataclass(frozen=True)
class Segmentation:
    """What the page says about the segmentation.

    Attributes
    ----------
    method : str
        In words.
    is_threshold : bool
    calibrated : bool or None
        Whether the decision level was set on held-out labels; None when the record does not say.
    facts : dict of str to str
        Conditions of learning or of the threshold, in the order of the record.
    held_out : dict of str to float
        Scores on labelled slices that training never saw; empty when there are none.
    warnings : tuple of str
        As the record has them.
    """

    method: str
    is_threshold: bool
    calibrated: bool | None
    facts: dict[str, str] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_segmentation(segmenter: Path) -> Segmentation:
    """Read what is known about the segmentation; keys that a record lacks are left out.

    Parameters
    ----------
    segmenter : Path
        Folder of a model bundle, or ``threshold.json``.

    Raises
    ------
    InputError
        When the record cannot be read.
    """
    is_threshold = segmenter.suffix == ".json"
    record = read_record(segmenter if is_threshold else segmenter / "configs" / "metadata.json")
    held_out = record.get("held_out") or record.get("held_out_metrics")
    warnings = record.get("warnings") or record.get("warning") or ()
    calibrated = record.get("calibrated")
    if is_threshold:
        method = {"otsu": "global threshold (Otsu)", "threshold_fill": "global threshold, holes filled"}.get(
            str(record.get("method")), "global threshold"
        )
    else:
        method = "fine-tuned 2-D U-Net, slice by slice"
    return Segmentation(
        method=method,
        is_threshold=is_threshold,
        calibrated=calibrated if isinstance(calibrated, bool) else None,
        facts=dict(_scalars(record, skip=_TOLD)),
        held_out=dict(_numbers(held_out)),
        warnings=(warnings,) if isinstance(warnings, str) else tuple(map(str, warnings)),
    )


def _scalars(record: dict[str, Any], skip: tuple[str, ...], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        words = f"{prefix}{name.replace('_', ' ')}"
        if name in skip or value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            if not prefix:  # one level is enough for people; the bundle itself has the rest
                yield from _scalars(value, (), f"{words}: ")
        elif isinstance(value, bool):
            yield words, "yes" if value else "no"
        elif isinstance(value, float):
            yield words, f"{value:.5g}"
        elif isinstance(value, list):
            if len(value) <= 12 and not any(isinstance(part, dict | list) for part in value):
                yield words, ", ".join(f"{part:.5g}" if isinstance(part, float) else str(part) for part in value)
        else:
            yield words, str(value)


def _numbers(record: Any) -> Iterator[tuple[str, float]]:
    if isinstance(record, dict):
        for name, value in record.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield name.replace("_", " "), float(value)
