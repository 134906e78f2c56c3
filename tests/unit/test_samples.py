import numpy as np
import pytest
import tifffile

from tomoprofile.cli import main
from tomoprofile.earlier import EarlierSheet
from tomoprofile.errors import ConfigError
from tomoprofile.samples import (
    COLUMNS,
    MaskImage,
    OwnMask,
    Scan,
    parse_interface,
    read_samples,
    write_samples,
)

ROW = {
    "sample": "a",
    "path": "raw/a",
    "format": "tiff_folder",
    "slices": "4",
    "rows": "5",
    "columns": "6",
    "dtype": "uint8",
    "voxel_size_um": "0.5",
}


def sheet(tmp_path, *rows, header=None):
    names = header or list(dict.fromkeys(key for row in rows for key in row))
    path = tmp_path / "samples.tsv"
    path.write_text("\n".join(["\t".join(names), *("\t".join(row.get(n, "") for n in names) for row in rows)]) + "\n")
    return path


def test_rows_survive_writing_and_reading(tmp_path):
    scans = [
        Scan.model_validate(ROW | {"voxel_size_um": "1,0.5,0.5", "grey_slope": "-0.123456789", "grey_unit": "1/cm"}),
        Scan.model_validate(ROW | {"sample": "b", "interface": "slice:3:below", "labels": "x/y"}),
        Scan.model_validate(ROW | {"sample": "c", "mask": "instances:masks/c.h5:/entry/ids"}),
        Scan.model_validate(ROW | {"sample": "d", "group": "wet, 40 °C", "time_h": "1.5"}),
        Scan.model_validate(ROW | {"sample": "e", "interface": "mask:masks/d.h5:/entry/substrate"}),
    ]
    write_samples(tmp_path / "s.tsv", scans)
    assert read_samples(tmp_path / "s.tsv", {"default"}) == scans


def test_comments_and_empty_cells(tmp_path):
    path = sheet(tmp_path, ROW | {"interface": ""})
    path.write_text("# beamtime\n" + path.read_text())
    (scan,) = read_samples(path, {"default"})
    assert scan.interface == "auto"
    assert scan.voxel_size_um == (0.5, 0.5, 0.5)
    assert scan.shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"slices": "four"}, ["samples.tsv:2 slices", "'four'", "must be a whole number"]),
        ({"voxel_size_um": "-1"}, ["voxel_size_um", "positive"]),
        ({"dtype": "complex64"}, ["dtype", "'complex64'", "uint16"]),
        ({"interface": "slice:x"}, ["interface", "'slice:x'", "slice:INDEX"]),
        ({"interface": "plane:0,0,0,1"}, ["interface", "plane:"]),
        ({"interface": "mask:"}, ["interface", "'mask:'", "mask:PATH"]),
        ({"interface": "mask:instances:m.tif"}, ["interface", "mask:PATH"]),
        ({"sample": "../up"}, ["sample", "'../up'"]),
        ({"model": "unknown"}, ["model", "'unknown'", "default"]),
        ({"mask": "instances:"}, ["mask", "'instances:'", "`PATH`"]),
        ({"grey_slope": "0"}, ["grey_slope", "erase"]),
        ({"voxel": "1"}, ["unknown column", "'voxel'"]),
        ({"rows": ""}, ["rows", "required"]),
        ({"time_h": "noon"}, ["time_h", "'noon'", "number"]),
        ({"time_h": "nan"}, ["time_h", "'nan'", "finite"]),
    ],
)
def test_each_mistake_names_line_column_and_value(tmp_path, change, told):
    with pytest.raises(ConfigError) as caught:
        read_samples(sheet(tmp_path, ROW | change), {"default"})
    for part in told:
        assert part in str(caught.value)


def test_all_rows_are_told_at_once_and_names_must_differ(tmp_path):
    path = sheet(tmp_path, ROW, ROW, ROW | {"sample": "c", "rows": "0"}, ROW | {"sample": "d", "columns": "x"})
    with pytest.raises(ConfigError) as caught:
        read_samples(path, {"default"})
    assert len(caught.value.faults) == 3
    assert "already used in line 2" in str(caught.value)


def test_a_missing_sheet_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="tomoprofile scan"):
        read_samples(tmp_path / "none.tsv", {"default"})


def test_with_a_mask_the_model_does_not_matter(tmp_path):
    (scan,) = read_samples(sheet(tmp_path, ROW | {"model": "unknown", "mask": "m.tif"}), {"default"})
    assert scan.own_mask == OwnMask(binary=MaskImage("m.tif"))


def test_missing_columns_are_named(tmp_path):
    row = {key: value for key, value in ROW.items() if key != "dtype"}
    with pytest.raises(ConfigError, match="`dtype` is missing"):
        read_samples(sheet(tmp_path, row), {"default"})


def test_interface_forms():
    assert parse_interface("auto") == ("auto", ())
    assert parse_interface("slice:7") == ("slice", (7.0, 1.0))
    assert parse_interface("slice:7:below") == ("slice", (7.0, -1.0))
    assert parse_interface("plane:0,1,0,12.5") == ("plane", (0.0, 1.0, 0.0, 12.5))


def test_conversion_does_not_depend_on_labels_model_or_interface():
    changed = ROW | {"labels": "l", "model": "m", "interface": "slice:1", "mask": "instances:m.tif"}
    changed |= {"group": "g", "time_h": "2", "reference": "r.nii"}
    assert Scan.model_validate(ROW).raw == Scan.model_validate(changed).raw
    assert Scan.model_validate(ROW).raw != Scan.model_validate(ROW | {"slice_axis": "1"}).raw
    assert set(Scan.model_validate(ROW).raw) == set(COLUMNS) - {
        "labels",
        "role",
        "model",
        "interface",
        "mask",
        "reference",
        "group",
        "time_h",
    }


def test_stored_voxels_do_not_depend_on_their_scale():
    scale = {"voxel_size_um": "0.7", "grey_slope": "2", "grey_offset": "1", "grey_unit": "1/cm"}
    assert Scan.model_validate(ROW).voxels == Scan.model_validate(ROW | scale).voxels
    for other in ({"slice_axis": "1"}, {"dataset": "/other"}, {"path": "elsewhere"}):
        assert Scan.model_validate(ROW).voxels != Scan.model_validate(ROW | other).voxels


FILLED = {"interface": "slice:1", "labels": "mine", "model": "m", "mask": "m.tif", "group": "wet", "time_h": "2.5"}
FILLED |= {"role": "template"}


def test_a_sheet_written_anew_keeps_what_was_filled_by_hand(tmp_path):
    path = sheet(tmp_path, ROW | FILLED | {"rows": "99"}, ROW | {"sample": "b", "path": "raw/b"})
    found = [Scan.model_validate(ROW | {"sample": name, "path": f"raw/{name}", "labels": "new"}) for name in "abc"]
    kept = EarlierSheet.read(path).merged(found)
    write_samples(path, kept)
    a, b, c = read_samples(path, {"default", "m"})
    assert a == Scan.model_validate(ROW | FILLED), "all else is what the header of the scan says"
    assert (b, c) == tuple(found[1:]), "an empty cell is no one's"


def test_cells_of_another_scan_of_that_name_are_not_taken_over(tmp_path):
    path = sheet(tmp_path, ROW | FILLED | {"path": "elsewhere/a"})
    scan = Scan.model_validate(ROW)
    assert EarlierSheet.read(path).merged([scan]) == [scan]
    assert EarlierSheet.read(tmp_path / "none.tsv").merged([scan]) == [scan]


def test_a_kept_cell_that_does_not_fit_is_named_and_nothing_is_lost(tmp_path):
    path = sheet(tmp_path, ROW | {"interface": "slice:700"})
    with pytest.raises(ConfigError, match=r"samples\.tsv:2.*slice:700"):
        EarlierSheet.read(path).merged([Scan.model_validate(ROW)])


def test_the_command_writes_a_sheet_anew_without_losing_what_was_typed(tmp_path):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((4, 5, 6), "uint8"), photometric="minisblack")
    out = tmp_path / "samples.tsv"
    command = ["scan", str(tmp_path), "--voxel-size-um", "1", "--out", str(out)]
    assert main(command) == 0
    first, *others = read_samples(out, {"default"})
    write_samples(out, [first.model_copy(update={"group": "wet", "time_h": 3.0, "interface": "slice:2"}), *others])
    assert main([*command, "--interface", "slice:1", "--labels", "labels"]) == 0
    a, b = read_samples(out, {"default"})
    assert (a.group, a.time_h, a.interface, a.labels) == ("wet", 3.0, "slice:2", "labels/a")
    assert (b.group, b.time_h, b.interface, b.labels) == ("", None, "slice:1", "labels/b")


def test_a_mask_of_the_substrate():
    scan = Scan.model_validate(ROW | {"interface": "mask:a b/m.h5:/e/d"})
    assert scan.substrate_mask == MaskImage("a b/m.h5", "/e/d")
    assert Scan.model_validate(ROW | {"interface": "auto", "mask": "m.tif"}).substrate_mask is None
