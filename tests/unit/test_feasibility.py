"""Models that a run names: there, usable, and used as was meant."""

import json

import pytest
from model_facts import write_bundle

from tomoprofile.config import PACKAGED_WEIGHTS, read_config
from tomoprofile.run.feasibility import check_run
from tomoprofile.samples import Scan

ROW = {"path": "a", "format": "tiff_folder", "slices": 4, "rows": 4, "columns": 4, "dtype": "uint8"}


def findings(model, labels=""):
    scan = Scan(sample="a", voxel_size_um="1", labels=labels, **ROW)
    said = check_run(read_config({"models": {"default": model}}), [scan])
    (finding,) = [finding for finding in said if finding.item == "model"]
    return finding


def test_scans_with_a_mask_ask_for_no_model_and_no_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprofile.network.backends.openvino_is_there", lambda: False)
    config = read_config({"results": str(tmp_path), "predict": {"engine": "openvino"}})
    given = Scan(sample="a", voxel_size_um="1", mask="m.tif", model="nowhere", **ROW)
    said = check_run(config, [given])
    assert {finding.status for finding in said} == {"ok"}
    assert not any("GPU" in finding.message for finding in said)
    # The mutant: the same scan without its mask needs the engine and labels.
    other = given.model_copy(update={"sample": "b", "mask": "", "model": "default"})
    assert [finding.status for finding in check_run(config, [given, other])].count("error") == 2


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path)


def test_an_earlier_model_needs_no_labels_and_says_when_there_are_some(bundle):
    model = {"method": "bundle", "bundle": str(bundle)}
    assert findings(model).status == "ok"
    used = findings(model, labels="labels")
    assert used.status == "warning"
    assert "set `method: unet` and `base`" in used.message


@pytest.mark.parametrize("key", ["bundle", "base"])
def test_a_bundle_of_another_version_is_an_error_before_the_run(bundle, key):
    (bundle / "configs/metadata.json").write_text(json.dumps({"tomoprofile": {"network": {}}}))
    model = {"method": "bundle" if key == "bundle" else "unet", key: str(bundle)}
    finding = findings(model, labels="" if key == "bundle" else "labels")
    assert finding.status == "error"
    assert "the model of an earlier version of tomoprofile" in finding.message


def test_a_folder_without_a_bundle_is_an_error(tmp_path):
    finding = findings({"method": "bundle", "bundle": str(tmp_path)})
    assert finding.status == "error"
    assert "models.default.bundle" in finding.message


@pytest.mark.parametrize("encoder", PACKAGED_WEIGHTS)
def test_packaged_weights_must_be_installed(encoder, monkeypatch):
    model = {"method": "unet", "encoder": encoder, "base": "imagenet"}
    assert findings(model, labels="labels").status == "ok"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    finding = findings(model, labels="labels")
    assert finding.status == "error"
    assert PACKAGED_WEIGHTS[encoder] in finding.message


def test_what_a_model_that_cannot_be_read_needs_is_left_out(tmp_path, bundle):
    models = {"good": {"method": "bundle", "bundle": str(bundle)}, "bad": {"method": "bundle", "bundle": "nowhere"}}
    scans = [Scan(sample=name, voxel_size_um="1", model=name, **ROW) for name in models]
    said = check_run(read_config({"models": models, "results": str(tmp_path)}), scans)
    assert [finding.sample for finding in said if finding.item == "needs"] == ["good", "-"]
    assert [finding.message for finding in said if finding.status == "error"] == [
        "models.bad.bundle: there is no model bundle in this folder (got 'nowhere'). Give the folder of an earlier "
        "model (results/models/NAME)."
    ]


@pytest.mark.parametrize("names", [("kidney_left", "kidney_right"), ("R_lung_Right", "r_lung_left"), ("left", "right")])
def test_sides_that_mirrored_crops_would_mix_up_are_told(names):
    classes = {"background": 0} | {name: number for number, name in enumerate((*names, "liver"), 1)}
    scan = Scan(sample="a", voxel_size_um="1", labels="labels", **ROW)

    def warned(**model):
        said = check_run(read_config({"models": {"default": {"classes": classes} | model}}), [scan])
        return [finding.message for finding in said if finding.item == "model" and finding.status == "warning"]

    (told,) = warned()
    assert all(name in told for name in names)
    assert "turn: false" in told
    assert warned(augment={"turn": False}) == []


def test_classes_without_sides_are_not_warned_about():
    assert findings({"classes": {"background": 0, "liver": 1, "left_over": 2}}, "labels").status == "ok"
