"""A scan of one slice shows sections: their sizes and their share are measured, bodies are not."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from domains_scan import measure

from tomoprofile.domains.measures import OF_BODIES
from tomoprofile.volume.plane import WithoutSubstrate

EDGES = (5.0, 0.5, 0.5)


def discs(axis=0):
    """Return discs of a radius of 6 voxels in one slice, the last of which the border cuts."""
    row, column = np.indices((64, 80))
    image = np.zeros(row.shape, bool)
    for y, x in ((16, 16), (16, 48), (44, 30), (44, 79)):
        image |= (row - y) ** 2 + (column - x) ** 2 <= 36
    return np.expand_dims(image, axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sections_have_sizes_and_weights(tmp_path, axis):
    edges = tuple(np.roll(EDGES, axis))
    table = measure(tmp_path, discs(axis), voxel_size_um=edges, plane=WithoutSubstrate())
    whole = table[table["edge_weight"] > 0]
    assert len(whole) == 3
    assert whole["equivalent_diameter_um"].to_numpy() == pytest.approx(6, rel=0.03)  # 12 voxels of 0.5 um
    assert (table["flag"] == "one_slice").all()


def test_measures_of_bodies_are_null(tmp_path):
    measure(tmp_path / "one", discs(), voxel_size_um=EDGES)
    table = pq.read_table(tmp_path / "one" / "domains.parquet")
    assert {name: table[name].null_count for name in OF_BODIES} == dict.fromkeys(OF_BODIES, len(table))
    assert table["feret_max_um"].null_count == 0


def test_two_slices_are_a_body(tmp_path):
    """The mutant: with a second slice there are bodies, and a sphere of the same volume is smaller than the disc."""
    two = measure(tmp_path, np.repeat(discs(), 2, axis=0), voxel_size_um=(0.5, 0.5, 0.5))
    assert two[list(OF_BODIES)].notna().all(axis=None)
    assert (two["equivalent_diameter_um"] < 5.5).all()
    assert "one_slice" not in ";".join(two["flag"])


def test_tables_of_one_slice_say_what_is_not_known(scans):
    found = scans("one slice")
    zones = pd.read_parquet(found.zones)
    assert zones["flag"].str.contains("one_slice").all()
    assert zones["number_density_per_mm3"].isna().all()
    reached = zones.query("n_domains > 0 and level == 'calibrated'")
    assert reached["mean_equivalent_diameter_um"].notna().all()
    assert pd.read_parquet(found.sizes)["number_density_per_mm3"].isna().all()
    assert "number_density_per_mm3" not in set(pd.read_parquet(found.breakpoints)["quantity"])
    assert pd.read_parquet(scans("plain").zones)["number_density_per_mm3"].notna().any()
