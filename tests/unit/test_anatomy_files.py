"""Simulated torsos on disk, as the command line writes them and the workflow and other programs read them."""

import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from tomoprofile.anatomy import files
from tomoprofile.anatomy.case import simulate_case, template_labels
from tomoprofile.anatomy.files import Wanted, write_displacement
from tomoprofile.anatomy.settings import LABELS, MODES, SITES, AnatomySettings, Torso
from tomoprofile.cli import main
from tomoprofile.errors import ConfigError
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.masks import read_annotators
from tomoprofile.layout import AnatomyLayout
from tomoprofile.volume.discover import find_scans
from tomoprofile.volume.readers import open_raw

SIZE = (48, 44, 56)
SIZED = ("liver", "spleen", "stomach", "gallbladder", "kidney", "pancreas")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two cases of a site, the first labelled with an error in each organ; then one of another site."""
    out = tmp_path_factory.mktemp("torsos")
    options = ["--anatomy", "--size", *map(str, SIZE), "--seed", "4"]
    more = ["--cases", "2", "--labelled", "1", "--label-errors", "1", "--displacement"]
    assert main(["phantom", str(out), *options, *more]) == 0
    assert main(["phantom", str(out), *options, "--kind", "C"]) == 0
    return out


@pytest.fixture(scope="module")
def layout(folder):
    return AnatomyLayout(folder)


@pytest.fixture(scope="module")
def case():
    """The first of the cases."""
    return simulate_case(AnatomySettings(size=SIZE), 4)


def test_the_workflow_reads_hu_voxel_size_and_place(folder, case):
    scans = {scan.sample: scan for scan in find_scans(folder / "raw")}
    assert sorted(scans) == ["case_A_004", "case_A_005", "case_C_004"]
    raw = open_raw(scans["case_A_004"].path, scans["case_A_004"].format)
    assert np.array_equal(raw.read(0, 0, SIZE[0]), case.hu)
    assert raw.geometry.nifti == pytest.approx(case.geometry.nifti, abs=1e-3)
    assert raw.voxel_size_um == pytest.approx([1e3 * edge for edge in case.spacing_mm], rel=1e-6)


def test_the_workflow_reads_the_labels(folder, layout, case):
    classes = Classes.named({"background": 0, **LABELS}, list(LABELS))
    (person,) = read_annotators(folder / "labels" / "case_A_004", SIZE, classes).values()
    assert sorted(person.masks) == list(range(SIZE[0]))
    drawn = np.stack([person.masks[z] for z in range(SIZE[0])])
    true = np.asarray(nibabel.load(layout.true_labels("case_A_004")).dataobj).transpose(2, 1, 0)
    assert np.array_equal(true, case.labels)
    assert 0.9 < (drawn[true > 0] == true[true > 0]).mean() < 1
    assert not (folder / "labels" / "case_A_005").exists()
    assert (folder / "labels" / "case_C_004").exists()


def test_left_and_right_hold_in_other_programs(layout, case):
    labels = sitk.ReadImage(str(layout.true_labels("case_A_004")))

    def side(organ, image):
        shapes = sitk.LabelShapeStatisticsImageFilter()
        shapes.Execute(image)
        return shapes.GetCentroid(LABELS[organ])[0]  # LPS: positive is left

    assert side("liver", labels) < 0 < side("spleen", labels)
    assert side("kidney_right", labels) < 0 < side("kidney_left", labels)
    twin = sitk.GetImageFromArray(case.labels[:, :, ::-1])
    twin.CopyInformation(labels)
    assert side("liver", twin) > 0 > side("spleen", twin)


def dice_after(displacement, layout):
    """Return the least Dice of the template, resampled by another program, with the case."""
    true = sitk.ReadImage(str(layout.true_labels("case_A_004")))
    template = sitk.ReadImage(str(layout.template))
    field = sitk.Cast(sitk.ReadImage(str(displacement)), sitk.sitkVectorFloat64)
    assert field.GetSize() == true.GetSize()
    moved = sitk.Resample(template, true, sitk.DisplacementFieldTransform(field), sitk.sitkNearestNeighbor)
    one, other = sitk.GetArrayFromImage(moved), sitk.GetArrayFromImage(true)
    values = [LABELS[name] for name in ("liver", "spleen", "kidney_left", "kidney_right", "stomach")]
    return min(2 * ((one == v) & (other == v)).sum() / ((one == v).sum() + (other == v).sum()) for v in values)


def test_the_displacement_holds_in_other_programs(layout, case, tmp_path):
    assert dice_after(layout.displacement("case_A_004"), layout) > 0.85
    wrong = tmp_path / "wrong.nii.gz"
    write_displacement(case.displacement_mm()[::-1], case.geometry, wrong, "components in the wrong order")
    assert dice_after(wrong, layout) < 0.8
    assert np.array_equal(
        np.asarray(nibabel.load(layout.template).dataobj).transpose(2, 1, 0), template_labels(case.settings)
    )


def test_every_file_says_that_it_is_simulated(folder, layout):
    images = sorted(folder.rglob("*.nii.gz"))
    assert len(images) == 3 + 2 + 3 + 2 + 1
    for path in images:
        assert b"simulated" in nibabel.load(path).header["descrip"].item()
    record = json.loads(layout.cases.read_text())
    assert "simulated" in record["what"]
    assert all(one["simulated"] for one in record["cases"].values())
    assert layout.picture("case_A_004").stat().st_size > 1000


def test_the_record_says_what_each_case_is(layout, case):
    record = json.loads(layout.cases.read_text())
    assert record["classes"] == {"background": 0, **LABELS}
    assert sorted(record["cases"]) == ["case_A_004", "case_A_005", "case_C_004"]  # those of the first command are kept
    one = record["cases"]["case_A_004"]
    assert one["seed"] == 4
    assert one["coefficients_sd"] == pytest.approx(case.coefficients)
    assert one["volumes_ml"] == pytest.approx(case.volumes_ml(), abs=0.01)
    assert one["settings"]["site"]["phase"] == "portal venous"
    assert record["cases"]["case_C_004"]["settings"]["site"]["phase"] == "native"
    assert one["jacobian"][0] > 0.1
    assert [error["organ"] for error in one["label_errors"]] == [n for n in LABELS if n not in case.absent]
    assert not record["cases"]["case_A_005"]["labelled"]


def test_equal_commands_write_equal_files(layout, tmp_path):
    command = ["--anatomy", "--size", *map(str, SIZE), "--seed", "4", "--label-errors", "1", "--labelled", "1"]
    assert main(["phantom", str(tmp_path), *command]) == 0
    again = AnatomyLayout(tmp_path)
    for name in ("scan", "labels_of", "true_labels", "picture"):
        assert getattr(again, name)("case_A_004").read_bytes() == getattr(layout, name)("case_A_004").read_bytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--anatomy", "--form", "hdf5"], "--form"),
        (["--cases", "2"], "--cases"),
        (["--displacement"], "--displacement"),
        (["--label-errors", "0"], "--label-errors"),
        (["--anatomy", "--cases", "0"], "at least 1"),
        (["--anatomy", "--labelled", "2"], "between 0 and the number of cases"),
        (["--anatomy", "--label-errors", "2"], "probability"),
        (["--anatomy", "--size", "8"], "at least 16"),
        (["--anatomy", "--size", "48", "44"], "Give z y x"),
        (["--kind", "D", "--size", "64"], "Kinds: A, B, C"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, told, tmp_path, capsys):
    assert main(["phantom", str(tmp_path / "out"), *options]) != 0
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_cases_of_another_size_need_another_folder(folder, layout, capsys):
    """One template belongs to all displacements of a folder."""
    before = layout.template.read_bytes()
    assert main(["phantom", str(folder), "--anatomy", "--size", "24", "22", "28", "--displacement"]) != 0
    assert "48x44x56" in capsys.readouterr().err
    assert layout.template.read_bytes() == before


def test_a_torn_command_leaves_no_record(tmp_path, monkeypatch):
    """Cases are listed when all of them are there."""
    monkeypatch.setattr(files, "_write_case", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        files.write_cases(AnatomySettings(size=(16, 16, 20)), 1, Wanted(), tmp_path)
    assert not AnatomyLayout(tmp_path).cases.exists()
    with pytest.raises(ConfigError):
        Wanted(cases=0)


def test_the_page_names_what_there_is_and_its_code_runs():
    page = (Path(__file__).parents[2] / "docs/anatomy.md").read_text()
    for name in (*MODES, "gallbladder", "vena cava"):
        assert name in page
    for name, site in SITES.items():
        assert f"| {name} | {site.phase} |" in page
    percent = [round(100 * getattr(Torso(), f"{organ}_cv")) for organ in SIZED]
    assert f"{', '.join(map(str, percent[:-1]))} and {percent[-1]} %" in page
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["case"].hu.shape == SIZE
