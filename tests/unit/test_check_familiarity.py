"""The check and the run tell one figure for how far a scan is from those of a model, or the check tells none."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from domains_scan import write_store
from model_facts import model_facts, write_bundle

from tomoprofile.config import read_config
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.run import check
from tomoprofile.run.check import check_scan
from tomoprofile.samples import Scan
from tomoprofile.segment.kinds import segmenter_of
from tomoprofile.shift.alarm import compare, remember
from tomoprofile.shift.appearance import Appearance, look_at_scan
from tomoprofile.substrate.interface import fit_interface

SHAPE, EDGE = (48, 256, 256), 0.5
FIGURE = re.compile(r"\(([\d.]+) spreads\)")


def simulated(kind, seed):
    return simulate(PhantomSettings.of_kind(kind, SHAPE, seed))


def ran(folder, grey, spec):
    """Return the appearance of a scan as the run finds it: converted, with its interface."""
    folder.mkdir()
    write_store(folder / "v.ome.zarr", grey, 8, (EDGE,) * 3)
    fit_interface(folder / "v.ome.zarr", spec, folder / "interface.json", folder / "resin.npz")
    look_at_scan(folder / "v.ome.zarr", folder / "interface.json", folder / "appearance.json")
    return Appearance.load(folder / "appearance.json")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a model remembers of a scan of kind A."""
    return remember({"a": ran(tmp_path_factory.mktemp("seen") / "a", simulated("A", 1).grey, "auto")}, [])


@pytest.fixture(scope="module")
def stranger():
    """A scan of kind C, whose substrate is so far from dark that some of it looks like resin."""
    return simulated("C", 2)


def spec_of(phantom):
    return "plane:" + ",".join(str(part) for part in (*phantom.plane.normal, phantom.plane.offset_um))


def told(folder, grey, spec, seen):
    """Return what the check says of a scan before it is converted."""
    tifffile.imwrite(folder / "raw.tif", grey)
    shape = dict(zip(("slices", "rows", "columns"), grey.shape, strict=True))
    row = {"path": str(folder / "raw.tif"), "format": "tiff_stack", "dtype": "float32", "voxel_size_um": str(EDGE)}
    scan = Scan(sample="c", interface=spec, **row, **shape)
    bundle = write_bundle(folder / "earlier", model_facts(seen=seen.model_dump()))
    config = read_config({"models": {"default": {"method": "bundle", "bundle": str(bundle)}}})
    (finding,) = (one for one in check_scan(scan, segmenter_of(scan, config)) if one.item == "familiarity")
    return finding


def departure(phantom, seen):
    """Return the largest departure from the only scan of a model, by its definition and plain NumPy."""
    depth = np.moveaxis(np.indices(SHAPE) + 0.5, 0, -1) @ np.array(phantom.plane.normal) * EDGE
    resin = depth - phantom.plane.offset_um > 0
    chosen = [3, 9, 15, 21, 27, 33, 39, 45]  # the middles of eighths of 48 slices
    values = phantom.grey[chosen][resin[chosen]].astype(float)
    centre = np.median(values)
    spread = np.median(np.abs(values - centre)) * 1.4826
    numbers = []
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 63)
    cycles = np.abs(np.fft.fftfreq(64))
    radius = np.sqrt(cycles[:, None] ** 2 + cycles[None, :33] ** 2)
    for z in chosen:
        for y, x in np.ndindex(4, 4):
            part = np.s_[z, 64 * y : 64 * y + 64, 64 * x : 64 * x + 64]
            if resin[part].mean() < 0.9:
                continue
            tile = (phantom.grey[part].astype(float) - centre) / spread
            clipped = np.clip(tile, -10, 10)
            wave = np.fft.fft2((clipped - tile.mean()) * np.outer(hann, hann))[:, :33]
            power = np.abs(wave) ** 2 / (np.outer(hann, hann) ** 2).sum()
            borders = [0.03, 0.08, 0.14, 0.22, 0.32, 0.5]
            row = [math.log(power[(radius >= a) & (radius < b)].mean()) for a, b in pairwise(borders)]
            numbers.append(row + [np.quantile(tile, share) for share in (0.005, 0.05, 0.95, 0.995)])
    (known,) = seen.scans.values()
    largest = 0.0
    for feature, column in enumerate(np.array(numbers).T):
        unit = max(known.tile_spread[feature], 0.1)
        for percentile, there in ((10, known.low), (50, known.middle), (90, known.high)):
            away = abs(np.percentile(column, percentile) - there[feature])
            tail = abs(there[feature] - known.middle[feature]) / 1.28  # of a normal distribution
            share = 1 if percentile == 50 else 0.5
            largest = max(largest, share * away / max(unit, tail))
    return largest


def test_the_figures_of_the_check_are_those_of_the_run(tmp_path, seen, stranger):
    spec = spec_of(stranger)
    message = told(tmp_path, stranger.grey, spec, seen).message
    found = compare(seen, ran(tmp_path / "run", stranger.grey, spec), None)
    assert len(found.reasons) > 1
    assert "; ".join(found.reasons) in message
    assert "beyond the interface of the sheet in 8 slices, as in `familiarity.json`" in message
    largest = departure(stranger, seen)
    assert found.departure == pytest.approx(largest, rel=1e-3)
    assert float(FIGURE.search(message)[1]) == pytest.approx(largest, abs=0.06)


def test_without_a_plane_the_check_tells_no_figure_and_says_what_it_compared(tmp_path, seen, stranger):
    finding = told(tmp_path, stranger.grey, "auto", seen)
    assert finding.status == "warning"
    assert "spreads" not in finding.message
    assert "times)" not in finding.message
    assert "what looks like most of a slice in 8 slices, before the substrate is located" in finding.message
    assert "its figures are in `familiarity.json`" in finding.message


def test_figures_of_what_looks_like_most_of_a_slice_would_be_others(tmp_path, seen, stranger, monkeypatch):
    """The mutant: the check compares by looks where the run compares the resin, and tells its figures."""
    look = check.look
    monkeypatch.setattr(check, "look", lambda scan, _: look(scan, None))
    figure = float(FIGURE.search(told(tmp_path, stranger.grey, spec_of(stranger), seen).message)[1])
    assert figure > 1.5 * departure(stranger, seen)


def test_a_scan_that_looks_alike_is_said_to(tmp_path, seen):
    alike = simulated("A", 5)
    for spec in ("auto", spec_of(alike)):
        finding = told(tmp_path, alike.grey, spec, seen)
        assert (finding.status, finding.message.split(" those")[0]) == ("ok", "this scan looks like")
