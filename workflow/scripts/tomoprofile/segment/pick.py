"""Propose slices for a person to label."""

from __future__ import annotations

from pathlib import Path

import tifffile

from ..files import whole_file
from ..logs import LOG
from ..volume.store import open_store


def pick_slices(volume: Path, sample: str, n_slices: int, out_tsv: Path) -> None:
    """Export the middles of ``n_slices`` equal parts of a scan, at native grey, and list them.

    Spread out, so that one of them can be held out with a gap to the others.

    Parameters
    ----------
    volume : Path
        Store of grey values.
    sample : str
        Name of the scan; files are called ``<sample>_z00042.tif``.
    n_slices : int
        How many; no more than the scan has.
    out_tsv : Path
        Table with the columns slice and file; the images lie beside it.
    """
    store = open_store(volume)
    depth = store.shape[0]
    count = min(n_slices, depth)
    chosen = [(2 * part + 1) * depth // (2 * count) for part in range(count)]
    lines = ["slice\tfile"]
    out_tsv.parent.mkdir(parents=True, exist_ok=True)
    for z in chosen:
        name = f"{sample}_z{z:05d}.tif"
        tifffile.imwrite(out_tsv.parent / name, store.read(z, z + 1)[0])
        lines.append(f"{z}\t{name}")
    with whole_file(out_tsv) as partial:
        partial.write_text("\n".join(lines) + "\n")
    LOG.info("%s: slices %s exported for labelling into %s", sample, ", ".join(map(str, chosen)), out_tsv.parent)
