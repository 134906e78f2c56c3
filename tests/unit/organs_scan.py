"""A body of a few dozen voxels a side with organs of known place: two kidneys that only their side tells apart."""

import nibabel
import numpy as np
import SimpleITK

from tomoprofile.volume.geometry import Geometry

SHAPE = (24, 30, 40)  # z (towards the head), y (to the front), x (to the patient's right)
SPACING = (4.0, 3.0, 2.0)  # mm along z, y, x
ORIGIN = (-30.0, -45.0, 100.0)  # RAS, mm, of voxel (0, 0, 0)
CLASSES = {"background": 0, "kidney_left": 3, "kidney_right": 2, "liver": 5}
_CENTRES = {"kidney_right": (10, 10, 30), "kidney_left": (13, 10, 9), "liver": (15, 20, 27)}
_RADII = {"kidney_right": (5, 4, 4), "kidney_left": (5, 4, 4), "liver": (7, 7, 10)}
HU = {"kidney_right": 180, "kidney_left": 180, "liver": 110}


def ellipsoid(centre, radii):
    """Return where an ellipsoid is, in voxels."""
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)) <= 1


def organs():
    """Return the labels (z, y, x) of uint8."""
    found = np.zeros(SHAPE, np.uint8)
    for name in ("liver", "kidney_right", "kidney_left"):
        found[ellipsoid(_CENTRES[name], _RADII[name])] = CLASSES[name]
    return found


def grey(noise=10.0, seed=5):
    """Return HU (z, y, x) of int16: organs and fat, and -1024 outside of a circle as scanners pad."""
    labels = organs()
    found = np.full(SHAPE, -1000.0)
    found[ellipsoid((12, 15, 20), (1000, 13, 18))] = -100
    for name, value in HU.items():
        found[labels == CLASSES[name]] = value
    found += np.random.default_rng(seed).normal(0, noise, SHAPE)
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    found[:, np.hypot(y - 14.5, (x - 19.5) * SHAPE[1] / SHAPE[2]) > 15.2] = -1024
    return found.astype(np.int16)


def affine():
    """Return the NIfTI affine: voxel (x, y, z) to (right, anterior, superior)."""
    matrix = np.diag([*SPACING[::-1], 1.0])
    matrix[:3, 3] = ORIGIN
    return matrix


def geometry():
    """Return where the voxels lie."""
    return Geometry.from_nifti(affine())


def write_nifti(path, values, matrix=None):
    """Write an array (z, y, x)."""
    image = nibabel.Nifti1Image(values.transpose(2, 1, 0), affine() if matrix is None else matrix)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def reoriented(path, values, codes):
    """Write the same organs in the same places, with the axes of the array in another order and direction."""
    image = nibabel.Nifti1Image(values.transpose(2, 1, 0), affine())
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    nibabel.save(image.as_reoriented(turn), path)
    return path


def write_itk(path, values):
    """Write the same organs by SimpleITK, with the patient's axes x and y turned to LPS in the array itself."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values))
    image.SetSpacing(SPACING[::-1])
    image.SetDirection((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    image.SetOrigin((-ORIGIN[0], -ORIGIN[1], ORIGIN[2]))
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, "LPS"), str(path), useCompression=True)
    return path
