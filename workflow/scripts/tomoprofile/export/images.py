"""Images for other programs: TIFF for Fiji, NIfTI and NRRD in the space of the raw file. Written block by block."""

from __future__ import annotations

import gzip
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import nibabel
import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import Fault, StageError
from ..files import whole_file
from ..units import size_in_words
from ..volume.geometry import Geometry
from ..volume.grey import GreyScale
from .scan import FinishedScan
from .voxels import Voxels, blocks_of_raw

FORMATS = ("tiff", "nifti", "nrrd")
_CLASSIC_TIFF = 2**32 - 2**25  # bytes; more need 64-bit offsets, which ImageJ itself does not read but Fiji does
_NIFTI_1_EDGE = 2**15 - 1
_EXACT_FLOAT = 2**24
_OF_IMAGEJ = ("uint8", "uint16", "float32")
_WHITE = 255
AS_STORED = GreyScale()
_NRRD_TYPES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class Image:
    """One image, its axes in the order of the raw file.

    Attributes
    ----------
    voxels : Voxels
        Along the stored axes.
    slice_axis : int
        Axis of the raw file that became z.
    shard_slices : int
        How much is read at once.
    geometry : Geometry
        From indices in the order of the raw file to millimetres.
    voxel_size_um : tuple of float
        Edges in that order.
    shape : tuple of int
        Voxels in that order.
    largest : int or None
        Largest number of a domain, 1 in a mask; None for grey values.
    grey : GreyScale
        Meaning of the values.
    """

    voxels: Voxels
    slice_axis: int
    shard_slices: int
    geometry: Geometry
    voxel_size_um: tuple[float, float, float]
    shape: tuple[int, int, int]
    largest: int | None = None
    grey: GreyScale = AS_STORED

    @classmethod
    def of(cls, scan: FinishedScan, voxels: Voxels, largest: int | None = None) -> Image:
        """Return an image of a scan, made ready to lie on its raw file."""
        axes, store = scan.raw_axes, scan.volume
        affine = np.asarray(scan.geometry.affine)[:, [*axes, 3]]
        z, y, x = ((voxels.shape[axis], store.voxel_size_um[axis]) for axis in axes)
        (nz, dz), (ny, dy), (nx, dx) = z, y, x
        geometry = Geometry(tuple(map(tuple, affine)))
        image = cls(voxels, scan.slice_axis, store.shard_slices, geometry, (dz, dy, dx), (nz, ny, nx), largest)
        return replace(image, grey=store.grey) if largest is None else image

    @property
    def is_mask(self) -> bool:
        """Whether it holds 0 and 1."""
        return self.largest == 1 and self.dtype == np.uint8

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self.voxels.dtype

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield what follows along the first axis, one block in memory at a time."""
        return blocks_of_raw(self.voxels, self.slice_axis, self.shard_slices)


def write_image(image: Image, form: str, stem: Path) -> Path:
    """Write an image in one of :data:`FORMATS`; it appears whole or not at all.

    Parameters
    ----------
    image : Image
    form : str
    stem : Path
        Name without its ending.

    Returns
    -------
    Path
        The file. Masks and labels are compressed in NIfTI and NRRD, grey values are not.

    Raises
    ------
    StageError
        When the disk has too little space for an image that is not compressed.
    """
    return _WRITERS[form](image, stem)


def _write_tiff(image: Image, stem: Path) -> Path:
    """Write a stack with its voxel size: as ImageJ does or, where that cannot hold it, OME-TIFF with 64-bit offsets."""
    dtype = _tiff_dtype(image)
    n_bytes = math.prod(image.shape) * dtype.itemsize
    of_imagej = dtype.name in _OF_IMAGEJ and n_bytes <= _CLASSIC_TIFF
    out = stem.with_name(stem.name + (".tif" if of_imagej else ".ome.tif"))
    # Programs for TIFF take a mask for one when it is 0 and 255.
    pages = (_page(image, page, dtype) for block in image.blocks() for page in block)
    _, dy, dx = image.voxel_size_um
    told: dict[str, Any] = {"metadata": _for_imagej(image), "resolution": (1 / dx, 1 / dy)}
    if not of_imagej:
        told = {"metadata": _for_ome(image, stem.name), "resolution": (1e4 / dx, 1e4 / dy), "resolutionunit": 3}
    with (
        _whole_image(out, n_bytes) as partial,
        tifffile.TiffWriter(partial, bigtiff=not of_imagej, imagej=of_imagej, ome=not of_imagej) as file,
    ):
        file.write(pages, shape=image.shape, dtype=dtype, photometric="minisblack", **told)
    return out


def _tiff_dtype(image: Image) -> np.dtype[Any]:
    """Return the type of the pages: one that ImageJ knows, where that holds every value exactly."""
    is_small = image.largest is not None and image.largest <= _EXACT_FLOAT
    if image.dtype.name not in _OF_IMAGEJ and (is_small or np.can_cast(image.dtype, np.float32)):
        return np.dtype(np.float32)
    return image.dtype


def _page(image: Image, page: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return page * np.uint8(_WHITE) if image.is_mask else page.astype(dtype, copy=False)


def _for_imagej(image: Image) -> dict[str, Any]:
    told: dict[str, Any] = {"axes": "ZYX", "spacing": image.voxel_size_um[0], "unit": "um"}
    if image.largest is not None:
        told |= {"min": 0.0, "max": float(_WHITE if image.is_mask else max(image.largest, 1))}
    elif image.grey != AS_STORED and image.dtype.name in ("uint8", "uint16"):
        # A straight line from stored to shown values.
        told |= {"cf": 0, "c0": image.grey.offset, "c1": image.grey.slope, "vunit": image.grey.unit or "gray"}
    return told


def _for_ome(image: Image, name: str) -> dict[str, Any]:
    edges = zip("ZYX", image.voxel_size_um, strict=True)
    return {"axes": "ZYX", "Name": name} | {
        key: value
        for axis, edge in edges
        for key, value in ((f"PhysicalSize{axis}", edge), (f"PhysicalSize{axis}Unit", "µm"))
    }


def _write_nifti(image: Image, stem: Path) -> Path:
    """Write NIfTI-1, or NIfTI-2 where an edge is too long for it; its axes are those of the raw file, reversed."""
    header: Any = nibabel.Nifti1Header() if max(image.shape) <= _NIFTI_1_EDGE else nibabel.Nifti2Header()
    header.set_data_shape(image.shape[::-1])
    header.set_data_dtype(image.dtype.newbyteorder("<"))
    header.set_xyzt_units("mm")
    affine = image.geometry.nifti
    header.set_sform(affine, "scanner")
    header.set_qform(affine, "scanner", strip_shears=True)
    header.set_slope_inter(image.grey.slope, image.grey.offset)
    header.set_data_offset(header.single_vox_offset)
    with _voxel_file(image, stem, ".nii", ".nii.gz") as (file, out):
        start = file.tell()
        header.write_to(file)
        file.write(bytes(header.single_vox_offset - (file.tell() - start)))
        _write_blocks(image, file)
    return out


def _write_nrrd(image: Image, stem: Path) -> Path:
    """Write NRRD with its header in the same file; its axes are those of the raw file, reversed."""
    affine = image.geometry.nifti
    compressed = image.largest is not None
    lines = [
        "NRRD0005",
        f"type: {_NRRD_TYPES.get(image.dtype.name, image.dtype.name)}",
        "dimension: 3",
        "space: right-anterior-superior",
        f"sizes: {' '.join(map(str, image.shape[::-1]))}",
        f"space directions: {' '.join(_vector(affine[:3, axis]) for axis in range(3))}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {'gzip' if compressed else 'raw'}",
        'space units: "mm" "mm" "mm"',
        f"space origin: {_vector(affine[:3, 3])}",
    ]
    if image.grey != AS_STORED:
        told = {"slope": image.grey.slope, "offset": image.grey.offset, "unit": image.grey.unit}
        lines += [f"grey_{name}:={value}" for name, value in told.items()]
    header = "\n".join(lines) + "\n\n"
    out = stem.with_name(f"{stem.name}.nrrd")
    with _whole_image(out, 0 if compressed else _bytes_of(image)) as partial, partial.open("wb") as plain:
        plain.write(header.encode())
        with _packed(plain) if compressed else _as_it_is(plain) as file:
            _write_blocks(image, file)
    return out


def _vector(values: NDArray[np.float64]) -> str:
    return f"({','.join(repr(float(value) + 0.0) for value in values)})"


_WRITERS = {"tiff": _write_tiff, "nifti": _write_nifti, "nrrd": _write_nrrd}


# --- files ------------------------------------------------------------------------------------------------------------


@contextmanager
def _voxel_file(image: Image, stem: Path, plain: str, packed: str) -> Iterator[tuple[IO[bytes], Path]]:
    """Yield an open file, compressed or not, and the name under which it will appear."""
    compressed = image.largest is not None
    out = stem.with_name(stem.name + (packed if compressed else plain))
    with (
        _whole_image(out, 0 if compressed else _bytes_of(image)) as partial,
        partial.open("wb") as raw,
        _packed(raw) if compressed else _as_it_is(raw) as file,
    ):
        yield file, out


@contextmanager
def _whole_image(out: Path, n_bytes: int) -> Iterator[Path]:
    """Yield a temporary name for an image that needs so many bytes, which must be there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if n_bytes > free:
        problem = f"the image needs {size_in_words(n_bytes)}, and the disk has {size_in_words(free)} left"
        raise StageError(Fault(str(out), "", problem, "Free some space, or give another folder with `--to`."))
    with whole_file(out) as partial:
        yield partial


@contextmanager
def _packed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    # Without name and time: the same voxels give the same bytes.
    with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:
        yield packed  # type: ignore[misc]


@contextmanager
def _as_it_is(file: IO[bytes]) -> Iterator[IO[bytes]]:
    yield file


def _write_blocks(image: Image, file: IO[bytes]) -> None:
    for block in image.blocks():
        file.write(np.ascontiguousarray(block.astype(image.dtype.newbyteorder("<"), copy=False)).data)


def _bytes_of(image: Image) -> int:
    return math.prod(image.shape) * image.dtype.itemsize
