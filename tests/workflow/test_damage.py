"""Any file of a run is damaged on disk; the same command gives the undisturbed tables, at once or the next time.

A run that finds everything done reads nothing. So before each trial the tables are removed, which makes every stage
after the damage read its inputs again; what is read by no stage is found by `tomoprofile verify`.
"""

import json
import random

import pytest
import reliability

from tomoprofile.files import digest_file, sealed_files
from tomoprofile.tables import TABLES

CONFIG = {
    "models": {"default": {"method": "otsu"}},
    "store": {"shard_slices": 16, "slab_slices": 32},
    "profile": {"resamples": 200, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
}
TRIALS = 1  # each takes several runs; the deep tests try every file
PRODUCTS = ("domains.parquet", "profile.parquet", "zones.parquet", "baselines.parquet", "report.html")


def flip(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


WAYS = {
    "one bit flipped": flip,
    "cut off": lambda content, rng: content[: rng.randrange(len(content))],
    "zeros of the same size": lambda content, _: bytes(len(content)),
    "emptied": lambda _, __: b"",
    "lost": lambda _, __: None,
    "replaced by other text": lambda _, __: b'{"normal": [0, 1, 0], "decision_level": NaN}\n',
}


@pytest.fixture(scope="module")
def finished(project):
    """A scan that is done, and its tables."""
    project.configure(**CONFIG)
    project.tomoprofile("phantom", "data", "--size", 48, 96, 64)
    project.tomoprofile("scan", "data/raw")
    project.snakemake()
    project.tables = tables(project)
    return project


def folder_of(project):
    return project.results.scan("phantom_A").folder


def tables(project):
    return {name: (folder_of(project) / f"{name}.parquet").read_bytes() for name in TABLES_OF_A_SCAN}


# A scan with a substrate is measured neither as phases nor as organs.
TABLES_OF_A_SCAN = tuple(sorted(set(TABLES) - {"objects", "band", "classes", "comparison", "phase", "thickness"}))


def targets(project):
    """Return everything a stage may read: files with a digest, the digests, and shards."""
    files = sealed_files(folder_of(project))
    shards = [path for path in folder_of(project).glob("*.ome.zarr/0/c/**/*") if path.is_file()]
    return [*files, *map(digest_file, files[::5]), *sorted(shards)]


def lose_products(project, but=None):
    """Remove the tables and the page, so that the stages which make them read everything again."""
    for path in (folder_of(project) / name for name in PRODUCTS):
        if path != but:
            path.unlink(missing_ok=True)


def trial(project, path, way, rng):
    """Damage a file and run the same command until it succeeds; return what became of it."""
    content = WAYS[way](path.read_bytes(), rng)
    path.unlink() if content is None else path.write_bytes(content)
    lose_products(project, but=path)
    what = f"{path.relative_to(folder_of(project))}: {way}"
    done = project.attempt()
    first = done.stdout + done.stderr
    if done.returncode:
        named = {path.name.removeprefix(".").removesuffix(".sha256"), *path.relative_to(folder_of(project)).parts[:1]}
        assert any(name in first for name in named), f"{what}\n{first}"
        assert "Traceback" not in first, f"{what}\n{first}"
        project.snakemake()
    checked = project.run("tomoprofile", "verify")
    if checked.returncode:
        assert "was set aside" in checked.stderr, f"{what}\n{checked.stderr}"
        project.snakemake()
        project.tomoprofile("verify")
    assert tables(project) == project.tables, what
    return "noticed" if done.returncode or checked.returncode else "survived"


def trials(project, number, seed):
    """Return one way of damage for each of some files; every way and every kind of file has its turn."""
    rng = random.Random(seed)
    files = targets(project)
    chosen = rng.sample(files, number) if number < len(files) else files
    return [(path, list(WAYS)[at % len(WAYS)], rng) for at, path in enumerate(chosen)]


def test_damage_is_noticed_and_healed(finished):
    for path, way, rng in trials(finished, TRIALS, 5):
        trial(finished, path, way, rng)


@pytest.mark.deep
def test_every_file_of_a_run_is_healed(finished):
    became = [(way, trial(finished, path, way, rng)) for path, way, rng in trials(finished, 10**6, 6)]
    assert len(became) == len(targets(finished)) > 30
    for way in WAYS:
        of_way = [found for one, found in became if one == way]
        counts = (len(of_way), of_way.count("survived"), of_way.count("noticed"))
        reliability.record("Files of a run, damaged on disk", way, *counts)


def test_what_nobody_reads_is_found_by_verify(finished):
    page = finished.results.scan("phantom_A").provenance
    page.write_bytes(flip(page.read_bytes(), random.Random(1)))
    said = finished.run("tomoprofile", "verify")
    assert said.returncode == 1
    assert f"{page.name} was" not in said.stderr
    assert "provenance.json: the file was damaged or changed" in said.stderr
    finished.snakemake()
    assert "are what was written" in finished.tomoprofile("verify").stderr


@pytest.mark.deep
def test_without_its_digest_a_changed_interface_moves_every_depth(finished):
    """The mutant: the same damage to a file that has no digest reaches the tables without a word."""
    interface = finished.results.scan("phantom_A").interface
    content = interface.read_text()
    written = f'"offset_um": {json.loads(content)["offset_um"]}'
    assert written in content
    interface.write_text(content.replace(written, '"offset_um": 17.25'))
    digest_file(interface).unlink()
    finished.snakemake()
    assert tables(finished)["profile"] != finished.tables["profile"]
    interface.unlink()
    lose_products(finished)
    finished.snakemake()
    assert tables(finished) == finished.tables
