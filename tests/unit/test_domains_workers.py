"""Processes that share a scan: the same table, and a lost one costs its tasks only."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from domains_scan import measure
from scipy import ndimage

from tomoprofile.domains.workers import DaskWorkers, Here, local_cluster, workers_of
from tomoprofile.errors import StageError


def scan():
    rng = np.random.default_rng(5)
    noise = ndimage.gaussian_filter(rng.random((40, 30, 31)), 1)
    return noise > np.quantile(noise, 0.8), rng.integers(0, 2**16, noise.shape).astype("uint16")


def test_processes_give_the_bytes_of_one(tmp_path, caplog):
    mask, grey = scan()
    alone = measure(tmp_path, mask, grey=grey, shard_slices=2)
    digest = (tmp_path / "domains.parquet").read_bytes()
    with workers_of(0, 2, 4000, tmp_path) as several, caplog.at_level(logging.INFO):
        shared = measure(tmp_path, mask, grey=grey, shard_slices=2, workers=several)
    pd.testing.assert_frame_equal(shared, alone, check_exact=True)
    assert (tmp_path / "domains.parquet").read_bytes() == digest
    assert "dashboard: http" in caplog.text
    assert "shards measured 20 of 20" in caplog.text


def words(folder: Path, item: int) -> str:
    """Count the calls for an item in files, and kill the process at the first one for item 5."""
    with (folder / str(item)).open("a") as calls:
        calls.write("x")
    if item == 5 and (folder / "5").stat().st_size == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{item} "


def add(upper: str, lower: str) -> str:
    return upper + lower


class Words:
    """Callable that a process can be sent."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, item):
        return words(self.folder, item)


def test_a_lost_process_costs_its_tasks_only(tmp_path):
    items = list(range(9))
    found = DaskWorkers(local_cluster, 2).reduce(Words(tmp_path), items, add)
    assert found == "0 1 2 3 4 5 6 7 8 ", "joined in order"
    calls = [(tmp_path / str(item)).stat().st_size for item in items]
    assert calls[5] == 2
    assert sum(calls) < 2 * len(items), "others were not all repeated"


class Deadly(Words):
    """Kills whoever calls it with item 1."""

    def __call__(self, item):
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(item)


def test_workers_that_die_again_and_again_are_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(StageError, match="mem_mb"):
        DaskWorkers(local_cluster, 1).reduce(Deadly(tmp_path), [0, 1, 2], add)


class Lonely:
    """A cluster whose only worker is lost at item 1 and does not come back."""

    def __init__(self, _):
        self.cluster = LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1")
        program = ("-m", "distributed.cli.dask_worker", self.cluster.scheduler_address, "--no-nanny", "--no-dashboard")
        self.worker = subprocess.Popen(
            [sys.executable, *program], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        )

    def __enter__(self):
        return self.cluster

    def __exit__(self, *_):
        self.worker.kill()
        self.worker.wait()
        self.cluster.close()


def test_a_worker_that_never_comes_back_is_an_error_and_not_waited_for_for_ever(tmp_path):
    began = time.monotonic()
    with pytest.raises(StageError, match=r"none came back(.|\n)*same command again"):
        DaskWorkers(Lonely, 1, patience_s=5).reduce(Deadly(tmp_path), [0, 1, 2], add)
    assert time.monotonic() - began < 60


def test_without_the_limit_dask_waits(tmp_path):
    """The mutant of the test above: what it must notice."""
    with Lonely(1) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        part = client.submit(Deadly(tmp_path), 1, pure=False)
        with pytest.raises(TimeoutError):
            part.result(timeout=6)
        assert not client.nthreads()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_a_tree_keeps_the_order(count):
    assert Here().reduce(str, list(range(count)), add) == "".join(map(str, range(count)))


@pytest.mark.parametrize("shards", [1, 9])
def test_few_shards_are_not_worth_a_process(shards):
    found = DaskWorkers(lambda _: pytest.fail("a cluster was started"), 8, 5).reduce(str, list(range(shards)), add)
    assert found == "".join(map(str, range(shards)))


def test_a_script_without_a_guard_is_not_run_again_by_its_processes(tmp_path):
    """As the script of a rule is started: processes that ran it again would start processes themselves."""
    script = tmp_path / "rule.py"
    script.write_text(
        "from pathlib import Path\n"
        "from tomoprofile.domains.workers import workers_of\n"
        "print('begun', flush=True)\n"
        "with workers_of(0, 2, 4000, Path('.')) as workers:\n"
        "    print(workers.reduce(str, list(range(16)), str.__add__))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["begun", "0123456789101112131415"]
