"""Federated training in one process, by the workflow's own function, and where its seconds go."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from tomoprofile.config import UNetConfig
from tomoprofile.config_train import TrainConfig
from tomoprofile.federate.coordinator import Coordinator, State
from tomoprofile.federate.plan import Plan
from tomoprofile.federate.result import SiteFiles, SiteResult
from tomoprofile.federate.simulate import simulate
from tomoprofile.federate.site import Site, first_state, load_tensors
from tomoprofile.labels.training_set import TrainingSet, write_training_set
from tomoprofile.network.fine_tune import first_network
from tomoprofile.network.trainer import Trainer

from .plan import ABSENT

# What is watched: answers of sites with their steps, and what the coordinator does.
_WATCHED = {
    "answers": (Site, "answer"),
    "steps": (Trainer, "advance"),
    "coordinator": (Coordinator, "go_on"),
    "checkpoints": (State, "write"),
}


def with_rounds(config: UNetConfig, algorithm: str, rounds: int, round_steps: int) -> UNetConfig:
    """Return settings of a model for a federated training in one process."""
    train = TrainConfig(mode="simulate", run="benchmark", algorithm=algorithm, rounds=rounds, round_steps=round_steps)
    return config.model_copy(update={"train": train})


@dataclass
class Watch:
    """Seconds in functions, with all that they call, and how often they were called."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_WATCHED, 0.0))
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_WATCHED, 0))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count while the block runs."""
        real = {name: getattr(owner, function) for name, (owner, function) in _WATCHED.items()}
        for name, (owner, function) in _WATCHED.items():
            setattr(owner, function, self._counted(name, real[name]))
        try:
            yield
        finally:
            for name, (owner, function) in _WATCHED.items():
                setattr(owner, function, real[name])

    def _counted(self, name: str, real: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return real(*given, **named)
            finally:
                self.seconds[name] += time.perf_counter() - start
                self.calls[name] += 1

        return counted


class Federation:
    """Sites in one process.

    Models that judge labels are left out, as in `benchmarks/amplification`: they are trained before the model that is
    compared, and do not touch it.

    Parameters
    ----------
    sets : mapping of str to TrainingSet
        By site.
    config : UNetConfig
        With rounds.
    seed : int
    folder : Path
        A run that was killed goes on from the checkpoint in it.
    """

    def __init__(self, sets: Mapping[str, TrainingSet], config: UNetConfig, seed: int, folder: Path) -> None:
        self.config, self.seed, self.folder = config, seed, folder
        self.checkpoint = folder / "state.safetensors"
        self.files = {}
        for name, training in sets.items():
            (folder / "sites" / name).mkdir(parents=True, exist_ok=True)
            path = folder / "sites" / name
            self.files[name] = SiteFiles(path / "training.npz", path, path / "result.safetensors")
            write_training_set(training, self.files[name].training_set)

    def run(self, threads: int) -> tuple[State, dict[str, Any]]:
        """Take all rounds; return the last state, and what they cost."""
        if not self.checkpoint.is_file():
            tasks = Plan.of(self.config.train).tasks
            begins = next(number for number, task in enumerate(tasks) if not task.leaves_out)
            replace(first_state(self.config, self.seed), task=begins).write(self.checkpoint)
        watch, begun = Watch(), time.perf_counter()
        with watch.running():
            each = {name: (files, self.config) for name, files in self.files.items()}
            state = simulate(each, self.seed, self.checkpoint, threads)
        row = next(row for row in state.history if row["trains"])
        told = {
            "sites": len(self.files),
            "rounds": self.config.train.rounds,
            "round_steps": self.config.train.round_steps,
            "numbers": sum(tensor.size for tensor in state.tensors.values()),
            "bytes": row["sites"][min(row["sites"])]["bytes"],  # of an answer, and as many of an order
            "wall_s": round(time.perf_counter() - begun, 2),
            "seconds": {name: round(value, 3) for name, value in watch.seconds.items()},
            "calls": watch.calls,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        return state, told

    def networks(self, state: State) -> dict[str, torch.nn.Module]:
        """Return the network of each site after the last round, and that of the absent one.

        Sites have statistics of their own crops, and the absent one those of all sites. With FedBN the absent one has
        no norms, and so no network.
        """
        found: dict[str, torch.nn.Module] = {}
        for name, files in self.files.items():
            site = Site(name, files, self.config, self.seed)
            result = SiteResult.read(files.result, site.identity)
            assert result is not None
            load_tensors(site.first, result.network)
            found[name] = site.first
        if self.config.train.algorithm != "fedbn":
            found[ABSENT] = first_network(self.config, self.seed)
            load_tensors(found[ABSENT], state.tensors)
        return found
