"""`slice:INDEX` names its face in words and in the pictures, and both say what the plane does."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from domains_scan import write_store
from page_parser import written
from report_scan import EDGE
from test_report_overlays import draw

from tomoprofile.config import read_config
from tomoprofile.report import triplets
from tomoprofile.report.cuts import Box, arrow_into_resin
from tomoprofile.run.check import check_scan
from tomoprofile.samples import Scan
from tomoprofile.segment.kinds import segmenter_of
from tomoprofile.substrate import given
from tomoprofile.substrate.given import face_in_words
from tomoprofile.substrate.interface import fit_interface
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import open_store

BEYOND_RIMS_UM = 4.5
N, EDGES = 6, (0.5, 1.0, 1.0)
# By the definition in the sheet: INDEX is the first slice of resin; slices of the substrate, then of the resin.
SLICES = {
    "slice:0": ([], [0, 1, 2, 3, 4, 5]),
    "slice:1": ([0], [1, 2, 3, 4, 5]),
    "slice:4": ([0, 1, 2, 3], [4, 5]),
    "slice:5": ([0, 1, 2, 3, 4], [5]),
    "slice:0:below": ([1, 2, 3, 4, 5], [0]),
    "slice:3:below": ([4, 5], [0, 1, 2, 3]),
    "slice:4:below": ([5], [0, 1, 2, 3, 4]),
    "slice:5:below": ([], [0, 1, 2, 3, 4, 5]),
}


def slices_in(sentence):
    """Read the slices of substrate and resin, and z of depth 0, out of the words."""

    def after(word):
        ends = re.search(rf"{word} in slices? (\d+)(?: to (\d+))?", sentence)
        return list(range(int(ends[1]), int(ends[2] or ends[1]) + 1)) if ends else []

    return after("substrate"), after("resin"), float(re.search(r"z = ([\d.]+) µm", sentence)[1])


@pytest.mark.parametrize("spec", SLICES)
def test_words_are_those_of_the_plane_that_the_run_uses(tmp_path, spec):
    substrate, resin, z_um = slices_in(face_in_words(spec, N, EDGES[0]))
    assert (substrate, resin) == SLICES[spec]
    write_store(tmp_path / "v", np.random.default_rng(0).random((N, 8, 8)).astype("float32"), 8, EDGES)
    fit_interface(tmp_path / "v", spec, tmp_path / "interface.json", tmp_path / "resin.npz")
    plane = Plane.load(tmp_path / "interface.json")
    beyond = [z for z in range(N) if plane.depth_um((z + 0.5) * EDGES[0], 4, 4) > 0]
    assert beyond == resin
    assert plane.depth_um(z_um, 4, 4) == 0


def test_words_name_the_two_slices_or_the_end_of_the_scan():
    assert face_in_words("slice:4", N, 0.5) == (
        "Depth 0 is the face between slices 3 and 4 (z = 2 µm), with the substrate in slices 0 to 3 and the resin in "
        "slices 4 to 5. Slices count from 0, and depth runs across them, along z."
    )
    assert "the outer face of slice 0, where the scan begins (z = 0 µm), with the substrate outside" in face_in_words(
        "slice:0", N, 0.5
    )
    assert "the outer face of slice 5, where the scan ends (z = 3 µm), with the substrate outside" in face_in_words(
        "slice:5:below", N, 0.5
    )


def test_words_for_the_other_side_are_seen(monkeypatch):
    """The mutant: the side is not looked at."""
    parse = given.parse_interface
    monkeypatch.setattr(given, "parse_interface", lambda text: parse(text.removesuffix(":below")))
    wrong = [spec for spec in SLICES if slices_in(face_in_words(spec, N, 0.5))[:2] != SLICES[spec]]
    assert wrong == [spec for spec in SLICES if spec.endswith("below")]


def test_the_check_says_which_slices_are_substrate(tmp_path):
    tifffile.imwrite(tmp_path / "raw.tif", np.random.default_rng(0).random((N, 16, 16)).astype("float32"))
    row = {"path": str(tmp_path / "raw.tif"), "format": "tiff_stack", "dtype": "float32", "voxel_size_um": "0.5,1,1"}
    scan = Scan(sample="a", slices=N, rows=16, columns=16, interface="slice:4", **row)
    config = read_config({"models": {"default": {"method": "otsu"}}})
    told = [one.message for one in check_scan(scan, segmenter_of(scan, config)) if "slice:4" in one.message]
    assert len(told) == 1
    assert slices_in(told[0])[:2] == SLICES["slice:4"]


@pytest.fixture(scope="module")
def below(scans):
    """A scan whose substrate lies at the last slices and was given as ``slice:99:below``."""
    return scans("slice below")


def test_the_page_says_it_in_its_flag_and_where_it_tells_of_the_interface(below, tmp_path):
    parsed, _ = written(below, tmp_path / "report.html")
    sentence = face_in_words("slice:99:below", 112, EDGE)
    assert slices_in(sentence)[0] == list(range(100, 112))
    assert parsed.text.count(sentence) == 2
    assert "given as slice:99:below, not fitted" in parsed.text.split("Volume fraction beyond")[0]
    assert len(parsed.all("path", class_="arrow")) >= 3, "both overviews and the zoom at the substrate show it"


def ends_of(arrow):
    """Return start and tip (x, y) of an arrow in micrometres."""
    numbers = [float(part) for part in re.findall(r"[-\d.e]+", arrow.path)]
    return np.array(numbers[:2]), np.array(numbers[2:4])


def grey_along(files, triplet, picture):
    """Return the mean grey value of the scan behind an arrow's start, and towards its tip."""
    store = open_store(files.volume)
    image = store.cut(triplet.shown.axis, triplet.shown.index)
    start, tip = ends_of(picture.arrow)
    step = (tip - start) / np.linalg.norm(tip - start)
    found = []
    for way in (-1, 1):
        x, y = ((start + way * step * BEYOND_RIMS_UM) / EDGE).astype(int)
        found.append(image[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean())
    return found


KINDS = ["plain", "depth along z", "depth against z", "depth against y", "depth along x", "slice below"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_arrow_points_from_the_bright_substrate_into_the_resin(scans, kind):
    files = scans(kind)
    triplet = draw(files, "interface")
    overview, zoom, bare = triplet.shown.pictures
    for picture in (overview, zoom):
        substrate, resin = grey_along(files, triplet, picture)
        assert substrate > resin + 5, "1/cm; the substrate has 10, and the noise of 25 voxels is below 1"
        view, (start, tip) = picture.view, ends_of(picture.arrow)
        for x, y in (start, tip, (picture.arrow.x, picture.arrow.y)):
            assert view.x <= x <= view.x + view.width
            assert view.y <= y <= view.y + view.height
    assert bare.arrow is None


def test_an_arrow_the_other_way_is_seen(scans, monkeypatch):
    """The mutant: the arrow follows the axis of the depth, not the normal."""
    files = scans("slice below")

    def ascending(line, cut, plane, view):
        return arrow_into_resin(line, cut, Plane(tuple(abs(part) for part in plane.normal), plane.offset_um), view)

    monkeypatch.setattr(triplets, "arrow_into_resin", ascending)
    triplet = draw(files, "interface")
    substrate, resin = grey_along(files, triplet, triplet.shown.pictures[0])
    assert substrate < resin


def test_at_the_first_slice_the_arrow_begins_at_the_edge_of_the_picture():
    cut = SimpleNamespace(axis=1)
    arrow = arrow_into_resin((0.0, 0.0, 50.0, 0.0), cut, Plane((1.0, 0.0, 0.0), 0.0), Box(0, 0, 50, 40))
    start, tip = ends_of(arrow)
    assert start[1] == 0
    assert tip == pytest.approx([start[0], 0.12 * 40])
    assert arrow_into_resin(None, cut, Plane((1.0, 0.0, 0.0), 0.0), Box(0, 0, 50, 40)) is None
