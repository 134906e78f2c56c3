import numpy as np
import pytest

from tomoprofile.labels.annotators import agreement, consensus
from tomoprofile.labels.classes import IGNORE

N = IGNORE
# By hand: voxel by voxel, three people.
ANNA = np.array([[1, 1, 0, 2, N, N, 1, 0]], np.uint8)
BEN = np.array([[1, 0, 0, 1, 1, N, N, N]], np.uint8)
CARL = np.array([[1, 1, 1, 0, 0, N, N, 0]], np.uint8)


def test_the_majority_decides_and_ties_are_ignored():
    assert consensus([ANNA, BEN, CARL]).tolist() == [[1, 1, 0, N, N, N, 1, 0]]
    assert consensus([ANNA, BEN]).tolist() == [[1, N, 0, N, 1, N, 1, 0]]
    assert (consensus([ANNA]) == ANNA).all()


def test_the_most_frequent_answer_is_not_enough():
    votes = [np.array([[value]], np.uint8) for value in (1, 1, 0, 2)]  # two of four: no majority
    assert consensus(votes).item() == N
    mutant = np.bincount([vote.item() for vote in votes]).argmax()
    assert mutant != N


def test_agreement_by_hand():
    found = agreement([ANNA, BEN, CARL])
    # Pairs, where both decided: {1 1 0 2 | 1 0 0 1} 2*1/(2+2); {1 1 0 2 0 | 1 1 1 0 0} 2*2/(2+3);
    # {1 0 0 1 1 | 1 1 1 0 0} 2*1/(3+3).
    assert found.dice == pytest.approx((2 / 4 + 4 / 5 + 2 / 6) / 3)
    # Two or more decided voxels 0-4 and 7; they differ on 1-4.
    assert found.disagree == pytest.approx(4 / 6)
    assert "Dice 0.54" in str(found)
    assert "66.7 %" in str(found)
    assert agreement([ANNA, BEN], measured=(2,)).dice == 0


def test_the_dice_of_slices_without_domains_is_unknown():
    empty = np.zeros((2, 2), np.uint8)
    assert agreement([empty, empty]).dice is None
    assert agreement([empty, empty]).disagree == 0
    assert agreement([np.full((2, 2), N, np.uint8), empty]).disagree is None
