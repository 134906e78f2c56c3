"""What all sites do in which round: known to each before the first one, from its own configuration."""

from __future__ import annotations

from dataclasses import dataclass

from .. import __version__
from ..config import MOST_FOLDS, UNetConfig, digest
from ..config_train import TrainConfig


@dataclass(frozen=True)
class Task:
    """What the coordinator asks of the sites in one round.

    Attributes
    ----------
    part : int
        Of the labels which is left out; :data:`~tomoprofile.config.MOST_FOLDS` where all train.
    round : int
        Of this part, from 0.
    rounds : int
        Of this part.
    trains : bool
        Whether sites train on what they are sent. Else it is the finished model: it judges the part that was left out,
        or is kept.
    """

    part: int
    round: int
    rounds: int
    trains: bool

    @property
    def leaves_out(self) -> bool:
        """Whether some labels judge."""
        return self.part < MOST_FOLDS


@dataclass(frozen=True)
class Plan:
    """All tasks of a run, in their order: a model for each part of the labels left out, and then the model of all.

    As where the labels of one site train, what is left out at all sites at once judges; a site whose labels have fewer
    parts trains on all of them meanwhile, and judges nothing.

    Attributes
    ----------
    tasks : tuple of Task
    per_job : int
        Tasks between two checkpoints.
    """

    tasks: tuple[Task, ...]
    per_job: int

    @classmethod
    def of(cls, train: TrainConfig) -> Plan:
        """Return the plan of a configuration."""
        each = [max(1, round(train.rounds / MOST_FOLDS))] * MOST_FOLDS + [train.rounds]
        tasks = [
            Task(part, number, rounds, number < rounds)
            for part, rounds in enumerate(each)
            for number in range(rounds + 1)
        ]
        return cls(tuple(tasks), train.rounds_per_job)

    @property
    def jobs(self) -> int:
        """Jobs of the coordinator, each from one checkpoint to the next."""
        return -(-len(self.tasks) // self.per_job)

    def end_of_job(self, number: int) -> int:
        """Return the task before which a job ends."""
        return min((number + 1) * self.per_job, len(self.tasks))


def agreement(config: UNetConfig) -> str:
    """Return a digest of all that the coordinator and every site must have the same; who differs is refused.

    Labels, voxel sizes and the seed are a site's own.
    """
    names = {"encoder", "decoder_channels", "measure", "neighbours", "input_scale"}
    names |= {"crop", "learning_rate", "schedule", "freeze_share"}
    plain = config.model_dump(mode="json", include=names)
    plain["classes"] = list(config.classes)  # in files of labels each site has values of its own
    plain["begins_untrained"] = config.base == "none"  # the weights themselves come from the coordinator
    return digest([plain, config.train.learning, __version__])
