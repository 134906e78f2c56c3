"""Damaged sheets, configurations and records of models: understood, or refused with file and remedy."""

import json

import pytest
import yaml
from fuzz.harness import NUMBERS, failures
from model_facts import model_facts

from tomoprofile.config import Config, read_config
from tomoprofile.config_file import load_config
from tomoprofile.earlier import EarlierSheet
from tomoprofile.layout import BundleLayout
from tomoprofile.network.facts import ModelFacts, read_facts
from tomoprofile.samples import Scan, read_samples, write_samples

SCANS = [
    Scan(
        sample=name,
        path=f"raw/{name}",
        format="hdf5",
        dataset="/entry/data",
        slices=40,
        rows=50,
        columns=60,
        dtype="uint16",
        voxel_size_um=(1.0, 0.5, 0.5),
        interface=interface,
        grey_slope=0.001,
        mask="instances:m.h5:/a;classes:c.tif",
        time_h=1.5,
    )
    for name, interface in (("film_a", "plane:0,1,0,12.5"), ("film_b", "slice:3:below"))
]
CONFIG = {
    "samples": "config/samples.tsv",
    "seed": 3,
    "store": {"shard_slices": 8, "slab_slices": 16},
    "models": {
        "default": {"method": "unet", "classes": {"background": 0, "domain": 1, "void": 2}, "measure": ["domain"]},
        "plain": {"method": "otsu", "smooth_voxels": 1.5},
    },
    "profile": {"bin_um": 2.5, "zones": [{"name": "all", "from_um": 0}], "field_of_view": {"radius_um": 40.0}},
}


@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_damaged_sheets(tmp_path, number, seed):
    path = tmp_path / "samples.tsv"
    write_samples(path, SCANS)

    def read():
        found = read_samples(path, {"default"})
        assert found
        assert all(isinstance(scan, Scan) for scan in found)
        assert all(isinstance(scan, Scan) for scan in EarlierSheet.read(path).merged(SCANS))

    assert failures(path, read, number, seed) == []


@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_damaged_configurations(tmp_path, number, seed):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG, sort_keys=False))

    def read():
        assert isinstance(read_config(load_config(path), str(path)), Config)

    assert failures(path, read, number, seed) == []


@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_damaged_records_of_models(tmp_path, number, seed):
    path = BundleLayout(tmp_path).metadata
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"tomoprofile": model_facts().record()}))

    def read():
        assert isinstance(read_facts(tmp_path), ModelFacts)

    assert failures(path, read, number, seed) == []
