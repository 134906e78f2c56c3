"""What sites make of a simulated torso: HU, kernel, slices, noise, table and arms; human errors in labels; variants."""

import dataclasses
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, map_coordinates

from tomoprofile.anatomy import annotator, variants
from tomoprofile.anatomy.annotator import with_errors
from tomoprofile.anatomy.case import simulate_case, simulate_template, template_labels
from tomoprofile.anatomy.lattice import Grid
from tomoprofile.anatomy.picture import three_planes
from tomoprofile.anatomy.scanner import noise, scan
from tomoprofile.anatomy.settings import LABELS, AnatomySettings, Site, Torso
from tomoprofile.anatomy.shapes import Points
from tomoprofile.anatomy.template import template_of
from tomoprofile.anatomy.tissue import TISSUES
from tomoprofile.anatomy.variants import simulate_variant
from tomoprofile.errors import InputError, StageError

DATA = Path(__file__).parents[3] / "shared/data/abdominal_ct_apache2/patient1_abdomen_pelvis"
SMALL = AnatomySettings(size=(48, 44, 56))
BARE = Site("bare", kernel_mm=0, noise_hu=0, slice_mm=1, table=False)
FINE = Grid((0, 0, 0), (1.0, 1.0, 1.0), (40, 32, 48))


@pytest.fixture(scope="module")
def clear():
    """The template without noise, in both phases."""
    settings = AnatomySettings(size=(64, 58, 74), torso=Torso(hu_sd=0))
    phases = ("native", "portal venous")
    return {
        phase: simulate_template(dataclasses.replace(settings, site=dataclasses.replace(BARE, phase=phase)))
        for phase in phases
    }


@pytest.fixture(scope="module")
def bodies(clear):
    """Where each body lies: name to array (z, y, x)."""
    settings = clear["native"].settings
    z, y, x = settings.grid.positions().reshape(3, -1)
    template = template_of(settings.torso)
    uppermost = np.full(z.size, "air", dtype="<U20")
    for body, where, function in template.functions(template.place(Points(x, y, z))):
        uppermost[where[function < 0]] = body.name
    return {name: (uppermost == name).reshape(settings.size) for name in np.unique(uppermost)}


@pytest.mark.parametrize("phase", ["native", "portal venous"])
def test_organs_have_the_hu_of_their_phase(clear, bodies, phase):
    case = clear[phase]
    for organ, tissue in (("liver", "liver"), ("spleen", "spleen"), ("aorta", "aorta"), ("gallbladder", "bile")):
        asked = TISSUES[tissue].native if phase == "native" else TISSUES[tissue].portal
        assert np.median(case.hu[case.labels == LABELS[organ]]) == pytest.approx(asked, abs=6), organ
    assert np.median(case.hu[bodies["lungs"]]) < -750
    assert np.median(case.hu[bodies["vertebrae"]]) > 180
    assert case.hu[:, 0, 0].max() == -1000
    stomach = case.hu[case.labels == LABELS["stomach"]]
    assert 0.1 < (stomach < -800).mean() < 0.3  # gas
    assert case.hu.dtype == np.int16


def test_gas_lies_in_front_of_fluid(clear):
    case = clear["native"]
    inside = binary_erosion(case.labels == LABELS["stomach"], iterations=2)  # without the wall
    y = np.broadcast_to(np.arange(inside.shape[1])[:, None], inside.shape)
    assert y[inside & (case.hu < -800)].max() <= y[inside & (np.abs(case.hu - 30) < 10)].min()


def test_the_contrast_agent_shows_kidney_layers_and_liver_vessels(clear):
    native, portal = (case.hu[case.labels == LABELS["kidney_left"]] for case in clear.values())
    assert native.max() < 70
    assert (portal > 160).mean() > 0.2
    assert ((portal > 100) & (portal < 140)).mean() > 0.2
    liver = {phase: case.hu[case.labels == LABELS["liver"]] for phase, case in clear.items()}
    assert (liver["portal venous"] > 130).mean() > 0.005
    assert (liver["native"] > 75).mean() < 0.005


@pytest.mark.parametrize("phase", ["native", "portal venous"])
def test_neighbours_of_equal_hu_touch(clear, bodies, phase):
    """No threshold tells them apart."""
    case = clear[phase]
    bowel = bodies["duodenum"] | bodies["bowel"]
    pancreas = case.labels == LABELS["pancreas"]
    assert (binary_dilation(bowel) & pancreas).sum() > 20
    assert np.median(case.hu[bowel]) == pytest.approx(np.median(case.hu[pancreas]), abs=8)
    liver, stomach = (case.labels == LABELS[name] for name in ("liver", "stomach"))
    assert (binary_dilation(liver) & stomach).sum() > 30
    assert abs(TISSUES["stomach wall"].native - TISSUES["liver"].native) <= 5


def block():
    """Return half of a volume as dense, above the middle slice."""
    hu = np.zeros(FINE.size, np.float32)
    hu[FINE.size[0] // 2 :] = 1000
    return hu


@pytest.mark.parametrize("thick_mm", [1.0, 3.0, 5.0])
def test_slices_are_as_thick_as_asked(thick_mm):
    site = dataclasses.replace(BARE, slice_mm=thick_mm)
    shown = scan(block(), np.zeros(FINE.size, bool), FINE, site, np.random.default_rng(0))[:, 16, 24]
    edge = np.diff(shown.astype(float)) / 1000  # the profile of a slice
    at = np.arange(edge.size) - np.average(np.arange(edge.size), weights=edge)
    assert edge.sum() == pytest.approx(1)
    assert np.sum(edge * at**2) == pytest.approx((thick_mm**2 - 1) / 12, abs=0.01)  # the variance of a box


@pytest.mark.parametrize("sigma_mm", [0.4, 1.2])
def test_the_kernel_blurs_in_the_slice(sigma_mm):
    fine = Grid((0, 0, 0), (1.0, 0.4, 0.4), (3, 40, 40))
    hu = np.zeros(fine.size, np.float32)
    hu[1, 20, 20] = 3000
    site = dataclasses.replace(BARE, kernel_mm=sigma_mm)
    shown = scan(hu, np.zeros(fine.size, bool), fine, site, np.random.default_rng(0)).astype(float)
    at = (np.arange(40) - 20) * 0.4
    assert np.average(at**2, weights=shown[1].sum(axis=0)) == pytest.approx(sigma_mm**2, rel=0.1)
    assert not shown[[0, 2]].any()


@pytest.mark.parametrize(("sd", "kernel_mm", "slice_mm"), [(5, 0.4, 1), (25, 1.2, 5), (12, 0.8, 3)])
def test_noise_has_the_standard_deviation_asked_for(sd, kernel_mm, slice_mm):
    """The difference of two scans of one body."""
    site = dataclasses.replace(BARE, noise_hu=sd, kernel_mm=kernel_mm, slice_mm=slice_mm)
    outside = np.zeros(FINE.size, bool)
    one, other = (scan(block(), outside, FINE, site, np.random.default_rng(n)).astype(float) for n in (1, 2))
    assert (one - other).std() / math.sqrt(2) == pytest.approx(sd, rel=0.04)


def test_noise_has_the_spectrum_of_a_reconstruction():
    def power(kernel_mm):
        spectrum = np.abs(np.fft.fft2(noise(FINE, Site(kernel_mm=kernel_mm), np.random.default_rng(0)))) ** 2
        q = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(48)[None, :])
        return [spectrum[:, (q > low) & (q < low + 0.1)].mean() for low in (0.0, 0.2, 0.4)]

    low, middle, high = power(0.3)
    assert low < 0.5 * middle  # white noise would have as much
    smooth_low, smooth_middle, smooth_high = power(1.2)
    assert smooth_high / smooth_middle < 0.2 * high / middle
    assert smooth_low > low


def test_slices_that_overlap_share_noise():
    def alike(slice_mm):
        found = noise(FINE, Site(slice_mm=slice_mm), np.random.default_rng(0))
        return np.corrcoef(found[:-1].ravel(), found[1:].ravel())[0, 1]

    assert abs(alike(1)) < 0.02
    assert alike(5) == pytest.approx(0.8, abs=0.03)  # four of five millimetres


def test_table_and_arms_lie_beside_the_body():
    body = {
        name: simulate_case(dataclasses.replace(SMALL, site=site), 2)
        for name, site in {
            "bare": BARE,
            "table": dataclasses.replace(BARE, table=True),
            "arms": dataclasses.replace(BARE, arms=True),
        }.items()
    }
    bare = body["bare"].hu
    inside = binary_erosion(binary_fill_holes(bare > -500))
    for name in ("table", "arms"):
        added = body[name].hu.astype(int) - bare
        assert np.abs(added[inside]).max() <= 1  # rounded
        assert (added > 50).sum() > 500
        assert np.array_equal(body[name].labels, body["bare"].labels)
    _, y, _ = np.nonzero(body["table"].hu.astype(int) - bare > 50)
    assert y.min() > 22
    _, _, x = np.nonzero(body["arms"].hu.astype(int) - bare > 50)
    assert np.abs(x - 27.5).min() > 12


def test_errors_are_as_frequent_as_asked(monkeypatch):
    labels = template_labels(AnatomySettings(size=(24, 22, 28)))
    rng = np.random.default_rng(0)

    def number(ratio):
        return sum(len(with_errors(labels, (12, 14, 14), ratio, rng)[1]) for _ in range(100))

    assert number(0) == 0
    chances = 100 * len(LABELS)
    assert number(0.1) == pytest.approx(0.1 * chances, abs=4 * math.sqrt(chances * 0.1 * 0.9))
    monkeypatch.setattr(annotator, "LABELS", {"liver": 1})
    assert number(1) == 100


def test_human_errors_leak_or_lose_a_tip():
    settings = AnatomySettings(size=(72, 66, 84))
    true, spacing = template_labels(settings), settings.spacing_mm
    before = true.copy()
    kinds = set()
    for seed in range(3):
        drawn, errors = with_errors(true, spacing, 1.0, np.random.default_rng(seed))
        assert [error["organ"] for error in errors] == list(LABELS)
        for error in errors:
            value = LABELS[error["organ"]]
            was, now = true == value, drawn == value
            kinds.add(error["kind"])
            lost = was & (drawn == 0)
            if error["kind"] == "missing tip":
                assert not (now & ~was).any()
                assert 0.03 < error["voxels"] / was.sum() < 0.12
                assert lost.sum() > 0.5 * error["voxels"]  # others may have leaked there
            else:
                assert not lost.any()
                assert 2 <= error["mm"] <= max(4, *spacing) + 0.01
                gained = now & ~was
                assert 0 < gained.sum() <= error["voxels"] < was.sum()
                assert not (gained & ~binary_dilation(was, np.ones((3, 3, 3)), 2)).any()
    assert kinds == {"leak", "missing tip"}
    assert np.array_equal(true, before)  # the true ones stay


def test_a_picture_shows_the_liver_on_the_left(clear):
    case = clear["portal venous"]
    shown = three_planes(case.hu, case.labels, case.spacing_mm)
    orange = np.argwhere((shown == (240, 160, 60)).all(axis=2))
    axial = orange[orange[:, 1] < 392]
    assert axial[:, 1].mean() < 190
    twin = three_planes(case.hu[:, :, ::-1], case.labels[:, :, ::-1], case.spacing_mm)
    orange = np.argwhere((twin == (240, 160, 60)).all(axis=2))
    assert orange[orange[:, 1] < 392][:, 1].mean() > 200


def ramp():
    """Return an image whose value says where it is along x, and labels of two halves."""
    image = np.broadcast_to(np.arange(60, dtype=np.float32) * 10, (40, 44, 60))
    return image, (image > 300).astype(np.uint8) * 7


def test_a_variant_is_the_real_case_at_displaced_positions():
    image, labels = ramp()
    spacing = (3.0, 2.0, 2.0)
    variant = simulate_variant(image, labels, spacing, seed=1)
    shift = variant.displacement_mm()
    assert np.sqrt((shift**2).sum(axis=0).mean()) == pytest.approx(8, rel=0.6)  # one draw of a few independent places
    expected = image + 10 * shift[2] / spacing[2]
    positions = np.indices(image.shape) + shift / np.reshape(spacing, (3, 1, 1, 1))
    inside = np.all([(p >= 0) & (p <= n - 1) for p, n in zip(positions, image.shape, strict=True)], axis=0)
    assert inside.mean() > 0.5
    assert variant.image[inside] == pytest.approx(expected[inside], abs=0.02)
    assert np.abs(variant.image - image)[inside].max() > 10
    assert set(np.unique(variant.labels)) == {0, 7}
    sure = inside & (np.abs(expected - 300) > 10)
    assert np.array_equal(variant.labels[sure] == 7, expected[sure] > 300)
    assert variant.image.dtype == image.dtype
    again, other = (simulate_variant(image, labels, spacing, seed=seed) for seed in (1, 2))
    assert np.array_equal(again.image, variant.image)
    assert not np.array_equal(other.image, variant.image)


def test_variants_that_fold_are_refused(monkeypatch):
    image, labels = ramp()
    monkeypatch.setattr(variants, "MOST_DRAWS", 2)
    with pytest.raises(StageError, match="in each of 2 draws"):
        simulate_variant(image, labels, (3, 2, 2), 1, rms_mm=60, alike_mm=24)
    monkeypatch.setattr(variants, "folds", lambda *_: False)
    assert simulate_variant(image, labels, (3, 2, 2), 1, rms_mm=60, alike_mm=24).redrawn == 0
    with pytest.raises(InputError, match="one shape"):
        simulate_variant(image, labels[1:], (3, 2, 2), 1)
    with pytest.raises(InputError, match="at least 4 voxels"):
        simulate_variant(image, labels, (3, 2, 2), 1, alike_mm=11)


@pytest.mark.skipif(not DATA.is_dir(), reason="no real scans beside the checkout")
def test_variants_of_a_real_case_keep_its_organs():
    image, labels = (
        np.asanyarray(nibabel.load(DATA / name).dataobj).transpose(2, 1, 0)
        for name in ("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz")
    )
    variant = simulate_variant(image, labels, (3.0, 3.0, 3.0), seed=4)
    assert variant.image.dtype == image.dtype
    for organ in (1, 2, 3, 5, 52):
        was, now = (labels == organ), (variant.labels == organ)
        assert 0.5 < now.sum() / was.sum() < 2
        assert image[was].mean() == pytest.approx(variant.image[now].mean(), abs=15)
        assert 2 * (was & now).sum() / (was.sum() + now.sum()) < 0.95
    where = np.indices(image.shape) + variant.displacement_mm() / 3
    assert np.array_equal(map_coordinates(labels, where, order=0, mode="constant"), variant.labels)
