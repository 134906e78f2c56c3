"""Simulated cases on disk: scans and labels as NIfTI, what each case is, and its truth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import __version__
from ..errors import ConfigError, Fault
from ..files import read_record, whole_file, write_record
from ..layout import AnatomyLayout
from ..logs import LOG
from ..volume.geometry import Geometry
from .annotator import with_errors
from .case import Case, simulate_case, template_labels
from .picture import three_planes
from .settings import LABELS, AnatomySettings

_VECTOR = "vector"  # intent of NIfTI, as ANTs and ITK write displacements: x, y, z in millimetres, LPS


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is written besides scans and truth.

    Attributes
    ----------
    cases : int
        How many, with consecutive seeds.
    labelled : int or None
        How many of them, the first ones, have labels to train on; None for all.
    label_errors : float
        Probability of a human error in each organ of these labels.
    displacement : bool
        Whether the true displacements are written, and the template that they point into.
    """

    cases: int = 1
    labelled: int | None = None
    label_errors: float = 0.0
    displacement: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        faults = []
        if self.cases < 1:
            faults.append(Fault("anatomy: cases", str(self.cases), "must be at least 1", "Correct it."))
        if self.labelled is not None and not 0 <= self.labelled <= self.cases:
            problem = f"must lie between 0 and the number of cases, {self.cases}"
            faults.append(Fault("anatomy: labelled", str(self.labelled), problem, "Correct it."))
        if not 0 <= self.label_errors <= 1:
            problem = "is a probability, from 0 to 1"
            faults.append(Fault("anatomy: label_errors", str(self.label_errors), problem, "For 2 % write 0.02."))
        if faults:
            raise ConfigError(*faults)


def write_cases(settings: AnatomySettings, seed: int, wanted: Wanted, folder: str | Path) -> list[str]:
    """Simulate cases and write them, one in memory at a time; cases of other sites and seeds in the folder are kept.

    ``raw/CASE.nii.gz`` in HU, ``labels/CASE/CASE_labels.nii.gz`` for the labelled ones, and in ``truth/`` the true
    labels, pictures, displacements if asked for, and ``cases.json``.

    Returns
    -------
    list of str
        The names of the cases.
    """
    layout = AnatomyLayout(folder)
    records = _earlier(layout, settings)
    labelled = wanted.cases if wanted.labelled is None else wanted.labelled
    names = []
    for number in range(wanted.cases):
        case = simulate_case(settings, seed + number)
        name = f"case_{settings.site.name}_{case.seed:03d}"
        errors = _write_labels(case, layout, name, wanted.label_errors) if number < labelled else None
        _write_case(case, layout, name, wanted.displacement)
        records[name] = {**describe(case), "labelled": errors is not None, "label_errors": errors or []}
        names.append(name)
    if wanted.displacement:
        write_nifti(template_labels(settings), settings.geometry, layout.template, "simulated template, organs")
    write_record(
        layout.cases,
        {
            "what": "simulated torsos: no patient was scanned",
            "tomoprofile_version": __version__,
            "classes": {"background": 0, **LABELS},
            "cases": dict(sorted(records.items())),
        },
    )
    LOG.info("simulated cases written to %s: %s", folder, ", ".join(names))
    return names


def _earlier(layout: AnatomyLayout, settings: AnatomySettings) -> dict[str, Any]:
    """Return the records of the cases that are in a folder; they must have the voxels and bodies of the new ones."""
    if not layout.cases.exists():
        return {}
    records = read_record(layout.cases, "a list of simulated cases")["cases"]
    wanted = dataclasses.asdict(settings)
    for name, record in records.items():
        size = "x".join(map(str, record["settings"]["size"]))
        if tuple(record["settings"]["size"]) != settings.size or record["settings"]["torso"] != wanted["torso"]:
            problem = f"the folder has cases with {size} voxels, or of another population, and one template for all"
            raise ConfigError(Fault(str(layout.cases), name, problem, "Name another folder."))
    return records


def describe(case: Case) -> dict[str, Any]:
    """Return what a case is, for records."""
    change = case.jacobian()
    return {
        "simulated": True,
        "seed": case.seed,
        "settings": dataclasses.asdict(case.settings),
        "spacing_mm": list(case.spacing_mm),
        "coefficients_sd": case.coefficients,
        "redrawn": case.drawn.redrawn,
        "jacobian": [round(float(change.min()), 4), round(float(change.max()), 4)],
        "absent": list(case.absent),
        "volumes_ml": {name: round(volume, 2) for name, volume in case.volumes_ml().items()},
    }


def write_nifti(image: NDArray[Any], geometry: Geometry, path: Path, what: str) -> None:
    """Write an image (z, y, x), compressed; ``what`` is its description, of at most 79 characters."""
    _save(image.transpose(2, 1, 0), geometry, path, what)


def write_displacement(vectors: NDArray[np.float32], geometry: Geometry, path: Path, what: str) -> None:
    """Write displacements (3, z, y, x) along z, y, x as programs with ITK read them.

    Parameters
    ----------
    vectors : array (3, z, y, x)
        In millimetres; the axes must run to superior, posterior and left.
    geometry : Geometry
    path : Path
    what : str
        Description.
    """
    _save(vectors[::-1].transpose(3, 2, 1, 0)[:, :, :, None, :], geometry, path, what, _VECTOR)


def _save(image: NDArray[Any], geometry: Geometry, path: Path, what: str, intent: str = "none") -> None:
    file = nibabel.Nifti1Image(image, geometry.nifti)
    header: Any = file.header
    header.set_xyzt_units("mm")
    header.set_sform(geometry.nifti, "scanner")
    header.set_qform(geometry.nifti, "scanner")
    header.set_intent(intent)
    header["descrip"] = what.encode("ascii")[:79]
    with whole_file(path) as partial:
        nibabel.save(file, partial)


def _write_case(case: Case, layout: AnatomyLayout, name: str, displacement: bool) -> None:
    what = f"simulated torso, site {case.settings.site.name}, seed {case.seed}"
    write_nifti(case.hu, case.geometry, layout.scan(name), f"{what}, HU")
    write_nifti(case.labels, case.geometry, layout.true_labels(name), f"{what}, true organs")
    if displacement:
        where = f"{what}, displacement into the template"
        write_displacement(case.displacement_mm(), case.geometry, layout.displacement(name), where)
    with whole_file(layout.picture(name)) as partial:
        Image.fromarray(three_planes(case.hu, case.labels, case.spacing_mm)).save(partial)


def _write_labels(case: Case, layout: AnatomyLayout, name: str, ratio: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng([case.seed, 1])
    drawn, errors = with_errors(case.labels, case.spacing_mm, ratio, rng)
    what = f"simulated torso, site {case.settings.site.name}, seed {case.seed}, drawn organs"
    write_nifti(drawn, case.geometry, layout.labels_of(name), what)
    return errors
