"""For tests of single modules."""

import pytest
from page_parser import written
from profile_scan import many_spheres


@pytest.fixture(scope="session")
def spheres():
    """Labels of many spheres above a tilted substrate."""
    return many_spheres()


@pytest.fixture(scope="session")
def scan(scans):
    """A small scan with everything a page shows."""
    return scans("plain")


@pytest.fixture(scope="session")
def page(scan, tmp_path_factory):
    """Its page: elements and text."""
    return written(scan, tmp_path_factory.mktemp("page") / "report.html")
