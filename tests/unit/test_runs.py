"""The guard against double runs, and the record of a run; here `squeue` is a script, in tests/slurm the real one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tomoprofile.config import read_config
from tomoprofile.errors import InputError, StageError
from tomoprofile.run.guard import refuse_double_run
from tomoprofile.run.record import begin_run, end_run, read_run
from tomoprofile.samples import Scan

UUID = "0d7a3f60-1c2b-4f7e-9a3c-3f0f8f6d1a2b"


def queue(tmp_path, monkeypatch, text, status=0):
    program = tmp_path / "bin" / "squeue"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("name", "comment"),
    [(UUID, "rule_predict_slab_wildcards_a_z00000"), (f"mine_{UUID}", ""), ("job", "group_x"), (UUID, "(null)")],
)
def test_jobs_of_an_earlier_run_in_this_folder_are_a_reason_to_refuse(tmp_path, monkeypatch, name, comment):
    queue(tmp_path, monkeypatch, f"17|RUNNING|{name}|{comment}|{tmp_path}")
    with pytest.raises(StageError, match=r"1 job of an earlier run(.|\n)*17  RUNNING(.|\n)*scancel 17"):
        refuse_double_run(tmp_path, on_cluster=True)


@pytest.mark.parametrize("line", [f"17|RUNNING|{UUID}|rule_x|/elsewhere", "17|RUNNING|jupyter|(null)|{}", ""])
def test_other_jobs_are_none_of_our_business(tmp_path, monkeypatch, line):
    queue(tmp_path, monkeypatch, line.format(tmp_path))
    refuse_double_run(tmp_path, on_cluster=True)


def test_a_queue_that_does_not_answer_stops_cluster_runs_only(tmp_path, monkeypatch):
    queue(tmp_path, monkeypatch, "", status=1)
    refuse_double_run(tmp_path, on_cluster=False)
    with pytest.raises(StageError, match="Try again when SLURM answers"):
        refuse_double_run(tmp_path, on_cluster=True)


def test_a_run_remembers_what_was_asked_and_whether_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scan = Scan(
        sample="a", path="a.tif", format="tiff_stack", slices=8, rows=4, columns=4, dtype="uint8", voxel_size_um="1"
    )
    config = read_config({"store": {"shard_slices": 4, "slab_slices": 4}})
    begin_run(config, [scan], "9.0")
    run = read_run("results")
    assert run.is_alive()
    assert (run.config, run.scans, run.layout.results) == (config, [scan], tmp_path / "results")
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    assert not run.model_copy(update={"pid": int(ended.stdout)}).is_alive(), "that process is gone"
    end_run("results")
    assert not read_run("results").is_alive()
    with pytest.raises(InputError, match=r"elsewhere: no run has started here\. `snakemake` starts one"):
        read_run("elsewhere")
    Path("results/run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json: there is no record of a run"):
        read_run("results")
