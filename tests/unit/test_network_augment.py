"""What training does to its crops, and what it leaves alone."""

import numpy as np
import pytest

from tomoprofile.config import AugmentConfig, UNetConfig, read_config
from tomoprofile.errors import ConfigError
from tomoprofile.labels.training_set import LabelledSlice, TrainingSet
from tomoprofile.network.augment import vary, window_side
from tomoprofile.network.crops import CropSampler
from tomoprofile.volume.grey import compress, expand, normalise

NOTHING = AugmentConfig(scale=0, spectrum=0, noise=0, rings=0, gain=0, offset=0, voids=0)


def disc(side=64, radius=6, strength=-4.0):
    """Return a dark disc on a noiseless matrix, three slices alike, and its mask."""
    y, x = np.mgrid[:side, :side]
    mask = np.hypot(y - 20, x - 30) <= radius
    return np.repeat((strength * mask).astype(np.float32)[None], 3, 0), mask.astype(np.uint8)


def varied(config, seed, image=None, label=None, square=True):
    default, mask = disc()
    image, label = default if image is None else image, mask if label is None else label
    return vary(compress(image), label, 64, square, config, np.random.default_rng(seed))


def test_strong_fringes_are_compressed_and_still_told_apart():
    value = np.array([-300.0, -30, -1, 0, 1, 30, 300], np.float32)
    small = compress(value)
    assert (np.diff(small) > 1 - 0.01).all()
    assert np.abs(small[2:5] - value[2:5]).max() < 0.01
    assert np.abs(small).max() < 25
    assert np.allclose(expand(small), value, rtol=1e-4)
    assert normalise(np.array([7.0]), 5.0, 2.0) == pytest.approx(compress(np.array([1.0])))


def test_nothing_changes_but_the_orientation():
    """Labels move with images: the disc is dark inside its mask, and nowhere else, however it is turned."""
    orientations = set()
    for seed in range(60):
        image, label = varied(NOTHING, seed)
        assert np.allclose(image[1], compress(-4.0 * label.astype(np.float32)), atol=1e-4)
        orientations.add(tuple(np.argwhere(label).mean(0).round(3)))
    assert len(orientations) == 8


def test_the_plane_is_turned_only_where_voxels_are_square():
    places = {tuple(np.argwhere(varied(NOTHING, seed, square=False)[1]).mean(0).round(3)) for seed in range(60)}
    assert len(places) == 4, "flips alone"


def test_left_stays_left_where_crops_are_not_turned():
    config = NOTHING.model_copy(update={"turn": False})
    places = {tuple(np.argwhere(varied(config, seed)[1]).mean(0).round(3)) for seed in range(20)}
    assert places == {(20.0, 30.0)}


def test_a_model_that_knows_left_and_right_is_not_asked_about_mirrored_slices():
    models = {"organs": {"augment": {"turn": False}}}
    with pytest.raises(ConfigError, match=r"augment\.turn"):
        read_config({"models": models, "predict": {"flips": True}})
    assert not read_config({"models": models}).models["organs"].augment.turn


def test_scaling_keeps_label_and_image_together():
    config = AugmentConfig(**{**NOTHING.model_dump(), "scale": 0.4})
    rng = np.random.default_rng(0)
    sides = [window_side(64, 200, config, rng) for _ in range(200)]
    assert min(sides) < 50
    assert max(sides) > 80
    assert sum(side == 64 for side in sides) > 100, "most crops keep their size"
    y, x = np.mgrid[:96, :96]
    mask = (np.hypot(y - 40, x - 50) <= 9).astype(np.uint8)
    image = np.repeat((-4.0 * mask)[None], 3, 0).astype(np.float32)
    small, label = vary(compress(image), mask, 64, True, NOTHING, np.random.default_rng(1))
    assert label.sum() == pytest.approx(mask.sum() * (64 / 96) ** 2, rel=0.06)
    assert ((expand(small[1]) < -2) != (label == 1)).mean() < 0.005


def test_noise_has_the_spectrum_of_a_reconstruction():
    """Power rises with frequency; white noise, the mutant, has as much everywhere."""

    def powers(image):
        power = np.abs(np.fft.fft2(image)) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij"))
        return power[(frequency > 0.05) & (frequency < 0.15)].mean(), power[(frequency > 0.35)].mean()

    config = AugmentConfig(**{**NOTHING.model_dump(), "noise": 2.0})
    flat = np.zeros((3, 64, 64), np.float32)
    found = np.mean([powers(varied(config, seed, flat, np.zeros((64, 64), np.uint8))[0][1]) for seed in range(8)], 0)
    assert found[1] / found[0] > 3
    white = powers(np.random.default_rng(0).normal(size=(64, 64)))
    assert white[1] / white[0] < 1.5


def test_voids_are_stronger_and_background():
    config = AugmentConfig(**{**NOTHING.model_dump(), "voids": 1.0})
    image, label = varied(config, 3)
    assert not label.any()
    assert expand(image).min() < -4 * 4
    kept, mask = varied(NOTHING, 3)
    assert mask.any()
    assert expand(kept).min() == pytest.approx(-4, abs=0.01)


def test_contrast_is_inverted_only_when_asked():
    upright = {bool(varied(NOTHING, seed)[0].min() < -1) for seed in range(10)}
    both = {bool(varied(NOTHING.model_copy(update={"invert": True}), seed)[0].min() < -1) for seed in range(10)}
    assert upright == {True}
    assert both == {True, False}


def training(images, labels, voxel=(1.0, 1.0, 1.0)):
    slices = [LabelledSlice("x", z, False, compress(i), m) for z, (i, m) in enumerate(zip(images, labels, strict=True))]
    return TrainingSet(slices, {}, voxel, {})


def test_domains_of_very_different_contrast_switch_voids_off(caplog):
    """Otherwise a faint domain made strong would be called background, and a strong one domain."""
    same, mask = disc()
    faint, _ = disc(strength=-0.5)
    config = UNetConfig(crop=64)
    assert CropSampler(training([same, same], [mask, mask]), config, 0).augment.voids > 0
    caplog.set_level("INFO")
    assert CropSampler(training([same, faint, faint, faint], [mask] * 4), config, 0).augment.voids == 0
    assert "training without artificial voids" in caplog.text
    three = UNetConfig(crop=64, classes={"background": 0, "domain": 1, "void": 2})
    assert CropSampler(training([same], [mask]), three, 0).augment.voids == 0


def test_every_class_is_shown_however_rare():
    image, mask = disc(128)
    mask[100, 100] = 2
    config = UNetConfig(crop=32, batch=16, balance=1.0, classes={"a": 0, "b": 1, "c": 2}, augment=NOTHING)
    sampler = CropSampler(training([image], [mask]), config, 0)
    assert np.mean([(label == 2).any() for label in sampler.draw(0)[1]]) > 0.25
    without = CropSampler(training([image], [mask]), config.model_copy(update={"balance": 0.0}), 0)
    assert np.mean([(label == 2).any() for step in range(4) for label in without.draw(step)[1]]) < 0.25


def test_what_is_scribbled_on_is_shown_more_often_than_what_is_not():
    image, _ = disc(128)
    scribbles = np.full((128, 128), 255, np.uint8)
    scribbles[100:103, 20:60] = 0
    scribbles[20, 28:33] = 1
    config = UNetConfig(crop=32, batch=32, augment=NOTHING)
    sampler = CropSampler(training([image], [scribbles]), config, 0)
    known = np.mean([(label != 255).any() for label in sampler.draw(0)[1]])
    unaware = CropSampler(training([image], [scribbles]), config.model_copy(update={"balance": 0.0}), 0)
    assert known > 0.5 > np.mean([(label != 255).any() for label in unaware.draw(0)[1]])
