"""OME-Zarr and Zarr as raw scans, written by ngff-zarr and zarr."""

import zipfile

import numpy as np
import pytest
import zarr

from tomoprofile.errors import InputError
from tomoprofile.volume.discover import find_scans
from tomoprofile.volume.formats import format_of
from tomoprofile.volume.readers import open_raw
from tomoprofile.volume.store import create_store

SHAPE = (6, 10, 12)
UNITS = ("micrometer", "micrometer", "micrometer")


def image():
    return np.random.default_rng(1).integers(1, 60_000, SHAPE).astype("uint16")


def multiscale(axes, scale, unit="micrometer", path="0", **more):
    listed = [
        {"name": axis, "type": "space", **({"unit": unit} if unit else {})}
        if axis in "zyx"
        else {"name": axis, "type": {"t": "time", "c": "channel"}.get(axis, "")}
        for axis in axes
    ]
    steps = [{"type": "scale", "scale": list(scale)}]
    return {"axes": listed, "datasets": [{"path": path, "coordinateTransformations": steps}], **more}


def write(folder, values, scales, version="0.5", path="0", chunks=None, **attributes):
    """Write one image as OME-Zarr."""
    group = zarr.create_group(str(folder), zarr_format=3 if version == "0.5" else 2)
    array = group.create_array(path, shape=values.shape, dtype=values.dtype, chunks=chunks or values.shape)
    array[...] = values
    told = {"multiscales": scales}
    group.attrs.update({"ome": {"version": version, **told}} if version == "0.5" else told)
    group.attrs.update(attributes)
    return folder


def read(path, dataset=None):
    form = format_of(path)
    (first, *_) = form.datasets(path) if dataset is None else [dataset]
    raw = open_raw(path, form.name, first)
    assert raw.faults() == []
    return raw, raw.read(0, 0, raw.shape[0])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["zyx", "tczyx", "czyx", "zyxc", "tcxyz"])
@pytest.mark.parametrize("unit", ["micrometer", "nanometer", "millimeter"])
def test_named_axes_and_units(tmp_path, version, axes, unit):
    values = image().transpose(["zyx".index(axis) for axis in axes if axis in "zyx"])
    for axis in sorted(axes.index(axis) for axis in "tc" if axis in axes):
        values = np.expand_dims(values, axis)
    scale = [{"z": 2.0, "y": 0.5, "x": 0.25}.get(axis, 7.0) for axis in axes]
    chunks = tuple({"z": 2, "y": 5, "x": 5}.get(axis, 1) for axis in axes)
    raw, found = read(write(tmp_path / "a.zarr", values, [multiscale(axes, scale, unit)], version, chunks=chunks))
    np.testing.assert_array_equal(found, image())
    np.testing.assert_array_equal(raw.read(2, 3, 7), image()[..., 3:7])
    factor = {"micrometer": 1, "nanometer": 1e-3, "millimeter": 1e3}[unit]
    np.testing.assert_allclose(raw.voxel_size_um, (2 * factor, 0.5 * factor, 0.25 * factor))


def test_what_ngff_zarr_writes(tmp_path):
    ngff = pytest.importorskip("ngff_zarr")
    for version in ("0.4", "0.5"):
        shown = ngff.to_ngff_image(
            image(),
            dims=["z", "y", "x"],
            scale={"z": 2, "y": 0.5, "x": 0.25},
            axes_units=dict(zip("zyx", UNITS, strict=True)),
        )
        scales = ngff.to_multiscales(shown, scale_factors=[2], chunks=4)
        ngff.to_ngff_zarr(str(tmp_path / f"{version}.zarr"), scales, version=version)
        raw, found = read(tmp_path / f"{version}.zarr")
        np.testing.assert_array_equal(found, image())
        assert raw.voxel_size_um == (2, 0.5, 0.25)


def test_a_scale_without_a_unit_is_no_voxel_size(tmp_path, caplog):
    raw, _ = read(write(tmp_path / "a.zarr", image(), [multiscale("zyx", (2, 1, 1), unit="")]))
    assert raw.voxel_size_um is None
    assert "no unit of length" in caplog.text
    whole = multiscale("zyx", (2, 1, 1), coordinateTransformations=[{"type": "scale", "scale": [3, 2, 1]}])
    assert read(write(tmp_path / "b.zarr", image(), [whole]))[0].voxel_size_um == (6, 2, 1)


def test_two_channels_are_a_fault(tmp_path):
    path = write(tmp_path / "a.zarr", np.stack([image()] * 2), [multiscale("czyx", (1, 1, 1, 1))])
    assert format_of(path).datasets(path) == []
    with pytest.raises(InputError, match="c has 2 entries"):
        open_raw(path, "zarr")


def test_the_largest_of_several_images_is_taken_and_the_others_are_named(tmp_path, caplog):
    root = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for name, values in (("0", image()[:, :4]), ("1", image()), ("2", image()[:3])):
        write(tmp_path / f"a.zarr/{name}", values, [multiscale("zyx", (1, 1, 1))], "0.4")
    write(tmp_path / "a.zarr/1/labels/nuclei", image(), [multiscale("zyx", (1, 1, 1))], "0.4")
    np.testing.assert_array_equal(read(tmp_path / "a.zarr")[1], image())
    assert "1 is taken for the scan" in caplog.text
    assert read(tmp_path / "a.zarr", "2")[1].shape == (3, 10, 12)
    with pytest.raises(InputError, match=r"a.zarr/1, .*a.zarr/2"):
        open_raw(tmp_path / "a.zarr", "zarr")


def test_several_multiscales_in_one_group(tmp_path):
    group = zarr.open_group(str(write(tmp_path / "a.zarr", image(), [], path="fine")))
    group.create_array("other", data=image()[:4])
    scales = [multiscale("zyx", (2, 1, 1), path="fine"), multiscale("zyx", (3, 1, 1), path="other")]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    assert format_of(tmp_path / "a.zarr").datasets(tmp_path / "a.zarr") == ["fine", "other"]
    assert read(tmp_path / "a.zarr", "other")[0].voxel_size_um == (3, 1, 1)


@pytest.mark.parametrize("form", [2, 3])
def test_bare_arrays_of_any_byte_order(tmp_path, form):
    zarr.create_array(str(tmp_path / "a.zarr"), data=image().astype(">u2"), zarr_format=form, chunks=(2, 5, 5))
    raw, found = read(tmp_path / "a.zarr")
    assert raw.dtype.isnative
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, image())
    assert raw.voxel_size_um is None


def test_a_chunk_that_is_not_there_is_found(tmp_path):
    path = write(tmp_path / "a.zarr", image()[None], [multiscale("czyx", (1, 1, 1, 1))], chunks=(1, 2, 5, 12))
    (path / "0/c/0/1/1/0").unlink()
    with pytest.raises(InputError, match="c/0/1/1/0 is missing"):
        open_raw(path, "zarr").read(0, 0, 6)


def test_results_of_ours_are_no_scans(tmp_path):
    store = create_store(tmp_path / "volume.ome.zarr", SHAPE, "uint16", (1, 1, 1), 6)
    store.write(0, image())
    assert format_of(store.path).datasets(store.path) == []


@pytest.mark.parametrize(
    "scales", [[{}], ["text"], [{"datasets": []}], [{"datasets": [{"path": "none"}]}], [multiscale("zyx", (1, "a", 1))]]
)
def test_metadata_that_mean_nothing_are_a_fault(tmp_path, scales):
    path = write(tmp_path / "a.zarr", image(), scales)
    with pytest.raises(InputError, match=r"a\.zarr"):
        open_raw(path, "zarr")


def test_positions_of_axes_beside_an_image_are_no_images(tmp_path):
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("mu", shape=SHAPE, dtype="uint16", chunks=SHAPE)[...] = image()
    for name, length in zip("zyx", SHAPE, strict=True):
        group.create_array(name, shape=(length,), dtype="f8", chunks=(length,))[...] = np.arange(length)
    np.testing.assert_array_equal(read(tmp_path / "a.zarr")[1], image())


@pytest.mark.parametrize(("name", "told"), [("a.zarr.zip", "unzip"), ("a.ozx", "unzip"), ("a.n5", "N5 is not read")])
def test_archives_and_n5_say_what_to_do(tmp_path, name, told):
    if name.endswith("n5"):
        (tmp_path / name / "0").mkdir(parents=True)
        (tmp_path / name / "0/1").write_bytes(b"x")
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("zarr.json", "{}")
    with pytest.raises(InputError, match=told):
        find_scans(tmp_path)
