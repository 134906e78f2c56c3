"""Which scans a model is likely to get wrong: those of which it is unsure, and which differ from what is labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..amplify.registration import Registration, read_registration
from ..layout import Layout
from ..network.facts import AmplificationFacts, read_facts
from ..shift.alarm import Familiarity

BY_SHAPE, BY_LOOKS, BY_NOTHING = "mm", "spreads", ""  # units of how cases differ
_NOTHING_FOUND = 1.0  # the doubt of a scan in which the model found nothing


@dataclass(frozen=True)
class Case:
    """A scan of a model.

    Attributes
    ----------
    sample : str
    doubt : float
        Expected fraction of wrong voxels among those found.
    departure : float or None
        How unlike the labelled scans it looks, in spreads between their tiles.
    shape : array (d, *nodes), or None
        Coefficients of its deformation onto the template, in millimetres.
    why : str
        Why no shape is known of it.
    """

    sample: str
    doubt: float = _NOTHING_FOUND
    departure: float | None = None
    shape: NDArray[np.float32] | None = None
    why: str = ""


@dataclass(frozen=True)
class Ranked:
    """A scan, in the order in which the model is likely to be wrong.

    Attributes
    ----------
    sample : str
    doubt : float
    difference : float or None
        From the nearest labelled scan, and from those that stand before it.
    unit : str
        Of the difference: :data:`BY_SHAPE`, :data:`BY_LOOKS`, or :data:`BY_NOTHING` where none is known.
    why : str
        Why it comes last: it could not be compared.
    """

    sample: str
    doubt: float
    difference: float | None
    unit: str
    why: str = ""

    @property
    def risk(self) -> float:
        """Doubt times difference, which counts as 1 where it is unknown; no measure of accuracy."""
        return self.doubt * (1.0 if self.difference is None else self.difference)


def rank(labelled: Sequence[Case], others: Sequence[Case]) -> list[Ranked]:
    """Return the scans without labels, the one first on which the model is most likely to be wrong.

    Where shapes are known, a scan that was ranked counts as labelled for those after it, so that the first few are not
    all alike. A scan that could not be registered comes last: it may be empty, mirrored or of another part of a body.
    """
    known = [case.shape for case in labelled if case.shape is not None]
    if known and any(case.shape is not None for case in others):
        return _by_shape(known, others)
    unit = BY_LOOKS if all(case.departure is not None for case in others) else BY_NOTHING
    found = [Ranked(case.sample, case.doubt, case.departure if unit else None, unit) for case in others]
    return sorted(found, key=lambda one: -one.risk)


def _by_shape(known: Sequence[NDArray[np.float32]], others: Sequence[Case]) -> list[Ranked]:
    shapes = {case.sample: case.shape for case in others if case.shape is not None}
    doubts = {case.sample: case.doubt for case in others}
    away = {name: min(apart(shape, one) for one in known) for name, shape in shapes.items()}
    found = []
    while away:
        best = max(away, key=lambda name: doubts[name] * away[name])
        found.append(Ranked(best, doubts[best], away.pop(best), BY_SHAPE))
        away = {name: min(far, apart(shapes[name], shapes[best])) for name, far in away.items()}
    left = sorted((case for case in others if case.shape is None), key=lambda case: -case.doubt)
    return found + [Ranked(case.sample, case.doubt, None, BY_SHAPE, case.why) for case in left]


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the root mean square distance between two deformations, in their unit."""
    return float(np.sqrt(np.square(np.asarray(one, float) - other).sum(0).mean()))


def ranked_scans(layout: Layout, model: str, samples: Sequence[str]) -> list[Ranked]:
    """Return the finished scans of a model, ranked; none where it was not trained here.

    Parameters
    ----------
    layout : Layout
    model : str
    samples : sequence of str
        Scans that it segments.

    Raises
    ------
    InputError
        When a file of a finished scan or of the model cannot be read.
    """
    bundle = layout.model(model)
    if not bundle.metadata.exists():
        return []
    facts = read_facts(bundle.folder).labels
    trained = {name.rpartition(" z")[0] for name in facts.training}  # each label is called by scan and slice
    shapes = _shapes(layout, samples, facts.amplification)
    refused = facts.amplification.refused if facts.amplification else {}
    labelled, others = [], []
    for sample in samples:
        if sample in trained:
            labelled.append(Case(sample, shape=shapes.get(sample)))
        elif (files := layout.scan(sample)).familiarity.exists():
            known = Familiarity.load(files.familiarity)
            doubt = _NOTHING_FOUND if known.doubt is None else known.doubt
            others.append(Case(sample, doubt, known.departure, shapes.get(sample), refused.get(sample, "")))
    return rank(labelled, others)


def _shapes(
    layout: Layout, samples: Sequence[str], learned: AmplificationFacts | None
) -> dict[str, NDArray[np.float32]]:
    """Return the deformations of the cases from which the model learned, unless a run is about to make them anew."""
    files = {name: layout.scan(name).registration for name in samples if learned and name in learned.registered}
    found = {name: read_registration(path) for name, path in files.items() if path.exists()}
    return {name: case.coefficients for name, case in found.items()} if one_template(found.values()) else {}


def one_template(cases: Iterable[Registration]) -> bool:
    """Return whether coefficients of several cases mean the same."""
    return len({case.template for case in cases}) == 1
