"""The classes as bodies: sides on pictures and in the scene are those of the patient, however the file lies."""

import re

import nibabel
import numpy as np
import pandas as pd
import pytest
from export_scan import finished
from organs_scan import CLASSES, SHAPE, SPACING, affine, geometry, grey, organs, write_nifti

from tomoprofile.domains.classes import Reference, summarise_classes
from tomoprofile.domains.voxels import Domains
from tomoprofile.report import anatomy
from tomoprofile.report.anatomy import cuts_of_domains, cuts_of_image, outline, position_in_words, views_of
from tomoprofile.report.page import is_placed
from tomoprofile.report.rendering import Renderer
from tomoprofile.report.sections import SECTIONS
from tomoprofile.report.sections.bodies import build
from tomoprofile.report.solids import surface_of
from tomoprofile.samples import Scan
from tomoprofile.volume.geometry import Geometry
from tomoprofile.volume.readers import ScanReader, open_raw

NAMES = tuple(CLASSES)[1:]
EDGES = tuple(1000 * edge for edge in SPACING)
(SECTION,) = (section for section in SECTIONS if section.name == "bodies")


def turned(codes):
    """Return labels, grey values and geometry of the same body with its axes in another order and direction."""
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    parts = [
        nibabel.Nifti1Image(values.transpose(2, 1, 0), affine()).as_reoriented(turn) for values in (organs(), grey())
    ]
    where = Geometry.from_nifti(parts[0].affine)
    return *(np.asarray(part.dataobj).transpose(2, 1, 0) for part in parts), where


def content_of(folder, codes="RAS", reference=None, masks=None):
    labels, values, where = turned(codes)
    masks = masks or {name: labels == CLASSES[name] for name in NAMES}
    edges = tuple(1000 * edge for edge in where.lps.spacing[::-1])
    found = finished(folder, masks, values, edges_um=edges, geometry=where)
    files = found.files
    summarise_classes(files.domains, files.objects_at("calibrated"), files.volume.path, files.classes, reference)
    levels = {name: {"calibrated": one} for name, one in found.classes.items()}
    summary = pd.read_parquet(files.classes)
    return build(summary, found.volume, files.objects_at("calibrated"), levels, reference)


def middle_of(path):
    """Return the middle (x, y) of an outline."""
    points = np.array([[float(n) for n in pair.split()] for pair in re.findall(r"[\d.e+-]+ [\d.e+-]+", path)])
    return (points.max(axis=0) + points.min(axis=0)) / 2


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PIR", "SAL"])
def test_the_right_is_on_the_left_of_every_picture(tmp_path, codes):
    content = content_of(tmp_path, codes)
    bodies = {body.row.name: body for body in content.words["bodies"]}
    assert set(bodies) == set(NAMES)
    for name, body in bodies.items():
        at = np.argwhere(organs() == CLASSES[name]).mean(axis=0) + 0.5  # z, y, x; up, forward, to the right
        up, forward, right = at * SPACING
        high, deep, wide = np.array(SHAPE) * SPACING
        axial, coronal, sagittal = body.pictures
        assert axial.view.letters == ("A", "P", "R", "L")
        assert coronal.view.letters == ("S", "I", "R", "L")
        assert sagittal.view.letters == ("S", "I", "A", "P")
        assert (axial.width, axial.height, coronal.height) == pytest.approx((wide, deep, high))
        expected = [(wide - right, deep - forward), (wide - right, high - up), (deep - forward, high - up)]
        for picture, place in zip(body.pictures, expected, strict=True):
            (own,) = [line for line in picture.lines if line.is_own]
            np.testing.assert_allclose(middle_of(own.path), place, atol=2.5)


def test_mutant_that_ignores_the_matrix_shows_the_left_kidney_on_the_wrong_side(tmp_path, monkeypatch):
    monkeypatch.setattr(anatomy.nibabel.orientations, "io_orientation", lambda _: np.array([[2, 1], [1, 1], [0, 1]]))
    content = content_of(tmp_path, "LAS")
    (left,) = [body for body in content.words["bodies"] if body.row.name == "kidney_left"]
    (own,) = [line for line in left.pictures[0].lines if line.is_own]
    assert middle_of(own.path)[0] < SHAPE[2] * SPACING[2] / 2


@pytest.mark.parametrize("codes", ["RAS", "LPS"])
def test_the_scene_is_in_the_space_of_the_patient(tmp_path, codes):
    scene = content_of(tmp_path, codes).figures["bodies"]
    for mesh in scene.data:
        at = np.argwhere(organs() == CLASSES[mesh.name]).mean(axis=0)[::-1]
        expected = affine()[:3] @ [*at, 1]
        found = [(part.max() + part.min()) / 2 for part in (mesh.x, mesh.y, mesh.z)]
        np.testing.assert_allclose(found, expected, atol=3)


def test_a_surface_of_a_large_scan_is_coarser_and_in_the_same_place(tmp_path, monkeypatch):
    from tomoprofile.report import solids

    found = finished(tmp_path, {"liver": organs() == 5}, edges_um=EDGES, geometry=geometry())
    domains = Domains(found.files.objects_at("calibrated"), found.classes["liver"])
    fine = surface_of(domains, geometry())
    monkeypatch.setattr(solids, "_SIDE", 20)
    coarse = surface_of(domains, geometry())
    assert len(coarse.vertices) < len(fine.vertices) / 2
    middles = [(part.vertices.max(axis=0) + part.vertices.min(axis=0)) / 2 for part in (fine, coarse)]
    np.testing.assert_allclose(*middles, atol=3)


def test_cuts_are_those_of_the_voxels(tmp_path):
    found = finished(tmp_path, {"liver": organs() == 5}, edges_um=EDGES, geometry=geometry())
    domains = Domains(found.files.objects_at("calibrated"), found.classes["liver"])
    places = [(0, 15), (1, 20), (2, 27), (2, 3)]
    path = write_nifti(tmp_path / "organs.nii.gz", organs())
    image = cuts_of_image(ScanReader(open_raw(path, "nifti")), places, 7)
    for (axis, index), cut in cuts_of_domains(domains, places).items():
        np.testing.assert_array_equal(cut, (organs() == 5).take(index, axis))
        np.testing.assert_array_equal(image[axis, index], organs().take(index, axis))


def test_an_outline_runs_around_voxels():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    np.testing.assert_allclose(middle_of(outline(mask, (3.0, 2.0))), (5 * 2, 3 * 3), atol=0.01)
    assert outline(np.zeros((6, 8), bool), (1.0, 1.0)) == ""


def test_oblique_scans_are_shown_along_their_voxels():
    c, s = np.cos(0.3), np.sin(0.3)
    oblique = Geometry.from_nifti(np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    assert [view.letters for view in views_of(oblique)] == [view.letters for view in views_of(geometry())]
    assert position_in_words(-62.4, -11.6, 301) == "L 62, P 12, S 301"


def test_the_page_names_what_was_compared_and_the_worst_first(tmp_path):
    moved = organs()
    moved[moved == CLASSES["liver"]] = 0
    moved = np.where(np.roll(organs() == CLASSES["liver"], 6, axis=2), CLASSES["liver"], moved).astype(np.uint8)
    z, y, x = SHAPE
    cells = {"slices": z, "rows": y, "columns": x, "dtype": "int16", "voxel_size_um": "4000,3000,2000"}
    raw, path = write_nifti(tmp_path / "ct.nii", grey()), write_nifti(tmp_path / "reference.nii", moved)
    scan = Scan(sample="ct", path=str(raw), format="nifti", reference=str(path), **cells)
    reference = Reference(scan, {name: CLASSES[name] for name in NAMES})
    content = content_of(tmp_path / "results", reference=reference)
    assert content.words["rows"][0].name == "liver"
    (liver, *_) = content.words["bodies"]
    assert sum(line.is_reference for line in liver.pictures[0].lines) == 1
    html = Renderer(has_depth=False).section(SECTION, content, title="", sample="ct", suffix="")
    assert "Dice" in html
    assert "stroke-dasharray" in html
    assert html.count("<svg") == 9
    without = Renderer(has_depth=False).section(
        SECTION, content_of(tmp_path / "other"), title="", sample="ct", suffix=""
    )
    assert "Dice" not in without
    assert "stroke-dasharray" not in without


def test_a_scan_in_which_nothing_was_found_has_its_table(tmp_path):
    content = content_of(tmp_path, masks={"liver": organs() == 99, "spleen": organs() == 98})
    html = Renderer("ja", has_depth=False).section(SECTION, content, title="", sample="ct", suffix="")
    assert "liver" in html
    assert "<svg" not in html


@pytest.mark.parametrize(
    ("matrix", "placed"),
    [
        (affine(), True),
        (np.diag([2.0, 3.0, 4.0, 1.0]), False),
        (np.diag([-2.0, -3.0, 4.0, 1.0]), False),
        (np.diag([-2.0, 3.0, 4.0, 1.0]), True),
    ],
)
def test_a_file_that_knows_nothing_of_space_has_no_sides(tmp_path, matrix, placed):
    found = finished(tmp_path, {"liver": organs() == 5}, edges_um=EDGES, geometry=Geometry.from_nifti(matrix))
    assert is_placed(found.volume) == placed
    assert not is_placed(finished(tmp_path / "other", {"liver": organs() == 5}).volume)
