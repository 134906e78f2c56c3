"""Every kind of broken input is told before anything is computed, with file, key, value and remedy."""

import numpy as np
import pytest
import tifffile
from project import Project

from tomoprofile.samples import COLUMNS

SHAPE = (6, 40, 48)


def write_scan(folder):
    """Write a whole scan and its labels; returns the row of the sheet."""
    rng = np.random.default_rng(0)
    raw, labels = folder / "raw", folder / "labels"
    raw.mkdir()
    labels.mkdir()
    for z in range(SHAPE[0]):
        tifffile.imwrite(raw / f"rec{z:05d}.tif", rng.integers(0, 255, SHAPE[1:]).astype("uint8"))
    mask = np.zeros(SHAPE[1:], "uint8")
    mask[10:20, 10:20] = 1
    for z in (1, 4):
        tifffile.imwrite(labels / f"a_z{z:05d}.tif", mask)
    return {
        "sample": "a",
        "path": "raw",
        "format": "tiff_folder",
        "slices": 6,
        "rows": 40,
        "columns": 48,
        "dtype": "uint8",
        "voxel_size_um": 1.0,
        "labels": "labels",
    }


@pytest.fixture
def broken(tmp_path):
    """Return a project with one good scan, and a way to write its sheet."""
    project = Project(tmp_path)
    project.configure(store={"shard_slices": 2, "slab_slices": 4}, models={"default": {"method": "unet"}})
    project.row = write_scan(tmp_path)
    return project


def check(project, *rows, target="all", workflow=True, **config):
    """Return what the command says of a sheet, and the workflow unless only the command is asked."""
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    extra = [name for row in rows for name in row if name not in COLUMNS]
    lines = ["\t".join(names + extra)]
    lines += ["\t".join(str(row.get(name, "")) for name in names + extra) for row in rows]
    (project.folder / "config/samples.tsv").write_text("\n".join(lines) + "\n")
    if config:
        project.configure(**config)
    by_command = project.run("tomoprofile", "check")
    by_workflow = project.snakemake(target, ok=False) if workflow and by_command.returncode else ""
    if by_command.returncode:
        assert not list(project.folder.rglob("*.ome.zarr")), "something was computed in spite of a fault"
        assert not project.results.check.exists()
    return (by_command.stderr, by_workflow) if workflow else (by_command.stderr,)


def sweep(*cases):
    """Return every case for the command, and one for the workflow, which asks the same; the others are a long sweep."""
    both = [pytest.param(*case, True, marks=pytest.mark.deep if at else ()) for at, case in enumerate(cases)]
    return both + [(*case, False) for case in cases[1:]]


def test_the_unbroken_scan_passes(broken):
    said, _ = check(broken, broken.row)
    table = broken.results.check.read_text()
    assert "checks passed" in said
    assert "2 labelled slices: 1, 4" in table
    assert "error" not in table


def truncate(folder):
    path = folder / "raw/rec00003.tif"
    path.write_bytes(path.read_bytes()[:-100])


def remove_slice(folder):
    (folder / "raw/rec00003.tif").unlink()


def mix_shapes(folder):
    tifffile.imwrite(folder / "raw/rec00003.tif", np.zeros((40, 47), "uint8"))


def shrink_label(folder):
    tifffile.imwrite(folder / "labels/a_z00004.tif", np.ones((39, 48), "uint8"))


def wrong_label_values(folder):
    tifffile.imwrite(folder / "labels/a_z00004.tif", np.full(SHAPE[1:], 7, "uint8"))


def label_outside(folder):
    (folder / "labels/a_z00004.tif").rename(folder / "labels/a_z00099.tif")


def second_label(folder):
    (folder / "labels/b_z00004.tif").write_bytes((folder / "labels/a_z00004.tif").read_bytes())


def empty_labels(folder):
    for path in (folder / "labels").iterdir():
        tifffile.imwrite(path, np.zeros(SHAPE[1:], "uint8"))


@pytest.mark.parametrize(
    ("damage", "told", "workflow"),
    sweep(
        (truncate, ["rec00003.tif", "truncated", "Copy it again"]),
        (remove_slice, ["raw", "no slice 3", "missing"]),
        (mix_shapes, ["rec00003.tif", "40x47", "differs", "40x48"]),
    ),
)
def test_damaged_scans(broken, damage, told, workflow):
    damage(broken.folder)
    for said in check(broken, broken.row, workflow=workflow):
        assert [part for part in told if part not in said] == []


@pytest.mark.parametrize(
    ("damage", "told", "workflow"),
    sweep(
        (shrink_label, ["a_z00004.tif", "39", "40"]),
        (wrong_label_values, ["a_z00004.tif", "7"]),
        (label_outside, ["a_z00099.tif", "outside the scan", "0..5"]),
        (second_label, ["a_z00004.tif", "slice 4 has two label files", "b_z00004.tif"]),
        (empty_labels, ["labels", "no label file contains a domain"]),
    ),
)
def test_damaged_labels(broken, damage, told, workflow):
    """They stop the training of their model; what needs no labels is done, so only the checks are asked for here."""
    damage(broken.folder)
    for said in check(broken, broken.row, target="check", workflow=workflow):
        assert [part for part in told if part not in said] == []


@pytest.mark.parametrize(
    ("change", "told", "workflow"),
    sweep(
        ({"path": "nowhere"}, ["nowhere", "does not exist", "`path`"]),
        ({"rows": 41}, ["raw", "6x41x48", "6x40x48", "tomoprofile scan"]),
        ({"dtype": "uint16"}, ["raw", "uint16", "uint8"]),
        ({"interface": "slice:6"}, ["interface", "slice:6", "0..5"]),
        ({"labels": ""}, ["models.default", "no scan of this model has labels"]),
        ({"voxel_size_um": "small"}, ["samples.tsv:2 voxel_size_um", "small"]),
        ({"voxl": "1"}, ["unknown column", "'voxl'"]),
    ),
)
def test_wrong_rows(broken, change, told, workflow):
    for said in check(broken, broken.row | change, workflow=workflow):
        assert [part for part in told if part not in said] == []


@pytest.mark.parametrize(
    ("config", "told", "workflow"),
    sweep(
        ({"sotre": {}}, ["config.yaml", "sotre", "Did you mean `store`?"]),
        ({"models": {"default": {"method": "unet", "steps": "many"}}}, ["models.default.steps", "'many'"]),
        ({"models": {"default": {"method": "unet", "base": "no/bundle"}}}, ["models.default.base", "no/bundle"]),
        ({"models": {"default": {"method": "bundle", "bundle": "no/bundle"}}}, ["models.default.bundle", "no/bundle"]),
        ({"models": {"default": {"encoder": "resnet18", "method": "unet"}}}, ["resnet18", "base: none"]),
    ),
)
def test_wrong_configuration(broken, config, told, workflow):
    for said in check(broken, broken.row, workflow=workflow, **config):
        assert [part for part in told if part not in said] == []


def test_a_key_that_is_there_twice_is_told_by_check_and_workflow(broken):
    (broken.folder / "config/config.yaml").write_text("seed: 1\nkeep: all\nseed: 2\n")
    by_command, by_workflow = check(broken, broken.row)
    for said in (by_command, by_workflow):
        assert "config.yaml:3: this key is there twice" in said


def test_all_faults_are_told_in_one_run(broken):
    for damage in (truncate, shrink_label):
        damage(broken.folder)
    other = broken.row | {"sample": "b", "path": "nowhere", "labels": ""}
    third = broken.row | {"sample": "c", "rows": 39, "labels": ""}
    by_command, by_workflow = check(broken, broken.row, other, third)
    for part in ("rec00003.tif", "a_z00004.tif", "nowhere", "6x39x48"):
        assert part in by_command
        assert part in by_workflow


def test_no_labels_yet_is_a_warning_that_tells_what_comes_next(broken):
    for path in (broken.folder / "labels").iterdir():
        path.unlink()
    said, _ = check(broken, broken.row)
    assert "label them and run again" in said


def test_slices_normalised_one_by_one_are_suspected(broken):
    for path in (broken.folder / "raw").iterdir():
        image = tifffile.imread(path)
        image[0, :2] = 0, 255
        tifffile.imwrite(path, image)
    said, _ = check(broken, broken.row)
    assert "normalised one by one" in said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"store:\n\tshard_slices: 2\n", "config.yaml:2"),
        ("title: Kr\u00fcmel\n".encode("latin-1"), "UTF-8"),
        (b"- a\n- b\n", "config.yaml"),
        (b"", "config.yaml"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_named_by_the_workflow_and_the_check(broken, content, told):
    (broken.folder / "config/config.yaml").write_bytes(content)
    for said in (broken.snakemake(ok=False), broken.run("tomoprofile", "check").stderr):
        assert told in said
        assert "Traceback" not in said
