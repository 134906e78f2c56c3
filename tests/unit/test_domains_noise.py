"""Objects that one slice alone shows are noise; what the filter lets pass otherwise stands in the partition tests."""

import numpy as np
import pytest
from domains_scan import PLANE, write_store

from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.objects import read_objects_metadata
from tomoprofile.domains.table import Level, Segmented, measure_domains


def specks():
    """A domain of three slices, and specks of six voxels in the first slice, in the last one and between."""
    mask = np.zeros((9, 12, 30), bool)
    mask[3:6, 2:5, 2:5] = True
    for z, x in ((0, 8), (4, 14), (8, 20)):
        mask[z, 6:8, x : x + 3] = True
    return np.where(mask, 255, 0).astype("uint8")


@pytest.mark.parametrize(
    ("edges", "is_mask", "found"),
    [((1.0, 1.0, 1.0), False, 3), ((1.0, 1.0, 1.0), True, 4), ((2.0, 1.0, 1.0), False, 4)],
)
def test_what_one_slice_alone_shows_is_noise_unless_slices_are_thick_or_the_mask_was_given(
    tmp_path, edges, is_mask, found
):
    """What the first or the last slice cuts may go on beyond the scan."""
    scan = Segmented(
        write_store(tmp_path / "p", {"domain": specks()}, 4, edges),
        write_store(tmp_path / "v", specks(), 4, edges),
        is_mask=is_mask,
    )
    PLANE.save(tmp_path / "interface.json")
    level = Level({"domain": 0.5}, tmp_path / "objects.parquet", tmp_path / "domains.parquet")
    counts = measure_domains(scan, tmp_path / "interface.json", {"calibrated": level}, ObjectsConfig())
    assert counts == {"domain": found}
    metadata = read_objects_metadata(tmp_path / "objects.parquet")["domain"]
    assert metadata.min_slices == (2 if found == 3 else 1)
    given = ObjectsConfig(min_slices=4)
    assert measure_domains(scan, tmp_path / "interface.json", {"calibrated": level}, given) == {"domain": 2}
