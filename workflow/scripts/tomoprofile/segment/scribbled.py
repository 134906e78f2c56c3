"""A mask of one slice from a few strokes on it, for a person to correct; it is not a label until somebody has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..cells import parse_mask
from ..errors import Fault, InputError
from ..files import sealed_file
from ..labels.classes import IGNORE, Classes
from ..labels.files import PRELABEL, require_unchanged
from ..labels.scribbles import Scribbles, read_scribbles
from ..labels.traced import write_outlines
from ..logs import LOG
from ..network.feature_maps import NEIGHBOURS, feature_maps
from ..network.strokes import Drawn, best_reduction, is_opposite, segment
from ..shift.appearance import like_most
from ..volume.formats import OF_SCANS, format_of, listed
from ..volume.grey import normalise
from ..volume.readers import ScanReader, open_raw

_KEPT = 0.8  # share of the strokes that come out as drawn, below which the mask is doubtful


class Prelabel(NamedTuple):
    """What was written.

    Attributes
    ----------
    mask : Path
        TIFF with the values of label files.
    outlines : Path or None
        Set of ImageJ ROIs; None where the mask has no outline.
    """

    mask: Path
    outlines: Path | None


def prelabel_from_scribbles(scan: str, scribbles: Path, classes: Classes) -> Prelabel:
    """Write a mask of the slice on which somebody drew, and its outlines, beside the scribbles.

    Their names end with ``_prelabel``, and no label of that name trains a model. Those of an earlier call are replaced
    unless they were changed since.

    Parameters
    ----------
    scan : str
        A raw scan in any format, a converted store, or the picture of one slice; ``FILE.h5:/dataset`` names a dataset.
    scribbles : Path
        See :func:`~tomoprofile.labels.scribbles.read_scribbles`.
    classes : Classes
        Define the values in the mask.

    Raises
    ------
    InputError
        When scan or scribbles cannot be used, or a file that would be replaced was changed.
    """
    reader = _open(scan)
    drawn = read_scribbles(scribbles, reader.shape, classes)
    out = _names(scribbles, drawn.z)
    require_unchanged(*out)
    LOG.info("slice %d: %s", drawn.z, drawn.told)
    stack = in_own_grey(_stack(reader, drawn.z), f"{scan} slice {drawn.z}")
    found, kept = mask_of(stack, drawn, classes)
    values = np.array(classes.values, np.uint8 if max(classes.values) <= IGNORE else np.uint16)
    with sealed_file(out.mask) as partial:
        tifffile.imwrite(partial, values[found], compression="zlib")
    n_outlines = _write_outlines(found, classes, out.outlines)
    _tell(out, found, classes, kept, n_outlines)
    return Prelabel(out.mask, out.outlines if n_outlines else None)


def mask_of(stack: NDArray[np.float32], drawn: Scribbles, classes: Classes) -> tuple[NDArray[np.uint8], float]:
    """Return the class index of each voxel of a slice, and the share of the strokes that come out as drawn.

    The strokes themselves are kept in any case.

    Parameters
    ----------
    stack : array (3, y, x) of float32
        The slice between its neighbours, normalised.
    drawn : Scribbles
    classes : Classes
        The first measured one is what the base takes for domains.
    """
    voxels, domain = Drawn.of(drawn.classes), classes.indices[0]
    maps = best_reduction(feature_maps(stack), voxels, domain)
    if is_opposite(maps, voxels, domain):
        LOG.info("The shipped model sees something else in this slice, so the strokes alone decide: draw more of them, "
                 "some of them where the mask is right")  # fmt: skip
    found = segment(maps, voxels, domain)
    strokes = drawn.classes != IGNORE
    # Each class counts alike, however much of it was drawn.
    kept = [float((found[drawn.classes == index] == index).mean()) for index in np.unique(drawn.classes[strokes])]
    found[strokes] = drawn.classes[strokes]
    return found, float(np.mean(kept))


def _open(scan: str) -> ScanReader:
    try:
        place = parse_mask(scan).binary
    except ValueError:
        place = None
    if place is None or not Path(place.path).exists():
        raise InputError(Fault(scan, "", "there is no such scan", "Name a scan, a converted store or a slice."))
    form = format_of(Path(place.path), OF_SCANS.values())
    if form is None:
        remedy = f"Name a scan in one of these formats: {listed(OF_SCANS.values())}."
        raise InputError(Fault(scan, "", "this is not a scan in a known format", remedy))
    dataset = place.dataset or next(iter(form.datasets(Path(place.path))), "")
    return ScanReader(open_raw(place.path, form.name, dataset))


def _stack(reader: ScanReader, z: int) -> NDArray[np.float32]:
    """Return a slice between its neighbours; at the ends of a scan slices repeat."""
    first, last = max(z - NEIGHBOURS, 0), min(z + NEIGHBOURS + 1, reader.shape[0])
    read = reader.read(first, last).astype(np.float32)
    return read[np.clip(np.arange(z - NEIGHBOURS, z + NEIGHBOURS + 1), first, last - 1) - first]


def in_own_grey(stack: NDArray[np.float32], where: str = "") -> NDArray[np.float32]:
    """Return a slice between its neighbours, normalised by its own grey values; what is no number is their median.

    Parameters
    ----------
    stack : array (3, y, x) of float32
    where : str
        Scan and slice, for the message.

    Raises
    ------
    InputError
        When most of the slice is constant, or it holds no numbers.
    """
    middle = stack[len(stack) // 2]
    centre, spread = _scale(middle, np.isfinite(middle))
    if not spread > 0:
        remedy = "Is it the right slice? Its number counts from 0."
        raise InputError(Fault(where, f"grey {centre:g}", "most of the slice is constant", remedy))
    return normalise(np.where(np.isfinite(stack), stack, np.float32(centre)), centre, spread)


def _scale(grey: NDArray[np.float32], known: NDArray[np.bool_]) -> tuple[float, float]:
    """Return median and robust standard deviation of what looks like most of a slice."""
    if not known.any():
        return float("nan"), 0.0
    values = grey[known & like_most(np.where(known, grey, np.median(grey[known])))]
    if not values.size:
        values = grey[known]
    centre = float(np.median(values))
    return centre, float(1.4826 * np.median(np.abs(values - centre)))


class _Names(NamedTuple):
    mask: Path
    outlines: Path


def _names(scribbles: Path, z: int) -> _Names:
    """Return where mask and outlines go: the name of the scribbles with the slice, if it lacks that."""
    stem = scribbles.name.partition(".")[0] if scribbles.is_dir() else scribbles.stem
    slice_of_name = "" if re.search(r"_z\d+$", stem, re.IGNORECASE) else f"_z{z:05d}"
    name = f"{stem}{slice_of_name}{PRELABEL}"
    return _Names(scribbles.with_name(f"{name}.tif"), scribbles.with_name(f"{name}.zip"))


def _write_outlines(mask: NDArray[np.uint8], classes: Classes, path: Path) -> int:
    if not mask.any():
        path.unlink(missing_ok=True)
        return 0
    with sealed_file(path) as partial:
        return write_outlines(mask, classes, partial)


def _tell(out: _Names, mask: NDArray[np.uint8], classes: Classes, kept: float, n_outlines: int) -> None:
    shares: list[Any] = [f"{name} {100 * (mask == n).mean():.3g} %" for n, name in enumerate(classes.names)][1:]
    LOG.info("%s: %s of the slice; %d outlines in %s", out.mask, ", ".join(shares), n_outlines, out.outlines.name)
    if kept < _KEPT:
        LOG.warning("%.0f %% of what you drew came out otherwise: draw more strokes where the mask is wrong, and run "
                    "this again", 100 * (1 - kept))  # fmt: skip
    LOG.info(
        "Next: look at it on the slice. Where it is wrong draw more strokes and run this again, or correct it; then "
        "save it as %s into the folder of labels. Under this name nothing is trained with it.",
        out.mask.name.replace(PRELABEL, ""),
    )
