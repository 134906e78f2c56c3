"""Classes of one body: the largest object alone counts, exactly, wherever shards cut it; the rest is told."""

import numpy as np
import pytest
from domains_scan import measure, write_store

from tomoprofile.config import UNetConfig, read_config
from tomoprofile.domains import table
from tomoprofile.domains.objects import iter_runs, read_objects_metadata
from tomoprofile.errors import ConfigError
from tomoprofile.report.flags import one_piece_flags

SHAPE = (24, 20, 22)
BODY = 20 * 6 * 6


def bodies():
    """Return a body through all shards, a speck, and a piece that in any one shard is larger than the body."""
    found = np.zeros(SHAPE, bool)
    found[2:22, 2:8, 2:8] = True
    found[9:14, 10:19, 10:21] = True  # 495 voxels
    found[20:22, 10:12, 10:12] = True
    return found


@pytest.mark.parametrize("shard_slices", [2, 8, 24])
def test_only_the_largest_is_kept_whatever_the_shards(tmp_path, shard_slices):
    rows = measure(tmp_path, bodies(), one_piece=["domain"], shard_slices=shard_slices)
    assert rows["voxels"].tolist() == [BODY]
    assert rows["domain_id"].tolist() == [1]
    metadata = read_objects_metadata(tmp_path / "objects.parquet")["domain"]
    assert metadata.n_domains == 1
    assert metadata.left_out == (2, 495 + 8)
    runs = [run for part in iter_runs(tmp_path / "objects.parquet", metadata) for run in part.x_stop - part.x_start]
    assert sum(runs) == BODY, "the voxels for profile, pictures and export"


def test_all_are_kept_unless_it_is_asked_for(tmp_path):
    rows = measure(tmp_path, bodies())
    assert sorted(rows["voxels"]) == [8, 495, BODY]
    assert read_objects_metadata(tmp_path / "objects.parquet")["domain"].left_out is None


def test_other_classes_keep_all_of_theirs(tmp_path):
    rows = measure(tmp_path, {"liver": bodies(), "vessel": bodies()}, one_piece=["liver"])
    assert rows.groupby("class", observed=True)["voxels"].count().to_dict() == {"liver": 1, "vessel": 3}


def test_what_is_too_small_is_noise_and_not_left_out(tmp_path):
    measure(tmp_path, bodies(), one_piece=["domain"], min_voxels=10)
    assert read_objects_metadata(tmp_path / "objects.parquet")["domain"].left_out == (1, 495)
    assert measure(tmp_path, np.zeros(SHAPE, bool), one_piece=["domain"]).empty


def test_of_equal_ones_the_first_is_kept(tmp_path):
    twins = np.zeros(SHAPE, bool)
    twins[2:5, 2:5, 2:5] = twins[15:18, 2:5, 2:5] = True
    assert measure(tmp_path, twins, one_piece=["domain"])["centroid_z_um"].tolist() == [3.5]


def test_given_labels_stay_as_they_are(tmp_path):
    labels = np.where(bodies(), 1, 0).astype(np.uint32)
    labels[9:14, 10:19, 10:21] = 2
    instances = write_store(tmp_path / "instances", labels)
    assert len(measure(tmp_path, bodies(), instances=instances, one_piece=["domain"])) == 2


def test_mutant_that_takes_the_first_instead_of_the_largest_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "largest_alone", lambda _, domain_id: (np.where(domain_id == 2, 1, 0), (2, 0)))
    assert measure(tmp_path, bodies(), one_piece=["domain"])["voxels"].tolist() != [BODY]


def test_a_class_that_is_not_measured_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="not measured"):
        measure(tmp_path, bodies(), one_piece=["liver"])
    classes = {"classes": {"background": 0, "liver": 1, "spleen": 2}, "measure": ["liver"]}
    with pytest.raises(ConfigError, match="one_piece names 'spleen'"):
        read_config({"models": {"organs": classes | {"one_piece": ["spleen"]}}})
    assert UNetConfig(**classes, one_piece=["liver"]).one_piece == ("liver",)


def test_what_was_left_out_is_told_on_the_page(tmp_path):
    measure(tmp_path, bodies(), one_piece=["domain"])
    (flag,) = one_piece_flags(read_objects_metadata(tmp_path / "objects.parquet")["domain"])
    assert flag.severity == "note"
    assert "2 smaller objects with 503 µm³ were left out" in flag.text
    measure(tmp_path, bodies())
    assert one_piece_flags(read_objects_metadata(tmp_path / "objects.parquet")["domain"]) == []
