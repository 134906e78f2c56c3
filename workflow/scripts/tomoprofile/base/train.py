"""Make the base: plan by the time there is, train, judge, and write weights with what is known about them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .. import __version__
from ..config import UNetConfig, digest
from ..errors import Fault, InputError
from ..files import whole_file
from ..labels.classes import DOMAIN
from ..logs import LOG, progress
from ..network.initial import initial_network
from ..network.shipped import write_base
from ..network.trainer import Trainer
from ..network.unet import SliceNetwork, choose_device
from .judge import SEED_AHEAD, HeldOut
from .scene import SIZE as SCAN_SIZE
from .stream import Plan, Simulator, Stream

PLAN, CHECKPOINT = "plan.json", "checkpoint.pt"
FIRST, WINDOW = 160, 640  # scans before the first step, and those a step draws from: 1.7 GB
LOOKS, SAVES, LEAST_SAVE = 8, 20, 50  # evaluations, checkpoints, and least steps between two of these
HELD_OUT_LOOK, HELD_OUT_END = 48, 240  # scans that are judged
_TIMED, _WARM = 8, 4  # steps that measure the speed
_SHOWN = 20  # voxels of domains in a crop whose Dice says something
_RESERVE = 0.9  # of the time is planned for training; the last judgement takes its part as well


@dataclass(frozen=True)
class Machine:
    """Settings that suit a device.

    Attributes
    ----------
    batch, crop : int
    """

    batch: int
    crop: int


class BaseTrainer(Trainer):
    """Every crop that shows domains counts alike; else the large ones of other scans would hide the small ones."""

    def loss(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return cross-entropy plus the mean over crops of the soft Dice loss."""
        target, axes = (label == DOMAIN).float(), (1, 2)
        entropy = functional.binary_cross_entropy_with_logits(logits[:, 0], target)
        probability, area = torch.sigmoid(logits[:, 0]), target.sum(axes)
        dice = (2 * (probability * target).sum(axes) + 1) / (probability.sum(axes) + area + 1)
        shown = (area >= _SHOWN).float()
        return entropy + ((1 - dice) * shown).sum() / shown.sum().clamp(min=1)


MACHINES = {"cuda": Machine(48, 160), "cpu": Machine(6, 128)}


def make_base(out: Path, minutes: float, seed: int, workers: int, steps: int | None = None) -> dict[str, Any]:
    """Train the base and write its bundle and ``base.json``; return the facts in the latter.

    A training that was killed continues: its plan and its checkpoint are in the same folder.

    Parameters
    ----------
    out : Path
        Folder.
    minutes : float
        Time that the training may take, simulations included.
    seed : int
    workers : int
        Processes that simulate scans.
    steps : int, optional
        Their number, instead of as many as there is time for.
    """
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    device = choose_device()
    torch.backends.cudnn.benchmark = True  # every step has crops of one size
    torch.use_deterministic_algorithms(device.type == "cpu", warn_only=True)  # on a GPU they cost more than they give
    torch.manual_seed(seed)
    with Simulator(seed, SCAN_SIZE, workers) as simulator:
        plan = _plan(out, minutes * 60 - (time.monotonic() - begun), seed, simulator, steps)
        config = base_config(plan)
        with Simulator(seed + SEED_AHEAD, plan.size, workers) as other:
            held_out = HeldOut(HELD_OUT_LOOK, plan.neighbours, other)
        with Stream(plan, simulator) as stream:
            trainer = _trainer(config, plan, stream, out)
            _run(trainer, held_out)
            result, curve = trainer.average.module, trainer.curve
    result.eval()
    with Simulator(seed + SEED_AHEAD, plan.size, workers) as other:
        judged = HeldOut(max(HELD_OUT_LOOK, min(HELD_OUT_END, plan.scans // 10)), plan.neighbours, other)
    scores = judged.by_group(judged.dice(lambda image: trainer.probability(result, image)[0]))
    facts = {
        "plan": plan.record(),
        "seed": seed,
        "version": __version__,
        "device": _device_name(device),
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "training": config.model_dump(mode="json", include={"learning_rate", "schedule", "freeze_share", "average"}),
        "held_out": scores,
        "learning_curve": curve,
    }
    return write_base(out, result, config, facts)


def base_config(plan: Plan) -> UNetConfig:
    """Return the settings of the training: the default network, from ImageNet."""
    return UNetConfig(
        base="imagenet",
        neighbours=plan.neighbours,
        steps=plan.steps,
        batch=plan.batch,
        crop=plan.crop,
        freeze_share=min(0.02, 100 / plan.steps),
        average=0.998,
    )


def _plan(out: Path, seconds: float, seed: int, simulator: Simulator, steps: int | None) -> Plan:
    """Return the plan of an earlier run in this folder, or make one by the speed of this machine."""
    path = out / PLAN
    if path.is_file():
        plan = Plan.of(json.loads(path.read_text()))
        if plan.seed != seed:
            problem, remedy = f"the training begun there has seed {plan.seed}", "Name another folder, or that seed."
            raise InputError(Fault(str(path), str(seed), problem, remedy))
        return plan
    machine = MACHINES[choose_device().type]
    neighbours = UNetConfig().neighbours
    first = FIRST if steps is None else max(2, min(FIRST, steps))
    plan = Plan(seed, 1_000_000, machine.batch, machine.crop, neighbours, first, first, WINDOW, SCAN_SIZE)
    if steps is not None:
        plan = replace(plan, steps=steps, scans=first + steps * machine.batch // 32)
    else:
        plan = _measured(plan, seconds, simulator)
    with whole_file(path) as partial:
        partial.write_text(json.dumps(plan.record(), indent=1) + "\n")
    return plan


def _measured(plan: Plan, seconds: float, simulator: Simulator) -> Plan:
    """Return the plan with as many steps and scans as there is time for."""
    start = time.monotonic()
    simulator.ask(range(plan.first + 8 * simulator.workers))
    simulator.scan(simulator.workers)  # processes have started, and their code is compiled
    began = time.monotonic()
    for number in range(plan.first):
        simulator.scan(number)
    scans_a_second = max(plan.first - 2 * simulator.workers, 1) / (time.monotonic() - began + 1e-3)
    with Stream(replace(plan, steps=_WARM + _TIMED + 3), simulator) as stream:
        config = base_config(stream.plan)
        trainer = BaseTrainer(initial_network(config), config, stream, [], Path("never"), "")
        times = []
        for _ in range(_WARM + _TIMED):
            began = time.monotonic()
            trainer.advance()
            times.append(time.monotonic() - began)
    step = float(np.median(times[_WARM:]))
    left = _RESERVE * seconds - (time.monotonic() - start)
    steps = max(_WARM, int(left / step))
    scans = plan.first + int(0.75 * max(left, 0) * scans_a_second)
    LOG.info("%.3f s a step, %.1f scans a second: %d steps on %d scans", step, scans_a_second, steps, scans)
    return replace(plan, steps=steps, scans=scans)


def _trainer(config: UNetConfig, plan: Plan, stream: Stream, out: Path) -> Trainer:
    identity = digest([plan.record(), config.model_dump(mode="json"), __version__])
    return BaseTrainer(initial_network(config), config, stream, [], out / CHECKPOINT, identity)


def _run(trainer: Trainer, held_out: HeldOut) -> None:
    steps = trainer.config.steps
    look, save = max(1, steps // LOOKS), max(LEAST_SAVE, steps // SAVES)
    left = range(trainer.step, steps)
    for _ in progress(left, len(left), "steps"):
        loss = trainer.advance()
        if trainer.step % look == 0 or trainer.step == steps:
            dice = _mean_dice(trainer, held_out)
            trainer.curve.append({"step": trainer.step - 1, "loss": round(loss, 5), "held_out_dice": round(dice, 4)})
            LOG.info("step %d of %d: loss %.3f, Dice of random scans %.3f", trainer.step, steps, loss, dice)
        if trainer.step % save == 0 and trainer.step < steps:
            trainer.save()


def _mean_dice(trainer: Trainer, held_out: HeldOut) -> float:
    network: SliceNetwork = trainer.average.module
    network.eval()
    scores = held_out.dice(lambda image: trainer.probability(network, image)[0])
    network.train()
    return float(np.mean([score for score in scores if score is not None]))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} CPU cores"
