import pytest

from tomoprofile.units import size_in_words


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0.0 MB"),
        (4.2e5, "0.4 MB"),
        (9.94e6, "9.9 MB"),
        (12_345_678, "12 MB"),
        (999e6, "999 MB"),
        (1.25e12, "1250.0 GB"),
    ],
)
def test_small_sizes_are_in_megabytes(n_bytes, words):
    assert size_in_words(n_bytes) == words
