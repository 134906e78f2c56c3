"""HDF5 and NeXus as beamlines write them: what is the scan, its axes and units, its sources and filters."""

import json

import h5py
import hdf5plugin
import numpy as np
import pytest

from tomoprofile.errors import InputError
from tomoprofile.samples import MaskImage
from tomoprofile.volume.discover import survey
from tomoprofile.volume.formats import format_of, hdf5, hdf5_choice
from tomoprofile.volume.readers import open_mask, open_raw

SHAPE = (24, 40, 36)


def spheres():
    z, y, x = np.indices(SHAPE)
    return sum((z - cz) ** 2 + (y - cy) ** 2 + (x - 18) ** 2 < 9 for cz in (5, 12, 19) for cy in (7, 20, 33)) > 0


def grey():
    return (1000 + 300 * spheres() + np.random.default_rng(3).normal(0, 20, SHAPE)).astype("uint16")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def write(path, **datasets):
    """Write datasets by their paths, whose slashes are two underscores."""
    with h5py.File(path, "a") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def chosen(path):
    return format_of(path).datasets(path)


def read(path, dataset=""):
    raw = open_raw(path, "hdf5", dataset or chosen(path)[0])
    assert raw.faults() == []
    return raw, raw.read(0, 0, raw.shape[0])


def refused(path, dataset=""):
    with pytest.raises(InputError) as error:
        read(path, dataset)
    assert all(fault.where and fault.problem and fault.remedy for fault in error.value.faults)
    return str(error.value)


def test_big_endian_numbers_become_native(path):
    raw, values = read(write(path, entry__data__data=grey().astype(">f4")))
    assert (raw.dtype, values.dtype) == (np.dtype("float32"),) * 2
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, grey())


@pytest.mark.parametrize("name", ["Blosc", "Blosc2", "Bitshuffle", "Zstd", "LZ4", "BZip2"])
def test_filters_of_plugins(path, name):
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=grey(), chunks=(1, 40, 36), **getattr(hdf5plugin, name)())
    np.testing.assert_array_equal(read(path)[1], grey())


def test_a_filter_that_is_not_there_is_named(path, monkeypatch):
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=grey(), chunks=(1, 40, 36), **hdf5plugin.Zstd())
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code < 256)
    said = refused(path, "/d")
    assert "(32015)" in said
    assert "h5repack" in said


@pytest.mark.parametrize("label", ["labels", "seg", "mask", "train__labels", "y"])
def test_the_image_is_the_scan_and_labels_beside_it_are_named(path, caplog, label):
    """Labels that are wider than the image are larger in bytes; `y` is known by its values alone."""
    write(path, data=grey(), **{label: spheres().astype("int64")})
    assert chosen(path) == ["/data"]
    assert f"/{label.replace('__', '/')} (24x40x36, labels)" in caplog.text


def test_mutant_that_takes_the_largest(path, monkeypatch):
    write(path, data=grey(), y=np.repeat(spheres().astype("uint8"), 2, 0))
    assert chosen(path) == ["/data"]
    monkeypatch.setattr(hdf5_choice, "_has_few_values", lambda *_: False)
    assert chosen(path) == ["/y", "/data"]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_file_of_labels_alone_is_no_scan_but_a_mask(path, caplog, dtype):
    write(path, exported_data=spheres().astype(dtype)[..., None])
    assert chosen(path) == []
    assert "not taken for a scan" in caplog.text
    mask = open_mask(MaskImage(str(path)))
    np.testing.assert_array_equal(mask.read(0, 0, 24), spheres())
    assert open_raw(path, "hdf5", "/exported_data").shape == SHAPE if dtype == "uint8" else True


@pytest.mark.parametrize("order", ["zyxc", "czyx", "tzyxc", "xyzc", "cxzy"])
def test_masks_of_ilastik_say_their_axes(path, order):
    values = spheres().astype("uint8")
    turned = values.transpose(["zyx".index(axis) for axis in order if axis in "zyx"])
    for axis in sorted(order.index(axis) for axis in "tc" if axis in order):
        turned = np.expand_dims(turned, axis)
    with h5py.File(path, "w") as file:
        made = file.create_dataset("exported_data", data=turned, chunks=True)
        made.attrs["axistags"] = json.dumps({"axes": [{"key": axis, "typeFlags": 2} for axis in order]})
    mask = open_mask(MaskImage(str(path)))
    assert mask.faults() == []
    np.testing.assert_array_equal(mask.read(0, 0, 24), values)
    np.testing.assert_array_equal(mask.read(2, 3, 5), values[..., 3:5])


def test_a_second_channel_is_a_fault_that_names_it(path):
    with h5py.File(path, "w") as file:
        made = file.create_dataset("exported_data", data=np.stack([grey()] * 2, 3))
        made.attrs["axistags"] = json.dumps({"axes": [{"key": axis} for axis in "zyxc"]})
    assert "c has 2 entries" in refused(path, "/exported_data")


PROJECTIONS = {
    "dxchange": {
        "exchange__data": np.repeat(grey(), 2, 0),
        "exchange__data_white": grey()[:5],
        "exchange__data_dark": grey()[:5],
        "exchange__theta": np.linspace(0, 180, 48),
    },
    "named": {"raw__projections": np.repeat(grey(), 3, 0)},
    "nxtomo": {
        "entry__definition": "NXtomo",
        "entry__instrument__detector__data": np.repeat(grey(), 2, 0),
        "entry__instrument__detector__image_key": np.zeros(48, int),
        "entry__sample__rotation_angle": np.linspace(0, 180, 48),
        "entry__data__data": np.repeat(grey(), 2, 0),
    },
    "sinograms": {"sinograms": grey(), "flats": grey()[:5], "darks": grey()[:5]},
    "keyed": {"entry1__tomo__data": np.repeat(grey(), 2, 0), "entry1__tomo__image_key": np.zeros(48, int)},
}


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_projections_are_never_a_scan(path, kind):
    write(path, **PROJECTIONS[kind])
    with pytest.raises(InputError, match="raw projections, not a reconstructed scan"):
        chosen(path)


@pytest.mark.parametrize("kind", PROJECTIONS)
@pytest.mark.parametrize("place", ["recon__data", "entry_rec__reconstruction__results__data", "processed__volume"])
def test_the_reconstruction_beside_projections_is_the_scan(path, kind, place, caplog):
    write(path, **PROJECTIONS[kind], **{place: grey()[:20]})
    assert chosen(path)[0] == f"/{place.replace('__', '/')}"
    assert "projections" in caplog.text
    np.testing.assert_array_equal(read(path)[1], grey()[:20])


def test_one_file_of_projections_does_not_hide_the_other_scans(tmp_path):
    write(tmp_path / "dx.h5", **PROJECTIONS["dxchange"])
    write(tmp_path / "good.h5", data=grey())
    found = survey(tmp_path, voxel_size_um=1.0)
    assert [scan.dataset for scan in found.scans] == ["/data"]
    assert "reconstruct" in str(found.faults[0]).lower()


def test_a_lone_reconstruction_in_dxchange_is_a_scan(path):
    assert chosen(write(path, exchange__data=grey())) == ["/exchange/data"]
    assert open_raw(path, "hdf5").shape == SHAPE


def nexus(path, units="um", names=("z", "y", "x"), edges=(2.0, 0.5, 0.25), listed=True, **changes):
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group.attrs.update({"NX_class": "NXdata", "signal": "data"})
        if listed:
            group.attrs["axes"] = list(names)
        group["data"] = grey()
        for name, n, edge in zip(names, SHAPE, edges, strict=True):
            group[name] = changes.get(name, np.arange(n) * edge)
            group[name].attrs["units"] = units
    return path


@pytest.mark.parametrize(
    ("units", "factor"),
    [("um", 1), ("µm", 1), (b"micron", 1), ("mm", 1e3), (np.bytes_(b"nm"), 1e-3), ("Micrometers", 1)],
)
@pytest.mark.parametrize("names", [("z", "y", "x"), ("height", "depth", "width")])
def test_axes_of_nexus_give_the_voxel_size(path, units, factor, names):
    raw, _ = read(nexus(path, units, names))
    np.testing.assert_allclose(raw.voxel_size_um, (2 * factor, 0.5 * factor, 0.25 * factor))


def test_axes_that_descend_or_are_not_even(path):
    raw, _ = read(nexus(path, z=np.arange(24)[::-1] * 2.0))
    assert raw.voxel_size_um == (2.0, 0.5, 0.25)
    assert "equally far apart" in refused(nexus(path, z=np.arange(24.0) ** 2))


def test_axes_without_a_list_or_in_old_style_or_as_scales(path):
    assert read(nexus(path, listed=False))[0].voxel_size_um == (2.0, 0.5, 0.25)
    with h5py.File(nexus(path, names=("a", "b", "c"), listed=False), "a") as file:
        file["entry/data/data"].attrs["axes"] = "a:b:c"
    assert read(path)[0].voxel_size_um == (2.0, 0.5, 0.25)
    with h5py.File(path, "a") as file:
        del file["entry/data/data"].attrs["axes"]
        for axis, name in enumerate("abc"):
            file[f"entry/data/{name}"].make_scale()
            file["entry/data/data"].dims[axis].attach_scale(file[f"entry/data/{name}"])
    assert read(path)[0].voxel_size_um == (2.0, 0.5, 0.25)


def test_voxel_sizes_beside_the_image(path):
    with h5py.File(write(path, a=grey(), b__d=grey(), b__voxel_size=0.65, c=grey()), "a") as file:
        file["a"].attrs["element_size_um"] = [3, 2, 1.0]
        file["b/voxel_size"].attrs["units"] = "mm"
        file["c"].attrs.update({"pixel_size": [2.0, 2.0, 2.0], "pixel_size_units": "nm"})
    assert read(path, "/a")[0].voxel_size_um == (3, 2, 1)
    assert read(path, "/b/d")[0].voxel_size_um == (650,) * 3
    np.testing.assert_allclose(read(path, "/c")[0].voxel_size_um, (2e-3,) * 3)


def test_images_behind_links_are_found_once(tmp_path):
    with h5py.File(tmp_path / "part.hdf_", "w") as file:
        file["d"] = grey()
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        group = file.create_group("entry/data")
        group["data"] = h5py.ExternalLink("part.hdf_", "/d")
        group.attrs["signal"] = "data"
        file["entry/again"] = h5py.SoftLink("/entry/data/data")
        file["entry/loop"] = h5py.SoftLink("/entry")
        file["entry/lost"] = h5py.ExternalLink("nowhere.h5", "/d")
    assert chosen(tmp_path / "master.nxs") == ["/entry/data/data"]
    np.testing.assert_array_equal(read(tmp_path / "master.nxs")[1], grey())


@pytest.mark.parametrize("absolute", [True, False])
def test_a_lost_source_of_a_virtual_dataset_is_named(tmp_path, absolute):
    layout = h5py.VirtualLayout(SHAPE, "uint16")
    for i in range(2):
        part = (tmp_path / f"part{i}.hdf_").resolve()
        with h5py.File(part, "w") as file:
            file["d"] = grey()[i * 12 : (i + 1) * 12]
        name = str(part) if absolute else part.name
        layout[i * 12 : (i + 1) * 12] = h5py.VirtualSource(name, "d", shape=(12, *SHAPE[1:]), dtype="uint16")
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file.create_virtual_dataset("/entry/data/data", layout)
    np.testing.assert_array_equal(read(tmp_path / "scan.nxs")[1], grey())
    (tmp_path / "part1.hdf_").unlink()
    found = survey(tmp_path, voxel_size_um=1.0)
    assert found.scans == []
    assert "part1.hdf_" in str(found.faults[0])


def test_chunks_that_were_never_written_are_found(path):
    with h5py.File(path, "w") as file:
        made = file.create_dataset("d", SHAPE, "uint16", chunks=(4, 40, 36))
        made[:20] = grey()[:20]
    (fault,) = open_raw(path, "hdf5", "/d").faults()
    assert "missing" in fault.problem


def test_matlab_puts_text_before_and_the_name_does_not_matter(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["volume"] = grey()
    assert format_of(tmp_path / "a.mat") is hdf5.FORMAT
    np.testing.assert_array_equal(read(tmp_path / "a.mat")[1], grey())


def test_a_file_with_links_to_lost_files_alone_names_them(tmp_path):
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["entry/data"] = h5py.ExternalLink("part.h5", "/volume")
        file["entry/other"] = h5py.SoftLink("/nowhere")
    (fault,) = survey(tmp_path, voxel_size_um=1.0).faults
    assert "part.h5, which is not there" in fault.problem
