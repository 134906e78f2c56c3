"""The picture triplets of every report: a slice with contours, a zoom of its box, the same zoom without lines.

Each triplet comes for several slices, through which a reader moves. Pictures are vector graphics in micrometres: the
grey image is embedded, contours are paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..domains.objects import CLASS, ObjectsMetadata, iter_runs
from ..tables import read_rows
from ..volume.plane import Plane
from ..volume.store import Store
from .cuts import (
    FULL,
    Arrow,
    Box,
    Cut,
    Detail,
    arrow_into_resin,
    choose_box,
    crop,
    draw_contours,
    read_cut,
    rows_of_pictures,
    scale_bar_um,
    substrate_line,
    within,
)
from .images import exact, grey_window, reduced
from .numbers import length

_SLICES = 9  # per triplet; at 2048 x 2048 voxels each takes about 0.4 MB of the page


@dataclass(frozen=True)
class Measured:
    """A class as it was measured in a scan.

    Attributes
    ----------
    volume, probability : Store
        Grey values of the scan, and probability of the class.
    objects : Path
        Objects file of the calibrated level.
    metadata : ObjectsMetadata
        What the file says of the class.
    plane : Plane
        The substrate.
    """

    volume: Store
    probability: Store
    objects: Path
    metadata: ObjectsMetadata
    plane: Plane

    def runs(self, axis: int, indices: list[int]) -> pd.DataFrame:
        """Return the runs of the class in some cuts."""
        chosen = [(CLASS, "==", self.metadata.name), ("zyx"[axis], "in", indices)]
        return read_rows(self.objects, filters=chosen).to_pandas()

    def cut(self, runs: pd.DataFrame, axis: int, index: int) -> Cut:
        """Return one cut, given its runs."""
        return read_cut(self.volume, self.probability, runs, axis, index, self.metadata.level, self.plane)


@dataclass(frozen=True)
class Picture:
    """One panel, ready for the template; lengths in micrometres.

    Attributes
    ----------
    view : Box
        The part of the section that is seen.
    image : str
        Data URI of the grey image that fills ``view``.
    contours : str
        SVG path data in steps of ``step_um``; empty for a picture without lines.
    step_um : float
        Unit of ``contours``.
    box : Box or None
        Where the next panel looks.
    substrate : tuple of float or None
        Points (x1, y1, x2, y2, ...) of the surface of the substrate inside the view: two where it is a plane.
    bar_um : float
        Length of the scale bar.
    arrow : Arrow or None
        From that surface into the resin.
    """

    view: Box
    image: str
    contours: str = ""
    step_um: float = 1.0
    box: Box | None = None
    substrate: tuple[float, ...] | None = None
    bar_um: float = 0.0
    arrow: Arrow | None = None


@dataclass(frozen=True)
class Slice:
    """One cut of a triplet.

    Attributes
    ----------
    axis, index : int
        Voxels with this index along this volume axis.
    at_um : float
        Position of their centres along it.
    box_depths_um : tuple of float
        Least and greatest distance from the substrate inside the box.
    pictures : tuple of Picture
        Overview with contours and box, zoom with contours, zoom without lines.
    hidden : int
        Smallest contours that were left out of the overview.
    """

    axis: int
    index: int
    at_um: float
    box_depths_um: tuple[float, float]
    pictures: tuple[Picture, Picture, Picture]
    hidden: int

    @property
    def place(self) -> str:
        """Which slice it is, in the words of any language."""
        return f"{'zyx'[self.axis]} = {self.index} ({length(self.at_um)} µm)"

    @property
    def depths(self) -> str:
        """Distance of the box from the substrate; empty where there is none."""
        if math.isnan(self.box_depths_um[0]):
            return ""
        return "{} … {} µm".format(*map(length, self.box_depths_um)).replace("-", "−")


@dataclass(frozen=True)
class Triplet:
    """The pictures of one zone, for slices from one end of the scan to the other.

    Attributes
    ----------
    zone : str
    depths_um : tuple of float
        Of the zone; the second may be infinite.
    at_interface : bool
    slices : tuple of Slice
    first : int
        Which of them is shown first: that of median coverage by domains.
    found : bool
        Whether any slice cuts a domain of the zone.
    """

    zone: str
    depths_um: tuple[float, float]
    at_interface: bool
    slices: tuple[Slice, ...]
    first: int
    found: bool

    @property
    def ends(self) -> tuple[str, str]:
        """Ends of the zone in micrometres; the second is empty when it is the end of the scan; both without depth."""
        return tuple(length(end) if math.isfinite(end) else "" for end in self.depths_um)  # type: ignore[return-value]

    @property
    def shown(self) -> Slice:
        """The slice that is shown first."""
        return self.slices[self.first]


def draw_triplet(zone: pd.Series, at_interface: bool, measured: Measured, detail: Detail = FULL) -> Triplet:
    """Draw the triplet of one zone, for slices from one end of the scan to the other.

    The cut shown first has the median coverage by domains among those that cut any in the zone; it is a slice
    unless depth runs along z. The box lies around the domain with the largest cross-section in the zone.

    Parameters
    ----------
    zone : Series
        Row of ``zones.parquet``.
    at_interface : bool
        Let the box begin below the substrate plane.
    measured : Measured
        The class whose domains are outlined.
    detail : Detail
        Of the pictures.
    """
    axis = 1 - rows_of_pictures(measured.plane)
    stop = zone["to_um"] if zone["to_um"] is not None and math.isfinite(zone["to_um"]) else math.inf
    depths = (float(zone["from_um"]), float(stop))
    chosen = _median_cut(measured, axis, depths)
    n_slices = measured.volume.shape[axis]
    first = n_slices // 2 if chosen is None else chosen
    indices = spread_slices(first, n_slices)
    runs = measured.runs(axis, indices)
    slices = []
    for index in indices:
        here = runs[runs["zyx"[axis]] == index]
        cut = measured.cut(here, axis, index)
        slices.append(_draw_slice(cut, here, measured.metadata.level, measured.plane, depths, at_interface, detail))
    return Triplet(
        str(zone["zone"]), depths, at_interface, tuple(slices), indices.index(first), found=chosen is not None
    )


def _draw_slice(
    cut: Cut,
    runs: pd.DataFrame,
    level: float,
    plane: Plane,
    depths: tuple[float, float],
    at_interface: bool,
    detail: Detail,
) -> Slice:
    box = choose_box(cut, runs, plane, depths, at_interface)
    lines, step, hidden = draw_contours(cut, level, None, detail)
    zoomed, zoom_step, _ = draw_contours(cut, level, box, detail)
    window = grey_window(cut.grey, ~(cut.depth_um <= 0))
    whole = Box(0.0, 0.0, cut.grey.shape[1] * cut.edges[1], cut.grey.shape[0] * cut.edges[0])
    zoom, zoom_bar = exact(crop(cut.grey, box, cut.edges), window), scale_bar_um(box.width)
    seen = crop(cut.depth_um, box, cut.edges)
    line, zoom_line = substrate_line(cut, plane, whole), substrate_line(cut, plane, box)
    return Slice(
        axis=cut.axis,
        index=cut.index,
        at_um=cut.at_um,
        box_depths_um=(float(seen.min()), float(seen.max())),
        pictures=(
            Picture(
                whole,
                reduced(cut.grey, window, detail.pixels),
                lines,
                step,
                box,
                line,
                scale_bar_um(whole.width),
                arrow_into_resin(line, cut, plane, whole),
            ),
            Picture(
                box, zoom, zoomed, zoom_step, None, zoom_line, zoom_bar, arrow_into_resin(zoom_line, cut, plane, box)
            ),
            Picture(box, zoom, bar_um=zoom_bar),
        ),
        hidden=hidden,
    )


def spread_slices(first: int, length: int) -> list[int]:
    """Return indices from one end of the scan to the other; ``first`` takes the place of the one nearest to it."""
    number = min(_SLICES, length)
    indices = [int((2 * i + 1) * length / (2 * number)) for i in range(number)]
    nearest = min(range(number), key=lambda i: abs(indices[i] - first))
    return [*indices[:nearest], first, *indices[nearest + 1 :]]


def _median_cut(measured: Measured, axis: int, depths: tuple[float, float]) -> int | None:
    """Return the index along ``axis`` with median coverage of a range of depths; None when nothing covers it."""
    n_slices, edges = measured.volume.shape[axis], measured.volume.voxel_size_um
    covered = np.zeros(n_slices)
    for runs in iter_runs(measured.objects, measured.metadata):
        middle = (runs.x_start + runs.x_stop) / 2 * edges[2]
        depth = measured.plane.depth_um((runs.z + 0.5) * edges[0], (runs.y + 0.5) * edges[1], middle)
        inside = within(depth, depths)
        lengths = (runs.x_stop - runs.x_start)[inside]
        covered += np.bincount((runs.z, runs.y)[axis][inside], weights=lengths, minlength=n_slices)
    filled = np.flatnonzero(covered)
    if not filled.size:
        return None
    ordered = filled[np.argsort(covered[filled], kind="stable")]
    return int(ordered[(ordered.size - 1) // 2])
