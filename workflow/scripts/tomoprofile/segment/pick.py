"""Propose slices for a person to label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from ..files import whole_file
from ..logs import LOG
from ..volume.store import open_store
from .alarm import doubt_of
from .appearance import Appearance
from .familiarity import SIDE, SliceModel

CANDIDATES = 4  # in each part of the scan, when a model says which of them it knows least


def pick_slices(
    volume: Path, sample: str, n_slices: int, out_tsv: Path, bundle: Path | None = None, appearance: Path | None = None
) -> None:
    """Export one slice of each of ``n_slices`` equal parts of a scan, at native grey, and list them.

    Spread out, so that one of them can be held out with a gap to the others. Without a model the middle of each part;
    with an earlier one the slice it doubts most, and a mask to correct in ``prelabels`` (F16).

    Parameters
    ----------
    volume : Path
        Store of grey values.
    sample : str
        Name of the scan; files are called ``<sample>_z00042.tif``.
    n_slices : int
        How many; no more than the scan has.
    out_tsv : Path
        Table with the columns slice, file, doubt and prelabel; the images lie beside it.
    bundle, appearance : Path, optional
        An earlier model, and ``appearance.json`` of the scan.
    """
    store = open_store(volume)
    depth = store.shape[0]
    count = min(n_slices, depth)
    model = SliceModel(bundle) if bundle else None
    looks = Appearance.load(appearance) if appearance else None
    lines = ["slice\tfile\tdoubt\tprelabel"]
    chosen = []
    out_tsv.parent.mkdir(parents=True, exist_ok=True)
    for part in range(count):
        middle = (2 * part + 1) * depth // (2 * count)
        if model is None or looks is None:
            name = f"{sample}_z{middle:05d}.tif"
            tifffile.imwrite(out_tsv.parent / name, store.read(middle, middle + 1)[0])
            lines.append(f"{middle}\t{name}\t\t")
            chosen.append(middle)
            continue
        # Not at the ends of a part, where the next one's choice may be a neighbour.
        first, last = part * depth / count, (part + 1) * depth / count
        places = np.unique(
            np.linspace(first + 0.2 * (last - first), last - 0.2 * (last - first), CANDIDATES).astype(int)
        )
        doubts = {int(z): doubt_of([model.probability(store, looks, int(z), SIDE)]) or 0.0 for z in places}
        z = max(doubts, key=lambda place: doubts[place])
        image, mask = model.export(store, looks, z, out_tsv.parent, sample)
        lines.append(f"{z}\t{image.name}\t{doubts[z]:.4f}\t{mask.relative_to(out_tsv.parent)}")
        chosen.append(z)
    with whole_file(out_tsv) as partial:
        partial.write_text("\n".join(lines) + "\n")
    LOG.info("%s: slices %s exported for labelling into %s", sample, ", ".join(map(str, chosen)), out_tsv.parent)
