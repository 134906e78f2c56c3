"""Groups of scans: intervals that cover, differences, bins that match by depth, conditions that differ."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tomoprofile.profile.comparison import (
    ScanResult,
    comparable,
    compare_scans,
    mean_interval,
    replicates,
    welch_interval,
    within_variance,
)
from tomoprofile.profile.estimators import Tallies, draw_blocks, estimate
from tomoprofile.tables import COMPARISON, ESTIMATES, of_class

BLOCKS = 16
DRAWS = draw_blocks(BLOCKS, 200, 3)


def rows(values, half=0.1):
    """Return a table with the same value of every quantity."""
    columns = {}
    for name in ESTIMATES:
        columns |= {name: values, f"{name}_lo": np.subtract(values, half), f"{name}_hi": np.add(values, half)}
    return pd.DataFrame(columns)


def scan(sample, value, group="", time_h=math.nan, depths=(0.0, 5.0), half=0.1, **conditions):
    zones = rows([value], half).assign(zone="bulk", from_um=0.0, to_um=math.nan)
    profile = rows([value] * len(depths), half).assign(depth_lo_um=depths, depth_hi_um=np.add(depths, 5.0))
    return ScanResult(sample, group, time_h, profile, zones, BLOCKS, conditions)


def compare(scans):
    """Return the comparison of scans of which one class was measured."""
    return compare_scans({"domain": scans})


def one(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def tallies(rng, truth, resin=20_000.0):
    """Return one scan of ``BLOCKS`` lateral blocks whose own volume fraction is ``truth``."""
    domain = rng.normal(truth * resin, 0.15 * truth * resin, (1, BLOCKS))
    plain = np.full((1, BLOCKS), resin)
    return Tallies(plain, domain, plain, domain, 3.0 * domain)


def measured(found):
    (value, low, high) = ([float(getattr(found["volume_ratio"], end)[0])] for end in ("value", "low", "high"))
    return pd.DataFrame({"volume_ratio": value, "volume_ratio_lo": low, "volume_ratio_hi": high})


@pytest.mark.parametrize(("n_scans", "between"), [(2, 0.004), (4, 0.004), (6, 0.0)])
def test_the_interval_between_scans_covers_and_pooling_domains_does_not(n_scans, between):
    rng = np.random.default_rng(n_scans)
    truth, covered, pooled, n = 0.04, 0, 0, 200
    for _ in range(n):
        scans = [tallies(rng, rng.normal(truth, between)) for _ in range(n_scans)]
        results = []
        for number, found in enumerate(scans):
            zones = rows([3.0])
            zones.update(measured(estimate(found, 1.0, DRAWS[:20])))
            zones = zones.assign(zone="bulk", from_um=0.0, to_um=math.nan)
            results.append(ScanResult(str(number), "wet", math.nan, scan("", 1.0).profile[:0], zones, BLOCKS))
        row = one(compare(results), kind="zone", quantity="volume_ratio")
        covered += row["lo"] <= truth <= row["hi"]
        # The mutant: all domains of all scans as if they were those of one.
        every = Tallies(*(np.hstack(parts) for parts in zip(*(vars(found).values() for found in scans), strict=True)))
        together = estimate(every, 1.0, draw_blocks(BLOCKS * n_scans, 200, 3))["volume_ratio"]
        pooled += together.low[0] <= truth <= together.high[0]
    assert 0.90 <= covered / n <= 0.98
    if between:
        assert pooled / n < 0.80, "the mutant"


def test_variances_tell_samples_that_differ_from_noise_within_scans():
    rng = np.random.default_rng(5)

    def ratio(between):
        scans = []
        for number in range(12):
            found = estimate(tallies(rng, rng.normal(0.04, between)), 1.0, DRAWS)
            zones = rows([3.0])
            zones.update(measured(found))
            zones = zones.assign(zone="bulk", from_um=0.0, to_um=math.nan)
            scans.append(ScanResult(str(number), "wet", math.nan, scan("", 1.0).profile[:0], zones, BLOCKS))
        return one(compare(scans), kind="zone", quantity="volume_ratio")["variance_ratio"]

    assert 0.3 < np.median([ratio(0.0) for _ in range(20)]) < 2
    assert np.median([ratio(0.006) for _ in range(20)]) > 8


def test_mean_spread_and_interval_are_those_of_the_scans():
    values = [1.0, 2.0, 4.0]
    table = compare([scan(str(v), v, "wet") for v in values])
    row = one(table, kind="zone", quantity="volume_ratio")
    assert row["n_scans"] == 3
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["sd_between"] == pytest.approx(np.std(values, ddof=1))
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (row["lo"], row["hi"]) == pytest.approx(expected)
    assert row["sd_within"] == pytest.approx(0.1 / stats.t.ppf(0.975, BLOCKS - 1))
    assert row["flag"] == ""


def test_a_single_scan_keeps_its_own_interval_and_has_no_spread():
    for group in ("", "wet"):
        row = one(compare([scan("a", 2.0, group)]), kind="zone", quantity="volume_ratio")
        assert (row["n_scans"], row["value"], row["lo"], row["hi"]) == (1, 2.0, 1.9, 2.1)
        assert math.isnan(row["sd_between"])
        assert math.isnan(row["variance_ratio"])
        assert row["flag"] == "one_scan"


def test_scans_without_a_group_are_no_replicates_even_when_one_is_named_like_a_group():
    sets = replicates([scan("a", 1.0), scan("b", 2.0), scan("c", 3.0, "a"), scan("d", 3.0, "a")])
    assert [[s.sample for s in one.scans] for one in sets] == [["a"], ["b"], ["c", "d"]]
    assert comparable(sets) == [], "what stands alone is no group"


def test_scans_at_different_times_are_no_replicates():
    scans = [scan("late", 3.0, "wet", 4.0), scan("early", 1.0, "wet", 0.0), scan("again", 1.2, "wet", 0.0)]
    sets = replicates([*scans, scan("x", 1.0, "dry"), scan("y", 1.0, "dry", 4.0), scan("z", 1.0, "wet")])
    names = [[s.sample for s in one.scans] for one in sets]
    assert names == [["z"], ["early", "again"], ["late"], ["x"], ["y"]]
    assert [(a.scans[0].sample, b.scans[0].sample) for a, b in comparable(sets)] == [("z", "x"), ("late", "y")]


def test_bins_are_matched_by_depth_and_count_their_scans():
    scans = [scan("a", 1.0, "wet", depths=(0.0, 5.0, 10.0)), scan("b", 3.0, "wet", depths=(5.0 + 1e-9, 10.0))]
    bins = compare(scans).query("kind == 'bin' and quantity == 'volume_ratio'")
    assert list(bins["from_um"]) == [0.0, 5.0, 10.0]
    assert list(bins["n_scans"]) == [1, 2, 2]
    assert list(bins["value"]) == [1.0, 2.0, 2.0]
    assert list(bins["flag"]) == ["one_scan", "", ""]


def test_unknown_values_do_not_count():
    scans = [scan("a", 1.0, "wet"), scan("b", 2.0, "wet"), scan("c", math.nan, "wet")]
    assert one(compare(scans), kind="zone", quantity="volume_ratio")["n_scans"] == 2
    none = one(compare(scans[2:]), kind="zone", quantity="volume_ratio")
    assert none["n_scans"] == 0
    assert math.isnan(none["value"])


def test_the_difference_of_two_groups_is_that_of_welch():
    a, b = [1.0, 1.4, 1.3], [2.0, 2.9, 2.2, 3.0]
    scans = [*(scan(f"a{v}", v, "dry") for v in a), *(scan(f"b{v}", v, "wet") for v in b)]
    row = one(compare(scans), kind="difference", quantity="volume_ratio")
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert (row["group"], row["other_group"], row["n_scans"], row["n_other"]) == ("dry", "wet", 3, 4)
    assert row["value"] == pytest.approx(np.mean(b) - np.mean(a))
    assert (row["lo"], row["hi"]) == pytest.approx((expected.low, expected.high))
    assert row["flag"] == ""


def test_few_scans_make_no_test():
    two = [scan("a", 1.0, "dry"), scan("b", 1.1, "dry"), scan("c", 2.0, "wet"), scan("d", 2.1, "wet")]
    assert one(compare(two), kind="difference", quantity="volume_ratio")["flag"] == "few_scans"
    row = one(compare(two[1:]), kind="difference", quantity="volume_ratio")
    assert row["value"] == pytest.approx(0.95)
    assert math.isnan(row["lo"])


def test_equal_scans_and_none():
    assert [float(end[0]) for end in welch_interval(np.ones((3, 1)), np.full((2, 1), 2.0))] == [1.0, 1.0, 1.0]
    assert math.isnan(mean_interval(np.full((2, 1), math.nan))[0][0])
    assert math.isnan(within_variance(np.array([[math.nan]]), np.array([[1.0]]), np.array([4]))[0])
    for nothing in ({}, {"domain": []}):
        table = compare_scans(nothing)
        assert table.empty
        assert list(table) == COMPARISON.schema.names


def test_conditions_that_differ_are_said():
    alike = [scan("a", 1.0, "wet", voxel=0.5), scan("b", 1.0, "wet", voxel=0.5)]
    unlike = scan("c", 1.0, "dry", voxel=1.0)
    table = compare([*alike, unlike])
    assert set(table.query("kind == 'zone' and group == 'wet'")["flag"]) == {""}
    assert set(table.query("kind == 'difference'")["flag"]) == {"differ_in_voxel;few_scans"}
    mixed = ScanResult("d", "wet", math.nan, unlike.profile, unlike.zones, BLOCKS, {"voxel": 1.0})
    assert set(compare([*alike, mixed])["flag"]) == {"differ_in_voxel"}


def test_each_class_is_compared_as_if_it_were_alone():
    domains = [scan("a", 1.0, "dry"), scan("b", 1.1, "dry"), scan("c", 2.0, "wet"), scan("d", 2.1, "wet")]
    voids = [scan("a", 0.1, "dry"), scan("c", 0.3, "wet"), scan("d", 0.2, "wet")]  # in b they were not measured
    table = compare_scans({"void": voids, "domain": domains})
    assert list(table["class"].unique()) == ["void", "domain"]
    for name, scans in (("void", voids), ("domain", domains)):
        pd.testing.assert_frame_equal(of_class(table, name), compare_scans({name: scans}), check_exact=True)
    row = one(of_class(table, "void"), kind="zone", quantity="volume_ratio", group="dry")
    assert (row["n_scans"], row["samples"], row["value"]) == (1, "a", 0.1)
