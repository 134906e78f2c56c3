"""The comparison with the truth: a right table passes, every kind of wrong one fails in its own line."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from tomoprofile.cli import main
from tomoprofile.errors import InputError, StageError
from tomoprofile.phantom.files import write_truth
from tomoprofile.phantom.geometry import DOMAIN, VOID
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.phantom.truth import SUBSTRATE
from tomoprofile.run.against_truth import Comparison, compare
from tomoprofile.volume.plane import Plane

ZONES = (("interface", 0.0, 27.0), ("transition", 27.0, 80.0), ("bulk", 80.0, math.nan))


@pytest.fixture(scope="module")
def phantom():
    return simulate(PhantomSettings.of_kind("A", size=(112, 240, 128), seed=5))


@pytest.fixture(scope="module")
def truth(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison") / "truth"
    write_truth(phantom, folder)
    return folder


def measure(name, mask, substrate, edge, plane):
    """Return the tables of a class in a segmentation, by plain means that share nothing with the phantom."""
    regions, number = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    ids = np.arange(1, number + 1)
    boxes = ndimage.find_objects(regions)
    centroids = (np.array(ndimage.center_of_mass(mask, regions, ids)) + 0.5) * edge
    voxels = np.bincount(regions.ravel(), minlength=number + 1)[1:]
    lateral, cut = np.ones(number), np.zeros(number, bool)
    for index, box in enumerate(boxes):
        for axis, part in enumerate(box):
            at_face = part.start == 0 or part.stop == mask.shape[axis]
            cut[index] |= at_face
            if axis != 1:
                side = part.stop - part.start
                lateral[index] *= 0 if at_face else mask.shape[axis] / (mask.shape[axis] - side - 1)
    domains = pd.DataFrame(
        {
            "class": name,
            "equivalent_diameter_um": np.cbrt(6 * voxels * edge**3 / math.pi),
            **{f"centroid_{axis}_um": centroids[:, i] for i, axis in enumerate("zyx")},
            "depth_um": plane.depth_um(*centroids.T),
            "on_border": cut,
            "weight": lateral,
        }
    )
    z, y, x = ((np.arange(n) + 0.5) * edge for n in mask.shape)
    depth = plane.depth_um(z[:, None, None], y[None, :, None], x[None, None, :])

    def row(low, high):
        inside = (depth >= low) & (depth < high) & ~substrate
        mine = domains[(domains.depth_um >= low) & (domains.depth_um < high)]
        weight, resin = mine.weight.sum(), inside.sum() * edge**3
        return {
            "class": name,
            "level": "calibrated",
            "resin_um3": resin,
            "domain_um3": (inside & mask).sum() * edge**3,
            "number_density_per_mm3": weight / max(resin, 1e-9) * 1e9,
            "mean_equivalent_diameter_um": (mine.weight * mine.equivalent_diameter_um).sum() / max(weight, 1e-9),
        }

    bins = [{"depth_lo_um": low, "depth_hi_um": low + 5, **row(low, low + 5)} for low in np.arange(0, 110, 5.0)]
    zones = [
        {"zone": zone, "from_um": low, "to_um": high, **row(low, math.inf if math.isnan(high) else high)}
        for zone, low, high in ZONES
    ]
    other = [{**table, "level": "high", "domain_um3": 0.0} for table in bins]  # another level must not be read
    profile = pd.DataFrame(bins + other).query("resin_um3 > 0")
    return {"domains": domains, "profile": profile, "zones": pd.DataFrame(zones)}


def results_of(phantom, masks, folder, plane=None):
    """Write the results of a mask of domains, or of a dictionary of the masks of several classes."""
    folder.mkdir()
    plane = plane or phantom.plane
    place = (phantom.labels == SUBSTRATE, phantom.settings.voxel_um, plane)
    classes = masks if isinstance(masks, dict) else {"domain": masks}
    found = [measure(name, mask, *place) for name, mask in classes.items()]
    for kind in found[0]:
        pd.concat([tables[kind] for tables in found]).to_parquet(folder / f"{kind}.parquet")
    plane.save(folder / "interface.json")
    return folder


def failing(truth, results, measured="domain"):
    return {comparison.what for comparison in compare(truth, results, measured) if not comparison.ok}


def test_a_perfect_segmentation_passes_every_line(phantom, truth, tmp_path):
    comparisons = compare(truth, results_of(phantom, phantom.labels == DOMAIN, tmp_path / "demo"))
    assert all(comparison.ok for comparison in comparisons), "\n".join(map(str, comparisons))
    by_name = {comparison.what: comparison for comparison in comparisons}
    for what in ("volume fraction", "mean equivalent diameter", "number of domains"):
        exact = by_name[f"{what} beyond 80 um"]
        assert exact.measured == pytest.approx(exact.truth, rel=1e-9)
        assert exact.truth > 0
    assert by_name["large domains found as domains above 10 um"].truth >= 1
    assert "number density in zone bulk" in by_name


def test_a_perfect_segmentation_of_kind_c_passes_and_fails_a_truth_with_its_pairs_parted(tmp_path, monkeypatch):
    settings = PhantomSettings.of_kind("C", size=(112, 256, 128), seed=5)
    hard = simulate(settings)
    write_truth(hard, tmp_path / "truth")
    mask = hard.labels == DOMAIN
    comparisons = compare(tmp_path / "truth", results_of(hard, mask, tmp_path / "demo"))
    assert all(comparison.ok for comparison in comparisons), "\n".join(map(str, comparisons))
    by_name = {comparison.what: comparison for comparison in comparisons}
    for what in ("volume fraction", "mean equivalent diameter", "number of domains"):
        exact = by_name[f"{what} beyond 80 um"]
        assert exact.measured == pytest.approx(exact.truth, rel=1e-9)
    assert by_name["large domains found as domains above 10 um"].truth >= 1
    monkeypatch.setattr("tomoprofile.phantom.scan.merge_touching", lambda spheres, tallies, _: (spheres, tallies))
    write_truth(simulate(settings), tmp_path / "parted")
    assert "number of domains beyond 80 um" in failing(tmp_path / "parted", tmp_path / "demo")


@pytest.fixture(scope="module")
def with_voids(tmp_path_factory):
    """Folder with the truth of a scan that has voids, and with results of both classes; and the scan."""
    folder = tmp_path_factory.mktemp("voids")
    other = simulate(PhantomSettings.of_kind("B", size=(112, 240, 128), seed=5, void_ratio=0.004))
    write_truth(other, folder / "truth")
    results_of(other, {"void": other.labels == VOID, "domain": other.labels == DOMAIN}, folder / "demo")
    return folder, other


def test_voids_have_a_truth_of_their_own(with_voids, tmp_path):
    folder, other = with_voids
    comparisons = compare(folder / "truth", folder / "demo", "void")
    assert all(comparison.ok for comparison in comparisons), "\n".join(map(str, comparisons))
    by_name = {comparison.what: comparison for comparison in comparisons}
    for what in ("volume fraction", "mean equivalent diameter", "number of voids"):
        exact = by_name[f"{what} beyond 0 um"]
        assert exact.measured == pytest.approx(exact.truth, rel=1e-9)
    assert not [what for what in by_name if "large" in what]
    # The mutants: domains judged as voids, and voids counted as domains.
    wrong = {"void": other.labels == DOMAIN, "domain": (other.labels == DOMAIN) | (other.labels == VOID)}
    results_of(other, wrong, tmp_path / "wrong")
    missed = failing(folder / "truth", tmp_path / "wrong", "void")
    assert missed >= {"volume fraction beyond 0 um", "number of voids beyond 0 um"}
    assert "number of domains beyond 80 um" in failing(folder / "truth", tmp_path / "wrong")
    with pytest.raises(InputError, match=r"a simulated scan has no such class.*ink.*domain, void"):
        compare(folder / "truth", folder / "demo", "ink")


def test_every_class_that_was_measured_is_compared(with_voids, tmp_path, capsys):
    folder, other = with_voids
    assert main(["compare", str(folder / "truth"), str(folder / "demo")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("class")] == ["class void", "class domain"]
    assert not failing(folder / "truth", folder / "demo")
    results_of(other, {"domain": other.labels == DOMAIN, "void": other.labels == DOMAIN}, tmp_path / "wrong")
    assert main(["compare", str(folder / "truth"), str(tmp_path / "wrong")]) == 1
    said = capsys.readouterr().out
    domains, voids = said.split("class void")
    assert "FAIL" in voids
    assert "FAIL" not in domains
    results_of(other, other.labels == DOMAIN, tmp_path / "one")
    with pytest.raises(
        InputError, match=r"zones\.parquet: this class was not measured \(got void\).*classes: domain\."
    ):
        compare(folder / "truth", tmp_path / "one", "void")


def test_too_generous_outlines_fail(phantom, truth, tmp_path):
    mask = ndimage.binary_dilation(phantom.labels == DOMAIN)
    found = failing(truth, results_of(phantom, mask, tmp_path / "demo"))
    assert {"volume fraction beyond 80 um", "mean equivalent diameter beyond 80 um"} <= found


def test_missing_domains_fail(phantom, truth, tmp_path):
    regions, number = ndimage.label(phantom.labels == DOMAIN, structure=np.ones((3, 3, 3)))
    mask = (regions > 0) & (np.random.default_rng(0).random(number + 1) < 0.85)[regions]
    found = failing(truth, results_of(phantom, mask, tmp_path / "demo"))
    assert {"volume fraction beyond 80 um", "number of domains beyond 80 um", "number density in zone bulk"} <= found


def test_hollow_large_domains_fail(phantom, truth, tmp_path):
    """P21: a threshold recognises the rim and not the interior."""
    inner = ndimage.binary_erosion(phantom.labels == DOMAIN, iterations=5)
    core = ndimage.binary_dilation(inner, iterations=4)
    found = failing(truth, results_of(phantom, (phantom.labels == DOMAIN) & ~core, tmp_path / "demo"))
    assert "large domains found as domains above 10 um" in found


def test_a_large_domain_elsewhere_does_not_count(phantom, truth, tmp_path):
    large = phantom.objects[phantom.objects.large & ~phantom.objects.on_border]
    mask = phantom.labels == DOMAIN
    moved = mask.copy()
    end = round((phantom.settings.substrate_um + 27) / phantom.settings.voxel_um)
    moved[:, :end] = np.roll(mask[:, :end], 20, axis=2)
    assert len(large)
    found = failing(truth, results_of(phantom, moved, tmp_path / "demo"))
    assert "large domains found as domains above 10 um" in found


def test_specks_near_the_substrate_fail(phantom, truth, tmp_path):
    mask = phantom.labels == DOMAIN
    at = round((phantom.settings.substrate_um + 3) / phantom.settings.voxel_um)
    mask[50:53, at : at + 3, 30:33] = True
    assert failing(truth, results_of(phantom, mask, tmp_path / "demo")) == {
        "smaller domains within 25 um of the substrate"
    }


def test_a_wrong_plane_fails(phantom, truth, tmp_path):
    shifted = Plane(phantom.plane.normal, phantom.plane.offset_um + 2)
    found = failing(truth, results_of(phantom, phantom.labels == DOMAIN, tmp_path / "demo", shifted))
    assert "worst error of the substrate plane" in found


def test_keeping_cut_domains_fails(phantom, truth, tmp_path):
    folder = results_of(phantom, phantom.labels == DOMAIN, tmp_path / "demo")
    table = pd.read_parquet(folder / "domains.parquet")
    table.assign(on_border=False).to_parquet(folder / "domains.parquet")
    assert "number of domains beyond 80 um" in failing(truth, folder)


def test_a_missing_value_is_no_agreement():
    assert not Comparison("x", math.nan, 1, 1).ok
    assert Comparison("x", 1.9, 1, 1).ok


def test_a_comparison_reads_as_a_sentence():
    text = str(Comparison("volume fraction", 4.51, 4.12, 0.3, "%"))
    assert text == "FAIL volume fraction: 4.51 % (truth 4.12 %, tolerance 0.3 %)"


def test_a_missing_table_or_column_is_named(phantom, truth, tmp_path):
    folder = results_of(phantom, phantom.labels == DOMAIN, tmp_path / "demo")
    zones = folder / "zones.parquet"
    pd.read_parquet(zones).drop(columns="number_density_per_mm3").to_parquet(zones)
    with pytest.raises(InputError, match=r"zones\.parquet.*number_density_per_mm3"):
        compare(truth, folder)
    zones.unlink()
    with pytest.raises(InputError, match=r"zones\.parquet"):
        compare(truth, folder)


def test_a_scan_that_ends_early_is_compared_where_it_has_domains(tmp_path):
    short = simulate(PhantomSettings.of_kind("A", size=(64, 160, 96), seed=1))
    write_truth(short, tmp_path / "truth")
    comparisons = compare(tmp_path / "truth", results_of(short, short.labels == DOMAIN, tmp_path / "demo"))
    assert all(comparison.ok for comparison in comparisons), "\n".join(map(str, comparisons))
    assert any("beyond 40 um" in comparison.what for comparison in comparisons)


def test_a_scan_without_domains_enough_cannot_be_compared(tmp_path):
    shallow = simulate(PhantomSettings.of_kind("A", size=(48, 96, 96), seed=1))
    write_truth(shallow, tmp_path / "truth")
    with pytest.raises(StageError, match="larger scan"):
        compare(tmp_path / "truth", results_of(shallow, shallow.labels == DOMAIN, tmp_path / "demo"))
