"""The peer network: MONAI's BasicUNet as it comes, with the library's crops, loss and schedule, at native scale."""

from __future__ import annotations

import numpy as np
import torch
from monai.networks.nets import BasicUNet

from . import ours

# On phantom B with 3 labels, 300 steps: Dice 0.912 at 0.001, 0.918 at 0.003. This is also the library's default.
RATE = 2e-3
WEIGHT_DECAY = 1e-4  # this and the shape of the schedule as in the library
LEVELS = (0.3, 0.7)


class Peer(BasicUNet):
    """BasicUNet that says what its logit means and what windows it can halve, as the library's predictor asks."""

    reduction = 32  # as the library's networks, so that both see the same windows
    input_scale = ours.USUAL  # slices as they are

    def measured_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logit (n, 1, y, x) of being a domain."""
        return logits

    def measured(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probability (n, 1, y, x) of being a domain."""
        return torch.sigmoid(self.measured_logits(logits))


def create(config: ours.UNetConfig, seed: int) -> torch.nn.Module:
    """Return the network with random weights."""
    torch.manual_seed(seed)
    return Peer(spatial_dims=2, in_channels=2 * config.neighbours + 1, out_channels=1)


def train(network: torch.nn.Module, training: ours.TrainingSet, config: ours.UNetConfig, seed: int) -> None:
    """Train in place for ``config.steps`` steps, on the crops that the library would draw."""
    device = ours.choose_device()
    precision = ours.choose_precision(device)
    network.to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=config.steps + 1, pct_start=0.2)
    sampler = ours.CropSampler(training, config, seed)
    for step in range(config.steps):
        image, label = (torch.from_numpy(part).to(device) for part in sampler.draw(step))
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = network(image.contiguous(memory_format=torch.channels_last))
        loss = ours.masked_loss(logits.float(), label)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()


def level(network: torch.nn.Module, training: ours.TrainingSet, window: int) -> float:
    """Return the level of equal area on the labels, which all trained it: one training has nothing else."""
    truth = sum(int((item.label == 1).sum()) for item in training.slices)
    area = np.zeros(256, np.int64)
    for item in training.slices:
        found = ours.probabilities(network, item.image[None], window)[0]
        area += np.bincount(found[item.label != 255], minlength=256)
    above = np.cumsum(area[::-1])[::-1][1:]
    return float(np.clip((float(np.abs(above - truth).argmin()) + 0.5) / 255, *LEVELS))
