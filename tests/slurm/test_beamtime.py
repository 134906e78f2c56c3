"""A small beamtime: from a tree of folders in several formats to index.html, by two commands."""

from pathlib import Path

import pandas as pd
import pytest
from cluster_project import ClusterProject, site_profiles

CEMENT = Path(__file__).parents[3] / "shared/data/xct_volumes_mit/cement_128x128x128.tif"
FORMS = {"monday/slices": "tiff_folder_u16", "tuesday/nexus": "hdf5"}
if not CEMENT.exists():  # which is a stack
    FORMS["monday/stack"] = "tiff_stack"


@pytest.fixture(scope="module")
def beamtime(cluster, tmp_path_factory):
    """A scan in each of three formats, cement for one where it is at hand, and one that was copied in part."""
    project = ClusterProject(tmp_path_factory.mktemp("beamtime"), cluster)
    site_profiles(project.folder)
    project.configure(
        models={"default": {"method": "otsu"}},
        store={"shard_slices": 16, "slab_slices": 64},
        profile={"resamples": 200, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
    )
    raw = project.folder / "beamtime"
    for seed, (place, form) in enumerate(FORMS.items(), start=1):
        project.tomoprofile("phantom", f"made/{seed}", "--form", form, "--seed", seed, "--size", 64, 128, 96)
        (made,) = (project.folder / f"made/{seed}/raw").iterdir()
        target = raw / place
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
    project.tomoprofile("phantom", "made/9", "--seed", 9, "--size", 48, 128, 96)
    (project.folder / "made/9/raw/phantom_A").rename(raw / "tuesday/broken")
    damaged = raw / "tuesday/broken/slice_00011.tif"
    damaged.write_bytes(damaged.read_bytes()[:-99])
    if CEMENT.exists():
        (raw / "cement.tif").symlink_to(CEMENT)
    return project


@pytest.mark.deep
def test_a_beamtime_goes_from_folders_to_index_and_one_fault_stops_nobody_else(beamtime):
    beamtime.tomoprofile("scan", "beamtime", "--out", "config/samples.tsv", "--voxel-size-um", 1)
    sheet = beamtime.folder / "config/samples.tsv"
    rows = sheet.read_text().splitlines()
    # What a person who looks at the sheet adds: cement has no substrate.
    sheet.write_text(
        "\n".join(row.replace("\tauto\t", "\tslice:0\t") if row.startswith("cement") else row for row in rows) + "\n"
    )
    assert len({row.split("\t")[2] for row in rows[1:]}) == 3, "three formats"
    said = beamtime.on_cluster(ok=False)
    good = ["monday_slices", "tuesday_nexus_scan", "cement" if CEMENT.exists() else "monday_stack_scan"]
    assert f"{len(good) + 1} scans: {len(good)} done, 1 failed" in said
    assert "tuesday_broken: check_inputs failed" in said
    index = beamtime.results.index.read_text()
    assert f"{len(good)} of {len(good) + 1} scans have results" in index
    assert "slice_00011.tif" in index
    for sample in good:
        assert f"{sample}/report.html" in index
        assert len(pd.read_parquet(beamtime.results.scan(sample).domains)) > 0
    if CEMENT.exists():
        zones = pd.read_parquet(beamtime.results.scan("cement").zones)
        whole = zones[zones["level"] == "calibrated"]
        # An independent look at the same file: Otsu after a Gaussian finds 16.8 % dark.
        assert 0.14 < whole["domain_um3"].sum() / whole["resin_um3"].sum() < 0.20
