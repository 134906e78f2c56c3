"""Open pages in a real browser."""

from __future__ import annotations

import os

import pytest
from browser import REQUIRED, SCREENSHOTS, BrowserError, opened, running_browser

from tomoprofile.report.page import report_sample

REMEDY = "`make test-browser` fails without Chromium, which root installs from Debian."


@pytest.fixture(scope="session")
def browser():
    """Chromium; without it the tests are skipped, said loudly, or fail when it was asked for."""
    try:
        context = running_browser()
        started = context.__enter__()
    except BrowserError as error:
        if os.environ.get(REQUIRED):
            pytest.fail(f"no browser: {error}")
        pytest.skip(f"BROWSER WAS NOT TESTED\n{error}\n{REMEDY}")
    SCREENSHOTS.mkdir(exist_ok=True)
    try:
        yield started
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def scan(scans):
    """A small scan with everything a page shows."""
    return scans("plain")


@pytest.fixture(scope="session")
def report(scan, tmp_path_factory):
    """Its page."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    report_sample(scan, "Domains against the distance from the substrate", out)
    return out


@pytest.fixture
def page(browser, report):
    """The page in the browser, which must not complain until the test ends."""
    with opened(browser, report) as found:
        yield found.page
        found.assert_clean()
