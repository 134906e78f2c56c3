"""Run the real workflow on small real inputs."""

import pytest
from project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """An empty working folder, one for each test module."""
    return Project(tmp_path_factory.mktemp("project"))
