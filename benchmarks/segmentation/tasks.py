"""Scans, labels and tests of the tasks.

Phantoms: labelled slices come from the first part of the scan along z, the test is a block of its other end, and 16
slices lie between. The scan changes with the seed, so the spread over seeds is that of scans, labels and training.
Fibres: two labelled pictures of carbon-fibre composites (KU Leuven, GPL-3.0; not in the repository).
"""

from __future__ import annotations

import fcntl
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from . import ours
from .plan import TASKS, Cell, Task
from .scores import find_objects, interior

SIZE = (208, 256, 256)
BLOCK_SHARE = 64 / 208
GUARD, EDGE = 16, 2
# Twice the density of the kinds, so that the test block holds whole large domains.
LARGE_PER_MM2 = 600.0
FIRST_SEED = {"A": 1100, "B": 1200, "C": 1300}

FIBRES = Path(__file__).parents[2].parent / "shared/data/fibres_labelled_gpl3/labelled"
# Picture, mask, voxel. No voxel size is told: both are such that a fibre measures 7 um, the diameter of T700.
FINE = ("slice_00000_H300-250_550_W150-250_400.tif", "Masks_slice_00000_H300-250_550_W150-250_400.png", 0.47)
COARSE = (
    "crop_h500(500_1000)_w250(1150_1400)_T17_10N_slice_00000.png",
    "Masks_crop_h500(500_1000)_w250(1150_1400)_T17_10N_slice_00000.png",
    0.75,
)
# Tiles of 22,500 pixels as (rows, columns), in the order in which they are labelled.
FINE_TILES = [(slice(0, 150), slice(0, 150)), (slice(150, 300), slice(0, 150))]
COARSE_TILES = [
    (slice(0, 150), slice(0, 150)),
    (slice(150, 300), slice(0, 150)),
    (slice(0, 225), slice(150, 250)),
    (slice(300, 450), slice(0, 150)),
    (slice(225, 450), slice(150, 250)),
]
COARSE_TEST = slice(316, 500)  # the rows that the first three tiles leave, with a gap of 16


@dataclass(frozen=True)
class Problem:
    """What a method gets, and the truth it is measured with.

    Attributes
    ----------
    training : TrainingSet or None
        Labelled slices; None for methods that use none.
    grey : array (z, y, x) of float32
        Slices around and in the test: all of the scan for thresholds.
    test : slice
        Where in ``grey`` the test lies.
    truth, resin : array (slices, y, x) of bool
        Domains of the test, and what is not substrate; scores are of the resin.
    depth_um : array (slices, y, x) of float32
        Distance from the substrate; of the fibres: from the first row.
    voxel_um : float
    plane : Plane or None
    looks : Appearance
        How the scan of the test looks: its grey values are normalised by it, as the workflow does.
    """

    training: ours.TrainingSet | None
    grey: NDArray[np.float32]
    test: slice
    truth: NDArray[np.bool_]
    resin: NDArray[np.bool_]
    depth_um: NDArray[np.float32]
    voxel_um: float
    looks: ours.Appearance
    plane: ours.Plane | None = None

    def stacks(self, neighbours: int) -> NDArray[np.float32]:
        """Return the test slices between their neighbours, normalised: (slices, channels, y, x)."""
        grey = ours.normalise(self.grey, self.looks.centre, self.looks.spread)
        return np.stack([_stack(grey, z, neighbours) for z in range(len(grey))[self.test]])


def missing(task: Task) -> str:
    """Return why a task cannot be run here, or an empty text."""
    if task.kind:
        try:
            ours.PhantomSettings.of_kind(task.kind)
        except ours.ConfigError as error:
            return f"this version has no phantom {task.kind}: {error}"
        return ""
    return "" if FIBRES.is_dir() else f"the labelled pictures are not at {FIBRES}"


def make_problem(cell: Cell, work: Path, size: tuple[int, int, int] = SIZE) -> Problem:
    """Return the problem of a run; simulated scans are kept in ``work``."""
    if TASKS[cell.task].kind:
        return _phantom(cell, work, size)
    return _fibres(cell)


def look_at(grey: NDArray[np.float32], resin: NDArray[np.bool_], voxel_um: float) -> ours.Appearance:
    """Return how a scan looks, from the slices that the workflow would look at."""
    slices = ours.sample_slices(len(grey))
    return ours.describe([grey[z] for z in slices], [resin[z] for z in slices], slices, (voxel_um,) * 3, "scan")


def label_positions(n: int, stop: int, telling: int | None) -> list[int]:
    """Return ``n`` slices, evenly from one end of ``[EDGE, stop)`` to the other; a single one in the middle.

    What is never shown is not learned, so as a person would, the slice nearest to the ``telling`` one gives way to it,
    unless it came too near to another for the two to judge each other.
    """
    even = [(EDGE + stop - 1) // 2] if n == 1 else [round(z) for z in np.linspace(EDGE, stop - 1, n)]
    if telling is None:
        return even
    others = sorted(even, key=lambda z: abs(z - telling))[1:]
    return sorted([*others, telling]) if all(abs(z - telling) >= GUARD for z in others) else even


def telling_slice(labels: NDArray[np.uint8], stop: int, voxel_um: float) -> int | None:
    """Return the slice of ``[EDGE, stop)`` that shows most of the interior of large domains, if any does."""
    found = find_objects(labels[:stop] == ours.DOMAIN, voxel_um)
    seen = interior(found, voxel_um).sum(axis=(1, 2))[EDGE:]
    return EDGE + int(seen.argmax()) if seen.any() else None


def _phantom(cell: Cell, work: Path, size: tuple[int, int, int]) -> Problem:
    grey, labels, plane, voxel = _scan(TASKS[cell.task].kind, cell.seed, work, size)
    end = size[0] - EDGE
    first = end - round(size[0] * BLOCK_SHARE)
    training = None
    looks = look_at(grey, labels != ours.SUBSTRATE, voxel)
    if cell.labels:
        stop = first - GUARD
        chosen = label_positions(cell.labels, stop, telling_slice(labels, stop, voxel))
        masks = {z: (labels[z] == ours.DOMAIN).astype(np.uint8) for z in chosen}
        apart = ours.measure_apart(lambda start, stop: grey[start:stop], len(grey))
        images = {z: _normalised(_stack(grey, z, 1), looks) for z in masks}
        training = training_set("scan", images, masks, apart, voxel, looks)
    z, y, x = ((np.arange(n) + 0.5) * voxel for n in size)
    depth = plane.depth_um(z[first:end, None, None], y[:, None], x).astype(np.float32)
    block = labels[first:end]
    truth, resin = block == ours.DOMAIN, block != ours.SUBSTRATE
    return Problem(training, grey, slice(first, end), truth, resin, depth, voxel, looks, plane)


def _scan(
    kind: str, seed: int, work: Path, size: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], ours.Plane, float]:
    path = work / "phantoms" / f"{kind}_{'x'.join(map(str, size))}_{seed}_{ours.__version__}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            settings = ours.PhantomSettings.of_kind(kind, size, FIRST_SEED[kind] + seed, large_per_mm2=LARGE_PER_MM2)
            phantom = ours.simulate(settings)
            plane = np.array([*phantom.plane.normal, phantom.plane.offset_um, settings.voxel_um])
            with ours.whole_file(path) as partial:
                np.savez(partial, grey=phantom.grey, labels=phantom.labels, plane=plane)
    with np.load(path, allow_pickle=False) as stored:
        nz, ny, nx, offset, voxel = stored["plane"].tolist()
        return stored["grey"], stored["labels"], ours.Plane((nz, ny, nx), offset), voxel


def _fibres(cell: Cell) -> Problem:
    learn, tiles, test = {
        "fibres-within": (COARSE, COARSE_TILES[:3], COARSE),
        "fibres-to-fine": (COARSE, COARSE_TILES, FINE),
        "fibres-to-coarse": (FINE, FINE_TILES, COARSE),
    }[cell.task]
    rows = COARSE_TEST if learn is test else slice(None)
    training = None
    if cell.labels:
        grey, mask = read_fibres(*learn[:2])
        looks = look_at(grey[None], np.ones_like(mask)[None], learn[2])
        # Another seed labels the tiles in another order, as far as their number lets it.
        order = [(index + cell.seed) % len(tiles) for index in range(cell.labels)]
        masks = {index: mask[tiles[index]].astype(np.uint8) for index in order}
        images = {index: _normalised(np.stack([grey[tiles[index]]] * 3), looks) for index in order}
        # Tiles of one picture show different fibres, whatever lies beside them.
        apart = ours.Apart(1, ours.measure_apart(lambda *_: grey[None], 1).voxels, 0.0)
        training = training_set("tiles", images, masks, apart, learn[2], looks)
    grey, mask = read_fibres(*test[:2])
    grey, mask = grey[None, rows], mask[None, rows]
    depth = np.broadcast_to(((np.arange(mask.shape[1]) + 0.5) * test[2])[None, :, None], mask.shape)
    looks = look_at(grey, np.ones_like(mask), test[2])
    return Problem(training, grey, slice(0, 1), mask, np.ones_like(mask), depth, test[2], looks)


def read_fibres(picture: str, mask: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a picture and where its fibres are: half-transparent red in the mask, and matrix is transparent.

    The border between fibres that touch is transparent too, so it is matrix.
    """
    rgba = imread(FIBRES / mask)
    fibre = rgba[..., 3] > 0
    if not (rgba[fibre] == (255, 0, 0, 127)).all() or rgba[~fibre].any():
        raise ValueError(f"{mask} is not coloured as expected: {re.sub(' +', ' ', str(np.unique(rgba)))}")
    return imread(FIBRES / picture).astype(np.float32), fibre


def _stack(grey: NDArray[np.float32], z: int, neighbours: int) -> NDArray[np.float32]:
    """Return a slice between its neighbours; at the ends, and in a single picture, slices repeat."""
    return grey[np.clip(np.arange(z - neighbours, z + neighbours + 1), 0, len(grey) - 1)]


def _repeated(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([picture] * 3)


def _normalised(stack: NDArray[np.float32], looks: ours.Appearance) -> NDArray[np.float32]:
    return ours.normalise(stack, looks.centre, looks.spread)


def training_set(
    sample: str,
    images: dict[int, NDArray[np.float32]],
    masks: dict[int, NDArray[np.uint8]],
    apart: ours.Apart,
    voxel_um: float,
    looks: ours.Appearance,
) -> ours.TrainingSet:
    """Return the training set of labelled slices by index, grouped as the library does."""
    groups = ours.groups_of(masks, apart.slices)
    group_of = {z: number for number, group in enumerate(groups) for z in group}
    slices = [ours.LabelledSlice(sample, z, group_of[z], images[z], masks[z]) for z in sorted(masks)]
    training = ours.TrainingSet(slices, {sample: looks}, (voxel_um,) * 3, {}, {sample: apart})
    facts = {
        "labels": {item.name: "" for item in slices},
        "training": [item.name for item in slices],
        "groups": training.groups,
        "apart": {sample: apart.record()},
    }
    return replace(training, facts=facts)
