"""Scribbles as Fiji and napari save them: which voxels are of which class, and which file is refused and why."""

import tracemalloc

import numpy as np
import pytest
import tifffile
from roifile import ROI_TYPE, ImagejRoi, roiwrite
from scipy import ndimage

from tomoprofile.config import UNetConfig
from tomoprofile.errors import InputError
from tomoprofile.labels import scribbles, traced
from tomoprofile.labels.classes import IGNORE, Classes
from tomoprofile.labels.masks import read_annotators
from tomoprofile.labels.scribbles import read_scribbles
from tomoprofile.labels.traced import write_outlines

SHAPE = (6, 20, 24)
TWO = Classes.of(UNetConfig())
THREE = Classes.named({"background": 0, "domain": 1, "void": 5})


def painted(rest=0, **strokes):
    """Return a slice with a row of six voxels for each value."""
    values = np.full(SHAPE[1:], rest, np.uint8)
    for row, value in enumerate(strokes.values()):
        values[2 * row + 1, 4:10] = value
    return values


def saved(path, values):
    tifffile.imwrite(path, values)
    return path


def refused(path, *told, shape=SHAPE, classes=TWO):
    with pytest.raises(InputError) as caught:
        read_scribbles(path, shape, classes)
    for part in (path.name, *told):
        assert part in str(caught.value)


def roi(kind, places, name, **fields):
    made = ImagejRoi.frompoints(np.asarray(places, float), name=name)
    made.roitype = kind
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def test_what_nobody_painted_in_napari_is_not_labelled(tmp_path):
    """A labels layer is 0 where nobody painted, which in a label file is the background: that has the next number."""
    found = read_scribbles(saved(tmp_path / "a_z00004.tif", painted(a=2, b=1)), SHAPE, TWO)
    assert found.z == 4
    assert (found.classes[1, 4:10] == 0).all()
    assert (found.classes[3, 4:10] == 1).all()
    assert (found.classes == IGNORE).sum() == found.classes.size - 12
    assert "2 is background, 1 is domain, 0 is not drawn on" in found.told


def test_values_are_those_of_label_files_where_the_rest_is_ignored(tmp_path):
    found = read_scribbles(saved(tmp_path / "a_z00004.tif", painted(rest=255, a=0, b=1)), SHAPE, TWO)
    assert (found.classes[1, 4:10] == 0).all()
    assert (found.classes[3, 4:10] == 1).all()
    assert (found.classes == IGNORE).sum() == found.classes.size - 12


def test_classes_of_a_model_keep_their_values(tmp_path):
    found = read_scribbles(saved(tmp_path / "a_z1.tif", painted(a=2, b=5, c=1)), SHAPE, THREE)
    assert [found.classes[row, 5] for row in (1, 3, 5)] == [0, 2, 1]
    given = Classes.named({"background": 1, "domain": 2})
    found = read_scribbles(saved(tmp_path / "a_z1.tif", painted(a=1, b=2)), SHAPE, given)
    assert [found.classes[row, 5] for row in (1, 3)] == [0, 1]


def test_a_stack_with_one_painted_slice_and_a_picture_of_one_slice(tmp_path):
    stack = np.zeros(SHAPE, np.uint8)
    stack[3] = painted(a=2, b=1)
    assert read_scribbles(saved(tmp_path / "labels.tif", stack), SHAPE, TWO).z == 3
    stack[1] = stack[3]
    refused(saved(tmp_path / "labels.tif", stack), "several slices", "1, 3")
    found = read_scribbles(saved(tmp_path / "a_z00042.tif", painted(a=2, b=1)), (1, *SHAPE[1:]), TWO)
    assert found.z == 0


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("a_z1.tif", painted(), ("there are no strokes", "background", "domain")),
        ("a_z1.tif", painted(a=1), ("no stroke of background", "2 is background")),
        ("a_z1.tif", painted(a=2), ("no stroke of domain",)),
        ("a_z1.tif", painted(a=2, b=1)[:-1], ("19x24", "20x24")),
        ("a_z1.tif", painted(a=2, b=7), ("7", "no class")),
        ("a_z1.tif", painted(rest=1, a=2), ("most voxels have the value 1",)),
        ("a_z6.tif", painted(a=2, b=1), ("slice 6 is outside the scan (0..5)",)),
        ("strokes.tif", painted(a=2, b=1), ("does not say which slice", "_z00123")),
        ("all.tif", np.zeros(SHAPE, np.uint8), ("empty",)),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, name, values, told):
    refused(saved(tmp_path / name, values), *told)


def test_a_missing_and_a_broken_file_are_said(tmp_path):
    refused(tmp_path / "a_z1.tif", "there are no scribbles")
    for name in ("a_z1.tif", "a_z1.zip", "a_z1.roi", "a_z1.png"):
        (tmp_path / name).write_bytes(b"no image at all")
        refused(tmp_path / name)


def test_other_classes_may_be_absent_but_not_all(tmp_path):
    found = read_scribbles(saved(tmp_path / "a_z1.tif", painted(a=2, b=5)), SHAPE, THREE)
    assert set(np.unique(found.classes)) == {0, 2, IGNORE}
    refused(saved(tmp_path / "a_z1.tif", painted(a=2)), "no stroke of any other class", classes=THREE)


def test_strokes_of_fiji_are_lines_points_and_areas(tmp_path):
    strokes = [
        roi(ROI_TYPE.FREELINE, [(2.5, 3.5), (8.5, 3.5), (8.5, 6.5)], "background-1", stroke_width=1),
        roi(ROI_TYPE.POLYLINE, [(4.5, 12.5), (12.5, 12.5)], "0012-0004", stroke_width=3),
        roi(ROI_TYPE.POINT, [(20.5, 2.5), (22.5, 4.5)], "domain"),
        roi(ROI_TYPE.POLYGON, [(16, 14), (19, 14), (19, 17), (16, 17)], "Background"),
        roi(ROI_TYPE.POLYLINE, [(6.5, 12.5), (6.5, 12.5)], "ignore"),
    ]
    roiwrite(tmp_path / "a_z00002.zip", strokes)
    found = read_scribbles(tmp_path / "a_z00002.zip", SHAPE, TWO)
    wanted = np.full(SHAPE[1:], IGNORE, np.uint8)
    wanted[3, 2:9] = wanted[3:7, 8] = wanted[14:17, 16:19] = 0
    wanted[11:14, 4:13] = wanted[12, [3, 13]] = 1
    wanted[2, 20] = wanted[4, 22] = 1
    wanted[12, 6] = IGNORE
    assert found.z == 2
    corners = np.ones(SHAPE[1:], bool)
    corners[11:14, [3, 4, 12, 13]] = False  # how round the ends of a pen are does not matter
    assert (found.classes == wanted)[corners].all()


def test_rois_of_one_slice_and_of_both_classes_are_needed(tmp_path):
    def both(**fields):
        return [
            roi(ROI_TYPE.POLYLINE, [(2, row), (9, row)], name, **fields) for row, name in ((2, "background"), (5, ""))
        ]

    roiwrite(tmp_path / "strokes.zip", both(position=4))
    assert read_scribbles(tmp_path / "strokes.zip", SHAPE, TWO).z == 3
    roiwrite(tmp_path / "nowhere.zip", both())
    refused(tmp_path / "nowhere.zip", "which one slice", "_z00123.zip")
    roiwrite(tmp_path / "two.zip", [both(position=2)[0], both(position=3)[1]])
    refused(tmp_path / "two.zip", "which one slice")
    roiwrite(tmp_path / "a_z1.zip", both()[1:])
    refused(tmp_path / "a_z1.zip", "no stroke of background", "background")
    roiwrite(tmp_path / "b_z1.zip", [*both(), roi(ROI_TYPE.POLYLINE, [(90, 90), (99, 99)], "far")])
    refused(tmp_path / "b_z1.zip", "ROI 'far'", "no voxel of the slice")
    roiwrite(tmp_path / "c_z1.zip", [*both(), roi(ROI_TYPE.POLYLINE, [(np.nan, 1), (2, 2)], "lost")])
    refused(tmp_path / "c_z1.zip", "ROI 'lost'")


def test_a_pen_or_a_place_beyond_all_bounds_takes_no_memory(tmp_path):
    wide = roi(ROI_TYPE.POLYLINE, [(4, 4), (15, 15)], "background", stroke_width=30_000)
    thin = roi(ROI_TYPE.POLYLINE, [(2, 2), (12, 2)], "domain")
    roiwrite(tmp_path / "a_z1.zip", [wide, thin])
    tracemalloc.start()
    found = read_scribbles(tmp_path / "a_z1.zip", SHAPE, TWO)
    far = roi(ROI_TYPE.POLYLINE, [(-9e8, 4), (9e8, 15)], "background")
    roiwrite(tmp_path / "b_z1.zip", [far, thin])
    refused(tmp_path / "b_z1.zip", "ROI 'background'", "far from the slice")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert (found.classes == 1).sum() == 11
    assert (found.classes == 0).sum() > 300


def test_a_class_without_a_stroke_is_what_the_check_finds(tmp_path, monkeypatch):
    """The mutant: without it such a file passes."""
    path = saved(tmp_path / "a_z1.tif", painted(a=1))
    refused(path)
    monkeypatch.setattr(scribbles, "_require_strokes", lambda *_: None)
    assert set(np.unique(read_scribbles(path, SHAPE, TWO).classes)) == {1, IGNORE}


def nested():
    """Return a mask of three classes with holes, islands in them, and voxels that touch at corners only."""
    rng = np.random.default_rng(3)
    noise = np.stack([ndimage.gaussian_filter(rng.normal(size=(60, 70)), sigma) for sigma in (3, 2, 1.5)])
    mask = (noise / noise.std((1, 2), keepdims=True)).argmax(0).astype(np.uint8)
    mask[10:30, 10:30], mask[13:27, 13:27], mask[16:24, 16:24], mask[19:21, 19:21] = 1, 0, 2, 1
    mask[40:50, 40:50], mask[43:46, 43:46] = 1, 2  # a hole that another class fills
    return mask


def outlined(folder, mask):
    write_outlines(mask, THREE, folder / "a_z00002.zip")
    return read_annotators(folder, (3, *mask.shape), THREE)[""].masks[2]


def test_outlines_read_as_labels_are_the_mask(tmp_path):
    assert (outlined(tmp_path, nested()) == nested()).all()


def test_holes_are_outlines_too(tmp_path, monkeypatch):
    """The mutant: outlines around holes left out."""
    real = traced.find_contours
    monkeypatch.setattr(
        traced, "find_contours", lambda *given: [line for line in real(*given) if traced._signed_area(line) > 0]
    )
    assert (outlined(tmp_path, nested()) != nested()).any()


def test_a_mask_without_domains_has_no_outlines(tmp_path):
    assert write_outlines(np.zeros((9, 9), np.uint8), TWO, tmp_path / "a.zip") == 0
    assert not (tmp_path / "a.zip").exists()
