"""Surfaces in files for other programs: STL, PLY and GLB, in millimetres, as NIfTI and NRRD of the same scan."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from ..files import whole_file
from ..volume.geometry import Geometry
from .surfaces import Piece

FORMATS = ("stl", "ply", "glb")
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_FACE = np.dtype([("corners", "u1"), ("vertices", "<i4", 3)])
# glTF counts in metres with y upwards: the vertices stay in millimetres (RAS), and this is where their node puts them.
_TO_GLTF = np.array([[1e-3, 0, 0, 0], [0, 0, 1e-3, 0], [0, -1e-3, 0, 0], [0, 0, 0, 1]])
_DIGITS = 12  # room for a number that is known at the end


def write_mesh(pieces: Iterable[Piece], geometry: Geometry, name: str, form: str, out: Path) -> None:
    """Write a surface in one of :data:`FORMATS`; it appears whole or not at all.

    Parameters
    ----------
    pieces : iterable of Piece
        In voxel indices (z, y, x).
    geometry : Geometry
        From those to millimetres (RAS+).
    name : str
        Goes into the header, with the unit and the space.
    form : str
    out : Path
    """
    with whole_file(out) as partial:
        _WRITERS[form](pieces, _Space(geometry), f"{name}, tomoprofile, unit mm, SPACE=RAS", partial)


class _Space:
    """From voxel indices to millimetres, with triangles that stay counter-clockwise seen from outside."""

    def __init__(self, geometry: Geometry) -> None:
        affine = np.asarray(geometry.affine)[:3]
        self._matrix, self._origin = affine[:, :3].T, affine[:, 3]
        self._mirrors = bool(np.linalg.det(self._matrix) < 0)

    def places(self, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        return vertices @ self._matrix + self._origin

    def turned(self, triangles: NDArray[np.integer]) -> NDArray[np.integer]:
        return triangles[:, ::-1] if self._mirrors else triangles


def _write_stl(pieces: Iterable[Piece], space: _Space, told: str, path: Path) -> None:
    """Write binary STL, three corners for each triangle."""
    count = 0
    with path.open("wb") as file:
        file.write(told.encode("ascii", "replace")[:80].ljust(80) + bytes(4))
        for piece in pieces:
            corners = space.places(piece.vertices)[space.turned(piece.triangles)]
            normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            length = np.linalg.norm(normal, axis=1, keepdims=True)
            rows = np.zeros(len(corners), _TRIANGLE)
            rows["normal"] = normal / np.where(length, length, 1)
            rows["corners"] = corners
            file.write(rows.tobytes())
            count += len(rows)
        file.seek(80)
        file.write(np.uint32(count).astype("<u4").tobytes())


def _write_ply(pieces: Iterable[Piece], space: _Space, told: str, path: Path) -> None:
    """Write binary PLY, in which triangles share their vertices, also where two pieces meet."""
    n_vertices = n_faces = 0
    seam = _Seam()
    with TemporaryFile(dir=path.parent) as faces, path.open("wb+") as file:
        file.write(_ply_header(told, 0, 0))
        for piece in pieces:
            number, new = seam.numbers(piece, n_vertices)
            file.write(space.places(piece.vertices[new]).astype("<f4").tobytes())
            rows = np.zeros(len(piece.triangles), _FACE)
            rows["corners"], rows["vertices"] = 3, number[space.turned(piece.triangles)]
            faces.write(rows.tobytes())
            n_vertices, n_faces = n_vertices + int(new.sum()), n_faces + len(rows)
        faces.seek(0)
        shutil.copyfileobj(faces, file, 2**24)
        file.seek(0)
        file.write(_ply_header(told, n_vertices, n_faces))


def _write_glb(pieces: Iterable[Piece], space: _Space, told: str, path: Path) -> None:
    """Write binary glTF, one node with its name; unlike the others the whole surface is in memory."""
    import trimesh  # a quarter of a second, for this format alone

    vertices, faces, count, seam = [np.empty((0, 3))], [np.empty((0, 3), np.int64)], 0, _Seam()
    for piece in pieces:
        number, new = seam.numbers(piece, count)
        vertices.append(space.places(piece.vertices[new]))
        faces.append(number[space.turned(piece.triangles)])
        count += int(new.sum())
    mesh = trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), process=False, metadata={"told": told})
    name = told.partition(",")[0]
    scene = trimesh.Scene()
    scene.add_geometry(mesh, node_name=name, geom_name=name, transform=_TO_GLTF)
    path.write_bytes(scene.export(file_type="glb"))


class _Seam:
    """The vertices in the slice that two pieces share, so that the later piece uses those of the earlier one."""

    def __init__(self) -> None:
        self._slice: int | None = None
        self._places, self._numbers = np.empty(0, np.complex128), np.empty(0, np.int64)

    def numbers(self, piece: Piece, first: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the number of each vertex of a piece, and which are new; new ones are numbered from ``first`` on."""
        z, place = piece.vertices[:, 0], piece.vertices[:, 1] + 1j * piece.vertices[:, 2]
        new = np.ones(len(z), bool)
        number = np.empty(len(z), np.int64)
        if len(self._places):
            at = np.minimum(np.searchsorted(self._places, place), len(self._places) - 1)
            new = (z != self._slice) | (self._places[at] != place)
            number[~new] = self._numbers[at[~new]]
        number[new] = first + np.arange(new.sum())
        last = np.flatnonzero(z == piece.last)
        order = last[np.argsort(place[last])]
        self._slice, self._places, self._numbers = piece.last, place[order], number[order]
        return number, new


def _ply_header(told: str, n_vertices: int, n_faces: int) -> bytes:
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {told}",
        f"element vertex {n_vertices:0{_DIGITS}d}",
        *(f"property float {axis}" for axis in "xyz"),
        f"element face {n_faces:0{_DIGITS}d}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return "".join(f"{line}\n" for line in lines).encode("ascii", "replace")


_WRITERS = {"stl": _write_stl, "ply": _write_ply, "glb": _write_glb}
