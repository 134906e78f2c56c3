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
from report_scan import forget_band, write_bundle, write_mask, write_scan, write_threshold

from tomoprofile.errors import InputError
from tomoprofile.report.page import report_sample

VOID = {"meta", "link", "br", "img", "input", "hr"}
SVG_ALONE = {"path", "line", "polyline", "rect", "image"}


class Page(HTMLParser):
    """Collects elements and refuses markup that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG_ALONE, f"<{tag}/> is no void element"
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.words.append(data)

    def all(self, tag, **attributes):
        return [a for t, a in self.found if t == tag and all(a.get(k.strip("_")) == v for k, v in attributes.items())]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def loads(self):
        """Return every address an element would load or link, embedded data and places in the page apart."""
        names = ("src", "href", "xlink:href", "srcset", "action", "poster", "data")
        found = [a[name] for _, a in self.found for name in names if a.get(name)]
        return [address for address in found if not address.startswith(("data:", "#"))]


def written(files, out):
    report_sample(files, "Domains against the distance", out)
    text = out.read_text(encoding="utf-8")
    return Page(text), text


def figures(text):
    found = re.findall(r'<script type="application/json" id="figure-(\w+)">(.*?)</script>', text, re.S)
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
    assert "orbitRotation" in buttons
    assert "Cloud" not in buttons
    assert 'plotlyServerURL: ""' in text


def test_both_triplets_with_contours_and_box(page):
    parsed, _ = page
    assert len(parsed.all("svg")) == 6
    assert len(parsed.all("image")) == 6
    contours = parsed.all("path", class_="contour")
    assert len(contours) == 4, "two pictures of each triplet have lines, the third has none"
    for path in contours:
        assert path["stroke"] == "#ff00ff"
        assert re.match(r"M\d+(\.\d+)? -?\d", path["d"])
    boxes = parsed.all("rect", class_="box")
    assert [box["stroke"] for box in boxes] == ["#87cefa", "#87cefa"]
    views = [[float(n) for n in svg["viewBox".lower()].split()] for svg in parsed.all("svg")]
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


def test_histograms_hold_every_whole_domain_and_the_scene_all(scan, page):
    _, text = page
    domains = pd.read_parquet(scan.domains)
    drawn = figures(text)
    whole = (domains["edge_weight"] > 0).sum()
    assert 0 < whole < len(domains), "some are cut by the sides, or the test shows nothing"
    assert sum(values(trace["y"]).sum() for trace in drawn["diameters"]["data"]) == whole
    spheres, substrate = drawn["scene"]["data"]
    assert sorted(values(spheres["x"])) == pytest.approx(sorted(domains["centroid_x_um"]), rel=1e-5)
    assert substrate["type"] == "surface"
    assert 0 < substrate["opacity"] < 1


def test_scene_draws_the_largest_only_and_says_so(scan, tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprofile.report.figures.MOST_MARKERS", 5)
    monkeypatch.setattr("tomoprofile.report.page.MOST_MARKERS", 5)
    parsed, text = written(scan, tmp_path / "report.html")
    largest = pd.read_parquet(scan.domains)["equivalent_diameter_um"].nlargest(5)
    assert values(figures(text)["scene"]["data"][0]["customdata"]) == pytest.approx(largest.to_numpy(), rel=1e-5)
    assert "Only the 5 largest of" in parsed.text


def test_zones_table_has_the_distribution(scan, page):
    zones = pd.read_parquet(scan.zones)
    for row in zones[zones["level"] == "calibrated"].to_dict("records"):
        cells = [f"{row[f'diameter_{name}_um']:.2f}" for name in ("min", "p10", "median", "p90", "max")]
        assert " ".join(cells) in page[0].text


def test_csv_is_the_profile(scan, page):
    link = next(a for a in page[0].all("a") if a["href"].startswith("data:text/csv"))
    table = pd.read_csv(io.BytesIO(base64.b64decode(link["href"].split(",")[1])), keep_default_na=False)
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


def test_missing_scores_are_not_invented(scan, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", held_out={}, calibrated=False, learning_curve=[])
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
    assert ("Cut y =" in parsed.text) == (abs(normal[0]) == 1)
    assert len(parsed.all("polyline", class_="substrate")) >= 3, "both overviews and the zoom at the substrate show it"


def test_no_domains_is_said_and_nothing_is_plotted(tmp_path):
    parsed, text = written(write_scan(tmp_path, n_small=0, n_large=0), tmp_path / "report.html")
    assert "No domains were found" in parsed.text
    assert figures(text) == {}
    assert "plotly.js v" not in text
    assert len(parsed.all("image")) == 6
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


def test_names_cannot_become_markup(scan, tmp_path):
    name = '<script>alert("1")</script>&amp;'
    title = "</title><img src=x onerror=alert(2)>"
    bundle = write_bundle(tmp_path / "bundle", base="<b onclick=x>parent</b>")
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
