"""The plan, and the errors of every method on one shape of one size; no finished trial is run again."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tomoprofile.files import whole_file
from tomoprofile.logs import LOG

from .methods import METHODS, OURS, PACKAGES, available
from .shapes import SHAPES, Edges

RADII = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)
REALISATIONS = ((3.0, 200), (6.0, 100), (10.0, 40), (20.0, 20))  # up to a radius
CUBIC, OBLONG = (1.0, 1.0, 1.0), (2.0, 1.0, 1.0)
OBLONG_SHAPES = ("sphere", "ellipsoid 1:1:2", "ellipsoid 1:2:2")
Record = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One shape of one size.

    Attributes
    ----------
    shape : str
        A key of :data:`~.shapes.SHAPES`.
    edges : tuple of float
        Voxel edges along (z, y, x); the shortest is 1, so that sizes are in voxels.
    radius : float
        Of the sphere of equal volume.
    realisations : int
    """

    shape: str
    edges: Edges
    radius: float
    realisations: int

    @property
    def key(self) -> str:
        """Name of the trial."""
        return f"{self.shape}/{self.edges}/{self.radius}/{self.realisations}"


def plan(radii: Iterable[float] = RADII) -> Iterator[Trial]:
    """Yield the trials."""
    for edges, shapes in ((CUBIC, tuple(SHAPES)), (OBLONG, OBLONG_SHAPES)):
        for shape in shapes:
            for radius in radii:
                count = next(n for largest, n in REALISATIONS if radius <= largest)
                yield Trial(shape, edges, radius, count)


def errors(trial: Trial) -> list[Record]:
    """Return mean and standard deviation of the errors of one trial, in percent, one record per method and column.

    All methods see the same voxels. The seed depends on the trial alone, so the order of trials does not matter.
    """
    shape, truth = SHAPES[trial.shape], SHAPES[trial.shape].truth(trial.radius)
    rng = np.random.default_rng(zlib.crc32(trial.key.encode()))
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(trial.realisations):
        body = shape.voxels(trial.radius, trial.edges, rng)
        for method in available():
            for column, value in (METHODS[method](body, trial.edges) or {}).items():
                found[method, column].append(100 * (float(value) / truth[column] - 1))
    return [
        {
            "shape": trial.shape,
            "edges": list(trial.edges),
            "radius": trial.radius,
            "method": method,
            "column": column,
            "n": len(values),
            "mean": round(float(np.mean(values)), 3),
            "sd": round(float(np.std(values)), 3),
        }
        for (method, column), values in found.items()
    ]


def versions() -> dict[str, str]:
    """Return the versions of the other programs."""
    return {name: version(PACKAGES[name]) for name in available() if name != OURS}


def read_results(path: Path) -> dict[str, Any]:
    """Return the results so far: versions, finished trials and records, and those of phases."""
    return json.loads(path.read_text()) if path.is_file() else {"versions": {}, "trials": [], "records": []}


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write results, one record per line."""
    records = ",\n".join(json.dumps(record) for record in results["records"])
    phases = ",\n".join(json.dumps(record) for record in results.get("phases", []))
    head = json.dumps({"versions": results["versions"], "trials": results["trials"]})[:-1]
    with whole_file(path) as partial:
        partial.write_text(f'{head}, "records": [\n{records}\n], "phases": [\n{phases}\n]}}\n')


def work_through(trials: Iterable[Trial], path: Path) -> None:
    """Run the trials that are missing and save each as it ends.

    Raises
    ------
    SystemExit
        When earlier trials were run with other versions or other programs, so that their errors are not comparable.
    """
    results = read_results(path)
    if results["trials"] and results["versions"] != versions():
        raise SystemExit(f"{path} was made with {results['versions']}, not {versions()}: remove it and start again")
    results["versions"] = versions()
    for trial in trials:
        if trial.key not in results["trials"]:
            results["records"] += errors(trial)
            results["trials"].append(trial.key)
            write_results(path, results)
            LOG.info("%s", trial.key)
