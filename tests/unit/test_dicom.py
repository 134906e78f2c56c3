"""DICOM series, written with pydicom and SimpleITK, and compared with what SimpleITK reads."""

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from tomoprofile.errors import InputError
from tomoprofile.volume.discover import survey
from tomoprofile.volume.formats import dicom, dicom_headers, format_of
from tomoprofile.volume.readers import ScanReader

pytestmark = pytest.mark.usefixtures("same_locale")
SHAPE = (5, 6, 7)
TURNED = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]  # x of the image is y of the patient, y of the image points down
UID = generate_uid(entropy_srcs=["series"])


def image():
    return np.random.default_rng(1).integers(-1000, 1000, SHAPE).astype("int16")


def header(z, plane, **changes):
    """Return one slice; the normal of TURNED points along -x of the patient."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.SeriesInstanceUID, ds.SeriesDescription, ds.Modality = UID, "bone", "CT"
    ds.ImageType, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], z + 1
    ds.Rows, ds.Columns = plane.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [10 - 2.0 * z, -20, 30], TURNED
    ds.PixelSpacing, ds.SliceThickness = [0.75, 0.5], 3
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    for key, value in changes.items():
        setattr(ds, key, value)
    return ds


def save(path, ds, plane, syntax=ExplicitVRLittleEndian):
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    ds.PixelData = plane.astype(plane.dtype.newbyteorder(order)).tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        path, ds, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=order == "<", enforce_file_format=True
    )


def series(folder, syntax=ExplicitVRLittleEndian, values=None, **changes):
    """Write a series whose files are named in no order."""
    folder.mkdir(exist_ok=True, parents=True)
    values = image() if values is None else values
    for z, plane in enumerate(values):
        save(folder / f"IM{(z * 3) % 7}", header(z, plane, **changes), plane, syntax)
    return folder


def file_of(folder, z):
    return folder / f"IM{(z * 3) % 7}"


def change(path, **changes):
    ds = pydicom.dcmread(path)
    for key, value in changes.items():
        setattr(ds, key, value)
    ds.save_as(path)


def opened(path, dataset=""):
    form = format_of(path)
    assert form is dicom.FORMAT
    return form.open(path, dataset)


def refused(path, dataset=""):
    with pytest.raises(InputError) as error:
        opened(path, dataset)
    assert all(fault.where and fault.problem and fault.remedy for fault in error.value.faults)
    return str(error.value)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_slices_lie_by_their_positions_and_values_are_those_of_itk(tmp_path, syntax):
    folder = series(tmp_path / "scan", syntax)
    raw = opened(folder)
    assert (raw.shape, raw.dtype) == (SHAPE, np.dtype("int16"))
    assert raw.faults() == raw.doubts() == []
    np.testing.assert_array_equal(raw.read(0, 0, 5), image())
    np.testing.assert_array_equal(raw.read(0, 1, 3), image()[1:3])
    np.testing.assert_array_equal(raw.read(2, 1, 3), image()[..., 1:3])
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    known = reader.Execute()
    np.testing.assert_array_equal(raw.grey.physical(raw.read(0, 0, 5)), SimpleITK.GetArrayFromImage(known))
    assert raw.grey.unit == "HU"
    np.testing.assert_allclose(raw.geometry.lps.origin, known.GetOrigin())
    np.testing.assert_allclose(raw.geometry.lps.spacing, known.GetSpacing())
    np.testing.assert_allclose(np.ravel(raw.geometry.lps.direction), known.GetDirection(), atol=1e-9)
    np.testing.assert_allclose(raw.voxel_size_um, (2000, 750, 500))  # distance of slices, not their thickness
    assert ScanReader(raw, 1).voxel_size_um == (750, 2000, 500)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8"])
def test_compressed_slices_of_itk(tmp_path, compressor, dtype):
    # ITK's own encoder of JPEG 2000 needs 32 voxels.
    values = np.tile(image() % 251 if dtype == "uint8" else image(), (1, 6, 6)).astype(dtype)
    for z, plane in enumerate(values):
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        written = SimpleITK.GetImageFromArray(plane)
        for key, value in {
            "0008|0060": "CT",
            "0020|000e": UID,
            "0008|0018": f"{UID}.{z}",
            "0020|0013": str(z),
            "0020|0032": f"0\\0\\{z}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|0030": "0.5\\0.5",
        }.items():
            written.SetMetaData(key, value)
        writer.SetFileName(str(tmp_path / f"{z}.dcm"))
        writer.Execute(written)
    raw = opened(tmp_path)
    assert raw.dtype == dtype
    assert raw.faults() == []
    np.testing.assert_array_equal(raw.read(0, 0, 5), values)


@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 12), (16, 15)])
@pytest.mark.parametrize("signed", [False, True])
def test_numbers_are_in_some_of_the_bits_and_drawings_in_the_others(tmp_path, stored, high, signed, monkeypatch):
    least, most = (-(2 ** (stored - 1)), 2 ** (stored - 1)) if signed else (0, 2**stored)
    truth = np.random.default_rng(1).integers(least, most, SHAPE).astype("int64")
    shift = high + 1 - stored
    mask = (2**stored - 1) << shift
    drawn = np.random.default_rng(2).integers(0, 2**16, SHAPE) & ~mask
    values = (((truth << shift) & mask) | drawn).astype("uint16")
    bits = {"BitsStored": stored, "HighBit": high, "PixelRepresentation": int(signed)}
    folder = series(tmp_path / "scan", values=values, **bits)
    raw = opened(folder)
    assert raw.dtype == ("int16" if signed else "uint16")
    np.testing.assert_array_equal(raw.read(0, 0, 5), truth)
    monkeypatch.setattr(dicom, "_stored", lambda found, _: found)
    assert np.array_equal(raw.read(0, 0, 5), truth) == (stored == 16), "all 16 bits are not the number"


def test_bits_that_cannot_be_are_a_fault(tmp_path):
    assert "bits above bit" in refused(series(tmp_path / "scan", BitsStored=12, HighBit=17))


def test_deflated_files_are_inflated_one_at_a_time(tmp_path, monkeypatch):
    folder = series(tmp_path / "scan")
    for path in folder.iterdir():
        deflate(path)
    raw = opened(folder)
    assert raw.faults() == []
    np.testing.assert_array_equal(raw.read(0, 1, 5), image()[1:])
    monkeypatch.setattr(dicom_headers, "_MOST_INFLATED", 100)
    assert "more than 100 bytes" in refused(folder)


def test_a_deflated_file_that_is_cut_is_a_fault(tmp_path):
    folder = series(tmp_path / "scan")
    for path in folder.iterdir():
        deflate(path)
    file = file_of(folder, 2)
    file.write_bytes(file.read_bytes()[:-30])
    assert "IM6" in refused(folder)


def deflate(path):
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    pydicom.dcmwrite(path, ds)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_files_without_a_preamble_are_known_by_their_first_element(tmp_path, syntax):
    folder = series(tmp_path / "scan", syntax)
    for path in [*folder.iterdir()]:
        ds = pydicom.dcmread(path)
        meta = 132 + 12 + ds.file_meta.FileMetaInformationGroupLength
        path.with_suffix(".dcm").write_bytes(path.read_bytes()[meta:])
        path.unlink()
    (scan,) = survey(tmp_path).scans
    assert scan.format == "dicom"
    np.testing.assert_array_equal(opened(folder).read(0, 0, 5), image())


def test_frames_with_one_position_lie_behind_each_other(tmp_path):
    frames = header(0, image()[0], NumberOfFrames=5, SpacingBetweenSlices=2.5)
    save(tmp_path / "frames", frames, image())
    raw = opened(tmp_path / "frames")
    np.testing.assert_array_equal(raw.read(0, 0, 5), image())
    np.testing.assert_allclose(raw.voxel_size_um, (2500, 750, 500))
    assert "order of their numbers" in raw.doubts()[0]


def test_a_single_image_beside_a_series_does_not_stop_the_series(tmp_path):
    folder = series(tmp_path / "scan", values=image().astype("uint16"), PixelRepresentation=0)
    dose = header(0, image()[0], SeriesInstanceUID=generate_uid())
    save(folder / "dose", dose, image()[0])
    (scan,) = survey(tmp_path).scans
    assert scan.dataset == UID
    assert opened(folder, scan.dataset).shape == SHAPE


def test_values_shown_inverted_are_as_stored_and_that_is_said(tmp_path):
    raw = opened(series(tmp_path / "scan", PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(raw.read(0, 0, 5), image())
    assert "white" in raw.doubts()[0]


def test_gaps_doubles_and_mixtures_are_faults(tmp_path, monkeypatch):
    folder = series(tmp_path / "gap", values=np.concatenate([image(), image()])[:7])
    file_of(folder, 3).unlink()
    assert "slices are missing, first between" in refused(folder)
    folder = series(tmp_path / "twice")
    change(file_of(folder, 3), ImagePositionPatient=[8, -20, 30])
    said = refused(folder)
    assert "lie at the place of another one: IM" in said
    assert "slices are missing" in said
    folder = series(tmp_path / "all_twice", values=np.concatenate([image()] * 1))
    for z in range(5):
        (folder / f"copy{z}").write_bytes(file_of(folder, z).read_bytes())
    assert "got 5 of 10" in refused(folder)
    folder = series(tmp_path / "uneven")
    change(file_of(folder, 2), ImagePositionPatient=[6.6, -20, 30])
    assert "equally far apart" in refused(folder)
    for what, value in {
        "Rows": 5,
        "RescaleSlope": 2,
        "PixelSpacing": [1, 1],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    }.items():
        folder = series(tmp_path / what)
        change(file_of(folder, 4), **{what: value})
        assert "differ from" in refused(folder)
    # The mutant: without these checks a scan with a gap is read without a word.
    monkeypatch.setattr(dicom_headers, "_refuse_uneven", lambda *_: None)
    assert opened(tmp_path / "gap").faults() == []


def test_each_series_of_a_folder_is_a_scan_and_localizers_are_none(tmp_path, caplog):
    other = generate_uid()
    folder = series(tmp_path / "study")
    for z, plane in enumerate(image()[:3]):
        save(folder / f"B{z}", header(z, plane + 5, SeriesInstanceUID=other), plane + 5)
    scout = header(0, np.zeros((20, 30), "int16"), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    save(folder / "scout", scout, np.zeros((20, 30), "int16"))
    report = header(0, image()[0], SeriesInstanceUID=generate_uid())
    del report.Rows, report.Columns
    save(folder / "report", report, image()[0])
    (folder / "notes.txt").write_text("x")
    single = header(0, image()[0], SeriesInstanceUID=generate_uid(), SeriesDescription="dose")
    save(folder / "single", single, image()[0])
    with caplog.at_level("INFO"):
        assert format_of(folder).datasets(folder) == [UID, other]
    assert "(dose) is a single image" in caplog.text
    np.testing.assert_array_equal(opened(folder, UID).read(0, 0, 5), image())
    np.testing.assert_array_equal(opened(folder, other).read(0, 0, 3), image()[:3] + 5)
    assert UID in refused(folder)
    assert "series of this name" in refused(folder, "1.2.3")


def test_every_series_gets_a_row_of_the_sheet(tmp_path):
    other = generate_uid()
    values = image().astype("uint16")
    folder = series(tmp_path / "study", values=values, PixelRepresentation=0)
    for z, plane in enumerate(values[:3]):
        save(folder / f"B{z}", header(z, plane, SeriesInstanceUID=other, PixelRepresentation=0), plane)
    found = survey(tmp_path)
    assert [(scan.dataset, scan.slices) for scan in found.scans] == sorted([(UID, 5), (other, 3)])
    assert len({scan.sample for scan in found.scans}) == 2


def test_a_folder_with_one_series_needs_no_name(tmp_path):
    folder = series(tmp_path / "scan")
    assert format_of(folder).datasets(folder) == [""]
    assert set(format_of(folder).files(folder)) == set(folder.iterdir())
    assert format_of(file_of(folder, 1)).datasets(file_of(folder, 1)) == []


def test_slices_without_positions_are_ordered_by_number_with_a_word(tmp_path):
    folder = series(tmp_path / "scan")
    for z in range(5):
        ds = pydicom.dcmread(file_of(folder, z))
        del ds.ImagePositionPatient
        ds.save_as(file_of(folder, z))
    raw = opened(folder)
    np.testing.assert_array_equal(raw.read(0, 0, 5), image())
    assert "order of their numbers" in raw.doubts()[0]
    assert raw.geometry is None
    np.testing.assert_allclose(raw.voxel_size_um, (3000, 750, 500))
    change(file_of(folder, 2), InstanceNumber=9)
    assert "gaps" in refused(folder)


def test_a_tilted_gantry_is_said(tmp_path):
    folder = series(tmp_path / "scan")
    for z in range(5):
        change(file_of(folder, z), ImagePositionPatient=[10 - 2.0 * z, -20 + 0.4 * z, 30])
    raw = opened(folder)
    assert "11.3 degrees" in raw.doubts()[0]
    assert raw.voxel_size_um[0] == pytest.approx(2000)


def test_one_file_with_many_frames(tmp_path):
    ds = header(0, image()[0], NumberOfFrames=5)
    per_frame, shared = [], Dataset()
    for z in (3, 1, 0, 2, 4):
        position, item = Dataset(), Dataset()
        position.ImagePositionPatient = [10 - 2.0 * z, -20, 30]
        item.PlanePositionSequence = [position]
        per_frame.append(item)
    orientation, measures, values = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = TURNED
    measures.PixelSpacing, measures.SliceThickness = [0.75, 0.5], 3
    values.RescaleSlope, values.RescaleIntercept = 2, -1000
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [values]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope"):
        delattr(ds, name)
    del ds.RescaleIntercept
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], per_frame
    save(tmp_path / "enhanced", ds, image()[[3, 1, 0, 2, 4]])
    assert format_of(tmp_path / "enhanced").datasets(tmp_path / "enhanced") == [""]
    raw = opened(tmp_path / "enhanced")
    np.testing.assert_array_equal(raw.read(0, 0, 5), image())
    np.testing.assert_allclose(raw.voxel_size_um, (2000, 750, 500))
    assert (raw.grey.slope, raw.grey.offset) == (2, -1000)


def test_a_truncated_slice_is_found(tmp_path):
    folder = series(tmp_path / "scan")
    path = file_of(folder, 2)
    path.write_bytes(path.read_bytes()[:-10])
    (fault,) = opened(folder).faults()
    assert str(path) == fault.where
    with pytest.raises(InputError, match="truncated"):
        opened(folder).read(0, 2, 3)


def test_colours_say_how_to_convert(tmp_path):
    folder = series(tmp_path / "rgb", SamplesPerPixel=3)
    assert "dcm2niix" in refused(folder)
