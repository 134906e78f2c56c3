"""Commands typed in a folder where nothing has happened yet say what comes next, and it is right."""

import csv
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from domains_scan import write_store
from project import ROOT

from tomoprofile.cli import main
from tomoprofile.cli.command import workflow_command
from tomoprofile.errors import TomoprofileError
from tomoprofile.layout import Layout
from tomoprofile.substrate.interface import fit_interface


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Return exit status and words of a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def typed(*words) -> tuple[int, str]:
        status = main(list(words))
        told = capsys.readouterr()
        return status, told.out + told.err

    return typed


@pytest.fixture
def scanned(said, tmp_path):
    """A sheet, as the first command writes it, and no configuration."""
    tifffile.imwrite(tmp_path / "bone.tif", np.random.default_rng(1).integers(0, 99, (8, 40, 40)).astype("uint8"))
    status, told = said("scan", "bone.tif", "--voxel-size-um", "1", "--interface", "none", "--model", "default")
    assert status == 0
    assert told.endswith("run `tomoprofile check`.\n")
    return said


@pytest.mark.parametrize("command", [["status"], ["index"], ["verify"], ["crate"], ["rerun", "bone"]])
def test_before_any_run_they_say_how_one_starts(said, command):
    status, told = said(*command)
    assert status == 1
    assert "results: no run has started here. `snakemake` starts one" in told
    assert "Errno" not in told


@pytest.mark.parametrize("command", ["view", "export"])
def test_before_any_run_there_is_nothing_to_show(said, command):
    status, told = said(command, "bone")
    assert status == 1
    assert "there are no results of any scan yet (got bone). Run the workflow" in told


def test_the_command_that_scan_names_needs_no_configuration(scanned):
    """Snakemake needs none, either. Without a folder for labels the default model cannot be trained, which is told."""
    status, told = scanned("check")
    assert "config.yaml" not in told
    assert status == 1
    assert "labels" in told
    Path("config/config.yaml").write_text("models: {default: {method: otsu}}\n")
    status, told = scanned("check")
    assert status == 0, told
    assert f"Next: `{workflow_command()}`." in told


@pytest.mark.parametrize("command", [["check"], ["prelabel", "slices.tsv", "labels"]])
def test_a_configuration_that_was_named_must_exist(scanned, command):
    status, told = scanned(*command, "--config", "config/other.yaml")
    assert status == 1
    assert "config/other.yaml: the configuration does not exist" in told


def test_masks_are_not_promised_to_scans_without_a_folder_for_them(scanned):
    status, told = scanned("prelabel")
    assert status == 1
    assert "scans wait for labels and have no folder for them (got bone)" in told
    assert "--labels labels" in told
    assert not Layout("results").scan("bone").to_label.previews.exists()


def test_the_workflow_is_named_so_that_it_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (named,) = re.findall(r"--snakefile (\S+)", workflow_command())
    assert (tmp_path / named).resolve() == ROOT / "Snakefile"
    (tmp_path / "Snakefile").write_text("")
    assert workflow_command() == "snakemake"
    monkeypatch.chdir(ROOT)
    assert workflow_command() == "snakemake"


@pytest.mark.parametrize("name", ["cement.nii.gz", "cement.nii"])
def test_a_scan_is_named_and_sized_as_a_person_would(said, name):
    """Not `cement.nii`, and not 1.00000005 um, which is what a thousandth of a millimetre with 32 bits comes to."""
    image = nibabel.Nifti1Image(np.random.default_rng(1).integers(0, 99, (8, 9, 10)).astype("uint8"), np.eye(4) * 1e-3)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, name)
    assert said("scan", ".")[0] == 0
    (scan,) = csv.DictReader(Path("config/samples.tsv").read_text().splitlines(), delimiter="\t")
    assert (scan["sample"], scan["voxel_size_um"]) == ("cement", "1")


def test_a_sample_without_a_substrate_is_told_how_to_say_so(tmp_path):
    """The first thing that happens to bone or cement with the default of the column."""
    grey = np.random.default_rng(1).integers(90, 110, (40, 40, 40)).astype("uint8")
    store = write_store(tmp_path / "volume.ome.zarr", grey, 8, (1.0, 1.0, 1.0))
    with pytest.raises(TomoprofileError, match="`none` for a sample without a substrate"):
        fit_interface(store, "auto", tmp_path / "interface.json", tmp_path / "resin.npz")
