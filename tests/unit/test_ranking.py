"""Which scans to label next, and what was found in them as labels to correct."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from export_scan import SAMPLE, finished
from model_facts import model_facts, write_bundle
from page_parser import Page

from tomoprofile.amplify.registration import Refusal, Registration
from tomoprofile.cli import main
from tomoprofile.errors import InputError
from tomoprofile.export.correction import write_for_correction
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.files import find_label_files, unused_in_words
from tomoprofile.labels.masks import merge, read_annotators
from tomoprofile.layout import Layout
from tomoprofile.report.beamtime import BeamtimeEntry, report_beamtime
from tomoprofile.samples import Scan, write_samples
from tomoprofile.segment import ranking
from tomoprofile.segment.ranking import BY_LOOKS, BY_NOTHING, BY_SHAPE, Case, apart, rank, ranked_scans
from tomoprofile.shift.alarm import Familiarity
from tomoprofile.volume.geometry import Geometry

# A shape is one arrow at each of four nodes.
SHAPES = {"a": 0.0, "near": 1.0, "far": 5.0, "as_far": 5.5, "other_way": -4.0}
SHAPE = (9, 12, 14)
CLASSES = Classes.named({"background": 3, "pore": 7, "void": 5}, ["void", "pore"])


def shaped(sample, doubt=0.1, **more):
    return Case(sample, doubt, shape=np.full((1, 4), SHAPES[sample], np.float32), **more)


def test_what_is_unsure_and_differs_comes_first_and_then_what_differs_from_that():
    labelled, others = [shaped("a")], [shaped(name) for name in ("near", "far", "as_far", "other_way")]
    found = rank(labelled, others)
    assert [one.sample for one in found] == ["as_far", "other_way", "near", "far"], (
        "`far` is as `as_far`, which is first"
    )
    assert [one.difference for one in found] == [5.5, 4.0, 1.0, 0.5]
    assert {one.unit for one in found} == {BY_SHAPE}
    sure = [shaped("near", 0.6), shaped("far", 0.1)]
    assert [one.sample for one in rank(labelled, sure)] == ["near", "far"], "six times as unsure, five times as near"
    assert rank(labelled, sure)[0].risk == pytest.approx(0.6)
    assert rank(labelled, []) == []


def test_a_scan_that_could_not_be_registered_comes_last_with_the_reason():
    refused = Case("mirrored", 0.9, why="it lies mirrored")
    found = rank([shaped("a")], [refused, shaped("near")])
    assert [one.sample for one in found] == ["near", "mirrored"]
    assert found[1].difference is None
    assert found[1].why == "it lies mirrored"


def test_without_shapes_looks_or_the_uncertainty_alone_decide():
    others = [Case("b", 0.2, 1.0), Case("c", 0.1, 4.0)]
    assert [(one.sample, one.unit) for one in rank([], others)] == [("c", BY_LOOKS), ("b", BY_LOOKS)]
    unknown = [*others, Case("d", 0.15)]
    assert [(one.sample, one.unit) for one in rank([], unknown)] == [
        ("b", BY_NOTHING),
        ("d", BY_NOTHING),
        ("c", BY_NOTHING),
    ]


def test_distances_are_of_whole_arrows():
    one, other = np.zeros((2, 3, 3), np.float32), np.zeros((2, 3, 3), np.float32)
    other[0], other[1] = 3, 4
    assert apart(one, other) == pytest.approx(5)


@pytest.fixture
def layout(tmp_path):
    """Results of five scans, of which `a` is labelled, `far` left out and `new` not finished."""
    layout = Layout(tmp_path / "results")
    learned = {"kind": "mixed", "pairs": 4, "accepted": {}, "left_out": {}, "slices": 9, "real": 0.25, "template": "a"}
    learned |= {"registered": ["a", "near", "as_far"], "refused": {"far": "it folds"}}
    labels = {"labels": {}, "training": ["a z00003", "a z00009"], "amplification": learned}
    write_bundle(layout.model("default").folder, model_facts(labels=labels))
    for name, doubt in {"a": 0.01, "near": 0.3, "far": 0.5, "as_far": None}.items():
        files = layout.scan(name)
        reason = (Refusal.FOLDED, "it folds") if name == "far" else (None, "")
        shape = np.full((1, 4), SHAPES[name], np.float32)
        Registration(name, "t", shape, np.zeros(3), *reason).write(files.registration)
        Familiarity("inside", [], 0.5, doubt, 0.1, 4).save(files.familiarity)
    return layout


def names_in(layout, model="default"):
    return [(one.sample, one.doubt) for one in ranked_scans(layout, model, ["a", "near", "far", "as_far", "new"])]


def test_finished_scans_are_ranked_from_what_lies_on_disk(layout):
    assert names_in(layout) == [("as_far", 1.0), ("near", 0.3), ("far", 0.5)], "nothing found is all doubt"
    assert not names_in(layout, "earlier"), "a model that was not trained here"


def test_shapes_on_two_templates_are_not_compared(layout, monkeypatch):
    """As while a run registers all cases anew."""
    moved = Registration("near", "another", np.full((1, 4), 90, np.float32), np.zeros(3))
    moved.write(layout.scan("near").registration)
    assert names_in(layout)[0] == ("as_far", 1.0)
    assert ranked_scans(layout, "default", ["a", "near", "as_far"])[0].unit == BY_LOOKS
    monkeypatch.setattr(ranking, "one_template", lambda _: True)  # the mutant
    assert names_in(layout)[0] == ("near", 0.3)


def row(sample, **cells):
    size = {"slices": 9, "rows": 12, "columns": 14, "dtype": "uint8", "voxel_size_um": "1"}
    return Scan(sample=sample, path=f"{sample}.tif", format="tiff_stack", interface="none", **size | cells)


def test_the_page_of_the_beamtime_shows_the_order(layout):
    bundle = layout.model("default").folder
    entries = [BeamtimeEntry(row(name), layout.scan(name), bundle) for name in ("a", "near", "far", "as_far")]
    report_beamtime(entries, [], "", layout.index, layout.comparison)
    page = Page(layout.index.read_text())
    shown = page.text[page.text.index("Scans to label next") :]
    assert shown.index("as_far") < shown.index("near") < shown.index("far", shown.index("near"))
    assert "it folds" in shown
    report_beamtime(entries[:2], [], "", layout.index, layout.comparison)
    assert "Scans to label next" not in layout.index.read_text(), "there is no choice"


def test_the_command_lists_them_and_names_the_next(layout, monkeypatch, capsys):
    monkeypatch.chdir(layout.results.parent)
    write_samples(Path("config/samples.tsv"), [row(name) for name in ("a", "near", "far", "as_far")])
    assert main(["rank"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == ["sample", "as_far", "near", "far"]
    assert lines[1][2:6] == ["1", "5.5", "mm", "5.5"]
    assert lines[3][6] == "it folds"


def voids_and_pores():
    rng = np.random.default_rng(3)
    void = rng.random(SHAPE) < 0.2
    return {"void": void, "pore": (rng.random(SHAPE) < 0.2) & ~void}


def expected(masks):
    found = np.zeros(SHAPE, np.uint8)
    found[masks["void"]], found[masks["pore"]] = 2, 1  # indices
    return found


@pytest.mark.parametrize("slice_axis", [0, 1])
@pytest.mark.parametrize("in_space", [True, False])
def test_a_prediction_is_no_label_until_its_name_says_so_and_then_it_is_read_voxel_for_voxel(
    tmp_path, slice_axis, in_space
):
    masks = voids_and_pores()
    geometry = Geometry.from_nifti(np.diag([-0.7, 0.5, 3.0, 1.0])) if in_space else None
    scan = finished(
        tmp_path / "results", masks, edges_um=(3000.0, 500.0, 700.0), slice_axis=slice_axis, geometry=geometry
    )
    labels = tmp_path / "labels"
    out = write_for_correction(scan, CLASSES, labels)
    assert out.name == f"{SAMPLE}_prelabel" + (".nii.gz" if in_space else ".tif")
    assert not find_label_files(labels)
    assert "Correct these masks by hand" in unused_in_words(labels)[0]
    out.rename(labels / out.name.replace("_prelabel", ""))
    found = merge(read_annotators(labels, scan.volume.shape, CLASSES, scan.volume.geometry))
    stored = np.moveaxis(expected(masks), slice_axis, 0)
    assert sorted(found) == list(range(len(stored)))
    np.testing.assert_array_equal(np.stack([found[z] for z in sorted(found)]), stored)


def test_a_single_class_is_written_with_its_value_and_not_as_black_and_white(tmp_path):
    mask = voids_and_pores()["void"]
    scan = finished(tmp_path / "results", mask)
    out = write_for_correction(scan, Classes.named({"background": 0, "domain": 1}), tmp_path)
    np.testing.assert_array_equal(tifffile.imread(out), mask)


def test_what_a_person_changed_is_never_replaced(tmp_path):
    scan = finished(tmp_path / "results", voids_and_pores())
    out = write_for_correction(scan, CLASSES, tmp_path)
    before = out.read_bytes()
    assert write_for_correction(scan, CLASSES, tmp_path).read_bytes() == before, "its own is"
    out.write_bytes(before + b" ")
    with pytest.raises(InputError, match="changed by hand"):
        write_for_correction(scan, CLASSES, tmp_path)
    assert out.read_bytes() == before + b" "


def test_classes_that_are_not_measured_are_named(tmp_path, caplog):
    scan = finished(tmp_path / "results", {"void": voids_and_pores()["void"]})
    write_for_correction(scan, CLASSES, tmp_path)
    assert "not in it: pore" in caplog.text
    with pytest.raises(InputError, match="no class of that name"):
        write_for_correction(scan, Classes.named({"background": 0, "domain": 1}), tmp_path)


def test_the_command_writes_where_the_labels_would_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "results", {"domain": voids_and_pores()["void"]})
    write_samples(Path("config/samples.tsv"), [row(SAMPLE, labels="mine")])
    assert main(["prelabel", "--finished", SAMPLE]) == 0
    assert Path(f"mine/{SAMPLE}_prelabel.tif").exists()
    write_samples(Path("config/samples.tsv"), [row(SAMPLE)])
    assert main(["prelabel", "--finished", SAMPLE]) == 0
    assert Path(f"labels/{SAMPLE}/{SAMPLE}_prelabel.tif").exists()
    assert main(["prelabel", "--finished", "bome"]) == 1
    assert main(["prelabel", "--finished", SAMPLE, "--scan", "x"]) == 1
