"""What is done again after a change: exactly what depends on it, as docs/changes.md says.

Every change is made to a finished run, planned, and undone. `make changes` writes the page anew.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import tifffile
from project import ROOT
from whole_way import CONFIG, MODELS

PAGE = ROOT / "docs" / "changes.md"
SCAN = "unet"  # whose jobs are listed: one with a network and labels of its own
INTRODUCTION = """\
# What is done again after a change

Change anything and run the same command: only what depends on it is done again. This table is made by dry runs of a
test (`make changes`), for a scan of two slabs that is segmented by a network trained on its own labels. What follows
from a job is always done, too; `report_beamtime` writes `index.html`.

| change | jobs of this scan and its model |
|---|---|
"""


@dataclass(frozen=True)
class Change:
    """A change by the user.

    Attributes
    ----------
    words : str
        As the page names it.
    made : callable
        Context manager that makes it in a project, and undoes it.
    """

    words: str
    made: Callable


@contextmanager
def configured(project, **sections) -> Iterator[None]:
    project.configure(**CONFIG | sections)
    try:
        yield
    finally:
        project.configure(**CONFIG)


def of_model(model: str, **settings):
    return lambda project: configured(project, models=MODELS | {model: MODELS[model] | settings})


def section(name: str, **settings):
    return lambda project: configured(project, **{name: CONFIG.get(name, {}) | settings})


def cell(column: str, value: str):
    @contextmanager
    def changed(project) -> Iterator[None]:
        sheet = project.folder / "config/samples.tsv"
        text = sheet.read_text()
        header, *rows = [line.split("\t") for line in text.splitlines()]
        for row in rows:
            if row[0] == SCAN:
                row[header.index(column)] = value
        sheet.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n")
        try:
            yield
        finally:
            sheet.write_text(text)

    return changed


def raw_folder(project):
    return next((project.folder / "data/raw").iterdir())


@contextmanager
def other_content(path, change) -> Iterator[None]:
    """Change a file; afterwards even its time is that of before."""
    content, state = path.read_bytes(), path.stat()
    change(path)
    try:
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def older_slice(project):
    """Replace a slice by another one of the same size whose time is older than everything."""

    def change(path):
        image = tifffile.imread(path)
        tifffile.imwrite(path, image[::-1], metadata=None)
        os.utime(path, (10**9, 10**9))

    return other_content(sorted(raw_folder(project).glob("*.tif"))[40], change)


def edited_label(project):
    def change(path):
        tifffile.imwrite(path, tifffile.imread(path)[::-1])

    return other_content(sorted((project.folder / "labels/unet").glob("*.tif"))[0], change)


@contextmanager
def note(project) -> Iterator[None]:
    path = raw_folder(project) / "notes.txt"
    path.write_text("beam current 90 mA\n")
    try:
        yield
    finally:
        path.unlink()


@contextmanager
def archived(project) -> Iterator[None]:
    folder = raw_folder(project)
    away = project.folder / "archive"
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)


ZONES = [{"name": "near", "from_um": 0, "to_um": 20}, {"name": "far", "from_um": 20}]
VOIDS = {"classes": {"background": 0, "domain": 1, "void": 2}, "measure": ["domain", "void"]}
CHANGES = [
    Change("a slice of the raw scan replaced in place, even by an older file", older_slice),
    Change("a note left in the folder of the raw scan", note),
    Change("the raw scan moved to an archive", archived),
    Change("`slice_axis` of the scan", cell("slice_axis", "1")),
    Change("`voxel_size_um` of the scan: grey values are the same", cell("voxel_size_um", "0.6")),
    Change("`interface` of the scan", cell("interface", "plane:0,1,0,6")),
    Change("a label file edited", edited_label),
    Change("`steps` of its model", of_model("default", steps=61)),
    Change("`window` of its model", of_model("default", window=320)),
    Change("any setting of another model", of_model("filled", smooth_voxels=2.0)),
    Change("`predict: device`", section("predict", device="cpu")),
    Change("`predict: flips`", section("predict", flips=True)),
    Change("`measure` of its model, where voids are labelled, too", of_model("default", **VOIDS)),
    Change("`objects: min_voxels`", section("objects", min_voxels=9)),
    Change("`profile: zones`", section("profile", zones=ZONES)),
    Change("`seed`", lambda project: configured(project, seed=2)),
    Change("`store: shard_slices`", section("store", shard_slices=16)),
    Change("`keep`", lambda project: configured(project, keep="standard")),
    Change("`group` of the scan", cell("group", "aged")),
    Change("`report: title`", section("report", title="Epoxy")),
]


@contextmanager
def copied(folder) -> Iterator[None]:
    """Put the files of a folder back in the end, as they were."""
    aside = folder.with_name(f".{folder.name}")
    folder.rename(aside)
    shutil.copytree(aside, folder, copy_function=os.link)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        aside.rename(folder)


def jobs_of_scan(planned: set[str]) -> list[str]:
    """Return the jobs of the scan, its model and the beamtime, in the order in which Snakemake knows the rules."""
    own = {job for job in planned if job.split()[0] != "all" and set(job.split()[1:2]) <= {SCAN, "default"}}
    rules: dict[str, list[str]] = {}
    for job in sorted(own):
        rule, *wildcards = job.split()
        rules.setdefault(rule, []).extend(wildcards[1:])
    return [f"{rule} {slabs[0]}" if len(slabs) == 1 else rule for rule, slabs in rules.items()]


def order(jobs: list[str]) -> list[str]:
    """Return jobs in the order of the data, that of the files of rules and of the rules in them."""
    includes = [line.split('"')[1] for line in (ROOT / "Snakefile").read_text().splitlines() if line.startswith("incl")]
    text = "".join((ROOT / path).read_text() for path in includes)
    return sorted(jobs, key=lambda job: text.index(f"rule {job.split()[0]}:"))


def rows_of(project, changes: list[Change]) -> dict[str, list[str]]:
    """Return the jobs that each change causes, by its words."""
    assert project.planned() == set(), "nothing may be left to do before a change"
    found = {}
    for change in changes:
        with change.made(project):
            found[change.words] = order(jobs_of_scan(project.planned()))
    assert project.planned() == set(), "every change was undone"
    return found


@pytest.fixture(scope="module")
def rows(whole_way) -> dict[str, list[str]]:
    return rows_of(whole_way, CHANGES)


def lines(rows: dict[str, list[str]]) -> list[str]:
    return [f"| {words} | {', '.join(f'`{job}`' for job in jobs) or 'nothing'} |" for words, jobs in rows.items()]


def page(rows: dict[str, list[str]]) -> str:
    return INTRODUCTION + "\n".join(lines(rows)) + "\n"


def test_the_page_says_what_some_changes_cause(whole_way):
    """Every fifth; the deep tests make all of them."""
    written = PAGE.read_text().splitlines()
    found = lines(rows_of(whole_way, CHANGES[::5]))
    assert [line for line in found if line not in written] == []


@pytest.mark.deep
def test_the_page_says_what_is_done_again(rows):
    if os.environ.get("TOMOPROFILE_WRITE_PAGES"):
        PAGE.write_text(page(rows))
    assert PAGE.read_text() == page(rows)


@pytest.mark.deep
def test_only_what_a_change_concerns_is_done_again(rows):
    jobs = {words: {job.split()[0] for job in found} for words, found in rows.items()}
    (replaced,) = (found for words, found in rows.items() if words.startswith("a slice of the raw scan replaced"))
    assert "convert_slab z00032" in replaced, "the slab of the slice, and no other one"
    for words in jobs:
        if "archive" in words or "note" in words:
            assert not jobs[words]
        if any(word in words for word in ("voxel_size_um", "model", "label", "flips", "measure")):
            assert not jobs[words] & {"convert_slab", "create_store"}
        if "another model" in words or "device" in words or "group" in words or "title" in words or "keep" in words:
            assert jobs[words] <= {"report_sample", "report_beamtime"}
    assert "fine_tune" not in jobs["`window` of its model"]
    assert {"predict_slab", "measure_domains"} <= jobs["`window` of its model"]
    assert {"collect_labels", "fine_tune", "predict_slab"} <= jobs["a label file edited"]
    assert not jobs["`profile: zones`"] & {"measure_domains", "predict_slab"}


@pytest.mark.parametrize("stage", ["segment", "measure"])
def test_what_rerun_promises_is_done_again(whole_way, stage):
    """Snakemake by itself makes nothing again that only results need which are there."""
    promised = {"segment": "predict_slab", "measure": "measure_domains"}
    with copied(whole_way.results.scan(SCAN).folder):
        whole_way.tomoprofile("rerun", SCAN, "--from", stage)
        again = order(jobs_of_scan(whole_way.planned()))
    of_stages = [promised[name] for name in list(promised)[list(promised).index(stage) :]]
    assert set(of_stages) <= set(again)
    assert {"profile_depth", "report_sample", "report_beamtime"} <= set(again)
    assert "convert_slab" not in again
    assert "fine_tune" not in again
    assert whole_way.planned() == set(), "everything is as before"
