"""A network turns slices into probabilities, one for each measured class, in blended windows.

Every slice has the same windows in the same batches, so its bytes do not depend on how the scan was cut into slabs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from ..config import PredictConfig
from ..errors import Fault, InputError
from ..volume.probability import CERTAIN, MOST_SPREAD
from .engine import make_engine
from .unet import USUAL, SliceNetwork

OVERLAP = 64  # voxels that windows share: a network in doubt sees the other side of its window's edge in them
FAINTEST = 1e-4  # weight in the corner of a window, which at the corner of a slice is the only one
FLIPS = ((), (-1,), (-2,), (-2, -1))  # axes that test-time flips reverse


@dataclass(frozen=True)
class Pending:
    """A slice whose result may still be on its way from the GPU."""

    found: torch.Tensor
    arrived: torch.cuda.Event | None


class SlicePredictor:
    """A network, ready to turn slices into probabilities.

    Parameters
    ----------
    network : SliceNetwork
    window : int
        Largest side of the windows, in voxels where the network sees slices as they are (`input_scale` 2), and in
        voxels of the reduced or enlarged slice else, so that the memory stays the same. Larger slices are covered with
        overlap, and for smaller ones the windows shrink with them.
    settings : PredictConfig, optional
        Device, engine and precision.
    threads : int, optional
        CPU threads; by default those of PyTorch.

    Raises
    ------
    InputError
        When the network cannot halve windows of that side.
    """

    def __init__(
        self, network: SliceNetwork, window: int, settings: PredictConfig | None = None, threads: int | None = None
    ) -> None:
        settings = settings or PredictConfig()
        window = round(window * USUAL / network.input_scale)
        if window < network.reduction:
            problem = f"windows must be {network.reduction} voxels or larger for this encoder"
            raise InputError(Fault("models: window", str(window), problem, "Raise `window` of the model."))
        self.network, self.window = network, window
        self.engine = make_engine(network, settings, threads or torch.get_num_threads())
        # On a CPU a single window stays in the caches; a GPU wants many at once.
        self.at_once = settings.gpu_windows if self.engine.device.type == "cuda" else 1

    def probability(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the probability (m, y, x) of the middle slice of a stack (channels, y, x); 255 is certain."""
        return self.finish(self.begin(image))

    def logit(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logit (m, y, x) of each measured class, not calibrated."""
        return self.network.measured_logits(self._blended(self._sent(image)))[0].cpu().numpy()

    def probability_and_spread(self, image: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the mean probability (m, y, x) over four flips, and its standard deviation, where 255 means 0.5.

        Where flips disagree, the network is uncertain (test-time augmentation, Wang et al. 2019).
        """
        sent = self._sent(image)
        views = []
        for axes in FLIPS:
            (found,) = self.network.measured(self._blended(sent.flip(axes) if axes else sent))
            views.append(found.flip(axes) if axes else found)
        several = torch.stack(views)
        spread = several.std(0, correction=0) / MOST_SPREAD
        return tuple(
            (part.clamp(0, 1) * CERTAIN).round().to(torch.uint8).cpu().numpy() for part in (several.mean(0), spread)
        )

    def begin(self, image: NDArray[np.float32]) -> Pending:
        """Start on a normalised stack; on a GPU this returns before the result is there."""
        found = (self.network.measured(self._blended(self._sent(image)))[0] * CERTAIN).round().to(torch.uint8)
        if self.engine.device.type != "cuda":
            return Pending(found, None)
        arriving = torch.empty(found.shape, dtype=torch.uint8, pin_memory=True)
        arriving.copy_(found, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return Pending(arriving, arrived)

    def finish(self, pending: Pending) -> NDArray[np.uint8]:
        """Return the probability (m, y, x) of a slice that was begun."""
        if pending.arrived is not None:
            pending.arrived.synchronize()
        return pending.found.numpy()

    def _sent(self, image: NDArray[np.float32]) -> torch.Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(image))[None]
        if self.engine.device.type == "cuda":
            return batch.pin_memory().to(self.engine.device, non_blocking=True)
        return batch

    @torch.inference_mode()
    def _blended(self, batch: torch.Tensor) -> torch.Tensor:
        sides = [fitting_side(side, self.window, self.network.reduction) for side in batch.shape[2:]]
        shared = [min(OVERLAP, side // 2) for side in sides]
        return sliding_window_inference(
            batch,
            roi_size=sides,
            sw_batch_size=self.at_once,
            predictor=self.engine.logits,
            overlap=[part / side for part, side in zip(shared, sides, strict=True)],
            roi_weight_map=weights(*sides, *shared).to(batch.device),
            padding_mode="replicate",
        )


@lru_cache(maxsize=4)
def weights(height: int, width: int, *shared: int) -> torch.Tensor:
    """Return what a window (y, x) counts where it overlaps with others: nearly nothing at its edge.

    It rises as a squared sine over the part that two windows share, so their sum stays the same and a window comes in
    and goes without a step. A Gaussian of the whole window, as is usual, still counts 4 to 30 % at the edge, where a
    window knows least, and shows as a straight seam.

    Parameters
    ----------
    height, width : int
    *shared : int
        Voxels that windows share, along y and along x.
    """
    both = []
    for side, part in zip((height, width), shared, strict=True):
        place = torch.arange(side) + 0.5
        both.append(torch.sin(torch.pi / 2 * (torch.minimum(place, side - place) / part).clamp(max=1)) ** 2)
    return torch.outer(*both).clamp(min=FAINTEST)


def fitting_side(side: int, window: int, multiple: int) -> int:
    """Return the side of the windows that cover a slice with the least excess, at most ``window``.

    Parameters
    ----------
    side : int
        Of the slice, in voxels.
    window : int
        Largest side of a window.
    multiple : int
        Sides must be multiples of it.
    """
    window -= window % multiple
    if side <= window:
        return -(-side // multiple) * multiple
    shared = min(OVERLAP, window // 2)
    count = math.ceil((side - shared) / (window - shared))
    return min(window, math.ceil(((side - shared) / count + shared) / multiple) * multiple)
