"""The main job on a real scan: cement with dark air voids, with two sizes of slabs."""

from pathlib import Path

import pandas as pd
import pytest

from tomoprofile.layout import Layout

SCAN = Path(__file__).parents[3] / "shared/data/xct_volumes_mit/cement_128x128x128.tif"

pytestmark = pytest.mark.skipif(not SCAN.parent.is_dir(), reason="real scans are not in the repository")


def test_voids_in_cement_do_not_depend_on_the_slabs(project):
    # No substrate in this scan: depth counts from its first slice. The file tells no voxel size: 1 um is declared.
    project.tomoprofile("scan", SCAN, "--voxel-size-um", 1, "--interface", "slice:0", "--labels", "labels")
    sample = "cement_128x128x128"
    unet = {"method": "unet", "steps": 60, "decoder_channels": [64, 32, 16, 16, 16], "input_scale": 1}
    tables = {}
    for slab_slices in (16, 64):
        files = Layout(project.folder / f"results/{slab_slices}").scan(sample)
        project.configure(
            results=f"results/{slab_slices}",
            models={"default": unet},
            store={"shard_slices": 16, "slab_slices": slab_slices},
        )
        project.snakemake("pick")
        # Pseudo-labels: voids in cement are plainly dark, so Otsu's threshold marks them well.
        project.tomoprofile("prelabel", files.to_label.table, f"labels/{sample}")
        project.snakemake()
        tables[slab_slices] = files.domains.read_bytes()
        assert len(files.probability.written_records()) == 128 // slab_slices
    assert tables[16] == tables[64]
    domains, zones = pd.read_parquet(files.domains), pd.read_parquet(files.zones)
    whole = zones[zones["level"] == "calibrated"]
    ratio = whole["domain_um3"].sum() / whole["resin_um3"].sum()
    # An independent look at the same file: Otsu after a Gaussian finds 16.8 % dark.
    assert 0.14 < ratio < 0.20
    assert len(domains) > 300
