"""The segmentation benchmark: its scores on made-up objects, its plan, and one tiny run from end to end."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from benchmarks.segmentation import plan, report, runner, scores, tasks
from benchmarks.segmentation.single import Setting

VOXEL = 0.5


def balls(shape, *spheres):
    """Return a mask of balls, each (z, y, x, radius) in voxels."""
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    mask = np.zeros(shape, bool)
    for *centre, radius in spheres:
        mask |= sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2
    return mask


TRUTH = balls((48, 64, 96), (24, 32, 30, 12), (24, 20, 60, 3), (24, 44, 60, 3), (24, 44, 80, 5), (0, 10, 90, 4))


def rated(found):
    resin = np.ones_like(TRUTH)
    depth = np.broadcast_to((np.arange(64)[:, None] + 0.5) * VOXEL, TRUTH.shape).astype(np.float32)
    return scores.score(found, TRUTH, resin, depth, VOXEL)


def test_the_truth_scores_full_marks():
    full = rated(TRUTH)
    assert (full["dice"], full["iou"], full["vv_error_points"], full["profile_error_points"]) == (1, 1, 0, 0)
    assert (full["count_error_percent"], full["diameter_error_um"], full["interior_recall_large"]) == (0, 0, 1)
    assert full["objects_truth"] == 4, "the one that a face cuts does not count"
    assert (full["objects_3_to_6"], full["objects_above_10"]) == (3, 1)
    assert full["recall_3_to_6"] == full["recall_above_10"] == 1
    assert full["recall_below_3"] is None


def test_a_missed_domain_costs_recall_and_count_of_its_class():
    found = TRUTH & ~balls(TRUTH.shape, (24, 44, 80, 5))
    missed = rated(found)
    assert missed["recall_3_to_6"] == pytest.approx(2 / 3)
    assert missed["recall_above_10"] == 1
    assert missed["count_error_percent"] == pytest.approx(-25)
    lost = 100 * (found.sum() - TRUTH.sum()) / TRUTH.size
    assert missed["vv_error_points"] == pytest.approx(lost)
    assert missed["profile_error_points"] > 0


def test_a_rim_is_found_but_its_interior_is_not():
    hollow = rated(TRUTH & ~balls(TRUTH.shape, (24, 32, 30, 10)))
    assert hollow["recall_above_10"] == 1, "its centroid is right"
    assert hollow["interior_recall_large"] < 0.1
    assert hollow["iou"] < 0.6


def test_half_a_domain_is_not_recalled():
    half = TRUTH.copy()
    half[:, :, 18:36] = False
    assert rated(half)["recall_above_10"] == 0


def test_errors_of_opposite_sign_cancel_in_the_volume_ratio_but_not_in_the_profile():
    moved = rated(np.roll(TRUTH, 20, axis=1))
    assert moved["vv_error_points"] == 0
    assert moved["profile_error_points"] > 1


def test_the_substrate_does_not_count():
    resin = np.ones_like(TRUTH)
    resin[:, 60:] = False
    noise = TRUTH.copy()
    noise[:, 61:] = True
    depth = np.ones(TRUTH.shape, np.float32)
    assert scores.score(noise, TRUTH, resin, depth, VOXEL)["dice"] == 1
    assert scores.score(noise, TRUTH, np.ones_like(TRUTH), depth, VOXEL)["dice"] < 1


def test_a_picture_has_circles():
    picture = balls((64, 64), (30, 30, 10))
    found = scores.find_objects(picture, VOXEL)
    assert found.diameters_um == pytest.approx([10], rel=0.02)
    assert found.centroids_um == pytest.approx(np.array([[15.25, 15.25]]))


def test_the_first_seed_meets_every_cell_before_the_second_begins():
    cells = plan.plan(3)
    assert len({cell.key for cell in cells}) == len(cells)
    seeds = [cell.seed for cell in cells]
    assert seeds == sorted(seeds)
    first = [cell for cell in cells if cell.seed == 0 and cell.steps]
    main = [cell for cell in first if cell.steps == 300 and cell.labels == plan.TASKS[cell.task].main]
    assert set(first[: len(main) + 1]) == {*main, plan.base_cell(0)}, "the comparison at three labels comes first"
    assert not [cell for cell in cells if (cell.task, cell.method) == ("A", "earlier")]


def test_labels_and_test_keep_their_distance():
    end = tasks.SIZE[0] - tasks.EDGE
    stop = end - round(tasks.SIZE[0] * tasks.BLOCK_SHARE) - tasks.GUARD
    for n in (1, 2, 3, 5, 8):
        for telling in (None, *range(tasks.EDGE, stop)):
            positions = tasks.label_positions(n, stop, telling)
            assert len(set(positions)) == n
            assert max(positions) < stop
            assert min(np.diff(positions), default=99) >= tasks.GUARD
            assert telling is None or n > 3 or telling in positions


def test_the_telling_slice_shows_the_large_domain():
    labels = (TRUTH * 1).astype(np.uint8)
    assert tasks.telling_slice(labels, 48, VOXEL) == 24
    assert tasks.telling_slice(labels, 10, VOXEL) is None


def test_tiles_have_equal_areas_and_share_no_pixel():
    for tiles, shape in ((tasks.FINE_TILES, (300, 150)), (tasks.COARSE_TILES, (500, 250))):
        times = np.zeros(shape, int)
        for tile in tiles:
            assert times[tile].size == 22_500
            times[tile] += 1
        assert times.max() == 1
    assert max(rows.stop for rows, _ in tasks.COARSE_TILES[:3]) + 16 <= tasks.COARSE_TEST.start


@pytest.mark.skipif(not tasks.FIBRES.is_dir(), reason="real scans are not in the repository")
@pytest.mark.parametrize("pair", [tasks.FINE, tasks.COARSE])
def test_fibres_are_what_is_dark(pair):
    grey, fibre = tasks.read_fibres(*pair[:2])
    assert grey[fibre].mean() < grey[~fibre].mean() - grey.std()
    assert 0.3 < fibre.mean() < 0.45


def record(seed, dice, **changes):
    rating = rated(TRUTH) | {"dice": dice}
    made = {"commit": "x", "tomoprofile": "1", "torch": "2", "device": "cpu", "precision": "float32", "threads": 1}
    made |= {"machine": "x", "size": list(tasks.SIZE), "steps_scale": 1.0}
    times = {"train_wall_s": 9.0, "train_cpu_s": 8.0, "resumed": False, "parameters": 1_000_000, "steps_done": 300}
    place = {"task": "A", "method": "scratch", "labels": 3, "steps": 300, "seed": seed}
    return place | times | {"scores": rating, "made_with": made} | changes


def test_a_cell_tells_its_seeds_and_its_spread(tmp_path):
    report.write_report([record(0, 0.8), record(1, 0.9, resumed=True)], tmp_path)
    page = (tmp_path / "segmentation.md").read_text()
    assert "| same network from scratch | 0.850 (0.800 .. 0.900), n=2 |" in page
    assert "| fine-tuned from ImageNet | not run |" in page
    assert re.search(r"\| 8, n=1 \| 9, n=1 \| 1.00", page), "a broken training is not timed"
    assert len(json.loads((tmp_path / "segmentation.json").read_text())["runs"]) == 2
    for name in ("labels", "time", "profile"):
        drawing = ET.parse(tmp_path / f"segmentation-{name}.svg").getroot()
        text = " ".join(part.text or "" for part in drawing.iter("{http://www.w3.org/2000/svg}text"))
        assert "not run" in text
        assert "CPU s" in text if name == "time" else "labelled slices" in text


def test_a_tiny_run_from_end_to_end_and_not_twice(tmp_path, caplog):
    setting = Setting(tmp_path / "work", tmp_path / "results", steps_scale=0.003, size=(48, 112, 64))
    cells, summary = runner.wanted(1, "^A_scratch_n1_s300_seed0$"), tmp_path / "docs/segmentation.json"
    result = setting.results / "A_scratch_n1_s300_seed0.json"
    with caplog.at_level("INFO"):
        assert runner.work_through(cells, setting, summary, max_minutes=0.01) == 0
    assert "left for the next time" in caplog.text
    assert not result.exists()
    assert runner.work_through(cells, setting, summary, None) == 0
    made = json.loads(result.read_text())
    assert (made["steps_done"], made["resumed"], made["level"]) == (1, False, 0.5)
    assert made["train_cpu_s"] > 0
    assert made["parameters"] > 1e6
    before = result.stat().st_mtime_ns
    assert runner.work_through(cells, setting, summary, None) == 0
    assert result.stat().st_mtime_ns == before
    report.write_report(runner.read_records(setting.results, summary), summary.parent)
    page = (tmp_path / "docs/segmentation.md").read_text()
    assert "A trial" in page
    assert re.search(r"same network from scratch \| \d\.\d{3}, n=1 \| not run", page)
    # Results are in the summary, too: without the folder nothing is made again.
    result.unlink()
    assert runner.work_through(cells, setting, summary, None) == 0
    assert not result.exists()
