"""What is made once for several processes of tests."""

from types import SimpleNamespace

import pytest
from made_once import made_once


def process(folder, number, monkeypatch):
    """Return the folders of one of several processes that run tests, as pytest-xdist lays them out."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{number}")
    base = folder / f"popen-gw{number}"
    base.mkdir(exist_ok=True)

    def mktemp(name):
        made = base / f"{name}0"
        made.mkdir()
        return made

    return SimpleNamespace(getbasetemp=lambda: base, mktemp=mktemp)


def test_every_process_has_its_own_copy_of_what_one_has_made(tmp_path, monkeypatch):
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "a").write_text("made")
        (folder / "link").symlink_to("a")

    copies = [made_once(process(tmp_path, number, monkeypatch), "run", make) for number in (0, 1)]
    assert len(calls) == 1
    (copies[0] / "a").write_text("changed")
    assert (copies[1] / "a").read_text() == "made"
    assert (copies[1] / "link").is_symlink()


def test_what_was_made_by_half_is_made_again(tmp_path, monkeypatch):
    def fail(folder):
        (folder / "half").touch()
        raise AssertionError

    with pytest.raises(AssertionError):
        made_once(process(tmp_path, 0, monkeypatch), "run", fail)
    copy = made_once(process(tmp_path, 1, monkeypatch), "run", lambda folder: (folder / "whole").touch())
    assert [path.name for path in copy.iterdir()] == ["whole"]
