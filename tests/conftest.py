"""For all tests."""

import functools
import locale
from pathlib import Path

import pytest

import tomoprofile.segment  # noqa: F401 - says how OpenMP waits, which PyTorch reads when it is loaded

# Their files take minutes.
COSTLY = {"acceptance", "workflow"}


def pytest_collection_modifyitems(items):
    """Begin with the costly files: when one begins last, the other processes of pytest-xdist have nothing to do."""
    items.sort(key=lambda item: item.path.relative_to(Path(__file__).parent).parts[0] not in COSTLY)


def pytest_terminal_summary(terminalreporter):
    """Say at the end what was not tested, where nobody can overlook it."""
    # From the reports, which other processes of pytest-xdist send.
    reasons = {report.longrepr[-1] for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reasons):
        headline, _, remedy = reason.removeprefix("Skipped: ").partition("\n")
        if headline.endswith("WAS NOT TESTED"):
            terminalreporter.section(headline, red=True, bold=True)
            terminalreporter.line(remedy)


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Return what gives the files of a scan by the name of its kind; each kind is measured once."""
    from report_scan import measure_scan

    return functools.cache(lambda kind: measure_scan(tmp_path_factory.mktemp(kind), kind))


@pytest.fixture
def same_locale():
    """Undo what ITK does when it writes DICOM: it leaves another locale, in which texts are read as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)
