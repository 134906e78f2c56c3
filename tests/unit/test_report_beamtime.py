"""Every scan side by side: faults first, relative links, numbers of the zones."""

import dataclasses
import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from page_parser import Page
from report_scan import KINDS, scan_row

from tomoprofile.errors import InputError
from tomoprofile.layout import Layout, ScanLayout
from tomoprofile.report.beamtime import BeamtimeEntry, report_beamtime
from tomoprofile.report.results import SampleFiles
from tomoprofile.segment import kinds
from tomoprofile.segment.kinds.threshold import Threshold
from tomoprofile.segment.segmenter import Description

HEADER = "sample\titem\tstatus\tmessage\n"


def entry(files: SampleFiles, results: Path, sample: str, **record) -> BeamtimeEntry:
    """Return a scan under another name, in a folder of its own; ``record`` goes into interface.json."""
    out = Layout(results).scan(sample)
    out.folder.mkdir(parents=True)
    for path in (files.zones, files.profile):
        shutil.copy(path, out.folder)
    out.report.write_text("x")
    out.interface.write_text(json.dumps(json.loads(files.interface.read_text()) | record))
    return BeamtimeEntry(scan_row(sample), out, files.segmenter)


def copy_of(entry: BeamtimeEntry, folder: Path, **cells) -> BeamtimeEntry:
    """Return an entry with files of its own, whose names and cells may be others."""
    shutil.copytree(entry.files.folder, folder)
    return dataclasses.replace(entry, files=ScanLayout(folder), scan=entry.scan.model_copy(update=cells))


@pytest.fixture(scope="module")
def entries(scans, tmp_path_factory):
    results, plain = tmp_path_factory.mktemp("results"), scans("plain")
    return [
        entry(plain, results, "fine_1"),
        entry(plain, results, "tilted", tilt_deg=5.0),
        entry(plain, results, "faulty"),
        entry(plain, results, "fine_2"),
        entry(plain, results, "by_hand", how="slice:9"),
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


def test_a_given_mask_is_told_beside_the_name(entries, scans, tmp_path):
    given = entry(scans("given mask"), tmp_path, "given")
    page, out = write([given, entries[3]], tmp_path)
    rows = out.read_text().split("<tr>")
    assert ["given mask, not made by a model" in row for row in rows if "report.html" in row] == [True, False]
    assert "2 without remarks" in page.text or "All scans are without remarks" in page.text


def test_warnings_of_the_check(entries, tmp_path):
    lines = "fine_2\tlabels\twarning\tno label files yet\n-\tdisk\twarning\tlittle room\nfine_1\tscan\tok\tfine\n"
    page, _ = write(entries, tmp_path, HEADER + lines + "lost\tscan\terror\tdoes not exist\n")
    assert "Check of the disk. little room" in page.text
    assert order(page) == ["tilted", "fine_2", "by_hand", "fine_1", "faulty"]
    assert "lost fault no result" in page.text
    assert page.text.index("lost fault") < page.text.index("tilted beyond 27 µm look")


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


def test_a_scan_without_domains_is_a_warning(scans, tmp_path):
    found = entry(scans("empty"), tmp_path, "none")
    page, _ = write([found], tmp_path, out=tmp_path)
    assert "No domains" in page.text
    assert "none beyond 27 µm look" in page.text
    assert "nan" not in page.text.lower().split()


def test_odd_names(entries, tmp_path):
    odd = copy_of(entries[0], tmp_path / "a b#c?", sample="<b>&")
    page, _ = write([odd], tmp_path, out=tmp_path)
    assert page.all("b") == []
    assert [a["href"] for a in page.all("a")] == ["a%20b%23c%3F/report.html"]


def test_a_broken_check_is_named(entries, tmp_path):
    with pytest.raises(InputError, match=r"check\.tsv.*not a table of the check"):
        write(entries, tmp_path, "a\tb\n1\t2\n")


def test_done_failed_and_missing_scans_are_listed(entries, tmp_path):
    nowhere = tmp_path / "nowhere"
    lost = BeamtimeEntry(scan_row("lost"), ScanLayout(nowhere), nowhere)
    heading, text = "predict_slab z00512 failed, SLURM job 7 on cpu1", "log: predict.log\n  ERROR <no room> left"
    broken = dataclasses.replace(lost, scan=scan_row("broken"), troubles=((heading, text),))
    stale = dataclasses.replace(entries[0], troubles=((heading, text),))
    page, _ = write([*entries[1:], lost, broken, stale], tmp_path)
    assert "5 of 7 scans have results." in page.text
    assert "lost missing no result" in page.text
    assert "broken failed no result" in page.text
    assert "ERROR <no room> left" in page.text
    assert "fine_1 beyond 27 µm failed" in page.text, "what was computed earlier is still shown"


def test_classes_have_rows_and_comparisons_of_their_own(entries, scans, tmp_path):
    both = [entry(scans("two classes"), tmp_path, name) for name in ("both_1", "both_2")]
    tilted = entry(scans("two classes"), tmp_path, "tilted", tilt_deg=5.0)
    page, out = write([*both, tilted], tmp_path, out=tmp_path)
    assert order(page) == ["tilted", "tilted", "both_1", "both_1", "both_2", "both_2"], "rows of a scan stay together"
    assert "3 scans" in page.text
    assert "1 to look at, 2 without remarks" in page.text
    zones = pd.read_parquet(both[0].files.zones).query("zone == 'bulk' and level == 'calibrated'").set_index("class")
    rows = [row for row in out.read_text().split("<tr>") if ">both_1<" in row]
    for name, row in zip(("domain", "void"), rows, strict=True):
        assert f'<td class="text">{name}</td>' in row
        assert f"{100 * zones.at[name, 'volume_ratio']:.1f}" in row
    plots = {plot["id"] for plot in page.all("div", class_="plot")}
    assert plots == {"plot-overlay-domain", "plot-overlay-void"}
    assert "Scans compared: void" in page.text
    comparison = pd.read_parquet(Layout(tmp_path).comparison)
    assert list(comparison["class"].unique()) == ["domain", "void"]
    alone, text = write(entries[:2], tmp_path, out=tmp_path)
    assert "Class" not in alone.text
    assert 'id="plot-overlay"' in text.read_text()


def test_a_scan_that_lacks_a_class_is_left_out_of_its_comparison(entries, scans, tmp_path):
    both = entry(scans("two classes"), tmp_path, "both")
    page, _ = write([both, entries[0]], tmp_path, out=tmp_path)
    comparison = pd.read_parquet(Layout(tmp_path).comparison)
    assert set(comparison.query("`class` == 'void'")["samples"]) == {"both"}
    assert set(comparison.query("`class` == 'domain'")["samples"]) == {"both", "fine_1"}
    assert "Only one scan has results" in page.text.split("Scans compared: void")[1]


def test_the_name_of_a_class_is_text(scans, tmp_path):
    odd = [entry(scans("odd class name"), tmp_path, name) for name in ("a", "b")]
    page, _ = write(odd, tmp_path, out=tmp_path)
    assert f"Scans compared: {KINDS['odd class name'].voids}" in page.text
    assert page.all("u") == []


def test_the_segmenter_says_which_file_must_be_there(entries, tmp_path, monkeypatch):
    """Its path need not be that file, whatever its name ends in."""

    class Elsewhere(Threshold):
        file = tmp_path / "known"

        @classmethod
        def recognises(cls, path):
            return path.name == "elsewhere.json"

        def levels(self):
            return {"domain": 0.5}

        def describe(self):
            return Description("a rule of thumb", "threshold")

    monkeypatch.setattr(kinds, "KINDS", (Elsewhere, *kinds.KINDS))
    one = [dataclasses.replace(entries[0], segmenter=tmp_path / "elsewhere.json")]
    assert "a global threshold" not in write(one, tmp_path)[0].text.lower()
    Elsewhere.file.touch()
    assert "a global threshold" in write(one, tmp_path)[0].text.lower()
