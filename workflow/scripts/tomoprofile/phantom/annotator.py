"""A perfect annotator: labels the proposed slices with the truth of a simulated scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile

from ..config import UNetConfig
from ..errors import Fault, InputError
from ..files import whole_file
from ..layout import TruthLayout
from ..logs import LOG
from ..volume.proposed import read_proposed
from .geometry import CLASSES

_DEFAULT_CLASSES = UNetConfig().classes


def annotate(
    truth_folder: str | Path,
    slices_tsv: str | Path,
    labels_folder: str | Path,
    classes: Mapping[str, int] = _DEFAULT_CLASSES,
) -> list[Path]:
    """Write the true mask of every proposed slice.

    Parameters
    ----------
    truth_folder : str or Path
        Folder written by :func:`~tomoprofile.phantom.files.write_truth`.
    slices_tsv : str or Path
        Tab-separated with columns ``slice`` (index along z) and ``file`` (the proposed image).
    labels_folder : str or Path
        Receives ``<stem of file>.tif``.
    classes : mapping
        Names of the classes that a model learns, background first, and their values in masks; anything not named is
        background.

    Returns
    -------
    list of Path
        The masks, in the order of the rows.

    Raises
    ------
    InputError
        When the list or the truth cannot be read, a slice is not in the scan, or a simulated scan lacks a class.
    """
    background, *measured = classes
    unknown = [name for name in measured if name not in CLASSES]
    if unknown:
        problem = f"a simulated scan has the classes {', '.join(CLASSES)}"
        raise InputError(
            Fault("models: classes", ", ".join(unknown), problem, "Name the background and one or more of these.")
        )
    rows = [(index, Path(name).stem) for index, name in read_proposed(Path(slices_tsv))]
    truth = TruthLayout(truth_folder).labels
    written = []
    try:
        with tifffile.TiffFile(truth) as tif:
            for index, name in rows:
                if not 0 <= index < len(tif.pages):
                    problem = f"the simulated scan has slices 0 to {len(tif.pages) - 1}"
                    raise InputError(Fault(str(slices_tsv), f"slice {index}", problem, "Name the list of this scan."))
                labels = tif.pages[index].asarray()
                mask = np.full(labels.shape, classes[background], np.min_scalar_type(max(classes.values())))
                for kind in measured:
                    mask[labels == CLASSES[kind]] = classes[kind]
                path = Path(labels_folder) / f"{name}.tif"
                with whole_file(path) as part:
                    tifffile.imwrite(part, mask, compression="zlib", photometric="minisblack", metadata=None)
                written.append(path)
    except (OSError, tifffile.TiffFileError) as error:
        problem = f"the truth cannot be read: {error}"
        raise InputError(Fault(str(truth), "", problem, "Simulate the scan again.")) from None
    LOG.info("%d slices labelled with the truth in %s", len(written), labels_folder)
    return written
