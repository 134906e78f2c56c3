"""Tiny simulated scans that went through the real stages, and everything the pages read of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from domains_scan import write_store
from model_facts import measured, model_facts, scores, write_bundle

from tomoprofile.baselines.block import SegmentedScan, segment_block
from tomoprofile.baselines.table import write_baselines
from tomoprofile.config import ObjectsConfig
from tomoprofile.config_profile import ProfileConfig
from tomoprofile.domains.table import Level, Segmented, measure_domains
from tomoprofile.files import temporary_folder
from tomoprofile.phantom.geometry import VOID
from tomoprofile.phantom.scan import Phantom, PhantomSettings, simulate
from tomoprofile.phase.table import SegmentedPhases, measure_phases
from tomoprofile.profile.depth import ProfileInputs, ProfileTables, profile_depth
from tomoprofile.profile.settings import read_settings
from tomoprofile.report.outlines import draw_outlines
from tomoprofile.report.results import SampleFiles
from tomoprofile.samples import Scan
from tomoprofile.substrate.interface import fit_interface
from tomoprofile.substrate.sample import find_sample, find_surface
from tomoprofile.volume.store import open_store

EDGE = 0.5
SHARD = 16
SHAPE = (80, 112, 96)
LEVELS = {"low": 0.3, "calibrated": 0.45, "high": 0.7}
ZONE_UM = 27.0
PROFILE = ProfileConfig(
    bin_um=4.0,
    block_um=10.0,
    resamples=200,
    zones=[{"name": "interface", "from_um": 0, "to_um": ZONE_UM}, {"name": "bulk", "from_um": ZONE_UM}],
)

AUTO_PROFILE = ProfileConfig(resamples=200)


@dataclass(frozen=True)
class Kind:
    """How a scan departs from the plain one.

    Attributes
    ----------
    shape : tuple of int
        Of the phantom, in which depth grows along y.
    large_per_mm2 : float
        Large domains near the substrate.
    turned : callable
        Gives the arrays another direction of depth.
    found : bool
        Whether the segmentation finds the domains.
    interface : str
        Cell of the sample sheet.
    given : bool
        Whether the segmentation is a given mask.
    voids : str
        Name of a second class, that of the voids; empty where only domains are measured.
    profile : ProfileConfig
    phase : bool
        Whether classes are measured as phases, too.
    """

    shape: tuple[int, int, int] = SHAPE
    large_per_mm2: float = 1200.0
    turned: Callable[[np.ndarray], np.ndarray] = np.asarray
    found: bool = True
    interface: str = "auto"
    given: bool = False
    voids: str = ""
    profile: ProfileConfig = PROFILE
    phase: bool = False


KINDS = {
    "plain": Kind(),
    "empty": Kind(found=False),
    "none near the substrate": Kind(large_per_mm2=0.0),
    "one slice": Kind(shape=(1, 112, 96), large_per_mm2=0.0, interface="plane:0,1,0,6"),
    "given mask": Kind(given=True),
    "two classes": Kind(given=True, voids="void", phase=True),
    "odd class name": Kind(given=True, voids='<b onclick=x>void<u> & "co"'),
    "one bin": Kind(profile=PROFILE.model_copy(update={"bin_um": 60.0})),
    "zone not reached": Kind(
        profile=ProfileConfig(**PROFILE.model_dump() | {"zones": [
            {"name": "interface", "from_um": 0, "to_um": ZONE_UM},
            {"name": "bulk", "from_um": ZONE_UM, "to_um": 45},
            {"name": "beyond", "from_um": 900},
        ]})
    ),
    "depth along z": Kind(turned=lambda image: image.swapaxes(0, 1)),
    "depth against z": Kind(turned=lambda image: image.swapaxes(0, 1)[::-1]),
    "depth against y": Kind(turned=lambda image: image[:, ::-1]),
    "depth along x": Kind(turned=lambda image: image.swapaxes(1, 2)),
    "no substrate": Kind(turned=lambda image: image[:, 20:], interface="none", profile=AUTO_PROFILE, phase=True),
    "own surface": Kind(turned=lambda image: in_air(image[:, 20:]), interface="surface", profile=AUTO_PROFILE),
    "from a face": Kind(turned=lambda image: image[:, 20:], interface="face:y=end", profile=AUTO_PROFILE),
    "slice below": Kind(turned=lambda image: image.swapaxes(0, 1)[::-1], interface="slice:99:below"),
}  # fmt: skip


def in_air(image: np.ndarray) -> np.ndarray:
    """Return an image of a phantom in a frame of air, in which nothing is a domain."""
    return np.pad(image, 28, constant_values=4 * min(image.min(), 0))


def measure_scan(folder: Path, name: str) -> SampleFiles:
    """Simulate a scan of :data:`KINDS` and take it through all stages between conversion and page."""
    kind = KINDS[name]
    changes = {"substrate_um": 6.0, "diameter_um": 2.4, "tilt_deg": 1.0, "void_ratio": 0.008 if kind.voids else 0.0}
    phantom = simulate(PhantomSettings.of_kind("A", kind.shape, 2, large_per_mm2=kind.large_per_mm2, **changes))
    files = files_of(folder, kind.given)
    if kind.phase:
        files = replace(files, phase=folder / "phase.parquet", thickness=folder / "thickness.parquet")
    write_store(files.volume, kind.turned(phantom.grey), SHARD, (EDGE,) * 3)
    shares = {name: kind.turned(share) * kind.found for name, share in shares_of(phantom, kind).items()}
    write_store(files.probability, {name: to_stored(share) for name, share in shares.items()}, SHARD, (EDGE,) * 3)
    if kind.given:
        write_mask(files.segmenter)
    else:
        known = measured(LEVELS["calibrated"], held_out=scores())
        write_bundle(files.segmenter, model_facts(measured={"domain": known}))
    resin = folder / "resin.npz"
    if kind.interface == "none" or kind.interface.startswith("face:"):
        find_sample(files.volume, kind.interface, files.interface, resin)
    elif kind.interface == "surface":
        find_surface(files.volume, files.interface, folder / "substrate_distance.npy", resin)
    else:
        fit_interface(files.volume, kind.interface, files.interface, resin)
    measure_tables(files, resin, kind)
    return files


def shares_of(phantom: Phantom, kind: Kind) -> dict[str, np.ndarray]:
    """Return how much of each voxel every measured class fills; a given mask says all or nothing."""
    if not kind.given:
        return {"domain": phantom.occupancy}
    voids = {kind.voids: (phantom.labels == VOID).astype(float)} if kind.voids else {}
    return {"domain": (phantom.occupancy >= 0.5).astype(float)} | voids


def to_stored(share: np.ndarray) -> np.ndarray:
    """Return probabilities as stores hold them."""
    return np.round(255 * share).astype("uint8")


def measure_tables(files: SampleFiles, resin: Path, kind: Kind) -> None:
    """Write objects, domains, profiles and baselines of a scan."""
    folder, objects = files.domains.parent, ObjectsConfig()
    segmented = Segmented(files.probability, files.volume, is_mask=kind.given)
    tables = {level: folder / f"{level}.parquet" for level in LEVELS} | {"calibrated": files.domains}
    levels = {
        name: Level(dict.fromkeys(segmented.classes, level), files.objects[name], tables[name])
        for name, level in LEVELS.items()
    }
    files.objects["low"].parent.mkdir(exist_ok=True)
    measure_domains(segmented, files.interface, levels, objects)
    mask = files.segmenter if kind.given else None
    inputs = ProfileInputs(files.objects, tables, files.interface, resin, mask=mask)
    out = ProfileTables(*(getattr(files, field.name) for field in fields(ProfileTables)))
    profile_depth(inputs, kind.profile, 1, out)
    if files.phase and files.thickness:
        known = levels["calibrated"].probability
        phases = SegmentedPhases(
            files.probability, files.interface, resin, files.profile, known, objects.band, kind.given
        )
        measure_phases(phases, objects.connectivity, 1, (files.phase, files.thickness))
    profile = read_settings(files.profile)
    scan = SegmentedScan(files.volume, files.probability, files.interface, resin, levels["calibrated"].probability)
    with temporary_folder(files.baselines) as block_folder:
        block = segment_block(scan, profile, objects, block_folder)
        outlines = {name: draw_outlines(block, name, profile.zones[0].to_um) for name in segmented.classes}
        write_baselines(files.baselines, block, profile, outlines)


def files_of(folder: Path, given: bool) -> SampleFiles:
    """Return where everything of a scan lies in a folder."""
    tables = ("domains", "profile", "zones", "breakpoints", "correlation", "sizes", "baselines")
    return SampleFiles(
        sample="epoxy_1",
        volume=folder / "volume.ome.zarr",
        probability=folder / "probability.ome.zarr",
        objects={level: folder / "objects" / f"{level}.parquet" for level in LEVELS},
        **{name: folder / f"{name}.parquet" for name in tables},
        interface=folder / "interface.json",
        segmenter=folder / ("mask.json" if given else "bundle"),
        provenance={"configuration": "0123456789abcdef", "seed": 1},
    )


def scan_row(sample: str, **cells) -> Scan:
    """Return the row of the sample sheet of a scan; a page must bear any name."""
    slices, rows, columns = SHAPE
    shape = {"slices": slices, "rows": rows, "columns": columns}
    cells = {"path": "raw", "format": "tiff_folder", "dtype": "uint8", "voxel_size_um": "0.5"} | shape | cells
    return Scan(sample="any", **cells).model_copy(update={"sample": sample})


def edited(files: SampleFiles, folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> SampleFiles:
    """Return the files of a scan with what a function makes of one of its tables, in a folder."""
    rewrite(getattr(files, name), folder / f"{name}.parquet", change)
    return replace(files, **{name: folder / f"{name}.parquet"})


def rewrite(source: Path, out: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Write what a function makes of a table, with the facts that the table had."""
    metadata = pq.read_schema(source).metadata
    change(pd.read_parquet(source)).to_parquet(out, index=False)
    table = pq.read_table(out)
    pq.write_table(table.replace_schema_metadata(metadata | table.schema.metadata), out)


def write_mask(path: Path, method: str = "mask") -> Path:
    """Write mask.json."""
    record = {"method": method, "decision_level": 0.5, "path": "masks/a.nii.gz", "foreground_value": 255}
    record |= {"voxels": {"domain": 7}, "sha256_of_slabs": {"z00000": "abc"}}
    path.write_text(json.dumps(record))
    return path


def write_threshold(path: Path) -> Path:
    """Write threshold.json."""
    path.write_text(json.dumps({"method": "otsu", "threshold": 101.5, "domains_are": "dark", "decision_level": 0.5}))
    return path


def write_crowded(plain: SampleFiles, folder: Path, n_domains: int = 100_000, pixels: int = 2048) -> SampleFiles:
    """Write a scan of a beamtime's size for the page alone: large slices, and a long table of domains.

    The slices are those of a plain scan side by side, 100 um apart, so that a few of them make a scan of a millimetre;
    the domains are those of the plain one at places all over it.
    """
    n_slices, edges = 9, (100.0, EDGE, EDGE)
    stores = {}
    for name, channel in (("volume", None), ("probability", "domain")):
        image = open_store(getattr(plain, name), channel).read(0, SHAPE[0])[:: SHAPE[0] // n_slices][:n_slices]
        resin = image[:, 2 * round(ZONE_UM) :]  # the part full of domains, over and over below one substrate
        tall = np.concatenate([image, *[resin] * (pixels // resin.shape[1] + 1)], axis=1)[:, :pixels]
        wide = np.tile(tall, (1, 1, pixels // image.shape[2] + 1))[:, :, :pixels]
        stores[name] = write_store(folder / f"{name}.ome.zarr", {channel: wide} if channel else wide, SHARD, edges)
    objects, interface = folder / "calibrated.parquet", folder / "interface.json"
    level = Level({"domain": LEVELS["calibrated"]}, objects, folder / "measured.parquet")
    shutil.copy(plain.interface, interface)
    segmented = Segmented(stores["probability"], stores["volume"])
    measure_domains(segmented, interface, {"calibrated": level}, ObjectsConfig())
    rng = np.random.default_rng(3)

    def scattered(domains: pd.DataFrame) -> pd.DataFrame:
        domains = domains.sample(n_domains, replace=True, random_state=3, ignore_index=True)
        places = rng.uniform((0, 10, 0), np.array((n_slices, pixels, pixels)) * edges, (n_domains, 3))
        domains["domain_id"], domains["depth_um"] = np.arange(1, n_domains + 1), places[:, 1] - 6
        domains[[f"centroid_{axis}_um" for axis in "zyx"]] = places
        return domains

    files = replace(plain, objects=plain.objects | {"calibrated": objects}, **stores)
    return edited(files, folder, "domains", scattered)
