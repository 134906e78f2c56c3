"""Labels as people have them: values, outlines of ImageJ, volumes of napari; each broken kind with its message."""

import zipfile

import numpy as np
import pytest
import tifffile
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi, roiwrite
from skimage.measure import find_contours

from tomoprofile.config import ThresholdConfig, UNetConfig
from tomoprofile.errors import InputError
from tomoprofile.labels.classes import IGNORE, Classes
from tomoprofile.labels.masks import merge, read_annotators

SHAPE = (6, 20, 24)
TWO = UNetConfig().classes
THREE = {"background": 0, "domain": 1, "void": 2}


def blob():
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return ((y - 9) ** 2 + (x - 13) ** 2 < 30) & ~((y == 9) & (x < 14))  # not convex: a slit reaches inside


def polygon(corners, name="", position=0, kind=ROI_TYPE.POLYGON):
    roi = ImagejRoi.frompoints(np.asarray(corners, float), name=name)
    roi.roitype, roi.position = kind, position
    return roi


def square(x, y, side, **options):
    return polygon([(x, y), (x + side, y), (x + side, y + side), (x, y + side)], **options)


def box(kind, left, top, right, bottom, **fields):
    roi = ImagejRoi()
    roi.roitype, roi.left, roi.top, roi.right, roi.bottom = kind, left, top, right, bottom
    for field, value in fields.items():
        setattr(roi, field, value)
    return roi


def read(folder, classes=TWO, measure=()):
    return merge(read_annotators(folder, SHAPE, Classes.named(classes, measure)))


def fails(folder, *told, classes=TWO, measure=()):
    with pytest.raises(InputError) as caught:
        read(folder, classes, measure)
    for part in told:
        assert part in str(caught.value)


def test_the_measured_class_is_named_or_called_domain_or_the_second():
    classes = {"resin": 0, "void": 1, "domain": 2}
    assert Classes.of(UNetConfig()).measured == ("domain",)
    assert Classes.of(UNetConfig(classes=classes)).indices == (2,)
    assert Classes.of(UNetConfig(classes=classes, measure=["void"])).indices == (1,)
    assert Classes.of(UNetConfig(classes=classes, measure=["domain", "void"])).indices == (2, 1)
    assert Classes.of(UNetConfig(classes={"domain": 3, "drop": 1})).measured == ("drop",)


def test_a_model_that_learns_from_no_labels_has_the_classes_of_the_default():
    assert Classes.of(ThresholdConfig(method="otsu")) == Classes.of(UNetConfig()) == Classes.of(None)


# --- values ----------------------------------------------------------------------------------------------------------


def test_values_become_indices_in_the_order_of_the_classes(tmp_path):
    mask = np.zeros(SHAPE[1:], "uint16")
    mask[0, :4] = 300, 7, 255, 0
    tifffile.imwrite(tmp_path / "a_z00002.tif", mask)
    found = read(tmp_path, {"background": 0, "void": 300, "domain": 7})
    assert list(found) == [2]
    assert found[2][0, :5].tolist() == [1, 2, IGNORE, 0, 0]
    assert found[2].dtype == np.uint8


def test_scribbles_leave_the_rest_unlabelled(tmp_path):
    mask = np.zeros(SHAPE[1:], "uint8")
    mask[0, :2] = 1, 2
    tifffile.imwrite(tmp_path / "a_z00002.tif", mask)
    found = read(tmp_path, {"background": 1, "domain": 2})[2]
    assert found[0, :3].tolist() == [0, 1, IGNORE]
    assert (found[1:] == IGNORE).all()


def test_masks_of_fiji_need_a_line_and_work_with_it(tmp_path):
    for z in (1, 3):
        tifffile.imwrite(tmp_path / f"a_z{z:05d}.tif", blob().astype("uint8") * 255)
    fails(tmp_path, "only 0 and 255", "Set `classes: {background: 0, domain: 255}` for the model")
    found = read(tmp_path, {"background": 0, "domain": 255})
    assert (found[3] == blob()).all()


def test_ignored_voxels_beside_a_domain_are_no_fiji_mask(tmp_path):
    mask = blob().astype("uint8")
    tifffile.imwrite(tmp_path / "a_z00001.tif", mask)
    mask[:] = 0
    mask[0] = 255
    tifffile.imwrite(tmp_path / "a_z00002.tif", mask)
    assert (read(tmp_path)[2] == mask).all()


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (
            {"photometric": "rgb", "data": np.arange(np.prod(SHAPE[1:]) * 3, dtype="uint8").reshape(*SHAPE[1:], 3)},
            ["RGB", "Image > Type > 8-bit"],
        ),
        (
            {
                "photometric": "palette",
                "colormap": np.zeros((3, 256), "uint16"),
                "data": np.zeros(SHAPE[1:], "uint8"),
            },
            ["palette", "Lookup Tables > Grays"],
        ),
        ({"data": np.full(SHAPE[1:], 4, "uint8")}, ["got 4", "0 (background), 1 (domain) and 255 (ignore)"]),
        ({"data": np.full(SHAPE[1:], 0.5, "float32")}, ["got 0.5"]),
    ],
)
def test_what_is_no_mask(tmp_path, write, told):
    tifffile.imwrite(tmp_path / "a_z00002.tif", **write)
    fails(tmp_path, "a_z00002.tif", *told)


def test_0_is_strange_only_where_it_is_a_class_of_no_one_else(tmp_path):
    tifffile.imwrite(tmp_path / "a_z00002.tif", np.full(SHAPE[1:], 255, "uint8"))
    assert (read(tmp_path, {"background": 1, "domain": 255})[2] == 1).all()
    assert (read(tmp_path, {"background": 1, "domain": 2})[2] == IGNORE).all()


@pytest.mark.parametrize("how", [{"ome": True}, {"imagej": True}])
def test_dialects_of_tiff(tmp_path, how):
    suffix = ".ome.tif" if "ome" in how else ".tif"
    path = tmp_path / "a_z00002.tif"
    tifffile.imwrite(tmp_path / f"written{suffix}", blob().astype("uint8")[None], **how)
    (tmp_path / f"written{suffix}").rename(path)
    assert (read(tmp_path)[2] == blob()).all()


# --- outlines --------------------------------------------------------------------------------------------------------


def test_a_traced_outline_gives_back_its_mask(tmp_path):
    padded = np.kron(blob(), np.ones((2, 2)))  # so that contours at 0.5 lie on corners of voxels
    corners = find_contours(padded, 0.5)[0][:, ::-1] / 2 + 0.25
    roiwrite(tmp_path / "a_z00002.zip", [polygon(corners, kind=ROI_TYPE.TRACED)])
    assert (read(tmp_path)[2] == blob()).all()


@pytest.mark.parametrize(
    ("roi", "rows", "columns"),
    [
        (square(3, 2, 4), range(2, 6), range(3, 7)),
        (box(ROI_TYPE.RECT, 3, 2, 8, 4), range(2, 4), range(3, 8)),
        (square(-3, 2, 5), range(2, 7), range(0, 2)),
    ],
)
def test_corners_of_voxels_lie_at_whole_numbers(tmp_path, roi, rows, columns):
    roi.tofile(tmp_path / "a_z00002.roi")
    expected = np.zeros(SHAPE[1:], np.uint8)
    expected[rows.start : rows.stop, columns.start : columns.stop] = 1
    assert (read(tmp_path)[2] == expected).all()
    assert (np.roll(expected, 1, axis=0) != expected).any(), "half a voxel further would be seen"


def test_ovals_composites_and_fractions_of_voxels(tmp_path):
    box(ROI_TYPE.OVAL, 4, 2, 16, 12).tofile(tmp_path / "a_z00000.roi")
    ring = [0, 2, 2, 1, 12, 2, 1, 12, 12, 1, 2, 12, 4, 0, 5, 5, 1, 9, 5, 1, 9, 9, 1, 5, 9, 4]
    composite = box(ROI_TYPE.RECT, 2, 2, 12, 12, multi_coordinates=np.array(ring, "float32"), shape_roi_size=len(ring))
    composite.tofile(tmp_path / "a_z00001.roi")
    fraction = box(ROI_TYPE.RECT, 2, 2, 5, 5, xd=2.6, yd=2.4, widthd=2.0, heightd=2.0)
    fraction.options |= ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    fraction.tofile(tmp_path / "a_z00002.roi")
    found = read(tmp_path)
    assert found[0].sum() == pytest.approx(np.pi * 6 * 5, abs=4)
    assert found[0][:, :4].sum() == found[0][:2].sum() == 0
    assert found[1].sum() == 100 - 16
    assert not found[1][5:9, 5:9].any()
    assert np.argwhere(found[2]).tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]


def test_names_and_groups_choose_classes_and_ignore_lies_above_all(tmp_path):
    grouped = square(0, 8, 2, name="0001-0002")
    grouped.group = 2
    rois = [
        square(0, 0, 2, name="void-3"),
        square(4, 0, 2, name="Domain 1"),
        square(8, 0, 2, name="0009-0009"),
        square(12, 0, 4, name="ignored here"),
        square(12, 0, 2, name="void"),
        grouped,
    ]
    roiwrite(tmp_path / "a_z00002.zip", rois)
    found = read(tmp_path, THREE)[2]
    assert [found[0, x] for x in (0, 4, 8, 12)] == [2, 1, 1, IGNORE]
    assert found[8, 0] == 2
    assert read(tmp_path, THREE, ["void"])[2][0, 8] == 2


def test_a_set_for_the_whole_scan_counts_slices_from_1(tmp_path):
    in_hyperstack = square(2, 2, 3)
    in_hyperstack.z_position = 6
    roiwrite(tmp_path / "scan.zip", [square(1, 1, 4, position=1), square(9, 9, 4, position=1), in_hyperstack])
    with zipfile.ZipFile(tmp_path / "scan.zip", "a") as archive:
        archive.writestr("__MACOSX/._0001.roi", b"not a ROI")
    found = read(tmp_path)
    assert {z: int(mask.sum()) for z, mask in found.items()} == {0: 32, 5: 9}


@pytest.mark.parametrize(
    ("rois", "file", "classes", "told"),
    [
        ([square(1, 1, 3, name="lost")], "all.zip", TWO, ["lost", 'Options > Associate "Show All" ROIs with slices']),
        ([square(1, 1, 3, position=7)], "all.zip", TWO, ["slice 6 is outside the scan (0..5)", "from 1"]),
        ([square(1, 1, 3, position=1), square(1, 1, 3, position=2)], "a_z1.zip", TWO, ["positions 1, 2", "`_z`"]),
        ([polygon([(1, 1), (5, 5)], "edge", kind=ROI_TYPE.POLYLINE)], "a_z1.zip", TWO, ["'edge'", "polyline", "area"]),
        ([polygon([(1, 1)], "dot", kind=ROI_TYPE.POINT)], "a_z1.zip", TWO, ["'dot'", "point"]),
        ([box(ROI_TYPE.RECT, 1, 1, 5, 5, subtype=ROI_SUBTYPE.TEXT, name="T")], "a_z1.zip", TWO, ["'T'", "text"]),
        ([square(90, 1, 3, name="far")], "a_z1.zip", TWO, ["'far'", "covers no voxel"]),
        ([square(1, 1, 3, name="viod-1")], "a_z1.zip", THREE, ["'viod-1'", "does not begin with a class", "void"]),
        ([box(ROI_TYPE.RECT, 1, 1, 5, 5, group=3)], "a_z1.zip", THREE, ["group 3", "no class with this index"]),
        ([], "a_z1.zip", TWO, ["contains no ROI"]),
    ],
)
def test_outlines_that_are_no_labels(tmp_path, rois, file, classes, told):
    roiwrite(tmp_path / file, rois)
    fails(tmp_path, file, *told, classes=classes)


def test_a_curve_in_a_composite_names_its_roi(tmp_path):
    path = np.array([0, 2, 2, 3, 3, 3, 4, 4, 5, 5, 4], "float32")
    box(ROI_TYPE.RECT, 2, 2, 5, 5, multi_coordinates=path, shape_roi_size=len(path), name="bent").tofile(
        tmp_path / "a_z1.roi"
    )
    fails(tmp_path, "'bent'", "composite", "Split")


def test_a_file_that_is_no_roi_is_never_unpickled(tmp_path):
    (tmp_path / "a_z1.roi").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR." * 9)
    (tmp_path / "a_z2.zip").write_bytes(b"no archive")
    fails(tmp_path, "a_z1.roi", "not an ImageJ ROI", "a_z2.zip", "cannot be read as ImageJ ROIs")


# --- label volumes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_volume_labels_the_slices_with_any_value(tmp_path, compression):
    volume = np.zeros(SHAPE, "int32")
    volume[4] = blob()
    volume[1, 0, 0] = 255
    tifffile.imwrite(tmp_path / "napari.tif", volume, compression=compression)
    found = read(tmp_path)
    assert list(found) == [1, 4]
    assert (found[4] == blob()).all()
    assert found[1][0, :2].tolist() == [IGNORE, 0]
    scribbles = read(tmp_path, {"background": 2, "domain": 1})
    assert (scribbles[4][~blob()] == IGNORE).all()


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        (np.zeros((5, 20, 24), "uint8"), ["5x20x24", "6x20x24", "differs in size from the scan"]),
        (np.zeros(SHAPE[1:], "uint8"), ["does not say which slice", "NAME_z00123.tif"]),
        (np.full(SHAPE, 9, "uint8"), ["scan.tif z00000", "got 9"]),
    ],
)
def test_wrong_volumes(tmp_path, volume, told):
    tifffile.imwrite(tmp_path / "scan.tif", volume, photometric="minisblack")
    fails(tmp_path, "scan.tif", *told)


def test_two_sources_of_one_slice_by_one_person_but_not_by_two(tmp_path):
    tifffile.imwrite(tmp_path / "a_z00004.tif", blob().astype("uint8"))
    volume = np.zeros(SHAPE, "uint8")
    volume[4] = blob()
    (tmp_path / "anna").mkdir()
    tifffile.imwrite(tmp_path / "anna/scan.tif", volume)
    assert set(read_annotators(tmp_path, SHAPE, Classes.named(TWO))) == {"", "anna"}
    (tmp_path / "anna/scan.tif").rename(tmp_path / "scan.tif")
    fails(tmp_path, "a_z00004.tif: slice 4 has two label files, this one and scan.tif")


def test_faults_of_all_files_are_told_at_once(tmp_path):
    tifffile.imwrite(tmp_path / "a_z00001.tif", np.full(SHAPE[1:], 9, "uint8"))
    tifffile.imwrite(tmp_path / "a_z00099.tif", blob().astype("uint8"))
    roiwrite(tmp_path / "all.zip", [square(1, 1, 3)])
    fails(tmp_path, "got 9", "slice 99 is outside the scan (0..5)", "do not say which slice")
