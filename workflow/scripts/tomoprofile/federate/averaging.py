"""One model from the models of sites: means weighted by labelled voxels, and what a server makes of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .update import Update

Tensors = Mapping[str, NDArray]
_MEAN, _VARIANCE = ".running_mean", ".running_var"  # as PyTorch calls the statistics of a batch norm


def averaged(answers: Mapping[str, Update]) -> dict[str, NDArray]:
    """Return the mean of the tensors of all sites, each weighted by its labelled voxels (FedAvg, McMahan 2017).

    The running variance of a batch norm is that of all sites together: the mean of their variances, and the variance of
    their means, which a plain average forgets. Sums are in double precision and in the order of the sites' names, so
    the order in which answers arrive changes no bit.

    Parameters
    ----------
    answers : mapping of str to Update
        By the name of the site; all with the same tensors. One without labelled voxels has no weight.

    Raises
    ------
    ValueError
        When no site has labelled voxels.
    """
    sites = sorted(answers)
    weights = np.array([answers[site].voxels for site in sites], float)
    if not weights.sum() > 0:
        raise ValueError("no site has labelled voxels")
    weights /= weights.sum()
    each = [answers[site].tensors for site in sites]
    found = {name: _mean([tensors[name] for tensors in each], weights) for name in each[0]}
    for name in found:
        centre = name.removesuffix(_VARIANCE) + _MEAN
        if name.endswith(_VARIANCE) and centre in found:
            apart = [(tensors[centre].astype(float) - found[centre]) ** 2 for tensors in each]
            found[name] = found[name] + _mean(apart, weights)
    return {name: value.astype(each[0][name].dtype) for name, value in found.items()}


def pushed(
    before: Tensors, mean: Tensors, momentum: Tensors, rate: float, decay: float
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Return the tensors that a server with momentum makes of a mean, and its new momentum (FedOpt, Reddi 2021).

    What sites changed is a gradient to the server: ``m <- decay m + (mean - before)``, ``before + rate m``. With a rate
    of 1 and a decay of 0 the result is the mean. Statistics of batch norms are taken from the mean: a variance that is
    pushed on may become negative.

    Parameters
    ----------
    before, mean : mapping of str to array
        The tensors that sites began with, and the mean of what they made of them.
    momentum : mapping of str to array
        What this function returned in the round before; empty in the first.
    rate, decay : float
    """
    tensors, kept = {}, {}
    for name, value in mean.items():
        if name.endswith((_MEAN, _VARIANCE)):
            tensors[name] = value
            continue
        moved = value.astype(float) - before[name]
        moving = decay * momentum[name].astype(float) + moved if name in momentum else moved
        tensors[name] = (before[name] + rate * moving).astype(value.dtype)
        kept[name] = moving.astype(value.dtype)
    return tensors, kept


def _mean(arrays: list[NDArray], weights: NDArray[np.float64]) -> NDArray:
    return sum(weight * array.astype(float) for weight, array in zip(weights, arrays, strict=True))
