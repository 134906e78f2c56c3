"""How the domains of a scan were found: read from a model bundle, ``threshold.json`` or ``mask.json``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..files import read_record
from ..layout import BundleLayout

_TOLD = ("held_out", "decision_level", "calibrated", "learning_curve", "seen")  # elsewhere on the page
_NOT_TOLD = ("decision_level", "method", "sha256_of_slabs")  # of a given mask
_GIVEN = {"mask": "those of a mask that was given", "instances": "those of a label volume that was given"}
_MOST_PARTS = 8
_METHODS = {"otsu": "global threshold (Otsu)", "threshold_fill": "global threshold, holes filled"}


@dataclass(frozen=True)
class SizeClass:
    """Held-out scores of the domains of one class of diameter, in words; ``–`` where nothing is known.

    Attributes
    ----------
    diameters, n_labelled, found, bias, interior, n_false : str
        As in the model card: ``docs/outputs.md``, "Held-out scores".
    """

    diameters: str
    n_labelled: str
    found: str
    bias: str
    interior: str
    n_false: str


@dataclass(frozen=True)
class Segmentation:
    """What the page says about the segmentation.

    Attributes
    ----------
    method : str
        In words.
    kind : {"network", "threshold", "mask", "instances"}
        The last two were given and made by no model of this workflow.
    level : float
        Decision level of the record; NaN when it does not say.
    calibrated : bool
        Whether the level was set on held-out labels.
    facts : dict of str to str
        Conditions of learning or of the threshold, in the order of the record.
    held_out : dict of str to float
        Scores on labelled slices that training never saw; empty when there are none.
    labelled : tuple of str
        Scans with labelled slices behind the model; empty when the record does not say.
    learning_curve : tuple of (int, float)
        Step and loss.
    sizes : tuple of SizeClass
        Scores by diameter; empty when the record has none.
    """

    method: str
    kind: Literal["network", "threshold", "mask", "instances"]
    level: float
    calibrated: bool
    facts: dict[str, str] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    labelled: tuple[str, ...] = ()
    learning_curve: tuple[tuple[int, float], ...] = ()
    sizes: tuple[SizeClass, ...] = ()

    @property
    def is_given(self) -> bool:
        """Whether the user brought it."""
        return self.kind in _GIVEN


def read_segmentation(segmenter: Path) -> Segmentation:
    """Read what is known about the segmentation; what a record does not say is left out, never made up.

    Parameters
    ----------
    segmenter : Path
        Folder of a model bundle, ``threshold.json`` or ``mask.json``.

    Raises
    ------
    InputError
        When the record cannot be read.
    """
    if segmenter.suffix == ".json":
        record = read_record(segmenter)
        method, level = str(record.get("method")), _number(record.get("decision_level"))
        if method in _GIVEN:
            told = {name: value for name, value in record.items() if name not in _NOT_TOLD}
            return Segmentation(_GIVEN[method], method, level, False, dict(_scalars(told)))  # type: ignore[arg-type]
        words = _METHODS.get(method, "global threshold")
        return Segmentation(words, "threshold", level, False, dict(_scalars(record)))
    metadata = read_record(BundleLayout(segmenter).metadata)
    # A bundle of another program has no such section.
    record = _section(metadata, "tomoprofile")
    labels = _section(record, "labels")
    slices = [*labels.get("training", ()), *labels.get("held_out", ())]
    curve = [
        (point["step"], _number(point.get("loss"))) for point in record.get("learning_curve", ()) if "step" in point
    ]
    held_out = _section(record, "held_out")
    scores = {name.replace("_", " "): _number(value) for name, value in held_out.items()}
    return Segmentation(
        method="fine-tuned 2-D U-Net, slice by slice" if record else str(metadata.get("task", "model bundle")),
        kind="network",
        level=_number(record.get("decision_level")),
        calibrated=record.get("calibrated") is True,
        facts=dict(_scalars(record)),
        held_out={name: value for name, value in scores.items() if math.isfinite(value)},
        labelled=tuple(dict.fromkeys(name.rpartition(" ")[0] for name in slices)),
        learning_curve=tuple(curve),
        sizes=tuple(_size_class(row) for row in held_out.get("sizes") or ()),
    )


def _size_class(row: dict[str, Any]) -> SizeClass:
    low, high = row["from_um"], row["to_um"]
    name = f"{low:g} and more" if high is None else f"{low:g} to {high:g}" if low else f"below {high:g}"
    found, interior = ("–" if row[key] is None else f"{100 * row[key]:.0f} %" for key in ("recall", "interior_recall"))
    bias = "–" if row["size_bias"] is None else f"{100 * row['size_bias']:+.1f} %"
    return SizeClass(name, str(row["n_labelled"]), found, bias, interior, str(row["n_false"]))


def _section(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _scalars(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        words = f"{prefix}{name.replace('_', ' ')}"
        if (name in _TOLD and not prefix) or value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            if not prefix:  # one level is enough for people; the bundle itself has the rest
                yield from _scalars(value, f"{words}: ")
        elif isinstance(value, list):
            more = len(value) - _MOST_PARTS
            parts = ", ".join(map(_word, value[:_MOST_PARTS]))
            yield words, f"{parts} and {more} more" if more > 0 else parts
        else:
            yield words, _word(value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
