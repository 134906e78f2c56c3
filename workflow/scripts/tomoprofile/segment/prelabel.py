"""Masks to start from: a threshold on the proposed slices, to be corrected by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from ..config import ThresholdConfig
from ..errors import Fault, InputError
from ..labels.classes import Classes
from ..logs import LOG
from ..volume.formats.base import decoding, refuse_impossible_shape
from ..volume.formats.tiff import open_tiff, truncation
from ..volume.proposed import read_proposed
from .threshold import BINS, otsu


def prelabel(slices_tsv: str | Path, labels: str | Path, config: ThresholdConfig, classes: Classes) -> list[Path]:
    """Write a mask for each proposed slice: one Otsu threshold for all of them, on smoothed grey values.

    A threshold misses the interior of fringed domains, so these masks are a starting point: correct them
    before training a model on them. Existing masks are kept, because somebody may have corrected them.

    Parameters
    ----------
    slices_tsv : str or Path
        Table written by :func:`~tomoprofile.segment.pick.pick_slices`: columns slice, file.
    labels : str or Path
        Folder that receives one TIFF per slice, named like the slice's image, with the values of the background and
        of the first measured class.
    config : ThresholdConfig
        Whether domains are dark or bright, and the smoothing.
    classes : Classes
        Define the values in masks.

    Returns
    -------
    list of Path
        The masks written.

    Raises
    ------
    InputError
        When the list or a picture cannot be read.
    """
    background, domain = classes.values[0], classes.value(classes.measured[0])
    dtype = np.uint8 if max(classes.values) < 256 else np.uint16
    slices_tsv, labels = Path(slices_tsv), Path(labels)
    labels.mkdir(parents=True, exist_ok=True)
    smooth = {
        name: ndimage.gaussian_filter(_picture(slices_tsv.parent / name), config.smooth_voxels)
        for _, name in read_proposed(slices_tsv)
    }
    counts, edges = np.histogram(np.concatenate([image.ravel() for image in smooth.values()]), BINS)
    threshold = otsu(counts, (edges[:-1] + edges[1:]) / 2, config.domains_are)
    written = []
    for name, image in smooth.items():
        out = labels / Path(Path(name).name).with_suffix(".tif")
        if out.exists():
            LOG.info("%s exists and is kept", out)
            continue
        mask = image < threshold if config.domains_are == "dark" else image > threshold
        tifffile.imwrite(out, np.where(mask, domain, background).astype(dtype), compression="zlib")
        written.append(out)
    LOG.info("%d masks written to %s. Next: correct them, then run the workflow.", len(written), labels)
    return written


def _picture(path: Path) -> NDArray[np.float32]:
    """Return the picture of a proposed slice."""
    remedy = "Run the workflow up to its target `pick`, which writes it again."
    with open_tiff(path) as tif:
        with decoding(path, "TIFF", remedy=remedy):
            page = tif.pages[0]
            shape, kind = page.shape, page.dtype.kind
        if len(shape) != 2 or kind not in "uif":
            raise InputError(Fault(str(path), f"shape {shape}", "not the picture of a slice", remedy))
        refuse_impossible_shape(path, shape)
        if faults := truncation(path, [page]):
            raise InputError(*faults)
        with decoding(path, "TIFF", remedy=remedy):
            image = page.asarray().astype(np.float32)
    if not np.isfinite(image).all():
        raise InputError(Fault(str(path), "NaN or infinite", "the picture holds values that are no numbers", remedy))
    return image
