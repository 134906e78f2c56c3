"""Masks to start from: of an earlier model or by a threshold, to be corrected by hand, with pictures of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from ..config import ThresholdConfig
from ..errors import Fault, InputError
from ..labels.classes import Classes
from ..layout import ToLabelLayout
from ..logs import LOG
from ..volume.formats.base import decoding, refuse_impossible_shape
from ..volume.formats.tiff import open_tiff, truncation
from ..volume.proposed import read_proposed
from .preview import write_preview
from .threshold import BINS, otsu


def prelabel(slices_tsv: str | Path, labels: str | Path, config: ThresholdConfig, classes: Classes) -> list[Path]:
    """Write a mask for each proposed slice, and a picture of it on the slice.

    Where an earlier model proposed the slices, the masks are its own. Otherwise they are by one Otsu threshold for all
    slices, on smoothed grey values, which misses the interior of fringed domains: correct them before training a model
    on them. Existing masks are kept, because somebody may have corrected them.

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
    proposed = ToLabelLayout(slices_tsv.parent)
    pictures = {name: _picture(proposed.folder / name) for _, name in read_proposed(slices_tsv)}
    smooth = {name: ndimage.gaussian_filter(image, config.smooth_voxels) for name, image in pictures.items()}
    counts, edges = np.histogram(np.concatenate([image.ravel() for image in smooth.values()]), BINS)
    threshold = otsu(counts, (edges[:-1] + edges[1:]) / 2, config.domains_are)
    written = []
    for name, image in smooth.items():
        out = labels / Path(Path(name).name).with_suffix(".tif")
        if out.exists():
            LOG.info("%s exists and is kept", out)
            continue
        earlier = proposed.prelabels / Path(name).name
        if earlier.is_file():
            shutil.copyfile(earlier, out)
            mask = tifffile.imread(out)
        else:
            found = image < threshold if config.domains_are == "dark" else image > threshold
            mask = np.where(found, domain, background).astype(dtype)
            tifffile.imwrite(out, mask, compression="zlib")
        write_preview(pictures[name], mask, proposed.previews / f"{out.stem}.png")
        written.append(out)
    LOG.info("%d masks written to %s, pictures of them to %s.", len(written), labels, proposed.previews)
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
