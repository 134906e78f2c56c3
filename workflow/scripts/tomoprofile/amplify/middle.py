"""Which case, or which image made of all, lies in the middle of them: the template that deforms least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Fault, StageError
from ..logs import LOG
from .approach import LEAST_RATIO, approach, orientation
from .flow import composed, exponential
from .grid import Case
from .model import FEWEST, without_outliers
from .register import RegisterSettings, register_case
from .registration import Registration
from .similarity import standardised
from .start import moved_along
from .template import PARTS, Template
from .warp import warped

_ROUNDS = 4
_SMALL = 0.1  # of how cases differ: a mean deformation that need not be taken out any more


def choose_template(cases: Sequence[Case], parts: int = PARTS, device: str = "cpu") -> Template:
    """Return the case nearest to the others, by coarse fits of all to one of them.

    The others are fitted to the first case to which most of them can be: if it is an outlier, the next one serves.

    Raises
    ------
    StageError
        When no case fits most of the others.
    """
    place = torch.device(device)
    for first in cases:
        template = Template.of(first, parts)
        others = [case for case in cases if case is not first]
        fits = {first.name: np.zeros(template.lattice.shape, np.float32)}
        for case in others:
            start = approach(template, case, place)
            ratio, flipped = orientation(template, case, start, place)
            if ratio >= LEAST_RATIO and not flipped:
                fits[case.name] = start.coefficients.cpu().numpy()
        if 2 * (len(fits) - 1) < len(others):
            LOG.warning("%s cannot be the template: it fits %d of %d cases", first.name, len(fits) - 1, len(others))
            continue
        middle = np.median(list(fits.values()), axis=0)
        nearest = min(fits, key=lambda name: float(np.square(fits[name] - middle).sum()))
        LOG.info("the template is %s, the nearest to %d others", nearest, len(others))
        return Template.of(next(case for case in cases if case.name == nearest), parts)
    problem = "no case is like most of the others"
    remedy = "Give cases of one body region in one orientation, or name the template."
    raise StageError(Fault("amplify", f"{len(cases)} cases", problem, remedy))


@dataclass(frozen=True)
class Built:
    """A mean image as the template.

    Attributes
    ----------
    template : Template
        Without labels.
    rest : tuple of float
        After each round: the root mean square of the mean coefficient over that of the cases about it.
    """

    template: Template
    rest: tuple[float, ...]


def build_template(cases: Sequence[Case], start: Template, settings: RegisterSettings | None = None) -> Built:
    """Return the mean image of cases: registered, averaged in the mean of their shapes, and again until it stays.

    Grey values are averaged after each image was brought to mean 0 and variance 1 (Guimond et al. 2000, on velocities).

    Raises
    ------
    StageError
        When too few cases can be registered.
    """
    template, rest = start, []
    for _ in range(_ROUNDS):
        made = without_outliers([register_case(case, template, settings) for case in cases])
        accepted = [(case, one) for case, one in zip(cases, made, strict=True) if one.refusal is None]
        if len(accepted) < FEWEST:
            problem = f"a mean image needs at least {FEWEST} cases that can be registered"
            remedy = "Name a case as the template."
            raise StageError(Fault("amplify", f"{len(accepted)} of {len(cases)}", problem, remedy))
        mean = np.mean([one.coefficients for _, one in accepted], axis=0)
        spread = np.sqrt(np.mean([np.square(one.coefficients - mean).mean() for _, one in accepted]))
        rest.append(float(np.sqrt(np.square(mean).mean()) / max(float(spread), 1e-9)))
        LOG.info("mean image of %d cases: the mean deformation is %.2f of their differences", len(accepted), rest[-1])
        case = Case("mean", _averaged(accepted, template, mean), template.case.grid)
        template = Template(case, template.lattice)
        if rest[-1] < _SMALL:
            break
    return Built(template, tuple(rest))


@torch.no_grad()
def _averaged(
    accepted: list[tuple[Case, Registration]], template: Template, mean: NDArray[np.float32]
) -> NDArray[np.float32]:
    grid, lattice = template.case.grid, template.lattice
    back = exponential(lattice.velocity(torch.from_numpy(-mean), grid.shape), lattice.lengths)
    total = np.zeros(grid.shape)
    for case, one in accepted:
        field = exponential(lattice.velocity(torch.from_numpy(one.coefficients), grid.shape), lattice.lengths)
        moved = Case(case.name, case.image, moved_along(grid, case.grid, one.shift_mm))
        image = torch.from_numpy(warped(moved, grid, composed(back, field))[0])
        total += standardised(image, torch.ones_like(image)).numpy()
    return (total / len(accepted)).astype(np.float32)
