"""Files that point elsewhere or ask to be evaluated: what they name is neither read nor run."""

import json
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from ball_scan import SHAPE, ball, mask_of, ome
from roifile import ImagejRoi

from tomoprofile.errors import InputError
from tomoprofile.volume.readers import open_raw

# --- Voxels from elsewhere.


def sources(folder, name="v.h5", place="part{}.h5", parts=2):
    layout = h5py.VirtualLayout(SHAPE, "uint8")
    for part in range(parts):
        inside = slice(part * 3, part * 3 + 3)
        target = (folder / place.format(part)).resolve()
        target.parent.mkdir(exist_ok=True)
        with h5py.File(target, "w") as file:
            file["d"] = ball()[inside] + 7
        layout[inside] = h5py.VirtualSource(place.format(part), "d", shape=(3, *SHAPE[1:]))
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / name, "w") as file:
        file.create_virtual_dataset("v", layout)
    return folder / name


def test_a_file_of_the_computer_is_never_read_as_grey_values(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(256)) * 4)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("v", SHAPE, "uint8", external=[(str(tmp_path / "secret"), 0, 720)])
    with pytest.raises(InputError, match="external storage"):
        open_raw(tmp_path / "s.h5", "hdf5", "/v")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["v"][0, 0, 5] == 5, "HDF5 itself would give it"


def test_parts_beside_a_virtual_dataset_or_below_are_read(tmp_path):
    (tmp_path / "data").mkdir()
    for place in ("part{}.h5", "below/part{}.h5"):
        path = sources(tmp_path / "data", place=place)
        raw = open_raw(path, "hdf5", "/v")
        assert (raw.faults(), raw.doubts()) == ([], [])
        assert (raw.read(0, 0, 6) == ball() + 7).all()


def test_parts_elsewhere_are_refused_unless_a_link_brings_them(tmp_path):
    (tmp_path / "data").mkdir()
    path = sources(tmp_path / "data", place="../part{}.h5")
    with pytest.raises(InputError, match="not in the folder"):
        open_raw(path, "hdf5", "/v")
    path = sources(tmp_path / "data", place=f"{tmp_path}/else/part{{}}.h5")
    with pytest.raises(InputError, match=r"else/part0\.h5"):
        open_raw(path, "hdf5", "/v")
    (tmp_path / "data/else").symlink_to(tmp_path / "else")
    path = sources(tmp_path / "data", place="else/part{}.h5")
    assert (open_raw(path, "hdf5", "/v").read(0, 0, 6) == ball() + 7).all()


@pytest.mark.parametrize("lost", ["file", "dataset", "voxels"])
def test_a_lost_part_is_named_and_not_read_as_zeros(tmp_path, lost):
    path = sources(tmp_path / "data")
    part = path.with_name("part1.h5")
    part.unlink()
    if lost != "file":
        with h5py.File(part, "w") as file:
            file["d" if lost == "voxels" else "other"] = ball()[:1]
    with pytest.raises(InputError, match=r"part1\.h5"):
        open_raw(path, "hdf5", "/v")
    if lost != "voxels":
        with h5py.File(path) as file:
            assert (file["v"][4:] == 0).all(), "HDF5 itself would fill"


def test_a_part_that_was_never_mapped_is_a_doubt(tmp_path):
    (doubt,) = open_raw(sources(tmp_path / "data", parts=1), "hdf5", "/v").doubts()
    assert "360 of 720 voxels" in doubt


def test_external_links_are_followed_in_the_folder_alone(tmp_path):
    (tmp_path / "data").mkdir()
    for folder in (tmp_path, tmp_path / "data"):
        with h5py.File(folder / "other.h5", "w") as file:
            file["d"] = ball()
    with h5py.File(tmp_path / "data/s.h5", "w") as file:
        file["near"] = h5py.ExternalLink("other.h5", "/d")
        file["far"] = h5py.ExternalLink("../other.h5", "/d")
        file["lost"] = h5py.ExternalLink("nowhere.h5", "/d")
        file["within"] = h5py.ExternalLink("other.h5", "/nothing")
    path = tmp_path / "data/s.h5"
    assert (open_raw(path, "hdf5", "/near").read(0, 0, 6) == ball()).all()
    for name, told in (("far", "not in the folder"), ("lost", "nowhere.h5"), ("within", "has no /nothing")):
        with pytest.raises(InputError, match=told):
            open_raw(path, "hdf5", f"/{name}")


def test_a_dataset_into_which_nothing_was_written_is_refused(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("whole", SHAPE, "uint8")
        file.create_dataset("chunks", SHAPE, "uint8", chunks=(2, 10, 12))
    for name in ("whole", "chunks"):
        with pytest.raises(InputError, match="nothing was written"):
            open_raw(tmp_path / "s.h5", "hdf5", name)


def test_a_tiff_whose_header_names_a_file_elsewhere_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "b.ome.tif", ball()[3:], photometric="minisblack", metadata=None)
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="12" SizeY="10" SizeZ="6" SizeC="1" SizeT="1">'
        '<TiffData FirstZ="0" IFD="0" PlaneCount="3"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="3" IFD="0" PlaneCount="3"><UUID FileName="{}">urn:uuid:2</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    for place, told in (("../b.ome.tif", "another folder"), ("lost.ome.tif", "are in no file")):
        path = ome(tmp_path / "data", "a.ome.tif", text.format(place))
        with pytest.raises(InputError, match=told):
            open_raw(path, "tiff_stack")
    (tmp_path / "b.ome.tif").rename(tmp_path / "data/b.ome.tif")
    path = ome(tmp_path / "data", "a.ome.tif", text.format("b.ome.tif"))
    assert (open_raw(path, "tiff_stack").read(0, 0, 6) == ball()).all()


# --- Never evaluated.


def test_entities_of_xml_are_never_evaluated(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0.123")
    for entity in (f'SYSTEM "file://{secret}"', '"a" ><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"'):
        text = (
            f'<?xml version="1.0"?><!DOCTYPE o [<!ENTITY a {entity}>]>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint8" SizeX="12" SizeY="10" SizeZ="3" SizeC="1" SizeT="1" '
            'PhysicalSizeX="1"><TiffData/></Pixels><Description>&a;</Description></Image></OME>'
        )
        raw = open_raw(ome(tmp_path / "data", "a.ome.tif", text), "tiff_stack")
        assert raw.shape == (3, 10, 12)
        assert raw.voxel_size_um is None


class Trap:
    """Unpickling this leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_never_opened(tmp_path):
    sprung = tmp_path / "sprung"
    path = tmp_path / "m.zarr"
    zarr.create_array(str(path), data=ball(), chunks=SHAPE, zarr_format=2, compressors=None)
    told = json.loads((path / ".zarray").read_text())
    for change in ({"filters": [{"id": "pickle", "protocol": 5}]}, {"compressor": {"id": "pickle", "protocol": 5}}):
        (path / ".zarray").write_text(json.dumps(told | change))
        (path / "0.0.0").write_bytes(pickle.dumps(Trap(sprung)))
        with pytest.raises(InputError, match="pickle"):
            mask_of(path)
    (path / ".zarray").write_text(json.dumps(told | {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(InputError):
        mask_of(path)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap works"


def test_an_outline_of_an_archive_is_compared_with_its_checksum(tmp_path):
    from tomoprofile.labels.outlines import read_outlines

    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.roi", ImagejRoi.frompoints(np.array([[1, 1], [9, 1], [9, 9]])).tobytes())
    assert len(read_outlines(path)) == 1
    data = bytearray(path.read_bytes())
    data[data.index(b"Iout") + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip"):
        read_outlines(path)


@pytest.mark.parametrize("back_to", [0, 100])
def test_pages_that_come_back_are_refused(tmp_path, back_to):
    """The last of 120 pages names an earlier one as the next."""
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, np.zeros((120, 4, 4), "uint8"), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 120
        place, target = tif.pages.next_page_offset, tif.pages[back_to].offset
    data = bytearray(path.read_bytes())
    data[place : place + 4] = struct.pack("<I", target)
    path.write_bytes(data)
    with pytest.raises(InputError, match="comes back"):
        open_raw(path, "tiff_stack")
