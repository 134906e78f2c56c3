"""Numbers in words: never more digits than the interval supports, never a number that is not there."""

import math
import re
from pathlib import Path

import pytest
from model_facts import scores
from report_scan import SHAPE, ZONE_UM

from tomoprofile.domains.objects import ObjectsMetadata
from tomoprofile.report import numbers
from tomoprofile.report.flags import filter_flags
from tomoprofile.report.numbers import (
    NOT_AVAILABLE,
    Estimate,
    count,
    depth_range,
    estimate,
    length,
    short,
    smallest_kept_um,
    whole_of,
)
from tomoprofile.report.sections.heading import summary
from tomoprofile.report.sections.headline import cards
from tomoprofile.report.segmentation import with_segmentation
from tomoprofile.report.zones import read_zones, whole_domains
from tomoprofile.tables import SIZES

THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("number", "text", "interval"),
    [
        (Estimate(4.21873, 4.10112, 4.33871), "4.22", "4.10–4.34"),
        (Estimate(4.21873, 3.2, 5.2), "4.2", "3.2–5.2"),
        (Estimate(2.97146, 2.96841, 2.97449), "2.971", "2.968–2.974"),
        (Estimate(17.4, 3.2, 61.0), "17", "3–61"),
        (Estimate(2.98123e6, 2.91e6, 3.05e6), "2.98 × 10⁶", "2.91–3.05 × 10⁶"),
        (Estimate(0.00021234, 0.0002, 0.00022), "2.12 × 10⁻⁴", "2.00–2.20 × 10⁻⁴"),
        (Estimate(3.14159), "3.14", ""),
        (Estimate(20516, 2381, 53603), f"21{THIN}000", f"2{THIN}000–54{THIN}000"),
        (Estimate(20516.4), f"20{THIN}500", ""),
        (Estimate(0.0, 0.0, 0.0), "0.0", "0.0–0.0"),
        (Estimate(math.nan, math.nan, math.nan), NOT_AVAILABLE, ""),
    ],
)
def test_digits_follow_the_interval(number, text, interval):
    assert (number.text, number.interval) == (text, interval)


def test_band_that_outweighs_the_interval():
    assert Estimate(4.0, 3.9, 4.1, 2.5, 6.1).boundary_dominates
    assert not Estimate(4.0, 3.0, 5.0, 3.9, 4.1).boundary_dominates
    assert not Estimate(4.0).boundary_dominates


def test_words():
    assert count(1234567).replace("\N{NARROW NO-BREAK SPACE}", " ") == "1 234 567"
    assert depth_range(80, math.nan) == "beyond 80 µm"
    assert depth_range(0, 27.0) == "0–27 µm"
    assert depth_range(80, 109.0034) == "80–109 µm"
    assert depth_range(0.044, 0.132) == "0.044–0.132 µm", "voxels of 22 nm"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.00001, "-1 × 10⁻⁵"),
        (0.45, "0.45"),
        (0.93126, "0.931"),
        (27.0, "27"),
        (1234.5, "1234"),
        (2.5e9, "2.5 × 10⁹"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_numbers_without_an_interval_have_three_digits_that_count(number, text):
    assert short(number) == text


def test_a_small_length_is_never_told_as_zero():
    assert [length(um) for um in (0.044, 0.0281, 3.14159, 27.04, 1234.56)] == [
        "0.044",
        "0.0281",
        "3.14",
        "27",
        "1234.6",
    ]


def test_the_pages_leave_digits_to_one_module():
    """A format of its own in a section or template shows the same number twice in different digits."""
    found = {
        f"{path.name}: {part}"
        for path in REPORT.rglob("*")
        if path.suffix in (".py", ".j2") and path.name not in ("numbers.py", "cuts.py", "rendering.py")
        for part in re.findall(r"(?<![%{])\{[^{}%]*:[+,]?\.?\d*[fg,]\}|%\.\d[fg]", path.read_text())
    }
    # Not read by people: a scale in SVG; a signed percentage and the labels of size classes stand alone.
    assert not {part for part in found if "%.7g" not in part and "+.1f" not in part and ":g}" not in part}
    assert re.findall(r"%\.\d[fg]", '{{ "%.2f" | format(x) }}'), "what looks for them finds one"


def test_the_smallest_domain_is_said_to_be_the_filter_when_it_is(zones, sizes):
    kept = smallest_kept_um(OBJECTS)
    assert not filter_flags(zones, kept)
    assert "size filter" not in cards(zones, sizes, OBJECTS)[-1].caveat
    small = zones.copy()
    small.loc[small["zone"] == "interface", "diameter_min_um"] = kept
    (flag,) = filter_flags(small, kept)
    assert (flag.severity, flag.title) == ("warning", "The smallest domain is the size filter")
    assert "as small as the size filter allows" in cards(small, sizes, OBJECTS)[-1].caveat
    small.loc[small["zone"] == "interface", "diameter_min_um"] = math.nan
    assert not filter_flags(small, kept)


BIAS = {"n_tiles": 40, "n_groups": 3, "coverage": 0.95}


def test_the_interval_of_the_volume_fraction_includes_the_segmentation(zones, sizes):
    number = Estimate(4.0, 3.8, 4.3)
    judged = scores(area_ratio=1.0, area_interval=BIAS | {"low": 0.9, "high": 1.2})
    found, told = with_segmentation(number, judged)
    assert found.value == number.value
    assert math.log(4.0 / found.lo) == pytest.approx(math.hypot(math.log(4.0 / 3.8), math.log(1.2)))
    assert math.log(found.hi / 4.0) == pytest.approx(math.hypot(math.log(4.3 / 4.0), math.log(1 / 0.9)))
    assert "found over labelled area is 1 (0.9 to 1.2) on labels that did not train" in told
    # A segmentation that finds too much for certain widens one end alone.
    wide = scores(area_ratio=1.2, area_interval=BIAS | {"low": 1.1, "high": 1.3})
    found, _ = with_segmentation(number, wide)
    assert found.hi == pytest.approx(4.3)
    assert found.lo < 4.0 / 1.3
    plain, known = (cards(zones, sizes, OBJECTS, one)[0] for one in (None, judged))
    assert plain.interval != known.interval
    assert "includes the segmentation" in known.caveat


def test_the_interval_includes_a_segmentation_that_one_place_judged_and_says_so():
    number = Estimate(4.0, 3.8, 4.3)
    one = scores(area_ratio=1.0, area_interval=BIAS | {"low": 0.9, "high": 1.2, "n_groups": 1})
    found, told = with_segmentation(number, one)
    assert found.lo < 3.6
    assert "from one place" in told
    several = scores(area_ratio=1.0, area_interval=BIAS | {"low": 0.9, "high": 1.2})
    same, told = with_segmentation(number, several)
    assert (same.lo, same.hi) == (found.lo, found.hi)
    assert "from one place" not in told
    assert with_segmentation(number, None) == (number, "")
    unknown, told = with_segmentation(number, scores(area_ratio=1.0, area_interval=None))
    assert unknown is number
    assert "sampling alone" in told
    alone = Estimate(4.0)
    found, told = with_segmentation(alone, one)
    assert found is alone
    assert not told


def test_counts_that_differ_say_why(zones, sizes):
    """Domains found, and those whose size is known, are two numbers of one zone."""
    (found,) = zones.query("zone == 'interface' and level == 'calibrated'")["n_domains"]
    whole = whole_domains(sizes, "interface")
    assert 0 < whole < found
    words = f"{whole} whole domains ({found} were found; {found - whole} are left out: a side of the scan cuts them"
    assert f"the smallest of {whole} whole domains (of {found}) is" in summary(zones, sizes)
    assert words in cards(zones, sizes, OBJECTS)[-1].caveat
    assert whole_of(5, 5) == "5 domains"
    assert "1 is left out" in whole_of(4, 5)


REPORT = Path(numbers.__file__).parent
OBJECTS = ObjectsMetadata("domain", 0.45, 26, 5, SHAPE, (0.5, 0.5, 0.5), 224)


@pytest.fixture(scope="module")
def zones(scans):
    return read_zones(scans("plain").zones)["domain"]


@pytest.fixture(scope="module")
def sizes(scans):
    return SIZES.read(scans("plain").sizes)


def test_estimate_takes_value_and_interval_from_the_calibrated_level_and_the_band_from_all(zones):
    rows = zones[zones["zone"] == "bulk"].set_index("level")
    found = estimate(zones, "bulk", "volume_ratio", 100)
    assert found.value == pytest.approx(100 * rows.at["calibrated", "volume_ratio"])
    assert (found.lo, found.hi) == pytest.approx(
        tuple(100 * rows.at["calibrated", f"volume_ratio_{end}"] for end in ("lo", "hi"))
    )
    assert found.band_lo == pytest.approx(100 * rows.at["high", "volume_ratio"])
    assert found.band_hi == pytest.approx(100 * rows.at["low", "volume_ratio"])
    assert found.band_lo < found.value < found.band_hi


def test_plateau_is_the_last_zone_reached(zones, sizes):
    assert [card.title for card in cards(zones, sizes, OBJECTS)][-1] == "Smallest domain near the substrate"
    assert f"At {ZONE_UM:g} µm and more" in summary(zones, sizes)
    unreached = zones.copy()
    unreached.loc[unreached["zone"] == "bulk", ["volume_ratio", "to_um"]] = math.nan
    assert f"At 0 to {ZONE_UM:g} µm" in summary(unreached, sizes)


def test_no_domain_near_the_substrate_is_said(zones, sizes, scans):
    assert "no whole domain was found" not in summary(zones, sizes)
    files = scans("none near the substrate")
    empty, without = read_zones(files.zones)["domain"], SIZES.read(files.sizes)
    card = cards(empty, without, OBJECTS)[-1]
    assert (card.value, card.caveat) == (NOT_AVAILABLE, "No size is known: no domain has its centre there.")
    assert "no whole domain was found" in summary(empty, without)


def test_unknown_level_leaves_the_band_open(zones):
    gap = zones.copy()
    gap.loc[gap["level"] == "high", "volume_ratio"] = math.nan
    assert estimate(gap, "bulk", "volume_ratio").band == ""
