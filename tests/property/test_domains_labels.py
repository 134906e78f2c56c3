"""Euler number, cavities and surface of given labels that touch: each label is measured as it would be alone.

The oracle knows one label at a time: scipy counts the background that it encloses, scikit-image its Euler number.
"""

from itertools import pairwise

import numpy as np
import pytest
from domains_scan import measure, write_store
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import euler_number

from tomoprofile.domains import parts, touching
from tomoprofile.domains.runs import instance_runs, reach_of
from tomoprofile.domains.sums import Values
from tomoprofile.domains.surface import DIRECTIONS
from tomoprofile.domains.touching import CAVITIES, EULER


@st.composite
def label_volumes(draw):
    """Draw labels that touch: noise, thick shells, or pieces of a full volume, with holes or without."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_labels = draw(st.integers(1, 4))
    labels = rng.integers(1, n_labels + 1, shape)
    if draw(st.booleans()):  # larger pieces
        labels = ndimage.median_filter(labels, 2)
    labels[rng.random(shape) < draw(st.sampled_from([0.0, 0.05, 0.2, 0.5]))] = 0
    return labels.astype("uint32") * 7, draw(st.sampled_from([6, 26]))


def oracle(labels, connectivity):
    """Return for each label its voxels, Euler number, cavities, and pairs of voxels in 13 directions."""
    around = ndimage.generate_binary_structure(3, 3 if connectivity == 6 else 1)
    found = {}
    for label in np.unique(labels[labels > 0]):
        alone = np.pad(labels == label, 1)
        enclosed = ndimage.label(~alone, around)[1] - 1
        pairs = [int((alone & np.roll(alone, [-step for step in k], (0, 1, 2))).sum()) for k in DIRECTIONS]
        euler = euler_number(alone, 1 if connectivity == 6 else 3)
        found[label] = (int(alone.sum()), int(euler), enclosed, pairs)
    return found


def measured(labels, connectivity, cuts=(), order=None):
    """Return the same from the parts of a scan, joined in any order."""
    grid = parts.Grid((1.0, 1.0, 1.0), connectivity, parts.Filter(), np.uint8, np.int64(128))

    def part(start, stop):
        runs, label = instance_runs(labels[start:stop])
        nothing = np.zeros(labels[start:stop].shape, "uint8")
        return parts.part_of(runs, grid, start, values=Values(nothing, nothing), label=label)[0]

    bounds = sorted({0, len(labels), *(cut for cut in cuts if cut < len(labels))})
    waiting = [part(*bound) for bound in pairwise(bounds)]
    while len(waiting) > 1:
        at = order.randrange(len(waiting) - 1) if order else 0
        waiting[at : at + 2] = [parts.join(waiting[at], waiting[at + 1], grid)]
    whole = parts.finish(waiting[0], grid)
    rows = zip(whole.instances, whole.sums.voxels, whole.sums.tally, strict=True)
    return {
        label: (int(voxels), int(tally[EULER]), int(tally[CAVITIES]), tally[: len(DIRECTIONS)].tolist())
        for label, voxels, tally in rows
    }


ANY = given(volume=label_volumes(), cuts=st.lists(st.integers(1, 6)), order=st.randoms())


@settings(max_examples=60, deadline=None)
@ANY
def test_each_label_is_measured_as_it_would_be_alone(volume, cuts, order):
    labels, connectivity = volume
    assert measured(labels, connectivity, cuts, order) == oracle(labels, connectivity)


@pytest.mark.deep
@settings(max_examples=2000, deadline=None)
@ANY
def test_each_of_many_labels_is_measured_as_it_would_be_alone(volume, cuts, order):
    labels, connectivity = volume
    assert measured(labels, connectivity, cuts, order) == oracle(labels, connectivity)


def shells():
    """Two labels that enclose an empty voxel together; one wholly round another; a tube and its plug."""
    labels = np.zeros((9, 7, 24), "uint32")
    labels[1:4, 1:4, 1:4], labels[1:4, 1:4, 3], labels[2, 2, 2] = 1, 2, 0
    labels[1:6, 1:6, 6:11], labels[3, 3, 8] = 3, 4
    labels[2:7, 2:5, 13:16], labels[2:7, 3, 14] = 5, 0
    labels[2, 3, 14] = labels[6, 3, 14] = 6
    labels[3:6, 1:4, 19:22], labels[4, 2, 20] = 8, 0
    return labels


# By the definitions: a solid has Euler number 1, a shell 2, a tube 0, two pieces 2.
EXPECTED = {1: (1, 0), 2: (1, 0), 3: (2, 1), 4: (1, 0), 5: (0, 0), 6: (2, 0), 8: (2, 1)}


@pytest.mark.parametrize("connectivity", [6, 26])
@pytest.mark.parametrize("shard_slices", [9, 4, 1])
def test_shells_of_labels_through_the_stage(tmp_path, connectivity, shard_slices):
    labels = shells()
    write_store(tmp_path / "instances", labels, shard_slices)
    conditions = {"connectivity": connectivity, "shard_slices": shard_slices, "instances": tmp_path / "instances"}
    found = measure(tmp_path, labels > 0, **conditions).set_index("label")
    assert {label: (row.euler, row.cavities) for label, row in found.iterrows()} == EXPECTED
    assert {label: told[1:3] for label, told in oracle(labels, connectivity).items()} == EXPECTED


def corners():
    """Two voxels of one label that share an edge, two that share a corner, and a ring open to corners alone."""
    labels = np.zeros((5, 5, 16), "uint32")
    labels[1, 1, 1] = labels[1, 2, 2] = 1
    labels[1, 1, 5] = labels[2, 2, 6] = 2
    labels[1:4, 1:4, 10:13] = 3
    labels[2, 2, 11] = labels[1, 1, 10] = 0  # 26 sees the cavity through the missing corner, 6 does not
    return labels


def test_connectivity_decides_about_given_labels_too():
    told = {connectivity: measured(corners(), connectivity, (1, 2)) for connectivity in (6, 26)}
    assert [one[1] for one in told[26].values()] == [1, 1, 2]
    assert [one[1] for one in told[6].values()] == [2, 2, 1]
    assert [one[2] for one in told[26].values()] == [0, 0, 1]
    assert [one[2] for one in told[6].values()] == [0, 0, 0]
    for one, other in zip(told[6].values(), told[26].values(), strict=True):
        assert one[3] == other[3], "the pairs behind the surface are those of all directions"
    assert told == {connectivity: oracle(corners(), connectivity) for connectivity in (6, 26)}


# Mutants.


def test_mutant_that_takes_all_labels_for_one_foreground_is_seen(monkeypatch):
    pores_of, unite_pores = parts.pores_of, parts.unite_pores
    monkeypatch.setattr(parts, "pores_of", lambda runs, connectivity, _: pores_of(runs, connectivity))
    monkeypatch.setattr(
        parts, "unite_pores", lambda both, connectivity, _, *rest: unite_pores(both, connectivity, None, *rest)
    )
    found = {label: told[2] for label, told in measured(shells(), 26, (3, 5)).items()}
    assert found[1] + found[2] == 1, "an empty voxel that neither encloses"
    assert found[3] == 0, "a cavity that another label fills"


def test_mutant_that_ignores_the_connectivity_of_labels_is_seen(monkeypatch):
    assert touching.reach_of is reach_of
    monkeypatch.setattr(touching, "reach_of", lambda _: 1)
    found, right = measured(corners(), 6), oracle(corners(), 6)
    assert [found[label][1] == right[label][1] for label in (1, 2)] == [False, False]


def test_mutant_without_pairs_over_edges_has_another_surface(monkeypatch):
    monkeypatch.setattr(parts, "diagonal_pairs", lambda *_: np.empty((0, 4), np.int64))
    assert measured(corners(), 6)[1][3] != oracle(corners(), 6)[1][3]


def test_mutant_that_joins_no_pores_of_labels_across_seams_is_seen(monkeypatch):
    labels = np.full((7, 5, 5), 3, "uint32")
    labels[2:5, 2, 2] = 9  # fills a cavity through three slices
    assert measured(labels, 26, (3, 4))[3][1:3] == (2, 1)
    monkeypatch.setattr(parts, "unite_pores", lambda *_: None)
    assert measured(labels, 26, (3, 4))[3][2] != 1
