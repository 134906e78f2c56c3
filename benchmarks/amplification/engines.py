"""Registration of a pair of 128 x 128 x 128 voxels, beside the engines of SimpleITK and dipy, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from tomoprofile.amplify.flow import exponential, jacobian
from tomoprofile.amplify.register import RegisterSettings, register_case
from tomoprofile.amplify.start import moved_along
from tomoprofile.amplify.template import Template
from tomoprofile.amplify.warp import warped
from tomoprofile.anatomy.settings import LABELS
from tomoprofile.anatomy.variants import simulate_variant
from tomoprofile.network.unet import choose_device

from ..cells.benchmark import Setting
from ..cells.single import cpu_s
from . import cases
from .cases import Labelled
from .learning import dice

SIDE = 128
_SEED = 300
_CONTRAST_HU = 60.0  # by up to which the organs of the real case's variant are brighter or darker
_NOISE_HU = 15.0
_LEVELS = ((4, 60), (2, 40), (1, 10))  # voxels that are joined, and iterations
_SMOOTH = 1.5  # voxels of a level, as ITK takes it
_SYN_ITERATIONS = [10, 10, 5]  # from coarse to fine, as in dipy's own example
_SYN_RADIUS = 3  # voxels, of the window in which grey values are correlated


def compared(pair: str, setting: Setting) -> dict[str, Any]:
    """Return time, Dice and folds of each engine on a pair; labels only judge."""
    fixed, moving = _torsos(setting) if pair == "torso" else _real()
    shown = [value for value in LABELS.values() if (fixed.labels == value).any() and (moving.labels == value).any()]
    before = _mean(dice(moving.labels, fixed.labels, shown))
    engines: dict[str, Any] = {}
    for name, engine in (("tomoprofile", _ours), ("demons", _demons), ("syn", _syn)):
        wall, cpu = time.perf_counter(), cpu_s()
        labels, folds = engine(fixed, moving, setting)
        seconds = {"wall_s": round(time.perf_counter() - wall, 1), "cpu_s": round(cpu_s() - cpu, 1)}
        each = dice(labels(), fixed.labels, shown)
        engines[name] = seconds | {"dice": _mean(each), "organs": each, "folds": folds}
    return {"before": before, "engines": engines}


def _mean(each: list[float | None]) -> float:
    return round(float(np.mean([value for value in each if value is not None])), 4)


def _torsos(setting: Setting) -> tuple[Labelled, Labelled]:
    size = (setting.size[0] * 2,) * 3  # 128 but for trials
    return cases.case("A", cases.TEMPLATE, size, setting.work), cases.case("C", _SEED, size, setting.work)


def _real() -> tuple[Labelled, Labelled]:
    hu, labels, edge = cases.real_case()
    hu, labels = _boxed(hu, float(hu.min())), _boxed(labels, 0)
    made = simulate_variant(hu, labels, (edge,) * 3, _SEED)
    rng = np.random.default_rng(_SEED)
    other = made.image.astype(np.float32)
    for value in LABELS.values():
        other[made.labels == value] += np.float32(rng.uniform(-_CONTRAST_HU, _CONTRAST_HU))
    other = ndimage.gaussian_filter(other, 0.4) + _NOISE_HU * rng.standard_normal(other.shape, dtype=np.float32)
    spacing = (edge,) * 3
    return Labelled("real", hu, labels, spacing), Labelled("variant", other, made.labels, spacing)


def _boxed(image: NDArray, outside: float) -> NDArray:
    """Return an image in the middle of a cube."""
    wider = [((SIDE - n) // 2, SIDE - n - (SIDE - n) // 2) for n in image.shape]
    return np.pad(image, wider, constant_values=outside)


def _ours(fixed: Labelled, moving: Labelled, _setting: Setting) -> tuple[Callable[[], NDArray], int]:
    template = Template.of(fixed.unlabelled())
    case = moving.unlabelled()
    found = register_case(case, template, RegisterSettings(device=str(choose_device())))

    @torch.no_grad()
    def labels() -> NDArray:
        grid, lattice = template.case.grid, template.lattice
        field = exponential(lattice.velocity(torch.from_numpy(found.coefficients), grid.shape), lattice.lengths)
        placed = replace(case, grid=moved_along(grid, case.grid, found.shift_mm), label=moving.labels)
        taken = warped(placed, grid, field)[1]
        assert taken is not None
        return taken.astype(np.uint8)

    return labels, int(found.measures["folds"])


def _demons(fixed: Labelled, moving: Labelled, setting: Setting) -> tuple[Callable[[], NDArray], int]:
    import SimpleITK as sitk  # noqa: N813, as its users call it

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(setting.threads)

    def image(values: NDArray, spacing: tuple[float, ...]) -> Any:
        made = sitk.GetImageFromArray(values)
        made.SetSpacing(spacing[::-1])
        return made

    still = image(fixed.grey, fixed.spacing_mm)
    other = sitk.HistogramMatching(image(moving.grey, moving.spacing_mm), still, 256, 10, True)
    field = None
    for factor, iterations in _LEVELS:
        engine = sitk.DiffeomorphicDemonsRegistrationFilter()
        engine.SetNumberOfIterations(iterations)
        engine.SetSmoothDisplacementField(True)
        engine.SetStandardDeviations(_SMOOTH)
        small = [_shrunk(sitk, one, factor) for one in (still, other)]
        field = engine.Execute(*small) if field is None else engine.Execute(*small, sitk.Resample(field, small[0]))
    displacement = sitk.GetArrayFromImage(field)[..., ::-1]  # ITK gives x, y, z

    def labels() -> NDArray:
        way = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
        taken = sitk.Resample(image(moving.labels, moving.spacing_mm), still, way, sitk.sitkNearestNeighbor)
        return sitk.GetArrayFromImage(taken)

    return labels, folds(displacement, fixed.spacing_mm)


def _syn(fixed: Labelled, moving: Labelled, _setting: Setting) -> tuple[Callable[[], NDArray], int]:
    from dipy.align.imwarp import SymmetricDiffeomorphicRegistration
    from dipy.align.metrics import CCMetric

    engine = SymmetricDiffeomorphicRegistration(CCMetric(3, radius=_SYN_RADIUS), level_iters=_SYN_ITERATIONS)
    engine.verbosity = 0
    still, other = (np.diag([*one.spacing_mm, 1.0]) for one in (fixed, moving))
    grey = (one.grey.astype(np.float32) for one in (fixed, moving))
    found = engine.optimize(*grey, static_grid2world=still, moving_grid2world=other)

    def labels() -> NDArray:
        return found.transform(moving.labels.astype(np.float32), interpolation="nearest").astype(np.uint8)

    return labels, folds(found.get_forward_field(), fixed.spacing_mm)


def folds(displacement: NDArray, spacing_mm: tuple[float, ...]) -> int:
    """Return how many voxels fold, counted as in a registration of ours.

    Parameters
    ----------
    displacement : array (*shape, d)
        By how many millimetres each voxel of the fixed image is moved, along its axes.
    spacing_mm : tuple of float
    """
    box = np.array(spacing_mm) * displacement.shape[:-1] / 2
    field = torch.from_numpy(np.ascontiguousarray((displacement / box)[..., ::-1], np.float32))[None]
    return int((jacobian(field) <= 0).sum())


def _shrunk(sitk: Any, image: Any, factor: int) -> Any:
    if factor == 1:
        return image
    smooth = sitk.SmoothingRecursiveGaussian(image, factor / 2 * float(np.mean(image.GetSpacing())))
    return sitk.Shrink(smooth, [factor] * 3)
