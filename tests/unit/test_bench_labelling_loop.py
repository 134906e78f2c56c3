"""The benchmark of the labelling loop, as small as it gets, and what its page says."""

import numpy as np
import pytest

from benchmarks import labelling_loop
from benchmarks.labelling_loop import Settings, page, run
from tomoprofile.amplify.registration import Registration

TINY = Settings((24, 24, 32), pool=3, added=1, draws=1, tests=1, first=2, more=2, registration=(2, 2))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Return a folder and what one seed showed there; deformations are made up, which are the slow part."""
    work = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelling_loop, "register_case", made_up)
        return work, run("two sites", 0, TINY, work, 1)


def made_up(case, template, _):
    shape = np.full(template.lattice.shape, float(case.image.mean()), np.float32)
    return Registration(case.name, template.digest, shape, np.zeros(3))


def test_a_seed_compares_ranked_with_chance_and_is_not_computed_twice(record, monkeypatch):
    work, found = record
    assert {site.name[0] for site in labelling_loop.Loop("two sites", 1, TINY, work / "other").pool} == {"A", "D"}
    assert len(found["random"]) == TINY.draws
    assert len(found["pool"]) == TINY.pool - 1
    every = [found["ranked"], *found["random"]]
    assert all(len(one["chosen"]) == 1 and 0 not in one["chosen"] for one in every)
    scores = [found["first"], *(one["dice"] for one in every)]
    assert all(0 <= score <= 1 for score in scores)
    same = {tuple(one["chosen"]): one["dice"] for one in every}
    assert all(one["dice"] == same[tuple(one["chosen"])] for one in every), "one choice, one result"
    monkeypatch.setattr(labelling_loop, "Loop", None)
    assert run("two sites", 0, TINY, work, 1) == found
    with pytest.raises(TypeError):
        run("two sites", 0, Settings(size=(32, 24, 32)), work, 1)


def seed_of(record, seed, ranked, chance):
    random = [{"chosen": [1], "dice": dice} for dice in chance]
    pool = [{"doubt": n / 9, "difference": 5.0 - n, "gain": n / 9 * (5.0 - n), "dice": 0.9 - n / 9} for n in range(5)]
    return record | {
        "seed": seed,
        "first": 0.5,
        "ranked": {"chosen": [2], "dice": ranked},
        "random": random,
        "pool": pool,
    }


@pytest.mark.parametrize(
    ("gain", "told"), [(0.1, "help more than"), (-0.1, "help less than"), (0.0, "show no difference")]
)
def test_the_page_says_which_way_it_went(record, gain, told):
    noise = np.array([0.01, -0.01, 0.005, -0.005])
    records = [seed_of(record[1], n, 0.7 + gain + noise[n], [0.6, 0.8]) for n in range(4)]
    text = page(records)
    assert told in text
    assert f"| 0 | 0.500 | {0.71 + gain:.3f} | 0.700 | {gain + 0.01:+.3f} |".replace("+", "") in text.replace("+", "")
    assert "uncertainty -1.00, difference +1.00" in text
    assert "too few seeds" in page(records[:1])
