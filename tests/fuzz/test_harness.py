"""What watches the readers must see each way in which one can fail."""

import json
import time
from itertools import count

import numpy as np
import pytest
from fuzz import harness
from fuzz.harness import failures

from tomoprofile.errors import Fault, InputError


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"level": 0.5, "name": "a"}))
    return path


def test_a_reader_that_lets_exceptions_through_is_found(record):
    assert any("JSONDecodeError" in text for text in failures(record, lambda: json.loads(record.read_text()), 50, 1))


def test_a_reader_that_refuses_is_fine(record):
    def read():
        try:
            json.loads(record.read_bytes())
        except ValueError:
            raise InputError(Fault(str(record), "", "no JSON", "Write it again.")) from None

    assert failures(record, read, 50, 1) == []


@pytest.mark.parametrize("fault", [Fault("", "", "no file", "Mend it."), Fault("a.json", "", "no remedy", "")])
def test_a_fault_without_file_or_remedy_is_found(record, fault):
    good = record.read_bytes()

    def read():
        if record.read_bytes() != good:
            raise InputError(fault)

    assert "without file" in failures(record, read, 1, 1)[0]


def test_a_reader_that_takes_much_memory_or_time_is_found(record, monkeypatch):
    good = record.read_bytes()
    assert "MB of memory" in failures(record, lambda: record.read_bytes() == good or np.ones(2**25).sum(), 1, 1)[0]
    monkeypatch.setattr(harness, "SECONDS", 0.2)
    assert "TooLong" in failures(record, lambda: record.read_bytes() == good or any(False for _ in count()), 1, 1)[0]
    monkeypatch.setattr(harness, "_WAIT_SECONDS", 1)
    assert "TooLong" in failures(record, lambda: record.read_bytes() == good or time.sleep(20), 1, 1)[0]
