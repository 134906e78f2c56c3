"""Thresholds beside the scan's own segmentation: the same measures, on a block whose depths are those of the scan."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from domains_scan import write_store

from tomoprofile.baselines import block as block_module
from tomoprofile.baselines.block import METHODS, SegmentedScan, choose_block, segment_block
from tomoprofile.baselines.table import write_baselines
from tomoprofile.config import ObjectsConfig, ThresholdConfig
from tomoprofile.config_profile import Circle
from tomoprofile.errors import InputError, StageError
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.profile.masks import Space
from tomoprofile.report.outlines import draw_outlines
from tomoprofile.report.rendering import Renderer
from tomoprofile.report.results import PARTS
from tomoprofile.report.sections.baselines import build
from tomoprofile.report.sections.section import Section
from tomoprofile.report.segmentation import Segmentation
from tomoprofile.segment.threshold import fit_threshold
from tomoprofile.substrate.resin import Resin
from tomoprofile.tables import of_class, read_facts
from tomoprofile.volume.plane import Plane, WithoutSubstrate

EDGE = 0.5
SHAPE = (48, 120, 80)
PLANE = Plane.through((0.0, 1.0, 0.02), 6.0)
FILES = ("volume.ome.zarr", "probability.ome.zarr", "interface.json", "resin.npz")
LARGE = ((24, 36, 26), (22, 42, 58))  # centres of domains of 10.5 um, whose inside is as grey as the matrix
SMALL = [(z, y, x) for z in (8, 24, 40) for y in range(70, 115, 12) for x in range(10, 78, 16)]


def spheres(centres, radius):
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return np.any([(z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 <= radius**2 for a, b, c in centres], axis=0)


def depth_um():
    z, y, x = ((np.arange(n) + 0.5) * EDGE for n in SHAPE)
    return PLANE.depth_um(z[:, None, None], y[:, None], x)


def write_scan(folder, mask=None, contrast=-20.0):
    """Write a scan whose large domains are rims; ``mask`` is its own segmentation, by default the truth.

    Of several classes ``mask`` is a dictionary.
    """
    folder.mkdir(exist_ok=True)
    truth = spheres(LARGE, 10.5) | spheres(SMALL, 3)
    grey = np.random.default_rng(1).normal(0, 2, SHAPE)
    grey += contrast * ((spheres(LARGE, 10.5) & ~spheres(LARGE, 9.5)) | spheres(SMALL, 3))
    grey[depth_um() <= 0] += 8
    write_store(folder / "volume.ome.zarr", grey.astype("float32"), 16, (EDGE,) * 3)
    masks = mask if isinstance(mask, dict) else {"domain": truth if mask is None else mask}
    own = {name: np.where(one, 255, 0).astype("uint8") for name, one in masks.items()}
    write_store(folder / "probability.ome.zarr", own, 16, (EDGE,) * 3)
    PLANE.save(folder / "interface.json")
    Resin.everywhere().save(folder / "resin.npz")
    return truth


def compare(folder, name="baselines", profile=None, instances=None, classes=("domain",), **more):
    block = folder / f"{name}.block"
    block.mkdir()
    scan = SegmentedScan(*(folder / part for part in FILES), dict.fromkeys(classes, 0.5), instances)
    profile = profile or phantom_profile()
    out = folder / f"{name}.parquet"
    found = segment_block(scan, profile, ObjectsConfig(), block, **more)
    outlines = {one: draw_outlines(found, one, profile.zones[0].to_um) for one in classes}
    write_baselines(out, found, profile, outlines)
    return found, pd.read_parquet(out), facts(out, classes[0])


def facts(path, name):
    """Return what the metadata say of the block, and of a class in it."""
    told = read_facts(path)
    return told | told["classes"][name]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    truth = write_scan(folder)
    return folder, truth, *compare(folder)


def test_large_domains_are_hollow_for_otsu_and_whole_once_filled(scan):
    """What thresholding cannot see is told."""
    _, _, _, table, told = scan
    assert told["large_found"] == {"own": [2, 2], "otsu": [0, 2], "threshold_fill": [2, 2]}
    largest = table.groupby("method")["largest_um"].max()
    assert largest["own"] == pytest.approx(10.5, rel=0.03)
    assert largest["otsu"] < 10
    assert largest["threshold_fill"] == pytest.approx(10.5, rel=0.12)
    large = table.groupby("method")["n_over_10um"].sum()
    assert dict(large) == {"own": 2, "otsu": 0, "threshold_fill": 2}


def test_small_domains_are_found_by_all(scan):
    _, _, _, table, _ = scan
    deep = table[table["depth_lo_um"] >= 25].groupby("method")["n_domains"].sum()
    assert set(deep) == {len(SMALL)}


def test_the_volume_ratio_is_voxels_over_resin_at_the_depth_of_the_scan(scan):
    _, truth, _, table, _ = scan
    own = table[table["method"] == "own"]
    depth = depth_um()
    for row in own.itertuples():
        inside = (depth >= row.depth_lo_um) & (depth < row.depth_hi_um)
        assert row.volume_ratio == pytest.approx(truth[inside].sum() / inside.sum(), rel=1e-12)
        assert row.resin_um3 == pytest.approx(inside.sum() * EDGE**3)
    assert own["n_domains"].sum() == len(SMALL) + len(LARGE)


def test_bright_domains_are_recognised_by_the_scans_own_mask(scan, tmp_path):
    assert scan[2].domains_are == {"domain": "dark"}
    write_scan(tmp_path, contrast=20.0)
    block, _, told = compare(tmp_path)
    assert block.domains_are == {"domain": "bright"}
    assert told["large_found"]["threshold_fill"] == [2, 2]


def test_depths_and_domains_of_a_block_are_those_of_the_scan(tmp_path):
    truth = write_scan(tmp_path)
    block, table, told = compare(tmp_path, most_voxels=SHAPE[0] * SHAPE[1] * 50)
    z, y, x = block.window
    assert not told["whole_scan"]
    assert (y.start, y.stop) == (0, SHAPE[1]), "all depths"
    depth, part = depth_um()[block.window], truth[block.window]
    for row in table[table["method"] == "own"].itertuples():
        inside = (depth >= row.depth_lo_um) & (depth < row.depth_hi_um)
        assert row.volume_ratio == pytest.approx(part[inside].sum() / inside.sum(), rel=1e-12)
    assert told["block"] == {"z": [z.start, z.stop], "y": [0, SHAPE[1]], "x": [x.start, x.stop]}
    whole = pd.read_parquet(block.level("own").table)
    assert whole["depth_um"].max() < depth.max()
    text = section_of(tmp_path / "baselines.parquet", "network").words["block"]
    assert text.startswith("One block of the scan was compared, ")


@pytest.mark.parametrize(
    ("shape", "normal", "offset"),
    [
        ((2048, 2048, 2048), (0.0, 1.0, 0.01), 60.0),
        ((2048, 2048, 2048), (1.0, 0.0, 0.0), 500.0),
        ((2048, 2048, 2048), (-1.0, 0.0, 0.01), -900.0),
        ((600, 4096, 4096), (0.0, 0.0, -1.0), -1500.0),
        ((100, 3000, 3000), (0.0, 1.0, 0.0), 100.0),
        ((540, 520, 520), (1.0, 0.0, 0.0), 20.0),
        ((64, 64, 64), (1.0, 0.0, 0.0), 20.0),
    ],
)
@pytest.mark.parametrize("view", ["all", "cylinder"])
def test_a_block_is_bounded_and_holds_the_interface_and_what_lies_beyond(shape, normal, offset, view):
    plane = Plane.through(normal, offset)
    window = choose_block(Space.of(shape, (EDGE,) * 3, plane, Resin.everywhere(), view), 512**3)
    sizes = [part.stop - part.start for part in window]
    assert math.prod(sizes) <= 512**3
    assert all(0 <= part.start < part.stop <= n for part, n in zip(window, shape, strict=True))
    ends = [np.array([part.start, part.stop]) * EDGE for part in window]
    depth = plane.depth_um(ends[0][:, None, None], ends[1][:, None], ends[2])
    assert depth.min() < 0
    if math.prod(shape) <= 512**3:
        assert sizes == list(shape)
        return
    assert math.prod(sizes) > 0.4 * 512**3 or view == "cylinder", "no smaller than needed"
    if view == "all":
        corners = plane.depth_um(*np.meshgrid(*([0, n * EDGE] for n in shape), indexing="ij"))
        assert depth.max() > 0.9 * corners.max()
    else:
        reach = [max(abs(end - n * EDGE / 2) for end in at) for at, n in zip(ends[1:], shape[1:], strict=True)]
        assert math.hypot(*reach) <= min(shape[1:]) * EDGE / 2 + 1e-6


def test_given_objects_stay_apart(tmp_path):
    labels = np.zeros(SHAPE, "uint32")
    labels[20:30, 60:80, 20:40], labels[20:30, 60:80, 40:60] = 7, 9  # they touch
    write_scan(tmp_path, labels > 0)
    _, joined, _ = compare(tmp_path, "joined")
    instances = write_store(tmp_path / "instances.ome.zarr", labels, 16, (EDGE,) * 3)
    _, apart, _ = compare(tmp_path, "apart", instances=instances)
    counts = [table[table["method"] == "own"]["n_domains"].sum() for table in (joined, apart)]
    assert counts == [1, 2]


@pytest.mark.parametrize("second", ["dark", "bright"])
def test_each_class_is_compared_as_if_it_were_alone(tmp_path, second, monkeypatch):
    """Classes of one grey share the thresholds' masks; of another grey they have their own."""
    fitted = []
    fit = block_module.fit_threshold
    monkeypatch.setattr(
        block_module, "fit_threshold", lambda *given: (fitted.append(given[2].domains_are), fit(*given))
    )
    matrix = ~(spheres(LARGE, 14) | spheres(SMALL, 6)) & (depth_um() > 25)
    masks = {"domain": spheres(LARGE, 10.5), "void": spheres(SMALL, 3) if second == "dark" else matrix}
    write_scan(tmp_path, masks)
    block, together, _ = compare(tmp_path, "both", classes=tuple(masks))
    assert block.domains_are == {"domain": "dark", "void": second}
    assert sorted(fitted) == sorted(2 * list({"dark", second})), "each grey once for each method"
    assert list(together["class"].unique()) == ["domain", "void"], "one after the other"
    for name, mask in masks.items():
        folder = tmp_path / name
        write_scan(folder, {name: mask})
        _, alone, told = compare(folder, classes=(name,))
        pd.testing.assert_frame_equal(of_class(together, name), alone, check_exact=True)
        assert facts(tmp_path / "both.parquet", name) | {"classes": 0} == told | {"classes": 0}
    large = [facts(tmp_path / "both.parquet", name)["large_found"]["own"] for name in masks]
    assert large[0] == [2, 2]
    assert large[1][1] == 0


def section_of(table, kind):
    rows, block = (PARTS[name].of_class(PARTS[name].read(table), "domain") for name in ("baselines", "block"))
    return build(rows, block, Segmentation("", kind, {}))


def test_the_section_says_what_thresholds_miss(scan):
    folder, *_ = scan
    content = section_of(folder / "baselines.parquet", "network")
    section = content.words
    wanted = (
        "Of the 2 domains over 10 µm that the network finds near the substrate, those cut by a side of the scan among "
        "them, Otsu's threshold finds 0, a threshold with holes filled finds 2."
    )
    assert section["sentence"].startswith(wanted)
    assert section["pictures"][0]["title"] == "the network"
    assert len(section["pictures"]) == len(METHODS)
    paths = [picture["path"] for picture in section["pictures"]]
    assert all(paths), "each method has an outline"
    assert paths[1].count("M") > paths[2].count("M"), "a hollow domain has two outlines, a filled one has one"
    names = [trace.name for trace in content.figures["baselines"].data if trace.showlegend]
    assert names == ["the network", "Otsu's threshold", "a threshold with holes filled"]
    text = Renderer().section(Section("baselines", build), content, sample="a", suffix="")
    assert text.count("<svg") == len(METHODS)
    assert "Comparison with simple thresholds" in text
    drawn = json.loads(text.split('id="figure-baselines">')[1].split("</script>")[0])
    assert [trace["name"] for trace in drawn["data"] if trace["showlegend"]] == names


def test_without_domains_there_still_is_a_table(tmp_path):
    write_scan(tmp_path, np.zeros(SHAPE, bool))
    block, table, told = compare(tmp_path)
    assert block.domains_are == {"domain": "dark"}, "the default of the methods"
    assert table[table["method"] == "own"]["n_domains"].sum() == 0
    assert told["large_found"]["otsu"] == [0, 0]
    section = section_of(tmp_path / "baselines.parquet", "mask").words
    assert section["sentence"].startswith("The given mask finds no domain over 10 µm near the substrate here.")


def test_a_scan_without_resin_and_broken_files_are_errors(tmp_path):
    write_scan(tmp_path)
    Plane.through((0.0, 1.0, 0.0), 1000.0).save(tmp_path / "interface.json")
    with pytest.raises(StageError, match="no resin"):
        compare(tmp_path)
    (tmp_path / "broken.parquet").write_text("x")
    with pytest.raises(InputError, match=r"broken\.parquet.*cannot be read"):
        section_of(tmp_path / "broken.parquet", "network")


def test_air_beside_a_sample_is_not_part_of_its_block(tmp_path, monkeypatch):
    grey = np.random.default_rng(1).normal(0, 2, SHAPE) - 20.0 * (spheres(LARGE, 10.5) | spheres(SMALL, 3))
    grey[:, 66:] = np.random.default_rng(2).normal(-200, 2, (SHAPE[0], SHAPE[1] - 66, SHAPE[2]))
    write_store(tmp_path / "volume.ome.zarr", grey.astype("float32"), 16, (EDGE,) * 3)
    own = np.where(spheres(LARGE, 10.5), 255, 0).astype("uint8")
    write_store(tmp_path / "probability.ome.zarr", {"domain": own}, 16, (EDGE,) * 3)
    plane, air = WithoutSubstrate(), np.zeros((8, 20, 14), bool)
    air[:, 10:] = True  # of 66 rows; blocks that touch air count as air
    space = Space.of(SHAPE, (EDGE,) * 3, plane, Resin(6, air, None), "all")
    scan = SegmentedScan(*(tmp_path / part for part in FILES), {"domain": 0.5})
    window = slice(0, 48), slice(7, 110), slice(3, 70)

    def threshold(name):
        (tmp_path / name).mkdir()
        grid = block_module._bins_of(space, window, phantom_profile())
        block = block_module._cut_block(scan, grid, window, tmp_path / name)
        fit_threshold(block.volume, block.interface, ThresholdConfig(method="otsu"), tmp_path / name / "otsu.json")
        return json.loads((tmp_path / name / "otsu.json").read_text())["threshold"]

    assert -18 < threshold("with") < -2, "between domains and matrix"
    monkeypatch.setattr(Resin, "within", lambda *_: Resin.everywhere())
    assert threshold("without") < -22, "between the air and all else"


def test_a_window_of_the_air_is_the_air_in_the_window():
    air = np.random.default_rng(0).random((4, 5, 6)) < 0.5
    resin = Resin(6, air, Circle(radius_um=9, centre_um=(7.5, 9.0)))
    window = slice(0, 24), slice(7, 30), slice(3, 34)
    part = resin.within(window, (EDGE,) * 3)
    z, y, x = np.indices([one.stop - one.start for one in window])
    assert (part.is_air(z, y, x) == resin.is_air(z, y + 7, x + 3)).all()
    assert part.circle == Circle(radius_um=9, centre_um=(4.0, 7.5))
