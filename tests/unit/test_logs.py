import logging
import warnings

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


def test_progress_and_warnings_reach_the_log_and_nothing_stays_behind(tmp_path):
    log = tmp_path / "rule.log"
    with rule_logging(log):
        assert list(progress(range(3), 3, "slices", every_s=0)) == [0, 1, 2]
        warnings.warn("something odd", stacklevel=1)
    text = log.read_text()
    assert "slices 1 of 3" in text
    assert "slices 3 of 3" in text
    assert "something odd" in text
    assert "done in" in text
    assert not [handler for handler in LOG.handlers if isinstance(handler, logging.FileHandler)]
