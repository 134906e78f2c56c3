import errno
import logging
import subprocess
import sys

import pytest

from tomoprofile.errors import Fault, InputError
from tomoprofile.logs import LOG, progress, rule_logging


def test_a_users_fault_ends_with_status_1_and_its_message_in_log_and_stderr(tmp_path, capsys):
    log = tmp_path / "logs" / "rule.log"
    with pytest.raises(SystemExit) as caught, rule_logging(log):
        raise InputError(Fault("a.tif", "7", "is wrong", "Mend it."))
    assert caught.value.code == 1
    assert "a.tif: is wrong (got 7). Mend it." in log.read_text()
    assert "Traceback" not in log.read_text()
    assert "Mend it." in capsys.readouterr().err


def test_a_fault_of_the_program_leaves_its_traceback_in_the_log(tmp_path):
    with pytest.raises(ZeroDivisionError), rule_logging(tmp_path / "rule.log"):
        print(1 / 0)
    assert "Traceback" in (tmp_path / "rule.log").read_text()


def test_progress_reaches_the_log_and_nothing_stays_behind(tmp_path):
    log = tmp_path / "rule.log"
    with rule_logging(log):
        assert list(progress(range(3), 3, "slices", every_s=0)) == [0, 1, 2]
    text = log.read_text()
    assert "slices 1 of 3" in text
    assert "slices 3 of 3" in text
    assert "done in" in text
    assert not [handler for handler in LOG.handlers if isinstance(handler, logging.FileHandler)]


def test_warnings_of_libraries_go_to_the_log_not_to_the_terminal(tmp_path):
    # In a process of its own: pytest collects warnings itself.
    log = tmp_path / "rule.log"
    code = (
        "import warnings; from tomoprofile.logs import rule_logging\n"
        f"with rule_logging({str(log)!r}): warnings.warn('something odd')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "something odd" in log.read_text()
    assert "something odd" not in done.stderr


def on_a_full_disk(tmp_path, before=""):
    """Run a job whose log cannot be written: /dev/full refuses every byte."""
    (tmp_path / "rule.log").symlink_to("/dev/full")
    code = (
        "import logging\nfrom tomoprofile import logs\n"
        f"{before}\n"
        f"with logs.rule_logging({str(tmp_path / 'rule.log')!r}) as log:\n"
        "    for number in range(20): log.info('slice %d', number)\n"
        f"    open({str(tmp_path / 'result')!r}, 'w').write('done')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_log_that_cannot_be_written_neither_fails_a_finished_job_nor_fills_the_terminal(tmp_path):
    done = on_a_full_disk(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "result").read_text() == "done"
    assert done.stderr.count("the log is not complete: [Errno 28]") == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_plain_log_fills_the_terminal(tmp_path):
    """The mutant: the handler of the standard library."""
    done = on_a_full_disk(tmp_path, "logs._RuleLog = logging.FileHandler")
    assert done.stderr.count("--- Logging error ---") > 20
    assert done.returncode != 0


def test_a_log_that_cannot_be_begun_is_a_message(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "rule.log")

    monkeypatch.setattr("tomoprofile.logs._RuleLog", full)
    with pytest.raises(SystemExit), rule_logging(tmp_path / "rule.log"):
        pytest.fail("nothing may run without a log")
    assert "Free some space" in capsys.readouterr().err
