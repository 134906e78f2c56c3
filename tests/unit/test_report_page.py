"""The page of one scan says what the tables say, is complete in itself, and never pretends."""

import base64
import dataclasses
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from model_facts import measured, model_facts, scores, write_bundle
from report_scan import KINDS, ZONE_UM, edited, write_threshold

from tomoprofile.errors import InputError
from tomoprofile.report.links import Links
from tomoprofile.report.numbers import Estimate
from tomoprofile.report.page import report_sample
from tomoprofile.report.rendering import TEMPLATES, Renderer, suffixes_of
from tomoprofile.report.results import PARTS, Results, SampleFiles
from tomoprofile.report.sections import SECTIONS
from tomoprofile.report.segmentation import MeasuredFacts, Segmentation
from tomoprofile.report.words import translator
from tomoprofile.volume.plane import Plane

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "br", "img", "input", "hr"}
SVG_ALONE = {"path", "line", "polyline", "rect", "image"}


class Page(HTMLParser):
    """Collects elements and refuses markup that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.kept: list[tuple[str, dict]] = []  # of templates, which a reader sees only after moving a slider
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.element(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG_ALONE, f"<{tag}/> is no void element"
        self.element(tag, attrs)

    def element(self, tag, attrs):
        (self.kept if "template" in self.open else self.found).append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style", "template", "nav"} & set(self.open):
            self.words.append(data)

    def all(self, tag, **attributes):
        return [a for t, a in self.found if t == tag and all(a.get(k.strip("_")) == v for k, v in attributes.items())]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def loads(self):
        """Return every address an element would load or link, embedded data and places in the page apart."""
        names = ("src", "href", "xlink:href", "srcset", "action", "poster", "data")
        found = [a[name] for _, a in self.found + self.kept for name in names if a.get(name)]
        return [address for address in found if not address.startswith(("data:", "#"))]


def written(files, out):
    report_sample(files, "Domains against the distance", out)
    text = out.read_text(encoding="utf-8")
    return Page(text), text


def figures(text):
    found = re.findall(r'<script type="application/json" id="(?:figure-)?([\w-]+)">(.*?)</script>', text, re.S)
    return {name: json.loads(figure) for name, figure in found}


def values(array):
    """Return numbers of a Plotly figure, which embeds arrays in binary."""
    if isinstance(array, dict):
        array = np.frombuffer(base64.b64decode(array["bdata"]), np.dtype(array["dtype"]))
    return np.array(array)


@pytest.fixture(scope="module")
def scan(scans):
    return scans("plain")


@pytest.fixture(scope="module")
def page(scan, tmp_path_factory):
    return written(scan, tmp_path_factory.mktemp("page") / "report.html")


def test_complete_in_one_file(page):
    parsed, text = page
    assert parsed.loads() == []
    assert not re.findall(r"@import|url\(\s*['\"]?(?:https?:)?//", text.split("plotly.js v")[0])
    assert text.count("* plotly.js v") == 1
    assert len(text) < 20e6
    policy = parsed.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_an_outside_load_would_be_seen():
    assert Page('<p><img src="https://example.org/a.png"></p>').loads() == ["https://example.org/a.png"]


def test_no_button_sends_data_away(page):
    _, text = page
    buttons = re.search(r"modeBarButtons = \[(.*?)\];", text).group(1)
    assert "resetScale2d" in buttons
    assert "Cloud" not in buttons
    assert 'plotlyServerURL: ""' in text


def test_both_triplets_with_contours_and_box(page):
    parsed, _ = page
    assert len(parsed.all("svg", role="img")) == 9  # and three outlines of thresholds
    assert len([tag for tag, _ in parsed.kept if tag == "svg"]) == 2 * 8 * 2, "two pictures of the eight other slices"
    assert len(parsed.all("image")) == 9
    contours = parsed.all("path", class_="contour")
    assert len(contours) == 4, "two pictures of each triplet have lines, the third has none"
    for path in contours:
        assert path["stroke"] == "#ff00ff"
        assert re.match(r"M-?\d+ -?\d+l-?\d", path["d"])
    boxes = parsed.all("rect", class_="box")
    assert [box["stroke"] for box in boxes] == ["#87cefa", "#87cefa"]
    views = [[float(n) for n in svg["viewBox".lower()].split()] for svg in parsed.all("svg", role="img")]
    for box, zoom in zip(boxes, (views[1], views[4]), strict=True):
        assert [float(box[name]) for name in ("x", "y", "width", "height")] == pytest.approx(zoom)
    assert views[1] == views[2]


def test_headline_agrees_with_the_tables(scan, page):
    parsed, _ = page
    zones = pd.read_parquet(scan.zones)
    levels = zones[zones["zone"] == "bulk"].set_index("level")
    bulk = levels.loc["calibrated"]
    near = zones[(zones["zone"] == "interface") & (zones["level"] == "calibrated")].iloc[0]
    cards = parsed.text.split("Profile against")[0]
    assert f"Volume fraction beyond {ZONE_UM:g} µm" in cards
    assert f"{100 * bulk['volume_ratio']:.1f} %" in cards
    assert f"{100 * bulk['volume_ratio_lo']:.1f}–{100 * bulk['volume_ratio_hi']:.1f}" in cards
    assert f"{100 * levels['volume_ratio'].min():.1f}–{100 * levels['volume_ratio'].max():.1f}" in cards
    assert f"{bulk['mean_equivalent_diameter_um']:.2f} µm" in cards
    assert f"{bulk['number_density_per_mm3'] / 1e6:.1f} × 10⁶" in cards
    assert f"{bulk['n_domains']} " in cards
    assert f"{near['diameter_min_um']:.1f} µm" in cards


def test_headline_follows_a_changed_table(scan, page, tmp_path):
    def change(zones):
        columns = [f"volume_ratio{end}" for end in ("", "_lo", "_hi")]
        zones.loc[zones["zone"] == "bulk", columns] = [0.3141, 0.3131, 0.3151]
        return zones

    changed, _ = written(edited(scan, tmp_path, "zones", change), tmp_path / "report.html")
    assert "31.41 % 95 % 31.31–31.51" in changed.text
    assert "31.41" not in page[0].text


def test_profile_figure_holds_the_calibrated_level_and_marks_flags(scan, page):
    _, text = page
    profile = pd.read_parquet(scan.profile)
    bins = profile[profile["level"] == "calibrated"].sort_values("depth_um")
    shown = [trace for trace in figures(text)["profile"]["data"] if trace.get("customdata") is not None]
    assert [trace["name"] for trace in shown] == ["Volume fraction", "Mean diameter", "Number density"]
    for trace, column, factor in zip(
        shown,
        ("volume_ratio", "mean_equivalent_diameter_um", "number_density_per_mm3"),
        (100, 1, 1),
        strict=True,
    ):
        np.testing.assert_allclose(values(trace["y"]), bins[column] * factor)
        high = values(trace["y"]) + values(trace["error_y"]["array"])
        known = bins[f"{column}_hi"].notna()
        assert known.any()
        np.testing.assert_allclose(high[known], bins.loc[known, f"{column}_hi"] * factor)
        hollow = [symbol == "circle-open" for symbol in trace["marker"]["symbol"]]
        assert hollow == list(bins["flag"] != "")
    band = figures(text)["profile"]["data"][0]
    low, high = profile[profile["level"] == "high"], profile[profile["level"] == "low"]
    drawn = [value for value in band["y"] if value is not None]
    assert min(drawn) == pytest.approx(100 * low["volume_ratio"].min())
    assert max(drawn) == pytest.approx(100 * high["volume_ratio"].max())


def test_histograms_are_those_of_the_classes(scan, page):
    sizes = pd.read_parquet(scan.sizes)
    bars = figures(page[1])["sizes"]["data"]
    assert [trace["name"] for trace in bars] == ["interface", "bulk"]
    for trace in bars:
        rows = sizes[sizes["zone"] == trace["name"]]
        np.testing.assert_allclose(values(trace["y"]), rows["number_density_per_mm3"])
        np.testing.assert_allclose(values(trace["x"]), (rows["diameter_lo_um"] + rows["diameter_hi_um"]) / 2)
        high = values(trace["y"]) + values(trace["error_y"]["array"])
        np.testing.assert_allclose(high, rows["number_density_per_mm3_hi"])


def test_a_zone_without_domains_says_so_instead_of_an_empty_plot(scans, tmp_path):
    files = scans("none near the substrate")
    sizes = pd.read_parquet(files.sizes)
    assert sizes.loc[sizes["zone"] == "interface", "n_domains"].sum() == 0
    _, text = written(files, tmp_path / "report.html")
    words = [note["text"] for note in figures(text)["sizes"]["layout"]["annotations"]]
    assert "no whole domain was found" in words[0]
    assert "no whole domain" not in words[1]


def test_correlation_is_that_of_the_table(scan, page):
    correlation = pd.read_parquet(scan.correlation)
    lines = [trace for trace in figures(page[1])["correlation"]["data"] if trace.get("name")]
    bulk = correlation[correlation["zone"] == "bulk"]
    s2, covariance = (trace for trace in lines if trace["name"] == "bulk")
    np.testing.assert_allclose(values(s2["y"]), bulk["s2"])
    np.testing.assert_allclose(values(covariance["y"]), bulk["autocovariance"])
    assert s2["line"]["dash"] != lines[0]["line"]["dash"], "zones are told apart without colour"


def test_breakpoints_stand_in_their_interval_and_in_a_table(scan, page, tmp_path):
    parsed, text = page
    table = pd.read_parquet(scan.breakpoints)
    found = table[table["depth_um"].notna()]
    assert len(found) > 0
    assert len(found) < len(table), "a quantity without a breakpoint, too"
    shapes = figures(text)["profile"]["layout"]["shapes"]
    ends = list(zip(found["depth_um_lo"], found["depth_um_hi"], strict=True))
    assert [(s["x0"], s["x1"]) for s in shapes if s.get("fillcolor")] == ends
    assert [s["x0"] for s in shapes if s.get("line", {}).get("dash") == "dash"] == list(found["depth_um"])
    for row in found.itertuples():
        assert f"{row.change} {row.slope_before:.3g} {row.slope_after:.3g}" in parsed.text
    assert "Number density (mm⁻³) – no breakpoint" in parsed.text
    files = edited(scan, tmp_path, "breakpoints", lambda table: table.iloc[:0])
    without, text = written(files, tmp_path / "report.html")
    assert "No breakpoint was found" in without.text
    assert not [s for s in figures(text)["profile"]["layout"]["shapes"] if s.get("fillcolor")]


def test_more_about_diameters_waits_for_its_box(scan, page):
    traces = {trace["meta"]: trace for trace in figures(page[1])["profile"]["data"] if trace.get("meta")}
    boxes = {box["data-shows"] for box in page[0].all("input") if "data-shows" in box}
    assert boxes == set(traces) == {"median", "weighted", "percentiles"}
    assert not any(trace["visible"] for trace in traces.values())
    profile = pd.read_parquet(scan.profile)
    bins = profile[profile["level"] == "calibrated"].sort_values("depth_um")
    np.testing.assert_allclose(values(traces["median"]["y"]).astype(float), bins["diameter_median_um"])


def test_nearest_neighbours_are_explained(scan, page, tmp_path):
    assert pd.read_parquet(scan.zones)["clark_evans"].max() > 1.1
    assert "Spaced apart" in page[0].text
    assert "Too few domains to describe their arrangement." in page[0].text

    def change(zones):
        zones.loc[zones["zone"] == "bulk", "clark_evans"] = 0.7
        zones.loc[zones["zone"] == "interface", "clark_evans"] = 1.0
        return zones

    parsed, _ = written(edited(scan, tmp_path, "zones", change), tmp_path / "report.html")
    assert "0.7 Clustered" in parsed.text
    assert "1 Consistent with random positions." in parsed.text
    assert "Spaced apart" not in parsed.text


def spheres(text):
    data = figures(text)["scene-data"]
    places = np.frombuffer(base64.b64decode(data["positions"]), "<u2").reshape(-1, 3) / 65535 * data["size"]
    return data, places, np.frombuffer(base64.b64decode(data["diameters"]), "<u2") / 65535 * data["largest_um"]


def test_scene_holds_every_domain_the_largest_first(scan, page):
    domains = pd.read_parquet(scan.domains).nlargest(1000, "equivalent_diameter_um", keep="first")
    data, places, diameters = spheres(page[1])
    assert data["count"] == len(domains)
    assert np.abs(places - domains[[f"centroid_{axis}_um" for axis in "xyz"]]).to_numpy().max() < 1e-3
    np.testing.assert_allclose(diameters, domains["equivalent_diameter_um"], atol=1e-3)
    shares = np.frombuffer(base64.b64decode(data["depths"]), "<u2") / 65535
    np.testing.assert_allclose(np.interp(shares, [0, 1], data["depth_range"]), domains["depth_um"], atol=2e-3)
    plane = Plane.load(scan.interface)
    for x, y, z in data["substrate"]:
        assert plane.depth_um(z, y, x) == pytest.approx(0, abs=1e-9)


def test_scene_draws_the_largest_only_and_says_so(scan, page):
    (section,) = [section for section in SECTIONS if section.name == "scene"]
    results = Results(scan)
    content = section.build(**{name: results.get(name, "domain") for name in section.needs}, most_spheres=5)
    text = Renderer().section(section, content, sample="epoxy_1", suffix="")
    largest = pd.read_parquet(scan.domains)["equivalent_diameter_um"].nlargest(5)
    np.testing.assert_allclose(spheres(text)[2], largest, atol=1e-3)
    assert "Only the 5 largest of" in text
    assert "Only the" not in page[0].text


def test_zones_table_has_the_distribution(scan, page):
    zones = pd.read_parquet(scan.zones)
    for row in zones[zones["level"] == "calibrated"].to_dict("records"):
        least, tenth, most, largest = (
            Estimate(row[f"diameter_{name}_um"]).text for name in ("min", "p10", "p90", "max")
        )
        median = Estimate(*(row[f"diameter_median_um{end}"] for end in ("", "_lo", "_hi")))
        interval = [median.interval] if median.interval else []
        assert " ".join((least, tenth, median.text, *interval, most, largest)) in page[0].text
    assert zones["diameter_median_um_lo"].notna().any()


def test_csv_is_the_profile(scan, page):
    links = {a["download"]: a["href"].split(",")[1] for a in page[0].all("a") if "download" in a}
    tables = {name: pd.read_csv(io.BytesIO(base64.b64decode(text))) for name, text in links.items()}
    assert {name.removeprefix("epoxy_1_") for name in tables} == {
        f"{name}.csv"
        for name in ("profile", "breakpoints", "zones", "sizes", "correlation", "learning", "baselines", "interface")
    }
    assert len(tables["epoxy_1_correlation.csv"]) == len(pd.read_parquet(scan.correlation))
    table = tables["epoxy_1_profile.csv"]
    wanted = pd.read_parquet(scan.profile).sort_values("depth_um")
    assert set(table.columns) == set(wanted.columns)
    np.testing.assert_allclose(np.sort(table["volume_ratio"].astype(float)), np.sort(wanted["volume_ratio"]))


def test_provenance_and_held_out_scores(page):
    for words in (
        "0123456789abcdef",
        "80 × 112 × 96",
        "voxel size 0.5 µm",
        "dice 0.931, iou 0.871 ",
        "low 0.3, calibrated 0.45",
    ):
        assert words in page[0].text


def test_learning_curve_and_conditions(page):
    parsed, text = page
    assert values(figures(text)["learning"]["data"][0]["y"])[0] == 1.5
    assert "conditions: decoder channels 128, 64, 48, 32, 16" in parsed.text


def test_held_out_scores_by_size(scan, page, tmp_path):
    row = {"from_um": 2.0, "to_um": 4.0, "n_labelled": 31, "recall": 0.903, "size_bias": -0.012, "n_false": 2}
    row |= {"n_matched": 28, "n_interior": 0}
    sizes = [row | {"interior_recall": None}, row | {"from_um": 10.0, "to_um": None, "interior_recall": 0.5}]
    known = measured(held_out=scores(sizes=sizes))
    bundle = write_bundle(tmp_path / "bundle", model_facts(measured={"domain": known}))
    parsed, _ = written(dataclasses.replace(scan, segmenter=bundle), tmp_path / "report.html")
    assert "2 to 4 31 90 % -1.2 % – 2" in parsed.text
    assert "10 and more 31 90 % -1.2 % 50 % 2" in parsed.text
    assert "by size" not in page[0].text, "a bundle without them has no such table"


def test_missing_scores_are_not_invented(scan, tmp_path):
    unknown = {"domain": measured(0.5, calibrated=False)}
    bundle = write_bundle(tmp_path / "bundle", model_facts(measured=unknown, learning_curve=[]))
    parsed, text = written(dataclasses.replace(scan, segmenter=bundle), tmp_path / "report.html")
    assert "accuracy on held-out labels not available" in parsed.text
    assert "Learning curve: not available" in parsed.text
    assert "Uncalibrated decision level" in parsed.text
    assert 'data-figure="figure-learning"' not in text


def test_a_threshold_is_named_as_one(scan, page, tmp_path):
    files = dataclasses.replace(scan, segmenter=write_threshold(tmp_path / "threshold.json"))
    parsed, _ = written(files, tmp_path / "report.html")
    assert "Segmented by a threshold" in parsed.text
    assert "Segmented by a threshold" not in page[0].text


@pytest.mark.parametrize("method", ["mask", "instances"])
def test_a_given_mask_has_an_unknown_boundary(scans, page, tmp_path, method):
    files = scans("given mask")
    record = json.loads(files.segmenter.read_text())
    (tmp_path / "mask.json").write_text(json.dumps(record | {"method": method}))
    parsed, text = written(dataclasses.replace(files, segmenter=tmp_path / "mask.json"), tmp_path / "report.html")
    assert "Segmentation of your own" in parsed.text
    assert record["path"] in parsed.text
    assert "band unknown" in parsed.text
    assert ("object of the given label volume" in parsed.text) == (method == "instances")
    for words in ("boundary levels", "decision level", "calibrated level", "accuracy on held-out labels", "sha256"):
        assert words not in parsed.text
    assert "Learning curve: not available" not in parsed.text
    legend = [trace["name"] for trace in figures(text)["profile"]["data"] if trace.get("name")]
    assert "boundary band" not in legend
    # The mutant: the page of a model says all of that, and knows its band.
    assert "band unknown" not in page[0].text
    assert "boundary levels" in page[0].text
    assert "boundary band" in [trace.get("name") for trace in figures(page[1])["profile"]["data"]]


def test_flags_come_before_the_numbers(scan, page, tmp_path):
    record = json.loads(scan.interface.read_text())
    record |= {"warning": "only 61 % of the columns agree", "how": "slice:7", "tilt_deg": 4.0, "residual_um": 2.5}
    (tmp_path / "interface.json").write_text(json.dumps(record))
    parsed, _ = written(dataclasses.replace(scan, interface=tmp_path / "interface.json"), tmp_path / "report.html")
    for words in ("only 61 % of the columns agree", "given by hand", "tilted by 4°", "2.5 µm rms"):
        assert words in parsed.text.split("Volume fraction beyond")[0]
        assert words not in page[0].text
    assert "Few domains. 0–28 µm" in page[0].text
    assert "Far end of the scan. 40–52 µm" in page[0].text


@pytest.mark.parametrize("kind", ["depth along z", "depth against z", "depth against y", "depth along x"])
def test_every_direction_of_depth_is_drawn(kind, scans, tmp_path):
    parsed, _ = written(scans(kind), tmp_path / "report.html")
    assert len(parsed.all("path", class_="contour")) == 4
    assert (" y = " in parsed.text.split("What was measured")[1].split("Zones")[0]) == kind.endswith("z")
    assert len(parsed.all("polyline", class_="substrate")) >= 3, "both overviews and the zoom at the substrate show it"


def test_no_domains_is_said_and_no_numbers_are_plotted(scans, tmp_path):
    parsed, text = written(scans("empty"), tmp_path / "report.html")
    assert "No domains were found" in parsed.text
    left = {"interface", "baselines", "learning"}  # what thresholds find, and how training went, is worth a look then
    assert set(figures(text)) == left
    assert {plot["id"] for plot in parsed.all("div", class_="plot")} == {f"plot-{name}" for name in left}
    assert parsed.all("canvas") == []
    assert len(parsed.all("image")) == 9
    assert parsed.all("path", class_="contour") == []


def test_a_zone_the_scan_does_not_reach(scans, tmp_path):
    parsed, _ = written(scans("zone not reached"), tmp_path / "report.html")
    assert "Zone beyond not reached" in parsed.text
    assert f"At {ZONE_UM:g} to 45 µm from the substrate" in parsed.text
    assert "nan" not in parsed.text.lower().split()


def test_a_zone_without_a_correlation_says_so(scan, page, tmp_path):
    def forget(correlation):
        correlation.loc[correlation["zone"] == "interface", correlation.columns.drop(["zone", "class"])] = np.nan
        return correlation

    files = edited(scan, tmp_path, "correlation", forget)
    parsed, text = written(files, tmp_path / "report.html")
    assert "Zone interface: too little resin for a correlation." in parsed.text
    assert {trace["name"] for trace in figures(text)["correlation"]["data"] if trace.get("name")} == {"bulk"}
    assert "too little resin" not in page[0].text
    files = edited(scan, tmp_path, "correlation", lambda table: table.iloc[:0])
    parsed, text = written(files, tmp_path / "report.html")
    assert parsed.text.count("too little resin for a correlation") == 2
    assert parsed.all("div", id="plot-correlation") == [], "no empty plot"


def test_names_cannot_become_markup(scan, tmp_path):
    name = '<script>alert("1")</script>&amp;'
    title = "</title><img src=x onerror=alert(2)>"
    bundle = write_bundle(tmp_path / "bundle", model_facts(base="<b onclick=x>parent</b>"))
    files = dataclasses.replace(scan, sample=name, segmenter=bundle, provenance={"<i>": "</script><s>"})
    rename = {"zone": {"bulk": "</script><u>"}}
    for table in ("zones", "correlation", "sizes"):
        files = edited(files, tmp_path, table, lambda found: found.replace(rename))
    report_sample(files, title, tmp_path / "report.html")
    parsed = Page((tmp_path / "report.html").read_text())
    assert {tag for tag, _ in parsed.found}.isdisjoint({"i", "s", "u", "img"})
    assert not [a for _, a in parsed.found if any(key.startswith("on") for key in a)]
    assert name in " ".join(parsed.words)


def test_same_inputs_give_the_same_bytes(scan, page, tmp_path):
    _, again = written(scan, tmp_path / "report.html")
    assert again == page[1]
    assert not list(tmp_path.glob(".partial*")), "nothing half-written may stay behind"


def test_broken_tables_are_named(scan, tmp_path):
    (tmp_path / "profile.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"profile\.parquet.*cannot be read"):
        report_sample(dataclasses.replace(scan, profile=tmp_path / "profile.parquet"), "t", tmp_path / "report.html")
    pd.read_parquet(scan.zones).drop(columns="diameter_p10_um").to_parquet(tmp_path / "zones.parquet")
    with pytest.raises(InputError, match="lacks diameter_p10_um"):
        report_sample(dataclasses.replace(scan, zones=tmp_path / "zones.parquet"), "t", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("table", ["breakpoints", "correlation", "sizes"])
def test_a_result_from_before_is_named(scan, tmp_path, table):
    older = dataclasses.replace(scan, **{table: tmp_path / f"{table}.parquet"})
    with pytest.raises(InputError, match=rf"{table}\.parquet.*cannot be read"):
        report_sample(older, "t", tmp_path / "report.html")
    frame = pd.read_parquet(getattr(scan, table))
    frame.drop(columns=frame.columns[-1]).to_parquet(tmp_path / f"{table}.parquet")
    with pytest.raises(InputError, match=rf"lacks {frame.columns[-1]}"):
        report_sample(older, "t", tmp_path / "report.html")


def test_all_domains_in_one_bin_is_said(scans, page, tmp_path):
    assert "All domains lie in one bin" not in page[0].text
    parsed, _ = written(scans("one bin"), tmp_path / "report.html")
    assert "All domains lie in one bin" in parsed.text


def test_a_scan_of_one_slice_has_no_slider_and_says_why(scans, page, tmp_path):
    parsed, _ = written(scans("one slice"), tmp_path / "report.html")
    assert "The scan has only one slice." in parsed.text
    assert [slider for slider in parsed.all("input", type="range") if "data-cut" not in slider] == []
    assert "only one slice" not in page[0].text
    assert len([slider for slider in page[0].all("input", type="range") if "data-cut" not in slider]) == 2


def templates():
    """Return the names of the templates behind the page of a scan, which is translated."""
    names = Renderer().templates.list_templates(extensions=["j2"])
    return [name for name in names if not name.startswith(("beamtime", "comparison"))]


def messages():
    found, environment = set(), Renderer().templates
    for name in templates():
        text, _, _ = environment.loader.get_source(environment, name)
        extracted = environment.extract_translations(text)
        found |= {message if isinstance(message, str) else message[0] for _, _, message in extracted}
    return found


def test_every_text_has_a_translation_and_none_is_left_over():
    texts = yaml.safe_load((TEMPLATES / "ja.yaml").read_text(encoding="utf-8"))
    assert len(messages()) > 100
    assert messages() - set(texts) == set(), "without a translation"
    assert set(texts) - messages() == set(), "no longer used"
    for english, japanese in texts.items():
        assert set(re.findall(r"%\(\w+\)s|%%", english)) == set(re.findall(r"%\(\w+\)s|%%", japanese))
        assert not japanese.isascii() or english == japanese


def test_a_japanese_page(scan, page, tmp_path):
    report_sample(scan, "Title", tmp_path / "report.html", "ja")
    parsed = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert parsed.all("html")[0]["lang"] == "ja"
    assert page[0].all("html")[0]["lang"] == "en"
    assert "体積率" in parsed.text
    for message in messages():
        if "%" not in message and len(message) > 25:
            assert message not in parsed.text


def test_a_text_without_a_translation_is_an_error(tmp_path):
    (tmp_path / "xx.yaml").write_text("Zones: Zonen\n")
    translate = translator("xx", tmp_path)
    assert translate("Zones") == "Zonen"
    with pytest.raises(InputError, match=r"xx\.yaml.*no translation.*Domains"):
        translate("Domains")


def test_every_section_is_a_template_and_names_what_it_reads():
    assert {section.template for section in SECTIONS} == {name for name in templates() if name.startswith("sections/")}
    needs = {name for section in SECTIONS for name in section.needs}
    assert needs == set(PARTS), "a part of the results that no section asks for, or one that nothing can read"
    assert {PARTS[name].file for name in needs} == {field.name for field in dataclasses.fields(SampleFiles)}


def test_the_rule_declares_every_file_that_the_page_reads():
    rule = (ROOT / "workflow/rules/report.smk").read_text().split("rule report_sample:")[1].split("\nrule ")[0]
    declared = set(re.findall(r"^        (\w+)=", rule, re.M)) | {"sample", "objects", "provenance", "links", "written"}
    assert {field.name for field in dataclasses.fields(SampleFiles)} <= declared
    assert {"low", "calibrated", "high"} <= declared, "the run files of the objects"


def test_sections_can_stand_in_a_page_once_for_each_class(scan):
    """With another suffix no element has the id of the first, and what points to an id points to its own."""
    results = Results(scan)
    for section in SECTIONS:
        if not section.per_class:
            continue
        content = section.build(**{name: results.get(name, "domain") for name in section.needs})
        renderer = Renderer()
        first, second = (
            Page(str(renderer.section(section, content, sample="a", suffix=suffix))) for suffix in ("", "-voids")
        )
        assert all("-voids" in name for name in ids(second))
        assert len(ids(first)) == len(ids(second))
        pointed = {a[name] for _, a in second.found for name in ("data-of", "data-plot", "data-figure") if name in a}
        assert pointed <= ids(second)


CLASSES = ("domain", "void")
PER_CLASS = {"profile", "sizes", "correlation", "baselines"}  # the plots


@pytest.fixture(scope="module")
def both(scans, tmp_path_factory):
    return written(scans("two classes"), tmp_path_factory.mktemp("both") / "report.html")


def test_each_class_has_its_sections_under_its_name(both, page):
    parsed, _ = both
    assert [a["id"] for a in parsed.all("h2", class_="class")] == ["class-domain", "class-void"]
    plots = {plot["id"] for plot in parsed.all("div", class_="plot")}
    assert plots == {f"plot-{name}-{one}" for name in (*PER_CLASS, "thickness") for one in CLASSES} | {"plot-interface"}
    found = [a["id"] for _, a in parsed.found + parsed.kept if "id" in a]
    assert len(found) == len(set(found)), "an id stands in a page once"
    assert [scene["id"] for scene in parsed.all("div", class_="scene")] == ["scene-domain", "scene-void"]
    words = parsed.text
    headings = ("Class domain", "Profile against", "Class void", "Substrate interface", "How the domains were found")
    places = [words.index(heading) for heading in headings]
    assert places == sorted(places)
    assert words.count("Profile against the distance") == 2
    for mark in ('class="class"', "-domain", "<h2>Classes"):
        assert mark not in page[1], "a page of one class knows of no others"


def test_every_number_is_that_of_its_class(scans, both):
    parsed, text = both
    files = scans("two classes")
    zones, profile, sizes = (pd.read_parquet(getattr(files, name)) for name in ("zones", "profile", "sizes"))
    drawn = figures(text)
    summaries = parsed.text.split("What to know first")[0]
    table = parsed.text.split("Classes")[1].split("Class domain")[0]
    for name in CLASSES:
        bulk = zones.query("zone == 'bulk' and level == 'calibrated' and `class` == @name").iloc[0]
        bins = profile.query("level == 'calibrated' and `class` == @name").sort_values("depth_um")
        found = f"{100 * bulk['volume_ratio']:.1f}"
        assert f"{name} : At {ZONE_UM:g} µm and more from the substrate, domains take up {found}" in summaries
        assert f"{name} beyond {ZONE_UM:g} µm {found}" in table
        shown = next(trace for trace in drawn[f"profile-{name}"]["data"] if trace.get("customdata") is not None)
        np.testing.assert_allclose(values(shown["y"]), 100 * bins["volume_ratio"])
        bars = sizes.query("zone == 'bulk' and `class` == @name")["number_density_per_mm3"]
        np.testing.assert_allclose(values(drawn[f"sizes-{name}"]["data"][1]["y"]), bars)
        domains = pd.read_parquet(files.domains).query("`class` == @name")
        assert drawn[f"scene-{name}-data"]["count"] == len(domains)
    assert len(pd.read_parquet(files.domains)["class"].unique()) == 2
    links = {a["download"]: a["href"].split(",")[1] for a in parsed.all("a") if "download" in a}
    saved = pd.read_csv(io.BytesIO(base64.b64decode(links["epoxy_1_profile-void.csv"])))
    assert set(saved["class"]) == {"void"}


def test_each_class_has_its_own_outlines(both):
    contours = [path["d"] for path in both[0].all("path", class_="contour")]
    assert len(contours) == 8
    assert len(set(contours)) == 8
    assert len({path["d"] for path in both[0].all("path", class_="outline")}) > 3


def test_a_class_without_domains_says_so_and_the_other_is_shown(scans, tmp_path):
    files = edited(scans("two classes"), tmp_path, "domains", lambda table: table[table["class"] == "domain"])
    parsed, text = written(files, tmp_path / "report.html")
    assert "No domains of this class were found." in parsed.text.split("Class void")[1]
    assert "No domains were found in this scan" not in parsed.text
    assert "void : At" not in parsed.text
    assert "profile-domain" in figures(text)
    assert "profile-void" not in figures(text)
    assert "baselines-void" in figures(text)


def test_a_table_that_lacks_a_class_is_named(scans, tmp_path):
    files = edited(scans("two classes"), tmp_path, "zones", lambda table: table[table["class"] == "domain"])
    with pytest.raises(InputError, match=r"zones\.parquet: it says nothing of the class void"):
        report_sample(files, "t", tmp_path / "report.html")


def test_the_name_of_a_class_cannot_become_markup(scans, tmp_path):
    name = KINDS["odd class name"].voids
    parsed, _ = written(scans("odd class name"), tmp_path / "report.html")
    assert f"Class {name}" in parsed.text
    assert not [a for tag, a in parsed.found if tag == "u" or any(key.startswith("on") for key in a)]
    pointed = {a[key] for _, a in parsed.found for key in ("data-of", "data-plot", "data-figure") if key in a}
    assert pointed <= ids(parsed)
    assert not [one for one in ids(parsed) if re.search(r"[^\w-]", one)]


def test_names_that_differ_only_in_signs_have_ids_of_their_own():
    assert suffixes_of(["domain"]) == {None: "", "domain": ""}
    assert suffixes_of(["domain", "large void"]) == {None: "", "domain": "-domain", "large void": "-large_void"}
    assert suffixes_of(["a b", "a+b"]) == {None: "", "a b": "-1", "a+b": "-2"}


def test_the_method_tells_level_and_accuracy_of_each_class():
    known = {
        "domain": MeasuredFacts(0.45, True, {"calibration: slope": "1.1"}, {"dice": 0.93}),
        "void": MeasuredFacts(0.5, False),
    }
    levels = {name: {"calibrated": SimpleNamespace(level=one.level)} for name, one in known.items()}
    (section,) = [section for section in SECTIONS if section.name == "method"]

    def text(classes):
        content = section.build(Segmentation("a network", "network", classes), Links(), {n: levels[n] for n in classes})
        return Page(str(Renderer().section(section, content, sample="a", suffix=""))).text

    for words in (
        "decision level, domain 0.45, set in cross-validation on the labels",
        "decision level, void 0.5 accuracy on held-out labels, domain dice 0.93",
        "accuracy on held-out labels, void not available",
        "calibration: slope, domain 1.1",
    ):
        assert words in text(known)
    assert "decision level 0.45, set" in text({"domain": known["domain"]})


def ids(page):
    return {a["id"] for _, a in page.found + page.kept if "id" in a}


def test_an_installed_wheel_writes_pages(scan, tmp_path):
    """From the files of a wheel alone: templates, scripts and translations are part of the package."""
    shutil.copytree(ROOT / "workflow/scripts/tomoprofile", tmp_path / "source/workflow/scripts/tomoprofile")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path / "source")
    build = "import sys; from hatchling.builders.wheel import WheelBuilder; print(*WheelBuilder('.').build())"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "source", check=True)
    (wheel,) = (tmp_path / "source/dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (tmp_path / "files.pickle").write_bytes(pickle.dumps(scan))
    code = (
        "import pickle, tomoprofile; from pathlib import Path; from tomoprofile.report.page import report_sample; "
        "assert 'installed' in tomoprofile.__file__; files = pickle.loads(Path('files.pickle').read_bytes()); "
        "[report_sample(files, 'Title', Path(f'{language}.html'), language) for language in ('en', 'ja')]"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    for language in ("en", "ja"):
        assert Page((tmp_path / f"{language}.html").read_text(encoding="utf-8")).all("html")[0]["lang"] == language
