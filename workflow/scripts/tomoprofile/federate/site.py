"""What a site does in a run: it answers each task of the coordinator with the trainer of local training.

It knows nothing of how tasks arrive, and takes nothing from the coordinator but tensors and the number of the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import update_bn

from ..amplify.storage import stored, write_arrays
from ..config import UNetConfig, digest
from ..config_train import TrainConfig
from ..errors import Fault, FederationError
from ..labels.classes import IGNORE, Classes
from ..labels.drawn import apart_from
from ..labels.folds import Fold, make_folds
from ..labels.training_set import LabelledSlice, read_training_set
from ..logs import LOG
from ..network.crops import CropSampler
from ..network.fine_tune import first_network, identity_of
from ..network.folds import PLAIN
from ..network.scale import scaled
from ..network.slices import SlicePredictor
from ..network.trainer import Trainer
from ..network.unet import SliceNetwork, choose_device
from .coordinator import HELD_OUT, State
from .plan import Plan, Task, agreement
from .result import SiteFiles, SiteResult
from .update import Contract, Kind, Update

MEASURED_STEPS = 20  # on whose crops the statistics of a finished model are measured
_NORMS, _JUDGED = "norms of a site", "judged.safetensors"
_SAME = "Let all sites and the coordinator have the same settings of the model, `train` included, and the same version."


class RoundTrainer(Trainer):
    """Training of one round, held close to what it began with where FedProx is asked for (Li 2020)."""

    strength = 0.0

    def hold_close(self, strength: float) -> None:
        """Add ``strength / 2`` times the squared distance of the weights from what they are now to the loss."""
        self.strength = strength
        self.centre = [value.detach().clone() for value in self.network.parameters()]

    def loss(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return what training minimises."""
        loss = super().loss(logits, label)
        if self.strength:
            pairs = zip(self.network.parameters(), self.centre, strict=True)
            loss = loss + self.strength / 2 * sum(((value - centre) ** 2).sum() for value, centre in pairs)
        return loss


class Site:
    """A site in a run.

    Parameters
    ----------
    name : str
    files : SiteFiles
    config : UNetConfig
        The site's own; what all must have the same is compared before anything else.
    seed : int
    """

    def __init__(self, name: str, files: SiteFiles, config: UNetConfig, seed: int) -> None:
        self.name, self.files, self.seed = name, files, seed
        self.training = read_training_set(files.training_set)
        self.config = scaled(config, self.training)
        self.train = config.train
        self.plan, self.agreement = Plan.of(config.train), agreement(config)
        self.classes = Classes.of(config)
        self.folds = make_folds(self.training, self.classes.indices)
        alone = self.config.model_copy(update={"train": TrainConfig()})
        self.identity = digest([identity_of(files.training_set, alone, seed), self.agreement])
        self.first = first_network(self.config, seed)
        self.kept = kept_names(self.first, self.train)
        scores = {name: ((len(self.classes.indices),), "float64") for name in HELD_OUT}
        weights = Contract.like(Kind.WEIGHTS, shared_tensors(self.first, self.kept))
        self.contracts = {Kind.WEIGHTS: weights, Kind.METRICS: Contract(Kind.METRICS, scores)}
        self._samplers: dict[int, tuple[list[LabelledSlice], CropSampler]] = {}

    def answer(self, order: Update, agreed: object) -> Update:
        """Return what a site answers to a task: weights, or how well labels were judged.

        Parameters
        ----------
        order : Update
            Tensors of the coordinator, and the number of the task.
        agreed : object
            The coordinator's digest of what all must have the same.

        Raises
        ------
        FederationError
            When the coordinator has other settings, or sent something else than tensors of this network.
        """
        if agreed != self.agreement:
            problem = f"the coordinator has other settings of the model or another version than {self.name}"
            raise FederationError(Fault(f"run {self.train.run}", str(agreed)[:40], problem, _SAME))
        if not 0 <= order.round < len(self.plan.tasks):
            problem = f"the run has {len(self.plan.tasks)} tasks"
            raise FederationError(Fault(f"run {self.train.run}", f"task {order.round}", problem, _SAME))
        self.contracts[Kind.WEIGHTS].check(order, "the coordinator")
        task = self.plan.tasks[order.round]
        if order.round == 0:  # what an earlier run left has no part in this one
            for path in (self.files.folder / _JUDGED, *self.files.folder.glob("norms_*.safetensors")):
                path.unlink(missing_ok=True)
        network = self._network(order, task)
        return self._trained(order, task, network) if task.trains else self._judged(order, task, network)

    def _fold(self, task: Task) -> Fold | None:
        """Return what is left out in a task, if these labels have so many parts."""
        return self.folds.folds[task.part] if task.leaves_out and task.part < len(self.folds.folds) else None

    def _network(self, order: Update, task: Task) -> SliceNetwork:
        """Return the network of a task: the coordinator's tensors, and the norms that this site kept."""
        network = deepcopy(self.first)
        torch.manual_seed(self.seed + order.round)  # what is dropped in training is the same in every call
        load_tensors(network, order.tensors)
        if self.kept and task.round:
            load_tensors(network, self._read_norms(order.round))
        return network

    def _trained(self, order: Update, task: Task, network: SliceNetwork) -> Update:
        slices, sampler = self._sampler(task)
        steps = self.train.round_steps
        config = self.config.model_copy(update={"steps": task.rounds * steps})
        none = self.files.folder / "none.checkpoint.pt"  # a round is begun anew
        trainer = RoundTrainer(network, config, sampler, [], none, self.identity)
        trainer.begin_at(task.round * steps)
        if self.train.algorithm == "fedprox":
            trainer.hold_close(self.train.proximal)
        losses = [trainer.advance() for _ in range(steps)]
        LOG.info("task %d: round %d of %d: loss %.3f", order.round, task.round + 1, task.rounds, np.mean(losses))
        network.cpu()
        if self.kept:
            norms = {name: tensor for name, tensor in arrays_of(network).items() if name in self.kept}
            write_arrays(self._norms(order.round + 1), _NORMS, norms, {"identity": self.identity})
        voxels = sum(int((item.label != IGNORE).sum()) for item in slices)
        cases = len({item.sample for item in slices})
        return Update(Kind.WEIGHTS, shared_tensors(network, self.kept), order.round, voxels, cases)

    def _sampler(self, task: Task) -> tuple[list[LabelledSlice], CropSampler]:
        """Return the slices that train in a task, and what draws crops of them."""
        if task.part not in self._samplers:
            fold, training = self._fold(task), self.training
            if fold is not None:
                left_out = {training.slices[part.index].group for part in fold.judged}
                training = replace(training, slices=fold.training, drawn=apart_from(training.drawn, left_out))
            self._samplers[task.part] = training.slices, CropSampler(training, self.config, self.seed)
        return self._samplers[task.part]

    def _judged(self, order: Update, task: Task, network: SliceNetwork) -> Update:
        """Judge the labels that a model left out; keep the model that left out none."""
        result = SiteResult.read(self.files.folder / _JUDGED, self.identity) or self._nothing_judged()
        network.eval()
        if not task.leaves_out:
            self._keep(result, task, network)
        elif (fold := self._fold(task)) is not None:
            measure_statistics(network, self._sampler(task)[1])
            predictor = SlicePredictor(network, self.config.window, PLAIN)
            for part in fold.judged:
                found = predictor.logit(self.training.slices[part.index].image)[:, *part.place]
                for channel, index in enumerate(self.classes.indices):
                    if fold.teaches(index):
                        result.logits[part.index][channel, *part.place] = found[channel]
            result.write(self.files.folder / _JUDGED)
        scores = held_out(result.logits, [item.label for item in self.training.slices], self.classes.indices)
        voxels = sum(int((item.label != IGNORE).sum()) for item in self.training.slices)
        return Update(Kind.METRICS, scores, order.round, voxels, len(self.training.seen))

    def _nothing_judged(self) -> SiteResult:
        shape = [(len(self.classes.indices), *item.label.shape) for item in self.training.slices]
        return SiteResult(self.identity, [np.full(one, np.nan, np.float32) for one in shape])

    def _keep(self, result: SiteResult, task: Task, network: SliceNetwork) -> None:
        """Write the finished model with the statistics and the judgement of this site."""
        _, sampler = self._sampler(task)
        measure_statistics(network, sampler)
        network.note_ranges(torch.from_numpy(sampler.draw(0)[0]))
        replace(result, network=arrays_of(network)).write(self.files.result)

    def _norms(self, task: int) -> Path:
        return self.files.folder / f"norms_{task:05d}.safetensors"

    def _read_norms(self, task: int) -> Mapping[str, NDArray]:
        """Return the norms with which a site enters a task; those of the first network if it missed the one before."""
        path = self._norms(task)
        if path.is_file():
            with stored(path, _NORMS) as (norms, facts):
                if facts.get("identity") == self.identity and norms.keys() == self.kept:
                    return norms
        LOG.warning("%s took no part in the round before task %d: its norms begin anew", self.name, task)
        return {name: value for name, value in arrays_of(self.first).items() if name in self.kept}


def first_state(config: UNetConfig, seed: int) -> State:
    """Return the state of a run before its first task."""
    network = first_network(config, seed)
    return State.first(agreement(config), shared_tensors(network, kept_names(network, config.train)))


def measure_statistics(network: SliceNetwork, sampler: CropSampler) -> None:
    """Replace what the batch norms expect of their inputs by what the crops of this site give with these weights.

    In training a norm sees one site at a time. The statistics of all sites together fit none whose scans differ from
    the others, and those that a site measured before weights were averaged fit other weights (Andreux et al. 2020,
    arXiv:2008.07424, and Li et al. 2018, Pattern Recognition 80:109).
    """
    device = choose_device()
    crops = (torch.from_numpy(sampler.draw(step)[0]) for step in range(MEASURED_STEPS))
    update_bn(crops, network.to(device), device)
    network.cpu()


def kept_names(network: SliceNetwork, train: TrainConfig) -> frozenset[str]:
    """Return the names of what a site keeps to itself."""
    return norm_names(network) if train.algorithm == "fedbn" else frozenset()


def norm_names(network: nn.Module) -> frozenset[str]:
    """Return the names of weights and statistics of all batch norms."""
    found = set()
    for place, part in network.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            found |= {f"{place}.{name}" for name, value in part.state_dict().items() if value.is_floating_point()}
    return frozenset(found)


def arrays_of(network: SliceNetwork) -> dict[str, NDArray]:
    """Return all numbers of a network but counters, as arrays."""
    state = network.state_dict()
    return {name: value.detach().cpu().numpy().copy() for name, value in state.items() if value.is_floating_point()}


def shared_tensors(network: SliceNetwork, kept: frozenset[str]) -> dict[str, NDArray]:
    """Return what sites exchange: weights and statistics without those kept, or the ranges of a site's own inputs."""
    return {name: value for name, value in arrays_of(network).items() if name not in kept and name != "ranges"}


def load_tensors(network: SliceNetwork, tensors: Mapping[str, NDArray]) -> None:
    """Set some of the tensors of a network."""
    state = network.state_dict()
    for name, value in tensors.items():
        state[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))


def held_out(
    logits: list[NDArray[np.float32]], labels: list[NDArray[np.uint8]], measured: tuple[int, ...]
) -> dict[str, NDArray[np.float64]]:
    """Return how many voxels of each measured class were found, labelled, and both, where labels did not train.

    Dice of any set of sites is twice the sum of ``overlap`` over the sums of ``found`` and ``labelled``.
    """
    counts = {name: np.zeros(len(measured)) for name in HELD_OUT}
    for part, label in zip(logits, labels, strict=True):
        for channel, index in enumerate(measured):
            known = np.isfinite(part[channel]) & (label != IGNORE)
            found, target = known & (part[channel] > 0), known & (label == index)
            for name, mask in zip(HELD_OUT, (found & target, found, target), strict=True):
                counts[name][channel] += int(mask.sum())
    return counts
