"""What a reader must know is said in words, at the right severity."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from model_facts import measured, model_facts, scores, write_bundle
from report_scan import edited, write_mask, write_threshold

from tomoprofile.errors import InputError
from tomoprofile.network.facts import FittedScores
from tomoprofile.report.flags import (
    Flag,
    domain_flags,
    doubtful_flags,
    familiarity_flags,
    interface_flags,
    level_flags,
    naming_classes,
    profile_flags,
    segmentation_flags,
    worst,
    zone_flags,
)
from tomoprofile.report.results import Results
from tomoprofile.report.sections import SECTIONS
from tomoprofile.report.segmentation import MeasuredFacts, Segmentation, read_segmentation
from tomoprofile.report.weak import weak_flags
from tomoprofile.report.zones import read_zones
from tomoprofile.shift.alarm import Familiarity


def bins(*flags):
    rows = [
        {"level": "calibrated", "depth_lo_um": 5.0 * i, "depth_hi_um": 5.0 * (i + 1), "flag": flag}
        for i, flag in enumerate(flags)
    ]
    return pd.DataFrame([*rows, {"level": "low", "depth_lo_um": 0.0, "depth_hi_um": 5.0, "flag": "few_blocks"}])


def test_reasons_of_bins_are_gathered_with_their_depths():
    flags = profile_flags(bins("few", "few", "", "few;far_end", "far_end"))
    assert [(flag.severity, flag.title) for flag in flags] == [
        ("note", "Few domains"),
        ("note", "Far end of the scan"),
    ]
    assert flags[0].text.startswith("0–10, 15–20 µm: fewer than 5 domains")
    assert flags[1].text.startswith("15–25 µm: the far face")


def test_reasons_of_the_band_levels_do_not_count():
    assert profile_flags(bins("", "")) == []


def test_an_unknown_reason_is_shown_rather_than_lost():
    assert profile_flags(bins("too_dark"))[0].text.startswith("0–5 µm: too dark")


@pytest.fixture
def zones(scans):
    return read_zones(scans("plain").zones)["domain"]


def test_zones_without_doubt(zones):
    assert zone_flags(zones) == []


def test_zones_with_doubts(zones):
    zones.loc[zones["zone"] == "interface", "flag"] = "few;few_blocks"
    zones.loc[zones["zone"] == "bulk", "flag"] = "far_end"
    found = {flag.title: flag.severity for flag in zone_flags(zones)}
    assert found == {
        "Few domains in zone interface": "warning",
        "Few blocks in zone interface": "warning",
    }


def test_unreached_zone_and_wide_band(zones):
    zones.loc[zones["level"] == "high", "volume_ratio"] *= 0.3
    assert [flag.title for flag in zone_flags(zones)] == ["The boundary decides the result"]
    zones.loc[zones["zone"] == "bulk", ["volume_ratio", "to_um"]] = math.nan
    assert "Zone bulk not reached" in [flag.title for flag in zone_flags(zones)]


def test_interface():
    good = {"warning": "", "how": "auto", "axis": "y", "tilt_deg": 0.8, "residual_um": 0.4}

    def told(**changes):
        return interface_flags(good | changes, (9, 20, 20), (0.2, 0.5, 0.2))

    assert told() == [], "the voxel edge is that along the depth"
    assert [flag.title for flag in told(residual_um=0.6)] == ["Rough or bent substrate"]
    assert [flag.title for flag in told(tilt_deg=2.1)] == ["Tilted substrate"]
    (by_slice,) = told(how="slice:3:below", axis="z", residual_um=None)
    assert by_slice.severity == "warning"
    assert "slice:3:below" in by_slice.text
    assert "substrate in slices 4 to 8 and the resin in slices 0 to 3" in by_slice.text
    assert [flag.severity for flag in told(how="plane:0,1,0,3", residual_um=None)] == ["note"]
    assert told(warning="12 % agree")[0].text == "12 % agree"


def test_segmentation(tmp_path, scans):
    def model(folder, **known):
        return write_bundle(folder, model_facts(measured={"domain": measured(**known)}))

    def titles(segmenter, sample="epoxy_1"):
        found = read_segmentation(segmenter)
        return [flag.title for flag in [*segmentation_flags(found, sample), *level_flags(found)]]

    assert titles(write_bundle(tmp_path / "a")) == []
    assert titles(write_bundle(tmp_path / "a"), "epoxy_2") == ["Model from another scan"]
    assert titles(write_bundle(tmp_path / "a"), "epoxy") == ["Model from another scan"]
    assert titles(model(tmp_path / "b", calibrated=False)) == ["Uncalibrated decision level"]
    assert titles(model(tmp_path / "c", at_its_limit=True)) == ["Decision level at its limit"]
    assert titles(write_threshold(tmp_path / "threshold.json")) == ["Segmented by a threshold"]
    assert titles(scans("given mask").segmenter) == ["Segmentation of your own"]


def test_levels_of_several_classes_name_the_class_that_is_doubtful():
    known = {
        "domain": MeasuredFacts(0.45, calibrated=True),
        "void": MeasuredFacts(0.5, calibrated=True, at_its_limit=True),
    }
    (flag,) = level_flags(Segmentation("a network", "network", known))
    assert flag.title == "Decision level at its limit (void)"
    both = dict.fromkeys(known, MeasuredFacts(0.5))
    assert [flag.title for flag in level_flags(Segmentation("", "network", both))] == ["Uncalibrated decision level"]


def test_what_all_classes_share_is_said_once():
    shared, own = Flag("note", "Few blocks", "all"), Flag("warning", "Few domains", "0–5 µm")
    other = Flag("warning", "Few domains", "0–9 µm")
    found = naming_classes({"a": [own, shared], "b": [shared, other]}, ["a", "b"])
    assert [(flag.title, flag.text) for flag in found] == [
        ("Few domains (a)", "0–5 µm"),
        ("Few blocks", "all"),
        ("Few domains (b)", "0–9 µm"),
    ]
    assert naming_classes({"a": [own]}, ["a"]) == [own], "one class needs no name"
    assert naming_classes({"a": [own]}, ["a", "b"])[0].title == "Few domains (a)", "the other has no domains"


GROUPS = (("a z1",), ("a z9",), ("b z1",))
INTERVAL = {"n_tiles": 40, "n_groups": 3, "coverage": 0.95}


def of_model(tmp_path, groups=GROUPS, same=(), fitted=0.95, forgotten=0.05, **changes):
    """Return the titles of what makes a model weak, the most serious first."""
    known = measured(held_out=scores(**changes))
    if fitted:
        known = known.model_copy(update={"fitted": FittedScores(dice=fitted, area_ratio=1.0)})
    labels = {"labels": {}, "training": [name for group in groups for name in group]}
    labels |= {"groups": groups, "same_masks": same}
    facts = model_facts(measured={"domain": known}, labels=labels, forgotten=forgotten, base_share=0.25)
    return weak_flags(read_segmentation(write_bundle(tmp_path / "bundle", facts)))


def a_slice(name, group, dice, area_ratio):
    return {"name": name, "group": group, "dice": dice, "area_ratio": area_ratio}


WEAK = {
    "The model is weak": {"dice": 0.79},
    "The accuracy of the model is hardly known": {"dice_interval": INTERVAL | {"low": 0.7, "high": 0.98}},
    "The model has not learned its labels": {"fitted": 0.8},
    "One object dominates the labels": {"largest_share": 0.6},
    "Labels disagree with each other": {"slices": [a_slice("a z1", 0, 0.7, 0.6), a_slice("a z9", 1, 0.8, 1.3)]},
    "A model from one place": {"groups": (("a z1", "a z2"),)},
    "The labels show too little of the scan": {"forgotten": 0.4},
    "Two slices with one mask": {"same": (("a z1", "a z9"),)},
}
STRONG = {
    "dice": 0.93,
    "dice_interval": INTERVAL | {"low": 0.9, "high": 0.95},
    "largest_share": 0.3,
    "slices": [a_slice("a z1", 0, 0.92, 0.9), a_slice("a z9", 1, 0.94, 1.1), a_slice("b z1", 2, None, None)],
}


@pytest.mark.parametrize("title", WEAK)
def test_each_weakness_of_a_model_is_told_and_a_good_one_has_none(tmp_path, title):
    assert of_model(tmp_path, **STRONG) == []
    assert [flag.title for flag in of_model(tmp_path / "weak", **(STRONG | WEAK[title]))] == [title]


def test_the_worst_of_a_weak_model_comes_first(tmp_path):
    found = of_model(tmp_path, groups=(("a z1",),), dice=0.5, fitted=0.6, largest_share=0.9)
    assert [flag.severity for flag in found] == ["error", "error", "warning", "warning"]


def test_labels_of_other_style_are_told_with_their_agreement(tmp_path):
    (flag,) = of_model(tmp_path, **(STRONG | WEAK["Labels disagree with each other"]))
    assert "0.6 times the labelled area in a z1 (Dice 0.7), and 1.3 times in a z9 (Dice 0.8)" in flag.text


def test_what_training_would_have_forgotten_is_told_with_how_far_it_went(tmp_path):
    (flag,) = of_model(tmp_path, **(STRONG | {"forgotten": 0.4}))
    assert "lost 40%, so the model went 25% of the way" in flag.text
    assert "Label slices that show what the labelled ones do not" in flag.text


def test_a_given_mask_and_a_threshold_are_no_weak_model(tmp_path):
    for path in (write_threshold(tmp_path / "threshold.json"), write_mask(tmp_path / "mask.json", "mask")):
        assert weak_flags(read_segmentation(path)) == []


def test_scores_that_are_unknown_are_left_out(tmp_path):
    def held_out(bundle):
        return read_segmentation(bundle).classes["domain"].held_out

    assert held_out(write_bundle(tmp_path / "a")) == {"dice": 0.9312, "iou": 0.8713}
    known = measured(held_out=scores(recall=1.0))
    bundle = write_bundle(tmp_path / "b", model_facts(measured={"domain": known}))
    assert held_out(bundle) == {"dice": 0.9312, "iou": 0.8713, "recall": 1.0}


def test_facts_of_learning_are_flattened(tmp_path):
    labels = {"labels": {}, "training": [f"a z{z}" for z in range(11)]}
    facts = read_segmentation(write_bundle(tmp_path / "a", model_facts(labels=labels))).facts
    assert facts["conditions: steps"] == "300"
    assert facts["conditions: learning rate"] == "0.002"
    assert facts["labels: training"] == "a z0, a z1, a z2, a z3, a z4, a z5, a z6, a z7 and 3 more"
    assert not any("curve" in name for name in facts)


def test_a_bundle_of_another_program(tmp_path):
    path = write_bundle(tmp_path / "a") / "configs" / "metadata.json"
    path.write_text('{"task": "organs", "version": "1"}')
    with pytest.raises(InputError, match="not a model bundle written by this version"):
        read_segmentation(tmp_path / "a")


def test_a_missing_bundle_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*metadata\.json"):
        read_segmentation(tmp_path / "nowhere")


def test_a_scan_unlike_those_of_the_model_asks_for_a_label_and_claims_none():
    def flag(status):
        return familiarity_flags(Familiarity(status, ["contrast of domains"], 2.5, None, None, 7), "b")

    assert flag("inside") == []
    (edge,), (outside,) = flag("edge"), flag("outside")
    assert (edge.severity, outside.severity) == ("warning", "error")
    assert "is unknown: to be sure, label one slice of this scan. Take slice 7: to_label/b_z00007.tif" in edge.text
    assert "do not use them before you have labelled one slice of this scan" in outside.text
    assert "was labelled" not in edge.text + outside.text


def domains(n):
    return pd.DataFrame({"volume_um3": 10.0, "depth_um": range(n), "cavities": 0, "flag": ""})


def test_one_object_that_dominates():
    table = domains(20)
    assert domain_flags(table) == []
    table.loc[7, "volume_um3"] = 500.0
    assert "at 7 µm from the substrate, holds 72 %" in domain_flags(table)[0].text
    assert domain_flags(table.iloc[:0]) == []


def test_cavities_of_large_domains():
    table = domains(100)
    table.loc[:4, "cavities"] = 1
    assert domain_flags(table) == []
    table.loc[:5, "cavities"] = 1
    found = domain_flags(table)
    assert [flag.severity for flag in found] == ["warning"]
    assert "6 of the 100 domains of more than 8 voxels" in found[0].text
    # A domain of a few voxels that seems to have a cavity says nothing.
    table.loc[:5, "flag"] = "small_for_axes"
    assert domain_flags(table) == []


def test_voxels_too_coarse_for_shapes():
    table = domains(100)
    table.loc[:49, "flag"] = "outside_model;small_for_axes"
    assert domain_flags(table) == []
    table.loc[:50, "flag"] = "small_for_axes"
    assert "51 % of the domains are less than 8 voxels across" in domain_flags(table)[0].text
    table["flag"] = ""
    table.loc[:10, "flag"] = "small_for_surface;small_for_axes"
    assert "11 % are less than 4" in domain_flags(table)[0].text


def test_worst():
    assert worst([]) == "ok"
    assert worst([Flag("note", "", ""), Flag("warning", "", "")]) == "warning"
    assert worst([Flag("warning", "", ""), Flag("error", "", "")]) == "error"


def near(n_true, *others):
    """Return a zone with large domains and others: voxels, slices, confidence, whether a side cuts them."""
    rows = [(5000, 20, 0.97, False)] * n_true + list(others)
    table = pd.DataFrame(rows, columns=["voxels", "bbox_z_stop", "confidence", "on_border"])
    table["equivalent_diameter_um"] = table["voxels"].pow(1 / 3)
    table = table.assign(bbox_z_start=0, depth_um=10.0, centroid_z_um=40.0, edge_weight=1.0 - table["on_border"])
    zone = {"zone": "near", "level": "calibrated", "from_um": 0.0, "to_um": None}
    return pd.DataFrame([zone | {"mean_equivalent_diameter_um": 9.0}]), table


def test_domains_that_may_be_none_are_told_with_what_they_change():
    zones, domains = near(4, (8, 3, 0.7, False), (64, 1, 0.9, False))
    (flag,) = doubtful_flags(zones, domains, 0.5)
    assert flag.severity == "warning"
    assert flag.title == "Doubtful domains in zone near"
    assert flag.text.startswith("2 of the 6 whole domains there are unsure")
    assert "would be 17.1 µm instead of 9 µm, and the number density 33 % lower" in flag.text
    assert "near slice 80 " in flag.text
    none = zones.assign(from_um=math.nan)
    assert doubtful_flags(none, domains.assign(depth_um=math.nan), 0.5)[0].text == flag.text, "without depth, too"


@pytest.mark.parametrize(
    "others",
    [
        [(8, 3, 0.81, False), (64, 2, 0.9, False)],  # sure, and in two slices
        [(8, 1, 0.9, False), (8, 1, 0.9, False)],  # a small domain may lie in one slice
        [(64, 1, 0.9, True), (64, 1, 0.9, True)],  # a side of the scan leaves one slice of a domain
        [(8, 3, 0.7, False)],  # one
    ],
)
def test_domains_without_doubt_are_not_suspected(others):
    assert doubtful_flags(*near(4, *others), 0.5) == []


def test_few_doubtful_domains_among_many_are_no_warning():
    assert doubtful_flags(*near(60, *[(8, 3, 0.7, False)] * 3), 0.5) == []
    assert doubtful_flags(*near(50, *[(8, 3, 0.7, False)] * 3), 0.5) != []


def test_only_the_domains_of_a_network_are_judged_by_its_confidence(scans, tmp_path):
    def unsure(domains):
        return domains.assign(confidence=domains["confidence"].where(domains.index % 4 > 0, 0.6))

    learned = edited(scans("plain"), tmp_path, "domains", unsure)
    folder = tmp_path / "sure"
    folder.mkdir()
    (part,) = [part for part in SECTIONS if part.name == "flags"]
    for files, expected in (
        (learned, True),
        (replace(learned, segmenter=write_threshold(tmp_path / "threshold.json")), False),
        (edited(learned, folder, "domains", lambda domains: domains.assign(confidence=0.9)), False),
    ):
        results = Results(files)
        flags = part.build(**{name: results.get(name) for name in part.needs}).words["flags"]
        assert any(flag.title.startswith("Doubtful") for flag in flags) == expected
