"""Fine-tune a pretrained 2-D U-Net on a few labelled slices (P22, P31)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .. import __version__
from ..config import UNetConfig, digest
from ..errors import Fault, InputError
from ..files import whole_file
from ..labels.masks import BACKGROUND, DOMAIN, IGNORE
from ..labels.training_set import LabelledSlice, TrainingSet, read_training_set
from ..logs import LOG, progress
from ..shift.alarm import seen_facts
from ..volume.probability import stored
from .augment import padded
from .bundle import load_network, read_facts, write_bundle
from .calibration import calibrate
from .card import CardPictures
from .crops import CropSampler
from .losses import masked_loss
from .pictures import HeldOutSlice
from .scores import score_slices
from .unet import SliceNetwork, choose_device, choose_precision

CHECKPOINT_STEPS = 50
WEIGHT_DECAY = 1e-4
RISE = 0.2001  # share of steps in which the rate rises; with 0.2 PyTorch divides by zero at four steps
LOOK_WINDOWS, LOOK_SIDE = 12, 256  # what a look at the held-out slices costs at most, however large they are


def fine_tune(training_set: Path, config: UNetConfig, seed: int, out: Path, threads: int) -> None:
    """Train a model and write its bundle.

    A checkpoint ``<out>.checkpoint.pt`` beside the bundle lets a run that was killed continue; the result is that of an
    unbroken run.

    Parameters
    ----------
    training_set : Path
        Written by :func:`~tomoprofile.labels.training_set.collect_labels`.
    config : UNetConfig
        Learning conditions (P23), all recorded in the bundle.
    seed : int
    out : Path
        Folder of the bundle.
    threads : int
        CPU threads.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    training = read_training_set(training_set)
    identity = digest(
        [hashlib.sha256(training_set.read_bytes()).hexdigest(), config.model_dump(mode="json"), seed, __version__]
    )
    checkpoint = out.with_name(out.name + ".checkpoint.pt")
    network = initial_network(config)
    network, curve = _train(network, training, config, seed, checkpoint, identity)
    calibration, probability = calibrate(network, training, config)
    held_out = training.part(held_out=True)
    _tell_missing_classes(held_out, config)
    scores: dict[str, Any] = {}
    if calibration.calibrated:
        masks = [_measured(item.label, config.measured) for item in held_out]
        scores = score_slices(probability, masks, calibration.level, training.voxel_size_um)
        LOG.info("held out: Dice %.3f, IoU %.3f; decision level %.3f", scores["dice"], scores["iou"], calibration.level)
    facts = {
        "network": network_arguments(config),
        "voxel_size_um": list(training.voxel_size_um),
        "classes": list(config.classes),
        "decision_level": calibration.level,
        "calibrated": calibration.calibrated,
        "calibration": {
            "slope": calibration.slope,
            "offset": calibration.offset,
            "level_at_its_limit": calibration.clipped,
        },
        "held_out": scores,
        "seen": seen_facts(training.seen, probability or _look(network, training.slices, config)),
        "conditions": {**config.model_dump(mode="json"), "seed": seed},
        "base": config.base,
        "labels": training.facts,
        "learning_curve": curve,
    }
    pictures = tuple(
        HeldOutSlice(f"{item.sample} z{item.z:05d}", item.image[config.neighbours], item.label, found)
        for item, found in zip(held_out, probability, strict=False)
    )
    write_bundle(out, network, facts, CardPictures(pictures))
    checkpoint.unlink(missing_ok=True)


def network_arguments(config: UNetConfig) -> dict[str, Any]:
    """Return the arguments of the network that a configuration describes, without its weights."""
    return {
        "in_channels": 2 * config.neighbours + 1,
        "input_scale": config.input_scale,
        "encoder": config.encoder,
        "decoder_channels": list(config.decoder_channels),
        "classes": len(config.classes),
        "measured": config.measured,
    }


def initial_network(config: UNetConfig) -> SliceNetwork:
    """Return the network training begins with.

    Raises
    ------
    InputError
        When the base is a bundle of another network.
    """
    arguments = network_arguments(config)
    if config.base in {"imagenet", "none"}:
        return SliceNetwork(**arguments, pretrained=config.base == "imagenet")
    facts = read_facts(Path(config.base))
    keys = {"encoder": "encoder", "decoder_channels": "decoder_channels", "in_channels": "neighbours"}
    for name, key in keys.items():
        if facts["network"].get(name) != arguments[name]:
            problem = f"the base {config.base} has another {key}: {name} is {facts['network'].get(name)}"
            remedy = f"Set `{key}` to that of the base, or choose another `base`."
            raise InputError(Fault(f"models: {key}", str(arguments[name]), problem, remedy))
    if facts["classes"] != list(config.classes):
        problem = f"the base {config.base} tells other classes apart: {', '.join(facts['classes'])}"
        remedy = "Name the same classes in the same order, or choose another `base`."
        raise InputError(Fault("models: classes", ", ".join(config.classes), problem, remedy))
    network = load_network(Path(config.base))
    network.input_scale, network.measured_class = config.input_scale, config.measured
    return network


def _train(
    network: SliceNetwork, training: TrainingSet, config: UNetConfig, seed: int, checkpoint: Path, identity: str
) -> tuple[SliceNetwork, list[dict[str, float]]]:
    """Return the trained network, averaged over the last steps, and the learning curve."""
    device = choose_device()
    precision = choose_precision(device)
    network.to(device, memory_format=torch.channels_last).train()
    groups = network.parameter_groups(config.learning_rate)
    optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    schedule = _schedule(optimiser, config)
    # An average longer than a tenth of the training would remember the random weights it began with.
    decay = min(config.average, max(0.0, 1 - 10 / config.steps))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    sampler = CropSampler(training, config, seed)
    held_out = _windows(training.part(held_out=True), config.measured)
    frozen_steps = round(config.freeze_share * config.steps) if config.base != "none" else 0
    curve: list[dict[str, float]] = []
    best: dict[str, Any] = {"dice": -1.0, "step": 0, "network": None}
    first = 0
    saved = _read_checkpoint(checkpoint, identity)
    if saved:
        network.load_state_dict(saved["network"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        best, curve, first = saved["best"], json.loads(saved["curve"]), saved["step"]
        LOG.info("continuing from step %d of %d", first, config.steps)
    LOG.info("fine-tuning from %s on %s in %s", config.base, device, precision)
    steps: Iterator[int] = iter(progress(range(first, config.steps), config.steps - first, "steps"))
    for step in steps:
        network.freeze_encoder(step < frozen_steps)
        image, label = (torch.from_numpy(part).to(device) for part in sampler.draw(step))
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = network(image.contiguous(memory_format=torch.channels_last))
        loss = masked_loss(logits.float(), label)
        if not torch.isfinite(loss):
            problem = f"the loss is no number any more at step {step}"
            remedy = "Lower `learning_rate` of the model; look at the labelled slices for extreme grey values."
            raise InputError(Fault("models: learning_rate", str(config.learning_rate), problem, remedy))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        last = step + 1 == config.steps
        if step % 10 == 0 or last:
            curve.append({"step": step, "loss": round(float(loss.detach()), 5)})
        if held_out and ((step + 1) % config.check_steps == 0 or last):
            dice = _dice(average.module, held_out, config.measured, device, precision)
            curve.append({"step": step, "loss": round(float(loss.detach()), 5), "held_out_dice": round(dice, 5)})
            if dice > best["dice"]:
                state = {name: value.detach().clone() for name, value in average.module.state_dict().items()}
                best = {"dice": dice, "step": step, "network": state}
            elif step - best["step"] >= config.patience * config.check_steps:
                LOG.info("no progress on held-out slices since step %d: training ends", best["step"] + 1)
                break
        if step % CHECKPOINT_STEPS == CHECKPOINT_STEPS - 1 and not last:
            LOG.info("step %d: loss %.3f", step + 1, float(loss.detach()))
            parts = {"network": network, "average": average, "optimiser": optimiser, "schedule": schedule}
            state = {name: part.state_dict() for name, part in parts.items()}
            with whole_file(checkpoint) as partial:
                torch.save(
                    {**state, "identity": identity, "step": step + 1, "curve": json.dumps(curve), "best": best}, partial
                )
    result: SliceNetwork = average.module
    if best["network"] is not None:
        LOG.info("held-out Dice %.3f at step %d", best["dice"], best["step"] + 1)
        result.load_state_dict(best["network"])
    return result, curve


def _schedule(optimiser: torch.optim.Optimizer, config: UNetConfig) -> torch.optim.lr_scheduler.LRScheduler:
    steps = config.steps + 1
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rates = [group["lr"] for group in optimiser.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=RISE)


def _windows(slices: list[LabelledSlice], measured: int) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Return windows of the held-out slices, from those without domains to those full of them."""
    windows = []
    for item in slices:
        image, label = padded(item.image, item.label, 32)
        height, width = (side // 32 * 32 for side in label.shape)
        for y in range(0, height, LOOK_SIDE):
            for x in range(0, width, LOOK_SIDE):
                window = (slice(y, min(y + LOOK_SIDE, height)), slice(x, min(x + LOOK_SIDE, width)))
                windows.append((image[:, *window], label[window]))
    windows.sort(key=lambda pair: int((pair[1] == measured).sum()))
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(LOOK_WINDOWS, len(windows))).astype(int)) if windows else []
    return [windows[index] for index in chosen]


@torch.inference_mode()
def _probability(
    network: SliceNetwork, image: NDArray[np.float32], device: torch.device, precision: torch.dtype
) -> NDArray[np.float32]:
    batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        logits = network(batch)
    return network.measured(logits.float())[0].cpu().numpy()


def _dice(
    network: SliceNetwork,
    windows: list[tuple[NDArray[np.float32], NDArray[np.uint8]]],
    measured: int,
    device: torch.device,
    precision: torch.dtype,
) -> float:
    """Return the soft Dice of the held-out windows: it moves where the hard one stands still."""
    network.eval()
    both, area = 1.0, 1.0
    for image, label in windows:
        known, target = label != IGNORE, label == measured
        found = _probability(network, image, device, precision) * known
        both += 2 * float(found[target].sum())
        area += float(found.sum()) + float(target.sum())
    network.train()
    return both / area


def _look(network: SliceNetwork, slices: list[LabelledSlice], config: UNetConfig) -> list[NDArray[np.uint8]]:
    """Return the probability of slices that trained, for want of others."""
    device = choose_device()
    precision = choose_precision(device)
    network.eval()
    windows = _windows(slices, config.measured)
    return [stored(_probability(network, image, device, precision)) for image, _ in windows]


def _tell_missing_classes(held_out: list[LabelledSlice], config: UNetConfig) -> None:
    if not held_out:
        return
    seen = {int(value) for item in held_out for value in np.unique(item.label)}
    missing = [name for index, name in enumerate(config.classes) if index not in seen]
    if missing:
        where = ", ".join(f"{item.sample} z{item.z:05d}" for item in held_out)
        LOG.warning(
            "the held-out slices (%s) show no %s: how well it is told apart is unknown; label a slice that does",
            where,
            " and no ".join(missing),
        )


def _measured(label: NDArray[np.uint8], measured: int) -> NDArray[np.uint8]:
    """Return a mask of the measured class alone, ignored voxels kept."""
    return np.where(label == IGNORE, IGNORE, np.where(label == measured, DOMAIN, BACKGROUND)).astype(np.uint8)


def _read_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Return a checkpoint of the same training set and conditions, or None."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        LOG.warning("%s cannot be read and is ignored: %s", path, error)
        return None
    if state.get("identity") != identity:
        LOG.info("%s belongs to other conditions and is ignored", path)
        return None
    return state
