"""The script of `make demo-federation`: its programs end with it, whatever happens; its settings belong together."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import programs
import psutil
import pytest
import yaml
from programs import DemoError

from tomoprofile.config import read_config
from tomoprofile.federate.folders import read_data_contract

DEMO = Path(programs.__file__).parent
SLEEP = "import time; time.sleep(300)"
# As FLARE does: a process below it that is the head of a session of its own, and listens to no polite request.
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
PARENT = f"""
import subprocess, sys
below = subprocess.Popen([sys.executable, "-c", {DEAF!r}], start_new_session=True, stdout=subprocess.PIPE)
below.stdout.readline()
print(below.pid, flush=True)
below.wait()
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(programs, "_GRACE_S", 0.5)


def child_of(program):
    end = time.monotonic() + 60
    while not (told := program.out.read_text()).endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.05)
    return int(told)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_program_prints_is_returned_and_a_failure_is_told_with_its_last_words(tmp_path):
    with programs.programs() as running:
        assert running.call(tmp_path, sys.executable, "-c", "print(7)") == "7\n"
        with pytest.raises(DemoError, match=r"ended with status 3;.*\nthe reason"):
            running.call(
                tmp_path, sys.executable, "-c", "import sys; print('the reason', file=sys.stderr); sys.exit(3)"
            )


def test_no_wait_is_without_a_limit_and_none_goes_on_without_its_server(tmp_path):
    with programs.programs() as running:
        with pytest.raises(DemoError, match=r"did not end in 0.3 s"):
            running.call(tmp_path, sys.executable, "-c", SLEEP, limit_s=0.3)
        server = running.begin(tmp_path, sys.executable, "-c", "")
        with pytest.raises(DemoError, match="ended too early"):
            running.wait([running.started[0]], 60, while_runs=[server])


def one_of_many_fails(folder, below):
    with programs.programs() as running:
        other = running.begin(folder, sys.executable, "-c", PARENT)
        below.append(child_of(other))
        assert alive(below[0])
        running.wait([other, running.begin(folder, sys.executable, "-c", "raise SystemExit(1)")], 60)


def test_nothing_is_left_behind_when_one_program_of_many_fails(tmp_path):
    below = []
    with pytest.raises(DemoError, match="status 1"):
        one_of_many_fails(tmp_path, below)
    assert not alive(below[0])


def test_only_the_whole_family_is_enough(tmp_path, monkeypatch):
    """The mutant: with the program itself alone ended, what it started goes on."""
    monkeypatch.setattr(programs, "_family", lambda pid: [psutil.Process(pid)])
    with programs.programs() as running:
        below = child_of(running.begin(tmp_path, sys.executable, "-c", PARENT))
    assert alive(below)
    psutil.Process(below).kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_script_ends_all_that_it_started(tmp_path, number):
    script = f"""
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from pathlib import Path
    import programs
    programs._GRACE_S = 0.5
    with programs.programs() as running:
        program = running.begin(Path({str(tmp_path)!r}), sys.executable, "-c", {PARENT!r})
        running.wait([program], 200)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    process = subprocess.Popen(command, cwd=DEMO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (said := [path.read_text() for path in tmp_path.glob("said/*.out")]) or not said[0].endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert not alive(int(said[0]))


def test_the_settings_of_the_demo_are_those_that_it_asks_for():
    model = yaml.safe_load((DEMO / "model.yaml").read_text())
    read = read_config({"models": {"together": model}}).models["together"]
    assert tuple(read.classes) == read_data_contract(DEMO / "data.yaml").classes
    assert read.train.rounds * read.train.round_steps == read.steps, "alone and together as many steps"
