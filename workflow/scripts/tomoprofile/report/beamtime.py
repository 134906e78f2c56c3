"""The page of the beamtime: every scan side by side, faults first."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq

from ..errors import Fault, InputError
from ..files import whole_file
from ..profile.comparison import ScanResult, compare_scans
from ..samples import Scan
from .comparison import comparison_section
from .flags import Flag, interface_flags, model_flags, segmentation_flags, worst, zone_flags
from .numbers import Estimate, count, depth_range, estimate
from .rendering import Renderer
from .segmentation import Segmentation, read_segmentation
from .tables import at_level, mask_was_given, plateau, read_profile, read_record, read_zones

_LABELS = {"error": "fault", "warning": "look", "note": "fine", "ok": "fine"}
_SEVERITY = tuple(_LABELS)
_GIVEN_REMARK = "given mask, not made by a model; boundary uncertainty unknown"
_COLUMNS = ("sample", "item", "status", "message")


@dataclass(frozen=True)
class BeamtimeEntry:
    """One scan of the beamtime.

    Attributes
    ----------
    scan : Scan
        Its row of the sheet.
    folder : Path
        Its results.
    segmenter : Path
        Folder of its model bundle, ``threshold.json`` or ``mask.json``.
    troubles : tuple of (str, str)
        What failed in the last run: heading, and text of several lines.
    """

    scan: Scan
    folder: Path
    segmenter: Path
    troubles: tuple[tuple[str, str], ...] = ()

    @property
    def sample(self) -> str:
        """Name of the scan."""
        return self.scan.sample

    @property
    def zones(self) -> Path:
        """Its table of zones."""
        return self.folder / "zones.parquet"

    @property
    def profile(self) -> Path:
        """Its profile."""
        return self.folder / "profile.parquet"

    @property
    def interface(self) -> Path:
        """The record of its substrate plane."""
        return self.folder / "interface.json"

    @property
    def report(self) -> Path:
        """Its own page, which is linked."""
        return self.folder / "report.html"

    @property
    def has_results(self) -> bool:
        """Whether there is something to compare."""
        return all(path.exists() for path in (self.zones, self.profile, self.interface, self.report))


@dataclass(frozen=True)
class Quantity:
    """A cell of the table: a number and where it lies on the scale that all scans share, in per cent of the width."""

    estimate: Estimate
    at: float
    interval: tuple[float, float]
    band: tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One scan of the table; without results it has only flags.

    ``label`` is the word for its state, ``remark`` what sets its numbers apart from those of other scans.
    """

    sample: str
    state: str
    label: str
    link: str
    place: str
    quantities: tuple[Quantity, ...]
    n_domains: str
    flags: tuple[Flag, ...]
    remark: str = ""


def report_beamtime(
    samples: list[BeamtimeEntry], checks: Sequence[Path], title: str, page: Path, comparison: Path
) -> None:
    """Write ``index.html`` and ``comparison.parquet``.

    Scans with faults come first, then those with warnings, then the rest, each in sheet order. A scan without results
    is listed as failed, with the end of the log, or as missing; only the others are compared.

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
        findings |= _read_check(check)
    names = {entry.sample for entry in samples}
    loaded = [_load(entry, findings.get(entry.sample, []), page) for entry in samples if entry.has_results]
    scales = [_scale([numbers[i] for _, numbers in loaded]) for i in range(4)]
    rows = [
        Row(**{**row, "quantities": tuple(_place(n, s) for n, s in zip(numbers, scales, strict=True))})
        for row, numbers in loaded
    ]
    rows += [_without_results(entry, findings.get(entry.sample, [])) for entry in samples if not entry.has_results]
    rows += [
        Row(sample, worst(flags), _LABELS[worst(flags)], "", "", (), "", tuple(flags))
        for sample, flags in findings.items()
        if flags and sample not in names and sample != "-"
    ]
    rows.sort(key=lambda row: _SEVERITY.index(row.state))  # stable: the order of the sheet within a kind
    states = [row.state for row in rows]
    context = {
        "title": title,
        "rows": rows,
        "general": findings.get("-", []),
        "n_done": len(loaded),
        "n_faults": states.count("error"),
        "n_warnings": states.count("warning"),
        "n_fine": states.count("ok") + states.count("note"),
    }
    scans = [_result(entry) for entry in samples if entry.has_results]
    table = compare_scans(scans)
    with whole_file(comparison) as partial:
        table.to_parquet(partial, index=False)
    Renderer().write("beamtime.html.j2", context | comparison_section(scans, table), page)


def _result(entry: BeamtimeEntry) -> ScanResult:
    zones, profile = read_zones(entry.zones), read_profile(entry.profile)
    given = mask_was_given(zones)
    edges = " × ".join(f"{edge:g}" for edge in entry.scan.voxel_size_um)
    return ScanResult(
        entry.sample,
        entry.scan.group,
        math.nan if entry.scan.time_h is None else entry.scan.time_h,
        at_level(profile, "calibrated"),
        at_level(zones, "calibrated"),
        _n_blocks(entry.zones),
        {
            "voxel size": f"{edges} µm",
            "boundary convention": "unknown, given mask" if given else _convention(entry),
        },
    )


def _n_blocks(zones: Path) -> int:
    metadata = pq.read_schema(zones).metadata or {}
    return int(metadata.get(b"blocks", b"0"))


def _convention(entry: BeamtimeEntry) -> str:
    """Return how the boundary of domains was chosen, in words; empty while the model is being made anew."""
    segmentation = _segmentation(entry)
    if segmentation is None:
        return ""
    if segmentation.kind == "network":
        return "calibrated on labels" if segmentation.calibrated else "level not calibrated"
    return segmentation.method


def _segmentation(entry: BeamtimeEntry) -> Segmentation | None:
    record = entry.segmenter if entry.segmenter.suffix == ".json" else entry.segmenter / "configs" / "metadata.json"
    return read_segmentation(entry.segmenter) if record.exists() else None


def _load(entry: BeamtimeEntry, found: list[Flag], page: Path) -> tuple[dict[str, Any], list[Estimate]]:
    zones, record = read_zones(entry.zones), read_record(entry.interface)
    calibrated = at_level(zones, "calibrated")
    first, last = calibrated.iloc[0], calibrated.iloc[plateau(zones)]
    segmentation = _segmentation(entry)
    edge = dict(zip("zyx", entry.scan.voxel_size_um, strict=True)).get(str(record.get("axis")))
    flags = [*_trouble_flags(entry), *found, *model_flags(zones), *interface_flags(record, edge)]
    if segmentation is not None:
        flags += segmentation_flags(segmentation, entry.sample)
    if calibrated["n_domains"].sum():
        flags += zone_flags(zones)
    else:
        flags.append(Flag("warning", "No domains", "No domain was found in this scan."))
    numbers = [
        estimate(zones, last["zone"], "volume_ratio", 100),
        estimate(zones, last["zone"], "mean_equivalent_diameter_um"),
        estimate(zones, last["zone"], "number_density_per_mm3"),
        estimate(zones, first["zone"], "diameter_min_um"),
    ]
    row = {
        "sample": entry.sample,
        "state": worst(flags),
        "label": "failed" if entry.troubles else _LABELS[worst(flags)],
        "link": quote(Path(os.path.relpath(entry.report, page.parent)).as_posix()),
        "place": depth_range(last["from_um"], last["to_um"]),
        "n_domains": count(calibrated["n_domains"].sum()),
        "flags": tuple(flag for flag in flags if flag.severity != "note"),
        "remark": _GIVEN_REMARK if mask_was_given(zones) else "",
    }
    return row, numbers


def _trouble_flags(entry: BeamtimeEntry) -> list[Flag]:
    return [Flag("error", heading, text) for heading, text in entry.troubles]


def _without_results(entry: BeamtimeEntry, found: list[Flag]) -> Row:
    flags = [*_trouble_flags(entry), *found]
    failed = worst(flags) == "error"
    if not failed:
        text = "Nothing failed for this scan; its turn has not come, or it waits for something that failed elsewhere."
        flags.append(Flag("error", "No result yet", text))
    return Row(entry.sample, "error", "failed" if failed else "missing", "", "", (), "", tuple(flags))


def _scale(numbers: list[Estimate]) -> float:
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
