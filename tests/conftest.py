"""For all tests."""

import functools
import locale

import pytest

import tomoprofile.segment  # noqa: F401 - says how OpenMP waits, which PyTorch reads when it is loaded


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
