"""The damage is as varied and as repeatable as the tests that use it believe."""

import pytest
from fuzz.mutations import WAYS, mutations

TEXT = b'{"shape": [24, 40, 36], "scale": 0.65, "name": "film_a"}' * 20


def test_the_same_seed_gives_the_same_damage_and_another_seed_another():
    first, again, other = (list(mutations(TEXT, 300, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) == 300


@pytest.mark.parametrize("content", [TEXT, b"\x00" * 100, b"a", b""])
def test_every_version_differs_from_the_good_file(content):
    made = list(mutations(content, 20 * len(WAYS), 0))
    assert len(made) == 20 * len(WAYS)
    assert all(damaged != content for _, damaged in made)


def test_every_kind_of_damage_occurs():
    said = " ".join(what for what, _ in mutations(TEXT, 20 * len(WAYS), 0))
    for kind in ("flipped", "overwritten", "cut off", "inserted", "lost", "zeroed", "exchanged", "appended", "became"):
        assert kind in said
    assert {len(damaged) < len(TEXT) for _, damaged in mutations(TEXT, 100, 0)} == {True, False}
    assert any(b"NaN" in damaged for _, damaged in mutations(TEXT, 500, 0))
