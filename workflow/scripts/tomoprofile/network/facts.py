"""What a model bundle records about its model. No heavy imports: it is read before anything heavy is loaded.

The section ``tomoprofile`` of ``configs/metadata.json``; :func:`read_facts` rejects what a run could not trust.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..config import OWN_BASE
from ..errors import Fault, InputError
from ..files import intact
from ..layout import BundleLayout
from ..shift.seen import Remembered, Seen
from ..validation import sentence

ARCHITECTURE = 2
SHIPPED = Path(__file__).parent / "weights"  # the bundle that comes with the package


class Interval(Remembered):
    """Interval of a score, see :func:`~tomoprofile.network.intervals.ratio_interval`."""

    low: float
    high: float
    n_tiles: int
    n_groups: int = 1
    coverage: float


class BoundaryDistance(Remembered):
    """Distances between labelled and found outlines, in micrometres; None where no slice has both."""

    mean: float | None
    p95: float | None
    n: int
    n_one_sided: int


class ObjectScores(Remembered):
    """Whole objects, matched one to one."""

    n_labelled: int
    n_matched: int
    n_false: int
    recall: float | None
    precision: float | None
    f1: float | None


class SizeScores(Remembered):
    """Whole objects of one class of diameter; the last class is open."""

    from_um: float
    to_um: float | None
    n_labelled: int
    recall: float | None
    n_matched: int
    size_bias: float | None
    n_interior: int
    interior_recall: float | None
    n_false: int


class Decile(Remembered):
    """Voxels whose probability lies between two tenths."""

    from_: float = Field(alias="from")
    to: float
    n: int
    probability: float | None
    labelled: float | None


class Reliability(Remembered):
    """How well probabilities are calibrated."""

    deciles: tuple[Decile, ...]
    expected_calibration_error: float | None
    expected_calibration_error_unsure: float | None


class ScoreConditions(Remembered):
    """How the scores were computed, and from what."""

    level: float
    n_slices: int
    n_voxels: int
    voxel_size_um: tuple[float, float, float]
    interior_um: float
    match_iou: float


class SliceScores(Remembered):
    """Scores of one labelled slice."""

    name: str
    group: int
    dice: float | None
    area_ratio: float | None


class HeldOutScores(Remembered):
    """Scores of labelled slices by models that did not train on them; a ratio of nothing to nothing is None.

    :func:`~tomoprofile.network.scores.score_slices` computes them and defines each.
    """

    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    area_ratio: float | None
    labelled_fraction: float | None
    interior_recall: float | None
    dice_interval: Interval | None
    area_interval: Interval | None = None
    largest_share: float | None = None
    slices: tuple[SliceScores, ...] = ()
    boundary_um: BoundaryDistance
    objects: ObjectScores
    sizes: tuple[SizeScores, ...]
    reliability: Reliability
    conditions: ScoreConditions


class Calibration(Remembered):
    """Turns a logit into a probability: sigmoid(slope * logit + offset) (Platt 1999)."""

    slope: float = Field(strict=True)
    offset: float = Field(strict=True)
    level_at_its_limit: bool = Field(description="No believable level gives the outlines of the labels.")


class FittedScores(Remembered):
    """How well a model reproduces the labels that trained it: no measure of accuracy, but of having learned them."""

    dice: float | None
    area_ratio: float | None


class MeasuredClass(Remembered):
    """Calibration and held-out scores of one measured class."""

    level: float = Field(
        gt=0, lt=1, strict=True, description="Voxels with this probability or more belong to the class."
    )
    calibrated: bool = Field(description="False: no label could judge; the level is 0.5, the accuracy unknown.")
    calibration: Calibration
    held_out: HeldOutScores | None = Field(description="Scores of the folds; none where they could not judge.")
    fitted: FittedScores | None = Field(None, description="The model itself on the labels that trained it.")


LEVEL = 0.5  # of a calibrated probability, and of one that nothing could calibrate
FORGOTTEN = 0.05  # of what the base is sure of: more lost elsewhere than in the labels is too much
NOT_CALIBRATED = MeasuredClass(
    level=LEVEL,
    calibrated=False,
    calibration=Calibration(slope=1.0, offset=0.0, level_at_its_limit=False),
    held_out=None,
)


class NetworkFacts(Remembered):
    """Arguments of :class:`~tomoprofile.network.unet.SliceNetwork`."""

    in_channels: int = Field(ge=1, description="Slices it sees at once.")
    input_scale: float = Field(gt=0, strict=True, description="Enlargement of the input.")
    encoder: str = Field(description="Name of the encoder.")
    decoder_channels: tuple[int, ...] = Field(description="Channels of the decoder steps, deepest first.")
    classes: int = Field(ge=2, description="Classes of the labels, background included.")
    measured: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, description="Indices of the measured classes, never the background."
    )


class AmplificationFacts(Remembered):
    """What was drawn from the labels to train as well; nothing of it judges."""

    kind: str = Field(description="Where the shapes came from.")
    pairs: int = Field(description="Pairs that were asked for.")
    accepted: dict[str, int] = Field(description="Pairs that train, by where their shape came from.")
    left_out: dict[str, int] = Field(description="Drawn pairs that do not train, by reason.")
    slices: int = Field(description="Slices of the pairs that train.")
    real: float = Field(description="Least share of the crops of a step from labelled slices themselves.")
    template: str = Field("", description="The scan to which cases were registered.")
    registered: tuple[str, ...] = Field((), description="The cases from which shapes were learned.")
    refused: dict[str, str] = Field({}, description="Cases that were left out, and why.")


class LabelFacts(Remembered):
    """Where the labels came from."""

    labels: dict[str, str] = Field(description="SHA-256 of each label file.")
    training: tuple[str, ...] = Field(description="Scan and slice of each.")
    groups: tuple[tuple[str, ...], ...] = Field((), description="Slices that show partly the same are one group.")
    apart: dict[str, Any] = Field({}, description="By scan, how far its structure reaches, in slices and voxels.")
    same_masks: tuple[tuple[str, str], ...] = Field((), description="Slices whose masks are equal.")
    annotators: dict[str, Any] = Field({}, description="Who labelled, and how well they agree.")
    amplification: AmplificationFacts | None = Field(None, description="What was drawn from them.")


class FoldFacts(Remembered):
    """How the scores were made."""

    kind: Literal["slices", "blocks", "tiles", "none"] = Field(description="What each fold left out of its training.")
    n_folds: int
    steps: int = Field(description="Of each fold.")


class CurvePoint(Remembered):
    """The learning curve at one step."""

    step: int
    loss: float
    held_out_dice: float | None = None
    labels_dice: float | None = None


class ModelFacts(Remembered):
    """What a bundle records about its model."""

    architecture: Literal[2] = Field(ARCHITECTURE, description="Raised when earlier weights no longer fit the network.")
    network: NetworkFacts
    window: int = Field(ge=1, description="Largest side in voxels of the windows of prediction.")
    voxel_size_um: tuple[float, float, float] | None = Field(
        description="Edges of a voxel of the labelled scans; none for a model of simulated scans of any voxel size."
    )
    classes: tuple[str, ...] = Field(description="Names of the classes by index.")
    measured: dict[str, MeasuredClass] = Field(min_length=1, description="The classes that are measured, by name.")
    seen: Seen
    conditions: dict[str, Any] = Field(description="Settings and seed of the training; for information.")
    base: str = Field(description="Weights that training began with.")
    base_share: float = Field(1.0, description="How far from the base the weights went; 1 is where training ended.")
    forgotten: float = Field(
        0.0,
        description="Share of what the base is sure of in slices without a label that training would lose, beyond that "
        "in the labels.",
    )
    labels: LabelFacts
    steps: int | None = Field(None, description="Steps that training took.")
    folds: FoldFacts | None = None
    learning_curve: tuple[CurvePoint, ...] = ()

    @model_validator(mode="after")
    def _classes_are_those_of_the_network(self) -> ModelFacts:
        if self.network.classes != len(self.classes):
            raise ValueError(f"the network has {self.network.classes} classes, {len(self.classes)} are named")
        named = tuple(self.classes[index] for index in self.network.measured if index < len(self.classes))
        if named != tuple(self.measured):
            raise ValueError(f"the network measures {', '.join(named) or 'nothing'}, not {', '.join(self.measured)}")
        return self

    @property
    def forgetting(self) -> str:
        """What training would have forgotten, in words; empty where that is little."""
        if self.forgotten <= FORGOTTEN:
            return ""
        return (
            "Training would have forgotten some of what the base is sure of: in slices without a label it lost "
            f"{self.forgotten:.0%}, so the model went {self.base_share:.0%} of the way from the base to where training "
            "ended. The labels show too little of their scans. Label slices that show what the labelled ones do not, "
            "such as domains of other sizes."
        )

    @property
    def neighbours(self) -> int:
        """Slices above and below that the network sees in addition to the slice itself."""
        return self.network.in_channels // 2

    @property
    def levels(self) -> dict[str, float]:
        """Decision level of each measured class."""
        return {name: measured.level for name, measured in self.measured.items()}

    def record(self) -> dict[str, Any]:
        """Return plain values for JSON, as :func:`read_facts` reads them."""
        return self.model_dump(mode="json", by_alias=True)


def bundle_folder(name: str) -> Path:
    """Return the folder of a bundle that a configuration names: a path, or the name of the one that is shipped."""
    return SHIPPED if name == OWN_BASE else Path(name)


def read_facts(bundle: str | Path) -> ModelFacts:
    """Return what a bundle records about its model.

    Raises
    ------
    InputError
        When it is not a bundle of this version, or contains values that no model can have.
    """
    path = BundleLayout(bundle).metadata
    try:
        record: dict[str, Any] = json.loads(intact(path).read_text(encoding="utf-8"))["tomoprofile"]
        if "network" in record and "architecture" not in record:
            raise InputError(Fault(str(path), "", _EARLIER, _REMEDY))
        return ModelFacts.model_validate(record)
    except ValidationError as error:
        raise InputError(*_faults(path, error.errors())) from None
    except (OSError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(Fault(str(path), "", f"{_PROBLEM}: {error!r}", _REMEDY)) from None


_PROBLEM = "not a model bundle written by this version of tomoprofile"
_EARLIER = "the model of an earlier version of tomoprofile, whose weights do not fit the network of this version"
_REMEDY = (
    "Name the folder of a model (results/models/NAME). If it is one, remove it and run the workflow where its labels "
    "are, which trains it again."
)


def _faults(path: Path, items: list[Any]) -> list[Fault]:
    """Return what is wrong with the facts of a bundle: one fault for all missing keys, else one per value."""
    keys = {".".join(map(str, item["loc"])): item for item in items}
    missing = [key for key, item in keys.items() if item["type"] == "missing"]
    if missing:
        return [Fault(str(path), "", f"{_PROBLEM}: it lacks {', '.join(missing)}", _REMEDY)]
    return [
        Fault(
            f"{path}: {key}",
            "" if item["type"] == "value_error" else repr(item["input"]),
            f"{_PROBLEM}: {sentence(item)}",
            _REMEDY,
        )
        for key, item in keys.items()
    ]
