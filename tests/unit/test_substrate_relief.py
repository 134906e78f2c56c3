"""Depth above rough and curved substrates given as a mask, against analytic surfaces."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from scipy.optimize import minimize_scalar
from test_substrate_interface import store_of

from tomoprofile.errors import InputError, StageError
from tomoprofile.layout import ScanLayout
from tomoprofile.profile.masks import Grid, Space
from tomoprofile.run.check_mask import check_substrate
from tomoprofile.samples import Scan
from tomoprofile.substrate.relief import enter_substrate
from tomoprofile.substrate.resin import Resin
from tomoprofile.volume.plane import Plane, Relief

VOXEL = 0.5
SHAPE = (96, 128, 112)  # z, depth along y, x
CENTRE = np.array([24.0, -60.0, 28.0])
RADIUS = 80.0
TILTED = Plane.through((0.03, 1.0, -0.02), 20.3)


def sphere(z, y, x):
    """Return the depth above a cap of a sphere whose top lies at y = 20 um."""
    return np.sqrt((z - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2 + (x - CENTRE[2]) ** 2) - RADIUS


def wave_height(x):
    return 22 + 4 * np.sin(2 * np.pi * x / 40)


def wave(z, y, x):
    """Return the depth above a sine of 4 um height and 40 um length along x: the nearest point is sought."""
    z, y, x = np.broadcast_arrays(z, y, x)
    foot = np.linspace(-20, 80, 4001)
    height = wave_height(foot)
    nearest = [np.sqrt(((foot - a) ** 2 + (height - b) ** 2).min()) for a, b in zip(x.flat, y.flat, strict=True)]
    return np.where(y.ravel() >= wave_height(x.ravel()), 1, -1) * np.array(nearest)


SURFACES = {"plane": TILTED.depth_um, "sphere": sphere, "wave": wave}


def centres(shape=SHAPE):
    z, y, x = ((np.arange(n) + 0.5) * VOXEL for n in shape)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def mask_of(kind):
    z, y, x = centres()
    if kind == "wave":
        return np.broadcast_to(y < wave_height(x), SHAPE)
    return np.broadcast_to(SURFACES[kind](z, y, x) < 0, SHAPE)


def scan_of(path, shape=SHAPE):
    return Scan(
        sample="s",
        path="raw",
        format="tiff_stack",
        slices=shape[0],
        rows=shape[1],
        columns=shape[2],
        dtype="float32",
        voxel_size_um=(VOXEL,) * 3,
        interface=f"mask:{path}",
    )


def enter(folder, mask, value=1):
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / "mask.tif", mask.astype(np.uint8) * np.uint8(value))
    grey = np.where(mask, 10.0, 0.0) + np.random.default_rng(0).normal(0, 1, mask.shape)
    volume = store_of(folder, grey)
    out = folder / "interface.json"
    enter_substrate(
        scan_of(folder / "mask.tif", mask.shape),
        volume,
        out,
        ScanLayout(folder).substrate_distance,
        folder / "resin.npz",
    )
    return Plane.load(out), json.loads(out.read_text())


def some_points(axis=1, count=3000, shape=SHAPE):
    """Return points away from the sides of the scan, beyond which nobody knows the surface."""
    inset = np.full((3, 1), 8.0)
    inset[axis] = 0
    size = np.array(shape)[:, None] * VOXEL
    return inset + np.random.default_rng(1).uniform(0, 1, (3, count)) * (size - 2 * inset)


@pytest.mark.parametrize("kind", list(SURFACES))
def test_depths_are_those_of_the_analytic_surface(tmp_path, kind):
    relief, record = enter(tmp_path, mask_of(kind), 255)
    assert isinstance(relief, Relief)
    points = some_points()
    true, found = SURFACES[kind](*points), relief.depth_um(*points)
    error = (found - true) / VOXEL
    layers = np.digitize(true, [-10, 0, 5, 10, 20, 40])
    for layer in np.unique(layers):
        assert abs(error[layers == layer].mean()) < 0.25  # the bias of a layer
    assert np.sqrt((error**2).mean()) < 0.3
    assert np.abs(error).max() < 1
    assert record["axis"] == "y"
    # The mutant: the plane that fits best is no substitute where the substrate is none.
    plane = Plane(relief.normal, relief.offset_um)
    worst = np.abs(plane.depth_um(*points) - true).max() / VOXEL
    assert worst < 1 if kind == "plane" else worst > 4


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, 1])
def test_every_orientation(tmp_path, axis, end):
    mask = np.moveaxis(mask_of("sphere"), 1, axis)
    mask = np.flip(mask, axis) if end else mask
    relief, record = enter(tmp_path, mask)
    order = [0, 2]
    order.insert(axis, 1)
    points = some_points(axis, 500, mask.shape)
    natural = points.copy()
    if end:
        natural[axis] = mask.shape[axis] * VOXEL - natural[axis]
    true = sphere(*natural[[order.index(0), order.index(1), order.index(2)]])
    assert np.abs(relief.depth_um(*points) - true).max() < VOXEL
    assert record["axis"] == "zyx"[axis]
    assert np.sign(relief.normal[axis]) == (-1 if end else 1)


def test_cavities_and_specks_do_not_move_the_surface(tmp_path):
    clean = mask_of("sphere")
    dirty = clean.copy()
    rng = np.random.default_rng(2)
    for z, y, x in rng.integers((0, 0, 0), (90, 122, 106), (60, 3)):
        part = (slice(z, z + 5), slice(y, y + 5), slice(x, x + 5))
        if len(np.unique(clean[max(z - 8, 0) : z + 13, max(y - 8, 0) : y + 13, max(x - 8, 0) : x + 13])) == 1:
            dirty[part] ^= True
    assert (dirty != clean).sum() > 20 * 125
    first, second = (enter(tmp_path / str(i), mask)[0] for i, mask in enumerate((clean, dirty)))
    points = some_points()
    assert np.abs(first.depth_um(*points) - second.depth_um(*points)).max() < 0.01 * VOXEL
    last = [SHAPE[1] - np.argmax(mask[:, ::-1], axis=1) for mask in (clean, dirty)]
    assert np.abs(last[0] - last[1]).max() > 20  # the mutant: the last voxel of each column


def test_the_kernel_places_every_voxel_where_the_depth_says(tmp_path):
    relief, _ = enter(tmp_path, mask_of("sphere"))
    borders = np.array([0.0, 3.0, 10.0, 25.0])
    space = Space.of(SHAPE, (VOXEL,) * 3, relief, Resin.everywhere(), "all")
    grid = Grid.dividing(space, borders, 20.0)
    depth = relief.depth_um(*centres())
    direct = [((depth >= low) & (depth < high)).sum() for low, high in pairwise(borders)]
    assert grid.count_resin().sum(axis=1).tolist() == direct
    flat = dataclasses.replace(space, plane=Plane(relief.normal, relief.offset_um))
    plane = Grid.dividing(flat, borders, 20.0)
    assert np.abs(plane.count_resin() - grid.count_resin()).sum() > 0.02 * sum(direct)
    assert (relief.resin(7, SHAPE, (VOXEL,) * 3) == (depth[7] > 0)).all()


def test_the_file_goes_there_and_back(tmp_path):
    relief, record = enter(tmp_path, mask_of("wave"))
    assert np.load(ScanLayout(tmp_path).substrate_distance, allow_pickle=False).dtype == np.float32
    assert record["how"].startswith("mask:")
    assert np.shape(record["residual_map_um"]) == (24, 28)
    assert relief.depth_um(1.0, 2.0, 3.0) == relief.depth_um(np.array([1.0]), 2.0, 3.0)[0]
    (ScanLayout(tmp_path).substrate_distance).unlink()
    with pytest.raises(InputError, match="not the distances from a substrate"):
        Plane.load(tmp_path / "interface.json")


def test_the_sine_of_the_test_is_right():
    at = (30.0, 31.0)
    best = minimize_scalar(lambda x: np.hypot(x - at[1], wave_height(x) - at[0]), bounds=(20, 45), method="bounded")
    assert wave(0.0, at[0], at[1])[0] == pytest.approx(best.fun, abs=1e-3)


NOTHING = np.zeros(SHAPE, bool)
SPECKS = np.random.default_rng(0).random(SHAPE) < 0.5
WRONG = {
    "empty": (NOTHING, "no substrate"),
    "full": (~NOTHING, "no substrate"),
    "noise": (SPECKS, "no substrate|not one solid body|most columns"),
    "a body with many holes": (mask_of("plane") & (np.random.default_rng(1).random(SHAPE) < 0.8), "not one solid body"),
    "half of the columns": (mask_of("plane") & (np.arange(SHAPE[2]) < 50), "most columns|no substrate"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_masks_that_are_no_substrate_are_refused(tmp_path, case):
    mask, problem = WRONG[case]
    with pytest.raises((InputError, StageError), match=problem):
        enter(tmp_path, mask)
    assert not list(tmp_path.glob("interface.json*"))
    assert not (ScanLayout(tmp_path).substrate_distance).exists()


def test_the_check_tells_what_is_wrong_with_the_mask_before_anything_is_computed(tmp_path):
    def found(mask):
        tifffile.imwrite(tmp_path / "mask.tif", mask.astype(np.uint8))
        (finding,) = check_substrate(scan_of(tmp_path / "mask.tif"))
        return finding.status, finding.message

    assert found(mask_of("plane"))[0] == "ok"
    assert found(mask_of("plane")[1:]) == ("error", found(mask_of("plane")[1:])[1])
    assert "the shape of the mask differs" in found(mask_of("plane")[1:])[1]
    assert "no substrate" in found(NOTHING)[1]
    assert "nothing but substrate" in found(~NOTHING)[1]
    (missing,) = check_substrate(scan_of(tmp_path / "none.tif"))
    assert missing.status == "error"
    assert "does not exist" in missing.message
