"""After any death the same command continues, with the results of an undisturbed run; a living run is left alone."""

import functools
import json
import random
import shutil
import signal
from collections import Counter

import kills
import psutil
import pytest
import reliability
import yaml
from kills import Campaign, left_over, read_claim, stage_seconds, start, still_alive, tables
from project import RESULTS, ROOT, Project

DOMAINS = RESULTS.scan("a").domains
SECTION = "Kills on one machine"
CAMPAIGNS = 8


@pytest.fixture(scope="session")
def undisturbed_runs(tmp_path_factory):
    """Return what gives a finished project by the number of training steps; each is computed once.

    Without steps it is segmented by a threshold.
    """

    def finish(steps):
        project = Project(tmp_path_factory.mktemp(f"undisturbed-{steps}"))
        network = {"method": "unet", "steps": steps, "crop": 64, "batch": 1, "decoder_channels": [16, 16, 16, 16]}
        project.configure(
            models={"default": network if steps else {"method": "otsu"}},
            store={"shard_slices": 8, "slab_slices": 32},
            profile={"resamples": 200, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
        )
        project.tomoprofile("phantom", "data", "--size", 64, 128, 96)
        project.tomoprofile("scan", "data/raw", "--labels", "labels")
        sheet = project.folder / "config/samples.tsv"
        header, row = sheet.read_text().splitlines()
        cells = dict(zip(header.split("\t"), row.split("\t"), strict=True)) | {"sample": "a", "labels": "labels"}
        sheet.write_text("\n".join([header, "\t".join(cells.values())]) + "\n")
        chosen = project.folder / "slices.tsv"
        chosen.write_text("slice\tfile\tdoubt\tprelabel\n" + "".join(f"{z}\ta_z{z:05}.tif\t\t\n" for z in (5, 30, 58)))
        project.tomoprofile("annotate", "data/truth", chosen, "labels")
        project.snakemake()
        return project

    return functools.cache(finish)


@pytest.fixture(scope="session")
def undisturbed(undisturbed_runs):
    """A scan that went the whole way."""
    return undisturbed_runs(0)


def copy_of(project, folder, with_results=True):
    unwanted = () if with_results else ("results", ".snakemake")
    shutil.copytree(project.folder, folder, symlinks=True, ignore=shutil.ignore_patterns(*unwanted))
    return Project(folder)


@pytest.fixture
def project(undisturbed, tmp_path):
    """A copy of it whose domains were lost."""
    project = copy_of(undisturbed, tmp_path / "project")
    (project.folder / DOMAINS).unlink()
    return project


@pytest.fixture
def held(project):
    """A run that measures domains, and is stopped there; it may end in any way."""
    run = start(project, DOMAINS)
    jobs = run.wait_for("measure_domains")
    assert jobs, run.said
    for job in jobs:
        job.suspend()
    yield run
    for process in [*run.processes(), psutil.Process(run.process.pid)] if run.process.poll() is None else []:
        process.kill()
    run.process.wait()


def go_on(run):
    for job in run.processes("measure_domains"):
        job.resume()
    assert run.process.wait(120) == 0, run.said


def elsewhere(project, folder):
    """Return another working folder with the same results."""
    other = copy_of(project, folder, with_results=False)
    path = other.folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text()) | {"results": str(project.folder / "results")}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return other


def without_claims(folder):
    """Return a workflow that does not claim its results: what the tests below must notice."""
    half_written = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")  # by tests that run at the same time
    for part in ("workflow", "envs"):
        shutil.copytree(ROOT / part, folder / part, ignore=half_written)
    text = (ROOT / "Snakefile").read_text()
    for line in ("workflow.execute = while_claimed(workflow.execute)", "if not is_claimed_here(LAYOUT.results):"):
        assert line in text
    text = text.replace("workflow.execute = while_claimed(workflow.execute)", "pass")
    (folder / "Snakefile").write_text(text.replace("if not is_claimed_here(LAYOUT.results):", "if False:"))
    return folder / "Snakefile"


def test_a_living_run_is_not_disturbed_and_says_who_it_is(project, undisturbed, held, tmp_path):
    claim = read_claim(project)
    locks = sorted((project.folder / ".snakemake/locks").iterdir())
    assert claim["pid"] == held.process.pid
    assert len(locks) == 2
    for command in ((DOMAINS,), ("--unlock",)):
        said = project.snakemake(*command, ok=False)
        assert f"process {held.process.pid} on {claim['host']}" in said
        assert f"kill {held.process.pid}" in said
        assert "LockException" not in said
    project.dry_run()
    project.snakemake("--lint")
    other = elsewhere(project, tmp_path / "other")
    assert f"kill {held.process.pid}" in other.snakemake(ok=False)
    assert other.dry_run()
    assert read_claim(project) == claim
    assert sorted((project.folder / ".snakemake/locks").iterdir()) == locks
    go_on(held)
    assert tables(project) == tables(undisturbed)
    assert not read_claim(project), "the claim ends with the run"


def test_without_claims_two_folders_would_write_the_same_results(project, held, tmp_path):
    """The mutant of the test above."""
    other = elsewhere(project, tmp_path / "other")
    said = other.snakemake("--snakefile", without_claims(tmp_path), project.folder / DOMAINS)
    assert "measure_domains" in said
    assert (project.folder / DOMAINS).exists(), "written while the first run is about to"
    assert held.process.poll() is None


@pytest.mark.parametrize("kind", ["Snakemake alone", "everything"])
def test_a_killed_run_is_continued_by_the_same_command(project, undisturbed, held, kind, tmp_path):
    jobs = held.processes("measure_domains")
    held.kill(kind)
    assert bool(still_alive(jobs)) == (kind == "Snakemake alone")
    before = read_claim(project)
    project.dry_run()
    assert read_claim(project) == before, "a dry run changes nothing"
    mutant = project.snakemake("--snakefile", without_claims(tmp_path), DOMAINS, ok=False)
    assert "LockException" in mutant
    said = project.snakemake(DOMAINS)
    (line,) = [line for line in said.splitlines() if line.startswith("Earlier, the run of process")]
    assert "lock files removed: 2;" in line
    assert ("gone on: 0." not in line) == (kind == "Snakemake alone")
    assert not still_alive(jobs)
    assert tables(project) == tables(undisturbed)
    assert not left_over(project)


def test_a_run_on_another_machine_is_left_alone_until_the_user_says_that_it_is_dead(project, held):
    held.kill("everything")
    path = project.results.claim
    path.write_text(json.dumps(read_claim(project) | {"host": "beamline7"}))
    said = project.snakemake(DOMAINS, ok=False)
    assert f"process {held.process.pid} on beamline7" in said
    assert "snakemake --unlock" in said
    assert list((project.folder / ".snakemake/locks").iterdir()), "its locks stay"
    project.snakemake("--unlock")
    project.snakemake(DOMAINS)


def campaign(undisturbed, folder, seed):
    project = copy_of(undisturbed, folder, with_results=False)
    killed = Campaign(project, stage_seconds(undisturbed), random.Random(seed))
    killed.go()
    found, expected = tables(project), tables(undisturbed)
    assert found.keys() == expected.keys()
    differing = [name for name in expected if found[name] != expected[name]]
    assert not differing, f"{differing} differ after {killed.hit}"
    assert not left_over(project)
    return killed.hit


def count(hit):
    """Record kills that were all healed by calling the same command again."""
    for stage, number in Counter(stage for stage, _ in hit).items():
        kinds = Counter(kind for where, kind in hit if where == stage)
        note = ", ".join(f"{kind}: {times}" for kind, times in sorted(kinds.items()))
        fault = f"SIGKILL {stage}" if stage.startswith("after") else f"SIGKILL in {stage}"
        reliability.record(SECTION, fault, number, 0, number, note)


@pytest.mark.deep
def test_a_run_killed_in_every_stage_ends_with_the_same_bytes(undisturbed_runs, tmp_path):
    hit = campaign(undisturbed_runs(20), tmp_path / "project", seed=1)
    assert len(hit) >= len(kills.STAGES)


@pytest.mark.deep
def test_many_kills_at_random_moments_of_every_stage(undisturbed_runs, tmp_path):
    # Enough steps for a checkpoint: a training that is killed after it goes on from there.
    undisturbed = undisturbed_runs(60)
    hit = []
    for seed in range(CAMPAIGNS):
        hit += campaign(undisturbed, tmp_path / str(seed), seed)
    count(hit)
    assert len(hit) >= 40
    assert {stage.removeprefix("after ") for stage, _ in hit} == set(kills.STAGES)


@pytest.mark.deep
def test_kills_while_snakemake_starts(undisturbed, tmp_path):
    """Between the claim, Snakemake's lock and the first job; then at last a run that nobody kills."""
    project = copy_of(undisturbed, tmp_path / "project")
    draw, number = random.Random(0), 0
    for _ in range(20):
        (project.folder / DOMAINS).unlink(missing_ok=True)
        run = start(project, DOMAINS)
        try:
            run.process.wait(draw.uniform(0.3, 3))
        except kills.subprocess.TimeoutExpired:
            run.kill("everything")
        assert run.process.returncode in (0, -signal.SIGKILL), run.said
        number += run.process.returncode != 0
    project.snakemake(DOMAINS)
    assert tables(project) == tables(undisturbed)
    assert number >= 15
    reliability.record(SECTION, "SIGKILL while Snakemake starts", number, 0, number)
