"""Training pairs from the cases of a model: each is a deformation of a labelled case, of which a few slices train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config_amplify import AmplifyConfig
from ..errors import Fault, InputError, StageError
from ..labels.classes import IGNORE
from ..labels.drawn import DrawnSlice
from ..logs import LOG
from ..shift.appearance import Appearance
from ..volume.grey import normalise
from .appearance import varied
from .grid import Case, Grid
from .model import DeformationModel
from .register import LEAST_JACOBIAN
from .registration import Registration
from .sample import Kind, SampleSettings, elastic, map_to_source, truncated, volume_out_of_range
from .slices import Slice, slice_in_plane, slice_in_space
from .start import moved_along
from .stored import StoredCase
from .template import Template
from .warp import warped

_TRIES = 5  # for each pair that is wanted
_MOST_SLICES = 8  # of a pair
_VOXELS = 24 * 2**20  # of all drawn slices, without their neighbours
FOLDS, VOLUME, GREY = "the deformation folds", "volume of a class out of range", "grey values are not numbers"


@dataclass(frozen=True)
class Learned:
    """How cases differ.

    Attributes
    ----------
    template : Template
    model : DeformationModel
    registrations : dict of str to Registration
        Of labelled cases that were not refused, by name.

    Raises
    ------
    InputError
        When they do not belong together: coefficients mean nothing on another lattice.
    """

    template: Template
    model: DeformationModel
    registrations: dict[str, Registration]

    def __post_init__(self) -> None:
        """Compare the templates."""
        known = {self.model.sums.template, *(one.template for one in self.registrations.values())}
        if known - {self.template.digest}:
            remedy = "Register the cases to this template, and build the model anew."
            problem = "model or cases belong to another template"
            raise InputError(Fault("amplify", self.template.case.name, problem, remedy))


@dataclass(frozen=True)
class LabelledCase:
    """A case to draw from.

    Attributes
    ----------
    case : StoredCase
    own : Template
        The case itself, as the box of deformations that know of no other.
    groups : dict of int to int
        Groups of its labelled slices that train.
    appearance : Appearance
        The scale of its grey values.
    """

    case: StoredCase
    own: Template
    groups: dict[int, int]
    appearance: Appearance


@dataclass(frozen=True)
class _Way:
    """One drawn deformation of one case.

    Attributes
    ----------
    source : LabelledCase
    box : Template
    coefficients : array
        Of the velocity of the drawn shape.
    registration : Registration, or None
        How the case itself lies on the box.
    """

    source: LabelledCase
    box: Template
    coefficients: NDArray[np.float64]
    registration: Registration | None

    def placed(self, grid: Grid) -> Grid:
        """Return a grid of the case moved to where the case lies in the box."""
        if self.registration is None:
            return grid
        return moved_along(self.box.case.grid, grid, self.registration.shift_mm)


class Drawing:
    """Draws pairs; each depends on the seed and its number alone.

    Parameters
    ----------
    cases : sequence of LabelledCase
    learned : Learned, or None
        Only ``elastic`` does without.
    config : AmplifyConfig
    neighbours : int
        Slices above and below that the network sees.
    seed : int
    settings : SampleSettings, optional
        How much shapes vary.

    Raises
    ------
    StageError
        When no case can be drawn from.
    """

    def __init__(
        self,
        cases: Sequence[LabelledCase],
        learned: Learned | None,
        config: AmplifyConfig,
        neighbours: int,
        seed: int,
        settings: SampleSettings | None = None,
    ) -> None:
        self.cases, self.learned, self.config, self.neighbours, self.seed = cases, learned, config, neighbours, seed
        self.settings = settings or SampleSettings()
        registered = learned.registrations if learned else {}
        of_kind = {
            Kind.ELASTIC: list(cases),
            Kind.DEFORMATION: [one for one in cases if one.case.name in registered],
        }
        wanted = [Kind.DEFORMATION, Kind.ELASTIC] if config.kind == Kind.MIXED else [Kind(config.kind)]
        self.sources = {kind: of_kind[kind] for kind in wanted}
        for kind, sources in self.sources.items():
            if not sources:
                problem = f"none of the {len(cases)} labelled cases could be registered to the template"
                remedy = "Use `elastic`, or choose another template in the column `role` (cases.json has the reasons)."
                raise StageError(Fault("models: amplify.kind", kind, problem, remedy))

    def pairs(self) -> Iterator[tuple[dict[str, Any], list[DrawnSlice]]]:
        """Yield the record and the slices of pairs, accepted or not, until enough of each kind are accepted.

        Raises
        ------
        StageError
            When none of a kind is.
        """
        kinds = list(self.sources)
        left = {kind: self.config.pairs // len(kinds) for kind in kinds}
        left[kinds[0]] += self.config.pairs % len(kinds)
        accepted: Counter[Kind] = Counter()
        for index in range(self.config.pairs * _TRIES):
            kind = kinds[index % len(kinds)]
            if left[kind] == accepted[kind]:
                continue
            record, slices = self._pair(kind, index)
            accepted[kind] += bool(slices)
            if not slices:
                LOG.info("pair %d is left out: %s", index, record["why"])
            yield record, slices
        for kind, count in left.items():
            if count and not accepted[kind]:
                problem = "no drawn pair was accepted; the log has the reasons"
                raise StageError(Fault("models: amplify.kind", kind, problem, "Use `elastic`, or `none`."))
            if accepted[kind] < count:
                LOG.warning("only %d of %d pairs of kind %s were accepted", accepted[kind], count, kind)

    def _pair(self, kind: Kind, index: int) -> tuple[dict[str, Any], list[DrawnSlice]]:
        rng = np.random.default_rng([self.seed, index])
        source = self.sources[kind][int(rng.integers(len(self.sources[kind])))]
        weights, way = self._way(kind, source, rng)
        record: dict[str, Any] = {
            "index": index,
            "kind": str(kind),
            "source": source.case.name,
            "seed": self.seed,
            "weights": [float(weight) for weight in weights],
            "in_plane": not source.case.is_whole,
        }
        known = sorted(source.case.labels) if source.case.is_whole else sorted(source.groups)
        chosen = sorted(rng.choice(known, min(self._most(source), len(known)), replace=False).tolist())
        found, least, reason, why = (self._in_space if source.case.is_whole else self._in_plane)(way, chosen)
        slices = [] if reason else [self._finished(kind, index, source, z, one, rng) for z, one in found]
        slices = [item for item in slices if (item.label != IGNORE).any()]
        if slices and not all(np.isfinite(item.image).all() for item in slices):
            slices, reason, why = [], GREY, GREY
        told = {"min_jacobian": least, "slices": [item.z for item in slices], "accepted": bool(slices)}
        return record | told | {"reason": reason, "why": why}, slices

    def _way(self, kind: Kind, source: LabelledCase, rng: np.random.Generator) -> tuple[NDArray[np.float64], _Way]:
        if kind is Kind.ELASTIC:
            weights, coefficients = elastic(source.own, self.settings, rng)
            return weights, _Way(source, source.own, coefficients, None)
        assert self.learned is not None
        weights = truncated(len(self.learned.model.variances), self.settings.truncation, rng)
        coefficients = self.learned.model.coefficients(weights)
        registration = self.learned.registrations[source.case.name]
        return weights, _Way(source, self.learned.template, coefficients, registration)

    def _most(self, source: LabelledCase) -> int:
        """Return how many slices of a pair train, so that all of them fit into memory."""
        rows, columns = source.case.store.shape[1:]
        return int(np.clip(_VOXELS // (self.config.pairs * rows * columns), 1, _MOST_SLICES))

    def _in_space(self, way: _Way, chosen: list[int]) -> tuple[list[tuple[int, Slice]], float, str, str]:
        """Return slices of a case of which all is labelled, the least determinant, and why they are left out."""
        case, box = way.source.case, way.box.case.grid
        field, least = map_to_source(way.box, way.coefficients, way.registration)
        if least <= LEAST_JACOBIAN:
            return [], least, FOLDS, f"the deformation shrinks a voxel to {least:.2f} of its volume"
        if why := self._volumes(way, field):
            return [], least, VOLUME, why
        placed = way.placed(case.grid)
        return [(z, slice_in_space(case, placed, box, field, z, self.neighbours)) for z in chosen], least, "", ""

    def _volumes(self, way: _Way, field: Any) -> str:
        """Return which of the classes that are labelled as a whole has a volume that no case makes believable."""
        case, small = way.source.case, way.source.own.case
        label = case.small_label()
        whole = np.where(np.isin(label, case.whole_classes), label, 0)
        moved = Case(small.name, small.image, way.placed(small.grid), whole)
        found = warped(moved, way.box.case.grid, field)[1]
        assert found is not None
        model = self.learned.model if self.learned else None
        return volume_out_of_range(model, replace(small, label=whole), found, way.box)

    def _in_plane(self, way: _Way, chosen: list[int]) -> tuple[list[tuple[int, Slice]], float, str, str]:
        """Return the same of a case of which a few slices are labelled; of no class all is known."""
        case, ways = way.source.case, [-way.coefficients]
        if way.registration is not None:
            ways.append(way.registration.coefficients)
        placed = way.placed(case.grid)
        found, least = [], np.inf
        for z in chosen:
            one, smallest = slice_in_plane(case, placed, way.box, ways, z, self.neighbours)
            found.append((z, one))
            least = min(least, smallest)
        if least <= LEAST_JACOBIAN:
            return [], least, FOLDS, f"the deformation shrinks a pixel to {least:.2f} of its area"
        return found, least, "", ""

    def _finished(
        self, kind: Kind, index: int, source: LabelledCase, z: int, one: Slice, rng: np.random.Generator
    ) -> DrawnSlice:
        """Return a slice as training takes it, with the appearance of another scan."""
        image = varied(one.image, self.settings.appearance, rng) if np.isfinite(one.image).all() else one.image
        groups = {*source.groups.values()} if source.case.is_whole else {source.groups[z]}
        grey = normalise(image, source.appearance.centre, source.appearance.spread)
        return DrawnSlice(index, str(kind), source.case.name, z, tuple(sorted(groups)), grey, one.label)
