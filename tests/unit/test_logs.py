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
