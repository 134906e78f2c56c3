"""How the domains of a scan were found: read from a model bundle, ``threshold.json`` or ``mask.json``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..network.facts import HeldOutScores, MeasuredClass, ModelFacts, SizeScores
from ..segment.kinds import segmenter_at
from .numbers import Estimate, percent, short

_GIVEN = ("mask", "instances")
_MOST_PARTS = 8
_TOLD = ("dice", "iou", "precision", "recall", "area_ratio", "labelled_fraction", "interior_recall")


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
class MeasuredFacts:
    """What is known of the segmentation of one measured class.

    Attributes
    ----------
    level : float
        Decision level of the record.
    calibrated : bool
        Whether the level was set on labels that did not train the models which judged them.
    calibration : dict of str to str
        How the output of a network became a probability.
    held_out : dict of str to float
        Scores of labels by models that did not train on them; empty when there are none.
    sizes : tuple of SizeClass
        Scores by diameter; empty when the record has none.
    at_its_limit : bool
        Whether no believable level gives the outlines of the labels.
    """

    level: float
    calibrated: bool = False
    calibration: dict[str, str] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    sizes: tuple[SizeClass, ...] = ()
    at_its_limit: bool = False


@dataclass(frozen=True)
class Segmentation:
    """What the page says about the segmentation.

    Attributes
    ----------
    method : str
        In words.
    kind : {"network", "threshold", "mask", "instances"}
        The last two were given, not made by a model of this workflow.
    classes : dict of MeasuredFacts
        What is known of each measured class, by name.
    facts : dict of str to str
        Conditions of learning or of the threshold, in the order of the record.
    labelled : tuple of str
        Scans with labelled slices behind the model; empty when the record does not say.
    learning_curve : tuple of (int, float)
        Step and loss.
    model : ModelFacts or None
        All that the bundle of a network records.
    """

    method: str
    kind: str
    classes: dict[str, MeasuredFacts]
    facts: dict[str, str] = field(default_factory=dict)
    labelled: tuple[str, ...] = ()
    learning_curve: tuple[tuple[int, float], ...] = ()
    model: ModelFacts | None = None

    @property
    def is_given(self) -> bool:
        """Whether the user brought it."""
        return self.kind in _GIVEN

    def scores_of(self, name: str) -> HeldOutScores | None:
        """Return the scores of a measured class by labels that did not train; None where there are none."""
        known = self.model.measured.get(name) if self.model else None
        return known.held_out if known else None


def read_segmentation(segmenter: Path) -> Segmentation:
    """Read what is known about the segmentation; what a record does not say is left out, never invented.

    Parameters
    ----------
    segmenter : Path
        Folder of a model bundle, ``threshold.json`` or ``mask.json``.

    Raises
    ------
    InputError
        When the record cannot be read.
    """
    found = segmenter_at(segmenter)
    told = found.describe()
    classes = {name: MeasuredFacts(level) for name, level in found.levels().items()}
    plain = Segmentation(told.method, told.kind, classes, dict(_scalars(told.facts)))
    return plain if told.model is None else _learned(plain, told.model)


def with_segmentation(number: Estimate, scores: HeldOutScores | None) -> tuple[Estimate, str]:
    """Return a volume fraction whose interval includes how far the segmentation is off, and a sentence about it.

    Found over labelled area, on labels that did not train, has an interval of its own. Both are relative and
    independent: each end is as far away, on a logarithmic scale, as the root of the sum of squares.

    Parameters
    ----------
    number : Estimate
        With the interval of sampling alone.
    scores : HeldOutScores or None
        None where no labels judged the segmentation.
    """
    if scores is None or scores.area_ratio is None or not number.value > 0 or not math.isfinite(number.lo + number.hi):
        return number, ""
    bias = scores.area_interval
    if bias is None or not bias.low > 0:
        return number, " The interval is that of sampling alone: the labels show too little of the segmentation."
    below = math.hypot(math.log(number.value / number.lo) if number.lo > 0 else math.inf, max(0.0, math.log(bias.high)))
    above = math.hypot(math.log(number.hi / number.value), max(0.0, -math.log(bias.low)))
    told = (
        f" The interval includes the segmentation, whose found over labelled area is {short(scores.area_ratio)} "
        f"({short(bias.low)} to {short(bias.high)}) on labels that did not train."
    )
    if bias.n_groups < 2:
        told += " They are from one place: how much other slices differ was taken as what is usual."
    ends = number.value * math.exp(-below), min(100.0, number.value * math.exp(above))
    return replace(number, lo=ends[0], hi=ends[1]), told


def _learned(plain: Segmentation, model: ModelFacts) -> Segmentation:
    """Return what is known of a segmentation by a network, too."""
    return replace(
        plain,
        classes={name: _measured(known) for name, known in model.measured.items()},
        labelled=tuple(dict.fromkeys(name.rpartition(" ")[0] for name in model.labels.training)),
        learning_curve=tuple((point.step, point.loss) for point in model.learning_curve),
        model=model,
    )


def _measured(known: MeasuredClass) -> MeasuredFacts:
    scores = known.held_out.model_dump() if known.held_out else {}
    return MeasuredFacts(
        known.level,
        known.calibrated,
        calibration=dict(_scalars({"calibration": known.calibration.model_dump()})),
        held_out={name.replace("_", " "): scores[name] for name in _TOLD if scores.get(name) is not None},
        sizes=tuple(map(_size_class, known.held_out.sizes)) if known.held_out else (),
        at_its_limit=known.calibration.level_at_its_limit,
    )


def _size_class(row: SizeScores) -> SizeClass:
    low, high = row.from_um, row.to_um
    name = f"{low:g} and more" if high is None else f"{low:g} to {high:g}" if low else f"below {high:g}"
    found, interior = ("–" if share is None else f"{percent(share)} %" for share in (row.recall, row.interior_recall))
    bias = "–" if row.size_bias is None else f"{100 * row.size_bias:+.1f} %"
    return SizeClass(name, str(row.n_labelled), found, bias, interior, str(row.n_false))


def _scalars(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        words = f"{prefix}{name.replace('_', ' ')}"
        if value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            if not prefix:  # one level is enough for readers; the bundle itself has the rest
                yield from _scalars(value, f"{words}: ")
        elif isinstance(value, list):
            more = len(value) - _MOST_PARTS
            parts = ", ".join(map(_word, value[:_MOST_PARTS]))
            yield words, f"{parts} and {more} more" if more > 0 else parts
        else:
            yield words, _word(value)


def _word(value: Any) -> str:
    if isinstance(value, list):  # a group of slices
        return " + ".join(map(_word, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short(value, 5) if isinstance(value, float) else str(value)
