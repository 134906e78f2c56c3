"""A perfect annotator: labels the slices that were proposed, with the truth of a simulated scan."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import tifffile

from ..errors import Fault, InputError
from ..files import whole_file
from ..layout import TruthLayout
from ..logs import LOG
from .geometry import DOMAIN


def annotate(truth_folder: str | Path, slices_tsv: str | Path, labels_folder: str | Path) -> list[Path]:
    """Write the true mask of every proposed slice.

    Parameters
    ----------
    truth_folder : str or Path
        What :func:`~tomoprofile.phantom.files.write_truth` wrote.
    slices_tsv : str or Path
        Tab-separated with columns ``slice`` (index along z) and ``file`` (image that was proposed).
    labels_folder : str or Path
        Receives ``<stem of file>.tif``: uint8, 1 domain, 0 everything else.

    Returns
    -------
    list of Path
        The masks, in the order of the rows.

    Raises
    ------
    InputError
        When the list or the truth cannot be read, or a slice is not in the scan.
    """
    rows = _rows(Path(slices_tsv))
    truth = TruthLayout(truth_folder).labels
    written = []
    try:
        with tifffile.TiffFile(truth) as tif:
            for index, name in rows:
                if not 0 <= index < len(tif.pages):
                    problem = f"the simulated scan has slices 0 to {len(tif.pages) - 1}"
                    raise InputError(Fault(str(slices_tsv), f"slice {index}", problem, "Is this the list of its scan?"))
                mask = (tif.pages[index].asarray() == DOMAIN).astype(np.uint8)
                path = Path(labels_folder) / f"{name}.tif"
                with whole_file(path) as part:
                    tifffile.imwrite(part, mask, compression="zlib", photometric="minisblack", metadata=None)
                written.append(path)
    except (OSError, tifffile.TiffFileError) as error:
        problem = f"the truth cannot be read: {error}"
        raise InputError(Fault(str(truth), "", problem, "Simulate the scan again.")) from None
    LOG.info("%d slices labelled with the truth in %s", len(written), labels_folder)
    return written


def _rows(path: Path) -> list[tuple[int, str]]:
    """Return slice index and stem of the file of every row."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [(int(row["slice"]), Path(row["file"]).stem) for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, KeyError, ValueError, TypeError) as error:
        problem = f"this is no list of slices with the columns `slice` and `file`: {error!r}"
        raise InputError(Fault(str(path), "", problem, "Run the rule `pick_slices`.")) from None
