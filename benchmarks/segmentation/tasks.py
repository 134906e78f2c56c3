"""Scans, labels and tests of the tasks.

Phantoms: labelled slices come from the first part of the scan along z, where the workflow proposes them; the test is a
block of its other end, 16 slices away. The scan changes with the seed, so the spread over seeds is that of scans,
labels and training. Fibres: two labelled pictures of carbon-fibre composites (KU Leuven, GPL-3.0; not in the
repository), of which tiles are labelled. Cement: a scan without labels (qim3d, MIT), whose reference is a threshold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.io import imread

from ..cells.single import kept
from . import ours
from .plan import TASKS, Cell, Task

SIZE = (208, 256, 256)
BLOCK_SHARE = 64 / 208
GUARD, EDGE = 16, 2
# Twice the density of the kinds, so that the test block holds whole large domains.
LARGE_PER_MM2 = 600.0
FIRST_SEED = {"A": 1100, "B": 1200, "C": 1300}

DATA = Path(__file__).parents[2].parent / "shared/data"
FIBRES = DATA / "fibres_labelled_gpl3/labelled"
CEMENT = DATA / "xct_volumes_mit/cement_128x128x128.tif"
# Picture, mask, voxel. No voxel size is told: both are such that a fibre measures 7 um, the diameter of T700.
FINE = ("slice_00000_H300-250_550_W150-250_400.tif", "Masks_slice_00000_H300-250_550_W150-250_400.png", 0.47)
COARSE = (
    "crop_h500(500_1000)_w250(1150_1400)_T17_10N_slice_00000.png",
    "Masks_crop_h500(500_1000)_w250(1150_1400)_T17_10N_slice_00000.png",
    0.75,
)
CEMENT_UM = 1.0  # the file tells none
# Tiles of 22,500 pixels as (rows, columns), in the order in which they are labelled.
FINE_TILES = [(slice(0, 150), slice(0, 150)), (slice(150, 300), slice(0, 150))]
COARSE_TILES = [
    (slice(0, 150), slice(0, 150)),
    (slice(150, 300), slice(0, 150)),
    (slice(0, 225), slice(150, 250)),
]
COARSE_TEST = slice(316, 500)  # the rows that the tiles leave, with a gap of 16


@dataclass(frozen=True)
class Test:
    """What a method must segment, and the truth.

    Attributes
    ----------
    grey : array (z, y, x) of float32
        Slices around and in the test: all of the scan for thresholds.
    place : slice
        Where in ``grey`` the test lies.
    truth, resin : array (slices, y, x) of bool
        Domains of the test, and what is not substrate; scores are of the resin.
    depth_um : array (slices, y, x) of float32
        Distance from the substrate; without one from the first row.
    voxel_um : float
    looks : Appearance
        How the scan of the test looks: its grey values are normalised by it, as the workflow does.
    plane : Plane or None
    """

    grey: NDArray[np.float32]
    place: slice
    truth: NDArray[np.bool_]
    resin: NDArray[np.bool_]
    depth_um: NDArray[np.float32]
    voxel_um: float
    looks: ours.Appearance
    plane: ours.Plane | None = None

    def stacks(self, neighbours: int) -> NDArray[np.float32]:
        """Return the test slices between their neighbours, normalised: (slices, channels, y, x)."""
        grey = ours.normalise(self.grey, self.looks.centre, self.looks.spread)
        around = np.arange(-neighbours, neighbours + 1)
        return np.stack([grey[np.clip(z + around, 0, len(grey) - 1)] for z in range(len(grey))[self.place]])


@dataclass(frozen=True)
class Problem:
    """What a method gets: labels, or None, and tests by name."""

    training: ours.TrainingSet | None
    tests: dict[str, Test]


def missing(task: Task) -> str:
    """Return why a task cannot be run here, or an empty text."""
    data = CEMENT if task.name == "cement" else FIBRES
    return "" if task.kind or data.exists() else f"there is nothing at {data}"


def make_problem(cell: Cell, work: Path, size: tuple[int, int, int] = SIZE) -> Problem:
    """Return the problem of a run; simulated scans are kept in ``work``."""
    if TASKS[cell.task].kind:
        return _phantom(cell, work, size)
    return _cement(cell) if cell.task == "cement" else _fibres(cell)


def look_at(grey: NDArray[np.float32], resin: NDArray[np.bool_], voxel_um: float) -> ours.Appearance:
    """Return how a scan looks, from the slices that the workflow would look at."""
    slices = ours.sample_slices(len(grey))
    return ours.describe([grey[z] for z in slices], [resin[z] for z in slices], slices, (voxel_um,) * 3, "scan")


@dataclass(frozen=True)
class _Scan:
    grey: NDArray[np.float32]
    labels: NDArray[np.uint8]
    plane: ours.Plane
    voxel_um: float
    looks: ours.Appearance


def _phantom(cell: Cell, work: Path, size: tuple[int, int, int]) -> Problem:
    scan = _scan(TASKS[cell.task].kind, cell.seed, work, size)
    tests = {cell.task: _block(scan)}
    training = None
    if cell.labels:
        stop = _first_of_test(size[0]) - GUARD
        part = ours.Labelled("scan", scan.grey[EDGE:stop], {}, scan.looks, scan.voxel_um)
        chosen = _chosen(cell, part)
        masks = {z: (scan.labels[EDGE + z] == ours.DOMAIN).astype(np.uint8) for z in chosen}
        training = ours.collected([ours.Labelled("scan", part.grey, masks, scan.looks, scan.voxel_um)])
        if cell.task == "A":
            tests["carried"] = _block(_scan("B", cell.seed, work, size))
    return Problem(training, tests)


def _chosen(cell: Cell, scan: ours.Labelled) -> list[int]:
    """Return the slices to label: those that the workflow proposes, or as many at random."""
    if cell.chosen == "pick":
        return ours.proposed(scan, cell.labels)
    drawn = np.random.default_rng([7, cell.seed]).choice(len(scan.grey), cell.labels, replace=False)
    return sorted(drawn.tolist())


def _first_of_test(depth: int) -> int:
    return depth - EDGE - round(depth * BLOCK_SHARE)


def _block(scan: _Scan) -> Test:
    """Return the test of a phantom."""
    first, end = _first_of_test(len(scan.grey)), len(scan.grey) - EDGE
    z, y, x = ((np.arange(n) + 0.5) * scan.voxel_um for n in scan.grey.shape)
    depth = scan.plane.depth_um(z[first:end, None, None], y[:, None], x).astype(np.float32)
    block = scan.labels[first:end]
    truth, resin = block == ours.DOMAIN, block != ours.SUBSTRATE
    return Test(scan.grey, slice(first, end), truth, resin, depth, scan.voxel_um, scan.looks, scan.plane)


def _scan(kind: str, seed: int, work: Path, size: tuple[int, int, int]) -> _Scan:
    path = work / "phantoms" / f"{kind}_{'x'.join(map(str, size))}_{seed}_{ours.__version__}.npz"
    stored = kept(path, lambda: _simulated(kind, seed, size))
    nz, ny, nx, offset, voxel = stored["plane"].tolist()
    grey, labels = stored["grey"], stored["labels"]
    return _Scan(grey, labels, ours.Plane((nz, ny, nx), offset), voxel, look_at(grey, labels != ours.SUBSTRATE, voxel))


def _simulated(kind: str, seed: int, size: tuple[int, int, int]) -> dict[str, NDArray]:
    settings = ours.PhantomSettings.of_kind(kind, size, FIRST_SEED[kind] + seed, large_per_mm2=LARGE_PER_MM2)
    phantom = ours.simulate(settings)
    plane = np.array([*phantom.plane.normal, phantom.plane.offset_um, settings.voxel_um])
    return {"grey": phantom.grey, "labels": phantom.labels, "plane": plane}


def _fibres(cell: Cell) -> Problem:
    """Return tiles of one picture, and tests on the rest of it and on the other one.

    With every second seed the coarse picture stands on its head, so that tiles and test change places where they can.
    """
    if cell.task == "fibres-fine":
        return Problem(_tiles(cell, FINE, FINE_TILES, False), {"fibres-to-coarse": _picture(COARSE)})
    turned = cell.seed % 2 == 1
    tests = {"fibres-within": _picture(COARSE, turned, COARSE_TEST)}
    if cell.labels or not turned:  # without labels the same result again would pass for another seed
        tests["fibres-to-fine"] = _picture(FINE)
    return Problem(_tiles(cell, COARSE, COARSE_TILES, turned), tests)


def _tiles(
    cell: Cell, source: tuple[str, str, float], tiles: list[tuple[slice, slice]], turned: bool
) -> ours.TrainingSet | None:
    """Return labelled tiles, each a scan of one slice; another seed labels them in another order."""
    if not cell.labels:
        return None
    grey, mask = read_fibres(*source[:2], turned)
    looks = look_at(grey[None], np.ones_like(mask)[None], source[2])
    order = [(index + cell.seed) % len(tiles) for index in range(cell.labels)]
    scans = []
    for index in sorted(order):
        picture, label = grey[tiles[index]][None], mask[tiles[index]].astype(np.uint8)
        scans.append(ours.Labelled(f"tile{index}", picture, {0: label}, looks, source[2]))
    return ours.collected(scans)


def _picture(source: tuple[str, str, float], turned: bool = False, rows: slice = slice(None)) -> Test:
    grey, mask = read_fibres(*source[:2], turned)
    grey, mask = grey[None, rows], mask[None, rows]
    whole = np.ones_like(mask)
    return Test(grey, slice(0, 1), mask, whole, _rows_um(mask, source[2]), source[2], look_at(grey, whole, source[2]))


def read_fibres(picture: str, mask: str, turned: bool = False) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a picture and where its fibres are: half-transparent red in the mask, and matrix is transparent.

    The border between fibres that touch is transparent too, so it is matrix.
    """
    rgba = imread(FIBRES / mask)
    fibre = rgba[..., 3] > 0
    if not (rgba[fibre] == (255, 0, 0, 127)).all() or rgba[~fibre].any():
        raise ValueError(f"{mask} is not coloured as expected: {re.sub(' +', ' ', str(np.unique(rgba)))}")
    order = slice(None, None, -1) if turned else slice(None)
    return imread(FIBRES / picture).astype(np.float32)[order], fibre[order]


def _cement(cell: Cell) -> Problem:
    """Return air voids in cement; labels and reference are one Otsu threshold of the smoothed scan."""
    grey = imread(CEMENT).astype(np.float32)
    smooth = ndimage.gaussian_filter(grey, 1.0)
    truth = smooth < threshold_otsu(smooth)
    whole = np.ones_like(truth)
    looks = look_at(grey, whole, CEMENT_UM)
    first, end = _first_of_test(len(grey)), len(grey) - EDGE
    place = slice(first, end)
    depth = _rows_um(truth[place], CEMENT_UM)
    tests = {"cement": Test(grey, place, truth[place], whole[place], depth, CEMENT_UM, looks)}
    if not cell.labels:
        return Problem(None, tests)
    part = ours.Labelled("cement", grey[EDGE : first - GUARD], {}, looks, CEMENT_UM)
    masks = {z: truth[EDGE + z].astype(np.uint8) for z in _chosen(cell, part)}
    return Problem(ours.collected([ours.Labelled("cement", part.grey, masks, looks, CEMENT_UM)]), tests)


def _rows_um(mask: NDArray[np.bool_], voxel_um: float) -> NDArray[np.float32]:
    """Return the distance from the first row."""
    rows = (np.arange(mask.shape[1], dtype=np.float32) + 0.5) * voxel_um
    return np.broadcast_to(rows[None, :, None], mask.shape)
