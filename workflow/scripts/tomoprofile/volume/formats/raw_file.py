"""Raw files: bare voxels, described by a small file of ours beside them (``scan.raw.yaml``).

A raw file says nothing of itself, and a wrong guess gives a picture that is only sheared. So it is read with a
description only; where there is none, one is proposed from the size and the name of the file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import Fault, InputError
from ...samples import MOST_EDGE
from ..grey import GreyScale
from . import metaimage, nrrd
from .base import Format, decoding, grey_of_header, voxel_size_of_header
from .flat import FlatImage, Piece

_RAW = ".raw"
_DESCRIBED = (".vol", ".bin", ".dat", ".img")  # of programs that call them so; raw files only with a description
_SIDECARS = (".yaml", ".yml", ".json")
_INFO = ".info"  # of PyHST, the reconstruction of the ESRF
_MOST_BYTES = 2**16  # of a description
_DTYPES = {"uint8": 1, "uint16": 2, "float32": 4}  # proposed
_FIELD = re.compile(r"^\s*(\w+)\s*=\s*(\S+)", re.MULTILINE)
_IN_NAME = re.compile(r"(\d+)x(\d+)x(\d+)")
_TYPES_IN_NAME = {"uint8": "uint8", "8bit": "uint8", "uint16": "uint16", "16bit": "uint16", "float": "float32"}
_Edge = Field(ge=1, le=MOST_EDGE)


class Description(BaseModel):
    """What ``NAME.raw.yaml`` says of ``NAME.raw``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: tuple[int, int, int] = Field(description="Voxels along z, y, x; x is the axis whose voxels are neighbours.")
    dtype: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
    byte_order: Literal["little", "big"] = "little"
    header_bytes: int = Field(0, ge=0, description="Bytes before the first voxel.")
    voxel_size_um: float | tuple[float, float, float] | None = Field(
        None, description="Voxel edge in micrometres: one number, or three along z, y, x."
    )
    grey_slope: float = 1.0
    grey_offset: float = 0.0
    grey_unit: str = ""


class RawFile(FlatImage):
    """A raw file with a description; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path) -> None:
        sidecar = _sidecar(path)
        if sidecar is None:
            raise InputError(_undescribed(path))
        told = _read_info(sidecar, path) if sidecar.name.endswith(_INFO) else _read(sidecar)
        dtype = np.dtype(told.dtype).newbyteorder("<" if told.byte_order == "little" else ">")
        pieces = [Piece(path, told.shape[0], told.header_bytes)]
        super().__init__(sidecar, "raw voxels", told.shape, dtype, pieces)
        edges = told.voxel_size_um
        edges = (edges,) * 3 if isinstance(edges, float) else edges
        self.voxel_size_um = voxel_size_of_header(sidecar, edges) if edges else None
        plain = (told.grey_slope, told.grey_offset, told.grey_unit) == (1, 0, "")
        self.grey: GreyScale | None = None
        if not plain:
            self.grey = grey_of_header(sidecar, told.grey_slope, told.grey_offset, told.grey_unit)


def _sidecar(path: Path) -> Path | None:
    return next((file for end in (*_SIDECARS, _INFO) if (file := path.with_name(path.name + end)).is_file()), None)


def _read(sidecar: Path) -> Description:
    remedy = "Correct it; config/README.md shows one."
    with decoding(sidecar, "YAML", remedy=remedy):
        with sidecar.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError("it is too long for the description of a raw file")
        found = yaml.load(content.decode("utf-8"), Loader=_Plain)
    try:
        return Description.model_validate(found)
    except ValidationError as error:
        faults = []
        for item in error.errors():
            key = ".".join(map(str, item["loc"][:1]))
            faults.append(Fault(f"{sidecar} {key}".strip(), repr(item["input"])[:80], item["msg"], remedy))
        raise InputError(*faults) from None


def _read_info(sidecar: Path, path: Path) -> Description:
    """Return what PyHST says of a volume of float32, in lines ``NUM_X = 2048``."""
    with decoding(sidecar, "the description of PyHST"):
        with sidecar.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("latin-1")
        told = {name.lower(): value for name, value in _FIELD.findall(text)}
        z, y, x = (int(told[f"num_{axis}"]) for axis in "zyx")
        size = path.stat().st_size
        if size != 4 * z * y * x:
            raise ValueError(f"its {z} x {y} x {x} voxels of 4 bytes are not in {size} bytes")
        edge = float(told["voxelsize"]) if "voxelsize" in told else None
        order = "big" if told.get("byteorder", "").upper().startswith("HIGH") else "little"
        return Description(shape=(z, y, x), dtype="float32", byte_order=order, voxel_size_um=edge)


class _Plain(yaml.SafeLoader):
    """YAML without references, by which a short text can describe a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to another part of itself")
        return super().compose_node(parent, index)


def _undescribed(path: Path) -> Fault:
    """Return the fault of a raw file without a description, with one to fill in."""
    size = path.stat().st_size
    problem = "a raw file does not say what shape and type its voxels have"
    proposals = list(itertools.islice(_proposals(path.name, size), 1))
    shape, dtype = proposals[0] if proposals else (None, "uint16")
    filled = f"[{', '.join(map(str, shape))}]" if shape else "[SLICES, ROWS, COLUMNS]"
    what = "Check and save" if shape else "Fill in and save"
    lines = f"shape: {filled}\\ndtype: {dtype}\\nbyte_order: little\\nheader_bytes: 0\\nvoxel_size_um: 1.0"
    remedy = f"{what} its description beside it, with your voxel size: printf '{lines}\\n' > '{path.name}.yaml'"
    return Fault(str(path), f"{size} bytes", problem, remedy)


def _proposals(name: str, size: int) -> Iterator[tuple[tuple[int, int, int], str]]:
    """Yield shapes and types that agree with the name and the size of a file; names have x first."""
    types = [dtype for mark, dtype in _TYPES_IN_NAME.items() if mark in name.lower()] or list(_DTYPES)
    if found := _IN_NAME.search(name):
        x, y, z = (int(number) for number in found.groups())
        yield from (((z, y, x), dtype) for dtype in types if x * y * z * _DTYPES[dtype] == size)
    for dtype in types:
        edge = round((size / _DTYPES[dtype]) ** (1 / 3))
        if edge and edge**3 * _DTYPES[dtype] == size:
            yield (edge, edge, edge), dtype


def _matches(path: Path) -> bool:
    name = path.name.lower()
    return (name.endswith(_RAW) or (name.endswith(_DESCRIBED) and _sidecar(path) is not None)) and path.is_file()


def _datasets(path: Path) -> list[str]:
    """Return that a raw file is a scan, unless another header beside it has it as its voxels."""
    for kind in (metaimage.FORMAT, nrrd.FORMAT):
        for header in sorted(path.parent.iterdir()):
            if kind.matches(header) and any(file.name == path.name for file in kind.files(header)):
                return []
    if _sidecar(path) is None:
        raise InputError(_undescribed(path))
    return [""]


FORMAT = Format(
    name="raw",
    what="raw file with a description",
    remarks="`.raw`, `.vol`, `.bin`, `.dat`, `.img`; described by a file of the same name with `.yaml` or `.json` "
    "behind it, see below, or by the `.vol.info` of PyHST",
    matches=_matches,
    open=lambda path, _: RawFile(path),
    datasets=_datasets,
    files=lambda path: [file for file in [_sidecar(path)] if file],
)
