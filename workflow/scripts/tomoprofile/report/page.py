"""The page of one scan: everything a reader needs in one file that opens from a disk (P19, P24, P28, P29)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from .. import __version__
from ..domains.objects import ObjectsMetadata, read_objects_metadata
from ..files import whole_file
from ..logs import LOG
from ..segment.alarm import Familiarity
from ..volume.plane import Plane
from ..volume.store import Store, open_store
from .figures import MOST_MARKERS, diameter_figure, learning_figure, profile_figure, scene_figure
from .flags import domain_flags, familiarity_flags, interface_flags, profile_flags, segmentation_flags, zone_flags
from .headline import Estimate, cards, count, depth_range, estimate, smallest_kept_um, summary
from .overlays import Triplet, draw_triplet
from .segmentation import Segmentation, read_segmentation
from .tables import (
    DIAMETERS,
    ESTIMATES,
    at_level,
    plateau,
    read_domains,
    read_profile,
    read_record,
    read_zones,
    software_version,
)

TEMPLATES = Path(__file__).parents[3] / "report"  # workflow/report, beside the captions


@dataclass(frozen=True)
class SampleFiles:
    """Everything that is known about one scan.

    Attributes
    ----------
    sample : str
        Name of the scan.
    volume, probability : Path
        Stores of grey values and of the probability of being a domain.
    objects : dict of str to Path
        Run files at the levels ``low``, ``calibrated`` and ``high``.
    domains, profile, zones : Path
        Tables at the calibrated level, and of all levels.
    interface : Path
        ``interface.json``.
    segmenter : Path
        Folder of the model bundle, ``threshold.json`` or ``mask.json``.
    familiarity : Path, optional
        ``familiarity.json``; none for thresholds and given masks.
    provenance : dict
        Name and value of what else the page should state.
    """

    sample: str
    volume: Path
    probability: Path
    objects: dict[str, Path]
    domains: Path
    profile: Path
    zones: Path
    interface: Path
    segmenter: Path
    familiarity: Path | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ZoneRow:
    """One row of the table of zones, in display units."""

    zone: str
    depths: str
    estimates: tuple[Estimate, Estimate, Estimate]
    n_domains: str
    diameters: tuple[str, ...]


def report_sample(files: SampleFiles, title: str, out: Path) -> None:
    """Write the self-contained page of one scan.

    Parameters
    ----------
    files : SampleFiles
    title : str
        Heading.
    out : Path
        ``report.html``; it appears whole or not at all.

    Raises
    ------
    InputError
        When a table or record cannot be read.
    StoreError
        When a store cannot be read.
    """
    profile, zones, domains = read_profile(files.profile), read_zones(files.zones), read_domains(files.domains)
    levels = {name: read_objects_metadata(path) for name, path in files.objects.items()}
    plane, record = Plane.load(files.interface), read_record(files.interface)
    volume, segmentation = open_store(files.volume), read_segmentation(files.segmenter)
    flags = [
        *familiarity_flags(Familiarity.load(files.familiarity) if files.familiarity else None, files.sample),
        *segmentation_flags(segmentation, files.sample),
        *interface_flags(record, volume.voxel_size_um[plane.axis]),
    ]
    if not domains.empty:  # without any, that a zone has few goes without saying
        flags += [*zone_flags(zones), *domain_flags(domains), *profile_flags(profile)]
    LOG.info("%s: drawing slices", files.sample)
    context: dict[str, Any] = {
        "title": title,
        "sample": files.sample,
        "flags": sorted(flags, key=lambda flag: ("error", "warning", "note").index(flag.severity)),
        "triplets": _triplets(files, zones, levels["calibrated"], plane, volume),
        "segmentation": segmentation,
        "levels": levels,
        "dropped_um": smallest_kept_um(levels["calibrated"]),
        "provenance": _provenance(files, volume, record, levels, segmentation),
        "csv": base64.b64encode(profile.to_csv(index=False).encode()).decode("ascii"),
        "empty": domains.empty,
    }
    if not domains.empty:
        size = tuple(n * edge for n, edge in zip(volume.shape, volume.voxel_size_um, strict=True))
        context |= {
            "summary": summary(zones),
            "cards": cards(zones, levels["calibrated"]),
            "zones": list(_zone_rows(zones)),
            "plotly": Markup(get_plotlyjs()),
            "figures": {
                "profile": _embedded(profile_figure(profile, zones)),
                "diameters": _embedded(diameter_figure(domains, zones)),
                "scene": _embedded(scene_figure(domains, plane, size)),
                "learning": _embedded(learning_figure(segmentation.learning_curve)),
            },
            "drawn": count(min(len(domains), MOST_MARKERS)),
            "found": count(len(domains)),
            "cropped": len(domains) > MOST_MARKERS,
        }
    write_page("sample.html.j2", context, out)


def write_page(template: str, context: dict[str, Any], out: Path) -> None:
    """Render a template of ``workflow/report`` into a file that appears whole or not at all."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(version=__version__, **context)
    with whole_file(out) as partial:
        partial.write_text(text, encoding="utf-8")
    LOG.info("%s: %.1f MB", out, out.stat().st_size / 1e6)


def _triplets(
    files: SampleFiles, zones: pd.DataFrame, objects: ObjectsMetadata, plane: Plane, volume: Store
) -> list[Triplet]:
    rows = at_level(zones, "calibrated")
    first, last = rows.iloc[0], rows.iloc[plateau(zones)]
    probability = open_store(files.probability)
    shared = (volume, probability, files.objects["calibrated"], objects, plane)
    bulk = draw_triplet(f"Far from the substrate: {last['zone']}", last, False, *shared)
    near = draw_triplet(f"At the substrate: {first['zone']}", first, True, *shared)
    return [bulk, near]


def _zone_rows(zones: pd.DataFrame) -> Iterator[ZoneRow]:
    for row in at_level(zones, "calibrated").to_dict("records"):
        ratio, diameter, density = (
            estimate(zones, row["zone"], name, factor) for name, factor in zip(ESTIMATES, (100, 1, 1), strict=True)
        )
        yield ZoneRow(
            zone=row["zone"],
            depths=depth_range(row["from_um"], row["to_um"]),
            estimates=(ratio, diameter, density),
            n_domains=count(row["n_domains"]),
            diameters=tuple("–" if pd.isna(row[name]) else f"{row[name]:.2f}" for name in DIAMETERS),
        )


def _provenance(
    files: SampleFiles,
    volume: Store,
    record: dict[str, Any],
    levels: dict[str, ObjectsMetadata],
    segmentation: Segmentation,
) -> dict[str, str]:
    edges = " × ".join(f"{edge:g}" for edge in volume.voxel_size_um)
    facts = {"scan": files.sample, **{str(name): str(value) for name, value in files.provenance.items()}}
    facts["voxels (z × y × x)"] = " × ".join(count(n) for n in volume.shape)
    facts["voxel size (z × y × x)"] = f"{edges} µm"
    if not segmentation.is_given:
        facts["boundary levels"] = ", ".join(f"{name} {objects.level:.3g}" for name, objects in levels.items())
    facts["smallest object"] = f"{levels['calibrated'].min_voxels} voxels"
    for name, value in record.items():
        if value in ("", None):
            continue
        facts[f"substrate plane: {name.replace('_', ' ')}"] = (
            ", ".join(f"{part:.5g}" for part in value)
            if isinstance(value, list) and all(isinstance(part, int | float) for part in value)
            else f"{value:.4g}"
            if isinstance(value, float)
            else str(value)
        )
    facts["tables written by tomoprofile"] = software_version(files.domains)
    return facts


def _embedded(figure: go.Figure) -> Markup:
    """Return a figure as JSON that can stand inside a script element, whatever the names in it."""
    text = json.dumps(json.loads(figure.to_json()), separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
