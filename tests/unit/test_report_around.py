"""What stands around the numbers of a page: contents, links, all tables in one file, and a paragraph for a paper."""

import dataclasses
import io
import json
import re
import zipfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from model_facts import measured, model_facts, scores, write_bundle
from page_parser import Page, written
from report_scan import write_mask, write_threshold

from tomoprofile.errors import InputError
from tomoprofile.layout import Layout
from tomoprofile.network.facts import read_facts
from tomoprofile.report.archive import write_archive
from tomoprofile.report.figures import BLUE, FAINT, GREEN, NEUTRAL, ORANGE
from tomoprofile.report.links import Link, Links, links_of
from tomoprofile.report.references import LITERATURE
from tomoprofile.report.rendering import TEMPLATES, Renderer
from tomoprofile.report.results import Results
from tomoprofile.report.sections import SECTIONS
from tomoprofile.report.sections.interface import deviation_figure

NAMES = ("domains", "profile", "zones", "breakpoints", "correlation", "sizes", "baselines")


@pytest.fixture(scope="module")
def scan(scans):
    return scans("plain")


def section(files, name, measured=None):
    (one,) = [one for one in SECTIONS if one.name == name]
    results = Results(files)
    content = one.build(**{part: results.get(part, measured) for part in one.needs})
    return content, Page(str(Renderer().section(one, content, sample=files.sample, suffix="")))


# --- contents and links -------------------------------------------------------------------------------------------


def headings(text):
    return re.findall(r'<h2 [^>]*id="([^"]+)"', text)


@pytest.mark.parametrize("kind", ["plain", "two classes", "empty"])
def test_the_list_of_contents_leads_to_every_heading(scans, tmp_path, kind):
    _, text = written(scans(kind), tmp_path / "report.html")
    nav = text.split('<nav class="contents"')[1].split("</nav>")[0]
    led = re.findall(r'href="#([^"]+)"', nav)
    # The empty scan has one more heading, in the box that says so above the contents.
    assert led == headings(text)
    assert len(led) > 5
    assert "<h2>" not in text.replace("<h2>No domains were found", ""), "a heading without an id is in no list"


def test_profile_and_pictures_come_before_thresholds_and_interface(scan, tmp_path):
    _, text = written(scan, tmp_path / "report.html")
    order = headings(text)
    assert order[:2] == ["profile", "pictures"]
    assert max(order.index("profile"), order.index("pictures")) < min(
        order.index("interface"), order.index("baselines")
    )


@pytest.fixture
def results(tmp_path):
    """A results folder of three scans, of which one has a name that begins like another."""
    layout = Layout(tmp_path / "results")
    for log in (
        layout.log("report_sample", "a b"),
        layout.log("predict_slab", "a b", "z00000"),
        layout.log("report_sample", "a b.2"),
        layout.log("report_sample", "other"),
        layout.log("report_beamtime"),
    ):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
    return layout


def test_only_what_exists_is_linked_relative_to_the_page(results):
    bundle = results.model("m").folder
    files = results.scan("a b")
    files.folder.mkdir()
    bare = links_of(results, "a b", bundle)
    assert (bare.index, bare.tables, bare.card, bare.provenance) == (
        Link("../index.html", "../index.html"),
        None,
        None,
        None,
    )
    for path in (files.tables, files.provenance, results.model("m").card):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    full = links_of(results, "a b", bundle)
    assert full.card.address == "../models/m/docs/README.md"
    assert (full.tables.address, full.provenance.address) == ("tables.zip", "provenance.json")
    for link in (full.tables, full.card, full.provenance):
        assert (files.folder / link.address).exists()
    assert {log.name for log in full.logs} == {"report_sample/a b.log", "predict_slab/a b.z00000.log"}
    assert "../logs/report_sample/a%20b.log" in {log.address for log in full.logs}


def test_a_page_shows_its_links_and_date(scan, tmp_path):
    links = Links(
        Link("../index.html", "../index.html"),
        Link("tables.zip", "tables.zip"),
        Link("card", "../models/m/docs/README.md"),
        Link("provenance.json", "provenance.json"),
        (Link("report_sample/a.log", "../logs/report_sample/a.log"),),
    )
    files = dataclasses.replace(scan, links=links, written="2026-11-26T07:30:00+09:00")
    parsed, _ = written(files, tmp_path / "report.html")
    led = {a["href"] for a in parsed.all("a") if not a["href"].startswith(("#", "data:"))}
    addresses = {links.index, links.tables, links.card, links.provenance, *links.logs}
    assert led == {link.address for link in addresses}
    assert "2026-11-26" in parsed.text
    without, _ = written(scan, tmp_path / "report.html")
    assert without.loads() == []


# --- all tables in one file ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(scan, tmp_path_factory):
    out = tmp_path_factory.mktemp("archive") / "tables.zip"
    write_archive([getattr(scan, name) for name in NAMES], out)
    return out


def csv_in(archive, name):
    with zipfile.ZipFile(archive) as opened:
        return pd.read_csv(io.BytesIO(opened.read(name)), keep_default_na=True)


def test_every_table_is_in_the_archive_value_by_value(scan, archive):
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        assert set(opened.namelist()) == {f"{name}.csv" for name in NAMES} | {"columns.csv", "flags.csv"}
    for name in NAMES:
        wanted, got = pd.read_parquet(getattr(scan, name)), csv_in(archive, f"{name}.csv")
        assert list(got.columns) == list(wanted.columns)
        assert len(got) == len(wanted)
        for column in wanted.select_dtypes("number"):
            np.testing.assert_array_equal(got[column].astype(float), wanted[column].astype(float))
        for column in wanted.columns.difference(wanted.select_dtypes("number").columns):
            assert list(got[column].astype(object).fillna("")) == list(wanted[column].astype(object).fillna(""))


def test_the_archive_says_what_each_column_means(scan, archive):
    told = csv_in(archive, "columns.csv").fillna("")
    for name in NAMES:
        assert list(told.loc[told["table"] == name, "column"]) == pq.read_schema(getattr(scan, name)).names
    assert (told["definition"].str.len() > 3).all()
    row = told[(told["table"] == "domains") & (told["column"] == "equivalent_diameter_um")].iloc[0]
    assert row["unit"] == "um"
    flags = csv_in(archive, "flags.csv")
    assert {"few", "far_end"} <= set(flags["flag"])
    assert flags["meaning"].str.len().min() > 10


def test_the_same_tables_give_the_same_bytes_and_a_damaged_one_none(scan, archive, tmp_path):
    write_archive([getattr(scan, name) for name in NAMES], tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    (tmp_path / "zones.parquet").write_bytes(scan.zones.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"zones\.parquet.*cannot be read"):
        write_archive([scan.domains, tmp_path / "zones.parquet"], tmp_path / "tables.zip")
    assert not (tmp_path / "tables.zip").exists()


# --- a paragraph for a paper --------------------------------------------------------------------------------------


def paragraph(files):
    content, page = section(files, "citing")
    text, references = content.words["paragraph"], content.words["references"]
    marks = {int(n) for mark in re.findall(r"\[([\d, ]+)\]", text) for n in mark.split(",")}
    assert marks == set(range(1, len(references) + 1)), "every reference is cited, and every mark has its reference"
    assert "nan" not in text.lower().split()
    assert "None" not in text
    assert text in page.text
    return text, " ".join(references)


def with_bundle(files, folder, **changes):
    return dataclasses.replace(files, segmenter=write_bundle(folder / "bundle", model_facts(**changes)))


def test_the_paragraph_has_the_numbers_of_the_scan(scan):
    text, references = paragraph(scan)
    objects = pq.read_schema(scan.objects["calibrated"]).metadata
    n = len(pd.read_parquet(scan.domains))
    facts = read_facts(scan.segmenter)
    for words in (
        "80 × 112 × 96 voxels (z × y × x) of 0.5 µm",
        "on 2 labelled slices.",
        "from ImageNet weights in 300 steps",
        f"voxels with {facts.levels['domain']:g} or more",
        "a Dice coefficient of 0.931 and an intersection over union of 0.871",
        f"fewer than {json.loads(objects[b'min_voxels'])} voxels",
        f"{json.loads(objects[b'connectivity'])}-connectivity",
        f"{n} domains were measured",
        "levels 0.3 and 0.7",
        "a plane fitted to the edge of the substrate",
        "bins of 4 µm",
        "tomoprofile 0.1.0",
    ):
        assert words in text
    for name in ("Ronneberger", "Tan M.", "MONAI", "Platt", "Legland", "Miles", "Lantuéjoul", "Hanisch", "Hesterberg"):
        assert name in references
    assert "Otsu" not in references


def test_the_paragraph_follows_the_network(scan, tmp_path):
    network = model_facts().network
    text, references = paragraph(
        with_bundle(
            scan,
            tmp_path,
            network=network.model_copy(update={"encoder": "resnet18", "in_channels": 1}),
            base="none",
            labels={"labels": {}, "training": ["a z1", "a z2", "b z1"]},
            measured={"domain": measured(0.5, calibrated=False)},
        )
    )
    assert "encoder resnet18, which sees one slice" in text
    assert "from random weights" in text
    assert "3 labelled slices." in text
    assert "not calibrated and the accuracy is unknown" in text
    assert "Dice" not in text
    assert "Tan M." not in references
    assert "Platt" not in references


@pytest.mark.parametrize(("method", "filled"), [("otsu", False), ("threshold_fill", True)])
def test_the_paragraph_of_a_threshold(scan, tmp_path, method, filled):
    record = json.loads(write_threshold(tmp_path / "threshold.json").read_text())
    (tmp_path / "threshold.json").write_text(json.dumps(record | {"method": method, "domains_are": "bright"}))
    text, references = paragraph(dataclasses.replace(scan, segmenter=tmp_path / "threshold.json"))
    assert "Voxels above a global threshold" in text
    assert ("holes were filled" in text) == filled
    assert "Otsu N." in references
    for name in ("U-Net", "labelled", "Ronneberger", "MONAI", "Platt"):
        assert name not in text + references


@pytest.mark.parametrize("method", ["mask", "instances"])
def test_the_paragraph_of_a_given_segmentation(scans, tmp_path, method):
    mask = write_mask(tmp_path / "mask.json", method)
    text, references = paragraph(dataclasses.replace(scans("given mask"), segmenter=mask))
    assert "made with other software [describe how]" in text
    assert ("Each label is one domain" in text) == (method == "instances")
    assert ("connectivity" in text) == (method == "mask")
    for name in ("U-Net", "labelled", "boundary band", "Otsu"):
        assert name not in text + references


def test_the_paragraph_of_two_classes_counts_each(scans):
    files = scans("two classes")
    text, _ = paragraph(files)
    counts = pd.read_parquet(files.domains)["class"].value_counts()
    assert f"{counts['domain']} (domain) and {counts['void']} (void) domains were measured" in text


def test_the_paragraph_of_a_scan_without_a_substrate(scans):
    text, _ = paragraph(scans("no substrate"))
    for word in ("Depth", "substrate", "tilt"):
        assert word not in text


def test_every_reference_can_be_found():
    assert all(re.search(r"\b(19|20)\d\d\b", reference) for reference in LITERATURE.values())
    dois = [doi for reference in LITERATURE.values() for doi in re.findall(r"doi:(\S+)", reference)]
    assert len(dois) == len(set(dois)) >= 5
    assert all(doi.startswith("10.") and not doi.endswith(".") for doi in dois)


# --- thresholds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "name"), [("otsu", "Otsu's threshold"), ("threshold_fill", "a threshold with holes filled")]
)
def test_a_threshold_is_not_compared_with_itself(scan, tmp_path, method, name):
    record = json.loads(write_threshold(tmp_path / "threshold.json").read_text())
    (tmp_path / "threshold.json").write_text(json.dumps(record | {"method": method}))
    files = dataclasses.replace(scan, segmenter=tmp_path / "threshold.json")
    content, page = section(files, "baselines", "domain")
    titles = [picture["title"] for picture in content.words["pictures"]]
    assert len(titles) == 2
    assert name not in titles
    assert {trace.name for trace in content.figures["baselines"].data} == set(titles)
    assert f"This scan was segmented by {name}, which is therefore left out here." in page.text
    assert f"{name} finds" not in page.text
    others, of_network = section(scan, "baselines", "domain")
    assert len(others.words["pictures"]) == 3, "a network is compared with both"
    assert "left out here" not in of_network.text


def test_scores_that_are_unknown_are_not_in_the_paragraph(scan, tmp_path):
    known = measured(0.45, held_out=scores(iou=None))
    text, _ = paragraph(with_bundle(scan, tmp_path, measured={"domain": known}))
    assert "a Dice coefficient of 0.931." in text
    assert "intersection" not in text


# --- looks --------------------------------------------------------------------------------------------------------


def contrast(colour, opacity, page):
    """Return the contrast (WCAG) of an area of a colour on a page."""

    def parts(text):
        return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255

    def luminance(rgb):
        linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    back = parts(page)
    shades = sorted(luminance(rgb) for rgb in (opacity * parts(colour) + (1 - opacity) * back, back))
    return (shades[1] + 0.05) / (shades[0] + 0.05)


def test_areas_are_seen_in_both_themes():
    pages = re.findall(r"--page: (#\w{6})", (TEMPLATES / "style.css").read_text())
    assert len(pages) == 2
    for colour in (BLUE, ORANGE, GREEN, NEUTRAL):
        for page in pages:
            assert contrast(colour, FAINT, page) > 1.55
            assert contrast(colour, 0.24, page) < 1.45, "as they were, hardly seen on the dark page"


def test_a_map_of_any_shape_reaches_its_colour_bar(scan):
    record = json.loads(scan.interface.read_text())
    for size in ((40.0, 56.0, 48.0), (400.0, 10.0, 8.0), (10.0, 10.0, 4000.0)):
        figure = deviation_figure(record, size)
        first, second = (size[axis] for axis in range(3) if "zyx"[axis] != record["axis"])
        room = figure.layout.meta["width"] - 170, figure.layout.height - 80
        assert room[0] / second == pytest.approx(room[1] / first, rel=0.05) or figure.layout.height == 200
        assert figure.layout.meta["width"] <= 930
