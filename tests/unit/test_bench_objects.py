"""The benchmark of objects, in small: its scans, its counts, and what it does not do twice."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.objects import report, runner, stores, volumes
from benchmarks.objects.methods import FLOOR, METHODS
from benchmarks.objects.plan import plan

ROOT = Path(__file__).parents[2]
SIDE = 48


def test_any_slab_of_a_scan_of_spheres_is_that_of_the_whole():
    spheres = volumes.Spheres(150, SIDE, 2, 4, seed=1)
    whole = spheres.slab(0, 150)
    parts = [spheres.slab(start, min(start + 37, 150)) for start in range(0, 150, 37)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (whole > 0).mean() == pytest.approx(volumes.COVERED, abs=0.01)


@pytest.mark.parametrize("name", ["a", "s", "noise"])
def test_all_methods_find_the_same_number_of_objects(name):
    mask, grey = volumes.volume(name, SIDE, None)
    assert grey.shape == mask.shape
    assert set(np.unique(mask)) == {0, 255}
    counts = {key: method.make()(mask, grey) for key, method in METHODS.items() if key != FLOOR and not method.missing}
    assert {"ours", "ours-slabs", "scipy-skimage"} <= set(counts)
    assert len(set(counts.values())) == 1, counts
    assert counts["ours"] > 1


MEMORY = """
import json, numpy as np
from benchmarks.objects.measure import measure

held = np.ones(64 << 20, np.uint8)
costs = measure(lambda: int(np.ones(32 << 20, np.uint8)[-1]) + int(held[0]))
print(json.dumps([costs, measure(lambda: int(held[-1]))]))
"""


def test_memory_is_that_of_the_work_and_not_of_what_was_there():
    """In a process of its own, as measurements are: this one may have room left that it need not ask for."""
    done = subprocess.run([sys.executable, "-c", MEMORY], cwd=ROOT, capture_output=True, text=True, check=True)
    costs, nothing = json.loads(done.stdout)
    assert costs["objects"] == 2
    if costs["peak_from"] == "VmHWM":
        assert 30 << 20 < costs["peak_bytes"] < 48 << 20
    assert nothing["peak_bytes"] < 8 << 20


def test_the_stage_finds_what_the_array_holds(tmp_path):
    stores.write_stores(tmp_path, "s", 2 * stores.SHARD, 32)
    mask = volumes.Spheres(2 * stores.SHARD, 32, *volumes.RADII["s"], seed=1).slab(0, 2 * stores.SHARD)
    count = METHODS["ours"].make()(mask, np.zeros_like(mask, np.uint16))
    assert stores.stage(tmp_path) == count


def test_a_benchmark_runs_skips_and_never_measures_twice(tmp_path, caplog):
    cells = [
        [cell for cell in cells if cell.method in ("ours", "cc3d")]
        for cells in plan("peers", 32, 1, ())
        if cells[0].scan in ("s", "cement")
    ]
    setting = runner.Setting(tmp_path / "work", tmp_path / "objects.json")
    assert runner.work_through(cells, setting) == 0
    records = runner.read_records(setting.results)
    assert {record["scan"] for record in records} == {"s"}
    assert "the real scans are missing" in caplog.text
    assert not list((tmp_path / "work").iterdir()), "scans are removed when they are done with"
    marked = [record | {"cpu_s": 123.0} for record in records]
    runner.write_records(setting.results, marked)
    assert runner.work_through(cells, setting) == 0
    assert runner.read_records(setting.results) == marked
    report.write_report(marked, tmp_path / "objects.md")
    page = (tmp_path / "objects.md").read_text()
    assert "Not run: the scan was not given (--data)." in page
    assert "| 123 |" in page


def record(method, cpu_s, objects=7, voxels=100, whole=100):
    place = {"section": "peers", "scan": "a", "method": method, "side": 1, "depth": 1, "threads": 1, "repeat": 0}
    costs = {"cpu_s": cpu_s, "wall_s": cpu_s, "peak_bytes": 10, "peak_from": "VmHWM", "objects": objects}
    facts = {"voxels": voxels, "whole_voxels": whole, "versions": {}, "python": "3", "machine": "m"}
    return json.loads(json.dumps(place | costs | facts))


def test_the_page_scales_parts_and_tells_of_missed_goals_and_of_counts_that_differ(tmp_path):
    fast = [record("ours", 1.0), record("cc3d", 5.0), record("porespy", 1.0, voxels=1)]
    report.write_report(fast, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| cc3d + statistics takes at least 4 times ours | 5 |" in page
    assert "| PoreSpy at least 100 times | 100 |" in page
    assert "disagree" not in page
    report.write_report([record("ours", 1.0), record("cc3d", 3.0, objects=8)], tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| cc3d + statistics takes at least 4 times ours | **3** |" in page
    assert "disagree on the number of objects: [7, 8]" in page
