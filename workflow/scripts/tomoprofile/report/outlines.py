"""The outlines of every method on one zoom at the substrate, which the page of a class shows beside each other."""

from __future__ import annotations

import math
from typing import Any

from ..baselines.block import METHODS, Block
from ..volume.plane import Plane
from ..volume.store import open_store
from .cuts import choose_box, crop, draw_contours, read_cut, scale_bar_um, substrate_line, within
from .images import exact, grey_window


def draw_outlines(block: Block, name: str, near_um: float | None) -> dict[str, Any]:
    """Return the outlines of all methods for a class on one zoom at the substrate, which the page shows.

    The cut goes through the largest of the scan's own domains near the substrate; where it has none, through the
    largest one of a threshold.

    Parameters
    ----------
    block : Block
        Segmented and measured.
    name : str
        The class.
    near_um : float or None
        Depths nearer than this are near the substrate; None: all.
    """
    plane, volume = Plane.load(block.interface), open_store(block.volume)
    axis = 1 if plane.axis == 0 else 0
    depths = (0.0, math.inf if near_um is None else near_um)
    index = _cut_index(block, name, axis, volume.shape[axis], volume.voxel_size_um[axis], depths)
    box, record = None, {}
    for method in METHODS:
        found = block.found(method, name)
        runs = found.runs_in(axis, index)
        cut = read_cut(volume, found.image(), runs, axis, index, found.level, plane)
        if box is None:  # the scan's own domains come first, and choose it
            box = choose_box(cut, runs, plane, depths, True)
            record = {
                "place": f"{'zyx'[axis]} = {index + block.window[axis].start}",
                "view": [box.x, box.y, box.width, box.height],
                "image": exact(crop(cut.grey, box, cut.edges), grey_window(cut.grey, ~(cut.depth_um <= 0))),
                "substrate": substrate_line(cut, plane, box),
                "bar_um": scale_bar_um(box.width),
                "outlines": {},
            }
        path, step_um, _ = draw_contours(cut, found.level, box)
        record["outlines"][method] = {"path": path, "step_um": step_um}
    return record


def _cut_index(block: Block, name: str, axis: int, n: int, edge: float, depths: tuple[float, float]) -> int:
    """Return the index of the cut through the largest domain near the substrate; without any the middle one."""
    centroid = f"centroid_{'zyx'[axis]}_um"
    for method in METHODS:
        found = block.found(method, name).domains((centroid, "depth_um", "equivalent_diameter_um"))
        near = found[within(found["depth_um"].to_numpy(float), depths)]
        if len(near):
            return min(int(near.loc[near["equivalent_diameter_um"].idxmax(), centroid] / edge), n - 1)
    return n // 2
