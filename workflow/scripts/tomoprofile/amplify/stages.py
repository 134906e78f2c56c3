"""What the jobs of amplification do, from files to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import UNetConfig
from ..config_profile import AUTO
from ..files import read_record, write_record
from ..labels.classes import Classes
from ..labels.files import find_label_files
from ..labels.masks import merge, read_annotators
from ..labels.training_set import LabelledScan, TrainingSet, read_training_set, write_training_set
from ..logs import LOG
from .flow import exponential, jacobian
from .grid import Case
from .lattice import Lattice
from .middle import choose_template
from .model import DeformationModel, add_up, build_model
from .pairs import Drawing, LabelledCase, Learned
from .register import class_volumes, register_case
from .registration import Registration, read_registration
from .stored import StoredCase
from .sums import read_sums
from .template import Template, read_template

_WHAT = "the cases of an amplification"


@dataclass(frozen=True)
class LearnedFiles:
    """Where it stands how cases differ.

    Attributes
    ----------
    template, sums, cases : Path
    registrations : sequence of Path
        Of all cases.
    """

    template: Path
    sums: Path
    cases: Path
    registrations: Sequence[Path]


def take_template(volumes: Mapping[str, Path], spacing_um: float | str, out: Path) -> None:
    """Write a case as the template, of several the nearest to the others.

    It is written without labels, so that nothing is registered again when they change.
    """
    cases = [StoredCase.at(name, volume).small() for name, volume in volumes.items()]
    chosen = cases[0] if len(cases) == 1 else choose_template(cases).case
    _template_of(chosen, spacing_um).write(out)


def register(name: str, volume: Path, template: Path, out: Path, threads: int) -> None:
    """Register a case to the template; where it is refused, the file says why.

    Labels have no part in it, so what is drawn from one case knows nothing of the labels of another. The template
    itself does not move.
    """
    torch.set_num_threads(threads)
    known, case = read_template(template), StoredCase.at(name, volume).small()
    if known.is_of(case):
        still = np.zeros(known.lattice.shape, np.float32)
        Registration(name, known.digest, still, np.zeros(len(known.case.grid.shape))).write(out)
        return
    found = register_case(case, known)
    found.measures.pop("seconds", None)  # the same file in every run; the benchmark of the job has the time
    found.write(out)


def learn(files: LearnedFiles, labelled: Sequence[LabelledScan], config: UNetConfig, alone: bool = True) -> None:
    """Add up the registered cases, and write which were left out.

    Parameters
    ----------
    files : LearnedFiles
        ``sums`` and ``cases`` are written.
    labelled : sequence of LabelledScan
        If all of the template is labelled, the volumes of its classes are known in every case.
    config : UNetConfig
    alone : bool
        Whether new shapes are drawn from these sums; else from those of all sites, and these may be of few cases.

    Raises
    ------
    StageError
        When too few cases are left to draw from.
    """
    template = read_template(files.template)
    cases = [read_registration(path) for path in files.registrations]
    for scan in labelled:
        if scan.sample == template.case.name and find_label_files(scan.labels):
            taken = _labelled_case(scan, Classes.of(config))
            cases = _with_volumes(cases, template, taken) if template.is_of(taken.small()) else cases
    if alone:
        model, judged = build_model(cases, template)
        sums = model.sums
    else:
        sums, judged = add_up(cases, template)
    sums.write(files.sums)
    told = [
        {"name": case.name, "refusal": case.refusal or "", "why": case.why, "measures": case.measures}
        for case in judged
    ]
    write_record(files.cases, {"template": template.case.name, "cases": told})


def draw_pairs(
    training_set: Path,
    scans: Sequence[LabelledScan],
    config: UNetConfig,
    learned: LearnedFiles | None,
    seed: int,
    out: Path,
) -> None:
    """Write a training set with further slices, drawn from its labelled cases.

    Parameters
    ----------
    training_set : Path
        Of labelled slices, which it keeps.
    scans : sequence of LabelledScan
    config : UNetConfig
        ``classes``, ``measure``, ``neighbours`` and ``amplify`` are used.
    learned : LearnedFiles, or None
        Only ``elastic`` does without.
    seed : int
    out : Path

    Raises
    ------
    StageError
        When no case can be drawn from, or no pair is accepted.
    """
    training = read_training_set(training_set)
    classes = Classes.of(config)
    told = read_record(learned.cases, _WHAT) if learned else {"template": "", "cases": []}
    refused = {case["name"]: case["why"] for case in told["cases"] if case["refusal"]}
    cases = [_to_draw_from(scan, classes, training, config) for scan in scans if find_label_files(scan.labels)]
    drawing = Drawing(cases, _read(learned, refused) if learned else None, config.amplify, config.neighbours, seed)
    pairs: list[dict[str, Any]] = []
    drawn = []
    for record, slices in drawing.pairs():
        pairs.append(record)
        drawn += slices
    facts = {
        "kind": config.amplify.kind,
        "pairs": config.amplify.pairs,
        "accepted": dict(Counter(record["kind"] for record in pairs if record["accepted"])),
        "left_out": dict(Counter(record["reason"] for record in pairs if not record["accepted"])),
        "slices": len(drawn),
        "real": config.amplify.real,
        "template": told["template"],
        "registered": [case["name"] for case in told["cases"] if not case["refusal"]],
        "refused": refused,
    }
    more = {"drawn": drawn, "pairs": pairs, "facts": training.facts | {"amplification": facts}}
    write_training_set(replace(training, **more), out)
    LOG.info("%d slices of %d pairs train as well", len(drawn), sum(facts["accepted"].values()))


def _template_of(case: Case, spacing_um: float | str) -> Template:
    if spacing_um == AUTO:
        return Template.of(case)
    return Template(case, Lattice.over(case.grid, float(spacing_um) / 1000))


def _labelled_case(scan: LabelledScan, classes: Classes) -> StoredCase:
    case = StoredCase.at(scan.sample, scan.volume)
    return replace(case, labels=merge(read_annotators(scan.labels, case.store.shape, classes, case.store.geometry)))


def _to_draw_from(scan: LabelledScan, classes: Classes, training: TrainingSet, config: UNetConfig) -> LabelledCase:
    case = _labelled_case(scan, classes)
    own = _template_of(case.small(), config.amplify.spacing_um)
    groups = {item.z: item.group for item in training.slices if item.sample == scan.sample}
    return LabelledCase(case, own, groups, training.seen[scan.sample])


def _read(files: LearnedFiles, refused: dict[str, str]) -> Learned:
    cases = [read_registration(path) for path in files.registrations]
    accepted = {case.name: case for case in cases if case.refusal is None and case.name not in refused}
    return Learned(read_template(files.template), DeformationModel.of(read_sums(files.sums)), accepted)


@torch.no_grad()
def _with_volumes(cases: Sequence[Registration], template: Template, labelled: StoredCase) -> list[Registration]:
    """Return the cases with the volumes of the classes that are labelled as a whole in the template."""
    whole = labelled.whole_classes
    known = replace(template.case, label=labelled.small_label())
    found = []
    for case in cases:
        volumes: dict[int, float] = {}
        if case.refusal is None and whole:
            velocity = template.lattice.velocity(torch.from_numpy(case.coefficients), known.grid.shape)
            volumes = class_volumes(known, jacobian(exponential(velocity, template.lattice.lengths)).numpy())
        found.append(replace(case, volumes={value: size for value, size in volumes.items() if value in whole}))
    return found
