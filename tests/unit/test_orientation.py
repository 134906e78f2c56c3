"""Label volumes and masks whose axes run otherwise than the scan's: left and right never change places."""

import nibabel
import numpy as np
import pytest
from organs_scan import CLASSES, SHAPE, affine, geometry, grey, organs, reoriented, write_itk, write_nifti

from tomoprofile.config import UNetConfig
from tomoprofile.errors import InputError
from tomoprofile.labels import images
from tomoprofile.labels.classes import IGNORE, Classes
from tomoprofile.labels.masks import merge, read_annotators
from tomoprofile.labels.thinned import slices_of_volumes, thinned
from tomoprofile.labels.training_set import LabelledScan, collect_labels, read_training_set
from tomoprofile.samples import MaskImage, Scan
from tomoprofile.segment.given_mask import MaskReader
from tomoprofile.shift.appearance import FEATURES, Appearance
from tomoprofile.texts import in_ranges
from tomoprofile.volume import masks
from tomoprofile.volume.masks import read_mask
from tomoprofile.volume.orientation import Turned, in_axes_of
from tomoprofile.volume.readers import open_mask
from tomoprofile.volume.store import create_store, describe_store, open_store

CODES = ("RAS", "LAS", "LPS", "RAI", "PIR", "SAL")
MODEL = UNetConfig(classes=CLASSES, measure=list(CLASSES)[1:])


def labels_in(folder, where=None, **settings):
    classes = Classes.of(MODEL.model_copy(update=settings))
    return read_annotators(folder, SHAPE, classes, geometry() if where is None else where)


def values_of(folder, **settings):
    """Return the labels of all slices as values of label files."""
    found = np.zeros(SHAPE, np.uint8)
    for z, mask in merge(labels_in(folder, **settings)).items():
        found[z] = np.array([*CLASSES.values()], np.uint8)[mask]
    return found


@pytest.mark.parametrize("codes", CODES)
def test_a_label_volume_in_any_orientation_lies_on_its_scan(tmp_path, codes):
    reoriented(tmp_path / "organs.nii.gz", organs(), codes)
    np.testing.assert_array_equal(values_of(tmp_path), organs())


@pytest.mark.parametrize("name", ["organs.nii.gz", "organs.nrrd", "organs.mha", "organs.mhd"])
def test_labels_of_itk_in_lps_lie_on_a_scan_in_ras(tmp_path, name):
    write_itk(tmp_path / name, organs())
    np.testing.assert_array_equal(values_of(tmp_path), organs())


def test_a_mirrored_twin_is_another_patient(tmp_path):
    """The same voxels with a mirrored matrix: what was left is right."""
    mirrored = affine()
    mirrored[0] *= -1
    mirrored[0, 3] = affine()[0, 3] + (SHAPE[2] - 1) * affine()[0, 0]
    write_nifti(tmp_path / "organs.nii", organs(), mirrored)
    found = values_of(tmp_path)
    np.testing.assert_array_equal(found, organs()[:, :, ::-1])
    assert (found != organs()).any()


def test_mutant_that_reads_voxels_as_they_lie_exchanges_the_kidneys(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "in_axes_of", lambda raw, *_: raw)
    reoriented(tmp_path / "organs.nii.gz", organs(), "LAS")
    assert (values_of(tmp_path) != organs()).any()


def test_how_labels_were_turned_is_told_once(tmp_path):
    reoriented(tmp_path / "organs.nii.gz", organs(), "LAS")
    (told,) = labels_in(tmp_path)[""].told
    assert "the other way along x" in told
    reoriented(tmp_path / "organs.nii.gz", organs(), "RAS")
    assert labels_in(tmp_path)[""].told == []


@pytest.mark.parametrize(("codes", "fits"), [("RAS", True), ("RAI", True), ("LAS", False), ("RPS", False)])
def test_a_slice_whose_matrix_mirrors_it_is_refused(tmp_path, codes, fits):
    """Alone it says nothing of its place along z, which is in its name."""
    reoriented(tmp_path / "a_z00012.nii", organs()[12:13], codes)
    if fits:
        np.testing.assert_array_equal(values_of(tmp_path)[12], organs()[12])
    else:
        with pytest.raises(InputError, match="is mirrored"):
            labels_in(tmp_path)


@pytest.mark.parametrize("change", ["moved", "tilted", "stretched"])
def test_labels_that_lie_elsewhere_are_refused(tmp_path, change):
    matrix = affine()
    if change == "moved":
        matrix[2, 3] += 0.6 * 4.0
    elif change == "tilted":
        matrix[:3, :3] = [[np.cos(0.1), -np.sin(0.1), 0], [np.sin(0.1), np.cos(0.1), 0], [0, 0, 1]] @ matrix[:3, :3]
    else:
        matrix[0, 0] *= 1.05
    write_nifti(tmp_path / "organs.nii", organs(), matrix)
    with pytest.raises(InputError, match="lie elsewhere in space"):
        labels_in(tmp_path)


def test_rounding_of_a_matrix_is_no_other_place(tmp_path):
    write_nifti(tmp_path / "organs.nii", organs(), affine() + np.full((4, 4), 1e-3) * np.eye(4)[:, [3, 0, 1, 2]])
    np.testing.assert_array_equal(values_of(tmp_path), organs())


def test_labels_of_a_program_that_knows_no_space_lie_as_their_voxels(tmp_path):
    nibabel.save(nibabel.Nifti1Image(organs().transpose(2, 1, 0), np.eye(4)), tmp_path / "organs.nii")
    np.testing.assert_array_equal(values_of(tmp_path), organs())


def test_a_volume_read_in_parts_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_PART", 5 * SHAPE[1] * SHAPE[2])
    reoriented(tmp_path / "organs.nii.gz", organs(), "PIR")
    np.testing.assert_array_equal(values_of(tmp_path), organs())


def test_turned_images_are_read_along_any_axis(tmp_path):
    raw = open_mask(MaskImage(str(reoriented(tmp_path / "organs.nii", organs(), "PIR"))))
    turned = in_axes_of(raw, geometry(), SHAPE, "organs")
    assert isinstance(turned, Turned)
    for axis in range(3):
        np.testing.assert_array_equal(turned.read(axis, 3, 7), organs().take(range(3, 7), axis))


# --- masks that are given ---------------------------------------------------------------------------------------------


def scan_of(folder, slice_axis=0):
    path = write_nifti(folder / "ct.nii", organs().astype(np.int16))
    order = [slice_axis, *(axis for axis in range(3) if axis != slice_axis)]
    z, y, x = (SHAPE[axis] for axis in order)
    cells = {"slices": z, "rows": y, "columns": x, "dtype": "int16", "voxel_size_um": "2000"}
    return Scan(sample="ct", path=str(path), format="nifti", slice_axis=slice_axis, **cells)


@pytest.mark.parametrize("slice_axis", [0, 2])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_a_given_mask_in_another_orientation_lies_on_its_scan(tmp_path, codes, slice_axis):
    scan = scan_of(tmp_path, slice_axis)
    mask = MaskImage(str(reoriented(tmp_path / "mask.nii.gz", organs(), codes)))
    expected = np.moveaxis(organs(), slice_axis, 0)
    np.testing.assert_array_equal(read_mask(scan, mask).read(0, scan.slices), expected)


def test_a_scan_in_an_archive_still_says_where_it_lay(tmp_path):
    scan = scan_of(tmp_path).model_copy(update={"path": str(tmp_path / "on_tape.nii")})
    mask = MaskImage(str(reoriented(tmp_path / "mask.nii.gz", organs(), "LPS")))
    np.testing.assert_array_equal(read_mask(scan, mask, geometry()).read(0, SHAPE[0]), organs())


def test_mutant_that_forgets_the_scan_mirrors_the_mask(tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "_geometry_of", lambda _: None)
    mask = MaskImage(str(reoriented(tmp_path / "mask.nii.gz", organs(), "LPS")))
    assert (read_mask(scan_of(tmp_path), mask).read(0, SHAPE[0]) != organs()).any()


def test_a_map_of_more_organs_than_are_wanted_is_taken_where_the_model_says_so(tmp_path):
    values = organs()
    values[1, 1, 1] = 77
    scan = scan_of(tmp_path).model_copy(
        update={"mask": f"classes:{reoriented(tmp_path / 'map.nii.gz', values, 'LAS')}"}
    )
    with pytest.raises(InputError, match="other_values"):
        list(MaskReader(scan, Classes.of_mask(scan.own_mask, MODEL)).slices(0, 2))
    wide = MODEL.model_copy(update={"other_values": "background"})
    shown = [*MaskReader(scan, Classes.of_mask(scan.own_mask, wide)).slices(0, SHAPE[0])]
    for name in MODEL.measure:
        found = np.stack([one.inside[name] for one in shown])
        np.testing.assert_array_equal(found, organs() == CLASSES[name])


# --- values that are in no class --------------------------------------------------------------------------------------


def with_others():
    found = organs()
    found[2:4, 5:9, 5:9], found[12, 2:5, 2:5] = 22, 77
    return found


def test_organs_that_are_not_wanted_are_named_once_and_refused(tmp_path):
    write_nifti(tmp_path / "organs.nii", with_others())
    with pytest.raises(InputError) as error:
        labels_in(tmp_path)
    (fault,) = error.value.faults
    assert fault.got == "22, 77"
    assert "other_values" in fault.remedy


@pytest.mark.parametrize(("others", "index"), [("background", 0), ("ignore", IGNORE)])
def test_organs_that_are_not_wanted_may_be_background_or_ignored(tmp_path, others, index):
    write_nifti(tmp_path / "organs.nii", with_others())
    person = labels_in(tmp_path, other_values=others)[""]
    assert (person.masks[2][5:9, 5:9] == index).all()
    assert (person.masks[12][2:5, 2:5] == index).all()
    (told,) = person.told
    assert f"2 of its values are in no class and taken as {others} (22, 77)" in told


def test_values_that_no_class_could_have_stay_refused(tmp_path):
    values = with_others().astype(np.int16)
    values[3, 0, 0] = -1
    write_nifti(tmp_path / "organs.nii", values)
    with pytest.raises(InputError, match="may hold only"):
        labels_in(tmp_path, other_values="background")


# --- how many slices of a volume train --------------------------------------------------------------------------------


def test_many_slices_of_a_volume_are_thinned_and_no_class_is_lost():
    masks_of = {z: np.zeros((20, 20), np.uint8) for z in range(200)}
    for z in (101, 102, 103, 105, 106):
        masks_of[z][3:6, 3:6] = 1
    chosen = thinned(masks_of, set(range(1, 200)), [1])
    assert 0 in chosen, "a slice that a person chose"
    assert 45 <= len(chosen) <= 53
    assert sum((mask == 1).any() for mask in chosen.values()) >= 4
    assert max(np.diff(sorted(chosen))) <= 6


def test_slices_that_people_chose_all_train():
    masks_of = {z: np.zeros((20, 20), np.uint8) for z in range(200)}
    assert thinned(masks_of, set(), [1]).keys() == masks_of.keys()


def test_large_slices_train_less_often():
    masks_of = dict.fromkeys(range(100), np.zeros((2048, 2048), np.uint8))
    assert len(thinned(masks_of, set(range(100)), [1])) == 12


def test_slices_of_volumes_are_those_that_nobody_labelled_alone(tmp_path):
    write_nifti(tmp_path / "organs.nii", organs())
    (tmp_path / "anna").mkdir()
    np.save(tmp_path / "anna/liver_z00012.npy", organs()[12])
    labelled = set(np.flatnonzero(organs().any(axis=(1, 2))).tolist())
    assert slices_of_volumes(labels_in(tmp_path)) == labelled - {12}


def test_ranges():
    assert in_ranges([1, 3, 4, 7, 8, 9, 11]) == "1, 3, 4, 7 to 9, 11"
    assert in_ranges([]) == ""


def test_a_label_volume_trains_with_left_on_the_left(tmp_path):
    """From the file to the training set, through a store that knows where it lies."""
    create_store(tmp_path / "volume", SHAPE, "int16", (4000.0, 3000.0, 2000.0), 8)
    describe_store(tmp_path / "volume", (4000.0, 3000.0, 2000.0), geometry=geometry())
    store = open_store(tmp_path / "volume")
    for start, stop in store.shards():
        store.write(start, grey()[start:stop])
    Appearance(-100.0, 80.0, (4000.0, 3000.0, 2000.0), [12], np.zeros((0, len(FEATURES)))).save(tmp_path / "looks.json")
    (tmp_path / "labels").mkdir()
    reoriented(tmp_path / "labels/organs.nii.gz", organs(), "LPS")
    scan = LabelledScan("ct", tmp_path / "volume", tmp_path / "labels", tmp_path / "looks.json")
    collect_labels([scan], MODEL, tmp_path / "training.npz")
    training = read_training_set(tmp_path / "training.npz")
    assert len(training.slices) == organs().any(axis=(1, 2)).sum()
    for item in training.slices:
        np.testing.assert_array_equal(np.array([*CLASSES.values()])[item.label], organs()[item.z])
