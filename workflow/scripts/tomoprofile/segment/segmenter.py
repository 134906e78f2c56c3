"""What segments a scan, as one object, whatever its kind.

The Snakefile imports it, so a kind imports numpy or PyTorch only where it computes. The kinds are in
:mod:`~tomoprofile.segment.kinds`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from ..config import Config, ModelConfig, PredictConfig
from ..config_profile import Section
from ..errors import Fault, InputError, StageError
from ..files import not_what_is_expected, read_record
from ..network.facts import ModelFacts
from ..samples import Scan
from ..shift.seen import Seen

ONE_CLASS = "domain"  # what a threshold finds


@dataclass(frozen=True)
class Needs:
    """What a segmenter needs from the workflow.

    Attributes
    ----------
    appearance, familiarity : bool
        How the scan looks, and how well the segmenter knows scans like it.
    uncertainty : bool
        A second store next to the probability.
    engine : bool
        An engine that computes a network.
    labels : bool
        Labelled slices, which it learns from.
    earlier : str
        Folder of the earlier model that it is or starts from; empty for none.
    """

    appearance: bool = False
    familiarity: bool = False
    uncertainty: bool = False
    engine: bool = False
    labels: bool = False
    earlier: str = ""


@dataclass(frozen=True)
class Cost:
    """Core seconds per voxel.

    Attributes
    ----------
    cores : float
        For work that stays on the CPU.
    network : float
        For work that a GPU takes over if there is one.
    """

    cores: float = 0.0
    network: float = 0.0


@dataclass(frozen=True)
class Slab:
    """What one job segments.

    Attributes
    ----------
    volume, probability : Path
        Stores of grey values and of the result: one channel per measured class, uint8 with 255 for certain.
    start, stop : int
        Whole shards.
    threads : int
        CPU threads.
    settings : PredictConfig
        Device, engine and precision.
    appearance : Path or None
        ``appearance.json``: the scale of the scan's grey values, for those that need it.
    uncertainty : Path or None
        Store that receives the spread over test-time flips (255: a standard deviation of 0.5); the probability is
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
    """What pages say about a segmentation.

    Attributes
    ----------
    method : str
        In words.
    kind : {"network", "threshold", "mask", "instances"}
        The last two were given, not made by a model of this workflow.
    facts : dict
        Further values of its record, for information.
    model : ModelFacts or None
        Facts from the bundle of a network.
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
        Name of its model in the configuration; empty if it needs none, or if only its record is known.
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
        """Return the path of the folder or file that stands for it."""

    @classmethod
    def at(cls, path: Path, model: ModelConfig | None) -> Self | None:
        """Return it when the file or folder at ``path`` is of this kind."""
        return cls(path, model=model) if cls.recognises(path) else None

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Return whether a folder or file is of this kind, by its name."""

    @property
    def file(self) -> Path:
        """The file that exists once it can be used."""
        return self.path

    @property
    def weights(self) -> Path | None:
        """The weights of its network, which prediction reads as well."""
        return None

    @property
    def is_made_by_the_run(self) -> bool:
        """Whether a rule makes it; one made by another run must exist already."""
        return True

    @property
    def needs(self) -> Needs:
        """What it needs from the workflow."""
        return Needs()

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """Its computing time."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What it is, in a few words, for the check of a run."""

    @property
    def unused_labels(self) -> str:
        """Warning for scans with labels that it does not use; empty where they do no harm."""
        return ""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the measured classes, known before the run, except perhaps for a model with faults."""

    def faults(self) -> list[Fault]:
        """Return why it cannot be used, before a run begins."""
        return []

    def seen(self) -> Seen | None:
        """Return the scans it has seen, if known before the run."""
        return None

    @abstractmethod
    def levels(self) -> dict[str, float]:
        """Return the decision level of each measured class: voxels with this probability or more belong to it."""

    @abstractmethod
    def describe(self) -> Description:
        """Return what pages say about it."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """Return what ``provenance.json`` says about it: plain values."""

    def predict(self, slab: Slab) -> dict[str, str]:
        """Write the probabilities of a slab; return the device, engine and precision used.

        Raises
        ------
        StageError
            When there is nothing to compute.
        """
        problem = f"{self.summary} is entered as it is, so there is nothing to predict"
        raise StageError(Fault(str(slab.probability), "", problem, "Run the workflow, which enters it."))


def level_of(path: Path, what: str) -> float:
    """Return the decision level in a JSON record.

    Raises
    ------
    InputError
        When it has none between 0 and 1.
    """
    level = read_record(path, what).get("decision_level")
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        got = "no decision level" if level is None else f"decision_level {level!r}"
        raise InputError(not_what_is_expected(path, what, f"{got}, not a number between 0 and 1"))
    return float(level)
