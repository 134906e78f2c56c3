"""The page of accuracy: its shapes against independent truth, and what it calls trustworthy."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation
from skimage.measure import euler_number, marching_cubes, mesh_surface_area

from benchmarks.accuracy import methods, phase_bodies, phases, report, shapes, trials
from benchmarks.accuracy.summary import Errors


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_the_truth_is_that_of_a_fine_polyhedron(name):
    """Hull of points on the surface: volume, surface, widths; axes from many points inside."""
    shape, rng = shapes.SHAPES[name], np.random.default_rng(0)
    truth, half = shape.truth(10.0), shape.half_lengths(10.0)
    if shape.kind == "ellipsoid":
        points = rng.normal(size=(20_000, 3))
        points *= half / np.linalg.norm(points, axis=1, keepdims=True)
        inside = Rotation.random(rng=rng).apply(rng.normal(size=(200_000, 3)))
        inside *= half * rng.random((len(inside), 1)) ** (1 / 3) / np.linalg.norm(inside, axis=1, keepdims=True)
    else:
        angle = np.linspace(0, 2 * np.pi, 4 if shape.kind == "box" else 500, endpoint=shape.kind != "box")
        angle = angle + np.pi / 4 * (shape.kind == "box")
        scale = np.sqrt(2) if shape.kind == "box" else 1.0
        ring = np.stack([np.zeros_like(angle), np.cos(angle) * half[1] * scale, np.sin(angle) * half[2] * scale], 1)
        end = np.array([half[0], 0, 0])
        points = np.concatenate([ring + end, ring - end])
        inside = rng.uniform(-1, 1, (400_000, 3)) * half
        if shape.kind == "cylinder":
            inside = inside[(inside[:, 1] / half[1]) ** 2 + (inside[:, 2] / half[2]) ** 2 <= 1]
    hull = ConvexHull(points)
    assert hull.volume == pytest.approx(truth["volume_um3"], rel=3e-3)
    assert hull.area == pytest.approx(truth["surface_um2"], rel=3e-3)
    axes = np.sqrt(5 * np.linalg.eigvalsh(np.cov(inside.T)))[::-1]
    assert axes == pytest.approx([truth[f"axis_{i}_um"] for i in (1, 2, 3)], rel=0.01)
    directions = 4000 if len(points) < 2000 else 600  # of an ellipsoid the width changes slowly
    widths = np.ptp(points @ Rotation.random(directions, rng=rng).as_matrix()[:, 0].T, axis=0)
    assert widths.max() == pytest.approx(truth["feret_max_um"], rel=0.02)
    assert widths.min() == pytest.approx(truth["feret_min_um"], rel=0.06)
    assert widths.max() <= truth["feret_max_um"] * 1.0001
    assert widths.min() >= truth["feret_min_um"] * 0.999


@pytest.mark.parametrize("edges", [trials.CUBIC, trials.OBLONG])
def test_voxels_have_the_volume_of_the_shape_on_average(edges):
    shape, rng = shapes.SHAPES["ellipsoid 1:2:3"], np.random.default_rng(0)
    volumes = [shape.voxels(4.0, edges, rng).sum() * np.prod(edges) for _ in range(60)]
    assert np.mean(volumes) == pytest.approx(shape.truth(4.0)["volume_um3"], rel=0.01)


def test_a_wrong_surface_would_show(monkeypatch):
    trial = trials.Trial("sphere", trials.CUBIC, 6.0, 8)

    def error_of_ours():
        found = [r for r in trials.errors(trial) if (r["method"], r["column"]) == (methods.OURS, "surface_um2")]
        return found[0]["mean"], found[0]["n"]

    mean, n = error_of_ours()
    assert n == 8
    assert abs(mean) < 1.5
    honest = methods.METHODS[methods.OURS]

    def faces(body, edges):
        counted = sum(np.abs(np.diff(body.astype(int), axis=axis)).sum() for axis in range(3))
        return honest(body, edges) | {"surface_um2": counted}

    monkeypatch.setitem(methods.METHODS, methods.OURS, faces)
    assert error_of_ours()[0] > 40, "the faces of voxels read half too much"


def test_the_page_trusts_a_column_from_where_it_stays_good():
    def line(values):
        return [
            {"shape": "sphere", "edges": [1, 1, 1], "radius": radius, "method": methods.OURS, "column": "surface_um2",
             "n": 9, "mean": mean, "sd": sd}
            for radius, (mean, sd) in zip((2.0, 3.0, 4.0, 5.0), values, strict=True)
        ]  # fmt: skip

    good_late = Errors(line([(1, 1), (-4, 2), (2, 2.9), (0, 1)]))
    assert good_late.trusted_from("spheres", methods.OURS, "surface_um2") == 8
    assert Errors(line([(9, 1)] * 4)).trusted_from("spheres", methods.OURS, "surface_um2") == float("inf")
    assert good_late.trusted_from("cubes", methods.OURS, "surface_um2") is None


def test_a_tiny_plan_makes_a_page_and_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "accuracy.json"
    plan = [trials.Trial("sphere", trials.CUBIC, radius, 3) for radius in (2.0, 3.0)]
    trials.work_through(plan[:1], path)
    first = trials.read_results(path)
    trials.work_through(plan, path)
    both = trials.read_results(path)
    assert both["records"][: len(first["records"])] == first["records"]
    assert both["trials"] == [trial.key for trial in plan]
    report.write_report(both, tmp_path / "accuracy.md")
    page = (tmp_path / "accuracy.md").read_text()
    assert "| `surface_um2` | scikit-image |" in page
    assert "Size from which a column can be trusted" in page
    both["versions"]["scikit-image"] = "0.0"
    trials.write_results(path, both)
    with pytest.raises(SystemExit, match="remove it and start again"):
        trials.work_through(plan, path)


def test_a_random_field_is_measured_as_rice_and_adler_say():
    """On the mean of a few: a tenth is what samples of this size differ by."""
    body, rng = phase_bodies.BODIES["random field, half"], np.random.default_rng(2)
    rows = [phases.measured(body.draw(2.0, 48, rng)) for _ in range(4)]
    for column, known in body.truth(2.0).items():
        if known:
            assert np.mean([row[column] for row in rows]) == pytest.approx(known, rel=0.1)


def test_the_gyroid_has_the_area_and_the_euler_number_it_is_said_to_have():
    edge = np.arange(61) / 60
    x, y, z = np.meshgrid(*[2 * np.pi * edge] * 3, indexing="ij")
    field = np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(1 / 60,) * 3)
    assert mesh_surface_area(vertices, faces) == pytest.approx(phase_bodies.GYROID_AREA, rel=1e-3)
    twice = np.tile(field[:-1, :-1, :-1] > 0, (3, 3, 3))  # the ends of 3 cells less those of 2: whole cells
    euler = [euler_number(twice[: 60 * n, : 60 * m, : 60 * k], 3) for n, m, k in np.ndindex(4, 4, 4) if n * m * k]
    numbers = np.array(euler).reshape(3, 3, 3)
    assert np.diff(np.diff(np.diff(numbers, axis=0), axis=1), axis=2)[-1, -1, -1] == phase_bodies.GYROID_EULER


def test_bodies_of_a_phase_make_a_part_of_the_page(tmp_path, monkeypatch):
    path, plan = tmp_path / "accuracy.json", [("ball", 6.0, 2), ("random field, half", 2.0, 2)]
    phases.work_through(plan, path)
    monkeypatch.setattr(phases, "errors", lambda *_: pytest.fail("a finished trial is run again"))
    phases.work_through(plan, path)
    page = phases.section(trials.read_results(path)["phases"])
    assert "### Ball, by diameter in voxels" in page
    (line,) = [line for line in page.splitlines() if line.startswith("| `thickness_mean_um` |")]
    assert line.count("|") == 3
    assert "%" not in line
    assert "%" in page.split("### Random field, half")[1].split("`euler_density_per_mm3`")[1]
