"""Tables as spreadsheets read them, and the command line."""

import csv

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from domains_scan import ellipsoid
from export_scan import SAMPLE, finished

from tomoprofile.cli import main
from tomoprofile.errors import InputError
from tomoprofile.export import spreadsheets
from tomoprofile.export.export import IMAGES, MESHES, PARTS, Wanted, export_scan
from tomoprofile.tables import DOMAINS, SIZES


@pytest.fixture
def scan(tmp_path):
    mask = np.zeros((20, 20, 40), bool)
    mask[2:13, 2:13, 2:13] = ellipsoid((3, 3, 3))[1:-1, 1:-1, 1:-1]
    mask[15, 15, 30] = True
    return finished(tmp_path / "results", {"domain": mask, "void": np.roll(mask, 4, 2)})


def write_sizes(scan):
    """Write a table with words that need quotes, and a number that is none."""
    rows = {
        field.name: pa.array(['near "x", y', ""] if field.type in (pa.string(), pa.large_string()) else [1, 2]).cast(
            field.type
        )
        for field in SIZES.schema
    }
    rows["volume_ratio_share"] = pa.array([0.1 + 0.2, np.nan])
    SIZES.write(scan.files.sizes, rows)


def test_every_table_comes_back_as_it_was(scan, tmp_path):
    write_sizes(scan)
    written = export_scan(scan, Wanted(), tmp_path)
    assert [path.name for path in written] == ["domains.csv", "sizes.csv", "columns.csv"]
    for path, name in zip(written, ("domains", "sizes"), strict=False):
        table = pd.read_parquet(scan.files.folder / f"{name}.parquet")
        found = pd.read_csv(path, keep_default_na=False, na_values=[""])
        assert len(found) == len(table) > 0
        found.columns = table.columns
        for column in table:
            if table[column].dtype.kind in "if":
                assert np.array_equal(found[column], table[column], equal_nan=table[column].dtype.kind == "f"), column
            else:
                assert (found[column].fillna("").astype(str) == table[column].fillna("").astype(str)).all(), column


def test_headings_have_units_and_the_dictionary_has_every_column(scan, tmp_path):
    domains, dictionary = export_scan(scan, Wanted(), tmp_path)
    with domains.open(encoding="utf-8-sig", newline="") as file:
        headings = next(csv.reader(file))
    assert "volume_um3 [um^3]" in headings
    assert "class" in headings
    with dictionary.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["column"] for row in rows if row["file"] == "domains.csv"] == headings
    told = {row["column"]: row for row in rows}
    known = DOMAINS.schema.field("volume_um3").metadata
    assert told["volume_um3 [um^3]"]["definition"] == known[b"definition"].decode() != ""
    assert told["volume_um3 [um^3]"]["unit"] == "um^3"


def test_spreadsheets_are_told_the_encoding_and_numbers_that_are_none_are_empty(scan, tmp_path):
    write_sizes(scan)
    files = {path.name: path.read_bytes() for path in export_scan(scan, Wanted(), tmp_path)}
    assert all(text.startswith(b"\xef\xbb\xbf") for text in files.values())
    _, first, second = files["sizes.csv"].decode("utf-8-sig").splitlines()
    assert "0.30000000000000004" in first
    assert second.endswith(",") or ",," in second
    assert b"nan" not in files["sizes.csv"].lower()


def test_a_table_that_cannot_be_read_is_told_and_leaves_no_half_file(scan, tmp_path):
    (scan.files.folder / "band.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"band.parquet: the table cannot be exported"):
        spreadsheets.write_spreadsheets(scan, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_an_unfinished_scan_is_told(scan, tmp_path):
    scan.files.domains.unlink()
    with pytest.raises(InputError, match="the table of domains is not there"):
        export_scan(scan, Wanted(), tmp_path)


@pytest.mark.usefixtures("scan")
def test_the_command_writes_where_it_says(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    assert main(["export", SAMPLE]) == 0
    assert (tmp_path / "exports" / SAMPLE / "domains.csv").exists()
    assert f"exports/{SAMPLE}/domains.csv" in caplog.text
    arguments = ["--to", "there", "--what", "mask", "mesh", "--images", "nrrd", "--meshes", "ply", "--class", "void"]
    assert main(["export", SAMPLE, *arguments, "--domains", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["mask_void.nrrd", "mesh_void_1.ply"]


def test_a_fault_is_a_message_and_a_status(scan, capsys):
    assert main(["export", "other", "--results", str(scan.files.folder.parent)]) == 1
    assert "the results hold no such scan (got other)" in capsys.readouterr().err


def test_the_command_line_knows_all_that_can_be_written(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    told = "".join(capsys.readouterr().out.split())
    for names in (PARTS, IMAGES, MESHES):
        assert f"{{{','.join(names)}}}" in told
