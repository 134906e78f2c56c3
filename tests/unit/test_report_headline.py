"""Numbers in words: never more digits than the interval supports, never a number that is not there."""

import math

import pytest
from report_scan import SHAPE, ZONE_UM

from tomoprofile.domains.objects import ObjectsMetadata
from tomoprofile.report.numbers import NOT_AVAILABLE, Estimate, count, depth_range, estimate
from tomoprofile.report.sections.heading import summary
from tomoprofile.report.sections.headline import cards
from tomoprofile.report.zones import read_zones


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


OBJECTS = ObjectsMetadata("domain", 0.45, 26, 5, SHAPE, (0.5, 0.5, 0.5), 224)


@pytest.fixture(scope="module")
def zones(scans):
    return read_zones(scans("plain").zones)["domain"]


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


def test_plateau_is_the_last_zone_reached(zones):
    assert [card.title for card in cards(zones, OBJECTS)][-1] == "Smallest domain near the substrate"
    assert f"At {ZONE_UM:g} µm and more" in summary(zones)
    unreached = zones.copy()
    unreached.loc[unreached["zone"] == "bulk", ["volume_ratio", "to_um"]] = math.nan
    assert f"At 0 to {ZONE_UM:g} µm" in summary(unreached)


def test_no_domain_near_the_substrate_is_said(zones, scans):
    assert "no whole domain was found" not in summary(zones)
    empty = read_zones(scans("none near the substrate").zones)["domain"]
    card = cards(empty, OBJECTS)[-1]
    assert (card.value, card.caveat) == (NOT_AVAILABLE, "No domain has its centre there.")
    assert "no whole domain was found" in summary(empty)


def test_unknown_level_leaves_the_band_open(zones):
    gap = zones.copy()
    gap.loc[gap["level"] == "high", "volume_ratio"] = math.nan
    assert estimate(gap, "bulk", "volume_ratio").band == ""
