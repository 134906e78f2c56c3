"""Run the real workflow on small real inputs."""

import pytest
from made_once import made_once
from project import Project
from whole_way import run_once


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """An empty working folder, one for each test module."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def whole_way(tmp_path_factory) -> Project:
    """A project in which everything was run once; tests leave it as finished as they find it."""
    return Project(made_once(tmp_path_factory, "whole_way", lambda folder: run_once(Project(folder))))
