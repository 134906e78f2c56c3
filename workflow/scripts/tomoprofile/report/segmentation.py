"""How the domains of a scan were found: read from a model bundle, ``threshold.json`` or ``mask.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..network.facts import MeasuredClass, ModelFacts, SizeScores
from ..segment.kinds import segmenter_at
from .numbers import percent, short

_GIVEN = ("mask", "instances")
_MOST_PARTS = 8


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
        Whether the level was set on held-out labels.
    calibration : dict of str to str
        How the output of a network became a probability.
    held_out : dict of str to float
        Scores on labelled slices that training never saw; empty when there are none.
    sizes : tuple of SizeClass
        Scores by diameter; empty when the record has none.
    """

    level: float
    calibrated: bool = False
    calibration: dict[str, str] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    sizes: tuple[SizeClass, ...] = ()


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


def _learned(plain: Segmentation, model: ModelFacts) -> Segmentation:
    """Return what is known of a segmentation by a network, too."""
    slices = [*model.labels.training, *model.labels.held_out]
    return replace(
        plain,
        classes={name: _measured(known) for name, known in model.measured.items()},
        labelled=tuple(dict.fromkeys(name.rpartition(" ")[0] for name in slices)),
        learning_curve=tuple((point.step, point.loss) for point in model.learning_curve),
        model=model,
    )


def _measured(known: MeasuredClass) -> MeasuredFacts:
    scores = known.held_out.model_dump() if known.held_out else {}
    return MeasuredFacts(
        known.level,
        known.calibrated,
        calibration=dict(_scalars({"calibration": known.calibration.model_dump()})),
        held_out={name.replace("_", " "): value for name, value in scores.items() if isinstance(value, float)},
        sizes=tuple(map(_size_class, known.held_out.sizes)) if known.held_out else (),
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short(value, 5) if isinstance(value, float) else str(value)
