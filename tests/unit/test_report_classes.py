"""The page of a scan with several classes: each has its own sections, numbers and outlines."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from page_parser import Page, figures, ids, values, written
from report_scan import KINDS, ZONE_UM, edited

from tomoprofile.errors import InputError
from tomoprofile.report.links import Links
from tomoprofile.report.page import report_sample
from tomoprofile.report.rendering import Renderer, suffixes_of
from tomoprofile.report.results import Results
from tomoprofile.report.sections import SECTIONS
from tomoprofile.report.segmentation import MeasuredFacts, Segmentation


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
