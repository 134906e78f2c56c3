"""Voxel size and grey scale in the headers of TIFF files, in every spelling; what cannot be is not used in silence."""

import math

import numpy as np
import pytest
import tifffile
from PIL import Image

from tomoprofile.errors import InputError
from tomoprofile.volume.discover import find_scans
from tomoprofile.volume.readers import open_raw

IMAGE = np.random.default_rng(1).integers(0, 60_000, (4, 20, 16)).astype("uint16")


def size_of(path):
    return open_raw(path, "tiff_stack").voxel_size_um


def ome(path, image=IMAGE, depth=4, **attributes):
    told = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="16" SizeY="20" '
        f'SizeZ="{depth}" SizeC="1" SizeT="1" {told}><Channel ID="C:0" SamplesPerPixel="1"/>'
        "<TiffData/></Pixels></Image></OME>"
    )
    tifffile.imwrite(path, image, photometric="minisblack", description=text.encode(), metadata=None)
    return path


def sizes(value, unit=None, axes="XYZ"):
    names = {f"PhysicalSize{axis}": value for axis in axes}
    return names | ({f"PhysicalSize{axis}Unit": unit for axis in axes} if unit else {})


@pytest.mark.parametrize(
    ("value", "unit", "edge"),
    [
        (0.65, None, 0.65),
        (0.65, "µm", 0.65),
        (0.65, "\u03bcm", 0.65),
        (0.65, "um", 0.65),
        (650, "nm", 0.65),
        (0.00065, "mm", 0.65),
        (6500, "\u00c5", 0.65),
        ("6.5e-7", "m", 0.65),
        (0.65, "pixel", None),
        (0.65, "reference frame", None),
        (0, "um", None),
        ("NaN", "um", None),
        ("", "um", None),
        (1e9, "um", None),
    ],
)
def test_ome_sizes_in_every_unit(tmp_path, value, unit, edge, caplog):
    found = size_of(ome(tmp_path / "a.ome.tif", **sizes(value, unit)))
    assert found == (None if edge is None else pytest.approx((edge,) * 3))
    assert bool(caplog.text) == (edge is None and unit == "um"), "a size that cannot be is told, a pixel is none"
    if edge is None:
        with pytest.raises(InputError, match=r"a\.ome\.tif.*voxel size.*--voxel-size-um"):
            find_scans(tmp_path)


def test_ome_sizes_that_differ_by_axis_or_lack_one(tmp_path, caplog):
    path = tmp_path / "a.ome.tif"
    assert size_of(ome(path, PhysicalSizeX=1, PhysicalSizeY=2, PhysicalSizeZ=3, PhysicalSizeZUnit="nm")) is not None
    assert size_of(path) == pytest.approx((0.003, 2, 1))
    assert not caplog.text
    assert size_of(ome(path, PhysicalSizeX=0.5, PhysicalSizeY=0.5)) == (0.5, 0.5, 0.5)
    assert "no distance of slices" in caplog.text
    assert size_of(ome(path, PhysicalSizeX=-0.5, PhysicalSizeY=0.5, PhysicalSizeZ=0.5)) == (0.5, 0.5, 0.5)
    assert "negative" in caplog.text
    caplog.clear()
    assert size_of(ome(path, IMAGE[:1], 1, PhysicalSizeX=0.5, PhysicalSizeY=0.5)) == (0.5, 0.5, 0.5)
    assert not caplog.text, "of one slice nobody measures a distance"


def imagej(path, resolution=(2, 2), **meaning):
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=resolution, metadata={"axes": "ZYX"} | meaning)
    return path


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("micron", 1),
        ("um", 1),
        ("\\u00B5m", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("cm", 1e4),
        ("inch", 25400),
        ("pixel", None),
        ("", None),
        ("sec", None),
    ],
)
def test_imagej_units(tmp_path, unit, factor):
    pixels = 2 * factor if factor else 2
    found = size_of(imagej(tmp_path / "a.tif", (pixels, pixels), unit=unit, spacing=0.75 / (factor or 1)))
    assert found == (pytest.approx((0.75, 0.5, 0.5), rel=1e-5) if factor else None)


@pytest.mark.parametrize(("spacing", "z"), [(-0.7, 0.7), (0, None), (math.nan, None), (1e12, None), ("text", None)])
def test_a_spacing_that_cannot_be(tmp_path, spacing, z, caplog):
    path = imagej(tmp_path / "a.tif", unit="um", spacing=spacing)
    assert size_of(path) == ((z, 0.5, 0.5) if z else None)
    assert "negative" in caplog.text if z else "cannot be" in caplog.text
    if z is None:
        with pytest.raises(InputError, match="--voxel-size-um"):
            find_scans(path)
        (scan,) = find_scans(path, voxel_size_um=0.5)
        assert scan.voxel_size_um == (0.5, 0.5, 0.5)


def test_imagej_without_a_spacing_is_told(tmp_path, caplog):
    assert size_of(imagej(tmp_path / "a.tif", unit="um")) == (0.5, 0.5, 0.5)
    assert "no distance of slices in ImageJ's description; the edge of a pixel, 0.5 um, is taken" in caplog.text


def test_the_calibration_of_signed_images_of_imagej(tmp_path):
    """It stores them as unsigned ones, with the calibration that makes up for it."""
    text = "ImageJ=1.54f\nimages=4\nslices=4\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=Gray Value\n"
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="minisblack", description=text, metadata=None)
    grey = open_raw(tmp_path / "a.tif", "tiff_stack").grey
    assert (grey.slope, grey.offset, grey.unit) == (1, -32768, "")


@pytest.mark.parametrize(
    ("resolution", "unit", "edge"),
    [
        ((20000, 20000), "CENTIMETER", 0.5),
        ((25400, 25400), "INCH", 1.0),
        ((39077, 39077), "INCH", 0.65),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((28.346, 28.346), "CENTIMETER", None),  # 72 dpi
        ((118.11, 118.11), "CENTIMETER", None),  # 300 dpi
        ((20000, 20000), "NONE", None),
        ((1, 1), "CENTIMETER", None),
    ],
)
def test_a_resolution_is_believed_unless_it_is_that_of_a_screen(tmp_path, resolution, unit, edge, caplog):
    options = {"resolution": resolution, "resolutionunit": unit, "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="minisblack", **options)
    assert size_of(tmp_path / "a.tif") == (pytest.approx((edge,) * 3, rel=1e-3) if edge else None)
    assert ("no distance of slices" in caplog.text) == bool(edge)


@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_a_resolution_that_pillow_writes_is_not_believed(tmp_path, dpi):
    planes = [Image.fromarray(plane) for plane in IMAGE]
    planes[0].save(tmp_path / "a.tif", save_all=True, append_images=planes[1:], dpi=(dpi, dpi))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages[0].tags["XResolution"].value[0]
    assert size_of(tmp_path / "a.tif") is None


def test_sizes_that_disagree_are_told(tmp_path, caplog):
    path = ome(tmp_path / "a.ome.tif", **sizes(0.65))
    assert size_of(path) == (0.65, 0.65, 0.65)
    assert not caplog.text
    with tifffile.TiffFile(path) as tif:
        text = tif.pages[0].description
    for pixels, told in ((10000 / 0.65, False), (20000, True)):
        options = {"resolution": (pixels, pixels), "resolutionunit": "CENTIMETER", "metadata": None}
        tifffile.imwrite(path, IMAGE, photometric="minisblack", description=text.encode(), **options)
        assert size_of(path) == (0.65, 0.65, 0.65)
        assert ("0.65 x 0.65 x 0.65 um by OME-XML and ? x 0.5 x 0.5 um by the resolution tags" in caplog.text) == told
