"""The pictures show what was measured, where it was measured."""

import math
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from report_scan import EDGE, LEVELS
from scipy.ndimage import center_of_mass, label

from tomoprofile.domains.objects import iter_runs, read_objects_metadata
from tomoprofile.report import cuts
from tomoprofile.report.cuts import FULL, Box, Cut, Detail, draw_contours, read_cut, scale_bar_um, substrate_line
from tomoprofile.report.numbers import length as in_words
from tomoprofile.report.triplets import Measured, draw_triplet, spread_slices
from tomoprofile.report.zones import read_zones
from tomoprofile.tables import at_level
from tomoprofile.volume.plane import Plane, Relief
from tomoprofile.volume.probability import threshold_of
from tomoprofile.volume.store import create_store, open_store

ZONE = {"interface": 0, "bulk": 1}


@pytest.fixture(scope="module", params=["plain", "depth along z"])
def scan(request, scans):
    return scans(request.param)


def measured(files, name="domain"):
    objects = files.objects["calibrated"]
    stores = (open_store(files.volume), open_store(files.probability, name))
    return Measured(*stores, objects, read_objects_metadata(objects)[name], Plane.load(files.interface))


def zone_of(files, zone, name="domain"):
    return at_level(read_zones(files.zones)[name], "calibrated").iloc[ZONE[zone]]


def draw(files, zone="bulk", detail=FULL, name="domain"):
    return draw_triplet(zone_of(files, zone, name), zone == "interface", measured(files, name), detail)


def outlines(picture):
    """Return the polygons of a picture as arrays of (x, y) in micrometres."""
    paths = [np.array(re.findall(r"-?\d+", part), int).reshape(-1, 2) for part in picture.contours.split("M")[1:]]
    return [np.cumsum(steps, axis=0) * picture.step_um for steps in paths]


def area(polygon):
    x, y = polygon.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def centre(polygon):
    """Return the centre of a polygon's area, wherever its vertices crowd."""
    x, y = polygon.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    return np.array([((x + np.roll(x, -1)) * cross).sum(), ((y + np.roll(y, -1)) * cross).sum()]) / (3 * cross.sum())


def cut_of(files, triplet, name="domain"):
    """Return axis and index of the section shown first, and the mask of its domains."""
    axis, index = triplet.shown.axis, triplet.shown.index
    mask = np.zeros(open_store(files.volume).shape, bool)
    objects = files.objects["calibrated"]
    for runs in iter_runs(objects, read_objects_metadata(objects)[name]):
        for z, y, start, stop in zip(runs.z, runs.y, runs.x_start, runs.x_stop, strict=True):
            mask[z, y, start:stop] = True
    return axis, index, mask


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_cut_is_the_plane_of_the_array(axis, tmp_path):
    data = np.random.default_rng(1).integers(0, 255, (20, 18, 22)).astype("uint8")
    store = create_store(tmp_path / "volume.ome.zarr", data.shape, "uint8", (1, 1, 1), 8)
    for start, stop in store.shards():
        store.write(start, data[start:stop])
    for index in (0, 9, data.shape[axis] - 1):
        np.testing.assert_array_equal(store.cut(axis, index), np.take(data, index, axis))


def assert_around(polygons, plane_mask):
    """Fail unless outlines lie around the domains of a cut."""
    # Outlines run between voxels, so their area is near that of the voxels but not the same.
    assert sum(area(polygon) for polygon in polygons) == pytest.approx(plane_mask.sum() * EDGE**2, rel=0.12)
    regions, n_regions = label(plane_mask, np.ones((3, 3)))
    assert len(polygons) == n_regions
    middles = (np.array(center_of_mass(plane_mask, regions, range(1, n_regions + 1))) + 0.5)[:, ::-1] * EDGE
    edge = np.array(plane_mask.shape)[::-1] * EDGE
    offsets = []
    for polygon in polygons:
        if (polygon > EDGE).all() and (polygon < edge - EDGE).all():
            away = centre(polygon) - middles
            offsets.append(away[np.argmin(np.hypot(*away.T))])
    assert len(offsets) >= 3
    assert np.median(offsets, axis=0) == pytest.approx([0, 0], abs=0.2 * EDGE)


def test_contours_lie_where_the_domains_are(scan):
    triplet = draw(scan)
    axis, index, mask = cut_of(scan, triplet)
    plane_mask, polygons = np.take(mask, index, axis), outlines(triplet.shown.pictures[0])
    assert_around(polygons, plane_mask)
    with pytest.raises(AssertionError):
        assert_around([polygon + EDGE / 2 for polygon in polygons], plane_mask)


def test_each_class_has_its_own_outlines(scans):
    files = scans("two classes")
    for name in ("domain", "void"):
        triplet = draw(files, name=name)
        axis, index, mask = cut_of(files, triplet, name)
        assert_around(outlines(triplet.shown.pictures[0]), np.take(mask, index, axis))


def test_zoom_has_the_contours_of_the_overview(scan):
    overview, zoom, _ = draw(scan).shown.pictures
    box = zoom.view
    inside = [
        polygon
        for polygon in outlines(overview)
        if (polygon > [box.x + EDGE, box.y + EDGE]).all()
        and (polygon < [box.x + box.width - EDGE, box.y + box.height - EDGE]).all()
    ]
    assert inside, "the box must hold a whole domain, or the test shows nothing"
    drawn = [polygon.mean(axis=0) for polygon in outlines(zoom)]
    for polygon in inside:
        assert min(np.abs(polygon.mean(axis=0) - other).max() for other in drawn) < 0.1


def test_box_of_the_bulk_holds_the_largest_cross_section_of_its_zone(scan):
    triplet = draw(scan)
    zone = zone_of(scan, "bulk")
    axis, index, _ = cut_of(scan, triplet)
    runs = pq.read_table(scan.objects["calibrated"]).to_pandas()
    runs = runs[runs["zyx"[axis]] == index]
    size = (runs["x_stop"] - runs["x_start"]).groupby(runs["domain_id"]).sum()
    domains = pd.read_parquet(scan.domains).set_index("domain_id")
    deep = [i for i in size.index if domains.at[i, "depth_um"] > zone["from_um"] + 2]
    largest = domains.loc[size[deep].idxmax()]
    box = triplet.shown.pictures[0].box
    assert box.x <= largest["centroid_x_um"] <= box.x + box.width
    row = largest["centroid_y_um" if axis == 0 else "centroid_z_um"]
    assert box.y <= row <= box.y + box.height


def test_box_at_the_interface_shows_substrate_and_resin(scan):
    triplet = draw(scan, "interface")
    plane = Plane.load(scan.interface)
    axis, index, _ = cut_of(scan, triplet)
    box = triplet.shown.pictures[0].box
    rows = "zy"[1 - axis] if axis else "y"
    depths = []
    for y in (box.y, box.y + box.height):
        at = {"z": (index + 0.5) * EDGE, "y": (index + 0.5) * EDGE, "x": box.x + box.width / 2} | {rows: y}
        depths.append(plane.depth_um(at["z"], at["y"], at["x"]))
    assert min(depths) < -0.3
    assert max(depths) > 4


def test_substrate_line_lies_on_the_plane(scan):
    triplet = draw(scan, "interface")
    plane = Plane.load(scan.interface)
    axis, index, _ = cut_of(scan, triplet)
    for picture in triplet.shown.pictures[:2]:
        x1, y1, x2, y2 = picture.substrate
        assert x2 - x1 == pytest.approx(picture.view.width), "it crosses the whole view"
        for x, row in ((x1, y1), (x2, y2)):
            place = (index + 0.5) * EDGE
            depth = plane.depth_um(place, row, x) if axis == 0 else plane.depth_um(row, place, x)
            assert depth == pytest.approx(0, abs=1e-9)


def test_the_line_of_a_rough_substrate_follows_its_surface():
    rows, columns = np.mgrid[:60, :80] * EDGE + EDGE / 2
    wave = 12 + 2 * np.sin(columns / 5)
    cut = Cut(0, 3, 1.0, (EDGE, EDGE), np.zeros((60, 80)), np.zeros((60, 80), np.uint8), rows - wave)
    relief = Relief((0.0, 1.0, 0.0), 12.0, np.zeros((2, 2, 2), np.float32), (1.0, 1.0, 1.0))
    line = np.reshape(substrate_line(cut, relief, Box(0, 0, 80 * EDGE, 60 * EDGE)), (-1, 2))
    assert np.abs(line[:, 1] - (12 + 2 * np.sin(line[:, 0] / 5))).max() < 0.15 * EDGE
    assert np.ptp(line[:, 0]) == pytest.approx(79 * EDGE)
    assert substrate_line(cut, relief, Box(0, 0, 80 * EDGE, 6 * EDGE)) is None


def test_the_cut_has_the_median_coverage_of_the_zone(scan):
    axis, index, mask = cut_of(scan, draw(scan))
    plane = Plane.load(scan.interface)
    zone = zone_of(scan, "bulk")
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * EDGE for n in mask.shape], indexing="ij", sparse=True)
    covered = (mask & (plane.depth_um(z, y, x) >= zone["from_um"])).sum(axis=tuple({0, 1, 2} - {axis}))
    filled = np.sort(covered[covered > 0])
    # Depth is taken at the middle of a run here and at every voxel there, so a few voxels may fall otherwise.
    assert covered[index] == pytest.approx(filled[(len(filled) - 1) // 2], abs=6)


def test_objects_that_were_dropped_are_not_drawn(scan):
    before = outlines(draw(scan).shown.pictures[0])
    table = pq.read_table(scan.objects["calibrated"])
    axis, index, _ = cut_of(scan, draw(scan))
    frame = table.to_pandas()
    present = frame.loc[frame["zyx"[axis]] == index, "domain_id"].unique()
    kept = table.filter(~np.isin(frame["domain_id"].to_numpy(), present[:1]))
    stores = (open_store(scan.volume), open_store(scan.probability, "domain"))
    plane = Plane.load(scan.interface)
    runs, level = kept.to_pandas(), LEVELS["calibrated"]
    cut = read_cut(*stores, runs[runs["zyx"[axis]] == index], axis, index, level, plane)
    lines, _, _ = draw_contours(cut, level, None)
    assert 0 < lines.count("M") == len(before) - 1


def test_an_outline_that_a_coarse_picture_makes_a_point_is_a_path_all_the_same():
    """A path of a start and nothing else is an error in every browser."""
    probability = np.zeros((900, 900), "uint8")
    probability[400, 500] = probability[100:120, 100:120] = 255
    cut = Cut(0, 0, 0.5, (1.0, 1.0), probability, probability, np.ones(probability.shape))
    path, _, hidden = draw_contours(cut, 0.5, None, Detail(pixels=100))
    assert hidden == 0
    assert re.fullmatch(r"(M\d+ \d+l-?\d+ -?\d+( -?\d+ -?\d+)*z){2}", path)


def test_scale_bar_is_a_round_length_that_fits():
    for width in (0.7, 13.0, 64.0, 1024.0, 99999.0):
        bar = scale_bar_um(width)
        assert width / 10 <= bar <= width / 4 * (1 + 1e-12)
        assert bar / 10 ** math.floor(math.log10(bar) + 1e-12) == pytest.approx(1, rel=1e-9) or round(
            bar / 10 ** math.floor(math.log10(bar)), 6
        ) in (1, 2, 5)


def test_crowded_pictures_leave_out_the_smallest_contours_and_say_so(scan):
    whole = outlines(draw(scan).shown.pictures[0])
    shown = draw(scan, detail=Detail(most_points=sum(len(p) + 1 for p in whole) - 1)).shown
    fewer = outlines(shown.pictures[0])
    assert 0 < len(fewer) < len(whole)
    assert shown.hidden == len(whole) - len(fewer)
    assert min(area(p) for p in fewer) > 0.8 * min(area(p) for p in whole)


def test_level_of_the_contours_is_that_of_the_run_file(scan):
    assert measured(scan).metadata.level == LEVELS["calibrated"]
    # Outlines are drawn where stitching decides: its own function, not a copy.
    assert cuts.threshold_of is threshold_of
    assert threshold_of(0.6) == 153, "0.6 * 255 is 153 but for rounding"
    assert threshold_of(0.45) == 115


def test_slices_go_from_one_end_to_the_other_and_each_is_its_own(scan):
    triplet = draw(scan)
    axis = triplet.shown.axis
    indices = [one.index for one in triplet.slices]
    length = open_store(scan.volume).shape[axis]
    assert len(indices) == 9
    assert indices == sorted(set(indices))
    assert indices[0] < length / 9
    assert indices[-1] >= length - 1 - length / 9
    assert len({one.pictures[0].image for one in triplet.slices}) == 9
    for one in triplet.slices:
        assert one.place == f"{'zyx'[axis]} = {one.index} ({in_words((one.index + 0.5) * EDGE)} µm)"
        covered = np.take(cut_of(scan, triplet)[2], one.index, axis)
        drawn = sum(area(polygon) for polygon in outlines(one.pictures[0]))
        # A mutant that drew the contours of a neighbour would be off by far more.
        assert drawn == pytest.approx(covered.sum() * EDGE**2, rel=0.2, abs=1)


@pytest.mark.parametrize(("length", "first"), [(1, 0), (2, 1), (9, 4), (10, 9), (2048, 0), (2048, 777)])
def test_the_slice_shown_first_is_among_them(length, first):
    indices = spread_slices(first, length)
    assert first in indices
    assert indices == sorted(set(indices))
    assert len(indices) == min(9, length)
    assert set(indices) <= set(range(length))


def test_a_reduced_overview_keeps_its_contours_in_place(scan):
    whole = outlines(draw(scan).shown.pictures[0])
    coarse = draw(scan, detail=Detail(pixels=56)).shown.pictures[0]
    assert coarse.step_um == pytest.approx(2 * EDGE / 4, rel=0.2)
    for polygon, other in zip(whole, outlines(coarse), strict=True):
        assert np.abs(centre(polygon) - centre(other)).max() < EDGE
