"""The acceptance gates with the true mask, end to end, and the wrong ways to measure that must miss them.

What is left is the measuring itself: what a perfect segmentation would be given. `make acceptance` does the same with
the network.
"""

import functools
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from project import RESULTS, Project

from benchmarks.acceptance import EXACT, TRUE_MASK, gates
from tomoprofile.layout import ScanLayout
from tomoprofile.phantom.files import write_scan, write_truth
from tomoprofile.phantom.geometry import DOMAIN, VOID
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.phantom.settings import plain_profile
from tomoprofile.samples import COLUMNS
from tomoprofile.tables import of_class

SIZE = (256, 256, 256)
TILT_DEG = 1.0
KINDS = {"B": 11, "C": 12}  # seeds
CLASSES = {"domain": 1, "void": 2}  # values in the map of classes
OF_CLASS = {"domain": {"A1", "A2", "A3", "A4", "A5", "A7", "A8"}, "void": {"A1", "A2", "A8"}}  # gates
JUDGED = ("domains", "profile", "zones", "breakpoints")  # tables that the gates read


EACH_KIND = pytest.mark.parametrize("kind", ["B", pytest.param("C", marks=pytest.mark.deep)])


@pytest.fixture(scope="module")
def of_kind(tmp_path_factory):
    """Return what measures the scans of a kind; each kind is measured once, when it is first asked for."""
    return functools.cache(lambda kind: measured_scans(tmp_path_factory.mktemp("acceptance"), kind))


@pytest.fixture(scope="module")
def finished(of_kind):
    return of_kind("B")


@pytest.fixture(scope="module")
def finished_otherwise(finished):
    """Measure the same scan in other ways, too."""
    finished.snakemake(*(RESULTS.scan(f"B_{name}").profile for name in ("alone", "slices", "otsu")))
    return finished


def measured_scans(folder, kind):
    """Return a project with scans of a kind with the true mask, from the true plane and the fitted one.

    Its sheet also lists the same scan B to be measured in other ways, some of them wrong. Domains and voids are
    measured in one run, but for the scan whose mask tells no classes.
    """
    project = Project(folder)
    # A true mask has no noise: what a face of the scan leaves of a domain counts, however little.
    project.configure(
        objects={"min_voxels": 1},
        profile=plain_profile(bin_um=1.0),
        models={
            "default": {"method": "unet", "classes": {"resin": 0, **CLASSES}, "measure": list(CLASSES)},
            "otsu": {"method": "otsu", "profile": {"resamples": 100}},
        },
    )
    phantom = simulate(PhantomSettings.of_kind(kind, SIZE, KINDS[kind], tilt_deg=TILT_DEG))
    write_scan(phantom, project.folder / "raw" / kind, "tiff_folder_f32")
    write_truth(phantom, project.folder / "truth" / kind)
    in_map = np.zeros(256, "uint8")
    in_map[[DOMAIN, VOID]] = CLASSES["domain"], CLASSES["void"]
    tifffile.imwrite(project.folder / f"{kind}.tif", in_map[phantom.labels], photometric="minisblack")
    project.tomoprofile("scan", "raw")
    sheet = project.folder / "config/samples.tsv"
    (scan,) = pd.read_csv(sheet, sep="\t", dtype=str).fillna("").to_dict("records")
    plane = ",".join(str(part) for part in (*phantom.plane.normal, phantom.plane.offset_um))
    own = scan | {"mask": f"classes:{kind}.tif"}
    rows = [own | {"sample": f"{kind}_exact", "interface": f"plane:{plane}"}, own | {"sample": f"{kind}_auto"}]
    if kind == "B":
        mask = (phantom.labels == DOMAIN).astype("uint8")
        tifffile.imwrite(project.folder / "B_domain.tif", mask, photometric="minisblack")
        rows.append(scan | {"sample": "B_alone", "mask": "B_domain.tif", "interface": f"plane:{plane}"})
        # Depth as people count it: slices from where the substrate ends, here along y, at the corner looked at first.
        flat = phantom.plane.offset_um / phantom.plane.normal[1]
        rows.append(scan | {"mask": "B_domain.tif", "sample": "B_slices", "interface": f"plane:0,1,0,{flat}"})
        rows.append(scan | {"model": "otsu", "sample": "B_otsu"})
    lines = ["\t".join(row[name] for name in COLUMNS) for row in rows]
    sheet.write_text("\n".join(["\t".join(COLUMNS), *lines]) + "\n")
    project.snakemake(*(RESULTS.scan(f"{kind}_{name}").profile for name in ("exact", "auto")))
    return project


def found(project, sample, tolerances, files=None, measured="domain"):
    kind = sample.split("_")[0]
    return gates(project.folder / "truth" / kind, files or project.results.scan(sample), tolerances, measured)


def missed(project, sample, tolerances, files=None, measured="domain"):
    return {gate.name for gate in found(project, sample, tolerances, files, measured) if not gate.ok}


@pytest.mark.parametrize("measured", OF_CLASS)
@EACH_KIND
def test_true_mask_and_true_plane_are_exact(of_kind, kind, measured):
    all_gates = found(of_kind(kind), f"{kind}_exact", EXACT, measured=measured)
    print(*all_gates, sep="\n")
    assert {gate.name for gate in all_gates} >= OF_CLASS[measured]
    assert not [str(gate) for gate in all_gates if not gate.ok]


@pytest.mark.parametrize("measured", OF_CLASS)
@EACH_KIND
def test_true_mask_and_fitted_plane(of_kind, kind, measured):
    all_gates = found(of_kind(kind), f"{kind}_auto", TRUE_MASK, measured=measured)
    print(*all_gates, sep="\n")
    assert not [str(gate) for gate in all_gates if not gate.ok]


@pytest.mark.deep
@pytest.mark.parametrize("table", ["domains", "profile", "zones", "breakpoints", "correlation", "sizes"])
def test_a_class_is_measured_beside_another_as_it_is_alone(finished_otherwise, table):
    both, alone = (getattr(finished_otherwise.results.scan(f"B_{name}"), table) for name in ("exact", "alone"))
    found, expected = of_class(pd.read_parquet(both), "domain"), pd.read_parquet(alone)
    words = dict.fromkeys(expected.select_dtypes("category"), str)
    pd.testing.assert_frame_equal(found.astype(words), expected.astype(words), check_exact=True)


def test_sphericity_was_among_the_gates(finished):
    assert "A9" in {gate.name for gate in found(finished, "B_exact", EXACT)}


@pytest.mark.deep
def test_depth_by_slice_index_fails(finished_otherwise):
    assert missed(finished_otherwise, "B_slices", TRUE_MASK) >= {"A1", "A7"}


@pytest.mark.deep
def test_a_threshold_fails(finished_otherwise):
    assert missed(finished_otherwise, "B_otsu", TRUE_MASK) >= {"A1", "A5"}


def exact_tables(finished, folder):
    """Return the tables of the exact scan B by the place of their copy, which lies in a folder with its plane."""
    exact, copy = finished.results.scan("B_exact"), ScanLayout(folder)
    shutil.copy(exact.interface, folder)
    return {getattr(copy, name): pd.read_parquet(getattr(exact, name)) for name in JUDGED}


@pytest.fixture
def copy(finished, tmp_path):
    """Tables of the domains of the exact scan B, to be spoilt."""
    for path, table in exact_tables(finished, tmp_path).items():
        of_class(table, "domain").to_parquet(path)
    return ScanLayout(tmp_path)


def test_an_unspoilt_copy_passes(finished, copy):
    assert not missed(finished, "B_exact", EXACT, copy)


def test_classes_that_are_mixed_up_fail(finished, tmp_path):
    for path, table in exact_tables(finished, tmp_path).items():
        swapped = table["class"].astype(str).map({"domain": "void", "void": "domain"})
        table.assign(**{"class": swapped}).to_parquet(path)
    for measured, wrong in OF_CLASS.items():
        assert missed(finished, "B_exact", TRUE_MASK, ScanLayout(tmp_path), measured) >= wrong - {"A4", "A7"}


def test_rows_of_all_classes_together_fail(finished, tmp_path):
    """The mutant: the class of a row is not looked at."""
    for measured in OF_CLASS:
        for path, table in exact_tables(finished, tmp_path).items():
            table.assign(**{"class": measured}).to_parquet(path)
        assert missed(finished, "B_exact", TRUE_MASK, ScanLayout(tmp_path), measured) >= {"A1", "A2"}


def test_voids_counted_as_domains_fail(finished, tmp_path):
    """The mutant: whatever is no resin is a domain; void voxels and void objects among them."""
    tables = exact_tables(finished, tmp_path)
    files = ScanLayout(tmp_path)
    for path in (files.profile, files.zones):
        domains, voids = (of_class(tables[path], name) for name in ("domain", "void"))
        domains["domain_um3"] += voids["domain_um3"]
        tables[path] = domains.assign(volume_ratio=domains["domain_um3"] / domains["resin_um3"])
    tables[files.domains] = tables[files.domains].assign(**{"class": "domain"})
    for path, table in tables.items():
        of_class(table, "domain").to_parquet(path)
    assert missed(finished, "B_exact", TRUE_MASK, files) >= {"A1", "A2"}


def test_leaving_cut_objects_out_fails(finished, copy):
    profile, domains = pd.read_parquet(copy.profile), pd.read_parquet(copy.domains)
    whole = domains.loc[~domains["on_border"], "depth_um"]
    edges = [*profile["depth_lo_um"].unique(), profile["depth_hi_um"].max()]
    number = np.tile(np.histogram(whole, edges)[0], 3)
    profile["number_density_per_mm3"] = (number / profile["resin_um3"] * 1e9).where(
        profile["number_density_per_mm3"].notna()
    )
    profile.to_parquet(copy.profile)
    assert missed(finished, "B_exact", EXACT, copy) == {"A8"}


def test_volume_of_whole_objects_fails(finished, copy):
    profile, domains = pd.read_parquet(copy.profile), pd.read_parquet(copy.domains)
    edges = [*profile["depth_lo_um"].unique(), profile["depth_hi_um"].max()]
    volume = np.histogram(domains["depth_um"], edges, weights=domains["volume_um3"])[0]
    profile["domain_um3"] = np.tile(volume, 3)
    profile.to_parquet(copy.profile)
    assert "A1" in missed(finished, "B_exact", TRUE_MASK, copy)


def test_a_missing_resin_mask_fails(finished, copy):
    """The volume of a layer as it is, substrate or not, in place of its resin."""
    profile = pd.read_parquet(copy.profile)
    thickness = profile["depth_hi_um"] - profile["depth_lo_um"]
    lateral_um2 = (SIZE[0] * 0.5) * (SIZE[2] * 0.5) / math.cos(math.radians(TILT_DEG))
    profile["resin_um3"] = thickness * lateral_um2
    profile.to_parquet(copy.profile)
    assert "A1" in missed(finished, "B_exact", TRUE_MASK, copy)


def test_surfaces_of_voxel_faces_fail(finished, copy):
    """A sphere's faces of voxels are 1.5 times its surface."""
    domains = pd.read_parquet(copy.domains)
    domains["sphericity"] /= 1.5
    domains.to_parquet(copy.domains)
    assert missed(finished, "B_exact", EXACT, copy) == {"A9"}


def test_a_missed_large_domain_and_a_cavity_fail(finished, copy):
    domains = pd.read_parquet(copy.domains)
    near = domains.query("depth_um < 25 and not on_border")["equivalent_diameter_um"].idxmax()
    domains.loc[near, "cavities"] = 1
    domains.to_parquet(copy.domains)
    assert missed(finished, "B_exact", EXACT, copy) == {"A5"}
    domains.drop(near).to_parquet(copy.domains)
    assert missed(finished, "B_exact", EXACT, copy) == {"A5"}


def test_a_flat_profile_fails(finished, copy):
    profile = pd.read_parquet(copy.profile)
    plateau = profile.loc[profile["depth_lo_um"] >= 80, "volume_ratio"].mean()
    for name in ("volume_ratio", "volume_ratio_lo", "volume_ratio_hi"):
        profile[name] = plateau
    profile["volume_ratio_hi"] += 0.01
    profile["domain_um3"] = plateau * profile["resin_um3"]
    profile.to_parquet(copy.profile)
    assert missed(finished, "B_exact", EXACT, copy) >= {"A1", "A3", "A4"}
