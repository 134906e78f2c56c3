"""Scans compared on the page of a beamtime: groups, series, differences, and little to compare."""

import dataclasses
import json
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest
from page_parser import Page
from report_scan import write_threshold
from test_report_beamtime import copy_of, entry

from tomoprofile.layout import ScanLayout
from tomoprofile.report.beamtime import report_beamtime
from tomoprofile.report.comparison import spread_in_words

QUANTITIES = ("volume_ratio", "mean_equivalent_diameter_um", "number_density_per_mm3")


@pytest.fixture(scope="module")
def base(scans, tmp_path_factory):
    return entry(scans("plain"), tmp_path_factory.mktemp("base"), "base")


def scan_like(base, folder, factor=1.0, last_um=None, **cells):
    """Return an entry like another, with its numbers times a factor and bins only down to ``last_um``."""
    found = copy_of(base, folder / cells["sample"], **cells)
    for path in (found.files.zones, found.files.profile):
        table = pd.read_parquet(path)
        for name in QUANTITIES:
            for end in ("", "_lo", "_hi"):
                table[f"{name}{end}"] *= factor
        if last_um and path == found.files.profile:
            table = table[table["depth_hi_um"] <= last_um]
        table.to_parquet(path, index=False)
        content = pq.read_table(path)
        pq.write_table(content.replace_schema_metadata({b"classes": b'{"domain": {"blocks": 9}}'}), path)
    return found


def write(entries, folder):
    out = folder / "index.html"
    report_beamtime(entries, [], "Beamtime", out, folder / "comparison.parquet")
    return Page(out.read_text()), pd.read_parquet(folder / "comparison.parquet")


def figure(page_file, name):
    text = page_file.read_text().split(f'id="figure-{name}">')[1].split("</script>")[0]
    return json.loads(text)


def test_groups_are_compared_in_figure_tables_and_file(base, tmp_path):
    factors = {"wet": (1.0, 1.1, 0.9), "dry": (1.5, 1.6, 1.55)}
    entries = [
        scan_like(base, tmp_path, factor, sample=f"{group}_{factor}", group=group)
        for group in factors
        for factor in factors[group]
    ]
    page, table = write([*entries, scan_like(base, tmp_path, sample="alone")], tmp_path)
    bulk = table.query("zone == 'bulk' and quantity == 'volume_ratio'")
    wet, dry = (bulk.query(f"kind == 'zone' and group == '{name}'").iloc[0] for name in factors)
    assert (wet["n_scans"], dry["n_scans"]) == (3, 3)
    assert dry["value"] / wet["value"] == pytest.approx(1.55)
    difference = bulk.query("kind == 'difference'").iloc[0]
    assert difference["value"] == pytest.approx(dry["value"] - wet["value"])
    assert difference["lo"] > 0
    assert "dry − wet" in page.text
    assert "the interval excludes zero" in page.text
    assert "not a test: fewer" not in page.text
    drawn = figure(tmp_path / "index.html", "overlay")
    assert [trace["name"] for trace in drawn["data"] if trace.get("showlegend") is not False] == ["wet", "dry", "alone"]
    titles = [drawn["layout"][f"yaxis{n}"]["title"]["text"] for n in ("", "2", "3")]
    assert titles == ["Volume fraction (%)", "Mean diameter (µm)", "Number density (mm⁻³)"]
    assert table["quantity"].isin(QUANTITIES).all()


def test_a_series_is_drawn_against_time(base, tmp_path):
    entries = [
        scan_like(base, tmp_path, 1 + 0.1 * hour + 0.01 * n, sample=f"s{hour}{n}", group="wet", time_h=float(hour))
        for hour in (3, 0, 1)
        for n in (0, 1)
    ]
    page, table = write(entries, tmp_path)
    (trace, *_) = figure(tmp_path / "index.html", "series")["data"]
    assert trace["x"] == [0.0, 1.0, 3.0]
    assert [row[0] for row in trace["customdata"]] == [2, 2, 2]
    assert "difference" not in set(table["kind"]), "times of one group are a series, no groups"
    names = {trace.get("name") for trace in figure(tmp_path / "index.html", "overlay")["data"]}
    assert {"wet, 0 h", "wet, 1 h", "wet, 3 h"} <= names
    assert "Over time" in page.text


def test_few_scans_are_no_test_and_that_is_said(base, tmp_path):
    entries = [scan_like(base, tmp_path, 1 + n / 9, sample=f"s{n}", group="wet" if n % 2 else "dry") for n in range(4)]
    page, _ = write(entries, tmp_path)
    assert "not a test: fewer than 3 scans in a group" in page.text
    page, table = write(entries[:2], tmp_path)
    assert "not a test: a group of one scan has no known spread" in page.text
    assert "Every group has a single scan" in page.text
    assert table.query("kind == 'difference'")["lo"].isna().all()
    assert "nan" not in page.text.lower().split()


def test_without_groups_each_scan_stands_alone(base, tmp_path):
    entries = [scan_like(base, tmp_path, sample=name) for name in ("a", "b")]
    page, table = write(entries, tmp_path)
    assert "No scan names a group" in page.text
    assert set(table.loc[table["n_scans"] > 0, "flag"]) == {"one_scan"}
    assert page.text.count("Differences between groups") == 0


def test_one_scan_and_none(base, tmp_path):
    page, table = write([scan_like(base, tmp_path, sample="a", group="wet")], tmp_path)
    assert "Only one scan has results" in page.text
    assert "data-figure" not in (tmp_path / "index.html").read_text()
    assert len(table)
    lost = dataclasses.replace(base, files=ScanLayout(tmp_path / "nowhere"))
    page, table = write([lost], tmp_path)
    assert "No scan has results, so there is nothing to compare." in page.text
    assert table.empty
    assert "variance_ratio" in table


def test_depths_that_only_some_scans_reach(base, tmp_path):
    entries = [scan_like(base, tmp_path, sample="long", group="wet")]
    entries.append(scan_like(base, tmp_path, last_um=28.0, sample="short", group="wet"))
    page, table = write(entries, tmp_path)
    bins = table.query("kind == 'bin' and quantity == 'volume_ratio'").set_index("from_um")["n_scans"]
    assert bins[:24.0].eq(2).all()
    assert bins[28.0:].eq(1).all()
    assert len(bins[28.0:]) > 1
    assert "Not all scans reach the same depths" in page.text


def test_what_differs_beside_the_sample_is_marked(base, scans, tmp_path):
    coarse = scan_like(base, tmp_path, sample="coarse", group="wet", voxel_size_um=(1.0, 1.0, 1.0))
    of_mask = entry(scans("given mask"), tmp_path / "of_mask", "of_mask")
    given = scan_like(of_mask, tmp_path, sample="given", group="dry")
    page, table = write([scan_like(base, tmp_path, sample="fine", group="wet"), coarse, given], tmp_path)
    assert "differ in their voxel size (0.5 × 0.5 × 0.5 µm: fine, given; 1 × 1 × 1 µm: coarse)" in page.text
    assert "differ in their boundary convention" in page.text
    assert "unknown, given mask: given" in page.text
    of_wet = set(table.query("kind == 'zone' and group == 'wet'")["flag"])
    assert of_wet == {"differ_in_voxel_size"}


def test_segmentation_flags_of_the_reports_are_repeated(base, tmp_path):
    at_limit, threshold = (scan_like(base, tmp_path, sample=name) for name in ("at_limit", "threshold"))
    shutil.copytree(base.segmenter, tmp_path / "bundle")
    path = tmp_path / "bundle/configs/metadata.json"
    record = json.loads(path.read_text())
    record["tomoprofile"]["measured"]["domain"]["calibration"]["level_at_its_limit"] = True
    path.write_text(json.dumps(record))
    at_limit = dataclasses.replace(at_limit, segmenter=tmp_path / "bundle")
    threshold = dataclasses.replace(threshold, segmenter=write_threshold(tmp_path / "threshold.json"))
    missing = dataclasses.replace(scan_like(base, tmp_path, sample="retrained"), segmenter=tmp_path / "none")
    page, _ = write([at_limit, threshold, missing], tmp_path)
    assert "Decision level at its limit" in page.text
    assert "Segmented by a threshold" in page.text
    assert "2 to look at, 1 without remarks" in page.text


@pytest.mark.deep
def test_three_hundred_scans_stay_a_page_one_can_open(base, tmp_path):
    entries = [
        scan_like(base, tmp_path, 1 + n / 999, sample=f"s{n}", group=f"g{n // 3}" if n < 150 else "")
        for n in range(300)
    ]
    page, _ = write(entries, tmp_path)
    assert (tmp_path / "index.html").stat().st_size < 20e6
    drawn = figure(tmp_path / "index.html", "overlay")
    assert sum(trace.get("showlegend") is not False for trace in drawn["data"]) <= 24
    assert len(drawn["data"]) < 1000
    assert "The table of groups shows the first 60 of 150 rows." in page.text


@pytest.mark.filterwarnings("error")
def test_scans_without_domains_or_without_a_zone_are_compared_all_the_same(base, tmp_path):
    entries = [scan_like(base, tmp_path, sample=name, group="wet") for name in ("some", "none", "shallow")]
    for path in (entries[1].files.zones, entries[1].files.profile):
        table = pd.read_parquet(path)
        for name in QUANTITIES:
            table[[name, f"{name}_lo", f"{name}_hi"]] = float("nan") if "diameter" in name else 0.0
        table.to_parquet(path, index=False)
    zones = pd.read_parquet(entries[2].files.zones)
    zones.loc[zones["zone"] == "bulk", [*QUANTITIES, *(f"{name}_lo" for name in QUANTITIES)]] = float("nan")
    zones.to_parquet(entries[2].files.zones, index=False)
    page, table = write(entries, tmp_path)
    bulk = table.query("kind == 'zone' and zone == 'bulk'").set_index("quantity")["n_scans"]
    assert dict(bulk) == {"volume_ratio": 2, "mean_equivalent_diameter_um": 1, "number_density_per_mm3": 2}
    assert "nan" not in page.text.lower().split()
    _, table = write([entries[1], scan_like(base, tmp_path, 0.0, sample="empty")], tmp_path)
    assert table.query("quantity == 'volume_ratio'")["value"].eq(0).all()


def test_names_are_text_wherever_they_stand(base, tmp_path):
    name = "<b>wet</b> & 'dry' </script>"
    entries = [scan_like(base, tmp_path, sample=f"s{n}", group=name, time_h=float(n // 2)) for n in range(4)]
    page, table = write(entries, tmp_path)
    assert set(table["group"]) == {name}
    assert name in page.text
    drawn = [figure(tmp_path / "index.html", kind)["data"][0]["name"] for kind in ("overlay", "series")]
    assert all("&lt;b&gt;wet" in text for text in drawn), "Plotly would read tags"


def test_the_ratio_of_variances_in_words():
    assert spread_in_words(1.2, 4).startswith("no more than sampling explains")
    assert spread_in_words(9.0, 4).startswith("samples differ: 9 times")
    assert spread_in_words(3.0, 2).startswith("no more than"), "two scans prove little"
    assert "unknown" in spread_in_words(float("nan"), 1)
