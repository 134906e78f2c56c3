"""Where a scan lies in space: conversions between NIfTI, ITK and our axes, and what a store keeps of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from tomoprofile.volume.geometry import Geometry
from tomoprofile.volume.store import describe_store, lay_out_store, open_store

ORIGIN, SPACING = (10.5, -20.25, 33.0), (0.5, 0.75, 2.0)  # x, y, z
DIRECTION = Rotation.from_euler("xyz", (10, -35, 70), degrees=True).as_matrix()

pytestmark = pytest.mark.usefixtures("same_locale")


def _itk() -> SimpleITK.Image:
    image = SimpleITK.Image([3, 4, 5], SimpleITK.sitkUInt8)
    image.SetOrigin(ORIGIN)
    image.SetSpacing(SPACING)
    image.SetDirection(DIRECTION.ravel().tolist())
    return image


def test_every_voxel_lies_where_itk_says() -> None:
    image = _itk()
    geometry = Geometry.from_lps(image.GetOrigin(), image.GetDirection(), image.GetSpacing())
    for z, y, x in ((0, 0, 0), (4, 3, 2), (1, 0, 2)):
        left, posterior, superior = image.TransformIndexToPhysicalPoint((x, y, z))
        np.testing.assert_allclose(
            np.asarray(geometry.affine) @ (z, y, x, 1), (-left, -posterior, superior, 1), atol=1e-9
        )
    np.testing.assert_allclose(geometry.lps.origin, ORIGIN)
    np.testing.assert_allclose(geometry.lps.spacing, SPACING)
    np.testing.assert_allclose(geometry.lps.direction, DIRECTION, atol=1e-12)
    np.testing.assert_allclose(Geometry.from_nifti(geometry.nifti).affine, geometry.affine)


@pytest.mark.parametrize("slice_axis", range(3))
def test_a_voxel_keeps_its_place_when_another_axis_becomes_z(slice_axis: int) -> None:
    geometry = Geometry.from_lps(ORIGIN, DIRECTION, SPACING)
    index = (4, 3, 2)
    moved = (index[slice_axis], *(n for axis, n in enumerate(index) if axis != slice_axis))
    np.testing.assert_allclose(
        np.asarray(geometry.reordered(slice_axis).affine) @ (*moved, 1), np.asarray(geometry.affine) @ (*index, 1)
    )


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, float("nan"), 1), (1, 1, 1e12)])
def test_axes_that_cannot_be_are_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError):
        Geometry.from_lps(ORIGIN, DIRECTION, spacing)
    with pytest.raises(ValueError):
        Geometry.from_lps(ORIGIN, np.ones((3, 3)), (1, 1, 1))  # all in one line


def test_a_store_keeps_it(tmp_path: Path) -> None:
    geometry = Geometry.from_lps(ORIGIN, DIRECTION, SPACING)
    store = tmp_path / "volume.ome.zarr"
    lay_out_store(store, (5, 4, 3), "uint8", 5)
    describe_store(store, (1, 1, 1))
    assert open_store(store).geometry is None
    describe_store(store, (1, 1, 1), geometry=geometry)
    assert open_store(store).geometry == geometry
