"""What tells labels from grey values: few values, or the names of segmentations and areas of one value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NAMES = "label labels labelled labeled seg segmentation segmentations mask masks annotation annotations gt truth"
LABELLED = {*_NAMES.split(), "groundtruth", "classes", "instances"}  # words of names
_FEW_VALUES, _MOST_LABEL = 8, 255  # distinct ones; the largest
_LEAST_VOXELS = 64  # of an image, before its values say anything
_ALIKE = 0.5  # of neighbours inside of labels; of noisy grey values, few are


def has_few_values(values: NDArray) -> bool:
    """Return whether voxels have few values, all of them small whole numbers, as labels have and measured values never.

    One value alone says nothing: the image may be blank.
    """
    found = np.unique(values)
    whole = bool(np.isfinite(found).all() and (found == np.trunc(found)).all())
    return whole and 2 <= found.size <= _FEW_VALUES and found.min() >= 0 and found.max() <= _MOST_LABEL


def are_labels(image: NDArray, named: bool) -> bool:
    """Return whether an image (y, x) holds labels: few values; or areas of one value, in a file named as labels are.

    Parameters
    ----------
    image : array (y, x)
        A slice with more than one value, or any slice where all hold one value.
    named : bool
        Whether a word of the file's name is one of :data:`LABELLED`.
    """
    if image.size < _LEAST_VOXELS:
        return False
    if has_few_values(image):
        return True
    if not named or not (image == np.trunc(image)).all():
        return False
    inside = image[:, :-1] != 0
    return not inside.any() or bool((image[:, :-1] == image[:, 1:])[inside].mean() > _ALIKE)
