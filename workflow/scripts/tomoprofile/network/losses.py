"""The loss that training minimises: soft Dice plus cross-entropy over the voxels that are labelled."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..labels.classes import DOMAIN, IGNORE


def masked_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return soft Dice plus cross-entropy over the voxels that are not ignored (Milletari et al. 2016 for Dice).

    Dice is the mean over the foreground classes that occur in the labels of the batch, so a rare class counts as much
    as a frequent one, and an absent one does not count.

    Parameters
    ----------
    logits : tensor (n, k, y, x)
        One logit for two classes, else one for each.
    label : tensor (n, y, x) of uint8
        Index of the class; 255 is ignored.
    """
    known = label != IGNORE
    count = known.sum().clamp(min=1)
    if logits.shape[1] == 1:
        target = (label == DOMAIN).float()
        each = functional.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")
        entropy = (each * known).sum() / count
        return entropy + 1 - _dice(torch.sigmoid(logits[:, 0]) * known, target * known)
    wanted = torch.where(known, label, 0).long()
    each = functional.cross_entropy(logits, wanted, reduction="none")
    entropy = (each * known).sum() / count
    probability = torch.softmax(logits, 1) * known[:, None]
    losses, seen = [], []
    for index in range(1, logits.shape[1]):
        target = ((label == index) & known).float()
        losses.append(1 - _dice(probability[:, index], target))
        seen.append((target.sum() > 0).float())
    present = torch.stack(seen)
    return entropy + (torch.stack(losses) * present).sum() / present.sum().clamp(min=1)


def _dice(probability: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    overlap = (probability * target).sum()
    return (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
