"""What a page looks like in a browser."""

import io

import numpy as np
from browser import SCREENSHOTS
from PIL import Image


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


def tables_outside_boxes(page):
    """Return what stands in tables that are wider than the page and do not scroll inside a box of their own."""
    return page.evaluate(
        """() => [...document.querySelectorAll("table")].filter((table) => {
          const box = table.closest(".scroll");
          return !box || box.getBoundingClientRect().right > document.documentElement.clientWidth + 1
            || (table.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "auto");
        }).map((table) => table.innerText.slice(0, 60))"""
    )


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
