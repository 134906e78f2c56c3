"""An interface that the sample sheet gives: its plane, and in plain words where substrate and resin then lie."""

from __future__ import annotations

from ..errors import ConfigError, Fault
from ..samples import parse_interface
from ..volume.plane import Face, Plane, WithoutSubstrate


def given_plane(spec: str, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> Plane | None:
    """Return the plane that a cell of the sample sheet gives; None where it must be found.

    Parameters
    ----------
    spec : str
        ``slice:N``: slice N is the first with resin, which lies at larger z; ``slice:N:below``: at smaller z.
        ``plane:nz,ny,nx,offset_um``: the points p with n . p = offset, normal n of any length pointing into the resin.
        ``face:z=0`` or ``face:z=end``: a face of the scan; likewise y and x. ``none``: there is no substrate.
        ``auto``, ``surface`` and masks tell no plane.
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).

    Raises
    ------
    ConfigError
        When the cell has none of these forms, or names a slice that the scan does not have.
    """
    try:
        kind, numbers = parse_interface(spec)
    except ValueError as error:
        raise ConfigError(Fault("sample sheet: interface", repr(spec), str(error), "Correct the cell.")) from None
    if kind == "slice":
        index, sign = numbers
        if not 0 <= index < shape[0]:
            problem = f"the scan has the slices 0 to {shape[0] - 1}"
            raise ConfigError(Fault("sample sheet: interface", spec, problem, "Correct the index."))
        face = index if sign > 0 else index + 1
        return Plane((sign, 0.0, 0.0), sign * face * voxel_size_um[0])
    if kind == "face":
        return _face(int(numbers[0]), numbers[1], shape, voxel_size_um)
    if kind == "none":
        return WithoutSubstrate()
    if kind == "plane":
        nz, ny, nx, offset_um = numbers
        return Plane.through((nz, ny, nx), offset_um)
    return None


def _face(axis: int, sign: float, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> Face:
    normal = [0.0, 0.0, 0.0]
    normal[axis] = sign
    return Face((normal[0], normal[1], normal[2]), 0.0 if sign > 0 else -shape[axis] * voxel_size_um[axis])


def face_in_words(spec: str, n_slices: int, edge_um: float) -> str:
    """Return a sentence about the face that ``slice:INDEX`` names: where it is, and what lies on which side.

    Parameters
    ----------
    spec : str
        Cell of the sample sheet.
    n_slices : int
        Slices of the scan.
    edge_um : float
        Voxel edge along z.
    """
    _, (index, sign) = parse_interface(spec)
    first, last = int(index), n_slices - 1
    below = sign < 0
    other = first + 1 if below else first - 1
    resin = _slices(0, first) if below else _slices(first, last)
    at = f"z = {(first + below) * edge_um:g} µm"
    if 0 <= other <= last:
        face = f"the face between slices {min(first, other)} and {max(first, other)} ({at})"
        substrate = f"in {_slices(other, last) if below else _slices(0, other)}"
    else:
        face = f"the outer face of slice {first}, where the scan {'ends' if below else 'begins'} ({at})"
        substrate = "outside the scan"
    return (
        f"Depth 0 is {face}, with the substrate {substrate} and the resin in {resin}. Slices count from 0, and depth "
        "runs across them, along z."
    )


def _slices(first: int, last: int) -> str:
    return f"slice {first}" if first == last else f"slices {first} to {last}"
