"""How the coordinator waits for a job: with a limit, also for one that a restarted server has on record for ever."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tomoprofile.federate import flare_jobs
from tomoprofile.federate.flare_jobs import _Commands

# What FLARE 2.9 printed, shortened, for a job during which its server was killed and started again.
WAITED = {"status": "error", "exit_code": 3, "error_code": "TIMEOUT"}
RUNNING = {"status": "ok", "data": {"status": "RUNNING"}}
NOT_RUN = {"status": "error", "exit_code": 1, "error_code": "JOB_NOT_RUNNING"}
RUN = {"status": "ok", "data": {"stats": {}}}


class Answers(_Commands):
    """Commands whose answers are given."""

    def __init__(self, stats, last=WAITED):
        super().__init__(Path(), Path())
        self.stats, self.last, self.asked, self.looks = iter(stats), last, [], []

    def _said(self, *words, limit_s=0):
        self.asked.append(words[0])
        if words[0] == "wait":
            self.looks.append(limit_s)
        if words[0] == "stats":
            return next(self.stats)
        return {"wait": self.last if len(self.looks) > 3 else WAITED, "meta": RUNNING, "abort": {}}[words[0]]


@pytest.mark.parametrize(("doubt", "looks"), [(False, [30, 10]), (True, [10, 10])])
def test_a_job_that_nobody_runs_any_more_is_given_up_soon(doubt, looks, monkeypatch):
    commands = Answers([NOT_RUN, NOT_RUN])
    assert not commands.wait("7", 1000, doubt)
    assert commands.looks == looks
    assert commands.asked[-1] == "abort"
    # The mutant: looks that stay long.
    monkeypatch.setattr(flare_jobs, "_DOUBT_S", flare_jobs._LOOK_S)
    commands = Answers([NOT_RUN, NOT_RUN])
    commands.wait("7", 1000, doubt)
    assert commands.looks != looks


def test_a_job_that_runs_is_waited_for_and_one_pause_is_no_end():
    finished = {"status": "ok", "data": {"status": "FINISHED:COMPLETED"}}
    commands = Answers([NOT_RUN, RUN, NOT_RUN], finished)
    assert commands.wait("7", 1000)
    assert commands.looks == [30, 10, 30, 10]
    assert "abort" not in commands.asked


def test_no_job_is_waited_for_without_a_limit(monkeypatch):
    now = iter(range(0, 1000, 40))
    monkeypatch.setattr(flare_jobs, "time", SimpleNamespace(monotonic=lambda: next(now)))
    commands = Answers([RUN] * 5)
    assert not commands.wait("7", 100)
    assert commands.looks == [30, 30]
    assert commands.asked[-1] == "abort"


def test_what_keeps_the_server_from_answering_is_told_once_and_waited_for(caplog, monkeypatch):
    """As FLARE 2.9 answers while the disk of its server is full, and afterwards."""
    full = {"status": "error", "exit_code": 5, "message": "An unexpected error: [Errno 28] No space left on device."}
    busy = {"status": "error", "exit_code": 5, "message": "Communication Error - please try later"}
    failed = {"status": "error", "exit_code": 1, "data": {"status": "FINISHED_EXCEPTION"}}
    answers = iter([full, full, full, full, busy, full, failed])
    monkeypatch.setattr(_Commands, "_said", lambda *_, **__: next(answers))
    assert not _Commands(Path(), Path()).wait("7", 1000)
    told = [record.getMessage() for record in caplog.records]
    assert ["No space left on device" in one for one in told] == [True, False]
    assert "Communication Error" in told[1]
