"""What segments a scan: chosen by the configuration or recognised by its record, and what it asks of the workflow."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from model_facts import measured, model_facts, write_bundle

from tomoprofile.config import UNetConfig, read_config
from tomoprofile.errors import InputError, StageError
from tomoprofile.network.facts import SHIPPED
from tomoprofile.samples import Scan
from tomoprofile.segment import kinds
from tomoprofile.segment.kinds import segmenter_at, segmenter_of
from tomoprofile.segment.kinds.threshold import Threshold
from tomoprofile.segment.segmenter import Cost, Needs, Slab

ROW = {"path": "a", "format": "tiff_folder", "slices": 4, "rows": 4, "columns": 4, "dtype": "uint8"}
MODELS = {
    "default": {"method": "unet"},
    "carried": {"method": "unet", "base": "models/earlier"},
    "earlier": {"method": "bundle", "bundle": "models/earlier", "window": 96},
    "otsu": {"method": "otsu"},
}


def chosen(model="default", mask="", **predict):
    scan = Scan(sample="a", voxel_size_um="1", model=model, mask=mask, **ROW)
    return segmenter_of(scan, read_config({"results": "out", "models": MODELS, "predict": predict}))


@pytest.mark.parametrize(
    ("model", "mask", "path", "file", "needs"),
    [
        (
            "default",
            "",
            "out/models/default",
            "out/models/default/configs/metadata.json",
            Needs(appearance=True, familiarity=True, engine=True, labels=True, earlier=str(SHIPPED)),
        ),
        (
            "earlier",
            "",
            "models/earlier",
            "models/earlier/configs/metadata.json",
            Needs(appearance=True, familiarity=True, engine=True, earlier="models/earlier"),
        ),
        ("otsu", "", "out/a/threshold.json", "out/a/threshold.json", Needs()),
        ("default", "m.tif", "out/a/mask.json", "out/a/mask.json", Needs()),
        ("nowhere", "instances:m.tif", "out/a/mask.json", "out/a/mask.json", Needs()),
    ],
)
def test_the_configuration_and_the_sheet_choose(model, mask, path, file, needs):
    found = chosen(model, mask)
    assert (str(found.path), str(found.file), found.needs) == (path, file, needs)
    assert found.is_made_by_the_run == (model != "earlier")


SEVERAL = {"background": 0, "domain": 1, "void": 2}


@pytest.mark.parametrize(
    ("model", "mask", "classes"),
    [
        ("default", "", ("void", "domain")),
        ("otsu", "", ("domain",)),
        ("default", "m.tif", ("void",)),
        ("default", "instances:m.tif", ("void",)),
        ("default", "classes:m.tif", ("void", "domain")),
        ("default", "instances:i.tif;classes:m.tif", ("void", "domain")),
        ("otsu", "m.tif", ("domain",)),
        ("nowhere", "m.tif", ("domain",)),
    ],
)
def test_the_measured_classes_are_known_before_the_run(model, mask, classes):
    models = {"default": {"method": "unet", "classes": SEVERAL, "measure": ["void", "domain"]}, "otsu": MODELS["otsu"]}
    scan = Scan(sample="a", voxel_size_um="1", model=model, mask=mask, **ROW)
    assert segmenter_of(scan, read_config({"results": "out", "models": models})).classes == classes


def test_an_earlier_model_measures_what_its_bundle_says(tmp_path):
    network = model_facts().network.model_copy(update={"classes": 3, "measured": (2, 1)})
    known = {"void": measured(0.31), "domain": measured(0.42)}
    write_bundle(tmp_path, model_facts(network=network, classes=[*SEVERAL], measured=known))
    models = {"default": {"method": "bundle", "bundle": str(tmp_path)}}
    scan = Scan(sample="a", voxel_size_um="1", **ROW)
    found = segmenter_of(scan, read_config({"models": models}))
    assert found.classes == ("void", "domain")
    assert found.levels() == {"void": 0.31, "domain": 0.42}


def test_a_network_that_begins_with_an_earlier_one_names_it():
    assert chosen("carried").needs == replace(chosen().needs, earlier="models/earlier")


def test_flips_are_for_networks_and_cost_four_times_as_much():
    assert chosen(flips=True).needs.uncertainty
    assert chosen("earlier", flips=True).cost.network == 4 * chosen("earlier").cost.network > 0
    assert chosen("otsu", flips=True).cost == chosen("otsu").cost
    assert not chosen("otsu", flips=True).needs.uncertainty


def test_a_model_that_is_not_configured_is_told():
    with pytest.raises(InputError, match="Name one of default, carried"):
        chosen("nowhere")


def test_a_record_tells_its_kind_and_level(tmp_path):
    bundle = write_bundle(tmp_path / "m", model_facts(measured={"domain": measured(0.4)}))
    mask, threshold = tmp_path / "mask.json", tmp_path / "threshold.json"
    given = {"method": "instances", "decision_level": 0.5, "path": "m.tif", "voxels": {"domain": 7}}
    mask.write_text(json.dumps(given))
    threshold.write_text(json.dumps({"method": "otsu", "decision_level": 0.5, "threshold": 101.5}))
    kinds_of = {path: segmenter_at(path).describe().kind for path in (bundle, mask, threshold)}
    assert list(kinds_of.values()) == ["network", "instances", "threshold"]
    assert [segmenter_at(path).levels() for path in kinds_of] == [{"domain": 0.4}, {"domain": 0.5}, {"domain": 0.5}]
    assert segmenter_at(mask).describe().facts == {"path": "m.tif", "voxels": {"domain": 7}}
    assert segmenter_at(threshold).provenance()["threshold"]["threshold"] == 101.5
    with pytest.raises(InputError, match="neither a model bundle nor the record"):
        segmenter_at(tmp_path / "other.json")


@pytest.mark.parametrize("name", ["threshold.json", "mask.json"])
@pytest.mark.parametrize("level", ["NaN", '"0.5"', "0", "1.5", "null", "true"])
def test_a_record_without_a_level_names_file_and_remedy(tmp_path, name, level):
    path = tmp_path / name
    path.write_text(f'{{"method": "otsu", "decision_level": {level}}}')
    with pytest.raises(InputError, match="Remove it and run the workflow again") as caught:
        segmenter_at(path).levels()
    assert str(path) in str(caught.value)
    path.write_text("[]")
    with pytest.raises(InputError, match=str(path)):
        segmenter_at(path).levels()


def test_windows_are_those_of_the_settings_else_those_it_was_trained_with(tmp_path):
    bundle = write_bundle(tmp_path)
    assert segmenter_at(bundle).window() == 576
    assert segmenter_at(bundle, UNetConfig(window=96)).window() == 96


def test_a_given_mask_is_not_predicted(tmp_path):
    slab = Slab(tmp_path / "v", tmp_path / "p", 0, 4, threads=1)
    with pytest.raises(StageError, match="entered as it is"):
        segmenter_at(tmp_path / "mask.json").predict(slab)


def test_an_encoder_that_is_not_there_is_told_before_the_run():
    scan = Scan(sample="a", voxel_size_um="1", **ROW)
    config = read_config({"models": {"default": {"method": "unet", "encoder": "resnet19", "base": "none"}}})
    (fault,) = segmenter_of(scan, config).faults()
    assert "models.default.encoder" in str(fault)
    assert "Did you mean `resnet18`?" in str(fault) or "Did you mean `resnet10`?" in str(fault)
    known = read_config({"models": {"default": {"method": "unet", "encoder": "resnet18", "base": "none"}}})
    assert not segmenter_of(scan, known).faults()


def test_another_kind_is_a_module_and_a_line(monkeypatch, tmp_path):
    """A kind that looks like a threshold in the sheet, and goes before it."""

    class Half(Threshold):
        @classmethod
        def place(cls, scan, config):
            return Path(config.results) / scan.sample / "half.json"

        @classmethod
        def recognises(cls, path):
            return path.name == "half.json"

        @property
        def cost(self):
            return Cost(cores=1.0)

    monkeypatch.setattr(kinds, "KINDS", (Half, *kinds.KINDS))
    assert isinstance(chosen("otsu"), Half)
    assert isinstance(segmenter_at(tmp_path / "half.json"), Half)
    assert chosen("default").cost.network > 0
