"""Judge labels by models that did not train on them: one short training for each fold, and its logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import PredictConfig, UNetConfig, digest
from ..errors import TomoprofileError
from ..files import digest_file, sealed_file
from ..labels.classes import IGNORE, Classes
from ..labels.drawn import apart_from
from ..labels.folds import Fold, Folds, Kind, Part
from ..labels.training_set import LabelledSlice, TrainingSet
from ..logs import LOG
from ..volume.arrays import stored_arrays
from .crops import CropSampler
from .initial import WHOLE
from .slices import SlicePredictor
from .trainer import Trainer
from .unet import SliceNetwork

LEAST_STEPS = 20  # of a fold; a network of fewer has not even learned the grey values
PLAIN = PredictConfig(engine="torch")  # a few slices are not worth the conversion to OpenVINO


@dataclass(frozen=True)
class Judged:
    """What models found in labelled slices that they did not train on.

    Attributes
    ----------
    kind : {"slices", "blocks", "tiles", "none"}
        What each fold left out.
    n_folds, steps : int
        Folds, and steps of each.
    slices : list of LabelledSlice
        All of the training set.
    logits : list of arrays (m, y, x) of float32
        Of the measured classes in each; NaN where no fold could judge.
    parts : list of Part
        What the folds judged.
    """

    kind: Kind
    n_folds: int
    steps: int
    slices: list[LabelledSlice]
    logits: list[NDArray[np.float32]]
    parts: list[Part] = field(default_factory=list)

    def of(self, channel: int) -> tuple[list[NDArray[np.float32]], list[LabelledSlice]]:
        """Return the logits (y, x) of a measured class, and the slices; what was not judged is ignored."""
        logits, slices = [], []
        for item, part in zip(self.slices, self.logits, strict=True):
            known = np.isfinite(part[channel])
            if known.any():
                logits.append(np.where(known, part[channel], np.float32(0)))
                slices.append(replace(item, label=np.where(known, item.label, np.uint8(IGNORE))))
        return logits, slices


@dataclass(frozen=True)
class Judges:
    """What the trainings of the folds have in common.

    Attributes
    ----------
    start : callable
        Returns the network that a training begins with, the same in every call.
    config : UNetConfig
    seed : int
    out : Path
        Folder of the bundle, beside which the state of a training is kept.
    identity : str
        Of the training set and the settings.
    """

    start: Callable[[], SliceNetwork]
    config: UNetConfig
    seed: int
    out: Path
    identity: str

    def judge(
        self, training: TrainingSet, folds: Folds, steps: int, ways: tuple[float, ...] = (WHOLE,)
    ) -> dict[float, Judged]:
        """Train a model for each fold and judge what it left out, at each share of the way from the base.

        Parameters
        ----------
        training : TrainingSet
        folds : Folds
        steps : int
            Of all folds together, as long as that is not too few for each.
        ways : tuple of float
            Shares of the way.
        """
        classes = Classes.of(self.config)
        each = max(round(steps / max(1, len(folds.folds))), min(steps, LEAST_STEPS))
        parts = [part for fold in folds.folds for part in fold.judged]
        judged = {}
        for share in ways:
            logits = [
                np.full((len(classes.indices), *item.label.shape), np.nan, np.float32) for item in training.slices
            ]
            judged[share] = Judged(
                folds.kind, len(folds.folds), each if folds.folds else 0, training.slices, logits, parts
            )
        for number, fold in enumerate(folds.folds):
            LOG.info("fold %d of %d: %d steps", number + 1, len(folds.folds), each)
            for one, found in zip(judged.values(), self._found(training, fold, number, each, ways), strict=True):
                for part, values in zip(fold.judged, found, strict=True):
                    for channel, index in enumerate(classes.indices):
                        if fold.teaches(index):
                            one.logits[part.index][channel, *part.place] = values[channel]
        return judged

    def clear(self) -> None:
        """Remove what was kept for a run that is killed."""
        for path in [self._checkpoint, *self.out.parent.glob(f"{self.out.name}.fold*.npz*")]:
            path.unlink(missing_ok=True)
            digest_file(path).unlink(missing_ok=True)

    @property
    def _checkpoint(self) -> Path:
        return self.out.with_name(self.out.name + ".fold.checkpoint.pt")

    def _found(
        self, training: TrainingSet, fold: Fold, number: int, steps: int, ways: tuple[float, ...]
    ) -> list[list[NDArray[np.float32]]]:
        """Return, for each share of the way, the logits of what a fold judges; those of an earlier run are read."""
        identity = digest([self.identity, "fold", number, steps])
        kept, count = self.out.with_name(f"{self.out.name}.fold{number}.npz"), len(fold.judged)
        found = _finished(kept, identity, count * len(ways))
        if found is None:
            config = self.config.model_copy(update={"steps": steps})
            # Also a strip is judged by no model that saw the rest of its slice deformed: strips move.
            drawn = apart_from(training.drawn, {training.slices[part.index].group for part in fold.judged})
            sampler = CropSampler(replace(training, slices=fold.training, drawn=drawn), config, self.seed)
            trainer = Trainer(self.start(), config, sampler, [], self._checkpoint, identity)
            whole = trainer.run()
            found = []
            for share in ways:
                network = whole if share == WHOLE else trainer.result(share)
                predictor = SlicePredictor(network, config.window, PLAIN)
                found += [predictor.logit(training.slices[part.index].image)[:, *part.place] for part in fold.judged]
            with sealed_file(kept) as partial:
                np.savez(partial, identity=np.array(identity), **{f"logits_{n}": part for n, part in enumerate(found)})
        return [found[n * count : (n + 1) * count] for n in range(len(ways))]


def _finished(kept: Path, identity: str, count: int) -> list[NDArray[np.float32]] | None:
    """Return what an earlier run with the same training set and settings found in a fold, or None."""
    if not kept.is_file():
        return None
    try:
        with stored_arrays(kept, "the result of a fold") as stored:
            if str(stored["identity"]) == identity:
                LOG.info("it was finished by an earlier run")
                return [stored[f"logits_{n}"] for n in range(count)]
    except TomoprofileError as error:
        LOG.warning("%s cannot be read, and the fold is trained again: %s", kept, error)
    return None
