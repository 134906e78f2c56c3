"""The page of one scan says what the tables say, is complete in itself, and never pretends."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from model_facts import measured, model_facts, scores, write_bundle
from report_scan import forget_band, write_mask, write_scan, write_threshold

from tomoprofile.errors import InputError
from tomoprofile.report.page import TEMPLATES, environment, report_sample
from tomoprofile.report.words import translator
from tomoprofile.volume.plane import Plane

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
        if not {"script", "style", "template"} & set(self.open):
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
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan"))


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
    cards = parsed.text.split("What was measured")[0]
    assert f"Volume ratio 9–{bulk['to_um']:.1f}".removesuffix(".0") in cards
    assert f"{100 * bulk['volume_ratio']:.1f} %" in cards
    assert f"{100 * bulk['volume_ratio_lo']:.1f}–{100 * bulk['volume_ratio_hi']:.1f}" in cards
    assert f"{100 * levels['volume_ratio'].min():.1f}–{100 * levels['volume_ratio'].max():.1f}" in cards
    assert f"{bulk['mean_equivalent_diameter_um']:.2f} µm" in cards
    assert f"{bulk['number_density_per_mm3'] / 1e6:.1f} × 10⁶" in cards
    assert f"{bulk['n_domains']} " in cards
    assert f"{near['diameter_min_um']:.2f} µm" in cards


def test_headline_follows_a_changed_table(scan, page, tmp_path):
    zones = pd.read_parquet(scan.zones)
    columns = [f"volume_ratio{end}" for end in ("", "_lo", "_hi")]
    zones.loc[zones["zone"] == "bulk", columns] = [0.3141, 0.3131, 0.3151]
    zones.to_parquet(tmp_path / "zones.parquet", index=False)
    changed, _ = written(dataclasses.replace(scan, zones=tmp_path / "zones.parquet"), tmp_path / "report.html")
    assert "31.41 % 95 % 31.31–31.51" in changed.text
    assert "31.41" not in page[0].text


def test_profile_figure_holds_the_calibrated_level_and_marks_flags(scan, page):
    _, text = page
    profile = pd.read_parquet(scan.profile)
    bins = profile[profile["level"] == "calibrated"].sort_values("depth_um")
    shown = [trace for trace in figures(text)["profile"]["data"] if trace.get("customdata") is not None]
    assert [trace["name"] for trace in shown] == ["Volume ratio", "Mean diameter", "Number density"]
    for trace, column, factor in zip(
        shown,
        ("volume_ratio", "mean_equivalent_diameter_um", "number_density_per_mm3"),
        (100, 1, 1),
        strict=True,
    ):
        np.testing.assert_allclose(values(trace["y"]), bins[column] * factor)
        high = values(trace["y"]) + values(trace["error_y"]["array"])
        np.testing.assert_allclose(high[bins[column].notna()], (bins[f"{column}_hi"] * factor).dropna())
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


def test_a_zone_without_domains_says_so_instead_of_an_empty_plot(tmp_path):
    files = write_scan(tmp_path, n_large=0)
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
    shapes = figures(text)["profile"]["layout"]["shapes"]
    assert [(s["x0"], s["x1"]) for s in shapes if s.get("fillcolor")] == [(8.0, 10.5)]
    assert [s["x0"] for s in shapes if s.get("line", {}).get("dash") == "dash"] == [9.0]
    assert "Volume ratio 9.0 8.0–10.5" in parsed.text
    assert "8.0–10.5 flat to rising 0 0.001" in parsed.text
    assert "Number density (mm⁻³) – does not bend" in parsed.text
    none = pd.read_parquet(scan.breakpoints).iloc[:0]
    none.to_parquet(tmp_path / "breakpoints.parquet", index=False)
    files = dataclasses.replace(scan, breakpoints=tmp_path / "breakpoints.parquet")
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
    zones = pd.read_parquet(scan.zones)
    assert "Domains lie about as at random places." in page[0].text
    zones.loc[zones["zone"] == "bulk", "clark_evans"] = 0.7
    zones.loc[zones["zone"] == "interface", "clark_evans"] = np.nan
    zones.to_parquet(tmp_path / "zones.parquet", index=False)
    parsed, _ = written(dataclasses.replace(scan, zones=tmp_path / "zones.parquet"), tmp_path / "report.html")
    assert "0.70 Domains gather" in parsed.text
    assert "Too few domains to say how they lie." in parsed.text
    assert "as at random places." not in parsed.text


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


def test_scene_draws_the_largest_only_and_says_so(scan, tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprofile.report.scene.MOST_SPHERES", 5)
    monkeypatch.setattr("tomoprofile.report.page.MOST_SPHERES", 5)
    parsed, text = written(scan, tmp_path / "report.html")
    largest = pd.read_parquet(scan.domains)["equivalent_diameter_um"].nlargest(5)
    np.testing.assert_allclose(spheres(text)[2], largest, atol=1e-3)
    assert "Only the 5 largest of" in parsed.text


def test_zones_table_has_the_distribution(scan, page):
    zones = pd.read_parquet(scan.zones)
    for row in zones[zones["level"] == "calibrated"].to_dict("records"):
        least, tenth, middle, most, largest = (
            f"{row[f'diameter_{name}_um']:.2f}" for name in ("min", "p10", "median", "p90", "max")
        )
        ends = f"{row['diameter_median_um_lo']:.2f}–{row['diameter_median_um_hi']:.2f}"
        assert " ".join((least, tenth, middle, ends, most, largest)) in page[0].text


def test_csv_is_the_profile(scan, page):
    links = {a["download"]: a["href"].split(",")[1] for a in page[0].all("a") if "download" in a}
    tables = {name: pd.read_csv(io.BytesIO(base64.b64decode(text))) for name, text in links.items()}
    assert {name.removeprefix("epoxy_1_") for name in tables} == {
        f"{name}.csv" for name in ("profile", "breakpoints", "zones", "sizes", "correlation", "learning", "baselines")
    }
    assert len(tables["epoxy_1_correlation.csv"]) == len(pd.read_parquet(scan.correlation))
    table = tables["epoxy_1_profile.csv"]
    wanted = pd.read_parquet(scan.profile).sort_values("depth_um")
    assert set(table.columns) == set(wanted.columns)
    np.testing.assert_allclose(np.sort(table["volume_ratio"].astype(float)), np.sort(wanted["volume_ratio"]))


def test_provenance_and_held_out_scores(page):
    for words in ("0123456789abcdef", "0.5 × 0.5 × 0.5 µm", "dice 0.9312, iou 0.8713 ", "low 0.3, calibrated 0.45"):
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
    assert "models/bundle/docs/README.md" in parsed.text
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
def test_a_given_mask_has_an_unknown_boundary(scan, page, tmp_path, method):
    tables = {name: forget_band(getattr(scan, name), tmp_path / f"{name}.parquet") for name in ("zones", "profile")}
    files = dataclasses.replace(scan, segmenter=write_mask(tmp_path / "mask.json", method), familiarity=None, **tables)
    parsed, text = written(files, tmp_path / "report.html")
    assert "Segmentation of your own" in parsed.text
    assert "masks/a.nii.gz" in parsed.text
    assert "band unknown" in parsed.text
    assert ("label volume that was given" in parsed.text) == (method == "instances")
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
        assert words in parsed.text.split("Volume ratio 9–")[0]
        assert words not in page[0].text
    assert "Few domains. 0–" in page[0].text
    assert "Far end of the scan. 21–27 µm" in page[0].text


@pytest.mark.parametrize("normal", [(0, 0, 1), (0, -1, 0), (1, 0, 0), (-1, 0, 0.02)])
def test_every_direction_of_depth_is_drawn(normal, tmp_path):
    files = write_scan(tmp_path, normal=normal, shape=(48, 48, 48), n_small=25)
    parsed, _ = written(files, tmp_path / "report.html")
    assert len(parsed.all("path", class_="contour")) == 4
    assert (" y = " in parsed.text.split("Profile against")[0]) == (abs(normal[0]) == 1)
    assert len(parsed.all("polyline", class_="substrate")) >= 3, "both overviews and the zoom at the substrate show it"


def test_no_domains_is_said_and_nothing_is_plotted(tmp_path):
    parsed, text = written(write_scan(tmp_path, n_small=0, n_large=0), tmp_path / "report.html")
    assert "No domains were found" in parsed.text
    assert set(figures(text)) == {"baselines"}, "what thresholds find is worth a look then"
    assert [plot["id"] for plot in parsed.all("div", class_="plot")] == ["plot-baselines"]
    assert parsed.all("canvas") == []
    assert len(parsed.all("image")) == 9
    assert parsed.all("path", class_="contour") == []


def test_a_zone_the_scan_does_not_reach(tmp_path):
    zones = (("interface", 0.0, 9.0), ("bulk", 9.0, 20.0), ("beyond", 900.0, None))
    files = write_scan(tmp_path, zones=zones)
    table = pd.read_parquet(files.zones)
    beyond = table["zone"] == "beyond"
    table.loc[beyond, ["to_um", "volume_ratio", "volume_ratio_lo", "volume_ratio_hi"]] = np.nan
    table.to_parquet(files.zones, index=False)
    parsed, _ = written(files, tmp_path / "report.html")
    assert "Zone beyond not reached" in parsed.text
    assert "At 9 to 20 µm from the substrate" in parsed.text
    assert "nan" not in parsed.text.lower().split()


def test_a_zone_without_a_correlation_says_so(scan, page, tmp_path):
    correlation = pd.read_parquet(scan.correlation)
    numbers = correlation.columns.drop("zone")
    correlation.loc[correlation["zone"] == "interface", numbers] = np.nan
    correlation.to_parquet(tmp_path / "correlation.parquet", index=False)
    files = dataclasses.replace(scan, correlation=tmp_path / "correlation.parquet")
    parsed, text = written(files, tmp_path / "report.html")
    assert "Zone interface: too little resin for a correlation." in parsed.text
    assert {trace["name"] for trace in figures(text)["correlation"]["data"] if trace.get("name")} == {"bulk"}
    assert "too little resin" not in page[0].text
    correlation.iloc[:0].to_parquet(tmp_path / "correlation.parquet", index=False)
    parsed, text = written(files, tmp_path / "report.html")
    assert parsed.text.count("too little resin for a correlation") == 2
    assert parsed.all("div", id="plot-correlation") == [], "no empty plot"


def test_names_cannot_become_markup(scan, tmp_path):
    name = '<script>alert("1")</script>&amp;'
    title = "</title><img src=x onerror=alert(2)>"
    bundle = write_bundle(tmp_path / "bundle", model_facts(base="<b onclick=x>parent</b>"))
    files = dataclasses.replace(scan, sample=name, segmenter=bundle, provenance={"<i>": "</script><s>"})
    zones = pd.read_parquet(scan.zones).replace({"zone": {"bulk": "</script><u>"}})
    zones.to_parquet(tmp_path / "zones.parquet", index=False)
    files = dataclasses.replace(files, zones=tmp_path / "zones.parquet")
    report_sample(files, title, tmp_path / "report.html")
    parsed = Page((tmp_path / "report.html").read_text())
    assert {tag for tag, _ in parsed.found}.isdisjoint({"i", "s", "u", "img"})
    assert not [a for _, a in parsed.found if any(key.startswith("on") for key in a)]
    assert name in " ".join(parsed.words)


def test_same_inputs_give_the_same_bytes(scan, page, tmp_path):
    _, again = written(scan, tmp_path / "report.html")
    assert again == page[1]
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"], "nothing half-written may stay behind"


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


def test_all_domains_in_one_bin_is_said(scan, page, tmp_path):
    profile = pd.read_parquet(scan.profile)
    assert "All domains lie in one bin" not in page[0].text
    profile.loc[profile["depth_lo_um"] != profile["depth_lo_um"].unique()[3], "n_domains"] = 0
    profile.to_parquet(tmp_path / "profile.parquet", index=False)
    parsed, _ = written(dataclasses.replace(scan, profile=tmp_path / "profile.parquet"), tmp_path / "report.html")
    assert "All domains lie in one bin" in parsed.text


def test_a_scan_of_one_slice_has_no_slider_and_says_why(tmp_path, page):
    parsed, _ = written(write_scan(tmp_path, shape=(1, 64, 64), n_small=12, n_large=0), tmp_path / "report.html")
    assert "The scan has one slice only." in parsed.text
    assert parsed.all("input", type="range") == []
    assert "one slice only" not in page[0].text
    assert len(page[0].all("input", type="range")) == 2


def messages():
    found = set()
    for path in TEMPLATES.glob("*.j2"):
        if not path.name.startswith(("beamtime", "comparison")):
            extracted = environment("en").extract_translations(path.read_text(encoding="utf-8"))
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
