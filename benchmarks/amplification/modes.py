"""Does the learned model recover the modes that were put in? Their deformations are compared within the body."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprofile.amplify.basis import Basis
from tomoprofile.amplify.model import DeformationModel, build_model
from tomoprofile.anatomy.modes import basis, draw, draw_coefficients
from tomoprofile.anatomy.settings import MODES, AnatomySettings

from ..cells.benchmark import Setting
from . import cases, registered
from .plan import POOLS

COUNTS = (3, 5, 8)
Fields = NDArray[np.float64]


def principal_angles(one: Fields, other: Fields) -> list[float]:
    """Return the principal angles in degrees between the spans of rows, the smallest first."""
    q1, q2 = (np.linalg.qr(rows.T)[0] for rows in (one, other))
    cosines = np.linalg.svd(q1.T @ q2, compute_uv=False).clip(-1, 1)
    return [round(float(angle), 2) for angle in np.degrees(np.arccos(cosines))]


def explained(components: Fields, fields: Fields) -> float:
    """Return the share of the variance of centred fields (n, k) that lies in the span of components (m, k)."""
    q = np.linalg.qr(components.T)[0]
    centred = fields - fields.mean(0)
    return round(float(((centred @ q) ** 2).sum() / (centred**2).sum()), 4)


def compared(population: str, setting: Setting) -> dict[str, Any]:
    """Return how well the components of registered and of true deformations match the modes put in.

    The components of the true fields of the same cases show what their number alone allows.
    """
    settings = AnatomySettings.of_site("A", size=setting.size)
    template = registered.template_of(population, setting)
    body = cases.body_of(template.case.image)
    found = registered.registrations(population, range(POOLS[population]), setting)
    model, judged = build_model(found, template)
    learned = _on_voxels(model, template, body)
    modes = basis(settings)[:, :, body].reshape(len(MODES), -1).astype(np.float64)
    used = [number for number, one in enumerate(judged) if one.refusal is None]
    few = cases.dominant(settings)
    weights = np.array([_coefficients(settings, population, number, few) for number in used])
    true = weights @ modes
    of_true = np.linalg.svd(true - true.mean(0), full_matrices=False)[2]
    largest = modes[[MODES.index(mode) for mode in few]]
    put_in = len(MODES) if population == "A" else len(few)
    counts = [count for count in COUNTS if count <= min(len(learned), len(of_true), put_in)]
    return {
        "cases": len(used),
        "dominant": few,
        "put_in": put_in,
        "angles": {
            str(count): {
                "registered": principal_angles(learned[:count], largest),
                "true": principal_angles(of_true[:count], largest),
                "each_other": principal_angles(learned[:count], of_true[:count]),
            }
            for count in counts
        },
        "explained": {
            str(count): {
                "registered": explained(learned[:count], true),
                "true": explained(of_true[:count], true),
                "own": round(float(model.variances[:count].sum() / model.total_variance), 4),
            }
            for count in counts
        },
    }


def _coefficients(settings: AnatomySettings, population: str, number: int, few: list[str]) -> list[float]:
    """Return the coefficients of the modes with which a case was simulated."""
    if population == "three":
        drawn = draw_coefficients(settings, np.random.default_rng([number, cases.DOMINANT]))
        return [drawn[mode] * (mode in few) for mode in MODES]
    rng = np.random.default_rng(np.random.SeedSequence(number).spawn(3)[0])
    drawn = draw(settings, rng).coefficients
    return [drawn[mode] for mode in MODES]


def _on_voxels(model: DeformationModel, template: Any, body: NDArray[np.bool_]) -> Fields:
    """Return the components as velocities in the body, one row each."""
    lattice = template.lattice
    numbers = (Basis(lattice).to_coefficients(one) for one in model.components)
    fields = [lattice.velocity(torch.from_numpy(one).float(), body.shape).numpy()[:, body] for one in numbers]
    return np.stack([field.ravel() for field in fields]).astype(np.float64)
