"""How well each site's labels were judged, as the coordinator knows it: counts of voxels, nothing else left a site."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files import whole_file
from .coordinator import HELD_OUT, State, dice

_ALL = "all sites"


def write_evaluation(checkpoint: Path, classes: Sequence[str], out: Path) -> None:
    """Write a table with a row for each site and measured class, and one for all sites together.

    Parameters
    ----------
    checkpoint : Path
        The last one of a run.
    classes : sequence of str
        Names of the measured classes.
    out : Path
        Tab-separated: site, class, Dice (empty where no label could be judged), and voxels found, labelled and both.
    """
    judged = dict(sorted(State.read(checkpoint).held_out.items()))
    if judged:
        judged[_ALL] = {name: np.sum([each[name] for each in judged.values()], axis=0) for name in HELD_OUT}
    with whole_file(out) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["site", "class", "dice", *HELD_OUT])
        for site, counts in judged.items():
            for name, value, *voxels in zip(classes, dice(counts), *(counts[key] for key in HELD_OUT), strict=True):
                told = "" if np.isnan(value) else f"{value:.4f}"
                table.writerow([site, name, told, *(int(one) for one in voxels)])
