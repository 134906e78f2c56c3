"""One scan's fault leaves the others alone, and what stays on disk is the user's choice."""

import json

import pytest
from project import RESULTS

TABLES = tuple(f"{name}.parquet" for name in ("domains", "profile", "zones", "breakpoints", "correlation", "sizes"))
CONFIG = {
    "models": {"default": {"method": "otsu"}},
    "store": {"shard_slices": 8, "slab_slices": 32},
    "profile": {"resamples": 200, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
}


def tables(project, sample):
    return {name: (project.results.scan(sample).folder / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def beamtime(project):
    """Two scans; a slice of the second was cut short by a copy that broke off."""
    project.configure(**CONFIG)
    for kind in ("A", "B"):
        project.tomoprofile("phantom", "data", "--kind", kind, "--size", 48, 96, 64)
    project.tomoprofile("scan", "data/raw")
    return project


def test_a_scan_with_a_fault_is_left_out_and_named(beamtime):
    damaged = sorted((beamtime.folder / "data/raw/phantom_B").glob("*.tif"))[7]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-300])
    said = beamtime.snakemake(ok=False)
    results = beamtime.results
    assert "scan  " in said
    assert "2 scans: 1 done, 1 failed" in said
    assert "phantom_B: check_inputs failed" in said
    assert damaged.name in said[said.index("2 scans:") :]
    assert str(RESULTS.log("check_inputs", "phantom_B")) in said
    assert all(tables(beamtime, "phantom_A").values())
    assert not results.scan("phantom_B").volume.path.exists(), "nothing is computed of it"
    index = results.index.read_text()
    assert "1 of 2 scans have results" in index
    assert damaged.name in index
    assert "phantom_A/report.html" in index
    before = tables(beamtime, "phantom_A")
    damaged.write_bytes(whole)
    beamtime.snakemake()
    assert tables(beamtime, "phantom_A") == before
    assert all(tables(beamtime, "phantom_B").values())
    assert "scans have results" not in results.index.read_text()
    assert "2 scans: 2 done" in beamtime.tomoprofile("status").stdout
    assert "Nothing to be done" in beamtime.snakemake()


@pytest.mark.deep
def test_a_missing_scan_does_not_stop_the_others_either(beamtime):
    raw = beamtime.folder / "data/raw/phantom_B"
    raw.rename(raw.with_name("away"))
    try:
        for name in ("domains.parquet", "volume.ome.zarr/slabs/z00000.json"):
            (beamtime.results.scan("phantom_B").folder / name).unlink()
        beamtime.results.scan("phantom_A").report.unlink()
        said = beamtime.snakemake(ok=False)
        assert "phantom_B: convert_slab z00000 failed" in said
        assert beamtime.results.scan("phantom_A").report.exists()
    finally:
        raw.with_name("away").rename(raw)
    beamtime.snakemake()


@pytest.mark.deep
def test_one_run_computes_all_that_a_changed_row_concerns_and_nothing_else(beamtime):
    sheet = beamtime.folder / "config/samples.tsv"
    before = {sample: tables(beamtime, sample) for sample in ("phantom_A", "phantom_B")}
    rows = sheet.read_text().splitlines()
    changed = [row.replace("\t0.5\t", "\t0.6\t") if row.startswith("phantom_B") else row for row in rows]
    assert changed != rows
    for text, same in ((changed, False), (rows, True)):
        sheet.write_text("\n".join(text) + "\n")
        said = beamtime.snakemake()
        jobs = {line.split()[0] for line in said.splitlines() if line.split()[1:] == ["1"]}
        assert jobs >= {"describe_store", "fit_interface", "measure_domains", "report_sample"}
        assert "convert_slab" not in said, "grey values are the same"
        assert (tables(beamtime, "phantom_B") == before["phantom_B"]) == same
        assert tables(beamtime, "phantom_A") == before["phantom_A"]
        assert "Nothing to be done" in beamtime.snakemake()


def test_the_number_of_files_is_bounded(beamtime):
    beamtime.tomoprofile("check")
    rows = [line.split("\t") for line in beamtime.results.check.read_text().splitlines()]
    (told,) = [message for sample, item, _, message in rows if (sample, item) == ("phantom_A", "needs")]
    bound = int(told.split(" MB and ")[1].split(" files")[0])
    results = beamtime.results
    found = [path for path in results.results.rglob("*phantom_A*") if path.is_file()]
    found += [path for path in results.scan("phantom_A").folder.rglob("*") if path.is_file()]
    assert 30 < len(set(found)) <= bound


@pytest.fixture
def one_scan(beamtime):
    """The first of them alone: the second would show the same."""
    sheet = beamtime.folder / "config/samples.tsv"
    text = sheet.read_text()
    sheet.write_text("".join(row for row in text.splitlines(keepends=True) if not row.startswith("phantom_B")))
    yield beamtime
    sheet.write_text(text)


@pytest.mark.deep
@pytest.mark.parametrize(("keep", "gone"), [("standard", ["objects", "band"]), ("minimal", ["volume", "probability"])])
def test_what_is_not_kept_goes_and_comes_back_when_it_is_needed(one_scan, keep, gone):
    results = one_scan.results
    before = tables(one_scan, "phantom_A")
    zones = [{"name": keep, "from_um": 0}]
    one_scan.configure(**CONFIG | {"keep": keep, "profile": CONFIG["profile"] | {"zones": zones}})
    folder = results.scan("phantom_A").folder
    for path in [results.scan("phantom_A").domains, *folder.glob("objects/*"), *folder.glob("band/*")]:
        path.unlink()
    one_scan.snakemake()
    # The digests of files that are gone stay, a few bytes each.
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".sha256"]
    assert not [path for path in files if path.relative_to(folder).parts[0].split(".")[0] in gone]
    after = tables(one_scan, "phantom_A")
    assert after["domains.parquet"] == before["domains.parquet"]
    assert after["zones.parquet"] != before["zones.parquet"]
    assert "Nothing to be done" in one_scan.snakemake()
    assert "1 scan: 1 done" in one_scan.tomoprofile("status").stdout
    if keep == "minimal":
        freed = json.loads(results.scan("phantom_A").discarded.read_text())
        assert freed["bytes"] > 100_000
        # What needs the voxels again begins with the raw scan.
        results.scan("phantom_A").domains.unlink()
        one_scan.snakemake()
        assert tables(one_scan, "phantom_A")["domains.parquet"] == before["domains.parquet"]
        assert not results.scan("phantom_A").volume.path.exists()
