"""From a simulated raw scan to the reports, through every rule, with all three ways to segment."""

import hashlib
import json
import re
import zipfile
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import zarr
from ome_zarr_models.v05 import Image, ImageLabel
from whole_way import CONFIG, SAMPLES


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.parquet"))}


@pytest.fixture(scope="module")
def finished(whole_way):
    """A project in which everything was run once."""
    return whole_way


def test_every_output_of_the_contract_is_there(finished):
    results = finished.results
    for sample in SAMPLES:
        files = results.scan(sample)
        for path in (
            *files.products,
            *(files.check, files.provenance, files.interface, files.resin),
            *(files.breakpoints, files.correlation, files.sizes),
        ):
            assert path.stat().st_size > 0
        assert not list(files.folder.glob("baselines*.runs"))
    for path in (results.run, results.index, results.comparison, *results.model("default").files):
        assert path.stat().st_size > 0
    assert {path.name for path in results.logs.iterdir()} >= {"check_inputs", "fine_tune", "predict_slab"}


def test_the_tables_are_plausible(finished):
    truth = pd.read_parquet(finished.folder / "data/truth/objects.parquet")
    found = pd.read_parquet(finished.results.scan("unet").domains)
    assert 0.5 < len(found) / len(truth) < 1.5
    assert (found["domain_id"].to_numpy() == range(1, len(found) + 1)).all()
    zones = pd.read_parquet(finished.results.scan("unet").zones)
    assert set(zones["level"]) == {"low", "calibrated", "high"}


def test_provenance_names_what_the_tables_come_from(finished):
    results = finished.results
    record = json.loads(results.scan("unet").provenance.read_text())
    weights = results.model("default").weights.read_bytes()
    assert record["model"]["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    labels = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (finished.folder / "labels/unet").iterdir()}
    assert set(record["model"]["labels"]["labels"].values()) == labels
    assert record["config"]["models"]["default"]["steps"] == 60
    assert {job["rule"] for job in record["jobs"]} >= {"check_inputs", "convert_slab", "fine_tune", "profile_depth"}
    for name, digest in record["tables_sha256"].items():
        assert digest == hashlib.sha256((results.scan("unet").folder / name).read_bytes()).hexdigest()
    otsu = json.loads(results.scan("otsu").provenance.read_text())
    assert otsu["raw"]["sha256_of_slabs"] == record["raw"]["sha256_of_slabs"], "the same scan under two names"
    assert otsu["model"]["threshold"]["method"] == "otsu"


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake()


def test_a_changed_group_only_writes_the_index_again(finished):
    sheet = finished.folder / "config/samples.tsv"
    text = sheet.read_text()
    sheet.write_text(text.replace("\tbaselines\t", "\tthresholds\t"))
    planned = finished.planned()
    sheet.write_text(text)
    assert planned == {"report_beamtime", "all"}


def test_deleting_intermediates_alone_redoes_nothing(finished):
    results = finished.results
    for path in (results.training_set("default"), results.scan("otsu").objects_at("low")):
        path.unlink()
        assert finished.planned() == set()


def test_a_lost_slab_is_redone_with_what_follows_and_nothing_else(finished):
    sample = finished.results.scan("unet").folder
    before = digests(sample)
    (sample / "probability.ome.zarr/slabs/z00032.json").unlink()
    (sample / "domains.parquet").unlink()
    assert finished.planned() == {
        "predict_slab unet z00032",
        "measure_domains unet",
        "profile_depth unet",
        "compare_baselines unet",
        "report_sample unet",
        "report_beamtime",
        "all",
    }
    finished.snakemake()
    assert digests(sample) == before, "the same work must give the same bytes"
    assert "Nothing to be done" in finished.snakemake()


def test_a_label_volume_asked_for_later_costs_nothing_else(finished):
    assert not [sample for sample in SAMPLES if finished.results.scan(sample).labels.path.exists()]
    finished.configure(**CONFIG, objects={"label_volume": True})
    planned = {job for job in finished.planned() if not job.endswith(" otsu")}  # a test above removed a file of it
    # The reports tell the configuration.
    jobs = {f"{rule} {sample}" for rule in ("write_label_volume", "report_sample") for sample in ("unet", "filled")}
    assert planned == jobs | {"report_beamtime", "all"}
    finished.snakemake()
    for sample in SAMPLES:
        folder = finished.results.scan(sample).folder
        domains = pd.read_parquet(folder / "domains.parquet")
        labels = zarr.open_group(str(folder / "labels.ome.zarr"), mode="r")
        voxels = np.bincount(labels["0"][:].ravel())[1:]
        assert (voxels == domains["voxels"].to_numpy()).all(), "label by label as many voxels as in the table"
        source = folder / "labels.ome.zarr" / ImageLabel.from_zarr(labels).ome_attributes.image_label.source.image
        for store in (source, folder / "probability.ome.zarr"):
            image = zarr.open_group(str(store), mode="r")
            # A probability has an axis of classes before those of space.
            axes = [axis for axis in Image.from_zarr(image).ome_attributes.multiscales[0].axes if axis.type == "space"]
            assert axes == ImageLabel.from_zarr(labels).ome_attributes.multiscales[0].axes
            assert image["0"].shape[-3:] == labels["0"].shape
    assert "Nothing to be done" in finished.snakemake()
    finished.configure(**CONFIG)


def test_the_reports_name_every_scan_and_load_nothing_from_outside(finished):
    index = finished.results.index.read_text()
    for sample in SAMPLES:
        page = finished.results.scan(sample).report.read_text()
        assert sample in index
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//', page)


def test_every_link_of_a_report_leads_to_a_file(finished):
    for sample in SAMPLES:
        files = finished.results.scan(sample)
        links = {unquote(link) for link in re.findall(r'<a [^>]*href="([^"#:]+)"', files.report.read_text())}
        assert {"../index.html", "tables.zip", "provenance.json"} < links
        assert ("../models/default/docs/README.md" in links) == (sample == "unet")
        assert any(link.startswith("../logs/convert_slab/") for link in links)
        assert [link for link in links if not (files.folder / link).exists()] == []
        with zipfile.ZipFile(files.tables) as archive:
            assert len(archive.read("domains.csv").splitlines()) == len(pd.read_parquet(files.domains)) + 1


def test_baselines_measure_a_small_scan_as_its_profile_does(finished):
    for sample in SAMPLES:
        folder = finished.results.scan(sample).folder
        profile = pd.read_parquet(folder / "profile.parquet").query("level == 'calibrated'").set_index("depth_lo_um")
        found = pd.read_parquet(folder / "baselines.parquet").set_index("depth_lo_um")
        own = found[found["method"] == "own"].loc[profile.index]
        assert np.array_equal(own["n_domains"], profile["n_domains"])
        for name in ("volume_ratio", "resin_um3"):
            assert np.allclose(own[name], profile[name], rtol=1e-12)
        inner = own["mean_equivalent_diameter_um"].notna()
        for name in ("mean_equivalent_diameter_um", "number_density_per_mm3"):
            assert np.allclose(own.loc[inner, name], profile.loc[inner, name], rtol=1e-9)
        assert inner.sum() >= 5
        if sample != "unet":  # and each method, on a scan it segmented itself, does the same as there
            alone = found[found["method"] == {"otsu": "otsu", "filled": "threshold_fill"}[sample]].loc[profile.index]
            assert np.array_equal(alone["n_domains"], own["n_domains"])


def test_groups_of_the_sheet_are_compared(finished):
    table = pd.read_parquet(finished.results.comparison)
    zone = table.query("kind == 'zone' and zone == 'far' and quantity == 'volume_ratio'").set_index("samples")
    assert zone.loc["otsu;filled", "n_scans"] == 2
    assert zone.loc["otsu;filled", "variance_ratio"] > 0
    assert zone.loc["unet", "group"] == ""
    index = finished.results.index.read_text()
    assert "Segmented by a threshold" in index
    assert 'id="figure-overlay"' in index


def test_snakemake_makes_its_own_report(finished):
    finished.snakemake("--report", "snakemake-report.zip")
    with zipfile.ZipFile(finished.folder / "snakemake-report.zip") as report:
        names = report.namelist()
        texts = "".join(report.read(name).decode() for name in names if name.endswith(("report.html", ".js")))
        pages = [name for name in names if name.endswith(("index.html", f"{SAMPLES[0]}/report.html", "README.md"))]
    for category in ("Scans", "Beamtime", "Models"):
        assert f'"{category}"' in texts
    for words in (
        "those with faults or flags first",
        "Scan unet: volume fraction",
        "Model default: what it was trained on",
    ):
        assert words in texts, "a caption"
    assert pages
