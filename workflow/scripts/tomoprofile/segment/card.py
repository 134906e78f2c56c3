"""The model card: what a person should know before trusting a model."""

from __future__ import annotations

from typing import Any

TEMPLATE = """# Model {name}

A 2-D U-Net ({encoder} encoder, started from `{base}`) that gives each voxel of an X-ray CT scan the probability of
being a domain. It looks at {in_channels} neighbouring slices at a time.

- Trained on: {training}
- Held out: {held_out}
- {scores}
- Decision level: {level:.3f} ({calibrated})
- Voxels: {voxels} um; grey values are normalised by the median and robust standard deviation of each scan's resin

## When not to trust it

Another voxel size, distance, energy, noise or sample looks different to the network, which does not say so by itself.
Look at the contours in the report of every scan; one new labelled slice of such a scan mends the model
within minutes.

## Learning conditions

{conditions}
"""


def model_card(name: str, facts: dict[str, Any]) -> str:
    """Return the Markdown text of a model's card from what its bundle knows."""
    metrics = facts["held_out"]
    scores = (
        f"On held-out slices: Dice {metrics['dice']:.3f}, IoU {metrics['iou']:.3f}, predicted / labelled area "
        f"{metrics['area_ratio']:.3f}"
        if metrics
        else "Errors are unknown, because no labelled domain was held out"
    )
    return TEMPLATE.format(
        name=name,
        encoder=facts["conditions"]["encoder"],
        base=facts["base"],
        in_channels=facts["network"]["in_channels"],
        training=", ".join(facts["labels"]["training"]),
        held_out=", ".join(facts["labels"]["held_out"]) or "nothing",
        scores=scores,
        level=facts["decision_level"],
        calibrated="equal area on held-out slices" if facts["calibrated"] else "not calibrated",
        voxels=" x ".join(f"{edge:g}" for edge in facts["voxel_size_um"]),
        conditions="\n".join(f"- `{key}`: {value}" for key, value in facts["conditions"].items()),
    )
