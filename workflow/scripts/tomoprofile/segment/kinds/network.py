"""A network that the run trains on labelled slices."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from ...config import CYCLE_STEPS, PACKAGED_WEIGHTS, Config, UNetConfig
from ...config_profile import AUTO
from ...errors import Fault
from ...labels.classes import Classes
from ...layout import Layout
from ...network.facts import bundle_folder
from ...samples import Scan
from ...shift.seen import Seen
from ..segmenter import Cost, Needs
from .bundle import Bundle, bundle_faults

_USUAL_SCALE, _USUAL_CHANNELS = 2, 272  # of the default network, whose speed is known
_TRAINED_VOXELS = 1.3e5  # per core second, with the checks on labelled slices: docs/benchmarks/segmentation.md


class Network(Bundle):
    """A model of this run: its bundle exists once it is trained."""

    section = UNetConfig

    @classmethod
    def place(cls, scan: Scan, config: Config) -> Path:
        """Return the folder that receives the bundle."""
        return Layout(config.results).model(scan.model).folder

    @property
    def is_made_by_the_run(self) -> bool:
        """It is trained first."""
        return True

    @property
    def needs(self) -> Needs:
        """Labels as well, and the model that training starts from."""
        earlier = "" if self.model.base in ("imagenet", "none") else str(bundle_folder(self.model.base))
        return replace(super().needs, labels=True, earlier=earlier)

    @property
    def cost(self) -> Cost:
        """Proportional to the voxels that the network sees, and to the channels of its decoder."""
        scale = _USUAL_SCALE if self.model.input_scale == AUTO else self.model.input_scale
        larger = (scale / _USUAL_SCALE) ** 2 * sum(self.model.decoder_channels) / _USUAL_CHANNELS
        steps = self.model.steps + min(self.model.steps, CYCLE_STEPS)  # at most, and the folds, which take a cycle
        trained = steps * self.model.batch * self.model.crop**2
        return Cost(network=super().cost.network * larger, training=trained * larger / _TRAINED_VOXELS)

    @property
    def summary(self) -> str:
        """What is trained, and from what."""
        return f"{self.name}: {self.model.encoder} from {self.model.base}"

    @property
    def unused_labels(self) -> str:
        """It learns from all labels."""
        return ""

    def faults(self) -> list[Fault]:
        """The encoder and the weights to start from must exist."""
        return [*self._encoder_faults(), *self._base_faults()]

    @property
    def classes(self) -> tuple[str, ...]:
        """Those named in the configuration."""
        return Classes.of(self.model).measured

    def seen(self) -> Seen | None:
        """Unknown before it is trained."""
        return None

    def _encoder_faults(self) -> list[Fault]:
        if self.model.encoder in PACKAGED_WEIGHTS:
            return []
        from ...network.encoder import encoder_names, unknown_encoder  # heavy: only for encoders other than ours

        known = self.model.encoder in encoder_names()
        return [] if known else [unknown_encoder(f"models.{self.name}.encoder", self.model.encoder)]

    def _base_faults(self) -> list[Fault]:
        key, base = f"models.{self.name}.base", self.model.base
        if base == "none":
            return []
        if base != "imagenet":
            return bundle_faults(key, bundle_folder(base), "`imagenet`, `none`, or the folder of an earlier model")
        package = PACKAGED_WEIGHTS[self.model.encoder]
        if importlib.util.find_spec(package) is None:
            remedy = "Install the environment of envs/ (`make env`), or set `base: none`."
            return [Fault(key, "imagenet", f"the weights package {package} is not installed", remedy)]
        return []
