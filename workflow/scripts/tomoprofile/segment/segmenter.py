"""What segments a scan, as one object, whatever its kind.

Light on purpose: the Snakefile asks it, so a kind imports numpy or PyTorch only where it computes. The kinds are in
:mod:`~tomoprofile.segment.kinds`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from ..config import Config, ModelConfig, PredictConfig, Section
from ..errors import Fault, InputError, StageError
from ..network.facts import ModelFacts
from ..samples import Scan
from ..shift.seen import Seen

ONE_CLASS = "domain"  # what a threshold finds


@dataclass(frozen=True)
class Needs:
    """What a segmenter asks of the workflow.

    Attributes
    ----------
    appearance, familiarity : bool
        How the scan looks, and how well the segmenter knows scans like it.
    uncertainty : bool
        A second store beside the probability.
    engine : bool
        Something that computes a network.
    labels : bool
        Labelled slices, which it learns from.
    earlier : str
        Folder of the earlier model that it is or begins with; empty for none.
    """

    appearance: bool = False
    familiarity: bool = False
    uncertainty: bool = False
    engine: bool = False
    labels: bool = False
    earlier: str = ""


@dataclass(frozen=True)
class Cost:
    """Core seconds a voxel.

    Attributes
    ----------
    cores : float
        Of work that stays on the CPU.
    network : float
        Of work that a GPU takes over where there is one.
    """

    cores: float = 0.0
    network: float = 0.0


@dataclass(frozen=True)
class Slab:
    """What one job segments.

    Attributes
    ----------
    volume, probability : Path
        Stores of grey values and of the result: one channel a measured class, uint8 with 255 for certain.
    start, stop : int
        Whole shards.
    threads : int
        CPU threads.
    settings : PredictConfig
        Device, engine and precision.
    appearance : Path or None
        ``appearance.json``: the scale of the scan's grey values, for those that need it.
    uncertainty : Path or None
        Store that receives the spread over test-time flips (255: a standard deviation of a half); the probability is
        then their mean, at four times the cost.
    """

    volume: Path
    probability: Path
    start: int
    stop: int
    threads: int
    settings: PredictConfig = field(default_factory=PredictConfig)
    appearance: Path | None = None
    uncertainty: Path | None = None


@dataclass(frozen=True)
class Description:
    """What pages say of a segmentation.

    Attributes
    ----------
    method : str
        In words.
    kind : {"network", "threshold", "mask", "instances"}
        The last two were given and made by no model of this workflow.
    facts : dict
        What its record says besides, for people.
    model : ModelFacts or None
        What the bundle of a network knows.
    """

    method: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    model: ModelFacts | None = None


@dataclass(frozen=True)
class Segmenter(ABC):
    """What segments a scan.

    Parameters
    ----------
    path : Path
        Folder or file that stands for it.
    name : str
        Of its model in the configuration; empty where it needs none, or where only its record is known.
    model : ModelConfig or None
        The settings of that model.
    flips : bool
        Whether test-time flips are asked for.
    """

    path: Path
    name: str = ""
    model: Any = None
    flips: bool = False

    section: ClassVar[type[Section]]
    fitted_by: ClassVar[str] = ""  # the rule that makes its file, where each scan has its own

    @classmethod
    def of(cls, scan: Scan, config: Config) -> Self | None:
        """Return it when the configuration chooses this kind for a scan."""
        model = config.models.get(scan.model)
        if not isinstance(model, cls.section):
            return None
        return cls(cls.place(scan, config), scan.model, model, config.predict.flips)

    @classmethod
    @abstractmethod
    def place(cls, scan: Scan, config: Config) -> Path:
        """Return where the folder or file lies that stands for it."""

    @classmethod
    def at(cls, path: Path, model: ModelConfig | None) -> Self | None:
        """Return it when what lies at ``path`` is of this kind."""
        return cls(path, model=model) if cls.recognises(path) else None

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Return whether a folder or file is of this kind, by its name."""

    @property
    def file(self) -> Path:
        """The file that is there once it can be used."""
        return self.path

    @property
    def is_made_by_the_run(self) -> bool:
        """Whether a rule makes it; what another run made must be there already."""
        return True

    @property
    def needs(self) -> Needs:
        """What it asks of the workflow."""
        return Needs()

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """What it takes."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What it is, in a few words, for the check of a run."""

    @property
    def unused_labels(self) -> str:
        """What to tell people whose scans have labels that it does not use; empty where they do no harm."""
        return ""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the measured classes, known before the run; those of a model that has faults may not be."""

    def faults(self) -> list[Fault]:
        """Return what hinders it, before a run begins."""
        return []

    def seen(self) -> Seen | None:
        """Return what it has seen, where that is known before the run."""
        return None

    @abstractmethod
    def levels(self) -> dict[str, float]:
        """Return the decision level of each measured class: voxels with this probability or more belong to it."""

    @abstractmethod
    def describe(self) -> Description:
        """Return what pages say of it."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """Return what ``provenance.json`` says of it: plain values."""

    def predict(self, slab: Slab) -> dict[str, str]:
        """Write the probabilities of a slab; returns device, engine and precision it was computed with.

        Raises
        ------
        StageError
            When it has none to compute.
        """
        problem = f"{self.summary} is entered as it is, so there is nothing to predict"
        raise StageError(Fault(str(slab.probability), "", problem, "Run the workflow, which knows what to do."))


def read_record(path: Path, what: str) -> dict[str, Any]:
    """Return the JSON record that stands for a segmentation; ``what`` says in words what it should be.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    try:
        record = json.loads(path.read_text())
        if not isinstance(record, dict):
            raise TypeError("it holds no keys")
    except (OSError, TypeError, ValueError) as error:
        raise InputError(not_a_record(path, what, str(error))) from None
    return record


def level_of(path: Path, what: str) -> float:
    """Return the decision level that a JSON record holds.

    Raises
    ------
    InputError
        When there is none between 0 and 1.
    """
    level = read_record(path, what).get("decision_level")
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        got = "no decision level" if level is None else f"decision_level {level!r}"
        raise InputError(not_a_record(path, what, f"{got}, not a number between 0 and 1"))
    return float(level)


def not_a_record(path: Path, what: str, why: str) -> Fault:
    """Return the fault of a file that is not the record that it should be."""
    return Fault(str(path), "", f"not {what}: {why}", "Remove it and run the workflow again.")
