"""Organs as classes: one map of them all, one row for each, compared with a reference, exported into patient space."""

import math

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK
import trimesh
from export_scan import finished
from monai.metrics.utils import get_mask_edges, get_surface_distance
from organs_scan import CLASSES, ORIGIN, SHAPE, SPACING, affine, geometry, grey, organs, reoriented, write_nifti

from tomoprofile.domains import agreement as agreements
from tomoprofile.domains.agreement import Overlap, agreement, surface_distances, worst_first
from tomoprofile.domains.class_map import ClassMap
from tomoprofile.domains.classes import Reference, summarise_classes
from tomoprofile.errors import InputError
from tomoprofile.export.export import Wanted, export_scan
from tomoprofile.labels.classes import values_of
from tomoprofile.samples import Scan
from tomoprofile.volume import orientation
from tomoprofile.volume.store import open_store

NAMES = tuple(CLASSES)[1:]
EDGES = tuple(1000 * edge for edge in SPACING)
VALUES = {name: CLASSES[name] for name in NAMES}
ML = math.prod(SPACING) / 1000


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    masks = {name: organs() == CLASSES[name] for name in NAMES}
    return finished(tmp_path_factory.mktemp("organs"), masks, grey(), edges_um=EDGES, geometry=geometry())


def summary(scan, out, reference=None):
    files = scan.files
    summarise_classes(files.domains, files.objects_at("calibrated"), files.volume.path, out, reference)
    return pd.read_parquet(out).set_index("class")


def reference_of(folder, values, codes="LPS", write=reoriented):
    z, y, x = SHAPE
    cells = {"slices": z, "rows": y, "columns": x, "dtype": "int16", "voxel_size_um": "4000,3000,2000"}
    raw = str(write_nifti(folder / "ct.nii", grey()))
    path = str(write(folder / "reference.nii.gz", values, codes))
    return Reference(Scan(sample="bone", path=raw, format="nifti", reference=path, **cells), VALUES)


# --- one row for each class -------------------------------------------------------------------------------------------


def test_each_organ_has_its_volume_and_its_place_in_the_patient(scan, tmp_path):
    rows = summary(scan, tmp_path / "classes.parquet")
    assert list(rows.index) == list(NAMES)
    for name in NAMES:
        at = np.argwhere(organs() == CLASSES[name])
        assert rows.loc[name, "volume_ml"] == pytest.approx(len(at) * ML)
        place = affine()[:3] @ [*at.mean(axis=0)[::-1], 1]
        np.testing.assert_allclose(rows.loc[name, ["right_mm", "anterior_mm", "superior_mm"]].astype(float), place)
        assert rows.loc[name, "feret_max_um"] > 20_000
    assert rows["n_domains"].eq(1).all()
    assert rows["dice"].isna().all()
    assert rows.loc["kidney_left", "right_mm"] < rows.loc["kidney_right", "right_mm"]


def test_without_a_place_in_space_the_rest_is_told(tmp_path):
    found = finished(tmp_path, {"liver": organs() == 5}, edges_um=EDGES)
    rows = summary(found, tmp_path / "classes.parquet")
    assert rows["right_mm"].isna().all()
    assert rows["volume_ml"].item() == pytest.approx((organs() == 5).sum() * ML)


def test_a_class_that_was_not_found_has_a_row(tmp_path):
    found = finished(tmp_path, {"liver": organs() == 5, "spleen": organs() == 99}, edges_um=EDGES, geometry=geometry())
    rows = summary(found, tmp_path / "classes.parquet")
    assert rows.loc["spleen", "n_domains"] == 0
    assert rows.loc["spleen", "volume_ml"] == 0
    assert np.isnan(rows.loc["spleen", "right_mm"])


# --- compared with a reference ----------------------------------------------------------------------------------------


def test_a_reference_in_any_orientation_agrees_with_itself(scan, tmp_path):
    rows = summary(scan, tmp_path / "classes.parquet", reference_of(tmp_path, organs()))
    assert rows["dice"].eq(1).all()
    assert rows["surface_mean_um"].eq(0).all()
    assert rows["surface_p95_um"].eq(0).all()


def test_mutant_that_reads_voxels_as_they_lie_finds_no_kidney(scan, tmp_path, monkeypatch):
    reference = reference_of(tmp_path, organs(), "LAS")
    monkeypatch.setattr(orientation, "_says_nothing", lambda _: True)
    rows = summary(scan, tmp_path / "classes.parquet", reference)
    assert rows.loc["kidney_left", "dice"] < 0.2


def test_dice_and_volume_of_a_reference_that_differs(scan, tmp_path):
    moved = np.roll(organs(), 1, axis=2)
    moved[0, 0, 0] = 99  # an organ that is in no class
    rows = summary(scan, tmp_path / "classes.parquet", reference_of(tmp_path, moved))
    for name in NAMES:
        one, other = organs() == CLASSES[name], moved == CLASSES[name]
        assert rows.loc[name, "dice"] == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()))
        assert rows.loc[name, "reference_um3"] == pytest.approx(other.sum() * ML * 1e12)
        assert 0 < rows.loc[name, "surface_mean_um"] <= rows.loc[name, "surface_p95_um"] <= 2000
    assert worst_first(rows["dice"].to_dict())[-1] == rows["dice"].idxmax()


def test_a_reference_without_any_class_is_refused_and_without_one_is_told(scan, tmp_path, caplog):
    with pytest.raises(InputError, match="none of the values"):
        summary(scan, tmp_path / "classes.parquet", reference_of(tmp_path, np.full(SHAPE, 77, np.uint8)))
    liver = np.where(organs() == 5, np.uint8(5), np.uint8(0))
    rows = summary(scan, tmp_path / "classes.parquet", reference_of(tmp_path, liver))
    assert "shows no kidney_left" in caplog.text
    assert rows.loc["kidney_left", "dice"] == 0
    assert np.isnan(rows.loc["kidney_left", "surface_mean_um"])


def boxes(one, other):
    overlap = Overlap(one.shape)
    for start in range(0, len(one), 5):
        overlap.add(start, one[start : start + 5], other[start : start + 5])
    return agreement(overlap, lambda a, b: one[a:b], lambda a, b: other[a:b], EDGES, 5)


@pytest.mark.parametrize("shift", [1, 3])
def test_distances_are_those_of_monai(shift):
    one = organs() == CLASSES["kidney_left"]
    other = np.roll(one, shift, axis=0) | np.roll(one, 2, axis=2)
    found = boxes(one, other)
    edges = get_mask_edges(one, other, crop=True)
    ways = [get_surface_distance(*pair, spacing=EDGES) for pair in (edges, edges[::-1])]
    assert found.mean_um == pytest.approx(np.concatenate(ways).mean())
    assert found.p95_um == pytest.approx(max(np.percentile(way, 95) for way in ways))


def test_a_face_of_the_scan_is_no_surface():
    cut, larger = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    cut[:12, 8:20, 8:20], larger[:14, 8:20, 8:20] = True, True
    far, _ = surface_distances(cut[:, 7:21, 7:21], larger[:, 7:21, 7:21], EDGES)
    assert boxes(cut, larger).mean_um == pytest.approx(far)
    lying = np.pad(cut, ((1, 1), (0, 0), (0, 0))), np.pad(larger, ((1, 1), (0, 0), (0, 0)))
    assert boxes(*lying).mean_um < far, "mutant: faces that both share would look like agreement"


def test_a_large_class_is_compared_in_steps(monkeypatch):
    one = np.zeros((60, 60, 60), bool)
    one[10:50, 10:50, 10:50] = True
    other = np.roll(one, 6, axis=1)
    whole = boxes(one, other)
    monkeypatch.setattr(agreements, "_MOST", 20_000)
    reduced = boxes(one, other)
    assert (whole.step, reduced.step) == (1, 2)
    assert reduced.mean_um == pytest.approx(whole.mean_um, rel=0.1)
    assert reduced.dice == whole.dice


def test_nothing_on_either_side_has_no_number():
    nothing = np.zeros(SHAPE, bool)
    assert math.isnan(boxes(nothing, nothing).dice)
    assert boxes(nothing, organs() > 0).dice == 0


# --- one map of all classes -------------------------------------------------------------------------------------------


def overlapping(folder):
    """Return a scan in which two classes share voxels, with a probability of each, and its levels."""
    one, other = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    one[5:15, 5:15, 5:25], other[5:15, 5:15, 15:35] = True, True
    found = finished(folder, {"liver": one, "spleen": other}, geometry=geometry(), edges_um=EDGES)
    certain = {"liver": np.where(one, 200, 0), "spleen": np.where(other, 200, 0)}
    certain["liver"][:, :, 15:20], certain["spleen"][:, :, 15:20] = 240 * one[:, :, 15:20], 160 * other[:, :, 15:20]
    certain["liver"][:, :, 20:25], certain["spleen"][:, :, 20:25] = 150 * one[:, :, 20:25], 170 * other[:, :, 20:25]
    for name, values in certain.items():
        store = open_store(found.files.probability.path, name)
        for start, stop in store.shards():
            store.write(start, values[start:stop].astype(np.uint8))
    return found, one, other


def map_of(found, levels=(0.5, 0.5)):
    classes = [
        one.__class__(**{**one.__dict__, "level": level})
        for one, level in zip(found.classes.values(), levels, strict=True)
    ]
    return ClassMap(
        found.files.objects_at("calibrated"), classes, found.files.probability.path, {"liver": 5, "spleen": 300}
    )


def test_where_two_classes_claim_a_voxel_the_more_probable_gets_it(tmp_path):
    found, one, other = overlapping(tmp_path)
    values = map_of(found).read(0, SHAPE[0])
    assert values.dtype == np.uint16
    assert set(np.unique(values)) == {0, 5, 300}
    assert (values[:, :, :15][one[:, :, :15]] == 5).all()
    assert (values[:, :, 15:20][one[:, :, 15:20]] == 5).all()
    assert (values[:, :, 20:25][one[:, :, 20:25]] == 300).all()
    assert ((values > 0) == (one | other)).all()


def test_probable_is_meant_in_relation_to_the_level(tmp_path):
    found, one, _ = overlapping(tmp_path)
    values = map_of(found, (0.5, 0.3)).read(0, SHAPE[0])
    assert (values[:, :, 15:20][one[:, :, 15:20]] == 300).all(), "160 / 0.3 is more than 240 / 0.5"


def test_parts_of_a_map_are_parts_of_the_whole(tmp_path):
    found, *_ = overlapping(tmp_path)
    whole = map_of(found).read(0, SHAPE[0])
    np.testing.assert_array_equal(map_of(found).read(4, 9, slice(3, 17)), whole[4:9, 3:17])


def test_a_map_needs_probabilities_only_where_classes_overlap(scan, tmp_path):
    files = scan.files
    classes = list(scan.classes.values())
    away = ClassMap(files.objects_at("calibrated"), classes, tmp_path / "away", VALUES)
    np.testing.assert_array_equal(away.read(0, SHAPE[0]), organs())
    found, *_ = overlapping(tmp_path)
    with pytest.raises(InputError, match="were removed"):
        ClassMap(
            found.files.objects_at("calibrated"), list(found.classes.values()), tmp_path / "away", map_of(found).values
        ).read(0, SHAPE[0])


def test_values_are_those_of_the_model_where_it_names_the_classes():
    from tomoprofile.config import BundleConfig, UNetConfig

    model = UNetConfig(classes=CLASSES, measure=list(NAMES))
    assert values_of(NAMES, model) == VALUES
    assert values_of(("liver", "spleen"), BundleConfig(method="bundle", bundle="models/organs")) == {
        "liver": 1,
        "spleen": 2,
    }


# --- exported into the space of the patient ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(scan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    raw = write_nifti(folder / "ct.nii.gz", grey())
    export_scan(scan, Wanted(("classes", "mesh"), ("nifti", "nrrd"), ("stl", "glb")), folder)
    return folder, raw


def test_the_class_map_lies_on_the_scan(exported):
    """By two other programs: the same matrix, and the left kidney at the same place in the patient."""
    folder, raw = exported
    mine, its = nibabel.load(folder / "classes.nii.gz"), nibabel.load(raw)
    np.testing.assert_array_equal(mine.affine, its.affine)
    names = pd.read_csv(folder / "classes.tsv", sep="\t", index_col="class")["value"]
    values = np.asarray(mine.dataobj)
    kidney = values == names["kidney_left"]
    centre = its.affine[:3] @ [*np.argwhere(kidney).mean(axis=0), 1]
    assert centre[0] < ORIGIN[0] + SPACING[2] * SHAPE[2] / 2, "to the patient's left of the middle"
    expected = np.argwhere(organs() == CLASSES["kidney_left"]).mean(axis=0)[::-1]
    np.testing.assert_allclose(centre, affine()[:3] @ [*expected, 1])
    for name in ("classes.nii.gz", "classes.nrrd"):
        image, scan = SimpleITK.ReadImage(str(folder / name)), SimpleITK.ReadImage(str(raw))
        np.testing.assert_allclose(image.GetOrigin(), scan.GetOrigin())
        np.testing.assert_allclose(image.GetDirection(), scan.GetDirection())
        at = image.TransformPhysicalPointToIndex((-centre[0], -centre[1], centre[2]))
        assert image[at] == names["kidney_left"]


@pytest.mark.parametrize("form", ["stl", "glb"])
def test_meshes_of_organs_lie_in_the_patient(exported, form):
    folder, _ = exported
    for name in NAMES:
        mesh = trimesh.load_mesh(folder / f"mesh_{name}.{form}")
        at = np.argwhere(organs() == CLASSES[name])
        centre = affine()[:3] @ [*at.mean(axis=0)[::-1], 1]
        if form == "glb":  # in metres, with y upwards
            centre, scale = np.array([centre[0], centre[2], -centre[1]]) / 1000, 1e-9
        else:
            scale = 1.0
        np.testing.assert_allclose(mesh.center_mass, centre, atol=0.1 * (scale ** (1 / 3)))
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(len(at) * math.prod(SPACING) * scale, rel=1e-3)
    if form == "glb":
        (node,) = trimesh.load_scene(folder / "mesh_liver.glb").graph.nodes_geometry
        assert node == "bone liver"
