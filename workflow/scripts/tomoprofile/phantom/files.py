"""A simulated scan on disk, in the formats that beamlines write, and its truth."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from numpy.typing import NDArray

from .. import __version__
from ..errors import ConfigError, Fault, InputError
from ..files import whole_file
from ..layout import TruthLayout
from .geometry import CLASSES
from .scan import Phantom
from .truth import profile_table

_PROJECTIONS = 1800  # written to headers; nothing is computed from it
_GREY_LEVELS = 65535
_ARTIST = 315  # TIFF tag
_UNITS = {"_um": "um", "_um3": "um^3", "voxels": "voxels", "volume_ratio": "1"}


def write_scan(phantom: Phantom, folder: str | Path, form: str) -> Path:
    """Write the grey values as a raw scan.

    Parameters
    ----------
    phantom : Phantom
        The scan to write.
    folder : str or Path
        Receives the slices, or the one file.
    form : str
        ``tiff_folder_u16``: 16-bit slices with the calibration LAC = pixel / pixDiv + pixBase in the header, one for
        the whole scan. ``tiff_folder_f32``: 32-bit slices ``rec?????.tif`` in 1/cm. ``tiff_stack``: ``scan.tif``, a
        32-bit BigTIFF with ImageJ calibration. ``hdf5``: ``scan.h5``, NXtomoproc, dataset ``/entry/data/data``.

    Returns
    -------
    Path
        The ``path`` for the sample sheet: the folder of the slices, or the file.

    Raises
    ------
    ConfigError
        When the form is unknown.
    InputError
        When the folder holds files that are not slices of this scan.
    """
    folder = Path(folder)
    grey, voxel_um = phantom.grey, phantom.settings.voxel_um
    if form == "tiff_folder_u16":
        return _write_folder(folder, _calibrated_slices(grey, voxel_um))
    if form == "tiff_folder_f32":
        return _write_folder(folder, _float_slices(grey, voxel_um))
    if form == "tiff_stack":
        return _write_stack(folder / "scan.tif", grey, voxel_um)
    if form == "hdf5":
        return _write_hdf5(folder / "scan.h5", phantom)
    remedy = "Forms: tiff_folder_u16, tiff_folder_f32, tiff_stack, hdf5."
    raise ConfigError(Fault("phantom: form", repr(form), "unknown form", remedy))


def write_truth(phantom: Phantom, folder: str | Path) -> None:
    """Write the truth of a scan.

    ``objects.parquet`` (domains and voids), ``labels.tif`` (0 matrix and fillers, 1 domain, 2 void, 3 substrate,
    4 air), ``occupancy.tif`` (fraction of each voxel filled by domains, 255 = 1), ``interface.json``,
    ``profile.parquet`` (domains in bins of 1 um), ``profile_void.parquet`` (the same for voids) and, last,
    ``settings.json``.

    Parameters
    ----------
    phantom : Phantom
        The scan to describe.
    folder : str or Path
        Receives the files.
    """
    files = TruthLayout(folder)
    settings = phantom.settings
    _write_table(files.objects, phantom.objects)
    for measured in CLASSES:
        profile = profile_table(phantom.labels, phantom.objects, settings.voxel_um, phantom.plane, measured)
        _write_table(files.profile_of(measured), profile)
    occupancy = np.rint(phantom.occupancy * 255).astype(np.uint8)
    for path, image in ((files.labels, phantom.labels), (files.occupancy, occupancy)):
        with whole_file(path) as part:
            tifffile.imwrite(part, image, compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"})
    with whole_file(files.interface) as part:
        phantom.plane.save(part, how="simulated", residual_um=0.0)
    with whole_file(files.settings) as part:
        record = {"tomoprofile_version": __version__, **dataclasses.asdict(settings)}
        part.write_text(json.dumps(record, indent=2) + "\n")


def _write_table(path: Path, table: pd.DataFrame) -> None:
    units = {name: unit for name in table for ending, unit in _UNITS.items() if name.endswith(ending)}
    metadata = {b"units": json.dumps(units).encode(), b"tomoprofile_version": __version__.encode()}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    with whole_file(path) as part:
        pq.write_table(arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata}), part)


Slice = tuple[str, NDArray[Any], dict[str, Any]]


def _calibrated_slices(grey: NDArray[np.float32], voxel_um: float) -> Iterator[Slice]:
    """Yield name, pixels and tags of 16-bit slices, all with one calibration so that their values compare."""
    low, high = float(grey.min()), float(grey.max())
    # The header holds rounded numbers; the pixels are computed from those, so that reading them back is exact.
    base, divisor = float(f"{low:.6g}"), float(f"{_GREY_LEVELS / max(high - low, 1e-6):.6g}")
    center = grey.shape[2] / 2
    text = "\t".join(f"{number:.9g}" for number in (_PROJECTIONS, voxel_um, divisor, base, center, 0))
    tags = {"description": text, "extratags": [(_ARTIST, "s", 0, "SP-uCT", True)]}
    for index, image in enumerate(grey):
        pixels = np.clip(np.rint((image - base) * divisor), 0, _GREY_LEVELS).astype(np.uint16)
        yield f"slice_{index:05d}.tif", pixels, tags


def _float_slices(grey: NDArray[np.float32], voxel_um: float) -> Iterator[Slice]:
    """Yield name, pixels and tags of 32-bit slices: pixel size, axis, projections, angle offset, min, max."""
    for index, image in enumerate(grey):
        numbers = (voxel_um, grey.shape[2] / 2, _PROJECTIONS, 0.0, image.min(), image.max())
        yield f"rec{index:05d}.tif", image, {"description": "\t".join(f"{number:.9g}" for number in numbers)}


def _write_folder(folder: Path, slices: Iterator[Slice]) -> Path:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name, pixels, tags in slices:
            tifffile.imwrite(part / name, pixels, photometric="minisblack", metadata=None, **tags)
        if folder.exists():
            foreign = sorted({path.name for path in folder.iterdir()} - {path.name for path in part.iterdir()})
            if foreign:
                problem = "the folder holds files that are not slices of this scan"
                raise InputError(Fault(str(folder), foreign[0], problem, "Name an empty folder."))
            shutil.rmtree(folder)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _write_stack(path: Path, grey: NDArray[np.float32], voxel_um: float) -> Path:
    # The description is that of ImageJ, written by hand because ImageJ's own variant of TIFF ends at 4 GiB.
    description = f"ImageJ=1.54f\nimages={len(grey)}\nslices={len(grey)}\nunit=um\nspacing={voxel_um:g}\nloop=false\n"
    with whole_file(path) as part:
        tifffile.imwrite(
            part,
            grey,
            bigtiff=True,
            photometric="minisblack",
            metadata=None,
            description=description,
            resolution=(1 / voxel_um, 1 / voxel_um),
            resolutionunit="NONE",
        )
    return path


def _write_hdf5(path: Path, phantom: Phantom) -> Path:
    grey, settings = phantom.grey, phantom.settings
    with whole_file(path) as part, h5py.File(part, "w") as file:
        file.attrs["default"] = "entry"
        entry = _group(file, "entry", "NXentry", default="data")
        entry["title"] = f"simulated scan, kind {settings.kind}, seed {settings.seed}"
        entry["definition"] = "NXtomoproc"
        source = _group(_group(entry, "instrument", "NXinstrument"), "source", "NXsource")
        source["name"], source["type"], source["probe"] = "simulation", "Synchrotron X-ray Source", "x-ray"
        _group(entry, "sample", "NXsample")["name"] = "water domains in epoxy on silicon"
        process = _group(entry, "reconstruction", "NXprocess")
        process["program"], process["version"] = "tomoprofile phantom", __version__
        process["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        _group(process, "parameters", "NXparameters")["raw_file"] = "none: simulated"
        data = _group(entry, "data", "NXdata", signal="data", axes=["z", "y", "x"])
        image = data.create_dataset("data", data=grey, chunks=(1, *grey.shape[1:]))
        image.attrs.update({"units": "1/cm", "offset": 0.0, "scaling": 1.0, "transform": "linear attenuation"})
        for axis, voxels in zip("zyx", grey.shape, strict=True):
            data[axis] = (np.arange(voxels) + 0.5) * settings.voxel_um
            data[axis].attrs["units"] = "um"
    return path


def _group(parent: h5py.Group, name: str, nexus_class: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update({"NX_class": nexus_class, **attributes})
    return group
