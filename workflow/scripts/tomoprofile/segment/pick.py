"""Propose slices to label: from every part of the scan, those that show most in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from ..files import whole_file
from ..labels.apart import measure_apart
from ..logs import LOG, progress
from ..shift.alarm import doubt_of
from ..shift.appearance import Appearance
from ..volume.store import open_store
from .familiarity import SIDE, SliceModel

CANDIDATES = 16  # in each part of the scan
APART, LEAST_FREE = 0.4, 0.9  # of a part: limits of the distance between the slices of two parts
DOUBTED = 4  # of them, those that an earlier model segments
RARE = 3.0  # times the median over slices
STRIPS = 8  # per slice, along each axis
SMOOTH, STRONG, ALIEN, REACH = 1.5, 4.0, 60.0, 10


def pick_slices(
    volume: Path,
    sample: str,
    n_slices: int,
    out_tsv: Path,
    bundle: Path | None = None,
    appearance: Path | None = None,
    values: Mapping[str, int] | None = None,
) -> None:
    """Export one slice of each of ``n_slices`` equal parts of a scan, with its original grey values, and list them.

    They are spread out, and as far apart as the structure of the scan reaches where that is less than a part, so that
    they can judge each other. In each part the slice with most structure in every layer is chosen: a large domain near
    the substrate appears in few slices, and what is never labelled is not learned. With an earlier model it is, of the
    four best, the one that the model is least certain about, and a mask to correct is written to ``prelabels``.

    Parameters
    ----------
    volume : Path
        Store of grey values.
    sample : str
        Name of the scan; files are called ``<sample>_z00042.tif``.
    n_slices : int
        Number of slices; at most those of the scan.
    out_tsv : Path
        Table with the columns slice, file, doubt and prelabel; the images lie beside it.
    bundle, appearance : Path, optional
        An earlier model, and ``appearance.json`` of the scan for it.
    values : mapping, optional
        Value of each class in label files, see :class:`~tomoprofile.segment.familiarity.SliceModel`.
    """
    store = open_store(volume)
    model = SliceModel(bundle, values) if bundle else None
    looks = Appearance.load(appearance) if appearance else None
    out_tsv.parent.mkdir(parents=True, exist_ok=True)
    lines = ["slice\tfile\tdoubt\tprelabel"]
    chosen: list[int] = []
    part = store.shape[0] / min(n_slices, store.shape[0])
    reach = measure_apart(store.read, store.shape[0]).slices
    if reach > part and n_slices > 1:
        LOG.warning("%s: what a slice shows reaches through %d slices: so near ones count as one label", sample, reach)
    apart = max(APART * part, min(reach, LEAST_FREE * part))
    for places in progress(candidates(store.shape[0], n_slices), min(n_slices, store.shape[0]), "parts examined"):
        least = chosen[-1] + apart if chosen else 0
        places = [z for z in places if z >= least] or places[-1:]
        shown = np.array([structure(store.read(z, z + 1)[0]) for z in places])
        order = np.argsort(-worth(shown), kind="stable")
        if model is None or looks is None:
            z = places[order[0]]
            image, told = out_tsv.parent / f"{sample}_z{z:05d}.tif", "\t"
            tifffile.imwrite(image, store.read(z, z + 1)[0])
        else:
            best = [places[index] for index in order[:DOUBTED]]
            doubts = {z: doubt_of([model.probability(store, looks, z, SIDE)]) or 0.0 for z in best}
            z = max(doubts, key=lambda place: doubts[place])
            image, mask = model.export(store, looks, z, out_tsv.parent, sample)
            told = f"{doubts[z]:.4f}\t{mask.relative_to(out_tsv.parent)}"
        lines.append(f"{z}\t{image.name}\t{told}")
        chosen.append(z)
    with whole_file(out_tsv) as partial:
        partial.write_text("\n".join(lines) + "\n")
    LOG.info("%s: slices %s exported for labelling into %s", sample, ", ".join(map(str, chosen)), out_tsv.parent)


def candidates(depth: int, n_slices: int) -> list[list[int]]:
    """Return the slices to choose from in each of ``n_slices`` equal parts."""
    count = min(n_slices, depth)
    shares = np.linspace(0.03, 0.97, CANDIDATES)
    return [sorted({int((part + share) * depth / count) for share in shares}) for part in range(count)]


def structure(grey: NDArray) -> NDArray[np.float64]:
    """Return the share of voxels that differ strongly from the matrix, in strips along rows and along columns, and the
    area of the largest piece of matrix that they enclose: the interior of a large domain looks like this.

    The substrate is not known yet; where slices show it as a line, strips along one of the axes are layers of depth.

    Parameters
    ----------
    grey : array (y, x)
        One slice, in any unit.

    Returns
    -------
    array (2 STRIPS + 1,)
    """
    smooth = ndimage.gaussian_filter(grey.astype(np.float32), SMOOTH)
    away = np.abs(smooth - np.median(smooth))
    usual = 1.4826 * float(np.median(away))
    # Voids and the substrate's fringes are far stronger than domains, and would dominate.
    alien = ndimage.maximum_filter(away > ALIEN * usual, 2 * REACH + 1)
    strong = (away > STRONG * usual) & ~alien
    means = [part.mean() for axis in (0, 1) for part in np.array_split(strong, min(STRIPS, strong.shape[axis]), axis)]
    enclosed, count = ndimage.label(ndimage.binary_fill_holes(strong) & ~strong)
    areas = np.bincount(enclosed.ravel(), minlength=count + 1)
    areas[0] = 0
    areas[np.unique(enclosed[alien])] = 0  # around a void, not matrix
    return np.array([*means, areas.max()])


def worth(shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each slice would teach: its structure relative to the usual, more if it shows rare objects.

    A network that has never seen a large domain misses them, and a slice full of small ones has as much structure as
    one with a large one. So pieces of matrix far larger than those of most slices count: on simulated scans they are
    7 to 160 times as large where rims are closed, and at most twice, by chance, where noise breaks the rims.

    Parameters
    ----------
    shown : array (slices, strips + 1)
        From :func:`structure`.
    """
    strips, enclosed = shown[:, :-1], shown[:, -1]
    usual = strips.mean(axis=0)
    rare = enclosed / max(float(np.median(enclosed)), 1)
    return (strips / np.where(usual > 0, usual, 1)).mean(axis=1) + np.where(rare >= RARE, rare, 0)
