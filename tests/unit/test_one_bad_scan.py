"""One bad file in a tree: the other scans are written and checked, the bad one is named, and the exit status tells."""

import h5py
import numpy as np
import pytest
import tifffile

from tomoprofile.cli import main
from tomoprofile.errors import InputError
from tomoprofile.run import check
from tomoprofile.samples import Scan, read_samples, write_samples
from tomoprofile.volume.discover import find_scans, survey
from tomoprofile.volume.formats import hdf5_probe

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
