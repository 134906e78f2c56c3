"""Who measures the shards of a scan: this process, processes of this machine, or jobs on a SLURM cluster.

Dask's scheduler runs whatever it is sent, so anyone who reaches its port could act as the user. All its connections are
therefore encrypted and need certificates that are made for one run and discarded after it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import Fault, StageError
from ..logs import LOG, progress

Item = TypeVar("Item")
Result = TypeVar("Result")

_SCRIPTS = Path(__file__).parents[2]
_LEAST_MINUTES = 10
_SHARDS_A_PROCESS = 8  # a shard takes a third of a second, a process three seconds to start
_PATIENCE_S = 3600.0  # for the queue of a cluster
_LOCAL_PATIENCE_S = 120.0  # for a process of this machine, which takes three seconds to start
_LOOK_S = 5.0
_NO_WORKER = (
    "Run the same command again; when that does not help, give the rule more memory (`mem_mb`) or fewer threads, and "
    "with `objects.slurm_workers` check the queue (`squeue`) or set it to 0."
)


class Workers(Protocol):
    """Whoever measures the parts of a scan, which are joined as a tree in the process that asks for them."""

    def reduce(
        self, measure: Callable[[Item], Result], items: Sequence[Item], join: Callable[[Result, Result], Result]
    ) -> Result:
        """Return ``measure`` of all items, joined in their order; there must be at least one item."""
        ...


class Here:
    """The process itself: one item after the other, with one of them and what is joined in memory."""

    def reduce(
        self, measure: Callable[[Item], Result], items: Sequence[Item], join: Callable[[Result, Result], Result]
    ) -> Result:
        """See :class:`Workers`."""
        return _joined(map(measure, items), len(items), join)


def _joined(parts: Iterable[Result], count: int, join: Callable[[Result, Result], Result]) -> Result:
    """Join parts as they come, as a tree: always two of the same size, so that little is copied."""
    waiting: list[tuple[int, Result]] = []  # trees and the number of parts in each; few, and ever smaller
    for part in progress(parts, count, "shards measured"):
        waiting.append((1, part))
        while len(waiting) > 1 and waiting[-1][0] == waiting[-2][0]:
            _join_last(waiting, join)
    while len(waiting) > 1:
        _join_last(waiting, join)
    return waiting[0][1]


def _join_last(waiting: list[tuple[int, Any]], join: Callable[[Any, Any], Any]) -> None:
    count, lower = waiting.pop()
    more, upper = waiting.pop()
    waiting.append((more + count, join(upper, lower)))


class DaskWorkers:
    """Workers of a Dask cluster, which is started only when there is something to share.

    When a worker is lost, only its tasks run again.

    Parameters
    ----------
    start : callable
        Returns a cluster of a given number of workers.
    most : int
        Largest number of workers.
    least_items : int
        Number of items that justify a worker, which takes seconds to start; with fewer than two workers there is no
        cluster.
    patience_s : float
        How long to go on without any worker, in seconds: at the beginning, and when all are lost and none comes back.
    """

    def __init__(
        self, start: Callable[[int], Any], most: int, least_items: int = 1, patience_s: float = _PATIENCE_S
    ) -> None:
        self._start, self._most, self._least_items, self._patience_s = start, most, least_items, patience_s

    def reduce(
        self, measure: Callable[[Item], Result], items: Sequence[Item], join: Callable[[Result, Result], Result]
    ) -> Result:
        """See :class:`Workers`.

        Raises
        ------
        StageError
            When workers die repeatedly, none starts, or all are lost.
        """
        count = min(self._most, len(items) // self._least_items)
        if count < 2 and self._most > 1:
            return Here().reduce(measure, items, join)
        from distributed import Client, KilledWorker

        with self._start(count) as cluster, Client(cluster) as client:
            LOG.info("Dask's dashboard: %s", client.dashboard_link)
            try:
                client.wait_for_workers(1, timeout=self._patience_s)
                parts = client.map(measure, items, pure=False)
                return _joined(_fetched(parts, client, self._patience_s), len(parts), join)
            except KilledWorker as error:
                remedy = "Read the logs of the workers; give the rule more memory (`mem_mb`) or fewer threads."
                raise StageError(Fault("Dask", "", f"workers died repeatedly: {error}", remedy)) from None
            except TimeoutError:
                problem = f"no worker started within {self._patience_s / 60:g} minutes"
                raise StageError(Fault("Dask", "", problem, _NO_WORKER)) from None


def _fetched(parts: list[Any], client: Any, patience_s: float) -> Iterator[Any]:
    """Yield results in order, each sent once: joined by the workers, sums would travel at every level of the tree."""
    while parts:
        part = parts.pop(0)
        _wait(part, client, patience_s)
        yield part.result()
        part.release()


def _wait(part: Any, client: Any, patience_s: float) -> None:
    """Wait for a result as long as there are workers: Dask itself would wait for ever for one that does not return."""
    from distributed import wait

    seen = time.monotonic()
    while not part.done():
        with suppress(TimeoutError):
            wait([part], timeout=min(_LOOK_S, patience_s))
        if client.nthreads():
            seen = time.monotonic()
        elif time.monotonic() - seen > patience_s:
            problem = f"all workers were lost, and none came back within {patience_s / 60:g} minutes"
            raise StageError(Fault("Dask", "", problem, _NO_WORKER))


@contextmanager
def workers_of(slurm_workers: int, threads: int, mem_mb: int, folder: Path) -> Iterator[Workers]:
    """Choose who measures.

    Parameters
    ----------
    slurm_workers : int
        Number of SLURM jobs that share the work, in the partition and account of this job; 0 for processes of this
        machine.
    threads : int
        Largest number of processes of this machine; 1 for this process alone.
    mem_mb : int
        Memory of this job in megabytes, which its processes share; a SLURM worker gets as much as one of them.
    folder : Path
        For the logs and certificates of SLURM workers; all nodes must see it.
    """
    each_mb = 1000 + mem_mb // max(1, threads)
    if slurm_workers:
        yield DaskWorkers(lambda count: _slurm_cluster(count, each_mb, folder), slurm_workers)
    elif threads > 1:
        with _script_not_run_again():
            yield DaskWorkers(local_cluster, threads, _SHARDS_A_PROCESS, _LOCAL_PATIENCE_S)
    else:
        yield Here()


@contextmanager
def _script_not_run_again() -> Iterator[None]:
    """Keep new processes from running the script that starts them: the script of a rule has no `__main__` guard.

    `multiprocessing` runs the file of `__main__` again, unless `__main__` has no file.
    """
    main = sys.modules["__main__"]
    file = main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main.__file__ = file


def local_cluster(processes: int) -> Any:
    """Start a cluster of processes of this machine."""
    from distributed import LocalCluster, Security

    # The job scheduler limits the memory: a second limit would kill workers that keep to the first.
    return LocalCluster(
        n_workers=processes,
        threads_per_worker=1,
        memory_limit=None,
        dashboard_address="127.0.0.1:0",
        protocol="tls://",
        security=Security.temporary(),
        host="127.0.0.1",
    )


def _slurm_cluster(jobs: int, each_mb: int, folder: Path) -> Any:
    from dask_jobqueue import SLURMCluster
    from distributed import Security

    folder.mkdir(parents=True, exist_ok=True)
    cluster = SLURMCluster(
        job_name="tomoprofile-dask",
        cores=1,
        processes=1,
        memory=f"{each_mb}MB",
        walltime=_minutes_left(),
        queue=os.environ.get("SLURM_JOB_PARTITION"),
        account=os.environ.get("SLURM_JOB_ACCOUNT"),
        python=sys.executable,
        local_directory=str(folder),
        log_directory=str(folder),
        job_script_prologue=[f"export PYTHONPATH={_SCRIPTS}:$PYTHONPATH", "export OMP_NUM_THREADS=1"],
        protocol="tls://",
        security=Security.temporary(),
        shared_temp_directory=str(folder),
        scheduler_options={"dashboard_address": ":0"},
    )
    cluster.scale(jobs=jobs)
    LOG.info("%d SLURM jobs requested", jobs)
    return cluster


def _minutes_left() -> str:
    """Return how long this job may still run, as a time for SLURM: its workers need no longer."""
    end = float(os.environ.get("SLURM_JOB_END_TIME", time.time() + 14400))
    minutes = max(_LEAST_MINUTES, int((end - time.time()) / 60))
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"
