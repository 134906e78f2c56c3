"""Registrations of the pool to the template of a task: made once, and kept in the folder of the results."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from pathlib import Path

from tomoprofile.amplify.model import build_model
from tomoprofile.amplify.pairs import Learned
from tomoprofile.amplify.register import RegisterSettings, register_case
from tomoprofile.amplify.registration import Registration, read_registration
from tomoprofile.amplify.template import Template
from tomoprofile.network.unet import choose_device

from ..cells.benchmark import Record, Setting
from . import cases


def template_of(population: str, setting: Setting) -> Template:
    """Return the template, an image without labels: the same for all seeds, so that cases are registered once."""
    return Template.of(cases.case(population, cases.TEMPLATE, setting.size, setting.work).unlabelled())


def registrations(population: str, numbers: Iterable[int], setting: Setting) -> list[Registration]:
    """Return the registrations of cases, in their order; those that are missing are made."""
    template = template_of(population, setting)
    folder = setting.results / "registrations"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in numbers:
        path = folder / f"{population}{number:03d}.safetensors"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (path.is_file() and read_registration(path).template == template.digest):
                _make(population, number, template, setting, path)
        found.append(read_registration(path))
    return found


def told(population: str, numbers: Iterable[int], setting: Setting) -> Record:
    """Register cases; return what is recorded of it, and whether some had been registered before."""
    kept = len(list((setting.results / "registrations").glob(f"{population}[0-9]*.safetensors")))
    found = registrations(population, numbers, setting)
    return {
        "resumed": kept > 0,
        "refused": {one.name: one.why for one in found if one.refusal is not None},
        "folds": sum(int(one.measures.get("folds", 0)) for one in found),
        "seconds": [round(one.measures["seconds"], 1) for one in found],
    }


def _make(population: str, number: int, template: Template, setting: Setting, path: Path) -> None:
    moving = cases.case(population, number, setting.size, setting.work).unlabelled()
    device = str(choose_device())
    register_case(moving, template, RegisterSettings(device=device)).write(path)


def learned(population: str, numbers: Iterable[int], setting: Setting) -> Learned:
    """Return how the cases of a pool differ, labelled or not."""
    template = template_of(population, setting)
    model, judged = build_model(registrations(population, numbers, setting), template)
    return Learned(template, model, {one.name: one for one in judged if one.refusal is None})
