import os

import pytest

from tomoprofile.files import write_record
from tomoprofile.volume.companions import is_companion_folder, without_companions
from tomoprofile.volume.sources import (
    _slices,
    _states,
    content_of_files,
    slice_number,
    slice_numbers,
    slices_among,
    state_of_slab,
)

FORMS = {"film_0007": 7, "a12_b003": 3, "7": 7, "notes": None}


@pytest.mark.parametrize("stem", FORMS)
def test_the_last_number_counts(stem):
    assert slice_number(stem) == FORMS[stem]


IN_FOLDERS = {
    "last": [f"rec{z}" for z in range(8, 14)],
    "not last": [f"rec{z:04d}_8bit" for z in range(8, 14)],
    "of a total": [f"slice_{z:04d}_of_0024" for z in range(8, 14)],
    "a voxel size before": [f"film_0.65um_{z:03d}_v2" for z in range(8, 14)],
    "beside a time": [f"{z:03d}_2026-11-26_12-{3 * z % 60:02d}-{7 * z % 60:02d}" for z in range(8, 14)],
    "beside a time with a gap": [f"{z:03d}_1205{17 * z:04d}" for z in (8, 9, 11, 12)],
    "beside its double": [f"a{z:03d}_b{z + 1:03d}" for z in range(7, 13)],
}


@pytest.mark.parametrize("what", IN_FOLDERS)
def test_the_number_that_varies_counts_in_a_folder(what):
    gap = [8, 9, 11, 12] if "gap" in what else list(range(8, 14))
    assert slice_numbers(IN_FOLDERS[what]) == gap
    order = [3, 0, 2, 1]
    assert slice_numbers([IN_FOLDERS[what][i] for i in order]) == [gap[i] for i in order]


def test_names_that_do_not_tell_have_no_number():
    assert slice_numbers(["rec1", "rec2", "x2", "notes"]) == [1, 2, None, None]
    assert slice_numbers(["a1_b3", "a2_b2", "a3_b1"]) == [None] * 3, "two orders"
    assert slice_numbers(["z1_c0", "z1_c1", "z2_c0", "z2_c1"]) == [None] * 4
    assert slice_numbers(["z1_c0", "z1_c1", "z2_c0", "z2_c1", "z3_c0", "z3_c1"]) == [1, 1, 2, 2, 3, 3]
    assert slice_numbers(["s_0007"]) == [7]
    assert slice_numbers([]) == []


def test_companions_of_slices_are_no_slices(tmp_path):
    beside = ["._rec1.tif", ".DS_Store", "Thumbs.db", "rec1_thumb.tif", "overview.tif", "Preview 3.tiff", "dark_1.tif"]
    for name in ("rec1.tif", "rec2.TIFF", "Landflats3.tif", *beside):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in slices_among(tmp_path.iterdir())] == ["Landflats3.tif", "rec1.tif", "rec2.TIFF"]
    (tmp_path / "flat").mkdir()
    for z in range(3):
        (tmp_path / f"flat/flat_film_{z}.tif").write_bytes(b"x")
    assert len(slices_among((tmp_path / "flat").iterdir())) == 3


def test_a_companion_that_changes_concerns_no_slab(folder):
    before = state(folder)
    (folder / "._s_005.tif").write_bytes(b"x")
    (folder / "s_overview.tif").write_bytes(b"x")
    assert state(folder) == before
    (folder / "s_005.tif").write_bytes(b"other")
    assert state(folder) != before


@pytest.fixture
def folder(tmp_path):
    scan = tmp_path / "scan"
    scan.mkdir()
    for number in range(5, 13):
        (scan / f"s_{number:03d}.tif").write_bytes(bytes([number]) * 20)
    return scan


def state(folder, start=0, stop=4, axis=0, record=None):
    _states.cache_clear()  # a run looks once
    _slices.cache_clear()
    return state_of_slab([str(folder)], start, stop, axis, record or folder / "no record", "raw")


def replaced(path, time):
    path.write_bytes(b"other content, same" + b"!")
    os.utime(path, (time, time))


def test_a_slice_replaced_by_an_older_file_concerns_its_slab_alone(folder):
    before = [state(folder, *slab) for slab in ((0, 4), (4, 8))]
    of_folder = folder.stat().st_mtime_ns
    replaced(folder / "s_010.tif", 10**9)
    assert folder.stat().st_mtime_ns == of_folder, "the time of the folder, which used to be compared, says nothing"
    after = [state(folder, *slab) for slab in ((0, 4), (4, 8))]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_along_another_axis_every_slice_concerns_every_slab(folder):
    before = state(folder, axis=1)
    replaced(folder / "s_012.tif", 10**9)
    assert state(folder, axis=1) != before


def test_notes_are_no_change_but_a_file_within_a_store_is(folder, tmp_path):
    before = state(folder)
    (folder / "readme.txt").write_text("x")
    assert state(folder) == before
    chunk = tmp_path / "m.zarr/c/0/0/0"
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(b"1")
    before = state(tmp_path / "m.zarr")
    replaced(chunk, 10**9)
    assert state(tmp_path / "m.zarr") != before


def test_archived_files_are_in_the_state_of_their_record(folder, tmp_path):
    record = tmp_path / "z00000.json"
    write_record(record, {"raw": state(folder)})
    before = state(folder, record=record)
    folder.rename(tmp_path / "archive")
    assert state(folder, record=record) == before
    record.unlink()
    assert state(folder, record=record) == ""


def test_an_edited_label_is_another_content(tmp_path):
    label = tmp_path / "a.png"
    label.write_bytes(b"1")
    before = content_of_files([str(label)])
    os.utime(label, (10**9, 10**9))
    assert content_of_files([str(label)]) == before, "copied, and the same"
    replaced(label, 10**9)
    assert content_of_files([str(label)]) != before


FOLDERS = {
    "proj": True,
    "projections_2": True,
    "tomo_projections_raw": True,
    "dark_before": True,
    "flat_fields": True,
    "WhiteField": True,
    "Thumbnails": True,
    "flat_glass": False,
    "projection_3_rec": False,
    "reference": False,
    "recon": False,
    "raw": False,
    "white_paint": False,
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_left_out_when_all_its_words_say_so(name):
    assert is_companion_folder(name) == FOLDERS[name]


def test_companions_of_slices_are_left_out_unless_all_are_alike(tmp_path):
    slices = [tmp_path / f"rec_{z}.tif" for z in range(3)]
    beside = [tmp_path / name for name in ("white_0.tif", "refHST0000.tif", "dark.tif", "rec_spr.tif")]
    assert without_companions(slices + beside) == slices
    films = [tmp_path / f"flat_film_{z}.tif" for z in range(3)]
    assert without_companions(films) == films
    assert without_companions(beside) == []
