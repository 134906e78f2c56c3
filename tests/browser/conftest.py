"""Open pages in a real browser."""

from __future__ import annotations

import os

import pytest
from browser import REQUIRED, SCREENSHOTS, BrowserError, opened, running_browser

from tomoprofile.report.page import report_sample


@pytest.fixture(scope="session")
def browser(request):
    """Chromium; without it the tests are skipped, said loudly, or fail when it was asked for."""
    try:
        context = running_browser()
        started = context.__enter__()
    except BrowserError as error:
        if os.environ.get(REQUIRED):
            pytest.fail(f"no browser: {error}")
        request.config.stash[NO_BROWSER] = str(error)
        pytest.skip(f"NO BROWSER: {error}")
    SCREENSHOTS.mkdir(exist_ok=True)
    try:
        yield started
    finally:
        context.__exit__(None, None, None)


NO_BROWSER = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter, config):
    """Say at the end what was not tested, where nobody can overlook it."""
    error = config.stash.get(NO_BROWSER, None)
    if error:
        terminalreporter.section("BROWSER WAS NOT TESTED", red=True, bold=True)
        terminalreporter.line(f"{error}\n`make test-browser` fails without Chromium, which root installs from Debian.")


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
