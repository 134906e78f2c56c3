"""Training crops from scans that worker processes simulate while the network learns.

What step ``n`` sees depends on the plan and on ``n`` alone: a training that was killed goes on as if it had not been.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .drawing import draw_recipe
from .recipe import VERSION
from .render import SimulatedScan, simulate
from .scene import SIZE

_STEPS_AHEAD = 3  # batches made before they are asked for
_TRIES = 3  # places tried for a crop that shows a domain: else those without would be most, where domains are few
_CROP_PURPOSE = 7
# Of the processes that simulate. There are as many as cores, so none has threads of its own; and memory of a few MB is
# kept for the next array instead of being given back and cleared by the kernel each time (glibc; at most 32 MB each).
_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
}


@dataclass(frozen=True)
class Plan:
    """What is trained on, and for how long; equal plans give equal crops.

    Attributes
    ----------
    seed : int
    steps, batch, crop, neighbours : int
        Of the training.
    scans : int
        Simulated altogether.
    first : int
        Of them before the first step.
    window : int
        Most scans that a step draws from: the latest.
    size : tuple of int
        Voxels of a scan.
    recipes : int
        Version of the recipes.
    """

    seed: int
    steps: int
    batch: int
    crop: int
    neighbours: int
    scans: int
    first: int
    window: int
    size: tuple[int, int, int] = SIZE
    recipes: int = VERSION

    def made(self, step: int) -> int:
        """Return how many scans exist at a step."""
        first = min(self.first, self.scans)
        return first + (self.scans - first) * min(step, self.steps) // max(self.steps, 1)

    def seen(self, step: int) -> range:
        """Return the numbers of the scans that a step draws from."""
        made = self.made(step)
        return range(max(0, made - self.window), made)

    def record(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"size": list(self.size)}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Self:
        """Return a plan from plain values."""
        return cls(**record | {"size": tuple(record["size"])})


class Simulator:
    """Worker processes that simulate scans in the order of their numbers.

    Parameters
    ----------
    seed : int
    size : tuple of int
    workers : int
        Processes; 0 simulates in this one, when a scan is asked for.
    """

    def __init__(self, seed: int, size: tuple[int, int, int], workers: int) -> None:
        self.seed, self.size, self.workers = seed, size, workers
        self._scans: dict[int, Future[_File] | SimulatedScan] = {}
        self._pool: Executor | None = None
        self._owned = ExitStack()
        if workers:
            self._folder = Path(self._owned.enter_context(tempfile.TemporaryDirectory(prefix="tomoprofile-scans-")))
            # Never a fork of this process: it has threads, and perhaps a GPU.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
            with _environment(_ENVIRONMENT):
                forkserver.ensure_running()
            self._pool = ProcessPoolExecutor(workers, context)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._owned.close()

    def ask(self, numbers: range) -> None:
        """Begin to simulate scans, and forget those before."""
        for number in [number for number in self._scans if number < numbers.start]:
            del self._scans[number]
        if self._pool is not None:
            for number in numbers:
                if number not in self._scans:
                    self._scans[number] = self._pool.submit(_write, self.seed, number, self.size, self._folder)

    def scan(self, number: int) -> SimulatedScan:
        """Return a scan once it is there."""
        found = self._scans.get(number)
        if found is None:
            found = _make(self.seed, number, self.size)
        elif isinstance(found, Future):
            found = _read(*found.result())
        self._scans[number] = found
        return found


class Stream:
    """Crops of simulated scans for each training step: what a :class:`~tomoprofile.network.trainer.Trainer` draws from.

    Parameters
    ----------
    plan : Plan
    simulator : Simulator
    """

    def __init__(self, plan: Plan, simulator: Simulator) -> None:
        self.plan, self.simulator = plan, simulator
        self._thread = ThreadPoolExecutor(1)
        self._batches: dict[int, Future[tuple[NDArray[np.float32], NDArray[np.uint8]]]] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop preparing batches."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def draw(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return images (batch, channels, crop, crop) and labels (batch, crop, crop) of a step."""
        for ahead in range(step, min(step + 1 + _STEPS_AHEAD, max(self.plan.steps, step + 1))):
            if ahead not in self._batches:
                self._batches[ahead] = self._thread.submit(self._batch, ahead)
        return self._batches.pop(step).result()

    def _batch(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        seen, workers = self.plan.seen(step), self.simulator.workers
        self.simulator.ask(range(seen.start, min(seen.stop + 4 * workers, self.plan.scans)))
        rng = np.random.default_rng([self.plan.seed, step, _CROP_PURPOSE])
        drawn = [self._crop(self.simulator.scan(int(rng.integers(seen.start, seen.stop))), rng)
                 for _ in range(self.plan.batch)]  # fmt: skip
        images, labels = zip(*drawn, strict=True)
        return np.stack(images).astype(np.float32), np.stack(labels)

    def _crop(self, scan: SimulatedScan, rng: np.random.Generator) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        for _ in range(_TRIES):
            z = int(rng.integers(len(scan.label)))
            y, x = (int(rng.integers(n - self.plan.crop + 1)) for n in scan.label.shape[1:])
            window = (slice(y, y + self.plan.crop), slice(x, x + self.plan.crop))
            if scan.label[z][window].any():
                break
        image, label = scan.stack(z, self.plan.neighbours)[:, *window], scan.label[z][window]
        for axis in (0, 1):
            if rng.random() < 0.5:
                image, label = np.flip(image, axis + 1), np.flip(label, axis)
        if rng.random() < 0.5:
            image, label = image.transpose(0, 2, 1), label.T
        if rng.random() < 0.5:
            image = image[::-1]
        return image, label


_File = tuple[Path, int]  # with the grey values and the label of a scan, and its step


def _write(seed: int, number: int, size: tuple[int, int, int], folder: Path) -> _File:
    """Simulate a scan into a file: through a pipe, the process that trains would read it in 64 KB pieces, in turns."""
    scan = _make(seed, number, size)
    path = folder / f"{number}.npy"
    with path.open("wb") as file:
        np.save(file, scan.grey)
        np.save(file, scan.label)
    return path, scan.step


def _read(path: Path, step: int) -> SimulatedScan:
    """Return a scan that was written, and remove its file."""
    with path.open("rb") as file:
        grey, label = (np.load(file, allow_pickle=False) for _ in range(2))
    path.unlink()
    return SimulatedScan(grey, label, step)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Let processes that start here have other environment variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _make(seed: int, number: int, size: tuple[int, int, int]) -> SimulatedScan:
    return simulate(draw_recipe(seed, number), size)
