"""One scan is made again from a stage on: what is removed, what is said, and what is refused."""

import shutil
from pathlib import Path

import pytest

from tomoprofile.cli import main
from tomoprofile.config import read_config
from tomoprofile.files import digest_file, seal
from tomoprofile.layout import Layout
from tomoprofile.run.claim import claimed
from tomoprofile.run.plan import planned_jobs
from tomoprofile.run.record import begin_run, end_run, read_run
from tomoprofile.run.rerun import STAGES
from tomoprofile.samples import Scan


def scan(sample, **cells):
    shape = {"slices": 8, "rows": 4, "columns": 4, "dtype": "uint8", "voxel_size_um": "1"}
    return Scan(sample=sample, path=f"{sample}.tif", format="tiff_stack", **(shape | cells))


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two scans of one model that were finished, with every file that a stage may leave."""
    monkeypatch.chdir(tmp_path)
    layout = Layout("results")
    scans = [scan("a", labels="labels"), scan("b")]
    begin_run(read_config({}), scans, "9.0")
    end_run("results")
    for one in scans:
        (tmp_path / one.path).touch()
        files = layout.scan(one.sample)
        for stage in STAGES.values():
            for path in stage.outputs(files):
                target = path if path.suffix and path.suffix != ".zarr" else path / "zarr.json"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("x")
                seal(target)
        files.discarded.write_text("{}")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a_z00003.tif").touch()
    return layout


def kept(files):
    return {path.name for path in files.folder.iterdir() if not path.name.startswith(".")}


def test_what_was_made_from_the_stage_on_goes_with_its_digests(results, capsys):
    files = results.scan("a")
    before, other = kept(files), kept(results.scan("b"))
    assert main(["rerun", "a", "--from", "profile"]) == 0
    gone = {"profile.parquet", "zones.parquet", "breakpoints.parquet", "correlation.parquet", "sizes.parquet"}
    gone |= {"baselines.parquet", "phase.parquet", "thickness.parquet", "discarded.json"}
    assert before - kept(files) == gone | {"report.html", "provenance.json", "tables.zip"}
    assert not digest_file(files.profile).exists()
    assert digest_file(files.domains).exists()
    assert kept(results.scan("b")) == other
    told = capsys.readouterr().out
    assert "The next run makes again: profile, zones and baselines, report;" in told
    assert "segmentation" not in told


def test_by_default_the_scan_is_segmented_again(results, capsys):
    before = kept(results.scan("a"))
    assert main(["rerun", "a"]) == 0
    gone = before - kept(results.scan("a"))
    assert {"probability.ome.zarr", "familiarity.json", "mask.json", "domains.parquet", "report.html"} <= gone
    assert {"volume.ome.zarr", "interface.json"} & gone == set()
    assert "trained again" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["results", "renamed"])
def test_in_a_copy_of_a_project_nothing_of_the_original_goes(results, tmp_path, monkeypatch, name):
    copy = tmp_path / "copy"
    shutil.copytree("results", copy / name)
    shutil.copy("a.tif", copy)
    before = kept(results.scan("a"))
    original = tmp_path / "results/a"
    monkeypatch.chdir(copy)
    assert main(["rerun", "a", "--from", "report", "--results", name]) == 0
    assert {path.name for path in original.iterdir() if not path.name.startswith(".")} == before
    assert not Layout(name).scan("a").report.exists()
    assert read_run(name).layout.run.samefile(Layout(name).run)


@pytest.mark.usefixtures("results")
def test_that_a_model_is_trained_again_is_said(capsys):
    assert main(["rerun", "a", "--from", "interface"]) == 0
    told = capsys.readouterr().out
    assert "Its labels train the model default: that is trained again, too, and the 1 other scans" in told
    assert main(["rerun", "b", "--from", "interface"]) == 0
    assert "trained again" not in capsys.readouterr().out


def test_nothing_goes_when_it_could_not_be_made_again(results, capsys):
    before = kept(results.scan("a"))
    Path("a.tif").unlink()
    assert main(["rerun", "a", "--from", "convert"]) == 1
    assert "a.tif: a cannot be made again without it" in capsys.readouterr().err
    assert kept(results.scan("a")) == before
    assert main(["rerun", "a"]) == 0, "the store is there"
    results.scan("a").volume.metadata.unlink()  # as `keep: minimal` leaves it
    assert main(["rerun", "a", "--from", "report"]) == 1


@pytest.mark.usefixtures("results")
def test_a_given_mask_must_be_there_to_be_entered_again(capsys):
    begin_run(read_config({}), [scan("a", mask="gone.tif")], "9.0")
    end_run("results")
    assert main(["rerun", "a"]) == 1
    assert "gone.tif" in capsys.readouterr().err
    assert main(["rerun", "a", "--from", "measure"]) == 0


@pytest.mark.usefixtures("results")
def test_an_unknown_scan_is_told_with_those_there_are(capsys):
    assert main(["rerun", "c"]) == 1
    assert "there is no such scan (got c). Scans of the last run: a, b." in capsys.readouterr().err


def test_a_run_that_goes_on_is_not_disturbed(results, tmp_path):
    before = kept(results.scan("a"))
    with claimed(results.results, tmp_path, on_cluster=False):
        assert main(["rerun", "a"]) == 1
    assert kept(results.scan("a")) == before


@pytest.mark.parametrize(
    "cells",
    [
        {"labels": "labels"},
        {"model": "otsu"},
        {"mask": "instances:m.tif"},
        {"interface": "mask:s.tif"},
        {"interface": "none"},
    ],
)
def test_every_output_of_a_scan_belongs_to_one_stage(cells):
    models = {"default": {"method": "unet"}, "otsu": {"method": "otsu"}}
    config = read_config({"models": models, "objects": {"label_volume": True}, "predict": {"flips": True}})
    files = Layout(config.results).scan("a")
    of_stages = [path for stage in STAGES.values() for path in stage.outputs(files)]
    assert len(of_stages) == len(set(of_stages))
    # Labels stay, and so do the slices to label; a record of discarded stores always goes.
    kept_or_always = {files.label_check, files.to_label.table, files.discarded}
    for job in planned_jobs(scan("a", **cells), config):
        for output in set(job.outputs) - kept_or_always:
            assert sum(output == path or path in output.parents for path in of_stages) == 1, output
