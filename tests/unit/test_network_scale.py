"""How far slices are reduced before the network sees them follows the labels."""

import numpy as np
import pytest
from segment_scan import build

from tomoprofile.config import UNetConfig
from tomoprofile.labels.training_set import LabelledSlice, TrainingSet, read_training_set
from tomoprofile.network import scale
from tomoprofile.network.bundle import load_network
from tomoprofile.network.facts import read_facts
from tomoprofile.network.fine_tune import fine_tune, initial_network
from tomoprofile.network.scale import Widths, crop_for, reduction_for, scaled, widths
from tomoprofile.network.slices import SlicePredictor

IGNORE = 255


def discs(*diameters, side=600, gap=4):
    """Return a label with discs in rows."""
    label = np.zeros((side, side), np.uint8)
    rows, columns = np.ogrid[:side, :side]
    y = x = gap
    for wide in diameters:
        if x + wide + gap > side:
            y, x = y + max(diameters) + gap, gap
        label[np.hypot(rows - y - wide / 2 + 0.5, columns - x - wide / 2 + 0.5) <= wide / 2] = 1
        x += wide + gap
    return label


def training(*labels):
    items = [
        LabelledSlice("x", z, False, np.zeros((3, *label.shape), np.float32), label) for z, label in enumerate(labels)
    ]
    return TrainingSet(items, {}, (0.5,) * 3, {})


def chosen(*labels, **settings):
    found = scaled(UNetConfig(**settings), training(*labels))
    return found.input_scale, found.crop


@pytest.mark.parametrize("diameter", [5, 12, 40, 150])
def test_a_disc_is_as_wide_as_it_is(diameter):
    found = widths([discs(diameter)], (1,))
    assert found.small == found.mean == found.large == pytest.approx(diameter, rel=0.05)


def test_the_widest_are_those_that_hold_the_area_and_the_smallest_those_that_are_many():
    found = widths([discs(*[6] * 40, 100)], (1,))
    assert found.small == pytest.approx(6, rel=0.1)
    assert found.large == pytest.approx(100, rel=0.02)
    assert 80 < found.mean < 100


def test_classes_that_are_not_measured_do_not_count():
    label = discs(20)
    label[300:, 300:] = 2
    assert widths([label], (1,)).large == pytest.approx(20, rel=0.03)
    assert widths([label], (2,)).large > 300


@pytest.mark.parametrize(
    ("small", "large", "wanted"),
    [
        (3, 27, 1),  # phantom A
        (11, 16, 1),  # fibres
        (20, 64, 1),
        (20, 70, 2),
        (12, 300, 2),  # small ones stop it
        (11.9, 300, 1),
        (60, 200, 4),
        (60, 2000, 8),
        (2000, 20000, 8),
    ],
)
def test_slices_are_reduced_as_far_as_wide_domains_need_and_small_ones_allow(small, large, wanted):
    assert reduction_for(Widths(small, (small + large) / 2, large)) == wanted


def test_each_of_the_two_bounds_is_needed(monkeypatch):
    """The mutants: without one of them fibres lose their width, without the other specks vanish."""
    monkeypatch.setattr(scale, "WIDEST", 0)
    assert reduction_for(Widths(30, 30, 30)) > 1
    monkeypatch.undo()
    monkeypatch.setattr(scale, "NARROWEST", 0)
    assert reduction_for(Widths(3, 200, 300)) > 1


def test_small_domains_leave_everything_as_it_is():
    assert chosen(discs(5, 8, 12)) == (2, 128)


def test_wide_domains_reduce_the_slice_and_widen_the_crop():
    assert chosen(discs(100, 110, 120)) == (1, 384)


def test_crops_show_several_domains_within_limits():
    assert crop_for(Widths(30, 40, 50), 1, 128) == 160
    assert crop_for(Widths(30, 55, 60), 1, 128) == 192
    assert crop_for(Widths(3, 5, 6), 1, 128) == 128
    assert crop_for(None, 1, 96) == 96


def test_what_is_given_stays():
    assert chosen(discs(100, 110, 120), input_scale=2, crop=64) == (2, 64)


def specks(label):
    label[::20, ::20] = 1
    return label


def scribbled(label):
    label[label == 0] = IGNORE
    return label


@pytest.mark.parametrize(
    "label",
    [np.zeros((64, 64), np.uint8), np.full((64, 64), IGNORE, np.uint8), scribbled(discs(100, 110, 120))],
    ids=["blank", "ignored", "scribbles"],
)
def test_labels_that_tell_no_width_leave_everything_as_it_is(label):
    assert chosen(label) == (2, 128)


def test_specks_are_not_the_smallest_domains():
    assert chosen(specks(discs(100, 110, 120))) == chosen(discs(100, 110, 120))


def test_it_is_chosen_before_training_and_recorded(tmp_path, monkeypatch):
    scan = build(tmp_path)
    config = UNetConfig(base="none", steps=1, crop=64, decoder_channels=(16, 16, 8, 8), batch=1, window=64)
    path = scan.training_set(config)
    assert scaled(config, read_training_set(path)).input_scale == 2
    for bound, value in {"WIDEST": 1, "NARROWEST": 0, "MOST_REDUCED": 2}.items():
        monkeypatch.setattr(scale, bound, value)
    fine_tune(path, config, 1, tmp_path / "model", threads=1)
    facts = read_facts(tmp_path / "model")
    assert facts.network.input_scale == facts.conditions["input_scale"] == 1
    network = load_network(tmp_path / "model")
    assert network.reduction == 32
    assert SlicePredictor(network, facts.window).window == 2 * facts.window == 128, "in the same memory"


def test_before_labels_are_seen_it_is_the_usual_one():
    assert initial_network(UNetConfig(base="none")).input_scale == 2
