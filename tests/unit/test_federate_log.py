"""The log of a federation: whatever is changed in it is found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tomoprofile.errors import FederationError
from tomoprofile.federate import log as module
from tomoprofile.federate.log import append, check_anchors, read_log

SITES = {"site_A": {"cases": 3, "voxels": 1000}, "site_B": {"cases": 5, "voxels": 2000}}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "federation/log.jsonl"
    append(path, "founded", name="torso")
    for number in range(4):
        append(path, "round", round=number, model="0f" * 32, sites=SITES)
    return path


def test_what_was_appended_is_read(log):
    entries = read_log(log)
    assert [entry.event for entry in entries] == ["founded", *["round"] * 4]
    assert [entry.number for entry in entries] == [0, 1, 2, 3, 4]
    assert entries[2].facts == {"round": 1, "model": "0f" * 32, "sites": SITES}
    assert entries[0].previous == "0" * 64
    assert len({entry.digest for entry in entries}) == 5


def changed(line):
    return line.replace(b'"cases":3', b'"cases":4')


def rehashed(line):
    """Return a changed line with a digest of its own that is right."""
    record = json.loads(changed(line))
    facts = {name: value for name, value in record.items() if name not in module._KEPT}
    record["digest"] = module._digest(
        *(record[name] for name in ("number", "time", "event")), facts, record["previous"]
    )
    return module._canonical(record) + b"\n"


TAMPERED = {
    "changed": lambda lines: [*lines[:2], changed(lines[2]), *lines[3:]],
    "last changed": lambda lines: [*lines[:4], changed(lines[4])],
    "changed and hashed anew": lambda lines: [*lines[:2], rehashed(lines[2]), *lines[3:]],
    "last changed and hashed anew": lambda lines: [*lines[:4], rehashed(lines[4])],
    "removed": lambda lines: [*lines[:2], *lines[3:]],
    "first removed": lambda lines: lines[1:],
    "doubled": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "moved": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "end cut off": lambda lines: lines[:-1],
    "all cut off": lambda lines: lines[:0],
    "half a line": lambda lines: [*lines[:-1], lines[-1][:50]],
    "foreign line": lambda lines: [*lines, b"{}\n"],
    "empty line": lambda lines: [lines[0], b"\n", *lines[1:]],
    "other spelling": lambda lines: [lines[0].replace(b":", b": ", 1), *lines[1:]],
    "doubled key": lambda lines: [lines[0].replace(b'{"', b'{"name":"x","', 1), *lines[1:]],
    "deep nesting": lambda lines: [*lines[:-1], b"[" * 100_000 + b"\n"],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_every_change_is_found(log, how):
    lines = log.read_bytes().splitlines(keepends=True)
    tampered = TAMPERED[how](lines)
    assert tampered != lines
    log.write_bytes(b"".join(tampered))
    with pytest.raises(FederationError) as caught:
        read_log(log)
    assert str(log) in str(caught.value)
    assert "docs/federation.md" in str(caught.value)


def test_a_changed_log_takes_no_further_line(log):
    log.write_bytes(changed(log.read_bytes()))
    before = log.read_bytes()
    with pytest.raises(FederationError, match="changed after"):
        append(log, "round", round=4)
    assert log.read_bytes() == before


def test_a_log_written_anew_is_found_by_what_the_sites_saw(log):
    """Whoever can write the file can write a new chain, which holds; only others can tell."""
    anchors = [entry.anchor for entry in read_log(log)]
    assert check_anchors(log, anchors) == 5
    end = log.with_name(".log.jsonl.end")
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]))
    end.unlink()
    assert len(read_log(log)) == 3, "the chain itself cannot tell"
    with pytest.raises(FederationError, match=r"log.jsonl:5: the line that a site has seen is not there"):
        check_anchors(log, anchors[-1:])
    append(log, "round", round=2, model="aa" * 32, sites=SITES)
    append(log, "round", round=3, model="bb" * 32, sites=SITES)
    with pytest.raises(FederationError, match=r"log.jsonl:5: the line is not the one"):
        check_anchors(log, anchors[-1:])
    with pytest.raises(FederationError, match="is not there"):
        check_anchors(log, [(-1, anchors[-1][1])])


def test_a_killed_process_costs_its_own_line_alone(log):
    lines = log.read_bytes().splitlines(keepends=True)
    last = append(log, "round", round=4)
    log.write_bytes(log.read_bytes() + lines[-1][:30])
    with pytest.raises(FederationError, match="not finished"):
        read_log(log)
    after = append(log, "round", round=5)
    assert after.previous == last.digest
    assert log.with_name("log.jsonl.unfinished").read_bytes() == lines[-1][:30]
    # Killed between the line and the note that it is the last.
    end = log.with_name(".log.jsonl.end")
    noted = end.read_text()
    append(log, "round", round=6)
    end.write_text(noted)
    assert read_log(log)[-1].facts == {"round": 6}


def test_several_processes_write_one_chain(log):
    code = (
        "import sys; from pathlib import Path; from tomoprofile.federate.log import append\n"
        "for n in range(20): append(Path(sys.argv[1]), 'round', round=n, who=sys.argv[2])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    running = [subprocess.Popen([sys.executable, "-c", code, str(log), who], env=environment) for who in "ab"]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    entries = read_log(log)
    assert len(entries) == 45
    for who in "ab":
        assert [entry.facts["round"] for entry in entries if entry.facts.get("who") == who] == list(range(20))


def test_facts_that_would_hide_the_chain_or_are_no_numbers_are_refused(log):
    for facts in ({"digest": "x"}, {"loss": float("nan")}):
        with pytest.raises(ValueError):
            append(log, "round", **facts)
    assert len(read_log(log)) == 5


def test_no_log_is_told(tmp_path):
    with pytest.raises(FederationError, match="there is no log"):
        read_log(tmp_path / "log.jsonl")


@pytest.mark.parametrize(("check", "hidden"), [("_follows", "moved"), ("_unchanged", "last changed")])
def test_each_check_is_what_finds_it(log, monkeypatch, check, hidden):
    """The mutants: without one of them, a log that was changed passes."""
    log.write_bytes(b"".join(TAMPERED[hidden](log.read_bytes().splitlines(keepends=True))))
    monkeypatch.setattr(module, check, lambda *_: True)
    read_log(log)


def test_the_note_of_the_end_is_what_finds_a_missing_one(log):
    log.write_bytes(b"".join(TAMPERED["end cut off"](log.read_bytes().splitlines(keepends=True))))
    log.with_name(".log.jsonl.end").unlink()
    read_log(log)
