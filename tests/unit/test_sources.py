import os

import pytest

from tomoprofile.files import write_record
from tomoprofile.volume.sources import _slices, _states, content_of_files, slice_number, state_of_slab

FORMS = {"film_0007": 7, "a12_b003": 3, "7": 7, "notes": None}


@pytest.mark.parametrize("stem", FORMS)
def test_the_last_number_counts(stem):
    assert slice_number(stem) == FORMS[stem]


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
