"""The table of domains is the same for every partition, and equals what a one-shot analysis gives (A6)."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from domains_scan import write_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import euler_number

from tomoprofile.config import ObjectsConfig
from tomoprofile.domains import parts, table
from tomoprofile.domains.axes import covariance
from tomoprofile.domains.measures import OF_BODIES
from tomoprofile.domains.objects import iter_runs, read_objects_metadata
from tomoprofile.domains.sums import Sums, Values
from tomoprofile.domains.surface import DIRECTIONS, crofton_surface
from tomoprofile.domains.table import Level, Segmented, measure_array, measure_domains
from tomoprofile.domains.touching import PROBABILITY
from tomoprofile.volume.plane import Plane

EDGES = (1.0, 0.5, 0.75)
LEVEL = 128 / 255
PLANE = Plane.through((0.2, -1.0, 0.1), -3.0)
COMMON = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def analyse(folder, probability, grey, shard_slices, connectivity=26, min_voxels=1, min_slices=1):
    """Return the table and the label volume painted from the runs."""
    p = write_store(folder / "p", {"domain": probability}, shard_slices, EDGES)
    v = write_store(folder / "v", grey, shard_slices, EDGES)
    PLANE.save(folder / "interface.json")
    objects, out = folder / "objects.parquet", folder / "domains.parquet"
    levels = {"calibrated": Level({"domain": LEVEL}, objects, out)}
    conditions = ObjectsConfig(connectivity=connectivity, min_voxels=min_voxels, min_slices=min_slices)
    n_domains = measure_domains(Segmented(p, v), folder / "interface.json", levels, conditions)["domain"]
    labels = np.zeros(probability.shape, np.int64)
    metadata = read_objects_metadata(objects)["domain"]
    for runs in iter_runs(objects, metadata):
        for z, y, start, stop, domain in zip(runs.z, runs.y, runs.x_start, runs.x_stop, runs.domain_id, strict=True):
            assert not labels[z, y, start:stop].any()
            labels[z, y, start:stop] = domain
    found = pd.read_parquet(out)
    assert n_domains == len(found) == metadata.n_domains
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


def oracle(probability, grey, connectivity, min_voxels, min_slices=1):
    """Return table and labels by dense labelling and plain sums over voxels."""
    structure = ndimage.generate_binary_structure(3, 1 if connectivity == 6 else 3)
    raw, _ = ndimage.label(probability >= 128, structure)
    numbers, first, voxels = np.unique(raw, return_index=True, return_counts=True)
    slices = [np.flatnonzero((raw == number).any((1, 2))) for number in numbers]
    cut = [mine[0] == 0 or mine[-1] == len(raw) - 1 for mine in slices]
    enough = np.array([len(mine) >= min_slices for mine in slices]) | cut
    keep = (numbers > 0) & (voxels >= min_voxels) & enough
    labels = np.zeros_like(raw, dtype=np.int64)
    holes = cavities(raw, connectivity)
    rows = []
    for domain, number in enumerate(numbers[keep][np.argsort(first[keep])], 1):
        mine = raw == number
        labels[mine] = domain
        where = np.argwhere(mine)
        points = (where + 0.5) * EDGES
        count = len(where)
        padded = np.pad(mine, 1)
        pairs = [(padded & np.roll(padded, [-k for k in step], (0, 1, 2))).sum() for step in DIRECTIONS]
        # No thinner than a voxel: in units of its own standard deviations, nothing is less than 1.
        unit = np.diag(EDGES) / math.sqrt(12)
        values, vectors = np.linalg.eigh(np.cov(np.linalg.inv(unit) @ points.T, bias=True).reshape(3, 3))
        spread = unit @ (vectors * np.maximum(values, 1)) @ vectors.T @ unit
        values, vectors = np.linalg.eigh(spread)
        surface = crofton_surface(np.array([count]), np.array([pairs]), (values[None], vectors[None]), EDGES)[0]
        axes = np.sqrt(5 * values)[::-1]
        low, high = where.min(axis=0), where.max(axis=0) + 1
        touches = (low == 0) | (high == mine.shape)
        lateral = [axis for axis in range(3) if axis != PLANE.axis and mine.shape[axis] > 1]
        weights = [0 if touches[a] else mine.shape[a] / (mine.shape[a] - (high - low)[a] - 1) for a in lateral]
        row = {"domain_id": domain, "voxels": count, "surface_um2": surface, "edge_weight": math.prod(weights)}
        row |= {f"centroid_{name}_um": value for name, value in zip("zyx", points.mean(axis=0), strict=True)}
        row |= {f"bbox_{name}_start": value for name, value in zip("zyx", low, strict=True)}
        row |= {f"bbox_{name}_stop": value for name, value in zip("zyx", high, strict=True)}
        row |= {f"axis_{i}_um": value for i, value in enumerate(axes, 1)}
        row |= {"depth_um": (points @ PLANE.normal).mean() - PLANE.offset_um, "on_border": touches.any()}
        row |= {"euler": euler_number(padded, 1 if connectivity == 6 else 3), "cavities": holes[number]}
        row |= {"feret_max_um": farthest(where)}
        values = grey[mine].astype(float)
        row |= {"grey_mean": values.mean(), "grey_sd": values.std(), "grey_min": values.min()}
        row |= {"grey_max": values.max(), "confidence": probability[mine].mean() / 255}
        rows.append(row)
    found = pd.DataFrame(rows)
    if len(found) > 1:
        centres = found[[f"centroid_{axis}_um" for axis in "zyx"]].to_numpy()
        distances = np.linalg.norm(centres[:, None] - centres, axis=2)
        found["nearest_um"] = (distances + np.diag(np.full(len(found), np.inf))).min(axis=1)
    return found, labels


def cavities(labels, connectivity):
    """Return how many cavities each label encloses; the label left of its first voxel has a cavity."""
    labels = np.pad(labels, 1)
    structure = ndimage.generate_binary_structure(3, 3 if connectivity == 6 else 1)
    holes, count = ndimage.label(labels == 0, structure)
    found = np.zeros(labels.max() + 1, int)
    for hole in set(range(1, count + 1)) - {holes[0, 0, 0]}:
        z, y, x = np.argwhere(holes == hole)[0]
        found[labels[z, y, x - 1]] += 1
    return found


def farthest(where):
    """Return the largest distance between points half an edge from the centres of voxels along each axis."""
    steps = np.concatenate([np.eye(3), -np.eye(3)]) / 2
    points = ((where[:, None] + steps) * EDGES).reshape(-1, 3)
    if len(where) > 100:
        points = points[ConvexHull(points).vertices]
    return max(np.linalg.norm(points - point, axis=1).max() for point in points)


@COMMON
@given(scan=scans(), shard_slices=st.integers(1, 9), min_slices=st.integers(1, 3))
def test_any_partition_gives_the_table_of_a_one_shot_analysis(tmp_path_factory, scan, shard_slices, min_slices):
    probability, grey, connectivity, min_voxels = scan
    folder = tmp_path_factory.mktemp("scan")
    found, labels = analyse(folder, probability, grey, shard_slices, connectivity, min_voxels, min_slices)
    expected, expected_labels = oracle(probability, grey, connectivity, min_voxels, min_slices)
    np.testing.assert_array_equal(labels, expected_labels)
    if 1 in probability.shape:  # a section does not show bodies
        assert found[list(OF_BODIES)].isna().all(axis=None)
        edge = EDGES[probability.shape.index(1)]
        circles = np.sqrt(4 * expected["voxels"] * np.prod(EDGES) / edge / np.pi) if len(found) else []
        expected = expected.drop(columns=[name for name in expected if name in OF_BODIES])
        expected["equivalent_diameter_um"] = circles
    for name in expected:
        exact = expected[name].dtype.kind in "ib"
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0 if exact else 1e-9, atol=0 if exact else 1e-9, err_msg=name
        )


@COMMON
@given(scan=scans(), one=st.integers(1, 9), other=st.integers(1, 9))
def test_two_partitions_give_the_same_bits(tmp_path_factory, scan, one, other):
    probability, grey, connectivity, min_voxels = scan
    first, _ = analyse(tmp_path_factory.mktemp("one"), probability, grey, one, connectivity, min_voxels)
    second, _ = analyse(tmp_path_factory.mktemp("other"), probability, grey, other, connectivity, min_voxels)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@settings(max_examples=100, deadline=None)
@given(scan=scans(), cuts=st.lists(st.integers(0, 9)), order=st.randoms())
def test_parts_may_be_joined_in_any_order(scan, cuts, order):
    probability, grey, connectivity, _ = scan
    grid = parts.Grid(EDGES, connectivity, parts.Filter(), grey.dtype, np.int64(2**15))
    bounds = sorted({0, len(probability), *(cut for cut in cuts if cut < len(probability))})

    def part(start, stop):
        values = Values(grey[start:stop], probability[start:stop])
        return parts.part_of(table.extract_runs(values.probability, 128), grid, start, values=values)[0]

    waiting = [part(*bound) for bound in pairwise(bounds)]
    while len(waiting) > 1:
        at = order.randrange(len(waiting) - 1)
        waiting[at : at + 2] = [parts.join(waiting[at], waiting[at + 1], grid)]
    found, expected = (parts.finish(whole, grid).sums for whole in (waiting[0], part(0, len(probability))))
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


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


def wrong_table(monkeypatch, target, name, mutant, *, slices=4, connectivity=26, image=None):
    """Return the columns with a part of the code replaced, and the right ones."""
    probability, grey = blobs() if image is None else image
    right = measure_array(probability, grey, EDGES, connectivity=connectivity)
    monkeypatch.setattr(target, name, mutant)
    return measure_array(probability, grey, EDGES, connectivity=connectivity, slices=slices), right


def test_mutant_without_stitching_finds_more_objects(monkeypatch):
    link_seam = parts.link_seam

    def apart(both, connectivity, component, parent, tally, _):
        link_seam(both, connectivity, component, parent, tally, True)

    found, right = wrong_table(monkeypatch, parts, "link_seam", apart)
    assert len(found["voxels"]) > 1.18 * len(right["voxels"])


def test_mutant_that_filters_before_the_merge_loses_objects(tmp_path, monkeypatch):
    mask = np.zeros((8, 5, 9), bool)
    mask[3:5, 2, 3:6] = True  # three voxels on either side of the seam
    probability, grey = np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8")
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=5)[0]) == 1
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=6)[0]) == 1
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=7)[0]) == 0
    assert len(analyse(tmp_path, probability, grey, 4, min_slices=2)[0]) == 1
    assert len(analyse(tmp_path, probability, grey, 4, min_slices=3)[0]) == 0
    extract = table.extract_runs

    def filtered(probability, threshold):
        labels, _ = ndimage.label(probability >= threshold, np.ones((3, 3, 3)))
        large = np.bincount(labels.ravel(), minlength=1) >= 5
        return extract(np.where(large[labels], probability, 0).astype("uint8"), threshold)

    monkeypatch.setattr(table, "extract_runs", filtered)
    assert len(analyse(tmp_path, probability, grey, 4, min_voxels=5)[0]) == 0


@pytest.mark.parametrize(("dy", "dx"), [(0, 1), (1, 0), (1, -1), (-1, 1), (-1, -1)])
def test_mutant_that_merges_by_faces_only_splits_diagonal_objects(tmp_path, monkeypatch, dy, dx):
    mask = np.zeros((8, 5, 9), bool)
    mask[3, 2, 4] = mask[4, 2 + dy, 4 + dx] = True
    probability, grey = np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8")
    assert len(analyse(tmp_path, probability, grey, 4)[0]) == 1
    assert len(analyse(tmp_path, probability, grey, 4, connectivity=6)[0]) == 2
    link_seam = parts.link_seam
    monkeypatch.setattr(parts, "link_seam", lambda both, _, *rest: link_seam(both, 6, *rest))
    assert len(analyse(tmp_path, probability, grey, 4)[0]) == 2


def test_mutant_without_tallies_across_seams_has_another_surface_and_topology(monkeypatch):
    link_seam = parts.link_seam

    def uncounted(both, connectivity, component, parent, tally, given):
        link_seam(both, connectivity, component, parent, tally.copy(), given)

    found, right = wrong_table(monkeypatch, parts, "link_seam", uncounted)
    cut = right["bbox_z_start"] // 4 < (right["bbox_z_stop"] - 1) // 4
    assert cut.sum() > 10
    assert (found["surface_um2"] > right["surface_um2"] * (1 + 1e-6))[cut].all()
    assert (found["euler"] > right["euler"])[cut].all()


def test_mutant_that_forgets_diagonal_contacts_under_6_has_another_surface(monkeypatch):
    """Two columns that touch over an edge alone become one in the last slice, in another part."""
    mask = np.zeros((9, 5, 6), bool)
    mask[1:, 1, 1] = mask[1:, 2, 2] = mask[8, 1, 2] = True
    image = np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8")
    settle = partial(wrong_table, monkeypatch, parts, "settle_contacts", connectivity=6, image=image)
    found, right = settle(lambda contacts, *_: contacts[:0])
    assert len(found["voxels"]) == len(right["voxels"]) == 1
    assert found["surface_um2"][0] > 1.02 * right["surface_um2"][0]


def hollow():
    """A box through all parts with two cavities, one of which has a domain inside, and a pit that is none."""
    mask = np.zeros((24, 12, 12), bool)
    mask[1:23, 1:11, 1:11] = True
    mask[3:8, 3:6, 3:6] = False
    mask[10:21, 3:9, 3:9] = False
    mask[13:16, 5:7, 5:7] = True
    mask[2:5, 8:10, 9:] = False
    return np.where(mask, 255, 0).astype("uint8"), np.zeros(mask.shape, "uint8")


def test_cavities_belong_to_the_domain_around_them(monkeypatch):
    for slices in (24, 5, 1):
        found = measure_array(*hollow(), EDGES, slices=slices)
        assert list(found["cavities"]) == [2, 0]
        assert list(found["euler"]) == [3, 1]
    united, _ = wrong_table(monkeypatch, parts, "unite_pores", lambda *_: None, image=hollow(), slices=5)
    assert united["cavities"][0] > 2, "the mutant that unites no pores across seams counts pieces"


def test_mutant_that_measures_feret_diameters_of_pieces_is_too_short(monkeypatch):
    settle = parts.settle_points
    found, right = wrong_table(
        monkeypatch, parts, "settle_points", lambda part, is_open, grid: settle(part, 0 * is_open, grid)
    )
    assert (found["feret_max_um"] < 0.95 * right["feret_max_um"]).sum() > 10


def test_mutant_that_numbers_by_shard_order_backwards_is_seen(tmp_path, monkeypatch):
    probability, grey = blobs()
    expected, expected_labels = oracle(probability, grey, 26, 1)
    number = table.number_domains

    def backwards(sums, *conditions):
        domain_id = number(sums, *conditions)
        return np.where(domain_id > 0, domain_id.max() + 1 - domain_id, 0)

    monkeypatch.setattr(table, "number_domains", backwards)
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
    gathered = Sums.gathered

    def mean_of_means(self, number):
        merged = gathered(self, number)
        means = self.tally[:, PROBABILITY] / self.voxels
        mean = np.bincount(number, means) / np.bincount(number)
        merged.tally[:, PROBABILITY] = mean * merged.voxels
        return merged

    def short(self, number):
        merged = gathered(self, number)
        merged.tally[:, PROBABILITY] %= 2**16
        return merged

    for mutant in (mean_of_means, short):
        monkeypatch.setattr(Sums, "gathered", mutant)
        wrong, _ = analyse(tmp_path, probability, grey, 7)
        assert np.abs(wrong["confidence"] - expected["confidence"]).max() > 1e-3


def test_covariance_is_that_of_the_sums_of_any_part(tmp_path):
    """The surface of the oracle uses the code's own correction; here its input is compared with plain sums."""
    probability, grey = blobs()
    found, labels = analyse(tmp_path, probability, grey, 5)
    largest = int(found["voxels"].argmax())
    mine = np.argwhere(labels == largest + 1)
    sums = Sums.empty(1, "uint16", False)
    mixed = [(mine[:, a] * mine[:, b]).sum() for a, b in ((0, 1), (0, 2), (1, 2))]
    sums.moments[0] = [len(mine), *mine.sum(axis=0), *(mine**2).sum(axis=0), *mixed]
    sums.box[0] = [*mine.min(axis=0), *(mine.max(axis=0) + 1)]
    spread = np.cov((mine * EDGES).T, bias=True)
    np.testing.assert_allclose(covariance(sums, EDGES)[0], spread, rtol=1e-10, atol=1e-12)
    assert found["axis_1_um"][largest] == pytest.approx(np.sqrt(5 * np.linalg.eigvalsh(spread)[-1]))
