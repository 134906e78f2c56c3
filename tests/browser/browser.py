"""Debian's Chromium, without a screen and without a network, and what it has to say about a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from debian import InstallError, install
from playwright.sync_api import Browser, Page, sync_playwright

# Set by `make test-browser`: then no browser is a failure, not a reason to skip.
REQUIRED = "TOMOPROFILE_BROWSER_REQUIRED"
SCREENSHOTS = Path(__file__).parent / "screenshots"
# WebGL is drawn by the processor; inside a container root has no sandbox.
OPTIONS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
INSIDE = ("file:", "data:", "blob:")


class BrowserError(Exception):
    """Chromium cannot be installed or started here; the message says why."""


def program() -> str:
    """Return the path of Chromium, after installing Debian's package when it is missing."""
    try:
        install(("chromium",), ("chromium",))
    except InstallError as error:
        raise BrowserError(str(error)) from None
    return str(shutil.which("chromium"))


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start Chromium; it ends with the context."""
    path = program()
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        except Exception as error:
            raise BrowserError(f"Chromium does not start: {error}") from error
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page in the browser.

    Attributes
    ----------
    page : Page
    complaints : list of str
        Errors of scripts and of the console, breaches of the page's own policy among them.
    outside : list of str
        Addresses that the page asked for and that are not part of it.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def assert_clean(self) -> None:
        """Fail when anything was asked for or went wrong."""
        assert self.outside == []
        assert self.complaints == []


@contextmanager
def opened(
    browser: Browser, file: Path, width: int = 1280, dark: bool = False, script: bool = True, wait: bool = True
) -> Iterator[Opened]:
    """Open a file and wait until its figures are drawn, unless ``wait`` is false or it has none."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        offline=True,
        accept_downloads=True,
    )
    page = context.new_page()
    page.set_default_timeout(180_000)  # a busy machine is no fault of the page
    found = Opened(page)
    page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda asked: found.outside.append(asked.url) if not asked.url.startswith(INSIDE) else None)
    page.goto(file.as_uri())
    if script and wait and page.locator("[data-figure]").count():
        page.wait_for_selector("html[data-drawn]", state="attached")
    try:
        yield found
    finally:
        context.close()
