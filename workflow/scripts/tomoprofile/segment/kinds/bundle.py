"""A network from a bundle, used as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ...config import OWN_BASE, BundleConfig, Config
from ...errors import Fault, InputError
from ...layout import BundleLayout
from ...network.facts import ModelFacts, bundle_folder, read_facts
from ...samples import Scan
from ...shift.seen import Seen
from ..segmenter import Cost, Description, Needs, Segmenter, Slab

VOXELS = 2.0e6  # per core second, default network, OpenVINO in bfloat16: docs/benchmarks/inference.md
FLIPS = 4
NOT_SHIPPED = "Train a model on a few labelled slices (`method: unet`, `base: imagenet`)."
_TOLD_ELSEWHERE = ("measured", "learning_curve", "seen")


class Bundle(Segmenter):
    """A model of an earlier run."""

    section = BundleConfig

    @classmethod
    def place(cls, scan: Scan, config: Config) -> Path:
        """Return the folder of the bundle."""
        return bundle_folder(config.models[scan.model].bundle)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """It is a folder; the others are files."""
        return path.suffix != ".json"

    @property
    def file(self) -> Path:
        """The metadata, which are written last."""
        return BundleLayout(self.path).metadata

    @property
    def weights(self) -> Path:
        """The weights of the network."""
        return BundleLayout(self.path).weights

    @property
    def is_made_by_the_run(self) -> bool:
        """It exists before the run."""
        return False

    @property
    def needs(self) -> Needs:
        """Every scan is compared with those the network has seen."""
        return Needs(appearance=True, familiarity=True, uncertainty=self.flips, engine=True, earlier=str(self.path))

    @property
    def cost(self) -> Cost:
        """That of the default network; others are rare."""
        return Cost(network=(FLIPS if self.flips else 1) / VOXELS)

    @property
    def summary(self) -> str:
        """Which model it is."""
        if self.path == bundle_folder(OWN_BASE):
            return f"{self.name}: the model that comes with tomoprofile, without any label"
        return f"{self.name}: {self.path} as it is"

    @property
    def unused_labels(self) -> str:
        """Labels have no effect."""
        return f"{self.name}: labels are not used by `method: bundle`; to train with them set `method: unet` and `base`"

    def faults(self) -> list[Fault]:
        """It must exist and be of this version."""
        return bundle_faults(f"models.{self.name}.bundle", self.path, "the folder of an earlier model")

    def seen(self) -> Seen | None:
        """Return what its bundle recorded."""
        return read_facts(self.path).seen

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that its bundle measures, whatever the configuration says about other models."""
        return tuple(read_facts(self.path).measured)

    def levels(self) -> dict[str, float]:
        """Return the levels in its bundle."""
        return read_facts(self.path).levels

    def describe(self) -> Description:
        """Return the facts in its bundle."""
        facts = read_facts(self.path)
        told = {name: value for name, value in facts.record().items() if name not in _TOLD_ELSEWHERE}
        return Description("fine-tuned 2-D U-Net, slice by slice", "network", told, facts)

    def provenance(self) -> dict[str, Any]:
        """Return path and digest of its weights, and how they were trained."""
        record = read_facts(self.path).record()
        with BundleLayout(self.path).weights.open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
        told = {name: record[name] for name in ("base", "conditions", "measured", "labels", "steps", "folds")}
        return {"bundle": str(self.path), "weights_sha256": digest, **told}

    def predict(self, slab: Slab) -> dict[str, str]:
        """Segment a slab, slice by slice."""
        from ..predict import predict_slab

        return predict_slab(self.path, self.window(), slab)

    def window(self) -> int:
        """Return the largest side of its windows: from its settings, else from training."""
        facts: ModelFacts | BundleConfig = self.model or read_facts(self.path)
        return facts.window


def bundle_faults(key: str, folder: Path, wanted: str) -> list[Fault]:
    """Return what is wrong with a folder that should contain a model."""
    if folder == bundle_folder(OWN_BASE) and not BundleLayout(folder).metadata.is_file():
        return [Fault(key, OWN_BASE, "this installation comes without a model of its own", NOT_SHIPPED)]
    if not BundleLayout(folder).metadata.is_file():
        remedy = f"Give {wanted} (results/models/NAME)."
        return [Fault(key, repr(str(folder)), "there is no model bundle in this folder", remedy)]
    try:
        read_facts(folder)
    except InputError as error:
        return list(error.faults)
    return []
