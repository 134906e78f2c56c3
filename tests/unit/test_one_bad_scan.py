"""One bad file in a tree: the other scans are written and checked, the bad one is named, and the exit status tells."""

import h5py
import numpy as np
import pytest
import tifffile

from tomoprofile.cli import main
from tomoprofile.earlier import EarlierSheet
from tomoprofile.errors import InputError
from tomoprofile.run import check
from tomoprofile.samples import Scan, read_samples, write_samples
from tomoprofile.volume.discover import find_scans, survey
from tomoprofile.volume.formats import hdf5_probe
from tomoprofile.volume.tree import Tree

SHAPE = (12, 20, 24)
COMPRESSIONS = ("zlib", "lzw", "zstd", "jpeg2000")


def image():
    z, y, x = np.indices(SHAPE)
    mask = (z % 6 - 3) ** 2 + (y % 10 - 5) ** 2 + (x % 8 - 4) ** 2 < 9
    return (1000 + 300 * mask + np.random.default_rng(3).normal(0, 20, SHAPE)).astype("uint16")


def slices(folder, leave_out=()):
    folder.mkdir(parents=True)
    for z, plane in enumerate(image()):
        if z not in leave_out:
            tifffile.imwrite(folder / f"rec{z:04d}.tif", plane)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hdf5_probe, "SECONDS", 5)
    for name in ("good1", "good2"):
        slices(tmp_path / "data" / name)
    return tmp_path / "data"


def gap(data):
    slices(data / "bad", leave_out=(7,))


def empty_file(data):
    (data / "bad").mkdir()
    (data / "bad/broken_0001.tif").write_bytes(b"")


def first_slice_empty(data):
    slices(data / "bad")
    (data / "bad/rec0000.tif").write_bytes(b"")


def empty_hdf5(data):
    (data / "bad.h5").write_bytes(b"")


def part_lost(data):
    layout = h5py.VirtualLayout(SHAPE, "uint16")
    for part in range(2):
        with h5py.File(data / f"bad{part}.hdf_", "w") as file:
            file["d"] = image()[part * 6 : part * 6 + 6]
        layout[part * 6 : part * 6 + 6] = h5py.VirtualSource(f"bad{part}.hdf_", "d", shape=(6, *SHAPE[1:]))
    with h5py.File(data / "bad.nxs", "w") as file:
        file.create_virtual_dataset("/entry/data/data", layout)
    (data / "bad1.hdf_").unlink()


def no_text_name(data):
    slices(data / "bad\tname")


BAD = {
    gap: ["bad", "no slice 7", "Copy the missing slices"],
    empty_file: ["broken_0001.tif", "cannot be read as TIFF", "Copy it again"],
    first_slice_empty: ["rec0000.tif", "cannot be read as TIFF", "Copy it again"],
    empty_hdf5: ["bad.h5", "cannot be read as HDF5", "Copy it again"],
    part_lost: ["bad.nxs", "bad1.hdf_", "is not there", "one folder"],
    no_text_name: ["bad\\tname", "Rename it"],
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_good_scans_are_written_and_the_bad_one_is_named(tree, bad, capsys):
    bad(tree)
    assert main(["scan", str(tree), "--voxel-size-um", "1"]) == 1
    assert [scan.sample for scan in read_samples("config/samples.tsv", {"default"})] == ["good1", "good2"]
    said = capsys.readouterr().err
    for part in BAD[bad]:
        assert part in said
    assert "2 scans written" in said
    with pytest.raises(InputError):
        find_scans(tree, voxel_size_um=1)


def test_without_a_bad_one_the_status_is_0(tree, capsys):
    assert main(["scan", str(tree), "--voxel-size-um", "1"]) == 0
    assert "above" not in capsys.readouterr().err


def test_only_bad_ones_leave_the_sheet_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/samples.tsv").write_text("mine")
    (tmp_path / "bad").mkdir()
    empty_file(tmp_path / "bad")
    assert main(["scan", str(tmp_path / "bad")]) == 1
    assert "broken_0001.tif" in capsys.readouterr().err
    assert (tmp_path / "config/samples.tsv").read_text() == "mine"


def test_the_row_of_a_scan_that_became_bad_stays(tree, capsys):
    assert main(["scan", str(tree), "--voxel-size-um", "1"]) == 0
    one, two = read_samples("config/samples.tsv", {"default"})
    write_samples("config/samples.tsv", [one, two.model_copy(update={"group": "wet"})])
    (tree / "good2/rec0003.tif").unlink()
    assert main(["scan", str(tree), "--voxel-size-um", "1"]) == 1
    assert [scan.group for scan in read_samples("config/samples.tsv", {"default"})] == ["", "wet"]
    assert "no slice 3" in capsys.readouterr().err


def test_a_folder_called_as_a_folder_of_the_results_gets_another_name(tree):
    for name in ("models", "con", "a" * 240, "Good1"):
        slices(tree / name)
    names = [scan.sample for scan in survey(tree, voxel_size_um=1).scans]
    assert len({name.lower() for name in names}) == 6
    assert "scan_models" in names


def test_an_impossible_voxel_size_is_told(tree, capsys):
    for size in ("nan", "inf", "-1", "1e-320"):
        assert main(["scan", str(tree), "--voxel-size-um", size]) == 1
        assert "voxel" in capsys.readouterr().err


# --- What lies beside scans.


def sheet():
    return {scan.path: scan for scan in read_samples("config/samples.tsv", {"default"})}


def beside(data):
    for name in ("proj", "dark_before", "flat2", "Projections", "thumbnails"):
        slices(data / "good1" / name)
    for name in (".hidden", "__MACOSX", "@eaDir"):
        slices(data / name)
    (data / "._good1").write_bytes(b"\0\5\x16\7")
    (data / ".DS_Store").write_bytes(b"x")
    (data / "Thumbs.db").write_bytes(b"x")
    (data / "notes.txt").write_text("wet")
    tifffile.imwrite(data / "overview.tif", image())
    tifffile.imwrite(data / "photo.tif", image()[0])


def test_what_is_no_scan_is_said_once_and_breaks_nothing(tree, caplog):
    beside(tree)
    caplog.set_level("INFO", logger="tomoprofile")
    assert main(["scan", str(tree), "--voxel-size-um", "1"]) == 0
    assert {scan.sample for scan in sheet().values()} == {"good1", "good2"}
    told = caplog.text
    folders = "5 ignored, named as projections, references or small pictures: good1/Projections, good1/dark_before"
    for part in (folders, "1 file *.tif skipped, without a 3-D image: photo.tif", "their names: overview.tif."):
        assert told.count(part) == 1, part
    assert "hidden" not in told
    assert "recognised" not in told
    assert main(["scan", str(tree / "good1/proj"), "--voxel-size-um", "1", "--out", "other.tsv"]) == 0, "when named"


def test_mutant_that_takes_every_folder_finds_projections(tree, monkeypatch):
    beside(tree)
    monkeypatch.setattr(Tree, "_reason", lambda *_: "")
    assert len(survey(tree, voxel_size_um=1).scans) > 2


def test_unknown_files_are_named_once_a_kind_and_sidecars_are_not(tree, caplog):
    (tree / "more").mkdir()
    for n in range(12):
        (tree / f"more/part{n:02d}.vol").write_bytes(b"x")
    (tree / "scan").write_bytes(b"x")
    caplog.set_level("INFO", logger="tomoprofile")
    assert len(survey(tree, voxel_size_um=1).scans) == 2
    told = [record.message for record in caplog.records if "recognised" in record.message]
    assert told == [
        "12 files *.vol not recognised: more/part00.vol, more/part01.vol, more/part02.vol, ...",
        "1 file without an ending not recognised: scan",
    ]
    with pytest.raises(InputError, match=r"no scan was found.*12 files \*\.vol not recognised"):
        survey(tree / "more")


def test_many_alike_are_one_message(tree, capsys):
    (tree / "empty").mkdir()
    for n in range(40):
        (tree / f"empty/rec{n:04d}.tif").write_bytes(b"")
    assert main(["scan", str(tree), "--voxel-size-um", "1"]) == 1
    said = capsys.readouterr().err
    assert "40 places (empty/rec0000.tif, empty/rec0001.tif, empty/rec0002.tif, ...)" in said
    assert said.count("Copy it again") == 1
    assert len(sheet()) == 2


def test_links_are_followed_once(tree):
    slices(tree.parent / "disk/far")
    (tree / "far").symlink_to(tree.parent / "disk")
    (tree / "far/back").symlink_to(tree)
    assert [scan.sample for scan in survey(tree, voxel_size_um=1).scans] == ["far_far", "good1", "good2"]


def test_results_labels_and_masks_are_no_scans(tree, monkeypatch):
    monkeypatch.chdir(tree)
    for name in ("results/good1/to_label", "labels/good1", "mine"):
        slices(tree / name)
    (tree / "results/run.json").write_text("{}")
    assert main(["scan", ".", "--voxel-size-um", "1", "--labels", "labels"]) == 0
    scans = read_samples("config/samples.tsv", {"default"})
    assert [scan.sample for scan in scans] == ["good1", "good2", "mine"]
    write_samples("config/samples.tsv", [scans[0].model_copy(update={"mask": "mine"}), scans[1]])
    assert main(["scan", ".", "--voxel-size-um", "1", "--labels", "labels"]) == 0
    assert [scan.sample for scan in read_samples("config/samples.tsv", {"default"})] == ["good1", "good2"]


# --- Names and cells when a sheet is written anew.


def typed(path="config/samples.tsv", **cells):
    """Fill cells of the first row of a sheet."""
    first, *others = read_samples(path, {"default"})
    write_samples(path, [first.model_copy(update=cells), *others])
    return first


def test_a_scan_keeps_name_cells_and_labels_when_another_arrives(tree):
    slices(tree / "film_a")
    command = ["scan", str(tree), "--voxel-size-um", "1", "--labels", "labels"]
    assert main(command) == 0
    scans = read_samples("config/samples.tsv", {"default"})
    film = next(scan for scan in scans if scan.sample == "film_a")
    write_samples("config/samples.tsv", [film.model_copy(update={"group": "wet", "interface": "slice:3"}), *scans[1:]])
    slices(tree / "film a")  # sorts first, and would have the same name
    assert main(command) == 0
    rows = sheet()
    first, second = rows[str(tree / "film_a")], rows[str(tree / "film a")]
    assert (first.sample, first.labels, first.group, first.interface) == ("film_a", "labels/film_a", "wet", "slice:3")
    assert (second.sample, second.labels, second.group) == ("film_a_2", "labels/film_a_2", "")


def test_mutant_that_names_by_the_tree_alone_is_seen(tree, monkeypatch):
    monkeypatch.setattr(EarlierSheet, "named", lambda _, scans: list(scans))
    with pytest.raises(AssertionError):
        test_a_scan_keeps_name_cells_and_labels_when_another_arrives(tree)


@pytest.mark.parametrize("how", ["absolute", "relative", "parent", "itself", "link", "dots"])
def test_names_and_cells_do_not_depend_on_how_the_folder_is_named(tree, how):
    assert main(["scan", "data", "--voxel-size-um", "1"]) == 0
    typed(group="wet", labels="mine")
    before = sheet()
    (tree.parent / "link").symlink_to(tree)
    folder = {
        "absolute": tree,
        "relative": "data",
        "parent": ".",
        "itself": tree / "good1",
        "link": "link",
        "dots": "data/../data",
    }[how]
    assert main(["scan", str(folder), "--voxel-size-um", "1"]) == 0
    assert sheet() == before


def test_a_second_beamtime_leaves_the_rows_of_the_first(tree, capsys):
    assert main(["scan", "data", "--voxel-size-um", "1"]) == 0
    typed(group="wet")
    slices(tree.parent / "later/good1")
    assert main(["scan", "later", "--voxel-size-um", "1"]) == 0
    rows = sheet()
    assert [(rows[path].sample, rows[path].group) for path in ("data/good1", "data/good2", "later/good1")] == [
        ("good1", "wet"),
        ("good2", ""),
        ("good1_2", ""),
    ]
    assert "3 scans written to config/samples.tsv, 2 of them rows of the earlier sheet" in capsys.readouterr().err


def test_what_was_typed_for_a_scan_that_is_gone_is_told(tree, capsys):
    assert main(["scan", "data", "--voxel-size-um", "1"]) == 0
    typed(group="wet", time_h=3.0)
    (tree / "good1").rename(tree / "moved")
    assert main(["scan", "data", "--voxel-size-um", "1"]) == 0
    said = capsys.readouterr().err
    assert "good1 is no longer in the sheet: data/good1 was not found; what was typed in its row is lost: " in said
    assert "group=wet, time_h=3.0" in said


def damaged_stacks(folder, page):
    """Write a stack in each compression of which bytes in the middle were lost."""
    for name in COMPRESSIONS:
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, image(), compression=name, photometric="minisblack")
        with tifffile.TiffFile(path) as tif:
            at, count = tif.pages[page].dataoffsets[0], tif.pages[page].databytecounts[0]
        data = bytearray(path.read_bytes())
        data[at : at + count] = bytes(count)
        path.write_bytes(data)
        yield name, path


@pytest.mark.parametrize("page", [0, 6, 11])
def test_a_damaged_page_is_named_and_the_other_checks_go_on(tmp_path, monkeypatch, capsys, page):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "peeked", lambda depth: list(range(depth)))  # so that any page is met here
    z, y, x = SHAPE
    common = {"format": "tiff_stack", "slices": z, "rows": y, "columns": x, "dtype": "uint16", "voxel_size_um": "1"}
    scans = [Scan(sample=name, path=str(path), **common) for name, path in damaged_stacks(tmp_path, page)]
    slices(tmp_path / "good")
    scans.append(Scan(sample="good", path="good", **(common | {"format": "tiff_folder"})))
    write_samples("config/samples.tsv", scans)
    (tmp_path / "config/config.yaml").write_text("models: {default: {method: otsu}}\n")
    assert main(["check"]) == 1
    said = capsys.readouterr().err
    for name in COMPRESSIONS:
        assert f"{name}: scan: {tmp_path}/{name}.tif: page {page + 1} of the file cannot be read as TIFF" in said
    assert "4 faults" in said
    assert "good" not in said.split("faults")[1]


def test_a_link_to_a_scan_in_the_tree_is_not_a_second_scan(tmp_path, monkeypatch):
    slices(tmp_path / "data/real")
    (tmp_path / "data/a_link").symlink_to(tmp_path / "data/real")
    slices(tmp_path / "elsewhere")
    (tmp_path / "data/b_link").symlink_to(tmp_path / "elsewhere")
    names = [scan.sample for scan in find_scans(tmp_path / "data", voxel_size_um=1)]
    assert names == ["b_link", "real"]
    monkeypatch.setattr(Tree, "_is_seen", lambda *_: False)
    assert len(find_scans(tmp_path / "data", voxel_size_um=1)) == 3
