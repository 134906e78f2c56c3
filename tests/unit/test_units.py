import numpy as np
import pytest

from tomoprofile.units import micrometres, size_in_words


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


@pytest.mark.parametrize(
    ("factor", "names"),
    [
        (
            1.0,
            ["um", "\u00b5m", "\u03bcm", "\\u00B5m", "\\u03bcm", "Âµm", "&#181;m", "micron", "Microns"],
        ),
        (
            1.0,
            [
                "micrometre",
                "micrometers",
                " um ",
                "[um]",
                "UM",
                "µ",
                b"\xc2\xb5m",
                b"\xb5m",
                np.array(b"um"),
                np.array(["um"]),
            ],
        ),
        (1e-3, ["nm", "nanometer", "Nanometres"]),
        (1e3, ["mm", "MM", "millimeter", b"mm", "mm\0"]),
        (1e4, ["cm", "centimetre"]),
        (1e6, ["m", "meter", "metres"]),
        (25400.0, ["in", "inch", "inches", '"']),
        (1e-4, ["Å", "\u212b", "angstrom", "Angstroms"]),
        (None, ["", "pixel", "pixels", "reference frame", "Mm", "voxel", "s", "deg", None, np.zeros(3), object()]),
    ],
)
def test_lengths_are_known_in_every_spelling(factor, names):
    assert [micrometres(name) for name in names] == [factor] * len(names)
