"""Organs through the workflow: a CT in HU, a map of classes in another orientation, results in the patient."""

import zipfile

import nibabel
import numpy as np
import pandas as pd
from organs_scan import CLASSES, SHAPE, SPACING, affine, grey, organs, reoriented, write_nifti

from tomoprofile.export.export import Wanted, export_scan
from tomoprofile.export.scan import finished_scan
from tomoprofile.layout import Layout
from tomoprofile.samples import Scan, write_samples

MODEL = {
    "classes": CLASSES,
    "measure": list(CLASSES)[1:],
    "one_piece": ["liver", "kidney_left"],
    "words": {"domain": "organ", "matrix": "body"},
    "phase": False,
}


def test_a_map_of_organs_becomes_a_table_a_page_and_an_image_of_the_patient(project):
    for name in ("raw", "given"):
        (project.folder / name).mkdir()
    write_nifti(project.folder / "raw/ct.nii.gz", grey().astype(np.int32))
    split = organs()
    split[0, 0, :8] = CLASSES["liver"]  # a piece that is no liver
    reoriented(project.folder / "given/map.nii.gz", split, "LPS")
    reoriented(project.folder / "given/reference.nii.gz", organs(), "PIR")
    project.configure(models={"default": MODEL})
    z, y, x = SHAPE
    cells = {"slices": z, "rows": y, "columns": x, "dtype": "int32", "voxel_size_um": "4000,3000,2000"}
    given = {"mask": "classes:given/map.nii.gz", "reference": "given/reference.nii.gz", "interface": "none"}
    scan = Scan(sample="ct", path="raw/ct.nii.gz", format="nifti", **cells, **given)
    write_samples(project.folder / "config/samples.tsv", [scan])
    project.snakemake()

    files = Layout(project.folder / "results").scan("ct")
    rows = pd.read_parquet(files.classes).set_index("class")
    for name in MODEL["measure"]:
        at = np.argwhere(organs() == CLASSES[name])
        assert rows.loc[name, "volume_ml"] == len(at) * np.prod(SPACING) / 1000
        place = affine()[:3] @ [*at.mean(axis=0)[::-1], 1]
        np.testing.assert_allclose(rows.loc[name, ["right_mm", "anterior_mm", "superior_mm"]].astype(float), place)
    assert rows["dice"].eq(1).all()
    assert rows.loc["liver", "n_left_out"] == 1
    page = files.report.read_text(encoding="utf-8")
    shown = page[page.index('<h2 id="bodies">') : page.index('<h2 class="class"')]
    assert shown.count("<svg") == 3 * len(MODEL["measure"])
    assert shown.count("<td>1</td>") == 2 * len(MODEL["measure"]), "parts and Dice"
    assert "L " in shown
    with zipfile.ZipFile(files.tables) as archive:
        assert "classes.csv" in archive.namelist()
    assert "left out" in page

    finished = finished_scan(project.folder / "results", "ct")
    export_scan(finished, Wanted(("classes", "mesh"), ("nifti",), ("glb",)), project.folder / "exports")
    mine = nibabel.load(project.folder / "exports/classes.nii.gz")
    np.testing.assert_array_equal(mine.affine, affine())
    np.testing.assert_array_equal(np.asarray(mine.dataobj).transpose(2, 1, 0), organs())
    assert len(list((project.folder / "exports").glob("mesh_*.glb"))) == len(MODEL["measure"])
