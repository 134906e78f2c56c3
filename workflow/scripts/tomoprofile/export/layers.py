"""A scan as layers of napari: grey values, probability, and domains joined with their table.

Nothing of napari is imported here. A layer is data and keywords, so that what is shown can be tested without a display.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd

from ..domains.objects import ObjectsMetadata
from ..domains.voxels import Domains
from ..tables import DOMAINS, of_class
from ..volume.probability import CERTAIN
from ..volume.store import open_store
from .scan import FinishedScan
from .voxels import Voxels

_SHOWN = (0.5, 99.5)  # per cent of the grey values of the middle slice
BACKGROUND = 0


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    kind : {"image", "labels"}
        napari adds it with ``add_image`` or ``add_labels``.
    data : dask array (z, y, x)
        Read when it is shown, one block of slices at a time.
    keywords : dict
        Name, scale and looks; for labels ``features``, one row per label.
    """

    kind: str
    data: da.Array
    keywords: dict[str, Any]


def layers_of(scan: FinishedScan) -> list[Layer]:
    """Return what is shown of a scan, from the bottom to the top.

    Raises
    ------
    InputError
        When its voxels were not kept.
    """
    slices = scan.volume.shard_slices
    looks = _looks(scan, "volume") | {"contrast_limits": shown_greys(scan)}
    found = [Layer("image", _lazy(scan.volume, slices), looks)]
    for name, metadata in scan.classes.items():
        if scan.files.probability.path.exists():
            probability = _lazy(open_store(scan.files.probability.path, name), slices)
            looks = _looks(scan, f"probability of {name}") | {"contrast_limits": (0, CERTAIN), "colormap": "viridis"}
            found.append(Layer("image", probability, looks | {"visible": False, "blending": "additive"}))
        domains = Domains(scan.files.objects_at("calibrated"), metadata, numbered=True)
        looks = _looks(scan, name) | {"features": features_of(scan, metadata), "opacity": 0.5}
        found.append(Layer("labels", _lazy(domains, slices), looks))
    return found


def shown_greys(scan: FinishedScan) -> tuple[float, float]:
    """Return the grey values that are shown black and white, by the middle slice."""
    middle = scan.volume.shape[0] // 2
    low, high = (float(value) for value in np.nanpercentile(scan.volume.read(middle, middle + 1), _SHOWN))
    return low, high if high > low else low + 1


def features_of(scan: FinishedScan, metadata: ObjectsMetadata) -> pd.DataFrame:
    """Return the table of a class as napari joins it with labels: a row for the background, then one for each domain.

    The column ``index`` is the value of the label; no other order or number of rows is relied on.
    """
    table = of_class(DOMAINS.read(scan.files.domains), metadata.name)
    rows = table.rename(columns={"domain_id": "index"})
    for column in rows.select_dtypes("category"):
        rows[column] = rows[column].astype(str)
    background = pd.DataFrame({"index": [BACKGROUND]})
    return pd.concat([background, rows], ignore_index=True)


def _looks(scan: FinishedScan, name: str) -> dict[str, Any]:
    return {"name": name, "scale": scan.volume.voxel_size_um, "units": ("um", "um", "um")}


def _lazy(voxels: Voxels, slices: int) -> da.Array:
    """Return voxels as an array whose blocks are read when they are needed."""
    depth, height, width = voxels.shape
    parts = []
    for start in range(0, depth, slices):
        stop = min(start + slices, depth)
        part = dask.delayed(voxels.read, pure=True)(start, stop)
        parts.append(da.from_delayed(part, (stop - start, height, width), voxels.dtype))
    return da.concatenate(parts)
