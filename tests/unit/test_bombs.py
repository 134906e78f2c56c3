"""Files that promise what memory cannot hold: refused with file and remedy, within seconds and little memory.

Each is opened as the product opens it, all in one process that is measured.
"""

import gzip
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from ball_scan import SCAN, ball

ROOT = Path(__file__).parents[2]
SECONDS = 120  # for all bombs together; they take a few
MOST_BYTES = 200 * 2**20


def many_zeros(megabytes):
    """Return zeros as a stream of DEFLATE, whose blocks repeat each other."""
    packer = zlib.compressobj(1, wbits=-15)
    block = packer.compress(bytes(8 * 2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (megabytes // 8) + b"\x03\x00"


def zip_of(entries):
    """Return an archive of (name, compressed bytes, size that it tells)."""
    body, listed = b"", b""
    for name, packed, told in entries:
        facts = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(packed), told, len(name), 0)
        listed += b"PK\x01\x02" + struct.pack("<H", 20) + facts + bytes(10) + struct.pack("<I", len(body)) + name
        body += b"PK\x03\x04" + facts + name + packed
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(listed), len(body), 0)
    return body + listed + end


def roi_zip(path):
    path.write_bytes(zip_of([(b"%d.roi" % number, many_zeros(48), 48 * 2**20) for number in range(6)]))


def roi_zip_that_lies(path):
    """Promise 1000 bytes and hold many."""
    path.write_bytes(zip_of([(b"a.roi", many_zeros(288), 1000)]))


def roi_zip_of_many(path):
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 5) + bytes(16) + b"a.roi"
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(entry) * 400_000, 0, 0)
    path.write_bytes(entry * 400_000 + end)


def huge_tiff(path, **options):
    tifffile.imwrite(path, np.zeros((10, 12), "uint8"), **options)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tag = tif.pages[0].tags[name]
            data[tag.offset : tag.offset + 12] = struct.pack("<HHII", tag.code, 4, 1, 2**31 - 8)
    path.write_bytes(data)


def nifti_bomb(path):
    whole = gzip.compress(nibabel.Nifti1Image(ball().T, np.eye(4)).to_bytes())
    more = bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 255]) + many_zeros(288) + struct.pack("<II", 0, 288 * 2**20)
    path.write_bytes(whole + more)


def nifti_promise(path):
    header = bytearray(nibabel.Nifti1Image(ball().T, np.eye(4)).to_bytes()[:352])
    struct.pack_into("<8h", header, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(bytes(header)) if path.name.endswith("gz") else bytes(header))


def zarr_shape(path, edge):
    zarr.create_array(str(path), data=ball(), chunks=(3, 10, 12))
    file = path / "zarr.json"
    told = json.loads(file.read_text())
    told["shape"] = [edge] * 3
    file.write_text(json.dumps(told))


def hdf5_shape(path, shape):
    with h5py.File(path, "w") as file:
        made = file.create_dataset("m", shape, "uint8", chunks=(1, 64, 64), compression="gzip")
        made[0, :10, :10] = 1


def nested(path):
    path.write_bytes(gzip.compress(gzip.compress(nibabel.Nifti1Image(ball().T, np.eye(4)).to_bytes())))


MASK, RAW, LABELS = "mask", "raw", "labels"


BOMBS = {
    "rois_z00001.zip": (LABELS, roi_zip, "more than 64 MB"),
    "lying_z00001.zip": (LABELS, roi_zip_that_lies, "ImageJ ROIs"),
    "many_z00001.zip": (LABELS, roi_zip_of_many, "more than 100000 files"),
    "huge_z00001.tif": (LABELS, huge_tiff, "differs in size"),
    "hugepacked_z00001.tif": (LABELS, lambda path: huge_tiff(path, compression="zlib"), "differs in size"),
    "huge.tif": (MASK, huge_tiff, "huge.tif"),
    "bomb.nii.gz": (MASK, nifti_bomb, "promises"),
    "promise.nii": (MASK, nifti_promise, "promises"),
    "promise.nii.gz": (MASK, nifti_promise, "promises"),
    "nested.nii.gz": (MASK, nested, "NIfTI"),
    "e30.zarr": (MASK, lambda path: zarr_shape(path, 10**30), "impossible size"),
    "negative.zarr": (MASK, lambda path: zarr_shape(path, -1), "Zarr"),
    "zero.zarr": (MASK, lambda path: zarr_shape(path, 0), "impossible size"),
    "wide.zarr": (MASK, lambda path: zarr_shape(path, 90_000), "differs from that of its scan"),
    "wide.h5": (MASK, lambda path: hdf5_shape(path, (6, 4_000_000, 4_000_000)), "impossible size"),
    "slice.h5": (MASK, lambda path: hdf5_shape(path, (6, 90_000, 90_000)), "differs from that of its scan"),
    "raw.h5": (RAW, lambda path: hdf5_shape(path, (6, 90_000, 90_000)), "cannot be in"),
}


OPEN = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
import json, sys, time
from pathlib import Path
from fuzz.harness import memory, peak, reset_peak
from tomoprofile.config import UNetConfig
from tomoprofile.errors import TomoprofileError
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.masks import read_annotators
from tomoprofile.samples import MaskImage, Scan
from tomoprofile.volume.masks import read_mask
from tomoprofile.volume.readers import open_raw

scan = Scan.model_validate(json.loads(sys.argv[1]))
for line in sys.stdin:
    kind, path = json.loads(line)
    before, begun = memory(), time.monotonic()
    reset_peak()
    try:
        if kind == "labels":
            read_annotators(Path(path).parent, scan.shape, Classes.of(UNetConfig()))
        else:
            raw = read_mask(scan, MaskImage(path)).raw if kind == "mask" else open_raw(path, "hdf5")
            raw.read(0, 0, 6)
        said = "accepted"
    except TomoprofileError as error:
        said = str(error)
    except Exception as error:
        said = repr(error)
    print(json.dumps([path, said, peak() - before, time.monotonic() - begun]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    asked = []
    for name, (kind, make, _) in BOMBS.items():
        (folder / name.replace(".", "_")).mkdir()
        path = folder / name.replace(".", "_") / name
        make(path)
        asked.append([kind, str(path)])
    paths = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]
    done = subprocess.run(
        [sys.executable, "-c", OPEN, SCAN.model_dump_json()],
        input="\n".join(map(json.dumps, asked)),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {Path(path).name: rest for path, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(outcomes, name):
    said, grown, _ = outcomes[name]
    assert name in said
    assert BOMBS[name][2] in said
    assert grown < MOST_BYTES
