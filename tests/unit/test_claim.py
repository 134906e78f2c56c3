"""Who runs here: a living run is never disturbed, a dead one never in the way."""

import errno
import os
import signal
import subprocess
import sys
import time
from datetime import datetime

import pytest

from tomoprofile.errors import StageError
from tomoprofile.layout import Layout
from tomoprofile.run import claim as module
from tomoprofile.run.claim import MARK, Claim, Process, claimed, is_claimed_here, release


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    monkeypatch.setenv(MARK, "")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def sleeper(**variables):
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(100)"]
    process = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


@pytest.fixture
def other():
    """Another living process."""
    process = sleeper()
    yield process
    process.kill()
    process.wait()


def described(pid, **changes):
    return Process.this().model_copy(update={"pid": pid, "begun": module._begun(pid) or 1} | changes)


def claim_of(folder, pid, **changes):
    more = {"token": "t", "since": datetime.now().astimezone(), "results": "results", "work_dir": str(folder)}
    return Claim(**described(pid).model_dump() | more | changes)


def written(folder, claim):
    path = Layout(folder / "results").claim
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(claim.model_dump_json())
    return path


def test_a_living_process_is_alive_until_it_is_killed_even_as_a_zombie(other):
    process = described(other.pid)
    assert process.fate() == "alive"
    os.kill(other.pid, signal.SIGSTOP)
    assert process.fate() == "alive"
    os.kill(other.pid, signal.SIGKILL)
    for _ in range(100):
        if process.fate() == "dead":
            break
        time.sleep(0.05)
    os.kill(other.pid, 0)  # nobody has waited for it: its number is still taken
    assert process.fate() == "dead"


@pytest.mark.parametrize(
    ("changes", "fate"),
    [
        ({"begun": 7}, "dead"),  # the number was given to another process
        ({"boot": "an earlier one"}, "dead"),
        ({"host": "elsewhere"}, "unknown"),
        ({"host": "elsewhere", "boot": "another"}, "unknown"),
        ({"machine": "a namesake"}, "unknown"),
        ({"namespace": "pid:[1]"}, "unknown"),
        ({"machine": "", "boot": "", "namespace": "", "begun": 0}, "alive"),  # as older records are
    ],
)
def test_dead_is_only_who_is_known_to_be(other, changes, fate):
    assert described(other.pid, **changes).fate() == fate


def test_a_claim_holds_while_the_run_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with claimed("results", tmp_path, on_cluster=False):
        assert is_claimed_here("results")
        with (
            pytest.raises(StageError, match=rf"process {os.getpid()} on (.|\n)*kill {os.getpid()}"),
            claimed(tmp_path / "results", tmp_path, on_cluster=False),
        ):
            pass
        assert is_claimed_here("results"), "who is refused leaves the claim alone"
    assert not list((tmp_path / "results").iterdir())
    assert not is_claimed_here("results")


def test_the_claim_of_another_machine_is_refused_until_it_is_released(tmp_path):
    path = written(tmp_path, claim_of(tmp_path, 2**22 + 1, host="beamline7"))
    with (
        pytest.raises(StageError, match=rf"process {2**22 + 1} on beamline7(.|\n)*snakemake --unlock"),
        claimed("results", tmp_path, on_cluster=False),
    ):
        pass
    assert path.exists()
    release(tmp_path / "results")
    assert not path.exists()


def test_what_is_alive_here_cannot_be_released(tmp_path, other):
    path = written(tmp_path, claim_of(tmp_path, other.pid))
    with pytest.raises(StageError, match=f"kill {other.pid}"):
        release(tmp_path / "results")
    assert path.exists()


@pytest.mark.parametrize("text", ["", '{"host": "x"'])
def test_a_claim_that_cannot_be_read_is_nobodys_to_break(tmp_path, text):
    written(tmp_path, claim_of(tmp_path, 1)).write_text(text)
    with pytest.raises(StageError, match="cannot be read"), claimed("results", tmp_path, on_cluster=False):
        pass


def test_a_dead_run_of_somebody_else_may_have_jobs_that_cannot_be_seen(tmp_path):
    written(tmp_path, claim_of(tmp_path, 2**22 + 1, user=4321))
    with pytest.raises(StageError, match=r"id 4321(.|\n)*--unlock"), claimed("results", tmp_path, on_cluster=False):
        pass


def locks(folder, **texts):
    place = folder / ".snakemake/locks"
    place.mkdir(parents=True)
    for name, text in texts.items():
        (place / f"{name}.lock").write_text(text)
    return place


def test_of_a_dead_run_only_its_own_locks_go(tmp_path, capsys):
    place = locks(tmp_path, own="raw.tif\nresults/a/zones.parquet\n", other="results2/a\n", earlier="results/b\n")
    earlier = {"earlier.lock": (place / "earlier.lock").stat().st_mtime_ns}
    written(tmp_path, claim_of(tmp_path, 2**22 + 1, earlier_locks=earlier))
    with claimed("results", tmp_path, on_cluster=False):
        assert sorted(path.name for path in place.iterdir()) == ["earlier.lock", "other.lock"]
    (line,) = capsys.readouterr().out.splitlines()
    assert f"process {2**22 + 1}" in line
    assert "lock files removed: 1;" in line


def test_what_a_dead_run_left_running_is_ended_but_not_jobs_of_slurm(tmp_path, capsys):
    left, of_slurm, unrelated = sleeper(**{MARK: "t"}), sleeper(**{MARK: "t", "SLURM_JOB_ID": "17"}), sleeper()
    try:
        written(tmp_path, claim_of(tmp_path, 2**22 + 1))
        with claimed("results", tmp_path, on_cluster=False):
            left.wait(5)  # raises when it is alive
            assert (of_slurm.poll(), unrelated.poll()) == (None, None)
        assert "gone on: 1." in capsys.readouterr().out
    finally:
        for process in (left, of_slurm, unrelated):
            process.kill()
            process.wait()


def test_jobs_in_the_queue_keep_a_dead_run_from_being_cleared(tmp_path, monkeypatch):
    path = written(tmp_path, claim_of(tmp_path / "elsewhere", 2**22 + 1))

    def guard(work_dir, _):
        if str(work_dir) == str(tmp_path / "elsewhere"):
            raise StageError(module.Fault("queue", "", "a job is alive", "Wait."))

    monkeypatch.setattr(module, "refuse_double_run", guard)
    with pytest.raises(StageError, match="a job is alive"), claimed("results", tmp_path, on_cluster=True):
        pass
    assert path.exists(), "the next run must ask the queue, too"


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", no_links)
    with claimed("results", tmp_path, on_cluster=False):
        assert (tmp_path / "results/claim.json").exists()
        with pytest.raises(StageError, match="going on"), claimed("results", tmp_path, on_cluster=False):
            pass
    assert not list((tmp_path / "results").iterdir())


RACE = """
import sys, time
from tomoprofile.run import claim as module
name, folder, locked = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "locked"
fate = module.Claim.fate
def slow(self):
    found = fate(self)
    time.sleep(0.2 + 0.05 * name if found == "dead" else 0)
    return found
module.Claim.fate = slow
if not locked:
    module.fcntl.flock = lambda *_: None
print("ready", flush=True)
sys.stdin.readline()
try:
    with module.claimed("results", folder, on_cluster=False):
        print("mine", flush=True)
        sys.stdin.read()
except module.StageError:
    print("refused", flush=True)
"""


def race(folder, locked):
    """Let four runs start at once; returns what became of each while the winner goes on."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen([sys.executable, "-c", RACE, str(i), folder, locked], **pipes) for i in range(4)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = []
    for racer in racers:
        line = racer.stdout.readline().strip()
        said.append(line if line in ("mine", "refused") else racer.stdout.readline().strip())
    for racer in racers:
        racer.communicate()
    return sorted(said)


@pytest.mark.parametrize("dead", [False, True], ids=["free", "dead"])
def test_of_several_runs_that_start_at_once_one_gets_the_folder(tmp_path, dead):
    if dead:
        written(tmp_path, claim_of(tmp_path, 2**22 + 1))
    assert race(tmp_path, "locked") == ["mine", "refused", "refused", "refused"]


def test_without_taking_turns_several_would_clear_a_dead_run_and_each_other(tmp_path):
    written(tmp_path, claim_of(tmp_path, 2**22 + 1))
    assert race(tmp_path, "unlocked").count("mine") > 1
