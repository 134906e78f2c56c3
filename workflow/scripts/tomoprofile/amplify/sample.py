"""New pairs of image and label: drawn shapes, warped sources, varied appearance; all accepted or left out for a reason.

A case :math:`i` is its template seen through its map, :math:`T(x) \\approx I_i(\\exp(v_i)(x))`. A subject of a drawn
shape :math:`v` would be :math:`J(\\exp(v)(x)) \\approx T(x)`; so its image, with the organs of case :math:`i`, is

.. math:: J(y) = I_i\\bigl(\\exp(v_i)(\\exp(-v)(y))\\bigr)

(learned spatial transforms of one labelled case: Zhao et al. 2019). A random elastic deformation knows of no template
and changes the case itself: :math:`J(y) = I_i(\\exp(-v)(y))`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Fault, InputError, StageError
from ..logs import LOG
from .appearance import AppearanceSettings, varied
from .basis import Basis
from .flow import composed, exponential, jacobian
from .grid import Case, resampled
from .model import DeformationModel
from .register import LEAST_JACOBIAN, Registration
from .start import moved_along
from .storage import stored, write_arrays
from .template import Template
from .warp import warped

_KIND = "file of training pairs"
_TRIES = 5  # for each pair that is wanted
_ELASTIC_SPREAD = 0.5  # of the size of elastic deformations
_ELASTIC_RANGE = 2.0  # factor of an organ's own volume, where no range was learned


class Kind(StrEnum):
    """Where new shapes come from."""

    NONE = "none"
    ELASTIC = "elastic"
    DEFORMATION = "deformation"
    MIXED = "mixed"


@dataclass(frozen=True)
class SampleSettings:
    """How pairs are drawn.

    Attributes
    ----------
    kind : Kind
        ``mixed`` takes both kinds in turn.
    count : int
        Pairs to be made.
    truncation : float
        Standard deviations beyond which no component is drawn.
    elastic : float
        Root mean square of a random elastic displacement, as a share of the longest edge, on average.
    elastic_length : float
        Length of its waves, as a share of the longest edge.
    appearance : AppearanceSettings
    """

    kind: Kind = Kind.MIXED
    count: int = 20
    truncation: float = 2.5
    elastic: float = 0.02
    elastic_length: float = 0.15
    appearance: AppearanceSettings = field(default_factory=AppearanceSettings)


@dataclass(frozen=True)
class Source:
    """A labelled case, and where it lies on the template."""

    case: Case
    registration: Registration | None = None


@dataclass(frozen=True)
class Pair:
    """One drawn pair, or why there is none.

    Attributes
    ----------
    image, label : array, or None
        On the template's grid.
    record : dict
        ``index``, ``kind``, ``source``, ``other``, ``seed``, ``weights`` (of the model's components, or of the elastic
        field), ``min_jacobian``, ``accepted``, ``reason``.
    """

    image: NDArray[np.float32] | None
    label: NDArray[np.int32] | None
    record: dict[str, Any]


def sample_pairs(
    model: DeformationModel | None, template: Template, sources: Sequence[Source], settings: SampleSettings, seed: int
) -> Iterator[Pair]:
    """Yield pairs, accepted or not, until enough are accepted; each depends on the seed and its number alone.

    Parameters
    ----------
    model : DeformationModel, or None
        Only ``elastic`` does without.
    template : Template
    sources : sequence of Source
        Labelled cases.
    settings : SampleSettings
    seed : int

    Raises
    ------
    StageError
        When there is nothing to draw from, or too few samples are accepted.
    InputError
        When model, template and sources do not belong together.
    """
    if settings.kind is Kind.NONE:
        return
    usable = _usable(model, template, sources, settings)
    accepted = 0
    for index in range(settings.count * _TRIES):
        pair = _pair(model, template, usable, settings, seed, index)
        accepted += bool(pair.record["accepted"])
        if not pair.record["accepted"]:
            LOG.info("sample %d is left out: %s", index, pair.record["reason"])
        yield pair
        if accepted == settings.count:
            return
    problem = f"only {accepted} of {settings.count * _TRIES} samples were accepted"
    remedy = "See the log for the reasons; a smaller `truncation` or `elastic` deforms less."
    raise StageError(Fault("amplify", f"{settings.count} wanted", problem, remedy))


def _usable(
    model: DeformationModel | None, template: Template, sources: Sequence[Source], settings: SampleSettings
) -> list[Source]:
    learned = settings.kind in {Kind.DEFORMATION, Kind.MIXED}
    if learned and model is None:
        remedy = "Register cases and build a model, or use `elastic`."
        raise StageError(Fault("amplify.kind", settings.kind, "there is no deformation model", remedy))
    foreign = [source.registration for source in sources if source.registration is not None]
    digests = {registration.template for registration in foreign} | ({model.sums.template} if model else set())
    if digests - {template.digest}:
        remedy = "Register the cases to this template, and build the model anew."
        raise InputError(Fault("amplify", template.case.name, "model or cases belong to another template", remedy))
    usable = [
        source
        for source in sources
        if source.case.label is not None
        and (not learned or (source.registration is not None and source.registration.refusal is None))
    ]
    if not usable:
        problem = "no labelled case is registered" if learned else "no case is labelled"
        raise StageError(Fault("amplify", f"{len(sources)} cases", problem, "Label a case that can be registered."))
    return usable


def _pair(
    model: DeformationModel | None,
    template: Template,
    sources: list[Source],
    settings: SampleSettings,
    seed: int,
    index: int,
) -> Pair:
    rng = np.random.default_rng([seed, index])
    kind = settings.kind
    if kind is Kind.MIXED:
        kind = Kind.DEFORMATION if index % 2 == 0 else Kind.ELASTIC
    source, other = (sources[int(rng.integers(len(sources)))] for _ in range(2))
    if kind is Kind.DEFORMATION:
        assert model is not None
        weights = truncated(len(model.variances), settings.truncation, rng)
        coefficients = model.coefficients(weights)
    else:
        weights, coefficients = elastic(template, settings, rng)
    record: dict[str, Any] = {
        "index": index,
        "kind": str(kind),
        "source": source.case.name,
        "other": other.case.name if other is not source else "",
        "seed": seed,
        "weights": [float(weight) for weight in weights],
    }
    field, least = map_to_source(template, coefficients, source if kind is Kind.DEFORMATION else None)
    record["min_jacobian"] = least
    if least <= LEAST_JACOBIAN:
        reason = "the deformation folds" if least <= 0 else f"it shrinks a voxel to {least:.2f} of its volume"
        return Pair(None, None, {**record, "accepted": False, "reason": reason})
    grid = template.case.grid
    image, label = warped(_placed(source, template), grid, field)
    assert label is not None
    if reason := volume_out_of_range(model, source.case, label, template):
        return Pair(None, None, {**record, "accepted": False, "reason": reason})
    foreign = None if other is source else resampled(_placed(other, template), grid)[0][0, 0].numpy()
    return Pair(varied(image, foreign, settings.appearance, rng), label, {**record, "accepted": True, "reason": ""})


def truncated(count: int, limit: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return standard normal numbers none of which is larger than a limit."""
    numbers = rng.standard_normal(count)
    while (beyond := np.abs(numbers) > limit).any():
        numbers[beyond] = rng.standard_normal(int(beyond.sum()))
    return numbers


def elastic(
    template: Template, settings: SampleSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights and the coefficients of a random smooth deformation on the same lattice."""
    basis = Basis(template.lattice)
    longest = max(template.lattice.lengths)
    waves = basis.frequencies
    sizes = np.exp(-0.5 * (waves * settings.elastic_length * longest * 2) ** 2) * (waves > 0)
    weights = truncated(basis.size, settings.truncation, rng) * (sizes > 1e-3)
    coefficients = basis.to_coefficients(weights * sizes)
    # B-splines flatten fast waves, so the size is measured on the field itself.
    shape = tuple(2 * n for n in template.lattice.parts)
    field = template.lattice.velocity(torch.from_numpy(coefficients), shape)
    wanted = settings.elastic * longest * rng.uniform(1 - _ELASTIC_SPREAD, 1 + _ELASTIC_SPREAD)
    factor = wanted / float(field.square().sum(0).mean().sqrt())
    return factor * weights[weights != 0], factor * coefficients


@torch.no_grad()
def map_to_source(
    template: Template, coefficients: NDArray[np.float64], source: Source | None
) -> tuple[torch.Tensor, float]:
    """Return the map from a drawn subject to its source, and the least Jacobian determinant of the drawn part."""
    lattice, shape = template.lattice, template.case.grid.shape
    drawn = exponential(lattice.velocity(torch.from_numpy(-coefficients).float(), shape), lattice.lengths)
    least = float(jacobian(drawn).min())
    if source is None or source.registration is None:
        return drawn, least
    own = exponential(lattice.velocity(torch.from_numpy(source.registration.coefficients), shape), lattice.lengths)
    whole = composed(drawn, own)
    return whole, min(least, float(jacobian(whole).min()))


def _placed(source: Source, template: Template) -> Case:
    if source.registration is None:
        return source.case
    return replace(source.case, grid=moved_along(template.case.grid, source.case.grid, source.registration.shift_mm))


def volume_out_of_range(
    model: DeformationModel | None, source: Case, label: NDArray[np.int32], template: Template
) -> str:
    """Return which organ has a volume that no case makes believable."""
    assert source.label is not None
    counts, own = np.bincount(label.ravel()), np.bincount(np.asarray(source.label, np.int64).ravel())
    for value in range(1, len(own)):
        if not own[value]:
            continue
        volume = float(counts[value] if value < len(counts) else 0) * float(np.prod(template.case.grid.spacing))
        before = float(own[value]) * float(np.prod(source.grid.spacing))
        learned = model.volume_range(value) if model is not None else None
        low, high = learned or (before / _ELASTIC_RANGE, before * _ELASTIC_RANGE)
        if not low <= volume <= high:
            return f"class {value} has {volume:.0f} mm, outside of {low:.0f} to {high:.0f}"
    return ""


def write_pairs(path: Path, pairs: Sequence[Pair], settings: SampleSettings) -> None:
    """Write accepted pairs, and the records of all, as one file."""
    arrays: dict[str, NDArray] = {}
    for pair in pairs:
        if pair.image is not None and pair.label is not None:
            arrays[f"image_{pair.record['index']:05d}"] = pair.image
            arrays[f"label_{pair.record['index']:05d}"] = pair.label
    write_arrays(path, _KIND, arrays, {"pairs": [pair.record for pair in pairs], "settings": asdict(settings)})


def read_pairs(path: Path) -> list[Pair]:
    """Return pairs that were written.

    Raises
    ------
    InputError
        When the file holds something else.
    """
    with stored(path, _KIND) as (arrays, facts):
        names = [(record, f"{int(record['index']):05d}") for record in facts["pairs"]]
        return [Pair(arrays.get(f"image_{name}"), arrays.get(f"label_{name}"), record) for record, name in names]
