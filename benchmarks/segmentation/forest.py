"""A pixel classifier as people use it in ilastik and Weka: a random forest on filters of several scales.

Filters of each slice: Gaussian, Laplacian, gradient, and the eigenvalues of Hessian and structure tensor at each scale;
beside them the two neighbouring slices, which the networks see as well. scikit-learn comes with the peers' environment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import hessian_matrix, hessian_matrix_eigvals, structure_tensor, structure_tensor_eigenvalues

from . import ours

SCALES = (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)  # ilastik's
TREES, MOST_PIXELS = 100, 50_000  # of one tree, drawn from all labelled pixels


def train(training: ours.TrainingSet, seed: int) -> Any:
    """Return a forest of the labelled pixels."""
    from sklearn.ensemble import RandomForestClassifier

    rows, classes = [], []
    for item in training.slices:
        known = item.label != 255
        rows.append(features(item.image)[known])
        classes.append(item.label[known] == 1)
    pixels, domain = np.concatenate(rows), np.concatenate(classes)
    forest = RandomForestClassifier(TREES, max_samples=min(MOST_PIXELS, len(pixels)), random_state=seed, n_jobs=1)
    return forest.fit(pixels, domain)


def mask(forest: Any, stacks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the segmentation (slices, y, x) of normalised stacks (slices, 3, y, x)."""
    found = [forest.predict(features(stack).reshape(-1, forest.n_features_in_)) for stack in stacks]
    return np.stack(found).reshape(stacks.shape[0], *stacks.shape[2:])


def features(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the filters (y, x, features) of the middle slice of a normalised stack (3, y, x)."""
    below, image, above = stack
    found = [ndimage.gaussian_filter(part, 1.0) for part in (below, above)]
    for sigma in SCALES:
        found += [ndimage.gaussian_filter(image, sigma), ndimage.gaussian_laplace(image, sigma)]
        found.append(ndimage.gaussian_gradient_magnitude(image, sigma))
        found += list(hessian_matrix_eigvals(hessian_matrix(image, sigma, use_gaussian_derivatives=False)))
        found += list(structure_tensor_eigenvalues(structure_tensor(image, sigma)))
    return np.stack(found, axis=-1).astype(np.float32)
