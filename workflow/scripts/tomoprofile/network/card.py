"""The model card: what a person should know before trusting a model, with pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..files import whole_file
from .facts import HeldOutScores, MeasuredClass, ModelFacts, SizeScores
from .pictures import HeldOutSlice, draw_learning_curve, draw_reliability, draw_slice

_MOST_SLICES = 3  # pictures of more would hide the first
_FEW_OBJECTS = 5
_HOLLOW = 0.9

TEMPLATE = """# Model {name}

A 2-D U-Net ({encoder} encoder, started from `{base}`) that gives each voxel of an X-ray CT scan the probability of
being a domain. It looks at {in_channels} neighbouring slices at a time.

- Trained on: {training}
- Held out: {held_out}
- {scores}
- Decision level: {level:.3f} ({calibrated})
- Voxels: {voxels} µm; grey values are normalised by median and robust standard deviation of each scan's resin

{sections}## When not to trust it

{warnings}

## Learning conditions

{conditions}
"""


@dataclass(frozen=True)
class CardPictures:
    """What the card draws besides numbers.

    Attributes
    ----------
    slices : tuple of HeldOutSlice
        Held-out slices; the first three are drawn. Empty when nothing was held out.
    """

    slices: tuple[HeldOutSlice, ...] = ()


def write_card(folder: Path, name: str, facts: ModelFacts, pictures: CardPictures) -> tuple[Path, ...]:
    """Write the card and its pictures.

    Parameters
    ----------
    folder : Path
        The bundle's ``docs`` folder; made when it is missing.
    name : str
        Of the model.
    facts : ModelFacts
    pictures : CardPictures

    Returns
    -------
    tuple of Path
        ``README.md``, which comes last on disk, and the PNG files that it shows, each smaller than 300 kB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, str] = {}
    (measured,) = facts.measured.values()
    if facts.learning_curve:
        draw_learning_curve(facts.learning_curve, folder / "learning_curve.png")
        drawn["learning_curve.png"] = ""
    if measured.held_out:
        draw_reliability(measured.held_out.reliability, folder / "reliability.png")
        drawn["reliability.png"] = ""
    edges = facts.voxel_size_um[1:]
    for number, item in enumerate(pictures.slices[:_MOST_SLICES], 1):
        file = f"held_out_{number}.png"
        drawn[file] = draw_slice(item, measured.level, edges, folder / file)
    with whole_file(folder / "README.md") as partial:
        partial.write_text(model_card(name, facts, drawn), encoding="utf-8")
    return (folder / "README.md", *(folder / file for file in drawn))


def model_card(name: str, facts: ModelFacts, pictures: dict[str, str] | None = None) -> str:
    """Return the Markdown text of a model's card from what its bundle knows.

    Parameters
    ----------
    name : str
    facts : ModelFacts
    pictures : dict of str to str, optional
        Captions of the PNG files beside the card.
    """
    (measured,) = facts.measured.values()
    sections = _held_out_sections(measured.held_out, pictures or {}) + _curve_section(pictures or {})
    return TEMPLATE.format(
        name=name,
        encoder=facts.network.encoder,
        base=facts.base,
        in_channels=facts.network.in_channels,
        training=", ".join(facts.labels.training),
        held_out=", ".join(facts.labels.held_out) or "nothing",
        scores=_headline(measured.held_out),
        level=measured.level,
        calibrated="equal area on held-out slices" if measured.calibrated else "not calibrated",
        voxels=" x ".join(f"{edge:g}" for edge in facts.voxel_size_um),
        sections="".join(f"{part}\n\n" for part in sections),
        warnings="\n".join(f"- {line}" for line in _warnings(measured)),
        conditions="\n".join(f"- `{key}`: {value}" for key, value in facts.conditions.items()),
    )


def _headline(scores: HeldOutScores | None) -> str:
    if scores is None or scores.dice is None:
        return "Errors are unknown, because no labelled domain was held out"
    parts = [f"Dice {scores.dice:.3f}{_interval(scores)}"]
    each = {
        "IoU": scores.iou,
        "precision": scores.precision,
        "recall": scores.recall,
        "found / labelled area": scores.area_ratio,
    }
    parts += [f"{words} {value:.3f}" for words, value in each.items() if value is not None]
    return f"On held-out slices: {', '.join(parts)}"


def _interval(scores: HeldOutScores) -> str:
    interval = scores.dice_interval
    if interval is None:
        return ""
    return f" (95 % within these slices {interval.low:.3f} to {interval.high:.3f}, {interval.n_tiles} tiles)"


def _held_out_sections(scores: HeldOutScores | None, pictures: dict[str, str]) -> list[str]:
    parts: list[str] = []
    slices = [name for name in pictures if name.startswith("held_out_")]
    if slices:
        parts.append("## Held-out slices")
        for name in slices:
            parts += [f"![Held-out slice: labelled, found, right and wrong]({name})", pictures[name]]
    if scores is None:
        return parts
    parts += ["## By size of the labelled domain", _size_table(scores), _boundary(scores)]
    told = scores.reliability
    every, unsure = (
        "not known" if error is None else f"{error:.3f}"
        for error in (told.expected_calibration_error, told.expected_calibration_error_unsure)
    )
    return [
        *parts,
        "## Is a probability what it says?",
        "![Labelled share of voxels against probability](reliability.png)",
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
        "*size bias*: median of found over labelled diameter - 1, of matched domains; *interior found*: voxels deeper "
        f"than {scores.conditions.interior_um:g} µm in a domain; *false*: found domains of that size with less than "
        "half of their area labelled."
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
        return "There is no pair of labelled and found outlines to compare."
    return (
        f"Found and labelled outlines are {told.mean:.2f} µm apart on average, and within {told.p95:.2f} µm for "
        f"95 % of their voxels."
    )


def _curve_section(pictures: dict[str, str]) -> list[str]:
    if "learning_curve.png" not in pictures:
        return []
    return ["## Learning", "![Loss, and Dice of held-out slices where measured, against step](learning_curve.png)"]


def _warnings(measured: MeasuredClass) -> list[str]:
    """Return what this model's own record gives reason to doubt, then what is true of every model."""
    scores, lines = measured.held_out, []
    if scores is None or scores.dice is None:
        lines.append("No labelled domain was held out: the model's accuracy is unknown. Label more slices.")
    if scores is not None:
        lines += _doubted_sizes(scores.sizes)
        lines.append("The scores say nothing of domains larger than those in the table.")
    if scores is not None and scores.dice is not None:
        lines.append(
            "The held-out slices come from the scans that the model was trained on, and helped to choose its decision "
            "level: another scan is usually segmented worse."
        )
    lines.append(
        "Another voxel size, distance, energy, noise or sample looks different to the network. Every scan is compared "
        "with those it was trained on, and flagged when it looks unlike them; small differences still cost accuracy, "
        "so look at the contours in its report. One new labelled slice of such a scan mends the model within minutes."
    )
    return lines


def _doubted_sizes(sizes: tuple[SizeScores, ...]) -> list[str]:
    lines = []
    if few := ", ".join(_name(row) for row in sizes if row.n_labelled < _FEW_OBJECTS):
        lines.append(f"Sizes with fewer than {_FEW_OBJECTS} held-out domains ({few}) are hardly tested.")
    if hollow := ", ".join(_name(row) for row in sizes if _is_hollow(row)):
        lines.append(f"Interiors are missed in domains of {hollow}: their volume is too small in every table.")
    return lines


def _is_hollow(row: SizeScores) -> bool:
    return row.interior_recall is not None and row.interior_recall < _HOLLOW


def _name(row: SizeScores) -> str:
    return f"{row.from_um:g} µm and more" if row.to_um is None else f"{row.from_um:g} to {row.to_um:g} µm"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
