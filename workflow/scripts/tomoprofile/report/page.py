"""The page of one scan: everything a reader needs in one file that opens from a disk (P19, P24, P28, P29)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from .. import __version__
from ..domains.objects import ObjectsMetadata, read_objects_metadata
from ..files import read_record, whole_file
from ..logs import LOG
from ..shift.alarm import Familiarity
from ..tables import BREAKPOINTS, CORRELATION, DIAMETERS, DOMAINS, ESTIMATES, PROFILE, SIZES, at_level, read_facts
from ..volume.plane import Plane
from ..volume.store import Store, open_store
from .baselines import baselines_section
from .figures import correlation_figure, learning_figure, profile_figure, sizes_figure
from .flags import domain_flags, familiarity_flags, interface_flags, profile_flags, segmentation_flags, zone_flags
from .headline import Estimate, cards, count, depth_range, estimate, smallest_kept_um, summary
from .interface import interface_section
from .overlays import Triplet, draw_triplet
from .scene import MOST_SPHERES, scene
from .segmentation import Segmentation, read_segmentation
from .words import translator
from .zones import plateau, read_zones

_DRAWN = (
    "domain_id",
    "volume_um3",
    "equivalent_diameter_um",
    "centroid_z_um",
    "centroid_y_um",
    "centroid_x_um",
    "depth_um",
    "cavities",
    "edge_weight",
    "flag",
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
    breakpoints, correlation, sizes : Path
        Where the profile bends, two-point correlation and classes of diameter, at the calibrated level.
    interface : Path
        ``interface.json``.
    baselines : Path
        Thresholds beside the scan's own segmentation.
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
    breakpoints: Path
    correlation: Path
    sizes: Path
    interface: Path
    baselines: Path
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
    diameters: tuple[tuple[str, str], ...]  # the value and its interval, where there is one
    nearest: Estimate
    nearest_sd: str
    clark_evans: float


def report_sample(files: SampleFiles, title: str, out: Path, language: str = "en") -> None:
    """Write the self-contained page of one scan.

    Parameters
    ----------
    files : SampleFiles
    title : str
        Heading.
    out : Path
        ``report.html``; it appears whole or not at all.
    language : str
        Of headings and captions: ``en`` or ``ja``.

    Raises
    ------
    InputError
        When a table or record cannot be read.
    StoreError
        When a store cannot be read.
    """
    profile, zones, domains = PROFILE.read(files.profile), read_zones(files.zones), DOMAINS.read(files.domains, _DRAWN)
    breakpoints, sizes = BREAKPOINTS.read(files.breakpoints), SIZES.read(files.sizes)
    correlation = CORRELATION.read(files.correlation)
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
    size_um = tuple(n * edge for n, edge in zip(volume.shape, volume.voxel_size_um, strict=True))
    interface = interface_section(record, size_um, volume.voxel_size_um[plane.axis])
    figures, csv = {}, {}
    if interface["figure"]:
        figures["interface"] = _embedded(interface["figure"].to_plotly_json())
        csv["interface"] = _csv(pd.DataFrame(record["residual_map_um"]))
    LOG.info("%s: drawing slices", files.sample)
    context: dict[str, Any] = {
        "title": title,
        "sample": files.sample,
        "flags": sorted(flags, key=lambda flag: ("error", "warning", "note").index(flag.severity)),
        "triplets": _triplets(files, zones, levels["calibrated"], plane, volume),
        "segmentation": segmentation,
        "interface": interface,
        "baselines": baselines_section(files.baselines, segmentation.kind),
        "levels": levels,
        "dropped_um": smallest_kept_um(levels["calibrated"]),
        "provenance": _provenance(files, volume, record, levels, segmentation),
        "card": f"models/{files.segmenter.name}/docs/README.md" if segmentation.kind == "network" else "",
        "empty": domains.empty,
        "plotly": Markup(get_plotlyjs()),
        "figures": figures,
        "csv": csv,
    }
    if not domains.empty:
        curve = pd.DataFrame(segmentation.learning_curve, columns=["step", "loss"])
        tables = {"profile": profile, "zones": zones, "breakpoints": breakpoints, "sizes": sizes}
        tables |= {"correlation": correlation, "learning": curve}
        context |= {
            "summary": summary(zones),
            "cards": cards(zones, levels["calibrated"]),
            "zones": list(_zone_rows(zones)),
            "breaks": list(_breaks(breakpoints)),
            "figures": figures
            | {
                "profile": _embedded(profile_figure(profile, zones, breakpoints).to_plotly_json()),
                "sizes": _embedded(sizes_figure(sizes, zones).to_plotly_json()),
                "correlation": _embedded(correlation_figure(correlation).to_plotly_json()),
                "learning": _embedded(learning_figure(segmentation.learning_curve).to_plotly_json()),
            },
            "csv": csv | {name: _csv(table) for name, table in tables.items()},
            "correlated": set(correlation.loc[correlation["s2"].notna(), "zone"]),
            "scene": _embedded(scene(domains, plane, size_um)),
            "smallest": f"{domains['equivalent_diameter_um'].min():.2f}",
            "largest": f"{domains['equivalent_diameter_um'].max():.2f}",
            "nearest": f"{domains['depth_um'].min():.1f}",
            "furthest": f"{domains['depth_um'].max():.1f}",
            "drawn": count(min(len(domains), MOST_SPHERES)),
            "found": count(len(domains)),
            "cropped": len(domains) > MOST_SPHERES,
            "one_bin": int((at_level(profile, "calibrated")["n_domains"] > 0).sum()) == 1,
        }
    write_page("sample.html.j2", context, out, language)


def write_page(template: str, context: dict[str, Any], out: Path, language: str = "en") -> None:
    """Render a template of ``workflow/report`` into a file that appears whole or not at all."""
    text = environment(language).get_template(template).render(version=__version__, language=language, **context)
    with whole_file(out) as partial:
        partial.write_text(text, encoding="utf-8")
    LOG.info("%s: %.1f MB", out, out.stat().st_size / 1e6)


def environment(language: str) -> Environment:
    """Return what renders the templates in a language."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    found.policies["ext.i18n.trimmed"] = True
    translate = translator(language, TEMPLATES)
    # The extension adds this method; no text of the pages has a plural.
    found.install_gettext_callables(translate, lambda one, many, n: translate(many), newstyle=True)  # type: ignore[attr-defined]  # noqa: ARG005
    return found


def _triplets(
    files: SampleFiles, zones: pd.DataFrame, objects: ObjectsMetadata, plane: Plane, volume: Store
) -> list[Triplet]:
    rows = at_level(zones, "calibrated")
    first, last = rows.iloc[0], rows.iloc[plateau(zones)]
    probability = open_store(files.probability)
    shared = (volume, probability, files.objects["calibrated"], objects, plane)
    return [draw_triplet(last, False, *shared), draw_triplet(first, True, *shared)]


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
            diameters=tuple(
                (_two_digits(row[name]), estimate(zones, row["zone"], name).interval) for name in DIAMETERS
            ),
            nearest=estimate(zones, row["zone"], "nearest_mean_um"),
            nearest_sd=_two_digits(row["nearest_sd_um"]),
            clark_evans=float(row["clark_evans"]),
        )


def _breaks(breakpoints: pd.DataFrame) -> Iterator[dict[str, str]]:
    for row in breakpoints.to_dict("records"):
        place = Estimate(row["depth_um"], row["depth_um_lo"], row["depth_um_hi"])
        slopes = {name: "–" if pd.isna(row[name]) else f"{row[name]:.3g}" for name in ("slope_before", "slope_after")}
        yield {
            "quantity": row["quantity"],
            "change": row["change"],
            "place": place.text if math.isfinite(place.value) else "–",
            "interval": place.interval,
            "flag": row["flag"],
            **slopes,
        }


def _two_digits(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _csv(table: pd.DataFrame) -> str:
    return f"data:text/csv;base64,{base64.b64encode(table.to_csv(index=False).encode()).decode('ascii')}"


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
        if value in ("", None) or isinstance(value, dict) or name == "residual_map_um":  # the section on it has these
            continue
        facts[f"substrate plane: {name.replace('_', ' ')}"] = (
            ", ".join(f"{part:.5g}" for part in value)
            if isinstance(value, list) and all(isinstance(part, int | float) for part in value)
            else f"{value:.4g}"
            if isinstance(value, float)
            else str(value)
        )
    facts["tables written by tomoprofile"] = read_facts(files.domains).get("tomoprofile_version", "not available")
    return facts


def _embedded(content: dict[str, Any]) -> Markup:
    """Return JSON that can stand inside a script element, whatever the names in it."""
    plain = json.loads(to_json_plotly(content))  # without NaN, which JSON does not know
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
