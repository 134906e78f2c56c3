"""Train a network on crops of labelled slices, one step at a time; the caller decides where crops come from."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..config import UNetConfig
from ..errors import Fault, InputError
from ..files import sealed_file
from ..labels.classes import IGNORE, Classes
from ..labels.training_set import LabelledSlice
from ..logs import LOG, progress
from .augment import padded
from .initial import WHOLE
from .losses import masked_loss
from .tensors import read_tensors, write_tensors
from .unet import SliceNetwork, choose_device, choose_precision

CHECKPOINT_STEPS = 50
WEIGHT_DECAY = 1e-4
RISE = 0.2001  # share of steps in which the rate rises; with 0.2 PyTorch divides by zero at four steps
LOOK_WINDOWS, LOOK_SIDE = 12, 256  # bounds the cost of a look at labelled slices, however large they are
LEARNED = 0.9  # soft Dice of the labels that trained, from which on more steps are not worth their time
LEAST_GAIN = 0.01  # of that Dice in a cycle, below which another is not either


class Sampler(Protocol):
    """Where the crops of a training step come from."""

    def draw(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return images (batch, channels, y, x) and labels (batch, y, x) of a step; the same in every call."""
        ...


class Trainer:
    """A network in training, with everything that a checkpoint must hold.

    Parameters
    ----------
    network : SliceNetwork
        With the weights to start from.
    config : UNetConfig
    sampler : Sampler
    looked_at : list of LabelledSlice
        Those that train: how well they are reproduced at the end of a cycle decides about another. May be empty.
    checkpoint : Path
        Where the state is kept between :data:`CHECKPOINT_STEPS`.
    identity : str
        Of the training set and the settings: a checkpoint of others is ignored.
    cycle_steps : int, optional
        Steps in which the learning rate rises and falls; by default all of ``config.steps``.

    Attributes
    ----------
    step : int
        Steps taken.
    curve : list of dict
        ``step``, ``loss`` and, at the end of a cycle, ``labels_dice``.
    """

    def __init__(
        self,
        network: SliceNetwork,
        config: UNetConfig,
        sampler: Sampler,
        looked_at: list[LabelledSlice],
        checkpoint: Path,
        identity: str,
        cycle_steps: int | None = None,
    ) -> None:
        _check_crop(network, config)
        self.network, self.config, self.sampler = network, config, sampler
        self.cycle_steps = min(config.steps, cycle_steps or config.steps)
        self.device = choose_device()
        self.precision = choose_precision(self.device)
        self.first = {name: value.clone() for name, value in network.state_dict().items()}
        network.to(self.device, memory_format=torch.channels_last).train()
        self.optimiser = torch.optim.AdamW(network.parameter_groups(config.learning_rate), weight_decay=WEIGHT_DECAY)
        self._rates = [group["lr"] for group in self.optimiser.param_groups]
        self.schedule = self._new_schedule()
        # An average longer than a tenth of a cycle would remember the random weights it began with.
        decay = min(config.average, max(0.0, 1 - 10 / self.cycle_steps))
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.looked_at = Windows(looked_at, Classes.of(config), network.reduction)
        self.frozen_steps = round(config.freeze_share * self.cycle_steps) if config.base != "none" else 0
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.latest: torch.Tensor | None = None  # images of the latest step
        self.learned: list[float] = []  # Dice of the labels at the end of each cycle
        self.checkpoint, self.identity = checkpoint, identity
        self._resume()

    def run(self) -> SliceNetwork:
        """Take the remaining steps, as long as they teach anything; return the network."""
        LOG.info("fine-tuning from %s on %s in %s", self.config.base, self.device, self.precision)
        left = range(self.step, self.config.steps)
        for _ in progress(left, len(left), "steps"):
            loss = self.advance()
            if self.step % self.cycle_steps == 0 and self.step < self.config.steps:
                if not self.goes_on(loss):
                    break
                self.schedule = self._new_schedule()
            if self.step % CHECKPOINT_STEPS == 0 and self.step < self.config.steps:
                LOG.info("step %d: loss %.3f", self.step, loss)
                self.save()
        return self.result()

    def result(self, share: float = WHOLE) -> SliceNetwork:
        """Return the network, averaged over the last steps, or one on the straight way to it from the first weights.

        Parameters
        ----------
        share : float
            Of the way. The mean of the weights before and after fine-tuning keeps much of what the base knows and the
            labels do not show (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).
        """
        result: SliceNetwork = self.average.module
        if share != WHOLE:
            result = copy.deepcopy(result)
            state = result.state_dict()
            for name, value in state.items():
                if value.is_floating_point():
                    state[name] = torch.lerp(self.first[name].to(value), value, share)
            result.load_state_dict(state)
        if self.latest is not None:
            result.note_ranges(self.latest)
        return result

    def begin_at(self, step: int) -> None:
        """Begin a cycle at a later step, whose network is given: crops, rate and frozen parts are those of the step."""
        with warnings.catch_warnings():  # PyTorch expects a step of the optimiser before each of the schedule
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(step):
                self.schedule.step()
        self.step = step

    def advance(self) -> float:
        """Take one step; return the loss of its crops."""
        self.network.freeze_encoder(self.step < self.frozen_steps)
        image, label = (torch.from_numpy(part).to(self.device) for part in self.sampler.draw(self.step))
        self.latest = image
        loss = self.loss(self._logits(self.network, image), label)
        if not torch.isfinite(loss):
            problem = f"the loss became NaN or infinite at step {self.step}"
            remedy = "Lower `learning_rate` of the model; check the labelled slices for extreme grey values."
            raise InputError(Fault("models: learning_rate", str(self.config.learning_rate), problem, remedy))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        value = float(loss.detach())
        if self.step % 10 == 0 or self.step + 1 == self.config.steps:
            self.curve.append({"step": self.step, "loss": round(value, 5)})
        self.step += 1
        return value

    def loss(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return what training minimises."""
        return masked_loss(logits, label)

    def goes_on(self, loss: float) -> bool:
        """Look at the labels at the end of a cycle; return whether another one is worth its time."""
        dice = self.dice()
        self.curve.append({"step": self.step - 1, "loss": round(loss, 5), "labels_dice": round(dice, 5)})
        gain = dice - (self.learned[-1] if self.learned else 0.0)
        self.learned.append(dice)
        is_done = not self.looked_at or dice >= LEARNED or gain < LEAST_GAIN
        told = "training ends" if is_done else "another cycle begins"
        LOG.info("step %d: Dice %.3f on the labels that train: %s", self.step, dice, told)
        return not is_done

    def dice(self) -> float:
        """Return the soft Dice of the windows looked at: it changes where the hard Dice does not.

        The mean over those measured classes that the windows show, so that a rare one counts as much as a frequent one.
        """
        network: SliceNetwork = self.average.module
        network.eval()
        measured = self.looked_at.measured
        both, area, labelled = dict.fromkeys(measured, 1.0), dict.fromkeys(measured, 1.0), dict.fromkeys(measured, 0)
        for image, label in self.looked_at:
            known = label != IGNORE
            for channel, index in zip(self.probability(network, image), measured, strict=True):
                target, found = label == index, channel * known
                both[index] += 2 * float(found[target].sum())
                area[index] += float(found.sum()) + float(target.sum())
                labelled[index] += int(target.sum())
        network.train()
        shown = [index for index in measured if labelled[index]] or measured
        return sum(both[index] / area[index] for index in shown) / len(shown)

    @torch.inference_mode()
    def probability(self, network: SliceNetwork, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability (m, y, x) of a window (channels, y, x), from the network in training."""
        batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.device)
        return network.measured(self._logits(network, batch))[0].cpu().numpy()

    def save(self) -> None:
        """Write the checkpoint."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        told = {"curve": self.curve, "learned": self.learned}
        state |= {"identity": self.identity, "step": self.step, "told": json.dumps(told)}
        with sealed_file(self.checkpoint) as partial:
            write_tensors(partial, state)

    def _resume(self) -> None:
        """Continue where a run with the same training set and settings was killed."""
        saved = _read_checkpoint(self.checkpoint, self.identity)
        if saved is None:
            return
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
        self.step, told = saved["step"], json.loads(saved["told"])
        self.curve, self.learned = told["curve"], told["learned"]
        LOG.info("continuing from step %d of %d", self.step, self.config.steps)

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "average": self.average,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
        }

    def _new_schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the course of the rate in a cycle; it begins where the first one began."""
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate
            group.pop("initial_lr", None)
        return make_schedule(self.optimiser, self.config.model_copy(update={"steps": self.cycle_steps}))

    def _logits(self, network: SliceNetwork, image: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            return network(image.contiguous(memory_format=torch.channels_last)).float()


class Windows:
    """Windows of labelled slices, from those without domains to those full of them.

    Parameters
    ----------
    slices : list of LabelledSlice
    classes : Classes
    multiple : int
        Sides of windows are multiples of it.
    """

    def __init__(self, slices: list[LabelledSlice], classes: Classes, multiple: int) -> None:
        self.measured = classes.indices
        windows = [window for item in slices for window in self._cut(item, multiple)]
        windows.sort(key=lambda pair: int(np.isin(pair[1], self.measured).sum()))
        few = np.linspace(0, len(windows) - 1, min(LOOK_WINDOWS, len(windows))).astype(int) if windows else []
        self._chosen = [windows[index] for index in np.unique(few).astype(int)]

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        return iter(self._chosen)

    @staticmethod
    def _cut(item: LabelledSlice, multiple: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        image, label = padded(item.image, item.label, multiple)
        height, width = (side // multiple * multiple for side in label.shape)
        step = LOOK_SIDE // multiple * multiple
        for y in range(0, height, step):
            for x in range(0, width, step):
                window = (slice(y, min(y + step, height)), slice(x, min(x + step, width)))
                yield image[:, *window], label[window]


def make_schedule(optimiser: torch.optim.Optimizer, config: UNetConfig) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the course of the learning rate."""
    steps = config.steps + 1
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rates = [group["lr"] for group in optimiser.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=RISE)


def _check_crop(network: SliceNetwork, config: UNetConfig) -> None:
    if config.crop % network.reduction:
        problem = f"the encoder {config.encoder} cannot halve crops of this size often enough"
        raise InputError(Fault("models: crop", str(config.crop), problem, f"Choose a multiple of {network.reduction}."))


def _read_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Return a checkpoint of the same training set and settings, or None."""
    if not path.is_file():
        return None
    try:
        state = read_tensors(path)
    except Exception as error:
        LOG.warning("%s cannot be read and is ignored: %s", path, error)
        return None
    if state.get("identity") != identity:
        LOG.info("%s is from other data or settings and is ignored", path)
        return None
    return state
