"""The page of a scan does in a browser what it promises: without a word of complaint, and without asking anybody."""

import io
import re
import xml.etree.ElementTree as ElementTree
import zlib
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from browser import SCREENSHOTS, opened
from PIL import Image
from report_scan import EDGE, SHAPE, write_crowded
from test_report_beamtime import entry

from tomoprofile.report.beamtime import report_beamtime
from tomoprofile.report.page import report_sample


@pytest.fixture
def page(browser, report):
    with opened(browser, report) as found:
        yield found.page
        found.assert_clean()


def pixels(page):
    """Return the picture of the scene once it has come to rest."""
    page.wait_for_selector("#scene[data-still]")
    return np.asarray(Image.open(io.BytesIO(page.locator("#scene").screenshot())).convert("RGB"), int)


def differ(first, second):
    """Return the share of pixels that changed visibly."""
    return float((np.abs(first - second).max(axis=2) > 24).mean())


def shots(page, name):
    """Keep pictures of all parts of the page, for people."""
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    for i, part in enumerate(page.locator("header, section, figure, .scroll:not([hidden])").all()):
        part.screenshot(path=SCREENSHOTS / f"{name}_{i:02d}.png")


def overflows(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


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


def tables_outside_boxes(page):
    """Return what stands in tables that are wider than the page and do not scroll inside a box of their own."""
    return page.evaluate(
        """() => [...document.querySelectorAll("table")].filter((table) => {
          const box = table.closest(".scroll");
          return !box || box.getBoundingClientRect().right > document.documentElement.clientWidth + 1
            || (table.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "auto");
        }).map((table) => table.innerText.slice(0, 60))"""
    )


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


def check_slider(page, name):
    """Move the slider of a triplet by keyboard, and see that label and pictures follow."""
    figure = page.locator(f"#slices-{name}")
    slider = figure.locator("input[type=range]")

    def state():
        images = figure.locator(".triplet image").evaluate_all("all => all.map(e => e.getAttribute('href'))")
        return figure.locator("[data-shown=place]").inner_text(), slider.get_attribute("aria-valuetext"), images

    first = state()
    seen = {first[0]}
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(8):
        place, told, images = state()
        assert place == told
        assert images[1] == images[2]
        seen.add(place)
        page.keyboard.press("ArrowRight")
    assert len(seen | {state()[0]}) == 9, "nine slices, each with its own label"
    assert state()[2][0] != first[2][0]
    lines = figure.locator(".triplet > div").evaluate_all("all => all.map(e => e.querySelectorAll('.contour').length)")
    assert lines[2] == 0
    assert lines[0] == 1


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


def test_scene_turns_by_mouse_keyboard_and_button(page):
    scene = page.locator("#scene")
    scene.scroll_into_view_if_needed()
    first = pixels(page)
    box = scene.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(300)
    scene.scroll_into_view_if_needed()
    assert differ(first, pixels(page)) < 0.004, "who scrolls past does not scale it"
    box = scene.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 120, box["y"] + box["height"] / 2 + 30, steps=4)
    page.mouse.up()
    seen = [first, pixels(page)]
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
        seen.append(pixels(page))
    for name in ("Rotate right", "From below", "Zoom out"):
        page.get_by_role("button", name=name, exact=True).click()
        seen.append(pixels(page))
    page.get_by_role("radio", name="diameter").check()
    seen.append(pixels(page))
    for before, after in pairwise(seen):
        assert differ(before, after) > 0.005
    page.get_by_role("radio", name="depth").check()
    page.get_by_role("button", name="Reset view").click()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    assert differ(first, pixels(page)) < 0.004


def choose_by_sweeping(page):
    """Click on a lattice over the scene until a domain is chosen; return its row."""
    scene, row = page.locator("#scene"), page.locator("[data-chosen]")
    box = scene.bounding_box()
    for down in np.linspace(0.2, 0.8, 13):
        for right in np.linspace(0.3, 0.7, 13):
            page.mouse.click(box["x"] + right * box["width"], box["y"] + down * box["height"])
            if row.is_visible():
                return {cell.get_attribute("data-cell"): cell.inner_text() for cell in row.locator("[data-cell]").all()}
    return None


def test_a_click_on_a_domain_shows_its_row(page, scan):
    page.locator("#scene").scroll_into_view_if_needed()
    assert not page.locator("[data-chosen]").is_visible()
    cells = choose_by_sweeping(page)
    assert cells is not None
    row = pd.read_parquet(scan.domains).set_index("domain_id").loc[int(cells["id"])]
    assert float(cells["diameter"]) == pytest.approx(row["equivalent_diameter_um"], abs=0.01)
    assert float(cells["depth"]) == pytest.approx(row["depth_um"], abs=0.1)
    for axis in "xyz":
        assert float(cells[axis]) == pytest.approx(row[f"centroid_{axis}_um"], abs=0.1)
    assert page.locator("#scene svg .chosen").count() == 1
    box = page.locator("#scene").bounding_box()
    page.mouse.click(box["x"] + 4, box["y"] + 4)
    assert not page.locator("[data-chosen]").is_visible(), "a click beside all domains chooses none"


def test_depths_can_be_cut_away(page, scan):
    depth = pd.read_parquet(scan.domains)["depth_um"]
    page.locator("#scene").scroll_into_view_if_needed()
    first = pixels(page)
    low, high = page.locator("[data-cut]").all()
    least, most = float(low.get_attribute("min")), float(low.get_attribute("max"))
    assert least <= depth.min()
    assert depth.max() <= most
    high.fill(f"{least:g}")
    none = pixels(page)
    coloured = [int((shown.max(axis=2) - shown.min(axis=2) > 40)[:-60].sum()) for shown in (first, none)]
    assert coloured[0] > 1000
    assert coloured[1] == 0, "no domain lies before the first"
    high.fill(f"{most:g}")
    assert differ(first, pixels(page)) < 0.004
    low.fill(f"{depth.median():.2f}".rstrip("0"))
    assert differ(first, pixels(page)) > 0.005
    shown = page.locator("[data-cut-shown]").inner_text()
    assert float(shown.split()[0]) == pytest.approx(depth.median(), rel=0.01)
    cells = choose_by_sweeping(page)
    assert cells is None or float(cells["depth"]) >= depth.median() - 0.1, "what is cut away cannot be chosen"


@pytest.mark.parametrize("kind", ["plain", "depth along z", "depth against y", "depth along x"])
def test_up_and_right_are_those_of_the_slices(browser, scans, tmp_path, kind):
    """Rows of the pictures point down and columns to the right; so do their axes in the scene."""
    report_sample(scans(kind), "Up", tmp_path / "report.html")
    rows = "z" if kind.endswith("z") else "y"
    with opened(browser, tmp_path / "report.html") as found:
        found.page.wait_for_selector("#scene[data-still]")
        numbers = found.page.locator("#scene svg text").evaluate_all(
            "all => all.map(e => [e.textContent, Number(e.getAttribute('x')), Number(e.getAttribute('y'))])"
        )
        places = {text: (x, y) for text, x, y in numbers if text.endswith("(µm)")}
        size = pd.read_parquet(scans(kind).domains)[[f"centroid_{axis}_um" for axis in "xyz"]].max()

        def ends(axis):
            """The two numbers beside the name of an axis: 0, and the length."""
            x0, y0 = places[f"{axis} (µm)"]
            near = sorted(
                (abs(x - x0) + abs(y - y0), text, x, y) for text, x, y in numbers if re.fullmatch(r"\d+", text)
            )
            zero = next(entry for entry in near if entry[1] == "0")
            other = next(
                entry for entry in near if entry[1] != "0" and float(entry[1]) >= size[f"centroid_{axis}_um"] - 1
            )
            return zero[2:], other[2:]

        zero, end = ends(rows)
        assert end[1] > zero[1] + 50, f"{rows} grows downwards"
        zero, end = ends("x")
        assert end[0] > zero[0] + 50, "x grows to the right"
        found.assert_clean()


def test_a_scene_without_a_size_waits_until_it_has_one(browser, report):
    with opened(browser, report) as found:
        page = found.page
        page.wait_for_selector("#scene[data-still]")
        for style in ("none", "block"):
            page.evaluate("style => { document.getElementById('scene').style.display = style; }", style)
            page.evaluate("window.dispatchEvent(new Event('resize')); window.dispatchEvent(new Event('beforeprint'))")
            page.evaluate("window.dispatchEvent(new Event('afterprint'))")
            page.wait_for_timeout(300)
        for width in ("0", "0.3px", "40px", "100%"):
            page.evaluate("width => { document.getElementById('scene').style.width = width; }", width)
            page.wait_for_timeout(300)
        page.wait_for_selector("#scene[data-still]")
        assert (pixels(page).max(axis=2) - pixels(page).min(axis=2) > 40).sum() > 1000, "drawn again"
        found.assert_clean()


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


def test_spheres_have_their_true_size(page, scan):
    """The area of the picture that spheres cover is that of their circles, less what hides behind others."""
    domains = pd.read_parquet(scan.domains)
    page.locator("#scene").scroll_into_view_if_needed()
    bar = page.locator("#scene svg rect").first
    per_um = float(bar.get_attribute("width")) / float(
        page.locator("#scene svg text", has_text="µm").all_text_contents()[-2].split()[0]
    )
    colours = pixels(page)
    coloured = (colours.max(axis=2) - colours.min(axis=2)) > 40
    coloured[-60:] = False
    wanted = (np.pi / 4 * domains["equivalent_diameter_um"] ** 2).sum() * per_um**2
    assert 0.6 * wanted < coloured.sum() < 1.05 * wanted


def test_axes_say_what_they_show(page):
    titles = {
        name: page.locator(
            f"#plot-{name} :is(.xtitle, .x2title, .x3title, .ytitle, .y2title, .y3title)"
        ).all_text_contents()
        for name in ("profile", "sizes", "correlation", "learning")
    }
    assert set(titles["profile"]) == {
        "Distance from the substrate (µm)",
        "Volume fraction (%)",
        "Mean diameter (µm)",
        "Number density (mm⁻³)",
    }
    assert "Equivalent diameter (µm)" in titles["sizes"]
    assert set(titles["correlation"]) == {"Lag (µm)", "S2", "Autocovariance"}
    assert set(titles["learning"]) == {"Training step", "Loss"}
    words = page.locator("#scene svg text").all_text_contents()
    assert {"x (µm)", "y (µm)", "z (µm)", "Depth (µm)"} <= set(words)
    page.get_by_role("radio", name="diameter").check()
    assert "Diameter (µm)" in page.locator("#scene svg text").all_text_contents()


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


def test_without_webgl_the_page_says_so(browser, report, tmp_path):
    mutant = tmp_path / "report.html"
    mutant.write_text(report.read_text().replace('getContext("webgl2"', 'getContext("nothing"'))
    with opened(browser, mutant) as found:
        assert found.page.get_by_text("This browser cannot draw in three dimensions.").is_visible()
        assert not found.page.locator("#scene").is_visible()
        found.assert_clean()


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


def test_a_hundred_thousand_domains(browser, scan, tmp_path):
    out = tmp_path / "report.html"
    report_sample(write_crowded(scan, tmp_path), "Crowded", out)
    assert out.stat().st_size < 20e6
    with opened(browser, out) as found:
        assert "All 100 000 domains are drawn." in found.page.locator("#scene-words").inner_text().replace(
            "\u202f", " "
        )
        scene = found.page.locator("#scene")
        scene.scroll_into_view_if_needed()
        first = pixels(found.page)
        scene.focus()
        found.page.keyboard.press("ArrowLeft")
        assert differ(first, pixels(found.page)) > 0.02
        shots(found.page, "crowded")
        found.assert_clean()
