"""What our own base is worth: scans that training never saw, without a label and after fine-tuning with a few.

``python -m benchmarks.base stream`` tells how many scans a second this machine simulates for the training.
``python -m benchmarks.base phantoms WORK`` simulates the scans, ``python -m benchmarks.base evaluate WEIGHTS WORK OUT``
prints one line a run and writes ``OUT/base.json``. ``WEIGHTS`` is the folder that ``tomoprofile base`` wrote.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .segmentation.plan import STEPS, TASKS, Cell

PHANTOMS = ("A", "B", "C")
FEW = (*PHANTOMS, "fibres")
BASES = ("tomoprofile", "imagenet")
LABELS = (1, 3)


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    phantoms = commands.add_parser("phantoms", help="simulate the scans")
    evaluate = commands.add_parser("evaluate", help="measure")
    evaluate.add_argument("weights", type=Path)
    stream = commands.add_parser("stream", help="measure how fast random scans come")
    stream.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="processes")
    stream.add_argument("--seconds", type=float, default=10)
    for command in (phantoms, evaluate):
        command.add_argument("work", type=Path, help="folder for scans and models")
        command.add_argument("--seeds", type=int, default=2)
        command.add_argument("--workers", type=int, default=2, help="processes")
        command.add_argument("--side", type=int, help="shrinks the scans, to try things out")
    evaluate.add_argument("out", type=Path)
    evaluate.add_argument("--seconds", type=float, default=3600, help="no run begins after that time")
    evaluate.add_argument("--steps", type=int, default=STEPS)
    evaluate.add_argument("--tasks", nargs="+", default=FEW, choices=list(TASKS))
    phantoms.set_defaults(run=_phantoms)
    evaluate.set_defaults(run=_evaluate)
    stream.set_defaults(run=_stream)
    options = parser.parse_args()
    options.run(options)


def _stream(options: argparse.Namespace) -> None:
    import resource

    from tomoprofile.base.scene import SIZE
    from tomoprofile.base.stream import Plan, Simulator, Stream

    few, workers = 10, options.workers
    with Simulator(1, SIZE, 0) as alone:
        for number in range(few):
            alone.scan(number)  # compiled now
        before = resource.getrusage(resource.RUSAGE_SELF)
        for number in range(few, 2 * few):
            alone.scan(number)
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, kernel = ((getattr(after, name) - getattr(before, name)) / few for name in ("ru_utime", "ru_stime"))
    print(f"one process: {user + kernel:.2f} CPU seconds a scan, {kernel:.2f} of them in the kernel", flush=True)
    with Simulator(2, SIZE, workers) as simulator:
        begun = time.monotonic()
        for number in range(2 * workers):
            simulator.ask(range(6 * workers))
            simulator.scan(number)
        print(f"{workers} processes: started after {time.monotonic() - begun:.1f} s", flush=True)
        begun, first, number = time.monotonic(), 2 * workers, 2 * workers
        while (seconds := time.monotonic() - begun) < options.seconds:
            simulator.ask(range(number, number + 4 * workers))
            simulator.scan(number)
            number += 1
        rate = (number - first) / seconds
        print(f"{rate:.1f} scans a second, {workers / rate:.2f} s each in a process", flush=True)
        plan = Plan(2, 1000, 24, 160, 1, number, number, 4 * workers)
        with Stream(plan, simulator) as crops:
            crops.draw(0)
            begun = time.monotonic()
            for step in range(1, 21):
                crops.draw(step)
        print(f"{1e3 * (time.monotonic() - begun) / 20:.1f} ms to cut the crops of a step")


def _phantoms(options: argparse.Namespace) -> None:
    cells = [Cell(kind, "tomoprofile", 0, 0, seed) for seed in range(options.seeds) for kind in PHANTOMS]
    with _pool(options.workers) as pool:
        list(pool.map(_make, cells, [options.work] * len(cells), [options.side] * len(cells)))


def _evaluate(options: argparse.Namespace) -> None:
    begun, found = time.monotonic(), []
    options.out.mkdir(parents=True, exist_ok=True)
    cells = list(_cells(options.tasks, options.seeds, options.steps))
    with _pool(options.workers) as pool:
        jobs = [pool.submit(_run, cell, options.weights, options.work, options.side, begun + options.seconds)
                for cell in cells]  # fmt: skip
        for job in as_completed(jobs):
            for record in job.result():
                found.append(record)
                print(*(f"{name} {value}" for name, value in record.items()), sep="  ", flush=True)
            (options.out / "base.json").write_text(json.dumps(found, indent=1) + "\n")
    print(_table(found))


def _cells(tasks: list[str], seeds: int, steps: int) -> Iterator[Cell]:
    """Yield all runs: those without labels first, then seed by seed, both bases one after the other."""
    for seed in range(seeds):
        yield from (Cell(task, "tomoprofile", 0, 0, seed) for task in tasks if seed == 0 or TASKS[task].kind)
    for seed in range(seeds):
        for labels in LABELS:
            yield from (Cell(task, base, labels, steps, seed) for task in tasks for base in BASES)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


def _make(cell: Cell, work: Path, side: int | None) -> Any:
    from .segmentation import tasks

    size = tasks.SIZE if side is None else (side, side, side)
    return tasks.make_problem(cell, work, size)


def _run(cell: Cell, weights: Path, work: Path, side: int | None, until: float) -> list[dict[str, Any]]:
    """Return the Dice of each test of one run and its seconds; nothing when it would begin too late."""
    if time.monotonic() > until:
        return []
    import torch

    from tomoprofile.config import UNetConfig
    from tomoprofile.network import shipped
    from tomoprofile.network.initial import initial_network

    from .segmentation import ours

    shipped.FOLDER = weights
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "2"))))
    problem = _make(cell, work, side)
    begun = time.monotonic()
    config = UNetConfig(base=cell.method, steps=max(1, cell.steps))
    if cell.labels:
        bundle = work / "models" / f"{cell.key}-{os.getpid()}"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        ours.train_bundle(problem.training, config, cell.seed, bundle, torch.get_num_threads())
        network, level = ours.read_bundle(bundle)
    else:
        network, level = initial_network(config).eval(), 0.5
    records = []
    for name, test in problem.tests.items():
        mask = ours.probabilities(network, test.stacks(config.neighbours), config.window) >= level * 255
        both = float((mask & test.truth & test.resin).sum())
        dice = 2 * both / float((mask & test.resin).sum() + (test.truth & test.resin).sum())
        records.append(asdict(cell) | {"test": name, "dice": round(dice, 4), "level": round(level, 3)})
    return [record | {"seconds": round(time.monotonic() - begun)} for record in records]


def _table(found: list[dict[str, Any]]) -> str:
    """Return the Dice of each seed: a row for each test and number of labels, a column for each base."""
    rows = [f"{'test':16} labels  {'tomoprofile':24} imagenet"]
    for test, labels in sorted({(one["test"], one["labels"]) for one in found}):
        columns = [
            " ".join(
                f"{one['dice']:.3f}"
                for one in sorted(found, key=lambda one: one["seed"])
                if (one["test"], one["labels"], one["method"]) == (test, labels, base)
            )
            for base in BASES
        ]
        rows.append(f"{test:16} {labels:6}  {columns[0]:24} {columns[1]}")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
