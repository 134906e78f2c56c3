"""What logs and records tell of a run."""

import contextlib
import os

import pytest

from tomoprofile.config import read_config
from tomoprofile.layout import Layout
from tomoprofile.logs import LOG, rule_logging
from tomoprofile.run.record import begin_run, end_run, read_run
from tomoprofile.run.status import read_jobs, read_status, status_text
from tomoprofile.samples import Scan

SLABS = ("z00000", "z00004")


def scan(sample, model="default"):
    return Scan(
        sample=sample,
        path=f"{sample}.tif",
        format="tiff_stack",
        slices=8,
        rows=4,
        columns=4,
        dtype="uint8",
        voxel_size_um="1",
        model=model,
        labels=f"labels/{sample}" if model == "default" else "",
    )


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = {"default": {"method": "unet"}, "other": {"method": "otsu"}}
    config = read_config({"store": {"shard_slices": 4, "slab_slices": 4}, "models": models})
    label(tmp_path, "a")
    begin_run(config, [scan("a"), scan("a.b"), scan("c", "other")], "9.0")
    return Layout(tmp_path / "results")


def label(folder, sample):
    """Write a label file; only its name counts here."""
    path = folder / f"labels/{sample}/{sample}_z00001.tif"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def log(results, rule, name, raises=None, killed=False):
    path = results.log(rule, name)
    with contextlib.suppress(ValueError), rule_logging(path):
        LOG.info("slices segmented 1 of 4, about 9 s left")
        if raises:
            raise raises
    if killed:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    return path


def products(results, sample, slabs=SLABS):
    files = results.scan(sample)
    for store in (files.volume, files.probability):
        for slab in slabs:
            record = store.record(slab)
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text("{}")
    for product in files.products:
        product.write_text("x")


def states(results):
    return {status.scan.sample: status.state for status in read_status(read_run(results.results))}


def test_logs_name_rule_scan_slab_place_and_end(results, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    monkeypatch.setenv("SLURMD_NODENAME", "gpu7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    log(results, "predict_slab", "a.b.z00004")
    log(results, "measure_domains", "a.b")
    (job,) = [job for job in read_jobs(results, "a.b") if job.slab]
    assert (job.rule, job.target, job.slab, job.state) == ("predict_slab", "a.b", "z00004", "done")
    assert (job.host, job.slurm_job, job.gpu) == ("gpu7", "42", "1")
    assert job.seconds is not None
    assert job.started is not None
    assert len(read_jobs(results, "a.b")) == 2
    assert read_jobs(results, "a") == [], "a.b is another scan"


def test_results_of_another_segmentation_are_not_those_of_a_model_that_waits_for_labels(results):
    """As after an earlier bundle was used as it is, and is now the beginning of a model of its own."""
    products(results, "a.b")
    for path in results.results.with_name("labels").glob("*/*"):
        path.unlink()
    results.scan("a.b").to_label.folder.mkdir(parents=True)
    results.scan("a.b").to_label.table.write_text("")
    end_run(results.results)
    assert states(results)["a.b"] == "waiting"
    results.model("default").folder.mkdir(parents=True)
    assert states(results)["a.b"] == "done", "its model was trained, and the labels are in an archive"


def test_states_while_the_run_goes_on(results):
    products(results, "a")
    log(results, "predict_slab", "a.b.z00000", killed=True)
    assert states(results) == {"a": "done", "a.b": "running", "c": "queued"}
    said = status_text(read_run(results.results), read_status(read_run(results.results)))
    assert "3 scans: 1 done, 1 running, 1 queued" in said
    assert "slices segmented 1 of 4" in said
    assert "4 of 12 slabs" in said


def test_states_after_the_run(results):
    products(results, "a")
    log(results, "predict_slab", "a.b.z00000", raises=ValueError("the cause"))
    run = end_run(results.results)
    assert states(results) == {"a": "done", "a.b": "failed", "c": "missing"}
    said = status_text(run, read_status(run))
    assert "a.b: predict_slab z00000 failed, on " in said
    assert "results/logs/predict_slab/a.b.z00000.log" in said
    assert "ValueError: the cause" in said


def test_a_killed_job_is_told_with_what_slurm_said(results, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    log(results, "predict_slab", "c.z00004", killed=True)
    slurm = results.results.parent / ".snakemake/slurm_logs/rule_predict_slab/c_z00004/42.log"
    slurm.parent.mkdir(parents=True)
    slurm.write_text("rule predict_slab:\nslurmstepd: error: Exceeded job memory limit\n")
    run = end_run(results.results)
    said = status_text(run, read_status(run))
    assert "c: predict_slab z00004 stopped without an error message" in said
    assert "SLURM job 42" in said
    assert "Exceeded job memory limit" in said


def test_a_model_that_fails_concerns_all_its_scans(results):
    log(results, "fine_tune", "default", raises=ValueError("no labels"))
    end_run(results.results)
    assert states(results) == {"a": "failed", "a.b": "failed", "c": "missing"}


def test_a_model_that_fails_does_not_concern_a_scan_with_a_mask(results):
    config = read_config({"store": {"shard_slices": 4, "slab_slices": 4}, "models": {"default": {"method": "unet"}}})
    begin_run(config, [scan("a"), scan("b").model_copy(update={"mask": "b.tif"})], "9.0")
    log(results, "fine_tune", "default", raises=ValueError("no labels"))
    log(results, "enter_mask", "b.z00004")
    end_run(results.results)
    assert states(results) == {"a": "failed", "b": "missing"}
    assert [(job.target, job.slab) for job in read_jobs(results, "b")] == [("b", "z00004")]


def test_a_failure_of_an_earlier_run_is_not_one_of_this_run(results):
    old = log(results, "fit_threshold", "c", raises=ValueError("then"))
    whole = results.log("report_beamtime")
    whole.write_text(old.read_text())
    now = old.stat().st_mtime
    for path in (old, whole):
        os.utime(path, (1, 1))
    run = end_run(results.results)
    assert states(results)["c"] == "missing", "it was not tried again"
    assert "ValueError" not in status_text(run, read_status(run))
    products(results, "c")
    assert states(results)["c"] == "done"
    os.utime(old, (now + 9, now + 9))
    assert states(results)["c"] == "failed", "it failed in this run, whatever there was before"


def test_a_scan_without_labels_waits_once_slices_are_proposed(results):
    proposed = results.scan("a").to_label
    label_file = next((results.results.parent / "labels").rglob("*.tif"))
    label_file.unlink()
    assert states(results) == {"a": "queued", "a.b": "queued", "c": "queued"}
    proposed.folder.mkdir(parents=True)
    (proposed.folder / "a_z00003.tif").touch()
    proposed.table.touch()
    assert states(results)["a"] == "waiting", "also while the run goes on with other scans"
    run = end_run(results.results)
    assert states(results) == {"a": "waiting", "a.b": "missing", "c": "missing"}
    said = status_text(run, read_status(run))
    assert "1 waiting" in said
    assert "a: label a_z00003.tif in results/a/to_label, save each mask under the same name in labels/a" in said
    assert "run the same command again: " in said.splitlines()[-1]
    label(results.results.parent, "a.b")
    assert states(results)["a"] == "missing", "labels of one scan are enough for its model: it can go on"


def test_a_failure_goes_before_waiting(results):
    next((results.results.parent / "labels").rglob("*.tif")).unlink()
    log(results, "pick_slices", "a", raises=ValueError("the cause"))
    run = end_run(results.results)
    assert states(results)["a"] == "failed"
    assert "Next: mend what is named above" in status_text(run, read_status(run))


def test_a_finished_scan_whose_labels_were_archived_is_done(results):
    products(results, "a")
    end_run(results.results)
    next((results.results.parent / "labels").rglob("*.tif")).unlink()
    results.model("default").folder.mkdir(parents=True)
    assert states(results)["a"] == "done"


def test_time_and_memory_are_added_up(results):
    log(results, "predict_slab", "a.z00000")
    log(results, "predict_slab", "a.z00004")
    for slab, peak in zip(SLABS, (1500, 2500), strict=True):
        path = results.benchmark("predict_slab", "a", slab)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n60\t0:01:00\t{peak}\t90\n")
    status = read_status(read_run(results.results))[0]
    assert (status.job_seconds, status.cpu_seconds, status.peak_mb) == (120, 180, 2500)
