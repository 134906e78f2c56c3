import numpy as np
import pytest
from scipy import ndimage

from tomoprofile.labels import alignment
from tomoprofile.labels.alignment import slice_offset
from tomoprofile.labels.classes import IGNORE
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.volume.circle import outside_of

SLICES = (21, 64, 106)


@pytest.fixture(scope="module", params=["A", "B"])
def phantom(request):
    return simulate(PhantomSettings.of_kind(request.param, size=(128, 128, 128), seed=1))


def ask(phantom, slices=SLICES, shift=0, change=lambda mask: mask):
    """Label slice z with what is true ``shift`` slices before."""
    masks = {z: change(phantom.labels[z - shift] == 1).astype(np.uint8) for z in slices}
    return slice_offset(lambda start, stop: phantom.grey[start:stop], len(phantom.grey), masks)


@pytest.mark.parametrize("shift", [-3, -2, -1, 0, 1, 2, 3])
def test_a_shift_in_z_is_found(phantom, shift):
    offset, evidence = ask(phantom, shift=shift)
    assert offset == -shift
    assert evidence.domains > 20


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mirrored left to right", lambda mask: mask[:, ::-1]),
        ("mirrored top to bottom", lambda mask: mask[::-1]),
        ("rotated by 180 degrees", lambda mask: mask[::-1, ::-1]),
        ("transposed (x and y exchanged)", lambda mask: mask.T),
        ("rotated by 90 degrees to the left", np.rot90),
        ("rotated by 90 degrees to the right", lambda mask: np.rot90(mask, -1)),
    ],
)
def test_masks_in_another_view_are_recognised(phantom, name, change):
    assert ask(phantom, change=change)[0] == name


@pytest.mark.parametrize("change", [ndimage.binary_dilation, ndimage.binary_erosion])
def test_outlines_drawn_wide_or_tight_are_no_shift(phantom, change):
    assert ask(phantom, change=change)[0] == 0


@pytest.mark.parametrize("shift", [-1, 0, 2])
def test_a_regular_part_of_the_voxels_is_enough(phantom, monkeypatch, shift):
    monkeypatch.setattr(alignment, "_VOXELS", 1500)
    assert ask(phantom, shift=shift)[0] == -shift


def test_correct_labels_never_give_an_alarm(phantom):
    rng = np.random.default_rng(0)
    for _ in range(40):
        slices = [int(z) for z in rng.choice(128, rng.integers(1, 4), replace=False)]
        assert ask(phantom, slices)[0] == 0


def test_noise_few_domains_and_scribbles_give_no_answer(phantom):
    rng = np.random.default_rng(0)
    masks = {z: (phantom.labels[z - 1] == 1).astype(np.uint8) for z in SLICES}
    noise = rng.normal(size=phantom.grey.shape)
    assert slice_offset(lambda start, stop: noise[start:stop], 128, masks)[0] == 0
    part = {64: masks[64].copy()}
    part[64][:, 40:] = 0
    offset, evidence = slice_offset(lambda start, stop: phantom.grey[start:stop], 128, part)
    assert evidence.domains < 8
    assert offset == 0
    scribbles = {z: np.where(mask == 1, mask, np.uint8(IGNORE)) for z, mask in masks.items()}
    assert slice_offset(lambda start, stop: phantom.grey[start:stop], 128, scribbles)[1].domains == 0


def test_without_its_limits_noise_would_give_an_alarm(phantom, monkeypatch):
    for limit in ("LEAST_DOMAINS", "_LEAST_EXPLAINED", "_LEAST_GAIN", "_LEAST_T"):
        monkeypatch.setattr(alignment, limit, -np.inf)
    noise = np.random.default_rng(0).normal(size=phantom.grey.shape)
    masks = {z: (phantom.labels[z] == 1).astype(np.uint8) for z in SLICES}
    assert slice_offset(lambda start, stop: noise[start:stop], 128, masks)[0] != 0


def test_bands_tell_more_than_inside_and_outside(phantom, monkeypatch):
    _, evidence = ask(phantom)
    monkeypatch.setattr(alignment, "_bands", lambda distance: (distance > 0).astype(np.intp))
    _, mutant = ask(phantom)
    assert mutant.explained[0] < 0.85 * evidence.explained[0]


@pytest.fixture(scope="module")
def small():
    return simulate(PhantomSettings.of_kind("A", size=(64, 128, 128), seed=1))


@pytest.mark.parametrize("value", [2.0, np.nan])
@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_a_shift_is_found_where_corners_were_not_reconstructed(small, value, shift, monkeypatch):
    y, x = np.indices(small.grey.shape[1:]) - 63.5
    grey = np.where(np.hypot(y, x) > 64, np.float32(value), small.grey)
    masks = {z: (small.labels[z - shift] == 1).astype(np.uint8) for z in (10, 32, 54)}

    def offset():
        return slice_offset(lambda start, stop: grey[start:stop], len(grey), masks)[0]

    assert offset() == -shift
    monkeypatch.setattr(alignment, "outside_of", lambda _: None)
    grey = np.nan_to_num(grey)
    assert offset() == 0, "with the corners, which are alike in all slices, nothing would be told"


def test_the_circle_is_that_which_the_middle_slice_shows():
    y, x = np.indices((40, 60)) - np.array([19.5, 29.5])[:, None, None]
    grey = np.random.default_rng(0).normal(size=(40, 60))
    assert outside_of(grey) is None
    for value in (0, np.nan):
        outside = outside_of(np.where(np.hypot(y, x) > 15, value, grey))
        assert outside[np.hypot(y, x) > 15].all()
        assert not outside[np.hypot(y, x) < 13].any()
    assert outside_of(np.zeros((40, 60))) is None, "a slice without anything shows no circle"
