"""The record of a run for archives: an RO-Crate, which says in JSON-LD what was made, from what, and by what.

It follows the Workflow Run profile (https://w3id.org/ro/wfrun/workflow/0.5). Light on purpose, as the Snakefile imports
it: all digests were taken when the files were written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import Fault, InputError, StageError
from ..files import digest_of, read_record, recorded_digest, whole_file
from ..layout import Layout, ScanLayout
from ..samples import Scan
from .record import Run

_SNAKEFILE = Path(__file__).parents[4] / "Snakefile"
_CRATE = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    _WORKFLOW_CRATE: "Workflow RO-Crate",
}
# One term of https://w3id.org/ro/terms/workflow-run/context, which RO-Crate 1.1 lacks.
_CONTEXT = [f"{_CRATE}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
_WORKFLOW_TERMS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_APACHE = "https://spdx.org/licenses/Apache-2.0"
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_SNAKEMAKE_HOME, _PYTHON = "https://snakemake.github.io", "https://www.python.org"
_FORMATS = {
    ".html": "text/html",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".tsv": "text/tab-separated-values",
}
_RUN, _NO_LICENCE = "#run", "#licence"
_CONFIGURATION, _RAW, _RESULT = "#configuration", "#raw-scans", "#results"

Entity = dict[str, Any]


def write_crate(run: Run) -> Path:
    """Write ``ro-crate-metadata.json`` into the results of a run, and a copy of its workflow beside it.

    Only what exists is listed. The run is *completed* when every scan has all its products.

    Raises
    ------
    InputError
        When the run has not ended.
    StageError
        When the workflow does not lie where the library belongs to it.
    """
    layout = run.layout
    if run.ended is None:
        remedy = "Run the workflow to its end: it then writes the record itself."
        raise InputError(Fault(str(layout.run), "", "the run has not ended", remedy))
    if not _SNAKEFILE.exists():
        remedy = "Use the command of the checkout that ran the workflow."
        raise StageError(Fault(str(_SNAKEFILE), "", "the workflow is not beside its library", remedy))
    with whole_file(layout.workflow) as partial:
        shutil.copyfile(_SNAKEFILE, partial)
    described = {"@context": _CONTEXT, "@graph": list(_entities(run, run.ended))}
    with whole_file(layout.crate) as partial:
        partial.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return layout.crate


def _entities(run: Run, ended: datetime) -> Iterator[Entity]:
    layout = run.layout
    scans = [(scan, layout.scan(scan.sample)) for scan in run.scans]
    raw = [_raw(scan, files) for scan, files in scans]
    record = _file(layout.run, layout, "Configuration, sheet and versions of the run")
    made = list(_made(layout, scans))
    results = [entity for entity in made if entity["@type"] == "File"]
    whole = all(product.exists() for _, files in scans for product in files.products)

    yield {
        "@id": layout.crate.name,
        "@type": "CreativeWork",
        "about": _ref("./"),
        "conformsTo": [_ref(_CRATE), _ref(_WORKFLOW_CRATE)],
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": run.config.report.title or f"Depth profiles of {len(scans)} scans",
        "description": "Tables of domains, depth profiles and reports that tomoprofile made from X-ray CT scans.",
        "datePublished": _time(ended),
        "license": _ref(_NO_LICENCE),
        "conformsTo": [_ref(profile) for profile in _PROFILES],
        "mainEntity": _ref(layout.workflow.name),
        "mentions": _ref(_RUN),
        "hasPart": [_ref(layout.workflow.name), *(_ref(part["@id"]) for part in (record, *made))],
    }
    yield {
        "@id": _RUN,
        "@type": "CreateAction",
        "name": f"Run of tomoprofile that ended at {_time(ended)}",
        "description": " ".join([Path(run.command[0]).name, *run.command[1:]]),
        "startTime": _time(run.started),
        "endTime": _time(ended),
        "actionStatus": f"http://schema.org/{'Completed' if whole else 'Failed'}ActionStatus",
        "instrument": _ref(layout.workflow.name),
        "object": _refs(record, *raw),
        "result": _refs(*results),
    }
    yield {
        "@id": _NO_LICENCE,
        "@type": "CreativeWork",
        "name": "No licence",
        "description": "The owner of the data has not given a licence. Name one here before publication.",
    }
    yield from ({"@id": url, "@type": "CreativeWork", "name": told} for url, told in _PROFILES.items())
    yield from _workflow(run)
    yield from _exemplified(_CONFIGURATION, "Configuration and sample sheet", "File", [record])
    yield from _exemplified(_RAW, "Raw scans", "PropertyValue", raw)
    yield from _exemplified(_RESULT, "Tables and pages", "File", results)
    yield from (entity for entity in made if entity not in results)


def _made(layout: Layout, scans: Sequence[tuple[Scan, ScanLayout]]) -> Iterator[Entity]:
    """Yield what the run has made: files, and folders with many of them."""
    shared = {layout.index: "Page of all scans", layout.comparison: "Groups of scans, compared"}
    yield from (_file(path, layout, told) for path, told in shared.items() if path.exists())
    models = layout.model("-").folder.parent
    for folder in sorted(models.iterdir()) if models.is_dir() else []:
        yield _folder(folder, layout, f"Model {folder.name}: weights, conditions of its training, model card")
    for scan, files in scans:
        for path in sorted([*files.folder.glob("*.parquet"), files.report, files.interface, files.provenance]):
            if path.is_file():
                yield _file(path, layout, f"{path.stem} of scan {scan.sample}")
        for store in (*files.stores, files.labels):
            if store.path.is_dir():
                yield _folder(store.path, layout, f"{store.path.name.split('.')[0]} of scan {scan.sample}, OME-Zarr")


def _raw(scan: Scan, files: ScanLayout) -> Entity:
    """Return a raw scan, which is no part of the crate: its name and the digests of its grey values."""
    digests = {path.stem: read_record(path).get("sha256", "") for path in files.volume.written_records()}
    if not digests and files.provenance.exists():  # the volume was discarded
        digests = read_record(files.provenance)["raw"]["sha256_of_slabs"]
    place = f"{Path(scan.path).name}:{scan.dataset}" if scan.dataset else Path(scan.path).name
    return {
        "@id": f"#raw-{scan.sample}",
        "@type": "PropertyValue",
        "name": f"Raw scan {scan.sample}",
        "value": place,
        "description": f"{scan.format}, {scan.slices} x {scan.rows} x {scan.columns} voxels. Identified by the SHA-256 "
        "of the grey values of each slab, in C order, slices first.",
        "identifier": _one_or_all([f"{slab}:{digest}" for slab, digest in digests.items()]),
    }


def _workflow(run: Run) -> Iterator[Entity]:
    """Yield the workflow, its language, and the software it used."""
    layout, versions = run.layout, dict(run.software)
    for scan in run.scans:
        provenance = layout.scan(scan.sample).provenance
        versions |= read_record(provenance)["software"] if provenance.exists() else {}
    software = [
        {
            "@id": _PYTHON if name == "python" else f"https://pypi.org/project/{name}/{version}/",
            "@type": "SoftwareApplication",
            "name": name,
            "url": _PYTHON if name == "python" else f"https://pypi.org/project/{name}/",
            "softwareVersion": version,
        }
        for name, version in sorted(versions.items())
        if name != "tomoprofile"
    ]
    yield {
        "@id": layout.workflow.name,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "tomoprofile",
        "description": "The main file of the workflow; its rules and library belong to the version given here.",
        "encodingFormat": "text/plain",
        "conformsTo": _ref(_WORKFLOW_TERMS),
        "version": versions["tomoprofile"],
        "license": _ref(_APACHE),
        "url": _SNAKEMAKE_HOME,
        "programmingLanguage": _ref(_SNAKEMAKE),
        "softwareRequirements": _refs(*software),
        "input": [_ref(_CONFIGURATION), _ref(_RAW)],
        "output": _ref(_RESULT),
    }
    yield {
        "@id": _SNAKEMAKE,
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": _ref(_SNAKEMAKE_HOME),
        "url": _ref(_SNAKEMAKE_HOME),
        "version": versions["snakemake"],
    }
    yield {"@id": _WORKFLOW_TERMS, "@type": "CreativeWork", "name": "Bioschemas profile ComputationalWorkflow"}
    yield {"@id": _APACHE, "@type": "CreativeWork", "name": "Apache License 2.0", "url": _APACHE}
    yield from software


def _exemplified(parameter: str, name: str, kind: str, examples: Sequence[Entity]) -> Iterator[Entity]:
    """Yield what the workflow takes or gives in general, and what it took or gave this time."""
    yield {
        "@id": parameter,
        "@type": "FormalParameter",
        "name": name,
        "additionalType": kind,
        "workExample": _refs(*examples),
    }
    yield from (one | {"exampleOfWork": _ref(parameter)} for one in examples)


def _file(path: Path, layout: Layout, told: str) -> Entity:
    entity: Entity = {
        "@id": path.relative_to(layout.results).as_posix(),
        "@type": "File",
        "name": told,
        "encodingFormat": _FORMATS.get(path.suffix, "application/octet-stream"),
        "contentSize": str(path.stat().st_size),
    }
    digest = recorded_digest(path) or digest_of(path)
    return entity | {"sha256": digest}


def _folder(path: Path, layout: Layout, told: str) -> Entity:
    return {"@id": f"{path.relative_to(layout.results).as_posix()}/", "@type": "Dataset", "name": told}


def _ref(name: str) -> Entity:
    return {"@id": name}


def _refs(*entities: Entity) -> Any:
    return _one_or_all([_ref(entity["@id"]) for entity in entities])


def _one_or_all(values: list[Any]) -> Any:
    # RO-Crate wants a single value without brackets.
    return values[0] if len(values) == 1 else values


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
