"""A simulated scan on disk: every raw format with its calibration, the truth, and the annotator."""

import json

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile

from tomoprofile import __version__
from tomoprofile.cli import main
from tomoprofile.errors import ConfigError, InputError
from tomoprofile.phantom.annotator import annotate
from tomoprofile.phantom.files import whole_file, write_scan, write_truth
from tomoprofile.phantom.geometry import DOMAIN, VOID
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.volume.discover import find_scans
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.readers import open_raw

FORMS = ("tiff_folder_u16", "tiff_folder_f32", "tiff_stack", "hdf5")


@pytest.fixture(scope="module")
def phantom():
    return simulate(PhantomSettings.of_kind("B", size=(40, 96, 64), seed=3))


@pytest.fixture(scope="module")
def truth(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "truth"
    write_truth(phantom, folder)
    return folder


def test_16_bit_slices_carry_one_calibration(phantom, tmp_path):
    files = sorted(write_scan(phantom, tmp_path / "scan", "tiff_folder_u16").iterdir())
    assert len(files) == 40
    texts = set()
    for index, path in enumerate(files):
        with tifffile.TiffFile(path) as tif:
            tags = tif.pages[0].tags
            assert tags["Artist"].value == "SP-uCT"
            texts.add(tags["ImageDescription"].value)
            pixels = tif.asarray()
        assert pixels.dtype == np.uint16
        fields = tags["ImageDescription"].value.split("\t")
        assert len(fields) == 6
        projections, width, divisor, base = (float(field) for field in fields[:4])
        assert (projections, width) == (1800, 0.5)
        attenuation = pixels / divisor + base
        assert np.abs(attenuation - phantom.grey[index]).max() < 0.52 / divisor  # half a grey level, and float32
    assert len(texts) == 1  # slices normalised one by one could not be compared
    assert 1 / divisor < 0.05 * phantom.settings.noise_per_cm


def test_32_bit_slices_hold_the_attenuation_itself(phantom, tmp_path):
    folder = write_scan(phantom, tmp_path / "scan", "tiff_folder_f32")
    files = sorted(folder.glob("rec?????.tif"))
    assert len(files) == 40
    with tifffile.TiffFile(files[7]) as tif:
        numbers = [float(part) for part in tif.pages[0].tags["ImageDescription"].value.split()]
        assert np.array_equal(tif.asarray(), phantom.grey[7])
    assert numbers[:4] == [0.5, 32, 1800, 0]
    assert numbers[4:] == pytest.approx([phantom.grey[7].min(), phantom.grey[7].max()])


def test_stack_is_a_big_tiff_that_imagej_understands(phantom, tmp_path):
    path = write_scan(phantom, tmp_path, "tiff_stack")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff
        assert len(tif.pages) == 40
        assert tif.imagej_metadata["spacing"] == 0.5
        assert tif.imagej_metadata["unit"] == "um"
        pixels, length = tif.pages[0].tags["XResolution"].value
        assert length / pixels == pytest.approx(0.5)
        assert np.array_equal(tif.asarray(), phantom.grey)


def test_hdf5_is_nxtomoproc_with_units(phantom, tmp_path):
    with h5py.File(write_scan(phantom, tmp_path, "hdf5")) as file:
        data = file["/entry/data/data"]
        assert np.array_equal(data[()], phantom.grey)
        assert data.attrs["units"] == "1/cm"
        assert file["/entry/definition"][()].decode() == "NXtomoproc"
        assert file["/entry/data"].attrs["signal"] == "data"
        assert list(file["/entry/data"].attrs["axes"]) == ["z", "y", "x"]
        for axis, voxels in zip("zyx", data.shape, strict=True):
            positions = file["/entry/data"][axis]
            assert positions.attrs["units"] == "um"
            assert np.allclose(positions, (np.arange(voxels) + 0.5) * 0.5)


@pytest.mark.parametrize("form", FORMS)
def test_readers_take_every_form(phantom, tmp_path, form):
    write_scan(phantom, tmp_path / "scan", form)
    (row,) = find_scans(tmp_path / "scan")
    assert row.shape == phantom.settings.size
    assert row.voxel_size_um == (0.5, 0.5, 0.5)
    raw = open_raw(row.path, row.format, row.dataset)
    assert raw.faults() == []
    physical = raw.read(0, 10, 12) * row.grey_slope + row.grey_offset
    assert np.abs(physical - phantom.grey[10:12]).max() <= 0.52 * abs(row.grey_slope) * (form == FORMS[0])


@pytest.mark.parametrize("form", FORMS)
def test_writing_twice_gives_one_scan_and_leaves_nothing_else(phantom, tmp_path, form):
    first = write_scan(phantom, tmp_path / "scan", form)
    names = sorted(path.name for path in (tmp_path / "scan").iterdir())
    assert write_scan(phantom, tmp_path / "scan", form) == first
    assert sorted(path.name for path in (tmp_path / "scan").iterdir()) == names
    assert [path.name for path in tmp_path.iterdir()] == ["scan"]


def test_foreign_files_are_not_swept_away(phantom, tmp_path):
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        write_scan(phantom, tmp_path / "scan", "tiff_folder_f32")
    assert [path.name for path in tmp_path.rglob("*")] == ["scan", "thesis.txt"]


def test_unknown_form_is_refused(phantom, tmp_path):
    with pytest.raises(ConfigError, match="tiff_folder_u16"):
        write_scan(phantom, tmp_path, "jpeg")


def test_a_file_that_failed_does_not_appear(tmp_path):
    target = tmp_path / "table.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as part:  # noqa: PT012
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_truth_reads_back(phantom, truth):
    assert np.array_equal(tifffile.imread(truth / "labels.tif"), phantom.labels)
    np.testing.assert_allclose(tifffile.imread(truth / "occupancy.tif") / 255, phantom.occupancy, atol=0.5 / 255 + 1e-6)
    assert Plane.load(truth / "interface.json") == phantom.plane
    settings = json.loads((truth / "settings.json").read_text())
    assert settings["tomoprofile_version"] == __version__
    assert (settings["kind"], settings["size"], settings["distance_mm"]) == ("B", [40, 96, 64], 50.0)
    assert pd.read_parquet(truth / "objects.parquet").equals(phantom.objects)
    profile = pd.read_parquet(truth / "profile.parquet")
    assert profile.domain_um3.sum() == pytest.approx((phantom.labels == DOMAIN).sum() * 0.5**3)
    voids = pd.read_parquet(truth / "profile_void.parquet")
    assert voids.domain_um3.sum() == pytest.approx((phantom.labels == VOID).sum() * 0.5**3) != 0
    assert list(voids) == list(profile)
    assert voids.resin_um3.equals(profile.resin_um3)


@pytest.mark.parametrize("name", ["objects.parquet", "profile.parquet", "profile_void.parquet"])
def test_tables_carry_units_and_version(truth, name):
    metadata = pq.read_schema(truth / name).metadata
    units = json.loads(metadata[b"units"])
    assert metadata[b"tomoprofile_version"].decode() == __version__
    assert units["depth_um"] == "um"
    assert {"volume_um3", "resin_um3"} & set(units)
    assert all(unit == "um^3" for column, unit in units.items() if column.endswith("_um3"))


def test_annotator_gives_the_true_mask_of_the_named_slices(phantom, truth, tmp_path):
    table = tmp_path / "slices.tsv"
    busy = np.argsort((phantom.labels[:-1] == DOMAIN).sum(axis=(1, 2)))[-1]
    table.write_text(f"slice\tfile\tdepth\n{busy}\tdemo_z{busy:05d}.tif\t1\n{busy - 3}\tsub/other.png\t2\n")
    written = annotate(truth, table, tmp_path / "labels")
    assert [path.name for path in written] == [f"demo_z{busy:05d}.tif", "other.tif"]
    for index, path in zip((busy, busy - 3), written, strict=True):
        mask = tifffile.imread(path)
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, phantom.labels[index] == DOMAIN)
        assert mask.any()
        assert not np.array_equal(mask, phantom.labels[index + 1] == DOMAIN)  # the neighbour would be seen
    assert phantom.labels[busy].max() > DOMAIN  # substrate and voids are there, and are no domains


def test_annotator_gives_the_classes_a_model_asks_for(phantom, truth, tmp_path):
    z = int(((phantom.labels == VOID).any((1, 2)) & (phantom.labels == DOMAIN).any((1, 2))).argmax())
    (tmp_path / "slices.tsv").write_text(f"slice\tfile\n{z}\ta.tif\n")
    (tmp_path / "config.yaml").write_text(
        "models: {three: {method: unet, classes: {resin: 1, void: 2, domain: 300}}, ink: {method: unet, "
        "classes: {resin: 0, ink: 1}}}"
    )
    command = ["annotate", *(str(tmp_path / name) for name in ("slices.tsv", "labels"))]
    command.insert(1, str(truth))
    command += ["--config", str(tmp_path / "config.yaml"), "--model"]
    assert main([*command, "three"]) == 0
    mask, labels = tifffile.imread(tmp_path / "labels/a.tif"), phantom.labels[z]
    assert set(np.unique(mask)) == {1, 2, 300}
    assert np.array_equal(mask == 2, labels == VOID)
    assert np.array_equal(mask == 300, labels == DOMAIN)
    assert main([*command, "ink"]) == 1
    with pytest.raises(InputError, match=r"domain, void.*ink"):
        annotate(truth, tmp_path / "slices.tsv", tmp_path / "labels", {"resin": 0, "ink": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [("slice\tfile\n40\ta.tif\n", "slices 0 to 39"), ("z\tfile\n1\ta.tif\n", "`slice`"), ("slice\tfile\n3\n", "slice")],
)
def test_annotator_refuses_a_wrong_list(truth, tmp_path, text, message):
    (tmp_path / "slices.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        annotate(truth, tmp_path / "slices.tsv", tmp_path / "labels")


def test_annotator_needs_the_truth(tmp_path):
    (tmp_path / "slices.tsv").write_text("slice\tfile\n1\ta.tif\n")
    with pytest.raises(InputError, match=r"labels\.tif"):
        annotate(tmp_path, tmp_path / "slices.tsv", tmp_path / "labels")
