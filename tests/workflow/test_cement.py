"""The main job on a real scan: cement with dark air voids, without a substrate."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from scipy import ndimage

from tomoprofile.layout import Layout

SCAN = Path(__file__).parents[3] / "shared/data/xct_volumes_mit/cement_128x128x128.tif"
MODELS = {
    "default": {"method": "unet", "steps": 60, "decoder_channels": [64, 32, 16, 16], "input_scale": 1},
    "otsu": {"method": "otsu", "words": {"domain": "void", "matrix": "cement"}, "profile": {"block_um": 32}},
}

pytestmark = pytest.mark.skipif(not SCAN.parent.is_dir(), reason="real scans are not in the repository")


@pytest.fixture(scope="module")
def finished(project):
    """The results by a threshold, with slabs of 64 slices."""
    # The file tells no voxel size: 1 um is declared.
    project.tomoprofile("scan", SCAN, "--voxel-size-um", 1, "--interface", "none", "--labels", "labels")
    sheet = project.folder / "config/samples.tsv"
    project.listed = sheet.read_text()
    header, row = project.listed.splitlines()
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    cells |= {"sample": "otsu", "model": "otsu", "labels": ""}
    sheet.write_text("\n".join([header, "\t".join(cells.values())]) + "\n")
    results = with_slabs(project, 64)
    project.snakemake()
    return results


@pytest.fixture(scope="module")
def learned(project, finished):
    """The same results, and those by a network."""
    sheet = project.folder / "config/samples.tsv"
    sheet.write_text(project.listed + sheet.read_text().splitlines()[1] + "\n")
    project.snakemake("pick")
    # Pseudo-labels: voids in cement are plainly dark, so Otsu's threshold marks them well.
    project.tomoprofile("prelabel", finished.scan(SCAN.stem).to_label.table, f"labels/{SCAN.stem}")
    project.snakemake()
    return finished


def with_slabs(project, slab_slices):
    """Configure slabs of so many slices, in a folder of results of their own, which is returned."""
    folder = f"results/{slab_slices}"
    project.configure(results=folder, models=MODELS, store={"shard_slices": 16, "slab_slices": slab_slices})
    return Layout(project.folder / folder)


@pytest.mark.deep
def test_voids_in_cement_do_not_depend_on_the_slabs(project, learned):
    large = learned.scan(SCAN.stem)
    assert len(large.probability.written_records()) == 2
    small = with_slabs(project, 16).scan(SCAN.stem)
    try:
        project.snakemake(small.domains.relative_to(project.folder))
    finally:
        with_slabs(project, 64)
    assert len(small.probability.written_records()) == 8
    assert small.domains.read_bytes() == large.domains.read_bytes()


@pytest.mark.deep
def test_voids_in_cement_are_found_by_a_network(learned):
    files = learned.scan(SCAN.stem)
    zones = pd.read_parquet(files.zones).query("level == 'calibrated'")
    assert zones["zone"].tolist() == ["whole"]
    # An independent look at the same file: Otsu after a Gaussian finds 16.8 % dark.
    assert 0.14 < zones["volume_ratio"].item() < 0.20
    assert len(pd.read_parquet(files.domains)) > 300
    assert not (files.interface.parent / "substrate_distance.npy").exists()


def test_numbers_by_a_threshold_are_those_of_an_independent_look(finished):
    files = finished.scan("otsu")
    level = json.loads((files.domains.parent / "threshold.json").read_text())["threshold"]
    smooth = ndimage.gaussian_filter(tifffile.imread(SCAN).astype(np.float32), 1.0)
    labels, _ = ndimage.label(smooth < level, np.ones((3, 3, 3)))
    voxels = np.bincount(labels.ravel())[1:]
    kept = voxels[voxels >= 5]
    row = pd.read_parquet(files.zones).query("level == 'calibrated'").iloc[0]
    assert row["n_domains"] == pytest.approx(len(kept), rel=0.005)
    assert row["volume_ratio"] == pytest.approx(kept.sum() / labels.size, rel=1e-3)
    assert row["resin_um3"] == labels.size
    domains = pd.read_parquet(files.domains)
    assert domains["voxels"].max() == pytest.approx(kept.max(), rel=1e-3)
    assert pq.read_table(files.domains)["depth_um"].null_count == len(domains)
    assert pq.read_schema(files.zones).metadata[b"automatic"] == b'["bin_um", "zones"]'


def test_pages_speak_of_voids_in_cement(finished):
    page = re.sub(r"<(script|style).*?</\1>", "", finished.scan("otsu").report.read_text(), flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", page)
    assert "Voids take up 17" in text
    assert "Voids in the cement" in text
    assert not re.search(r"substrate|resin|\bdepth", text, re.IGNORECASE)
    index = re.sub(r"<(script|style).*?</\1>", "", finished.index.read_text(), flags=re.DOTALL)
    assert not re.search(r"substrate|\bdepth", index, re.IGNORECASE)


def test_no_job_looked_for_a_substrate(finished):
    jobs = {path.name for path in (finished.scan("x").domains.parents[1] / "logs").iterdir()}
    assert "find_sample" in jobs
    assert not jobs & {"fit_interface", "enter_substrate"}
