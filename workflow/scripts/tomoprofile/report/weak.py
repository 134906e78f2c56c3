"""Flags for a model that is weak, or whose accuracy is hardly known, from what its labels say about it."""

from __future__ import annotations

from collections.abc import Iterator

from ..network.facts import HeldOutScores, MeasuredClass, ModelFacts
from .flags import Flag, naming_classes
from .numbers import percent, short
from .segmentation import Segmentation

_GOOD = 0.8  # Dice, below which volumes and counts of domains are not to be trusted
_WIDE = 0.2  # width of the interval of the Dice
_LEARNED = 0.85  # Dice of the labels that trained, below which training has not come to its end
_OF_ONE = 0.5  # share of the labelled area in the largest object of each slice
_JUDGES = 0.5  # Dice, below which models say nothing about how labels were drawn
_STYLES = 1.5  # ratio of found over labelled area between slices, beyond which people drew differently


def weak_flags(segmentation: Segmentation) -> list[Flag]:
    """Return what makes the model of a scan weak, the most serious first; nothing for other kinds of segmentation."""
    model = segmentation.model
    if model is None:
        return []
    found = {name: list(_of_class(known, model)) for name, known in model.measured.items()}
    flags = [*naming_classes(found, model.measured), *_of_labels(model)]
    return sorted(flags, key=lambda flag: flag.severity != "error")


def _of_class(known: MeasuredClass, model: ModelFacts) -> Iterator[Flag]:
    scores = known.held_out
    if scores is not None and scores.dice is not None:
        yield from _accuracy(scores, scores.dice)
        if scores.dice >= _JUDGES:
            yield from _styles(scores)
    fitted = known.fitted.dice if known.fitted else None
    if fitted is not None and fitted < _LEARNED:
        text = (
            f"Even on the slices that it was trained on the model reaches only a Dice of {short(fitted)}: it has not "
            f"learned them. Raise `steps` of the model (now {model.conditions.get('steps')}), and look whether the "
            "labels follow what the slices show."
        )
        yield Flag("error", "The model has not learned its labels", text)
    if scores is not None and (scores.largest_share or 0) > _OF_ONE:
        text = (
            f"The largest object of each labelled slice holds {percent(scores.largest_share)} % of the labelled area, "
            "so the scores say how well that one is found. Label slices that show more of the others."
        )
        yield Flag("warning", "One object dominates the labels", text)


def _accuracy(scores: HeldOutScores, dice: float) -> Iterator[Flag]:
    interval = scores.dice_interval
    told = f" (95 % interval {short(interval.low)} to {short(interval.high)})" if interval else ""
    if dice < _GOOD:
        text = (
            f"On labels that did not train, the Dice is {short(dice)}{told}: volumes and counts of domains may be far "
            "off. Label more slices, of places where the outlines below are wrong."
        )
        yield Flag("error", "The model is weak", text)
    elif interval and interval.high - interval.low > _WIDE:
        text = (
            f"On labels that did not train, the Dice is {short(dice)}, but it may as well be {short(interval.low)} or "
            f"{short(interval.high)} (95 % interval): {_why(scores)} Label more slices, far apart."
        )
        yield Flag("warning", "The accuracy of the model is hardly known", text)


def _why(scores: HeldOutScores) -> str:
    each = [one.dice for one in scores.slices if one.dice is not None]
    groups = len({one.group for one in scores.slices})
    several = "the labelled slices are one group" if groups == 1 else f"there are {groups} groups of labelled slices"
    return f"{several}, with a Dice from {short(min(each))} to {short(max(each))}." if len(each) > 1 else f"{several}."


def _styles(scores: HeldOutScores) -> Iterator[Flag]:
    each = [one for one in scores.slices if one.area_ratio and one.dice is not None]
    low, high = (choose(each, key=lambda one: one.area_ratio, default=None) for choose in (min, max))
    if low is None or high is None or high.area_ratio < _STYLES * low.area_ratio:
        return
    text = (
        f"What models find is {short(low.area_ratio)} times the labelled area in {low.name} (Dice {short(low.dice)}), "
        f"and {short(high.area_ratio)} times in {high.name} (Dice {short(high.dice)}): the two may be drawn in "
        "different styles, one wider than the other, or show different things. Compare them, and draw "
        "all outlines alike."
    )
    yield Flag("warning", "Labels disagree with each other", text)


def _of_labels(model: ModelFacts) -> Iterator[Flag]:
    if model.forgetting:
        yield Flag("warning", "The labels show too little of the scan", model.forgetting)
    if len(model.labels.groups) == 1:
        n = len(model.labels.training)
        these = "One slice is" if n == 1 else f"All {n} labelled slices show partly the same, so they are"
        text = (
            f"{these} all that the model learned from. How accurate it is in other slices cannot be known; its scores "
            "come from parts of the labelled ones. Label a slice far from them."
        )
        yield Flag("warning", "A model from one place", text)
    if model.labels.same_masks:
        one, other = model.labels.same_masks[0]
        text = f"{one} and {other} have the same mask, voxel for voxel: was one saved for the other?"
        yield Flag("warning", "Two slices with one mask", text)
