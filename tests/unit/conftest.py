"""For tests of single modules."""

import pytest
from profile_scan import many_spheres


@pytest.fixture(scope="session")
def spheres():
    """Labels of many spheres above a tilted substrate."""
    return many_spheres()
