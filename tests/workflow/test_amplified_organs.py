"""One labelled torso and six without labels: organs by amplified training, and the same tables after a death."""

import json
import shutil
import time

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from kills import left_over, start, still_alive
from project import ROOT, Project

from tomoprofile.files import digest_of
from tomoprofile.labels.training_set import read_training_set
from tomoprofile.layout import AnatomyLayout
from tomoprofile.network.facts import read_facts
from tomoprofile.samples import read_samples, write_samples

CASES, SIZE, PAIRS = 7, (40, 40, 48), 6
FINISHED = 6  # registrations before the kill
VALUES = {"liver": 1, "spleen": 2, "kidney_left": 3, "kidney_right": 4}
ORGANS = tuple(VALUES)
# After so few steps at this learning rate the network finds liver and spleen.
SMALL = {"steps": 150, "learning_rate": 8e-3, "crop": 32, "input_scale": 1, "balance": 0.9}
SMALL |= {"decoder_channels": [32, 16, 16, 16]}
_PATIENCE_S = 1200  # on a machine with much else to do


@pytest.fixture(scope="module")
def torsos(project):
    """A project as that of `make demo-organs`, with fewer voxels, pairs and steps; nothing is computed yet."""
    size = map(str, SIZE)
    project.tomoprofile("phantom", "data", "--anatomy", "--seed", 2, "--cases", CASES, "--labelled", 1, "--size", *size)
    project.tomoprofile("scan", "data/raw", "--interface", "none")
    sheet, truth = project.folder / "config/samples.tsv", AnatomyLayout("data")
    first, *others = read_samples(sheet, {"default"})
    rows = [first.model_copy(update={"labels": str(truth.labels / first.sample), "role": "template"}), *others]
    write_samples(sheet, [row.model_copy(update={"reference": str(truth.true_labels(row.sample))}) for row in rows])
    config = yaml.safe_load((ROOT / "config/demo_organs/config.yaml").read_text())
    del config["samples"], config["results"]
    model = config["models"]["default"]
    assert tuple(model["measure"]) == ORGANS
    assert VALUES.items() <= model["classes"].items()
    model |= SMALL | {"amplify": model["amplify"] | {"pairs": PAIRS}}
    project.configure(**config)
    return project, [row.sample for row in rows]


def page(project, samples):
    """Return the target: the page of a scan without labels."""
    return project.results.scan(samples[1]).report.relative_to(project.folder)


def results_of(project, samples):
    """Return the digest of everything that numbers come from, and of the numbers."""
    layout = project.results
    learned, model = layout.amplification("default"), layout.model("default")
    files = [learned.template, learned.sums, learned.cases, learned.training_set, model.weights]
    files += [layout.scan(sample).registration for sample in samples]
    files += sorted(layout.scan(samples[1]).folder.rglob("*.parquet"))
    return {str(path.relative_to(layout.results)): digest_of(path) for path in files}


@pytest.fixture(scope="module")
def resumed(torsos):
    """Kill the whole tree of processes once most registrations are there, and call the same command again.

    Returns the project, its scans, and the registrations that were finished before.
    """
    project, samples = torsos
    run = start(project, page(project, samples))
    registrations = [project.results.scan(sample).registration for sample in samples]
    end = time.monotonic() + _PATIENCE_S
    while len(done := [path for path in registrations if path.exists()]) < FINISHED and run.process.poll() is None:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    assert run.process.poll() is None, run.said
    jobs = run.processes()
    run.kill("everything")
    assert len(done) >= FINISHED, run.said
    assert not still_alive(jobs)
    assert len(done) < CASES, "it was killed among the registrations"
    # They are made one after the other; of the last one Snakemake need not know yet.
    done = sorted(done, key=lambda path: path.stat().st_mtime_ns)[:-1]
    stores = [project.results.scan(sample).volume.array for sample in samples]
    before = {path: path.stat().st_mtime_ns for path in [*stores, *done]}
    project.snakemake(page(project, samples))
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished work is kept"
    assert not left_over(project)
    return project, samples, done


def test_a_killed_project_ends_with_the_tables_of_an_undisturbed_one(resumed, tmp_path):
    project, samples, done = resumed
    found = results_of(project, samples)
    # What the run did from the kill on is done again, without one.
    other = Project(shutil.copytree(project.folder, tmp_path / "undisturbed", symlinks=True))
    layout, mine = other.results, other.results.scan(samples[1])
    kept = {other.folder / path.relative_to(project.folder) for path in done}
    after = [layout.scan(sample).registration for sample in samples]
    after += [
        path
        for path in layout.training_set("default").parent.iterdir()
        if path != layout.amplification("default").template
    ]
    after += [path for path in mine.folder.iterdir() if path not in (mine.volume.path, mine.registration)]
    for path in [*after, layout.model("default").folder]:
        if path not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    tables = [getattr(mine, name) for name in ("domains", "classes")]
    other.snakemake(*(table.relative_to(other.folder) for table in tables))
    again = results_of(other, samples)
    assert {str(table.relative_to(other.results.results)) for table in tables} <= again.keys() <= found.keys()
    assert {name for name in again if found[name] != again[name]} == set()
    # Mutant: pairs of another seed are other ones, and this comparison sees it.
    drawn = other.results.amplification("default").training_set
    other.snakemake("--config", "seed=5", "--", drawn.relative_to(other.folder))
    assert digest_of(drawn) not in found.values()


def test_every_case_has_its_part_or_a_reason_and_the_model_tells(resumed):
    project, samples, _ = resumed
    learned = project.results.amplification("default")
    told = json.loads(learned.cases.read_text())
    assert told["template"] == samples[0]
    assert [case["name"] for case in told["cases"]] == samples
    assert all(bool(case["refusal"]) == bool(case["why"]) for case in told["cases"])
    training = read_training_set(learned.training_set)
    assert {item.sample for item in training.slices} == {item.sample for item in training.drawn} == {samples[0]}
    accepted = [pair for pair in training.pairs if pair["accepted"]]
    assert len(accepted) == PAIRS
    assert {pair["kind"] for pair in accepted} == {"deformation", "elastic"}
    facts = read_facts(project.results.model("default").folder)
    assert tuple(facts.measured) == ORGANS
    drawn = facts.labels.amplification
    assert sum(drawn.accepted.values()) == PAIRS
    assert drawn.slices == len(training.drawn)
    assert {*drawn.registered, *drawn.refused} == {*samples}


def test_the_table_of_organs_is_that_of_the_exported_voxels(resumed):
    project, (_, sample, *_), _ = resumed
    rows = pd.read_parquet(project.results.scan(sample).classes).set_index("class")
    assert tuple(rows.index) == ORGANS
    assert rows["volume_ml"].gt(0).any(), "something was found"
    project.tomoprofile("export", sample, "--what", "mask", "--images", "nifti", "--to", "exports")
    truth = nibabel.load(project.folder / AnatomyLayout("data").true_labels(sample))
    for organ in ORGANS:
        image = nibabel.load(project.folder / f"exports/mask_{organ}.nii.gz")
        np.testing.assert_allclose(image.affine, truth.affine, atol=1e-3)
        mask, there = np.asarray(image.dataobj) == 1, np.asarray(truth.dataobj) == VALUES[organ]
        voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
        assert rows.loc[organ, "volume_ml"] == pytest.approx(mask.sum() * voxel_ml, rel=1e-4)
        assert rows.loc[organ, "dice"] == pytest.approx(2 * (mask & there).sum() / (mask.sum() + there.sum()))
    text = project.results.scan(sample).report.read_text(encoding="utf-8")
    shown = text[text.index('<h2 id="bodies">') : text.index('<h2 class="class"')]
    assert all(organ in shown for organ in ORGANS)


def test_what_was_found_is_corrected_and_trains_in_the_next_round(resumed):
    """The prediction itself is no label; the corrected one, here the truth, is."""
    project, (labelled, sample, *others), _ = resumed
    listed = [line.split("\t") for line in project.tomoprofile("rank").stdout.splitlines()[1:]]
    assert [line[1] for line in listed] == [sample], "the others are not finished"
    project.tomoprofile("prelabel", "--finished", sample)
    folder = project.folder / f"labels/{sample}"
    assert [path.name for path in folder.glob("[!.]*")] == [f"{sample}_prelabel.nii.gz"]
    sheet = project.folder / "config/samples.tsv"
    rows = read_samples(sheet, {"default"})
    rows[1] = rows[1].model_copy(update={"labels": f"labels/{sample}"})
    write_samples(sheet, rows)
    training_set = project.results.training_set("default").relative_to(project.folder)
    project.snakemake(training_set)
    assert {item.sample for item in read_training_set(project.folder / training_set).slices} == {labelled}
    truth = project.folder / AnatomyLayout("data").true_labels(sample)
    shutil.copy(truth, folder / f"{sample}.nii.gz")
    project.snakemake(training_set)
    assert {item.sample for item in read_training_set(project.folder / training_set).slices} == {labelled, sample}
    assert not {f"amplify_register {name}" for name in (labelled, sample, *others)} & project.planned()
