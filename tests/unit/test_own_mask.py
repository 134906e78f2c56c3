"""A segmentation of the user's own: every format, every value a mask can and cannot have, and what is said of it."""

import json

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from segment_scan import level_of

from tomoprofile.config import UNetConfig, read_config
from tomoprofile.errors import InputError
from tomoprofile.labels.classes import Classes
from tomoprofile.layout import ScanLayout
from tomoprofile.run.check import check_scan
from tomoprofile.samples import MaskImage, OwnMask, Scan, parse_mask
from tomoprofile.segment.given_mask import accept_mask, create_instances, enter_mask
from tomoprofile.segment.kinds import segmenter_at, segmenter_of
from tomoprofile.volume.convert import create_probability
from tomoprofile.volume.masks import MOST_ID, read_mask
from tomoprofile.volume.store import create_store, open_store

SHAPE = (6, 10, 12)
SHARD = 2


def blobs(shape=SHAPE):
    """Return a mask that no flip or exchange of axes leaves as it is."""
    mask = np.zeros(shape, bool)
    mask[1:4, 2:5, 3:9] = True
    mask[5, 7, 1:3] = True
    return mask


def write(form, folder, image):
    """Write an image in one of the formats; returns the cell of the sheet."""
    if form == "tiff_folder":
        (folder / "slices").mkdir()
        for z, plane in enumerate(image):
            tifffile.imwrite(folder / f"slices/mask_{z:03d}.tif", plane)
        return str(folder / "slices")
    if form == "hdf5":
        with h5py.File(folder / "m.h5", "w") as file:
            file["entry/mask"] = image
        return str(folder / "m.h5")
    if form.startswith("nifti"):
        path = folder / f"m.{'nii.gz' if form.endswith('gz') else 'nii'}"
        kept = image.astype("uint8") if image.dtype == bool else image
        nibabel.Nifti1Image(kept.T, np.diag([-1, -1, 1, 1])).to_filename(path)
        return str(path)
    if form.startswith("zarr"):
        array = zarr.create_array(str(folder / "m.zarr"), data=image, zarr_format=int(form[-1]), chunks=(3, 4, 5))
        return str(array.store_path.store.root)
    if form == "ome_zarr":
        store = create_store(folder / "m.ome.zarr", image.shape, image.dtype, (1, 1, 1), len(image))
        store.write(0, image)
        return str(store.path)
    if form == "ome_zarr_5d":
        group = zarr.create_group(str(folder / "m.zarr"), zarr_format=2)
        group.create_array("s0", data=image[None, None])
        group.create_array("s1", data=image[None, None, ::2])
        group.attrs["multiscales"] = [{"datasets": [{"path": "s0"}, {"path": "s1"}]}]
        return str(folder / "m.zarr")
    options = {"photometric": "minisblack"} | {"packed": {"compression": "zlib"}}.get(form, {})
    tifffile.imwrite(folder / "m.tif", image, **options)
    return str(folder / "m.tif")


FORMS = ["tiff_folder", "stack", "packed", "hdf5", "nifti", "nifti_gz", "zarr2", "zarr3", "ome_zarr", "ome_zarr_5d"]


def scan_of(cell, shape=SHAPE, **columns):
    z, y, x = shape
    row = {"path": "raw", "format": "tiff_stack", "dtype": "uint8", "voxel_size_um": "1"}
    return Scan(sample="a", slices=z, rows=y, columns=x, mask=cell, **(row | columns))


def enter(folder, scan, model=None):
    """Enter a mask slab by slab, as jobs do; returns probability by class, ids and ``mask.json``."""
    classes = Classes.of_mask(scan.own_mask, model)
    files = ScanLayout(folder)
    create_probability(scan, SHARD, classes.measured, files.probability.path)
    stores = [files.probability.path]
    if scan.has_instances:
        create_instances(scan, SHARD, files.instances.path)
        stores.append(files.instances.path)
    records = []
    for start in range(0, scan.slices, 2 * SHARD):
        stop = min(start + 2 * SHARD, scan.slices)
        facts = enter_mask(scan, classes, *[*stores, None][:2], start, stop)
        for store in stores:
            open_store(store).complete(store / f"slabs/z{start:05d}.json", start, stop, **facts)
        records.append(files.probability.record(f"z{start:05d}"))
    accept_mask(scan, records, folder / "mask.json")
    probability = {name: open_store(stores[0], name).read(0, scan.slices) for name in classes.measured}
    numbers = open_store(stores[1]).read(0, scan.slices) if scan.has_instances else None
    return probability, numbers, json.loads((folder / "mask.json").read_text())


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same_probability(tmp_path, form, slice_axis):
    expected = np.moveaxis(blobs(), slice_axis, 0)
    scan = scan_of(write(form, tmp_path, blobs().astype("uint8")), expected.shape, slice_axis=slice_axis)
    probability, _, record = enter(tmp_path, scan)
    assert (probability["domain"] == np.where(expected, 255, 0)).all()
    assert read_mask(scan, scan.own_mask.binary).raw.faults() == []
    assert record["method"] == "mask"
    assert record["voxels"] == {"domain": blobs().sum()}
    assert level_of(tmp_path / "mask.json") == 0.5


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint8", 255), ("uint8", 3), ("bool", 1), ("int16", -1), ("uint16", 65535), ("float32", 1)]
)
@pytest.mark.parametrize("form", ["stack", "tiff_folder", "hdf5", "zarr3"])
def test_any_one_value_is_inside(tmp_path, form, dtype, value):
    scan = scan_of(write(form, tmp_path, (blobs() * value).astype(dtype)))
    probability, _, record = enter(tmp_path, scan)
    assert (probability["domain"] > 0).tolist() == blobs().tolist()
    assert record["foreground_value"] == value


def ids():
    """Return objects that touch, and one in two pieces: only their numbers tell."""
    image = np.zeros(SHAPE, np.uint32)
    image[1:4, 2:5, 3:6], image[1:4, 2:5, 6:9] = 7, MOST_ID
    image[5, 7, 1:3] = 7
    return image


@pytest.mark.parametrize("form", FORMS)
def test_objects_keep_their_numbers(tmp_path, form):
    scan = scan_of("instances:" + write(form, tmp_path, ids()))
    probability, found, record = enter(tmp_path, scan)
    assert found.dtype == np.uint32
    assert (found == ids()).all()
    assert ((probability["domain"] == 255) == (ids() > 0)).all()
    assert record["method"] == "instances"


def test_the_digests_do_not_depend_on_the_format(tmp_path):
    told = set()
    for form in ("stack", "hdf5", "nifti"):
        (tmp_path / form).mkdir()
        *_, record = enter(tmp_path / form, scan_of(write(form, tmp_path / form, blobs().astype("uint8") * 9)))
        told.add(tuple(record["sha256_of_slabs"].values()))
    assert len(told) == 1
    assert len(told.pop()) == 2


def refused(folder, cell, shape=SHAPE, model=None):
    with pytest.raises(InputError) as caught:
        enter(folder, scan_of(cell, shape), model)
    assert any(image.path in str(caught.value) for image in parse_mask(cell).images)
    return str(caught.value)


def test_three_values_name_both_remedies(tmp_path):
    image = blobs().astype("uint8")
    image[5, 7, 2] = 2
    cell = write("stack", tmp_path, image)
    said = refused(tmp_path, cell)
    assert "slice 5" in said
    assert "0, 1, 2" in said
    assert f"`instances:{cell}`" in said
    assert "classes" in said


def test_slabs_that_disagree_are_found(tmp_path):
    image = blobs().astype("uint8")
    image[5] *= 2  # the only one of the second slab
    said = refused(tmp_path, write("stack", tmp_path, image))
    assert "different slabs" in said
    assert "0, 1, 2" in said
    assert not (tmp_path / "mask.json").exists()


def test_a_mask_without_background_is_refused(tmp_path):
    assert "no background" in refused(tmp_path, write("stack", tmp_path, np.ones(SHAPE, "uint8")))


def test_an_empty_mask_is_entered(tmp_path):
    probability, _, record = enter(tmp_path, scan_of(write("stack", tmp_path, np.zeros(SHAPE, "uint8"))))
    assert not probability["domain"].any()
    assert record["foreground_value"] is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("prefix", ["", "instances:"])
def test_values_that_are_no_numbers(tmp_path, bad, prefix):
    image = blobs().astype("float32")
    image[3, 0, 0] = bad
    said = refused(tmp_path, prefix + write("stack", tmp_path, image))
    assert "slice 3 holds NaN or infinite" in said


@pytest.mark.parametrize(
    ("dtype", "bad"), [("int32", -4), ("float32", 1.5), ("int64", MOST_ID + 1), ("float64", 2**33), ("float32", 2**32)]
)
def test_numbers_that_objects_cannot_have(tmp_path, dtype, bad):
    image = blobs().astype(dtype)
    image[2, 3, 4] = bad
    said = refused(tmp_path, "instances:" + write("hdf5", tmp_path, image))
    assert f"{bad} in slice 2" in said or f"{float(bad)} in slice 2" in said
    assert str(MOST_ID) in said


def test_another_shape_is_told_with_the_right_one(tmp_path):
    cell = write("stack", tmp_path, blobs()[:, :-1].astype("uint8"))
    said = refused(tmp_path, cell)
    assert "6x9x12" in said
    assert "6x10x12" in said
    assert "order" not in said
    turned = refused(tmp_path, cell, (9, 6, 12))
    assert "order of the scan's files" in turned


def test_what_cannot_be_opened_says_why(tmp_path):
    assert "does not exist" in refused(tmp_path, str(tmp_path / "none.tif"))
    (tmp_path / "m.jpg").write_bytes(b"x")
    write("stack", tmp_path, blobs().astype("uint8"))
    assert "Leave out `:/entry/mask`" in refused(tmp_path, f"{tmp_path / 'm.tif'}:/entry/mask")
    assert "not a known mask format" in refused(tmp_path, str(tmp_path / "m.jpg"))
    (tmp_path / "m.nii.gz").write_bytes(b"x" * 400)
    assert "NIfTI" in refused(tmp_path, str(tmp_path / "m.nii.gz"))
    (tmp_path / "g.zarr").mkdir()
    (tmp_path / "g.zarr/zarr.json").write_text("{}")
    assert "Zarr" in refused(tmp_path, str(tmp_path / "g.zarr"))
    nibabel.Nifti1Image(np.zeros((12, 10, 6, 2), "uint8"), np.eye(4)).to_filename(tmp_path / "t.nii")
    assert "12x10x6x2" in refused(tmp_path, str(tmp_path / "t.nii"))


def test_a_truncated_nifti_is_found_by_its_last_slice(tmp_path):
    path = write("nifti_gz", tmp_path, np.random.default_rng(0).integers(0, 2, (6, 100, 120)).astype("uint8"))
    data = open(path, "rb").read()  # noqa: PTH123, SIM115
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(data[: len(data) // 2])
    (fault,) = read_mask(scan_of(path, (6, 100, 120)), MaskImage(path)).raw.faults()
    assert "cannot be read as NIfTI" in str(fault)


def test_several_datasets_or_arrays_ask_which_one(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a"], file["b"] = blobs(), np.zeros(SHAPE, "uint8")
    said = refused(tmp_path, str(tmp_path / "m.h5"))
    assert f"`{tmp_path}/m.h5:/a`" in said
    probability, _, _ = enter(tmp_path, scan_of(f"{tmp_path}/m.h5:/a"))
    assert (probability["domain"] > 0).tolist() == blobs().tolist()
    group = zarr.create_group(str(tmp_path / "g.zarr"))
    for name in ("x", "y"):
        group.create_array(name, data=blobs())
    assert "g.zarr/x" in refused(tmp_path, str(tmp_path / "g.zarr"))
    assert read_mask(scan_of("m"), MaskImage(f"{tmp_path}/g.zarr/x")).shape == SHAPE


def test_cells():
    assert parse_mask("a b/m.tif") == OwnMask(binary=MaskImage("a b/m.tif"))
    assert parse_mask("a;b.tif") == OwnMask(binary=MaskImage("a;b.tif"))
    assert parse_mask("instances:m.h5:/e/d") == OwnMask(instances=MaskImage("m.h5", "/e/d"))
    assert parse_mask("classes:c.tif") == OwnMask(classes=MaskImage("c.tif"))
    both = parse_mask("instances:m.h5:/e/d;classes:c.tif")
    assert both == OwnMask(instances=MaskImage("m.h5", "/e/d"), classes=MaskImage("c.tif"))
    assert both.place == "m.h5:/e/d;c.tif"


@pytest.mark.parametrize("cell", ["instances:", "classes: ", "m.tif;classes:c.tif", "classes:a;classes:b"])
def test_cells_that_mean_nothing(cell):
    with pytest.raises(ValueError, match="instances:PATH;classes:PATH"):
        parse_mask(cell)


# Maps of classes: what their values mean is what the model of the row says.

SEVERAL = UNetConfig(classes={"background": 0, "domain": 3, "void": 7, "other": 9}, measure=["void", "domain"])


def class_map(dtype="uint8"):
    """Return a map whose domains are the blobs above, with voids and another class beside them."""
    image = np.where(blobs(), 3, 0).astype(dtype)
    image[0:3, 6:8, 0:3] = 7
    image[4, 0:2, 0:2] = 9
    return image


@pytest.mark.parametrize("form", FORMS)
def test_a_map_of_classes_fills_a_channel_for_each_measured_one(tmp_path, form):
    dtype = "float32" if form == "hdf5" else "uint8"
    scan = scan_of("classes:" + write(form, tmp_path, class_map(dtype)))
    probability, numbers, record = enter(tmp_path, scan, SEVERAL)
    assert list(probability) == ["void", "domain"]
    assert ((probability["domain"] == 255) == blobs()).all()
    assert ((probability["void"] == 255) == (class_map() == 7)).all()
    assert set(np.unique(probability["void"])) == {0, 255}
    assert numbers is None
    assert record["voxels"] == {"void": (class_map() == 7).sum(), "domain": blobs().sum()}
    assert (record["method"], record["foreground_value"]) == ("mask", None)
    assert segmenter_at(tmp_path / "mask.json").levels() == {"void": 0.5, "domain": 0.5}


def test_a_mask_without_classes_is_of_the_first_measured_one(tmp_path):
    image = write("stack", tmp_path, blobs().astype("uint8"))
    for cell in (image, f"instances:{image}"):
        folder = tmp_path / cell[:4].strip("/")
        folder.mkdir()
        probability, _, record = enter(folder, scan_of(cell), SEVERAL)
        assert list(probability) == list(record["voxels"]) == ["void"]
        assert ((probability["void"] == 255) == blobs()).all()


def both_images(folder, numbers, classes):
    tifffile.imwrite(folder / "i.tif", numbers, photometric="minisblack")
    tifffile.imwrite(folder / "c.tif", classes, photometric="minisblack")
    return f"instances:{folder / 'i.tif'};classes:{folder / 'c.tif'}"


def test_objects_have_the_class_of_the_map(tmp_path):
    numbers = np.zeros(SHAPE, np.uint16)
    numbers[class_map() == 3], numbers[class_map() == 7], numbers[class_map() == 9] = 5, 6, 8
    numbers[5, 7, 1:3] = 0  # the map says domain, but there is no object
    probability, found, record = enter(tmp_path, scan_of(both_images(tmp_path, numbers, class_map())), SEVERAL)
    assert ((probability["domain"] == 255) == (numbers == 5)).all()
    assert ((probability["void"] == 255) == (numbers == 6)).all()
    assert (found == np.where(numbers == 8, 0, numbers)).all(), "the object of a class that is not measured is none"
    assert record["method"] == "instances"
    assert record["voxels"] == {"void": (numbers == 6).sum(), "domain": (numbers == 5).sum()}


def test_an_object_in_two_classes_is_refused(tmp_path):
    numbers = np.where(class_map() == 3, 5, 0).astype(np.uint16)
    numbers[2, 6, 0] = 5  # a void
    said = refused(tmp_path, both_images(tmp_path, numbers, class_map()), model=SEVERAL)
    assert "object 5 in slice 2" in said
    assert "domain and void" in said


@pytest.mark.parametrize(
    ("strange", "told"), [(255, "255 leaves voxels without a class"), (4, "may hold only 0 (back")]
)
def test_values_of_no_class_are_refused(tmp_path, strange, told):
    image = class_map()
    image[3, 0, 0] = strange
    said = refused(tmp_path, "classes:" + write("stack", tmp_path, image), model=SEVERAL)
    assert f"{strange} in slice 3" in said
    assert told in said


def test_255_may_be_the_value_of_a_class(tmp_path):
    model = UNetConfig(classes={"background": 0, "domain": 255}, measure=["domain"])
    image = (blobs() * 255).astype("uint8")
    probability, *_ = enter(tmp_path, scan_of("classes:" + write("stack", tmp_path, image)), model)
    assert ((probability["domain"] == 255) == blobs()).all()


def test_the_record_of_an_earlier_run_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "mask.json").write_text(json.dumps({"method": "mask", "decision_level": 0.5, "voxels": 7}))
    with pytest.raises(InputError, match="run the workflow again"):
        segmenter_at(tmp_path / "mask.json").levels()


# The check looks at a few slices, before anything is computed.


def checked(tmp_path, cell, models=None, **columns):
    if not (tmp_path / "raw.tif").exists():
        grey = np.random.default_rng(0).integers(90, 110, SHAPE).astype("uint8")
        tifffile.imwrite(tmp_path / "raw.tif", grey, photometric="minisblack")
    scan = scan_of(cell, path=str(tmp_path / "raw.tif"), **{"model": "not configured"} | columns)
    config = read_config({"models": models} if models else {})
    return [
        (finding.status, finding.message)
        for finding in check_scan(scan, segmenter_of(scan, config))
        if finding.item == "mask"
    ]


def test_the_check_of_a_fine_mask(tmp_path):
    ((status, told),) = checked(tmp_path, write("stack", tmp_path, blobs().astype("uint8")))
    assert status == "ok"
    assert "no model segments this scan" in told


@pytest.mark.parametrize(
    ("image", "prefix", "status", "told"),
    [
        (np.zeros(SHAPE, "uint8"), "", "warning", "empty in all 6 slices"),
        (~blobs(), "", "warning", "are inside and outside swapped"),
        (blobs().astype("uint8"), "instances:", "warning", "leave out `instances:`"),
        (ids(), "", "error", "0, 7, 4.29497e+09"),
        (blobs()[1:], "", "error", "5x10x12"),
        (np.where(blobs(), np.nan, 0), "", "error", "NaN"),
        (-ids().astype("int64"), "instances:", "error", "-7 in slice 1"),
        (blobs() * np.arange(6, dtype="uint8")[:, None, None], "", "error", "different slices"),
    ],
)
def test_the_check_of_others(tmp_path, image, prefix, status, told):
    image = image.astype("uint8") if image.dtype == bool else image
    found = checked(tmp_path, prefix + write("hdf5", tmp_path, image))
    assert found[0][0] == status
    assert told in found[0][1]


def test_labels_beside_a_mask_are_told_to_be_unused(tmp_path):
    cell = write("stack", tmp_path, blobs().astype("uint8"))
    (warning, _) = checked(tmp_path, cell, labels="labels/a")
    assert warning[0] == "warning"
    assert "labels in labels/a are not used" in warning[1]


MODELS = {"m": {"method": "unet", "classes": dict(SEVERAL.classes), "measure": ["void", "domain"]}}


def test_the_check_of_a_map_of_classes(tmp_path):
    cell = "classes:" + write("stack", tmp_path, class_map())
    ((status, told),) = checked(tmp_path, cell, MODELS, model="m")
    assert status == "ok"
    assert "map of classes, measured: void, domain" in told


@pytest.mark.parametrize("models", [MODELS, {"m": {"method": "otsu"}}])
def test_a_map_needs_a_model_that_names_its_classes(tmp_path, models):
    cell = "classes:" + write("stack", tmp_path, class_map())
    ((status, told),) = checked(tmp_path, cell, models, model="m" if len(models["m"]) == 1 else "elsewhere")
    assert status == "error"
    assert "method: unet" in told


@pytest.mark.parametrize(
    ("image", "status", "told"),
    [
        (np.where(class_map() == 7, 0, class_map()), "warning", "shows a void"),
        (np.where(class_map() == 9, 255, class_map()), "error", "give each voxel of the map a class"),
        (np.where(class_map() == 9, 4, class_map()), "error", "0 (background), 3 (domain), 7 (void), 9 (other)"),
        (np.zeros(SHAPE, "uint8"), "error", "fewer values than there are classes to measure"),
        (class_map()[1:], "error", "5x10x12"),
    ],
)
def test_the_check_of_other_maps(tmp_path, image, status, told):
    found = checked(tmp_path, "classes:" + write("stack", tmp_path, image.astype("uint8")), MODELS, model="m")
    assert found[0][0] == status
    assert told in found[0][1]


def test_the_check_of_an_object_in_two_classes(tmp_path):
    numbers = np.where(class_map() == 3, 5, 0).astype(np.uint16)
    fine = checked(tmp_path, both_images(tmp_path, numbers, class_map()), MODELS, model="m")
    assert "void" in fine[0][1]
    numbers[0, 6:8, 0:3] = 5  # all of it in a slice of its own, so that no single slice tells
    numbers[1:3, 6:8, 0:3] = 6
    ((status, told),) = checked(tmp_path, both_images(tmp_path, numbers, class_map()), MODELS, model="m")
    assert status == "error"
    assert "object 5 in slice 1" in told
    assert "void and domain" in told
