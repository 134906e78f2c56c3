"""The model card: what a person should know before trusting a model, with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files import whole_file
from .facts import AmplificationFacts, HeldOutScores, Interval, MeasuredClass, ModelFacts, SizeScores
from .pictures import HeldOutSlice, draw_learning_curve, draw_reliability, draw_slice

_MOST_SLICES = 3  # pictures of more would hide the first
_MOST_NAMED = 8
_FEW_OBJECTS = 5
_HOLLOW = 0.9
_CURVE = "learning_curve.png"

TEMPLATE = """# Model {name}

A 2-D U-Net ({encoder} encoder, initial weights: `{base}`{way}) that predicts for each voxel of an X-ray CT scan the
probability of being {what}. Its input is {in_channels} neighbouring slices at a time.

- Trained on: {training}{amplified}
- Judged by: {judged}
{scores}
- Voxels: {voxels} µm; grey values are normalised by the median and robust standard deviation of each scan's matrix

{sections}## When not to trust it

{warnings}

## Training settings

{conditions}
"""


@dataclass(frozen=True)
class CardPictures:
    """What the card shows besides numbers.

    Attributes
    ----------
    slices : dict of str to tuple of HeldOutSlice
        Labelled slices by measured class, as models found them that did not train on them; the first three are drawn.
        Empty when no label could judge.
    """

    slices: Mapping[str, Sequence[HeldOutSlice]] = field(default_factory=dict)


def write_card(folder: Path, name: str, facts: ModelFacts, pictures: CardPictures) -> tuple[Path, ...]:
    """Write the card and its pictures.

    Parameters
    ----------
    folder : Path
        The bundle's ``docs`` folder; created if missing.
    name : str
        Name of the model.
    facts : ModelFacts
    pictures : CardPictures

    Returns
    -------
    tuple of Path
        ``README.md``, which is written last, and the PNG files that it shows, each smaller than 300 kB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, str] = {}
    if facts.learning_curve:
        draw_learning_curve(facts.learning_curve, folder / _CURVE)
        drawn[_CURVE] = ""
    edges = (facts.voxel_size_um or (1.0, 1.0, 1.0))[1:]
    for part in _parts(facts):
        if part.measured.held_out:
            draw_reliability(part.measured.held_out.reliability, folder / part.reliability)
            drawn[part.reliability] = ""
        for file, item in zip(part.slices, pictures.slices.get(part.name, ()), strict=False):
            drawn[file] = draw_slice(item, part.measured.level, edges, folder / file)
    with whole_file(folder / "README.md") as partial:
        partial.write_text(model_card(name, facts, drawn), encoding="utf-8")
    return (folder / "README.md", *(folder / file for file in drawn))


def model_card(name: str, facts: ModelFacts, pictures: dict[str, str] | None = None) -> str:
    """Return the Markdown text of a model's card from the facts in its bundle.

    Parameters
    ----------
    name : str
    facts : ModelFacts
    pictures : dict of str to str, optional
        Captions of the PNG files beside the card.
    """
    parts = list(_parts(facts))
    sections = [text for part in parts for text in _held_out_sections(part, pictures or {})]
    sections += _curve_section(pictures or {})
    return TEMPLATE.format(
        name=name,
        encoder=facts.network.encoder,
        base=facts.base,
        way="" if facts.base_share == 1 else f", {facts.base_share:.0%} of the way from them to where training ended",
        in_channels=facts.network.in_channels,
        training=", ".join(facts.labels.training),
        amplified="".join(f"\n- {line}" for line in _amplified(facts.labels.amplification)),
        judged=_judged(facts),
        what="a domain" if len(parts) == 1 else f"{', '.join(facts.measured)} (one probability each)",
        scores="\n".join(f"- {part.told}{line}" for part in parts for line in _summary(part.measured)),
        voxels=" x ".join(f"{edge:g}" for edge in facts.voxel_size_um or ()),
        sections="".join(f"{part}\n\n" for part in sections),
        warnings="\n".join(f"- {line}" for line in _warnings(facts, parts)),
        conditions="\n".join(f"- `{key}`: {value}" for key, value in facts.conditions.items()),
    )


@dataclass(frozen=True)
class _Part:
    """What the card says about one measured class; a class on its own is not named.

    Attributes
    ----------
    name : str
    measured : MeasuredClass
    alone : bool
        Whether it is the only measured class.
    """

    name: str
    measured: MeasuredClass
    alone: bool

    @property
    def told(self) -> str:
        """Prefix of its lines."""
        return "" if self.alone else f"`{self.name}`: "

    @property
    def heading(self) -> str:
        """Suffix of its headings."""
        return "" if self.alone else f": {self.name}"

    @property
    def reliability(self) -> str:
        """File name of its reliability diagram."""
        return f"reliability{self._ending}.png"

    @property
    def slices(self) -> list[str]:
        """File names of the pictures of its held-out slices."""
        return [f"held_out{self._ending}_{number}.png" for number in range(1, _MOST_SLICES + 1)]

    @property
    def _ending(self) -> str:
        return "" if self.alone else f"_{self.name}"


def _parts(facts: ModelFacts) -> Iterator[_Part]:
    for name, measured in facts.measured.items():
        yield _Part(name, measured, len(facts.measured) == 1)


def _summary(measured: MeasuredClass) -> list[str]:
    calibrated = "that of the outlines of labels that did not train" if measured.calibrated else "not calibrated"
    lines = [_headline(measured.held_out), *_by_slice(measured.held_out)]
    if measured.fitted and measured.fitted.dice is not None:
        lines.append(f"On the labels that trained it, the model itself reaches Dice {measured.fitted.dice:.3f}")
    return [*lines, f"Decision level: {measured.level:.3f} ({calibrated})"]


def _headline(scores: HeldOutScores | None) -> str:
    if scores is None or scores.dice is None:
        return "The accuracy is unknown because no label could judge"
    parts = [f"Dice {scores.dice:.3f}{_interval(scores.dice_interval)}"]
    each = {
        "IoU": scores.iou,
        "precision": scores.precision,
        "recall": scores.recall,
    }
    parts += [f"{words} {value:.3f}" for words, value in each.items() if value is not None]
    if scores.area_ratio is not None:
        parts.append(f"found / labelled area {scores.area_ratio:.3f}{_interval(scores.area_interval)}")
    return f"On labels that did not train: {', '.join(parts)}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    told = f"95 % interval {interval.low:.3f} to {interval.high:.3f}"
    if interval.n_groups < 2:
        return f" ({told}, if other slices differ from the labelled ones as much as is usual)"
    return f" ({told}, {interval.n_groups} groups of slices)"


def _by_slice(scores: HeldOutScores | None) -> list[str]:
    each = [one for one in scores.slices if one.dice is not None] if scores else []
    told = ", ".join(f"{one.name} {one.dice:.3f}" for one in each[:_MOST_NAMED])
    more = len(each) - _MOST_NAMED
    return [f"Dice by slice: {told}{f' and {more} more' if more > 0 else ''}"] if len(each) > 1 else []


def _judged(facts: ModelFacts) -> str:
    """Return in words how the scores were made."""
    folds, groups = facts.folds, len(facts.labels.groups)
    if folds is None or folds.kind == "none":
        return "nothing, because the labels are too few to judge each other"
    what = {
        "slices": f"{folds.n_folds} models, each from all but one part of the {groups} groups of slices",
        "blocks": f"{folds.n_folds} models, each from all but one block of the labelled slices and what is near to it",
        "tiles": f"{folds.n_folds} models, each from all but one strip of the labels, as all show partly the same; how "
        "the accuracy differs in other slices they cannot tell",
    }[folds.kind]
    fewer = f"{folds.steps} steps instead of {facts.steps}, and fewer labels" if folds.steps != facts.steps else ""
    return (
        f"{what}. Every label is judged once, by a model that did not train on it. Those models have "
        f"{fewer or 'fewer labels'}: the model itself is usually better"
    )


def _amplified(facts: AmplificationFacts | None) -> list[str]:
    """Return what was drawn from the labels, and which cases had no part in it."""
    if facts is None:
        return []
    accepted = ", ".join(f"{count} {kind}" for kind, count in facts.accepted.items())
    left_out = ", ".join(f"{count} ({reason})" for reason, count in facts.left_out.items()) or "none"
    lines = [
        f"And on {facts.slices} slices that were drawn from them (`amplify: {facts.kind}`): {facts.pairs} pairs asked "
        f"for, accepted {accepted}, left out {left_out}. At least {100 * facts.real:.0f} % of each step are labelled "
        "slices themselves; nothing that was drawn judges or sets the level"
    ]
    if facts.template:
        refused = "; ".join(f"{name}: {why}" for name, why in facts.refused.items()) or "none"
        lines.append(
            f"Shapes were learned from {len(facts.registered)} cases registered to `{facts.template}` "
            f"({', '.join(facts.registered)}); cases left out: {refused}"
        )
    return lines


def _held_out_sections(part: _Part, pictures: dict[str, str]) -> list[str]:
    parts: list[str] = []
    scores = part.measured.held_out
    slices = [name for name in part.slices if name in pictures]
    if slices:
        parts.append(f"## Labels that did not train{part.heading}")
        for name in slices:
            parts += [f"![Labelled slice: labelled, found, correct and wrong]({name})", pictures[name]]
    if scores is None:
        return parts
    parts += [f"## By size of the labelled domain{part.heading}", _size_table(scores), _boundary(scores)]
    told = scores.reliability
    every, unsure = (
        "unknown" if error is None else f"{error:.3f}"
        for error in (told.expected_calibration_error, told.expected_calibration_error_unsure)
    )
    return [
        *parts,
        f"## Are the probabilities calibrated?{part.heading.removeprefix(':')}",
        f"![Labelled fraction of voxels against probability]({part.reliability})",
        f"Expected calibration error {every} over all voxels, most of which are certain background, and {unsure} "
        "over those between 0.1 and 0.9.",
    ]


def _size_table(scores: HeldOutScores) -> str:
    lines = [
        "| diameter (µm) | labelled | found | size bias | interior found | false |",
        "|---|---|---|---|---|---|",
    ]
    for row in scores.sizes:
        low, high = row.from_um, row.to_um
        name = f"{low:g} and more" if high is None else f"{low:g} to {high:g}" if low else f"below {high:g}"
        bias = "-" if row.size_bias is None else f"{100 * row.size_bias:+.1f} %"
        shares = (_share(row.recall), bias, _share(row.interior_recall))
        lines.append(f"| {name} | {row.n_labelled} | {' | '.join(shares)} | {row.n_false} |")
    objects = scores.objects
    note = (
        "Whole domains in the plane, by the diameter of the circle of equal area; *found*: at least half of the area; "
        "*size bias*: median of found / labelled diameter - 1 over matched domains; *interior found*: share of voxels "
        f"more than {scores.conditions.interior_um:g} µm inside a domain; *false*: found domains of that size with "
        "less than half of their area labelled."
    )
    if objects.f1 is not None:
        note += (
            f" Matched one to one at IoU 0.5: recall {_share(objects.recall)}, precision "
            f"{_share(objects.precision)}, F1 {objects.f1:.3f} ({objects.n_labelled} labelled, "
            f"{objects.n_false} false)."
        )
    return "\n".join(lines) + f"\n\n{note}"


def _boundary(scores: HeldOutScores) -> str:
    told = scores.boundary_um
    if told.mean is None:
        return "No slice has both labelled and found outlines to compare."
    return (
        f"Found and labelled outlines are {told.mean:.2f} µm apart on average, and within {told.p95:.2f} µm of each "
        f"other for 95 % of their voxels."
    )


def _curve_section(pictures: dict[str, str]) -> list[str]:
    if _CURVE not in pictures:
        return []
    return ["## Training", f"![Loss, and Dice of the labels at the end of each cycle, against step]({_CURVE})"]


def _warnings(facts: ModelFacts, parts: list[_Part]) -> list[str]:
    """Return what this model's own scores warn of, then what holds for every model."""
    lines = [f"{part.told}{line}" for part in parts for line in _own_warnings(part.measured.held_out)]
    if facts.forgetting:
        lines.append(facts.forgetting)
    if any(part.measured.held_out and part.measured.held_out.dice is not None for part in parts):
        lines.append(
            "All labels come from the scans the model was trained on, and those that judged also chose its decision "
            "level: on other scans the model usually performs worse."
        )
    lines.append(
        "A different voxel size, detector distance, energy, noise level or sample changes what the network sees. Every "
        "scan is compared with those it was trained on, and flagged when it looks unlike them; even small differences "
        "reduce accuracy, so check the contours in its report. Label one new slice of such a scan to retrain the "
        "model within minutes."
    )
    return lines


def _own_warnings(scores: HeldOutScores | None) -> list[str]:
    lines = []
    if scores is None or scores.dice is None:
        lines.append("No label could judge: the model's accuracy is unknown. Label more slices.")
    if scores is not None:
        lines += _doubted_sizes(scores.sizes)
        lines.append("The scores do not cover domains larger than those in the table.")
    return lines


def _doubted_sizes(sizes: tuple[SizeScores, ...]) -> list[str]:
    lines = []
    if few := ", ".join(_name(row) for row in sizes if row.n_labelled < _FEW_OBJECTS):
        lines.append(f"Sizes with fewer than {_FEW_OBJECTS} labelled domains ({few}) are barely tested.")
    if hollow := ", ".join(_name(row) for row in sizes if _is_hollow(row)):
        lines.append(f"Interiors are missed in domains of {hollow}: their volume is underestimated in every table.")
    return lines


def _is_hollow(row: SizeScores) -> bool:
    return row.interior_recall is not None and row.interior_recall < _HOLLOW


def _name(row: SizeScores) -> str:
    return f"{row.from_um:g} µm and more" if row.to_um is None else f"{row.from_um:g} to {row.to_um:g} µm"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
