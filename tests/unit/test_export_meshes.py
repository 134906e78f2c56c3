"""Meshes: closed, of the table's volume, in place, and the same whatever the slabs; read by trimesh."""

import numpy as np
import pandas as pd
import pytest
import trimesh
from domains_scan import ellipsoid
from export_scan import finished

from tomoprofile.errors import InputError
from tomoprofile.export import surfaces
from tomoprofile.export.export import Wanted, export_scan
from tomoprofile.export.surfaces import Piece
from tomoprofile.volume.geometry import Geometry

EDGES = (2.0, 1.0, 0.5)


def placed(shape, *bodies):
    """Return a mask with bodies, each with the place of its first voxel."""
    mask = np.zeros(shape, bool)
    for (z, y, x), body in bodies:
        mask[z : z + body.shape[0], y : y + body.shape[1], x : x + body.shape[2]] |= body
    return mask


def solid(body):
    """Return a body without the empty voxels around it."""
    z, y, x = (slice(found.min(), found.max() + 1) for found in np.nonzero(body))
    return body[z, y, x]


@pytest.fixture(scope="module")
def mask():
    """Domains of one voxel to some thousands, one with a cavity, one a ring, and some cut by the border of the scan."""
    ball = solid(ellipsoid((9, 9, 9), offset=(0.3, 0.2, 0.4)))
    hollow = ball.copy()
    hollow[6:11, 6:11, 6:11] = False
    torus_z, torus_y, torus_x = np.mgrid[-4:5, -12:13, -12:13]
    torus = (np.hypot(torus_y, torus_x) - 8) ** 2 + torus_z**2 <= 9
    diagonal = np.zeros((2, 2, 2), bool)
    diagonal[0, 0, 0] = diagonal[1, 1, 1] = diagonal[0, 1, 1] = True
    return placed(
        (50, 60, 80),
        ((0, 0, 0), ball),
        ((20, 2, 30), hollow),
        ((42, 30, 30), solid(ellipsoid((12, 4, 6)))[:8]),
        ((15, 30, 2), torus),
        ((5, 40, 50), diagonal),
        ((3, 3, 60), np.ones((1, 1, 1), bool)),
        ((3, 10, 60), np.ones((2, 2, 2), bool)),
        ((3, 20, 60), np.ones((1, 1, 9), bool)),
    )


@pytest.fixture(scope="module")
def scan(mask, tmp_path_factory):
    return finished(tmp_path_factory.mktemp("results"), mask, edges_um=EDGES)


def meshes(scan, out, form="stl", **wanted):
    files = export_scan(scan, Wanted(("mesh",), meshes=(form,), **wanted), out)
    return {path.stem: trimesh.load(path) for path in files}


@pytest.mark.parametrize("form", ["stl", "ply"])
def test_each_domain_is_closed_and_has_the_volume_of_the_table(scan, tmp_path, form):
    table = pd.read_parquet(scan.files.domains).set_index("domain_id")
    assert len(table) == 8
    found = meshes(scan, tmp_path, form, domains=list(table.index))
    for number, row in table.iterrows():
        mesh = found[f"mesh_domain_{number}"]
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume * 1e9 == pytest.approx(row["volume_um3"], rel=0.01), "cubic millimetres"
        centroid = mesh.bounds.mean(axis=0) * 1000 + np.array(EDGES[::-1]) / 2  # from the corner, as in the table
        bounds = [(row[f"bbox_{axis}_start"] + row[f"bbox_{axis}_stop"]) / 2 for axis in "xyz"]
        assert centroid == pytest.approx(np.array(bounds) * EDGES[::-1], abs=1e-3)


def test_topology_is_that_of_the_table(scan, tmp_path):
    """A hollow ball has two surfaces, a ring one with a hole."""
    table = pd.read_parquet(scan.files.domains).set_index("domain_id")
    found = meshes(scan, tmp_path, "ply", domains=list(table.index))
    # The Euler number of a surface is twice that of the body inside.
    assert [found[f"mesh_domain_{n}"].euler_number for n in table.index] == list(2 * table["euler"])
    assert sorted(table["euler"])[0] == 0
    assert max(table["euler"]) == 2


@pytest.mark.parametrize("form", ["stl", "ply"])
def test_a_class_is_one_mesh_of_all_its_volume_whatever_the_slabs(scan, tmp_path, form, monkeypatch):
    (whole,) = meshes(scan, tmp_path / "whole", form).values()
    monkeypatch.setattr(surfaces, "_SLAB_VOXELS", 3 * 60 * 80)
    (parts,) = meshes(scan, tmp_path / "parts", form).values()
    total = pd.read_parquet(scan.files.domains)["volume_um3"].sum()
    for mesh in (whole, parts):
        assert mesh.is_watertight
        assert mesh.volume * 1e9 == pytest.approx(total, rel=0.002)
    assert len(whole.faces) == len(parts.faces)
    assert len(whole.vertices) == len(parts.vertices)
    assert parts.volume == pytest.approx(whole.volume, rel=1e-6)
    assert parts.area == pytest.approx(whole.area, rel=1e-6)


def test_vertices_of_a_seam_are_written_once(scan, tmp_path, monkeypatch):
    """Without merging on reading: a PLY file is closed as it is."""
    monkeypatch.setattr(surfaces, "_SLAB_VOXELS", 3 * 60 * 80)
    (path,) = export_scan(scan, Wanted(("mesh",), meshes=("ply",)), tmp_path)
    assert trimesh.load(path, process=False).is_watertight
    monkeypatch.setattr("tomoprofile.export.meshes._Seam.numbers", every_vertex_is_new)
    (path,) = export_scan(scan, Wanted(("mesh",), meshes=("ply",)), tmp_path)
    assert not trimesh.load(path, process=False).is_watertight


def every_vertex_is_new(_, piece, first):
    return first + np.arange(len(piece.vertices)), np.ones(len(piece.vertices), bool)


def test_half_way_between_centres_the_volume_would_be_wrong(scan, tmp_path, monkeypatch):
    """What the surface is moved for."""
    monkeypatch.setattr(surfaces, "_level", lambda _: 0.49)
    table = pd.read_parquet(scan.files.domains).set_index("domain_id")
    small = table.index[table["voxels"] == 8].item()
    (mesh,) = meshes(scan, tmp_path, domains=[small]).values()
    assert mesh.volume * 1e9 < 0.85 * table.loc[small, "volume_um3"]


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_noise_is_closed_too(tmp_path, fraction, monkeypatch):
    """Every configuration of eight voxels, across seams."""
    mask = np.random.default_rng(int(10 * fraction)).random((16, 20, 24)) < fraction
    monkeypatch.setattr(surfaces, "_SLAB_VOXELS", 5 * 20 * 24)
    scan = finished(tmp_path / "results", mask)
    (path,) = export_scan(scan, Wanted(("mesh",), meshes=("ply",)), tmp_path)
    mesh = trimesh.load(path, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


def test_meshes_lie_in_the_space_of_the_raw_file(mask, tmp_path):
    """As NIfTI and NRRD do, with faces that look outwards, also in a mirrored space."""
    affine = np.array([[0.0, 0, 0.002, 5], [0.001, 0, 0, -7], [0, 0.0005, 0, 2], [0, 0, 0, 1]])  # of x, y, z
    for number, mirrored in enumerate((affine, affine @ np.diag([-1, 1, 1, 1]))):
        scan = finished(tmp_path / str(number), mask, geometry=Geometry.from_nifti(mirrored))
        (mesh,) = meshes(scan, tmp_path).values()
        z, y, x = np.nonzero(mask)
        voxels = np.stack([x, y, z, np.ones(len(x))]).T @ mirrored.T
        low, high = voxels[:, :3].min(axis=0), voxels[:, :3].max(axis=0)
        edges = np.abs(mirrored[:3, :3]).sum(axis=1)
        assert (np.abs(mesh.bounds[0] - low) < edges).all()
        assert (np.abs(mesh.bounds[1] - high) < edges).all()
        assert mesh.volume == pytest.approx(mask.sum() * np.prod(edges), rel=0.002)


def test_the_header_tells_the_unit(scan, tmp_path):
    stl, ply = export_scan(scan, Wanted(("mesh",), meshes=("stl", "ply")), tmp_path)
    assert stl.read_bytes().startswith(b"bone domain, tomoprofile, unit mm, SPACE=RAS")
    assert b"comment bone domain, tomoprofile, unit mm, SPACE=RAS\n" in ply.read_bytes()[:200]


def test_domains_that_are_not_there_are_told(scan, mask, tmp_path):
    with pytest.raises(InputError, match=r"bone: class domain has the domains 1 to 8 \(got 0 9\)\. Take numbers from"):
        meshes(scan, tmp_path, domains=[0, 3, 9])
    two = finished(tmp_path / "results", {"domain": mask, "void": ~mask})
    with pytest.raises(InputError, match=r"several classes have domains with these numbers .* `--class`: domain, void"):
        meshes(two, tmp_path, domains=[1])


def test_a_class_without_domains_is_an_empty_mesh(tmp_path):
    scan = finished(tmp_path / "results", np.zeros((8, 9, 10), bool))
    (path,) = export_scan(scan, Wanted(("mesh",)), tmp_path)
    assert path.stat().st_size == 84


def test_the_volume_of_a_piece_is_signed():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    assert surfaces.enclosed(Piece(corners, faces, 1)) == pytest.approx(1 / 6)
