"""How good a base is on random scans that it never saw, by what they show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .drawing import draw_recipe
from .recipe import Recipe
from .render import SimulatedScan
from .stream import Simulator

SEED_AHEAD = 1_000_003  # the seed of the held-out scans lies so far beyond that of the training
MULTIPLE = 16  # the network halves a slice four times
SIZES, RATIOS = (3, 10, 30, 100), (0.5, 1.5, 4, 10, 20)

Probability = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class HeldOut:
    """Random scans of other seeds than those of the training, one slice of each.

    Parameters
    ----------
    seed : int
        Of the training.
    count, neighbours : int
    simulator : Simulator
        Makes them; of a seed :data:`SEED_AHEAD` beyond.
    """

    def __init__(self, count: int, neighbours: int, simulator: Simulator) -> None:
        simulator.ask(range(count))
        self.recipes = [draw_recipe(simulator.seed, number) for number in range(count)]
        scans = [simulator.scan(number) for number in range(count)]
        self.slices = [_slice(scan, neighbours) for scan in scans]

    def dice(self, probability: Probability) -> list[float | None]:
        """Return the Dice of each slice at a probability of 0.5; None where it shows no domain.

        Parameters
        ----------
        probability : callable
            Takes a stack (channels, y, x), returns the probability (y, x).
        """
        return [_dice(probability(image) >= 0.5, label == 1) for image, label in self.slices]

    def by_group(self, scores: list[float | None]) -> dict[str, Any]:
        """Return the mean Dice of all, and of groups by size, shape, contrast-to-noise ratio and kind of contrast."""
        groups: dict[str, list[float]] = defaultdict(list)
        for recipe, score in zip(self.recipes, scores, strict=True):
            if score is not None:
                for name in ("all", *_groups(recipe)):
                    groups[name].append(score)
        return {
            name: {"dice": round(float(np.mean(found)), 4), "n": len(found)} for name, found in sorted(groups.items())
        }


def _slice(scan: SimulatedScan, neighbours: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the slice that shows most of the domains, between its neighbours."""
    z = int(scan.label.sum(axis=(1, 2)).argmax())
    sides = tuple(slice(n - n % MULTIPLE) for n in scan.label.shape[1:])
    return scan.stack(z, neighbours)[:, *sides].astype(np.float32), scan.label[z][sides]


def _groups(recipe: Recipe) -> tuple[str, ...]:
    size = _between(recipe.domains.diameter, SIZES)
    ratio = _between(recipe.imaging.cnr, RATIOS)
    kind = "materials" if recipe.imaging.materials else "invented"
    return f"diameter {size}", f"shape {recipe.domains.shape}", f"contrast to noise {ratio}", f"contrast {kind}"


def _between(value: float, borders: tuple[float, ...]) -> str:
    place = int(np.clip(np.searchsorted(borders, value, side="right"), 1, len(borders) - 1))
    return f"{borders[place - 1]:g} to {borders[place]:g}"


def _dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float | None:
    if not truth.any():
        return None
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))
