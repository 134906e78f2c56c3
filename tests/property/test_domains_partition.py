"""The table of domains is the same for every partition, and equals what a one-shot analysis gives (A6)."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tomoprofile.domains import seams, table
from tomoprofile.domains.objects import iter_runs, read_objects_metadata
from tomoprofile.domains.seams import Components
from tomoprofile.domains.stitch import stitch_objects
from tomoprofile.domains.sums import Sums
from tomoprofile.domains.surface import DIRECTIONS, direction_weights
from tomoprofile.domains.table import measure_domains
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store

EDGES = (1.0, 0.5, 0.75)
LEVEL = 128 / 255
PLANE = Plane.through((0.2, -1.0, 0.1), -3.0)
COMMON = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write_store(path, image, shard_slices):
    store = create_store(path, image.shape, image.dtype, EDGES, shard_slices)
    for start, stop in store.shards():
        store.write(start, image[start:stop])
    return path


def analyse(folder, probability, grey, shard_slices, connectivity=26, min_voxels=1, threads=2):
    """Return the table and the label volume painted from the runs."""
    p = write_store(folder / "p", probability, shard_slices)
    v = write_store(folder / "v", grey, shard_slices)
    PLANE.save(folder / "interface.json")
    objects, out = folder / "objects.parquet", folder / "domains.parquet"
    n_domains = stitch_objects(p, LEVEL, connectivity, min_voxels, objects)
    measure_domains(objects, v, p, folder / "interface.json", out, threads)
    labels = np.zeros(probability.shape, np.int64)
    for runs in iter_runs(objects):
        for z, y, start, stop, domain in zip(runs.z, runs.y, runs.x_start, runs.x_stop, runs.domain_id, strict=True):
            assert not labels[z, y, start:stop].any()
            labels[z, y, start:stop] = domain
    found = pd.read_parquet(out)
    assert n_domains == len(found) == read_objects_metadata(objects).n_domains
    return found, labels


@st.composite
def scans(draw):
    """Draw probability and grey values: from nothing to everything, specks to blobs, 6 or 26."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 8), st.integers(1, 19)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.0, 0.03, 0.1, 0.3, 0.6, 0.95, 1.0]))
    noise = rng.random(shape)
    if draw(st.booleans()):
        noise = ndimage.gaussian_filter(noise, 0.8)
    mask = noise <= np.quantile(noise, density) if density else np.zeros(shape, bool)
    probability = np.where(mask, rng.integers(128, 256, shape), rng.integers(0, 128, shape)).astype("uint8")
    grey = rng.integers(0, 2**16, shape).astype("uint16")
    return probability, grey, draw(st.sampled_from([6, 26])), draw(st.integers(1, 6))


def oracle(probability, grey, connectivity, min_voxels):
    """Return table and labels by dense labelling and plain sums over voxels."""
    structure = ndimage.generate_binary_structure(3, 1 if connectivity == 6 else 3)
    raw, _ = ndimage.label(probability >= 128, structure)
    numbers, first, voxels = np.unique(raw, return_index=True, return_counts=True)
    keep = (numbers > 0) & (voxels >= min_voxels)
    labels = np.zeros_like(raw, dtype=np.int64)
    rows = []
    for domain, number in enumerate(numbers[keep][np.argsort(first[keep])], 1):
        mine = raw == number
        labels[mine] = domain
        where = np.argwhere(mine)
        points = (where + 0.5) * EDGES
        count = len(where)
        padded = np.pad(mine, 1)
        surface = 0.0
        for step, weight in zip(DIRECTIONS, direction_weights(EDGES), strict=True):
            pairs = (padded & np.roll(padded, [-k for k in step], (0, 1, 2))).sum()
            length = math.dist((0, 0, 0), np.array(step) * EDGES)
            surface += 4 * weight * math.prod(EDGES) / length * (count - pairs)
        spread = np.cov(points.T, bias=True).reshape(3, 3) + np.diag(np.square(EDGES)) / 12
        axes = np.sqrt(5 * np.linalg.eigvalsh(spread))[::-1]
        low, high = where.min(axis=0), where.max(axis=0) + 1
        touches = (low == 0) | (high == mine.shape)
        lateral = [axis for axis in range(3) if axis != PLANE.axis]
        weights = [0 if touches[a] else mine.shape[a] / (mine.shape[a] - (high - low)[a] - 1) for a in lateral]
        row = {"domain_id": domain, "voxels": count, "surface_um2": surface, "edge_weight": math.prod(weights)}
        row |= {f"centroid_{name}_um": value for name, value in zip("zyx", points.mean(axis=0), strict=True)}
        row |= {f"bbox_{name}_start": value for name, value in zip("zyx", low, strict=True)}
        row |= {f"bbox_{name}_stop": value for name, value in zip("zyx", high, strict=True)}
        row |= {f"axis_{i}_um": value for i, value in enumerate(axes, 1)}
        row |= {"depth_um": (points @ PLANE.normal).mean() - PLANE.offset_um, "on_border": touches.any()}
        values = grey[mine].astype(float)
        row |= {"grey_mean": values.mean(), "grey_sd": values.std(), "grey_min": values.min()}
        row |= {"grey_max": values.max(), "confidence": probability[mine].mean() / 255}
        rows.append(row)
    return pd.DataFrame(rows), labels


@COMMON
@given(scan=scans(), shard_slices=st.integers(1, 9))
def test_any_partition_gives_the_table_of_a_one_shot_analysis(tmp_path_factory, scan, shard_slices):
    probability, grey, connectivity, min_voxels = scan
    folder = tmp_path_factory.mktemp("scan")
    found, labels = analyse(folder, probability, grey, shard_slices, connectivity, min_voxels)
    expected, expected_labels = oracle(probability, grey, connectivity, min_voxels)
    np.testing.assert_array_equal(labels, expected_labels)
    for name in expected:
        exact = expected[name].dtype.kind in "ib"
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0 if exact else 1e-9, atol=0 if exact else 1e-9, err_msg=name
        )


@COMMON
@given(scan=scans(), one=st.integers(1, 9), other=st.integers(1, 9), threads=st.integers(1, 3))
def test_two_partitions_give_the_same_bits(tmp_path_factory, scan, one, other, threads):
    probability, grey, connectivity, min_voxels = scan
    first, _ = analyse(tmp_path_factory.mktemp("one"), probability, grey, one, connectivity, min_voxels)
    second, _ = analyse(tmp_path_factory.mktemp("other"), probability, grey, other, connectivity, min_voxels, threads)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def blobs(seed=0, shape=(24, 30, 40)):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random(shape), 1.5)
    mask = noise > np.quantile(noise, 0.9)
    grey = rng.integers(0, 2**16, shape).astype("uint16")
    return np.where(mask, 255, 0).astype("uint8"), grey


def test_float_grey_values_agree_to_the_last_digits_and_the_rest_exactly(tmp_path):
    probability, _ = blobs()
    grey = np.random.default_rng(1).normal(0.6, 3, probability.shape).astype("float32")
    one, labels = analyse(tmp_path, probability, grey, 24)
    other, _ = analyse(tmp_path, probability, grey, 5)
    sums = ["grey_mean", "grey_sd"]
    pd.testing.assert_frame_equal(one.drop(columns=sums), other.drop(columns=sums), check_exact=True)
    np.testing.assert_allclose(one[sums], other[sums], rtol=1e-12)
    numbers = one["domain_id"]
    np.testing.assert_allclose(one["grey_mean"], ndimage.mean(grey.astype(float), labels, numbers), rtol=1e-9)
    np.testing.assert_array_equal(one["grey_min"], ndimage.minimum(grey, labels, numbers))


def test_a_snake_through_all_shards_is_one_object(tmp_path):
    """Up and down the stack: each seam is crossed six times by what is joined only at the ends."""
    mask = np.zeros((20, 5, 20), bool)
    mask[:, 2, 1:19:3] = True
    for turn, x in enumerate(range(1, 14, 3)):
        mask[0 if turn % 2 else 19, 2, x : x + 4] = True
    probability, grey = np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8")
    tables = [analyse(tmp_path, probability, grey, shard)[0] for shard in (20, 7, 3, 1)]
    assert list(tables[0]["voxels"]) == [mask.sum()]
    for found in tables[1:]:
        pd.testing.assert_frame_equal(found, tables[0], check_exact=True)


# Mutants: what would be wrong without each part must be seen by the gate above.


def test_mutant_without_stitching_finds_more_objects(tmp_path, monkeypatch):
    probability, grey = blobs()
    expected, _ = oracle(probability, grey, 26, 1)
    monkeypatch.setattr(Components, "unite_seam", lambda *_: None)
    found, _ = analyse(tmp_path, probability, grey, 4)
    assert len(found) > 1.18 * len(expected)


def test_mutant_that_filters_before_the_merge_loses_objects(tmp_path, monkeypatch):
    mask = np.zeros((8, 5, 9), bool)
    mask[3:5, 2, 3:6] = True  # three voxels on either side of the seam
    probability, grey = np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8")
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=5)[0]) == 1
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=6)[0]) == 1
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=7)[0]) == 0
    add = Components.add
    monkeypatch.setattr(Components, "add", lambda self, voxels: add(self, np.where(voxels < 5, 0, voxels)))
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=5)[0]) == 0


@pytest.mark.parametrize(("dy", "dx"), [(0, 1), (1, 0), (1, -1), (-1, 1), (-1, -1)])
def test_mutant_that_merges_by_faces_only_splits_diagonal_objects(tmp_path, monkeypatch, dy, dx):
    mask = np.zeros((8, 5, 9), bool)
    mask[3, 2, 4] = mask[4, 2 + dy, 4 + dx] = True
    probability, grey = np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8")
    assert len(analyse(tmp_path, probability, grey, 4)[0]) == 1
    assert len(analyse(tmp_path, probability, grey, 4, connectivity=6)[0]) == 2
    monkeypatch.setattr(seams, "reach_of", lambda _: 0)
    assert len(analyse(tmp_path, probability, grey, 4)[0]) == 2


def test_mutant_without_pairs_across_seams_has_too_much_surface(tmp_path, monkeypatch):
    probability, grey = blobs()
    expected, _ = oracle(probability, grey, 26, 1)
    pairs_across = table.pairs_across

    def none(*arguments):
        domain_id, pairs = pairs_across(*arguments)
        return domain_id, 0 * pairs

    monkeypatch.setattr(table, "pairs_across", none)
    found, _ = analyse(tmp_path, probability, grey, 4)
    cut = expected["bbox_z_start"] // 4 < (expected["bbox_z_stop"] - 1) // 4
    assert cut.sum() > 10
    assert (found["surface_um2"] > expected["surface_um2"] * (1 + 1e-6))[cut].all()


def test_mutant_that_numbers_by_shard_order_backwards_is_seen(tmp_path, monkeypatch):
    probability, grey = blobs()
    domains = Components.domains

    def backwards(self, min_voxels):
        domain_id, n_domains = domains(self, min_voxels)
        return np.where(domain_id > 0, n_domains + 1 - domain_id, 0), n_domains

    expected, expected_labels = oracle(probability, grey, 26, 1)
    monkeypatch.setattr(Components, "domains", backwards)
    found, labels = analyse(tmp_path, probability, grey, 4)
    assert len(found) == len(expected)
    assert (labels != expected_labels).any()


def test_mutants_of_the_confidence_are_seen(tmp_path, monkeypatch):
    """A mean of the means of parts, and a sum that holds 16 bits, both depend on where the scan is cut."""
    mask, _ = blobs()
    probability = np.where(mask > 0, np.random.default_rng(2).integers(128, 256, mask.shape), 0).astype("uint8")
    probability[:, 10:20, 10:30] = 200  # one domain through all parts, of more than 2^16 / 200 voxels
    probability[12:, 10:20, 10:30] = 250
    grey = np.zeros(mask.shape, "uint16")
    expected, _ = oracle(probability, grey, 26, 1)
    found, _ = analyse(tmp_path, probability, grey, 7)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], rtol=1e-12)
    assert expected["voxels"].max() > 4000
    add = Sums.add

    def mean_of_means(self, rows, part):
        before = self.voxels[rows].copy()
        add(self, rows, part)
        old = self.probability[rows] - part.probability
        means = np.where(before, (old / np.maximum(before, 1) + part.probability / part.voxels) / 2, 0)
        self.probability[rows] = np.where(before, means * self.voxels[rows], self.probability[rows])

    def short(self, rows, part):
        add(self, rows, part)
        self.probability[rows] %= 2**16

    for mutant in (mean_of_means, short):
        monkeypatch.setattr(Sums, "add", mutant)
        wrong, _ = analyse(tmp_path, probability, grey, 7)
        assert np.abs(wrong["confidence"] - expected["confidence"]).max() > 1e-3
