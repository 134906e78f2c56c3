"""The scene of a page: it turns, tells the domain that is chosen, and has true sizes and directions."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from browser import opened
from looks import differ, pixels, shots
from report_scan import write_crowded

from tomoprofile.report.page import report_sample


def test_scene_turns_by_mouse_keyboard_and_button(page):
    scene = page.locator("#scene")
    scene.scroll_into_view_if_needed()
    first, top = pixels(page), page.evaluate("scrollY")
    box = scene.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    assert scrolled_to(page) < top
    # To the same place: between two pixels of the screen, the picture would be another one.
    page.evaluate("top => scrollTo({ top, behavior: 'instant' })", top)
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


def test_a_frame_that_comes_late_does_not_replace_the_sharp_picture(page):
    """Where the processor is busy, the picture of a scene that moves is due after that of the scene at rest."""
    scene = page.locator("#scene")
    scene.scroll_into_view_if_needed()
    first = pixels(page)
    page.evaluate(
        """() => {
          window.requestAnimationFrame = (draw) => setTimeout(draw, 600);
          window.cancelAnimationFrame = clearTimeout;
        }"""
    )
    page.get_by_role("button", name="Reset view").click()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(900)
    assert differ(first, pixels(page)) < 0.004


def scrolled_to(page):
    """Return where the page has come to rest after a wheel was turned."""
    places = [page.evaluate("scrollY")]
    while len(places) < 3 or len(set(places[-3:])) > 1:
        page.wait_for_timeout(200)
        places.append(page.evaluate("scrollY"))
    return places[-1]


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


def test_without_webgl_the_page_says_so(browser, report, tmp_path):
    mutant = tmp_path / "report.html"
    mutant.write_text(report.read_text().replace('getContext("webgl2"', 'getContext("nothing"'))
    with opened(browser, mutant) as found:
        assert found.page.get_by_text("This browser cannot draw in three dimensions.").is_visible()
        assert not found.page.locator("#scene").is_visible()
        found.assert_clean()


@pytest.mark.deep
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
