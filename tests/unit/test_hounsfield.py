"""Grey values in HU: signed, padded with a constant outside of a circle, air around a body; the network sees tissue."""

import numpy as np
import pytest
from domains_scan import write_store

from tomoprofile.shift.appearance import Appearance, look_at_scan
from tomoprofile.substrate.resin import Resin
from tomoprofile.substrate.sample import find_sample
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.store import open_store

SHAPE = (48, 128, 128)
EDGES = (2000.0, 2000.0, 2000.0)


def padded(value, noise=10.0):
    """Return where the body is, where its liver is, and HU (z, y, x) of int16."""
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    body = np.broadcast_to(((y - 64) / 30) ** 2 + ((x - 64) / 42) ** 2 <= 1, SHAPE)
    muscle = np.broadcast_to(((y - 64) / 25) ** 2 + ((x - 64) / 36) ** 2 <= 1, SHAPE)
    liver = ((z - 24) / 16) ** 2 + ((y - 58) / 15) ** 2 + ((x - 80) / 14) ** 2 <= 1
    hu = np.where(muscle, 55.0, np.where(body, -100.0, -1000.0))
    hu[liver] = 110
    hu += np.random.default_rng(3).normal(0, noise, SHAPE)
    hu[:, np.hypot(y - 63.5, x - 63.5)[0] > 63] = value
    return body, liver, hu.astype(np.int16)


def seen(folder, image):
    folder.mkdir(exist_ok=True)
    write_store(folder / "volume", image, 16, EDGES)
    find_sample(folder / "volume", "none", folder / "interface.json", folder / "resin.npz")
    look_at_scan(folder / "volume", folder / "interface.json", folder / "appearance.json")
    return Appearance.load(folder / "appearance.json"), Resin.load(folder / "resin.npz")


@pytest.mark.parametrize("padding", [-1024, -3024])
def test_padding_and_air_are_no_part_of_the_body(tmp_path, padding):
    body, _, image = padded(padding)
    store = open_store(write_store(tmp_path / "volume", image, 16, EDGES))
    np.testing.assert_array_equal(store.read(0, len(image)), image)  # with sign, exactly
    looks, sample = seen(tmp_path, image)
    inside = np.stack([sample.in_slice(z, image.shape, EDGES) for z in range(len(image))])
    assert body[inside].mean() > 0.999, "neither the air around the body nor the padding"
    assert inside[body].mean() > 0.6, "all but the blocks at its surface"
    assert -150 < looks.centre < 200


def test_soft_tissue_gets_its_share_of_the_range(tmp_path):
    """30 HU, the contrast of organs to each other, are a third of a standard deviation and more."""
    image = padded(-1024)[-1]
    looks, _ = seen(tmp_path, image)
    tissue = normalise(np.array([55.0, 85.0, -150.0, 250.0], np.float32), looks.centre, looks.spread)
    assert tissue[1] - tissue[0] > 0.3
    ends = normalise(np.array([-1024.0, 3000.0], np.float32), looks.centre, looks.spread)
    assert (tissue[3] - tissue[2]) / (ends[1] - ends[0]) > 2 * 400 / 4024, "twice its share of the grey values"


def test_the_padding_changes_nothing(tmp_path):
    one, other = (seen(tmp_path / str(value), padded(value)[-1])[0] for value in (-1024, -3024))
    assert (one.centre, one.spread) == (other.centre, other.spread)


def test_mutant_that_counts_everything_sees_air(tmp_path, monkeypatch):
    monkeypatch.setattr(Resin, "of_sample", classmethod(lambda cls, *_: cls.everywhere()))
    assert seen(tmp_path, padded(-1024)[-1])[0].centre < -900
