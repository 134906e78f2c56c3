"""The page of the beamtime: every scan side by side, faults first."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from ..config_profile import Words
from ..errors import Fault, InputError
from ..files import read_record
from ..layout import Layout, ScanLayout
from ..profile.comparison import ScanResult, compare_scans
from ..samples import Scan
from ..segment.kinds import segmenter_at
from ..segment.ranking import Ranked, ranked_scans
from ..tables import CALIBRATED, COMPARISON, PROFILE, at_level, of_class, read_facts
from ..volume.plane import WithoutSubstrate
from .comparison import comparison_section
from .flags import Flag, interface_flags, level_flags, model_flags, segmentation_flags, worst, zone_flags
from .numbers import Estimate, count, depth_range, estimate, short
from .page import title_of
from .rendering import Renderer, suffixes_of
from .segmentation import Segmentation, read_segmentation
from .words import Terms
from .zones import mask_was_given, plateau, read_zones

_LABELS = {"error": "fault", "warning": "look", "note": "fine", "ok": "fine"}
_SEVERITY = tuple(_LABELS)
_GIVEN_REMARK = "given mask, not made by a model; boundary uncertainty unknown"
_COLUMNS = ("sample", "item", "status", "message")
_MOST_RANKED = 10


@dataclass(frozen=True)
class BeamtimeEntry:
    """One scan of the beamtime.

    Attributes
    ----------
    scan : Scan
        Its row of the sheet.
    files : ScanLayout
        Where its results are.
    segmenter : Path
        Folder of its model bundle, ``threshold.json`` or ``mask.json``.
    troubles : tuple of (str, str)
        What failed in the last run: heading, and text of several lines.
    waits_for : str
        What a person does before the scan can be segmented; empty unless the run waits for that.
    words : Words
        What the parts of the sample are called.
    """

    scan: Scan
    files: ScanLayout
    segmenter: Path
    troubles: tuple[tuple[str, str], ...] = ()
    waits_for: str = ""
    words: Words = field(default_factory=Words)

    @property
    def sample(self) -> str:
        """Name of the scan."""
        return self.scan.sample

    @property
    def has_results(self) -> bool:
        """Whether there is something to compare."""
        files = self.files
        return all(path.exists() for path in (files.zones, files.profile, files.interface, files.report))


@dataclass(frozen=True)
class Quantity:
    """A cell of the table: a number and its position on the scale shared by all scans, in per cent of the width."""

    estimate: Estimate
    at: float
    interval: tuple[float, float]
    band: tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One class of a scan in the table; a scan without results has one row with only flags.

    ``label`` is the word for its state, ``measured`` the class, ``numbers`` become ``quantities`` once all rows are
    known, ``remark`` is what sets them apart from those of other scans.
    """

    sample: str
    state: str
    label: str
    flags: tuple[Flag, ...]
    measured: str = ""
    link: str = ""
    place: str = ""
    numbers: tuple[Estimate, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    n_domains: str = ""
    remark: str = ""


def report_beamtime(
    samples: list[BeamtimeEntry], checks: Sequence[Path], title: str, page: Path, comparison: Path
) -> None:
    """Write ``index.html`` and ``comparison.parquet``: a row for each scan and class, and a comparison for each class.

    Scans with faults come first, then those with warnings, then the rest, each in sheet order. A scan without results
    is listed as failed, with the end of the log, as waiting, with the slices to label, or as missing; only the others
    are compared.

    Parameters
    ----------
    samples : list of BeamtimeEntry
    checks : sequence of Path
        ``check.tsv`` of the scans; what they found is shown with the scan.
    title : str
        Heading.
    page : Path
        Links to the scans' pages are relative to it.
    comparison : Path
        Receives the numbers of the comparison (docs/outputs.md).

    Raises
    ------
    InputError
        When a table, a record or a ``check.tsv`` cannot be read.
    """
    findings: dict[str, list[Flag]] = {}
    for check in checks:
        for sample, flags in _read_check(check).items():
            findings.setdefault(sample, []).extend(flags)
    names = {entry.sample for entry in samples}
    done = [entry for entry in samples if entry.has_results]
    rows = _placed([row for entry in done for row in _rows(entry, findings.get(entry.sample, []), page)])
    rows += [_without_results(entry, findings.get(entry.sample, [])) for entry in samples if not entry.has_results]
    rows += [
        Row(sample, worst(flags), _LABELS[worst(flags)], tuple(flags))
        for sample, flags in findings.items()
        if flags and sample not in names and sample != "-"
    ]
    states: dict[str, int] = {}  # the worst of the rows of a scan
    for row in rows:
        states[row.sample] = min(_SEVERITY.index(row.state), states.get(row.sample, len(_SEVERITY)))
    rows.sort(key=lambda row: states[row.sample])  # stable: the order of the sheet within a kind
    worst_of_scans = [_SEVERITY[state] for state in states.values()]
    scans: dict[str, list[ScanResult]] = {}
    for entry in done:
        for name, result in _results(entry):
            scans.setdefault(name, []).append(result)
    has_depth, terms = any(_has_depth(entry) for entry in done) or not done, _terms_of(done)
    table = compare_scans(scans)
    COMPARISON.write(comparison, table)
    context = {
        "title": title or terms(title_of(has_depth)),
        "has_depth": has_depth,
        "rows": rows,
        "several": len(scans) > 1,
        "general": findings.get("-", []),
        "n_scans": len(states),
        "n_done": len(done),
        "n_waiting": sum(bool(entry.waits_for) for entry in samples),
        "n_faults": worst_of_scans.count("error"),
        "n_warnings": worst_of_scans.count("warning"),
        "n_fine": worst_of_scans.count("ok") + worst_of_scans.count("note"),
        "comparisons": list(_comparisons(scans or {"": []}, table, terms)),
        "rankings": list(_rankings(samples, page)),
    }
    Renderer(terms=terms, has_depth=has_depth).write("beamtime.html.j2", context, page)


def _how(entry: BeamtimeEntry) -> str:
    return str(read_record(entry.files.interface).get("how", ""))


def _has_depth(entry: BeamtimeEntry) -> bool:
    return _how(entry) != WithoutSubstrate.HOW


def _terms_of(entries: Sequence[BeamtimeEntry]) -> Terms:
    """Return the terms that all scans share; those of the program where they differ."""
    every = [Terms(words=entry.words, how=_how(entry)) for entry in entries]
    return every[0] if every and all(terms.nouns == every[0].nouns for terms in every) else Terms()


def _comparisons(classes: dict[str, list[ScanResult]], table: pd.DataFrame, terms: Terms) -> Iterator[dict[str, Any]]:
    """Yield what ``comparison.html.j2`` shows of each class."""
    suffixes = suffixes_of(tuple(classes))
    for name, scans in classes.items():
        section = comparison_section(scans, of_class(table, name), terms)
        yield section | {"measured": name if len(classes) > 1 else "", "suffix": suffixes[name]}


def _rankings(entries: Sequence[BeamtimeEntry], page: Path) -> Iterator[dict[str, Any]]:
    """Yield the scans that each model trained here would learn most from, where there is a choice."""
    layout = Layout(page.parent)
    by_model: dict[Path, list[str]] = {}
    for entry in entries:
        by_model.setdefault(entry.segmenter, []).append(entry.sample)
    for segmenter, names in by_model.items():
        if segmenter != layout.model(segmenter.name).folder:
            continue
        found = ranked_scans(layout, segmenter.name, names)
        if len(found) > 1:
            rows = [_ranking_row(one) for one in found[:_MOST_RANKED]]
            yield {"model": segmenter.name, "unit": found[0].unit, "rows": rows, "n_others": len(found) - len(rows)}


def _ranking_row(one: Ranked) -> dict[str, str]:
    difference = "–" if one.difference is None else short(one.difference)
    return {"sample": one.sample, "doubt": short(100 * one.doubt), "difference": difference, "why": one.why}


def _results(entry: BeamtimeEntry) -> Iterator[tuple[str, ScanResult]]:
    """Yield the classes of a scan with what is compared of each."""
    profile, facts = PROFILE.read(entry.files.profile), read_facts(entry.files.zones)
    edges = " × ".join(f"{edge:g}" for edge in entry.scan.voxel_size_um)
    for name, zones in read_zones(entry.files.zones).items():
        convention = "unknown, given mask" if mask_was_given(zones) else _convention(entry, name)
        result = ScanResult(
            entry.sample,
            entry.scan.group,
            math.nan if entry.scan.time_h is None else entry.scan.time_h,
            at_level(of_class(profile, name), CALIBRATED),
            at_level(zones, CALIBRATED),
            facts.get("classes", {}).get(name, {}).get("blocks", 0),
            {"voxel size": f"{edges} µm", "boundary convention": convention},
        )
        yield name, result


def _convention(entry: BeamtimeEntry, measured: str) -> str:
    """Return how the boundary of a class was chosen, in words; empty while the model is being made anew."""
    segmentation = _segmentation(entry)
    if segmentation is None or measured not in segmentation.classes:
        return ""
    if segmentation.kind == "network":
        return "calibrated on labels" if segmentation.classes[measured].calibrated else "level not calibrated"
    return segmentation.method


def _segmentation(entry: BeamtimeEntry) -> Segmentation | None:
    return read_segmentation(entry.segmenter) if segmenter_at(entry.segmenter).file.exists() else None


def _rows(entry: BeamtimeEntry, found: list[Flag], page: Path) -> Iterator[Row]:
    """Yield the row of each class of a scan; facts about the whole scan are repeated in each."""
    classes, record = read_zones(entry.files.zones), read_record(entry.files.interface)
    segmentation = _segmentation(entry)
    of_interface = interface_flags(record, entry.scan.shape, entry.scan.voxel_size_um)
    for name, zones in classes.items():
        flags = [*_trouble_flags(entry), *found, *model_flags(zones), *of_interface]
        if segmentation is not None:
            flags += [*segmentation_flags(segmentation, entry.sample), *level_flags(segmentation)]
        calibrated = at_level(zones, CALIBRATED)
        first, last = calibrated.iloc[0], calibrated.iloc[plateau(zones)]
        if calibrated["n_domains"].sum():
            flags += zone_flags(zones)
        else:
            of_this = " of this class" * (len(classes) > 1)
            flags.append(Flag("warning", "No domains", f"No domain{of_this} was found in this scan."))
        terms = Terms(words=entry.words, how=str(record.get("how", "")))
        flags = [replace(flag, title=terms(flag.title), text=terms(flag.text)) for flag in flags]
        yield Row(
            entry.sample,
            worst(flags),
            "failed" if entry.troubles else _LABELS[worst(flags)],
            tuple(flag for flag in flags if flag.severity != "note"),
            measured=name,
            link=quote(Path(os.path.relpath(entry.files.report, page.parent)).as_posix()),
            place=depth_range(last["from_um"], last["to_um"]),
            numbers=(
                estimate(zones, last["zone"], "volume_ratio", 100),
                estimate(zones, last["zone"], "mean_equivalent_diameter_um"),
                estimate(zones, last["zone"], "number_density_per_mm3"),
                estimate(zones, first["zone"], "diameter_min_um"),
            ),
            n_domains=count(calibrated["n_domains"].sum()),
            remark=_GIVEN_REMARK if mask_was_given(zones) else "",
        )


def _placed(rows: list[Row]) -> list[Row]:
    """Return rows with the numbers of each class on its own scale."""
    by_class: dict[str, list[Row]] = {}
    for row in rows:
        by_class.setdefault(row.measured, []).append(row)
    scales = {
        name: [_scale(column) for column in zip(*(row.numbers for row in found), strict=True)]
        for name, found in by_class.items()
    }
    return [replace(row, quantities=tuple(map(_place, row.numbers, scales[row.measured]))) for row in rows]


def _trouble_flags(entry: BeamtimeEntry) -> list[Flag]:
    return [Flag("error", heading, text) for heading, text in entry.troubles]


def _without_results(entry: BeamtimeEntry, found: list[Flag]) -> Row:
    flags = [*_trouble_flags(entry), *found]
    failed = worst(flags) == "error"
    if entry.waits_for and not failed:
        text = entry.waits_for[0].upper() + entry.waits_for[1:]
        flags.insert(0, Flag("warning", "Waiting for labels", text))
        return Row(entry.sample, "warning", "waiting", tuple(flags))
    if not failed:
        text = "No job of this scan failed: it has not started yet, or it waits for something that failed elsewhere."
        flags.append(Flag("error", "No result yet", text))
    return Row(entry.sample, "error", "failed" if failed else "missing", tuple(flags))


def _scale(numbers: Sequence[Estimate]) -> float:
    """Return the largest number of a column, its interval and band included."""
    ends = [end for number in numbers for end in (number.value, number.hi, number.band_hi) if math.isfinite(end)]
    return max(ends, default=0.0) or 1.0


def _place(number: Estimate, scale: float) -> Quantity:
    def at(value: float) -> float:
        return 100 * value / scale if math.isfinite(value) else math.nan

    return Quantity(number, at(number.value), (at(number.lo), at(number.hi)), (at(number.band_lo), at(number.band_hi)))


def _read_check(path: Path) -> dict[str, list[Flag]]:
    """Return what the check found for each scan, ``-`` for the whole run; lines that are ok add an empty list."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            rows = list(reader)
            names = tuple(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Run `tomoprofile check` again."
        raise InputError(Fault(str(path), "", f"the table cannot be read: {error}", remedy)) from None
    if names != _COLUMNS:
        remedy = f"Its columns are {', '.join(_COLUMNS)}; remove it and run the workflow again."
        raise InputError(Fault(str(path), ", ".join(names), "not a table of the check", remedy))
    findings: dict[str, list[Flag]] = {}
    for row in rows:
        flags = findings.setdefault(row["sample"], [])
        if row["status"] != "ok":
            severity = row["status"] if row["status"] in ("error", "warning") else "warning"
            flags.append(Flag(severity, f"Check of the {row['item']}", row["message"]))
    return findings
