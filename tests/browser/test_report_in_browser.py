"""The page of a scan does in a browser what it promises: without a word of complaint, and without asking anybody."""

import re
import xml.etree.ElementTree as ElementTree
import zlib

import numpy as np
import pandas as pd
import pytest
from browser import SCREENSHOTS, opened
from looks import check_slider, overflows, shots, tables_outside_boxes
from PIL import Image
from report_scan import EDGE, SHAPE
from test_report_beamtime import entry

from tomoprofile.report.beamtime import report_beamtime
from tomoprofile.report.page import report_sample


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_every_width_and_theme_without_complaint(browser, report, width, dark):
    with opened(browser, report, width, dark) as found:
        found.assert_clean()
        assert not overflows(found.page)
        assert tables_outside_boxes(found.page) == []
        back = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = found.page.locator("#plot-profile .ytitle").first.evaluate("e => getComputedStyle(e).fill")
        brightness = [sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(","))) for colour in (back, ink)]
        assert (brightness[0] < brightness[1]) == dark
        shots(found.page, f"{width}_{'dark' if dark else 'light'}")


def test_a_table_that_is_too_wide_scrolls_in_its_box_on_a_phone(browser, report, tmp_path):
    with opened(browser, report, 375) as found:
        wide = "table => table.scrollWidth > table.closest('.scroll').clientWidth"
        assert any(table.evaluate(wide) for table in found.page.locator(".scroll table").all())
    text = report.read_text()
    assert ".scroll { overflow-x: auto;" in text
    mutant = tmp_path / "report.html"
    mutant.write_text(text.replace(".scroll { overflow-x: auto;", ".scroll { "))
    with opened(browser, mutant, 375) as found:
        assert overflows(found.page)
        assert tables_outside_boxes(found.page)


def test_the_index_fits_a_phone(browser, scan, tmp_path):
    entries = [entry(scan, tmp_path, name) for name in ("epoxy_1", "epoxy_2")]
    report_beamtime(entries, [], "Beamtime", tmp_path / "index.html", tmp_path / "comparison.parquet")
    with opened(browser, tmp_path / "index.html", 375) as found:
        assert not overflows(found.page)
        assert tables_outside_boxes(found.page) == []
        box = found.page.locator(".scroll").first
        box.evaluate("box => { box.scrollLeft = 200; }")
        name = found.page.locator("tbody th").first.bounding_box()
        assert name["x"] >= box.bounding_box()["x"] - 1, "the name of the scan stays in sight"
        found.assert_clean()


def test_a_wide_element_would_be_seen(browser, report, tmp_path):
    mutant = tmp_path / "report.html"
    text = report.read_text().replace("<footer>", '<div style="width: 1500px">wide</div><footer>')
    mutant.write_text(text)
    with opened(browser, mutant) as found:
        assert overflows(found.page)


MUTANTS = {
    "an outside image": ("<footer>", '<img src="https://example.org/a.png"><footer>'),
    "an outside image without the policy": ("default-src 'none'; img-src data: blob:", "img-src *"),
    "a script error": ('"use strict";', '"use strict"; notThere();'),
    "a script error later": ("const show = (number) => {", "setTimeout(() => notThere()); const show = (number) => {"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_complaints_and_outside_requests_would_be_seen(browser, report, tmp_path, name):
    text = report.read_text()
    mutant = tmp_path / "report.html"
    if "policy" in name:
        text = text.replace(*MUTANTS["an outside image"])
    assert MUTANTS[name][0] in text
    mutant.write_text(text.replace(*MUTANTS[name]))
    with opened(browser, mutant, wait="error" not in name) as found:
        found.page.wait_for_timeout(500)
        assert bool(found.outside) == ("outside" in name)
        with pytest.raises(AssertionError):
            found.assert_clean()


@pytest.mark.parametrize("name", ["bulk", "interface"])
def test_sliders_move_pictures_and_labels(page, name):
    check_slider(page, name)


def test_a_dead_slider_would_be_seen(browser, report, tmp_path):
    text = report.read_text()
    assert text.count('slider?.addEventListener("input"') == 1
    mutant = tmp_path / "report.html"
    mutant.write_text(text.replace('slider?.addEventListener("input"', 'slider?.addEventListener("nothing"'))
    with opened(browser, mutant) as found, pytest.raises(AssertionError):
        check_slider(found.page, "bulk")


def test_contours_can_be_hidden(page):
    figure = page.locator("#slices-bulk")
    line = figure.locator(".triplet .contour").first
    assert line.is_visible()
    figure.locator("[data-contours]").focus()
    page.keyboard.press("Space")
    assert not line.is_visible()


def test_the_methods_are_copied_and_links_open_what_is_folded(browser, report):
    with opened(browser, report) as found:
        page = found.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy the text").click()
        page.locator("[data-copied]").wait_for()
        words = page.evaluate("navigator.clipboard.readText()")
        assert words.startswith(page.locator("#citing-text p").inner_text()[:200])
        assert "\n[1] " in words
        terms = page.locator("#reading + details")
        assert terms.get_attribute("open") is None
        page.get_by_role("link", name="How to read this").first.click()
        page.wait_for_function("document.querySelector('#reading + details').open")
        found.assert_clean()


def test_printed_pages_show_what_is_folded_and_split_no_card(browser, report):
    with opened(browser, report) as found:
        page = found.page
        closed = page.locator("details:not([open])").count()
        assert closed > 1
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        page.emulate_media(media="print")
        shown = page.locator(".card").evaluate_all("all => all.map(e => getComputedStyle(e).display)")
        assert len(shown) == 5
        assert set(shown) == {"inline-block"}, "an item of a grid may be divided between pages"
        page.emulate_media(media="screen")
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details:not([open])").count() == closed


def test_the_colour_bar_stands_beside_its_map(page):
    plot = page.locator("#plot-interface")
    plot.scroll_into_view_if_needed()
    area, bar = (plot.locator(part).first.bounding_box() for part in (".heatmaplayer image, .hm image", ".cbfills"))
    assert 0 < bar["x"] - (area["x"] + area["width"]) < 60


def test_more_about_diameters_can_be_shown(page):
    shown = "document.getElementById('plot-profile').data.filter(t => t.meta && t.visible).length"
    top = "document.getElementById('plot-profile').layout.yaxis2.range[1]"
    before = page.evaluate(top)
    for i, name in enumerate(("median", "volume-weighted mean", "10th to 90th percentile of the domains"), start=1):
        page.get_by_role("checkbox", name=name).check()
        assert page.evaluate(shown) == i
    page.wait_for_timeout(200)
    assert page.evaluate(top) >= before


def test_hover_tells_how_many_domains_a_bin_has(page):
    point = page.locator("#plot-profile .points path").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    words = page.locator("#plot-profile .hoverlayer").text_content()
    assert "domains, flags:" in words


def test_every_figure_can_be_saved_and_read(page, scan, tmp_path):
    kept = {}
    for link in page.locator("button[data-save], a[download]").all():
        link.scroll_into_view_if_needed()
        with page.expect_download() as saved:
            link.click()
        path = tmp_path / saved.value.suggested_filename
        saved.value.save_as(path)
        kept[path.name.removeprefix("epoxy_1_")] = path
    figures = {"profile", "sizes", "correlation", "learning", "scene", "interface", "baselines"}
    drawn = figures | {"slices_bulk", "slices_interface"}
    assert set(kept) == {f"{name}.{kind}" for name in drawn for kind in ("svg", "png", "csv")} | {
        "zones.csv",
        "breakpoints.csv",
    }
    for path in kept.values():
        if path.suffix == ".csv":
            assert len(pd.read_csv(path)) > 0
        elif path.suffix == ".png":
            picture = Image.open(path).convert("L")
            assert picture.width == 2400
            assert np.ptp(np.asarray(picture)) > 100
        else:
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    domains = pd.read_parquet(scan.domains)
    scene = pd.read_csv(kept["scene.csv"])
    assert len(scene) == len(domains)
    assert scene["equivalent_diameter_um"].sum() == pytest.approx(domains["equivalent_diameter_um"].sum(), rel=1e-3)
    assert np.allclose(np.sort(scene["depth_um"]), np.sort(domains["depth_um"]), atol=0.01)
    outlines = pd.read_csv(kept["slices_bulk.csv"])
    assert set(outlines["picture"]) == {"slice", "zoom"}
    assert outlines["x_um"].between(-EDGE, SHAPE[2] * EDGE + EDGE).all()
    assert outlines["y_um"].between(-EDGE, SHAPE[1] * EDGE + EDGE).all()


def printed_images(paper):
    """Yield the colour pictures of a PDF."""
    for head, stream in re.findall(rb"<<([^>]*/Subtype /Image.*?)>>\s*stream\r?\n(.*?)\r?\nendstream", paper, re.S):
        wide, high = (int(re.search(rb"/" + name + rb" (\d+)", head).group(1)) for name in (b"Width", b"Height"))
        data = zlib.decompress(stream) if b"FlateDecode" in head else b""
        if len(data) == 3 * wide * high:
            yield np.frombuffer(data, np.uint8).reshape(high, wide, 3).astype(int)


def colourful(image):
    """Return the share of pixels that are no greys."""
    return float((image.max(axis=2) - image.min(axis=2) > 40).mean())


def test_prints(browser, report):
    with opened(browser, report, dark=True) as found:
        paper = found.page.pdf()
        assert paper.startswith(b"%PDF")
        assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") + paper.count(b"/Type /Page/") >= 4
        (SCREENSHOTS / "print.pdf").write_bytes(paper)
        assert max(map(colourful, printed_images(paper))) > 0.01, "the scene is on paper, too"
        found.page.emulate_media(media="print")
        assert not found.page.locator("button, input").evaluate_all("all => all.some(e => e.checkVisibility())")
        assert found.page.locator(".triplet svg").first.is_visible()
        found.assert_clean()


def test_without_scripts_the_middle_slice_is_shown_and_nothing_is_dead(browser, report):
    with opened(browser, report, script=False) as found:
        page = found.page
        assert page.locator(".triplet svg:visible").count() == 9  # two triplets, and three outlines of thresholds
        assert page.locator(".triplet .contour:visible").count() == 4
        assert page.locator("button:visible, input:visible").count() == 0
        assert page.get_by_text("Plots and sliders need JavaScript.").is_visible()


def test_focus_can_be_seen_and_the_language_is_told(page):
    assert page.evaluate("document.documentElement.lang") == "en"
    page.keyboard.press("Tab")
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_japanese_page(browser, scan, tmp_path):
    out = tmp_path / "report.html"
    report_sample(scan, "基板からの距離に対するドメイン", out, "ja")
    with opened(browser, out, 390) as found:
        assert not overflows(found.page)
        check_slider(found.page, "bulk")
        assert "深さ (µm)" in found.page.locator("#scene svg text").all_text_contents()
        found.assert_clean()
        shots(found.page, "390_ja")


@pytest.mark.parametrize("kind", ["empty", "none near the substrate", "one slice"])
def test_poor_scans_open_without_complaint(browser, scans, tmp_path, kind):
    out = tmp_path / "report.html"
    report_sample(scans(kind), "Poor", out)
    with opened(browser, out) as found:
        found.page.wait_for_timeout(200)
        found.assert_clean()


def test_the_figures_of_each_class_are_its_own(browser, scans, tmp_path):
    report_sample(scans("two classes"), "Title", tmp_path / "report.html")
    with opened(browser, tmp_path / "report.html") as found:
        page = found.page
        for name in ("domain", "void"):
            page.wait_for_selector(f"#scene-{name}[data-still]")
            assert page.locator(f"#plot-profile-{name} .ytitle").count() == 1
        page.locator('[data-shows=median][data-plot="plot-profile-void"]').check()
        shown = "name => document.getElementById(name).data.filter(trace => trace.meta && trace.visible).length"
        assert page.evaluate(shown, "plot-profile-void") == 1
        assert page.evaluate(shown, "plot-profile-domain") == 0
        assert not overflows(page)
        shots(page, "two_classes")
        found.assert_clean()
