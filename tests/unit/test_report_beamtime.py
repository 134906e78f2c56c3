"""Every scan side by side: faults first, relative links, numbers of the zones."""

import dataclasses
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from report_scan import forget_band, write_scan
from test_report_page import Page

from tomoprofile.errors import InputError
from tomoprofile.layout import Layout, ScanLayout
from tomoprofile.report.beamtime import BeamtimeEntry, report_beamtime
from tomoprofile.samples import Scan

HEADER = "sample\titem\tstatus\tmessage\n"


def entry(results: Path, sample: str, **scan) -> BeamtimeEntry:
    written, files = write_scan(results / sample, sample=sample, n_large=6, **scan), Layout(results).scan(sample)
    files.report.write_text("x")
    return BeamtimeEntry(row(sample), files, written.segmenter)


def row(sample: str, **cells) -> Scan:
    shape = {"slices": 40, "rows": 64, "columns": 48}
    cells = {"path": sample, "format": "tiff_folder", "dtype": "uint8", "voxel_size_um": "0.5"} | shape | cells
    return Scan(sample="any", **cells).model_copy(update={"sample": sample})  # a page must bear any name


def copy_of(entry: BeamtimeEntry, folder: Path, **cells) -> BeamtimeEntry:
    """Return an entry with files of its own, whose names and cells may be others."""
    shutil.copytree(entry.files.folder, folder, ignore=shutil.ignore_patterns("*.zarr", "objects"))
    return dataclasses.replace(entry, files=ScanLayout(folder), scan=entry.scan.model_copy(update=cells))


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    return [
        entry(results, "fine_1"),
        entry(results, "tilted", tilt_deg=5.0),
        entry(results, "faulty"),
        entry(results, "fine_2"),
        entry(results, "by_hand", how="slice:9"),
    ]


def write(entries, tmp_path, check=HEADER, out=None):
    checked = ScanLayout(tmp_path).check
    checked.write_text(check)
    layout = Layout(out or entries[0].files.folder.parent)
    report_beamtime(entries, [checked], "Beamtime", layout.index, layout.comparison)
    return Page(layout.index.read_text()), layout.index


def order(page):
    return [unquote(a["href"]).split("/")[-2] for a in page.all("a") if a["href"].endswith("report.html")]


def test_faults_first_then_warnings_then_the_sheet(entries, tmp_path):
    page, _ = write(entries, tmp_path, HEADER + "faulty\tscan\terror\trec00012.tif is truncated\n")
    assert order(page) == ["faulty", "tilted", "by_hand", "fine_1", "fine_2"]
    assert "1 with faults, 2 to look at, 2 without remarks" in page.text
    assert "rec00012.tif is truncated" in page.text
    healed, _ = write(entries, tmp_path)
    assert order(healed) == ["tilted", "by_hand", "fine_1", "faulty", "fine_2"]


def test_a_given_mask_is_told_beside_the_name(entries, tmp_path):
    given = copy_of(entries[0], tmp_path / "given")
    forget_band(entries[0].files.zones, given.files.zones)
    page, out = write([given, entries[3]], tmp_path)
    rows = out.read_text().split("<tr>")
    assert ["mask given, not made by a model" in row for row in rows if "report.html" in row] == [True, False]
    assert "2 without remarks" in page.text or "All scans are without remarks" in page.text


def test_warnings_of_the_check(entries, tmp_path):
    lines = "fine_2\tlabels\twarning\tno label files yet\n-\tdisk\twarning\tlittle room\nfine_1\tscan\tok\tfine\n"
    page, _ = write(entries, tmp_path, HEADER + lines + "lost\tscan\terror\tdoes not exist\n")
    assert "Check of the disk. little room" in page.text
    assert order(page) == ["tilted", "fine_2", "by_hand", "fine_1", "faulty"]
    assert "lost fault no result" in page.text
    assert page.text.index("lost fault") < page.text.index("tilted 9–28 µm look")


def test_links_are_relative_and_lead_to_the_reports(entries, tmp_path):
    page, out = write(entries, tmp_path)
    links = [a["href"] for a in page.all("a")]
    assert len(links) == len(entries)
    for link in links:
        assert not link.startswith(("/", "file:", "http"))
        assert (out.parent / unquote(link)).is_file()


def test_loads_nothing(entries, tmp_path):
    page, _ = write(entries, tmp_path)
    assert [address for address in page.loads() if not address.endswith("report.html")] == []


def test_numbers_are_those_of_the_zones(entries, tmp_path):
    page, _ = write(entries, tmp_path)
    zones = pd.read_parquet(entries[0].files.zones)
    bulk = zones[(zones["zone"] == "bulk") & (zones["level"] == "calibrated")].iloc[0]
    low, high = (f"{100 * bulk[f'volume_ratio_{end}']:.1f}" for end in ("lo", "hi"))
    assert f"{100 * bulk['volume_ratio']:.1f} {low}–{high}" in page.text
    assert f"{bulk['mean_equivalent_diameter_um']:.2f}" in page.text


def test_a_scan_without_domains_is_a_warning(tmp_path):
    written, files = write_scan(tmp_path / "none", n_small=0, n_large=0), Layout(tmp_path).scan("none")
    files.report.write_text("x")
    found = BeamtimeEntry(row("none"), files, written.segmenter)
    page, _ = write([found], tmp_path, out=tmp_path)
    assert "No domains" in page.text
    assert "none 9–28 µm look" in page.text
    assert "nan" not in page.text.lower().split()


def test_odd_names(entries, tmp_path):
    odd = copy_of(entries[0], tmp_path / "a b#c?", sample="<b>&")
    page, _ = write([odd], tmp_path, out=tmp_path)
    assert page.all("b") == []
    assert [a["href"] for a in page.all("a")] == ["a%20b%23c%3F/report.html"]


def test_a_broken_check_is_named(entries, tmp_path):
    with pytest.raises(InputError, match=r"check\.tsv.*no table of the check"):
        write(entries, tmp_path, "a\tb\n1\t2\n")


def test_done_failed_and_missing_scans_are_listed(entries, tmp_path):
    nowhere = tmp_path / "nowhere"
    lost = BeamtimeEntry(row("lost"), ScanLayout(nowhere), nowhere)
    heading, text = "predict_slab z00512 failed, SLURM job 7 on cpu1", "log: predict.log\n  ERROR <no room> left"
    broken = dataclasses.replace(lost, scan=row("broken"), troubles=((heading, text),))
    stale = dataclasses.replace(entries[0], troubles=((heading, text),))
    page, _ = write([*entries[1:], lost, broken, stale], tmp_path)
    assert "5 of 7 scans have results." in page.text
    assert "lost missing no result" in page.text
    assert "broken failed no result" in page.text
    assert "ERROR <no room> left" in page.text
    assert "fine_1 9–28 µm failed" in page.text, "what was computed earlier is still shown"
