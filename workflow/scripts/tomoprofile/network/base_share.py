"""How far a fine-tuned network goes from its base: all the way, or half of it.

One label shows few of the things that a scan holds, and fine-tuning forgets what it does not show: on phantom B the
Dice fell from .956 to .951. The mean of the weights before and after keeps much of it (WiSE-FT, Wortsman et al. 2022,
arXiv:2109.01903): .964. Where a base knows nothing of a scan the mean would be worse, so parts of the label that did
not train decide.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..labels.classes import IGNORE, Classes
from ..logs import LOG
from .calibration import outline_border
from .folds import Judged
from .initial import HALF, WHOLE


def choose_share(judged: Mapping[float, Judged], classes: Classes) -> float:
    """Return how far to go: half of the way, unless the labels that did not train speak for all of it.

    They do when the Dice of the parts that folds judged is larger at the end of the way, on average, by more than its
    standard error.

    Parameters
    ----------
    judged : mapping of float to Judged
        By share of the way.
    classes : Classes
    """
    if len(judged) == 1:
        return next(iter(judged))
    gain = _dice_of_parts(judged[WHOLE], classes) - _dice_of_parts(judged[HALF], classes)
    gain = gain[np.isfinite(gain)]
    if len(gain) < 2:
        return HALF
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    share = WHOLE if gain.mean() > error else HALF
    told = (
        "%s of the way from the base: at its end the Dice of labels that did not train is %+.3f (standard error %.3f)"
    )
    LOG.info(told, "all" if share == WHOLE else "half", gain.mean(), error)
    return share


def _dice_of_parts(judged: Judged, classes: Classes) -> NDArray[np.float64]:
    """Return the Dice of each part, a mean over the classes it shows; NaN where it shows none."""
    scores = np.full((len(classes.indices), len(judged.parts)), np.nan)
    for channel, index in enumerate(classes.indices):
        border, _ = outline_border(*judged.of(channel), index)
        for number, part in enumerate(judged.parts):
            logit = judged.logits[part.index][channel, *part.place]
            label = judged.slices[part.index].label[part.place]
            known, target = np.isfinite(logit) & (label != IGNORE), label == index
            if (known & target).any():
                found = (logit > border) & known
                both, total = (found & target).sum(), found.sum() + (known & target).sum()
                scores[channel, number] = 2 * both / total
    shown = np.isfinite(scores)
    mean = np.where(shown, scores, 0).sum(0) / np.maximum(shown.sum(0), 1)
    return np.where(shown.any(0), mean, np.nan)
