"""A mask of a whole scan that is turned, mirrored or of another scan is told; a right one never is."""

import numpy as np
import pytest
import tifffile

from tomoprofile.config import UNetConfig
from tomoprofile.run.check_mask import check_mask
from tomoprofile.samples import Scan
from tomoprofile.volume.readers import ScanReader, open_raw


def spheres(seed, shape, number=70):
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    mask = np.zeros(shape, bool)
    for _ in range(number):
        centre = [rng.uniform(4, n - 4) for n in shape]
        mask |= sum((a - c) ** 2 for a, c in zip((z, y, x), centre, strict=True)) < rng.uniform(2, 4) ** 2
    return mask


def grey(mask, noise, seed=0, contrast=300):
    return (3000 + contrast * mask + np.random.default_rng(seed).normal(0, noise, mask.shape)).clip(0).astype("uint16")


def told(folder, mask, image, slice_axis=0):
    """Return the warnings of the check of a mask."""
    tifffile.imwrite(folder / "scan.tif", image, photometric="minisblack")
    tifffile.imwrite(folder / "mask.tif", np.ascontiguousarray(mask).astype("uint8"), photometric="minisblack")
    z, y, x = np.moveaxis(image, slice_axis, 0).shape
    columns = {"slices": z, "rows": y, "columns": x, "slice_axis": slice_axis, "mask": str(folder / "mask.tif")}
    scan = Scan(
        sample="a", path=str(folder / "scan.tif"), format="tiff_stack", dtype="uint16", voxel_size_um="1", **columns
    )
    reader = ScanReader(open_raw(scan.path, scan.format), slice_axis)
    found = check_mask(scan, UNetConfig(), reader)
    assert not [finding for finding in found if finding.status == "error"]
    return [finding.message for finding in found if finding.status == "warning"]


CUBE = (48, 48, 48)
WRONG = {
    "order x, y, z": lambda mask: mask.T,
    "order y, z, x": lambda mask: mask.swapaxes(0, 1),
    "order y, x, z": lambda mask: mask.transpose(1, 2, 0),
    "mirrored along z": lambda mask: mask[::-1],
    "mirrored along z and y": lambda mask: mask[::-1, ::-1],
    "mirrored left to right": lambda mask: mask[:, :, ::-1],
    "order x, y, z of the scan, mirrored along z": lambda mask: mask[..., ::-1].T[::-1],
    "another scan": lambda mask: np.roll(mask, (17, 11, 23), (0, 1, 2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_mask_of_a_cube_is_told_with_what_is_wrong(tmp_path, name):
    mask = spheres(1, CUBE)
    (said,) = told(tmp_path, WRONG[name](mask), grey(mask, 20))
    if name.endswith("mirrored along z") and name.startswith("order"):
        assert "axes in the order" in said
    else:
        assert name in said


@pytest.mark.parametrize("noise", [20, 300, 1000])
def test_a_right_mask_is_never_told(tmp_path, noise):
    """In noise of 1000 around a contrast of 300 no domain can be seen."""
    for seed, shape in enumerate([CUBE, (40, 48, 56), (40, 48, 48)]):
        mask = spheres(seed, shape)
        assert told(tmp_path, mask, grey(mask, noise, seed)) == []


@pytest.mark.parametrize("noise", [20, 300])
@pytest.mark.parametrize("slice_axis", [0, 2])
def test_a_mask_of_another_scan_is_told_whatever_the_shape(tmp_path, noise, slice_axis):
    shape = (40, 48, 56)
    mask, other = spheres(1, shape), spheres(101, shape)
    (said,) = told(tmp_path, other, grey(mask, noise), slice_axis)
    assert "another scan" in said
    assert told(tmp_path, mask, grey(mask, noise), slice_axis) == []


def test_domains_seen_by_their_rims_alone_fit(tmp_path):
    """In refraction contrast the inside looks like the outside."""
    from scipy import ndimage

    mask = spheres(1, (40, 48, 56))
    rims = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
    assert told(tmp_path, mask, grey(rims, 150)) == []
    assert told(tmp_path, mask[::-1], grey(rims, 150))


def test_few_domains_say_nothing(tmp_path):
    mask = np.zeros((40, 48, 56), bool)
    mask[10:20, 10:30, 10:30] = True
    assert told(tmp_path, mask, grey(np.zeros_like(mask), 20)) == []


def test_mutant_without_the_check_takes_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprofile.run.check_mask.mask_place", lambda *_: [])
    mask = spheres(1, CUBE)
    for name in ("order x, y, z", "mirrored along z", "another scan"):
        assert told(tmp_path, WRONG[name](mask), grey(mask, 20)) == []
