"""OME-TIFF whose OME-XML lies in a file of its own: order, completeness and voxel size come from there."""

import numpy as np
import pytest
import tifffile

from tomoprofile.errors import InputError
from tomoprofile.volume.discover import find_scans
from tomoprofile.volume.formats import tiff_folder, tiff_layout
from tomoprofile.volume.readers import open_raw

SHAPE = (6, 14, 11)
VOXELS = np.random.default_rng(2).integers(0, 60000, SHAPE, "uint16")
SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def name(z):
    return f"s_{(z * 5) % 6:03d}.ome.tif"  # backwards but for the first


def companion(data, channels=1):
    return (
        f'{HEAD}<OME xmlns="{SCHEMA}" UUID="urn:uuid:0"><Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint16" '
        f'DimensionOrder="XYZCT" SizeX="11" SizeY="14" SizeZ="6" SizeC="{channels}" SizeT="1" PhysicalSizeX="0.65" '
        f'PhysicalSizeY="0.65" PhysicalSizeZ="1300" PhysicalSizeZUnit="nm">{data}</Pixels></Image></OME>'
    )


def part(file, z, count=1):
    place = f'<UUID FileName="{file}">urn:uuid:{z + 1}</UUID>'
    return f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="{count}">{place}</TiffData>'


def write(path, image, z=0):
    binary = '<BinaryOnly MetadataFile="s.companion.ome" UUID="urn:uuid:0"/>'
    text = f'{HEAD}<OME xmlns="{SCHEMA}" UUID="urn:uuid:{z + 1}">{binary}</OME>'
    tifffile.imwrite(path, image, description=text, metadata=None, photometric="minisblack")


def in_slices(folder, channels=1):
    for z in range(6):
        write(folder / name(z), VOXELS[z], z)
    data = "".join(part(name(z), z) for z in range(6))
    (folder / "s.companion.ome").write_text(companion(data, channels))


def in_one(folder):
    write(folder / "s.ome.tif", VOXELS)
    (folder / "s.companion.ome").write_text(companion(part("s.ome.tif", 0, 6)))


@pytest.mark.parametrize("layout", [in_slices, in_one])
def test_a_set_is_one_scan(tmp_path, layout):
    layout(tmp_path)
    (scan,) = find_scans(tmp_path)
    assert scan.voxel_size_um == (1.3, 0.65, 0.65)
    assert np.array_equal(open_raw(scan.path, scan.format).read(0, 0, 6), VOXELS)


def test_slices_lie_in_the_order_of_the_description_and_not_of_their_names(tmp_path, monkeypatch):
    in_slices(tmp_path)
    monkeypatch.setattr(tiff_folder, "_as_described", lambda _, files: files)
    (scan,) = find_scans(tmp_path)
    assert not np.array_equal(open_raw(scan.path, scan.format).read(0, 0, 6), VOXELS)


def lose(folder):
    (folder / name(1)).unlink()  # the last by name


def another(folder):
    write(folder / "s_006.ome.tif", VOXELS[0])


def two_channels(folder):
    in_slices(folder, channels=2)


@pytest.mark.parametrize(
    ("change", "told"), [(lose, "describes 6 slices|missing"), (another, "holds 7"), (two_channels, "2 channels")]
)
def test_a_set_that_is_not_what_is_described_is_refused(tmp_path, change, told):
    in_slices(tmp_path)
    change(tmp_path)
    with pytest.raises(InputError, match=told):
        find_scans(tmp_path)


def test_a_stack_with_fewer_pages_than_described_is_refused(tmp_path, monkeypatch):
    in_one(tmp_path)
    write(tmp_path / "s.ome.tif", VOXELS[:4])
    with pytest.raises(InputError, match="promises 6 slices, but the file holds 4"):
        find_scans(tmp_path)
    monkeypatch.setattr(tiff_layout, "described_slices", lambda *_: None)
    assert find_scans(tmp_path)[0].slices == 4, "without the comparison four slices would be the scan"


def test_without_the_companion_slices_are_in_the_order_of_their_names(tmp_path, caplog):
    for z in range(6):
        write(tmp_path / f"s_{z:03d}.ome.tif", VOXELS[z], z)
    (scan,) = find_scans(tmp_path, voxel_size_um=1)
    assert np.array_equal(open_raw(scan.path, scan.format).read(0, 0, 6), VOXELS)
    assert "s.companion.ome" in caplog.text


def test_a_companion_elsewhere_or_one_that_expands_is_not_read(tmp_path):
    in_one(tmp_path)
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>'
    (tmp_path / "s.companion.ome").write_text(companion(part("s.ome.tif", 0, 6)).replace("<OME", f"{bomb}<OME", 1))
    with pytest.raises(InputError, match="voxel size"):
        find_scans(tmp_path)
