"""The page: medians, spread and ratios of what has been measured, and a note of what has not."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from tomoprofile.files import whole_file

from .methods import FLOOR, METHODS, OURS, SLICES
from .stores import TITLES as STORE_METHODS
from .volumes import REAL
from .volumes import TITLES as SCANS

INTRODUCTION = """# Objects

`make bench-objects`. Labels and measures of every domain, 26-connected, ours compared with what people use today. Each
measurement runs in a fresh process, methods in turn, on one thread. CPU time is user + system time of the work alone,
without imports, input and compilation. Memory is the highest resident set during the work minus that before, so inputs
do not count. Numbers are medians, with the range in brackets. The ratios are the claim; absolute times are context.

The methods do not measure the same: ours gives every column of domains.parquet (docs/outputs.md); what the others give
is listed with their names. Peers get a ready-made mask; ours thresholds a probability. Values that SimpleITK holds are
not read out label by label, which would take longer. A method marked * has seen only the central cube of {parts}
voxels, because the whole scan would take hours: its time is scaled by voxels.
"""
NOT_RUN = "not run"
Record = dict[str, Any]


def write_report(records: list[Record], page: Path) -> None:
    """Write the Markdown page of all results.

    Parameters
    ----------
    records : list of dict
    page : Path
    """
    parts = ", ".join(sorted({f"{method.part}^3" for method in METHODS.values() if method.part}))
    text = [INTRODUCTION.format(parts=parts), _made_with(records)]
    by_section = defaultdict(list)
    for record in records:
        by_section[record["section"]].append(record)
    text += [_goals(by_section["peers"]), "## In memory, compared with peers\n"]
    text += [_peers(scan, [r for r in by_section["peers"] if r["scan"] == scan]) for scan in SCANS]
    text += ["## From stores to the table\n", _stage(by_section["stage"])]
    text += ["## Depth: memory, and a million domains\n", _depth(by_section["depth"])]
    with whole_file(page) as partial:
        partial.write_text("\n".join(text))


def _made_with(records: list[Record]) -> str:
    versions: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for name, number in (record["versions"] | {"Python": record["python"]}).items():
            versions[name].add(number)
    machines = ", ".join(sorted({record["machine"] for record in records}))
    packages = ", ".join(f"{name} {'/'.join(sorted(numbers))}" for name, numbers in sorted(versions.items()))
    return f"{len(records)} measurements; {machines}; {packages}.\n" if records else "Nothing has been measured yet.\n"


def _median(records: list[Record], name: str) -> float:
    return statistics.median(record[name] for record in records)


def _cpu(records: list[Record]) -> float:
    """Return the CPU seconds of a whole scan; those of a part are scaled by voxels."""
    return _median(records, "cpu_s") * records[0].get("whole_voxels", records[0]["voxels"]) / records[0]["voxels"]


def _group(records: list[Record]) -> dict[tuple[str, int], list[Record]]:
    groups = defaultdict(list)
    for record in records:
        groups[record["method"], record["threads"]].append(record)
    return groups


def _peers(scan: str, records: list[Record]) -> str:
    head = f"### {SCANS[scan][0].upper()}{SCANS[scan][1:]}\n"
    groups = {method: found for (method, _), found in _group(records).items()}
    if not groups:
        reason = ": the scan was not given (--data)" if scan in REAL else ""
        return f"{head}\nNot run{reason}.\n"
    ours = groups.get(OURS)
    counts = {found[0]["objects"] for name, found in groups.items() if name != FLOOR and not METHODS[name].part}
    rows = []
    for name, method in METHODS.items():
        found = groups.get(name)
        part = bool(found) and found[0]["voxels"] != found[0]["whole_voxels"]
        title = method.title + (" *" if part else "")
        if not found:
            rows.append([title, NOT_RUN, *"-----"])
            continue
        rows.append(
            [
                title,
                _spread([record["cpu_s"] for record in found], found[0]["whole_voxels"] / found[0]["voxels"]),
                f"{found[0]['whole_voxels'] / _cpu(found) / 1e6:.0f}" if _cpu(found) else "-",
                f"{_median(found, 'wall_s'):.3g}",
                f"{_median(found, 'peak_bytes') / found[0]['voxels']:.2f}",
                "-" if name == FLOOR else f"{found[0]['objects']}",
                f"{_cpu(found) / _cpu(ours):.3g}" if ours else "-",
            ]
        )
    whole = next(iter(groups.values()))[0]["whole_voxels"]
    told = "" if len(counts) == 1 else f"\n**The methods disagree on the number of objects: {sorted(counts)}.**\n"
    columns = ["method", "CPU s", "Mvoxel / CPU-s", "wall s", "extra bytes / voxel", "objects", "CPU relative to ours"]
    return f"{head}\n{whole / 1e6:.0f} megavoxels.\n{told}\n{_table(columns, rows)}"


GOALS = (
    ("cc3d + statistics takes at least 4 times ours", "cc3d", 4),
    ("cc3d + SimpleITK at least 12 times", "cc3d-simpleitk", 12),
    ("cc3d + regionprops_table at least 25 times", "cc3d-skimage", 25),
    ("PoreSpy at least 100 times", "porespy", 100),
)


def _goals(records: list[Record]) -> str:
    """Return the table of goals; numbers that miss theirs are bold."""
    by_scan = {scan: {} for scan in SCANS}
    for record in records:
        by_scan[record["scan"]].setdefault(record["method"], []).append(record)
    scans = [scan for scan, methods in by_scan.items() if OURS in methods]
    if not scans:
        return "No goal has been measured yet.\n"
    rows = []
    for goal, method, least in GOALS:
        cells = [
            _judged(_cpu(by_scan[scan][method]) / _cpu(by_scan[scan][OURS]), least) if method in by_scan[scan] else "-"
            for scan in scans
        ]
        rows.append([goal, *cells])
    slabs = f"slabs of {SLICES} slices at least 0.8 of the speed of one shot"
    rows.append([slabs])
    memory = ["at most 0.25 byte per voxel beyond the input, one shot"]
    for scan in scans:
        found = by_scan[scan]
        ratio = _cpu(found[OURS]) / _cpu(found["ours-slabs"]) if "ours-slabs" in found else None
        rows[-1].append("-" if ratio is None else _judged(ratio, 0.8))
        bytes_a_voxel = _median(found[OURS], "peak_bytes") / found[OURS][0]["voxels"]
        memory.append(f"{bytes_a_voxel:.2f}" if bytes_a_voxel <= 0.25 else f"**{bytes_a_voxel:.2f}**")
    return "Goals; numbers in bold miss theirs.\n\n" + _table(["goal", *scans], [*rows, memory])


def _judged(value: float, least: float) -> str:
    return f"{value:.3g}" if value >= least else f"**{value:.3g}**"


def _stage(records: list[Record]) -> str:
    if not records:
        return "Not run.\n"
    rows = []
    for scan in dict.fromkeys(record["scan"] for record in records):
        groups = _group([record for record in records if record["scan"] == scan])
        decode = groups.get(("decode", 1))
        for (method, threads), found in groups.items():
            rows.append(
                [
                    SCANS[scan],
                    f"{STORE_METHODS[method]}{f', {threads} processes' * (threads > 1)}",
                    _spread([record["cpu_s"] for record in found]),
                    _spread([record["wall_s"] for record in found]),
                    "-" if threads > 1 else f"{_median(found, 'peak_bytes') / 1e6:.0f}",
                    f"{_median(found, 'cpu_s') / _median(decode, 'cpu_s'):.2f}" if decode else "-",
                ]
            )
    columns = ["scan", "work", "CPU s", "wall s", "peak memory, MB", "CPU relative to decoding"]
    text = (
        "The stage reads both stores once, compressed as the workflow writes them. Goal: at most 1.5 times decoding.\n"
        "The times include the start, imports and end of further processes.\n"
    )
    return f"{text}\n{_table(columns, rows)}"


def _depth(records: list[Record]) -> str:
    if not records:
        return "Not run.\n"
    rows = []
    decode = {(r["scan"], r["depth"]): r["cpu_s"] for r in records if r["method"] == "decode"}
    for record in sorted((r for r in records if r["method"] == "stage"), key=lambda r: (r["scan"], r["depth"])):
        base = decode.get((record["scan"], record["depth"]))
        rows.append(
            [
                SCANS[record["scan"]],
                f"{record['depth']} x {record['side']}^2",
                f"{record['voxels'] / 1e9:.2f}",
                f"{record['objects']}",
                f"{record['cpu_s']:.1f}",
                f"{record['wall_s']:.1f}",
                f"{record['cpu_s'] / base:.2f}" if base else "-",
                f"{record['peak_bytes'] / 1e6:.0f}",
                f"{record['peak_bytes'] / record['voxels']:.3f}",
            ]
        )
    columns = [
        *("scan", "slices", "gigavoxels", "domains", "CPU s", "wall s", "CPU relative to decoding"),
        *("peak memory, MB", "bytes / voxel"),
    ]
    text = "The stage from stores to domains.parquet: one process, one run each, shards of 64 slices."
    return f"{text}\n\n{_table(columns, rows)}"


def _spread(values: list[float], scale: float = 1) -> str:
    ends = f" ({min(values) * scale:.3g} .. {max(values) * scale:.3g})" if len(values) > 1 else ""
    return f"{statistics.median(values) * scale:.3g}{ends}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
