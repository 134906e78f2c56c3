"""Tiny simulated scans that went through the real stages, and everything the pages read of them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from tomoprofile.baselines.thresholds import segment_block, write_baselines
from tomoprofile.config import ObjectsConfig, ProfileConfig
from tomoprofile.domains.table import Level, measure_domains
from tomoprofile.files import temporary_folder
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.profile.depth import ProfileTables, profile_depth
from tomoprofile.report.outlines import draw_outlines
from tomoprofile.report.results import SampleFiles
from tomoprofile.samples import Scan
from tomoprofile.segment.given_mask import accept_mask, enter_mask
from tomoprofile.substrate.interface import fit_interface
from tomoprofile.volume.store import create_store, open_store

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
    profile : ProfileConfig
    """

    shape: tuple[int, int, int] = SHAPE
    large_per_mm2: float = 1200.0
    turned: Callable[[np.ndarray], np.ndarray] = np.asarray
    found: bool = True
    interface: str = "auto"
    given: bool = False
    profile: ProfileConfig = PROFILE


KINDS = {
    "plain": Kind(),
    "empty": Kind(found=False),
    "none near the substrate": Kind(large_per_mm2=0.0),
    "one slice": Kind(shape=(1, 112, 96), large_per_mm2=0.0, interface="plane:0,1,0,6"),
    "given mask": Kind(given=True),
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
}  # fmt: skip


def measure_scan(folder: Path, name: str) -> SampleFiles:
    """Simulate a scan of :data:`KINDS` and take it through all stages between conversion and page."""
    kind = KINDS[name]
    changes = {"substrate_um": 6.0, "diameter_um": 2.4, "tilt_deg": 1.0}
    phantom = simulate(PhantomSettings.of_kind("A", kind.shape, 2, large_per_mm2=kind.large_per_mm2, **changes))
    share = kind.turned(phantom.occupancy) * kind.found
    files = files_of(folder, kind.given)
    write_store(files.volume, kind.turned(phantom.grey))
    if kind.given:
        enter_given_mask(files, share >= 0.5)
    else:
        write_store(files.probability, np.round(255 * share).astype("uint8"))
        write_bundle(files.segmenter)
    resin = folder / "resin.npz"
    fit_interface(files.volume, kind.interface, files.interface, resin)
    measure_tables(files, resin, kind)
    return files


def measure_tables(files: SampleFiles, resin: Path, kind: Kind) -> None:
    """Write objects, domains, profiles and baselines of a scan."""
    folder, objects = files.domains.parent, ObjectsConfig()
    mask = files.segmenter if kind.given else None
    tables = {level: folder / f"{level}.parquet" for level in LEVELS} | {"calibrated": files.domains}
    levels = {name: Level(level, files.objects[name], tables[name]) for name, level in LEVELS.items()}
    files.objects["low"].parent.mkdir(exist_ok=True)
    measure_domains(files.probability, files.volume, files.interface, levels, objects, is_mask=kind.given)
    out = ProfileTables(*(getattr(files, field.name) for field in fields(ProfileTables)))
    profile_depth(files.objects, tables, files.interface, kind.profile, 1, out, mask=mask, resin_file=resin)
    level = LEVELS["calibrated"]
    with temporary_folder(files.baselines) as block_folder:
        stores = (files.volume, files.probability, files.interface, resin)
        block = segment_block(*stores, level, kind.profile, objects, block_folder)
        outlines = draw_outlines(block, level, kind.profile.zones[0].to_um)
        write_baselines(files.baselines, block, level, kind.profile, outlines)


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


def write_store(path: Path, image: np.ndarray, edges=(EDGE,) * 3) -> None:
    """Write an image as a store."""
    store = create_store(path, image.shape, image.dtype.name, edges, SHARD)
    for start, stop in store.shards():
        store.write(start, image[start:stop])


def enter_given_mask(files: SampleFiles, mask: np.ndarray) -> None:
    """Enter a mask as the user's own."""
    path = files.probability.with_name("own_mask.tif")
    tifffile.imwrite(path, mask.astype("uint8"), photometric="minisblack")
    row = scan_row("epoxy_1", mask=str(path))
    write_store(files.probability, np.zeros(mask.shape, "uint8"))
    store = open_store(files.probability)
    record = files.probability / "slabs" / "z00000.json"
    facts = enter_mask(row, files.probability, None, 0, len(mask))
    store.complete(record, 0, len(mask), **facts)
    accept_mask(row, [record], files.segmenter)


def scan_row(sample: str, **cells) -> Scan:
    """Return the row of the sample sheet of a scan; a page must bear any name."""
    slices, rows, columns = SHAPE
    shape = {"slices": slices, "rows": rows, "columns": columns}
    cells = {"path": "raw", "format": "tiff_folder", "dtype": "uint8", "voxel_size_um": "0.5"} | shape | cells
    return Scan(sample="any", **cells).model_copy(update={"sample": sample})


def edited(files: SampleFiles, folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> SampleFiles:
    """Return the files of a scan with what a function makes of one of its tables, in a folder."""
    change(pd.read_parquet(getattr(files, name))).to_parquet(folder / f"{name}.parquet", index=False)
    return replace(files, **{name: folder / f"{name}.parquet"})


def write_bundle(folder: Path, **metadata) -> Path:
    """Write the metadata of a model bundle, as fine_tune does."""
    path = folder / "configs" / "metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "network": {"in_channels": 3, "input_scale": 2},
        "decision_level": LEVELS["calibrated"],
        "calibrated": True,
        "held_out": {"dice": 0.9312, "iou": 0.8713, "area_ratio": math.nan},
        "conditions": {"steps": 300, "learning_rate": 0.002, "decoder_channels": [128, 64, 48, 32, 16]},
        "base": "imagenet",
        "labels": {"labels": {}, "training": ["epoxy_1 z00004"], "held_out": ["epoxy_1 z00030"]},
        "learning_curve": [{"step": step, "loss": 1.5 / (1 + step / 20)} for step in range(0, 300, 10)],
    }
    path.write_text(json.dumps({"version": "0.1.0", "task": "domains", "tomoprofile": record | metadata}))
    return folder


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
    for name in ("volume", "probability"):
        image = open_store(getattr(plain, name)).read(0, SHAPE[0])[:: SHAPE[0] // n_slices][:n_slices]
        resin = image[:, 2 * round(ZONE_UM) :]  # the part full of domains, over and over below one substrate
        tall = np.concatenate([image, *[resin] * (pixels // resin.shape[1] + 1)], axis=1)[:, :pixels]
        stores[name] = folder / f"{name}.ome.zarr"
        write_store(stores[name], np.tile(tall, (1, 1, pixels // image.shape[2] + 1))[:, :, :pixels], edges)
    run_file = folder / "calibrated.parquet"
    level = Level(LEVELS["calibrated"], run_file, folder / "measured.parquet")
    interface = folder / "interface.json"
    shutil.copy(plain.interface, interface)
    measure_domains(*stores.values(), interface, {"calibrated": level}, ObjectsConfig())
    rng = np.random.default_rng(3)
    domains = pd.read_parquet(plain.domains).sample(n_domains, replace=True, random_state=3, ignore_index=True)
    domains["domain_id"] = np.arange(1, n_domains + 1)
    places = rng.uniform((0, 10, 0), np.array((n_slices, pixels, pixels)) * edges, (n_domains, 3))
    domains[[f"centroid_{axis}_um" for axis in "zyx"]] = places
    domains["depth_um"] = places[:, 1] - 6
    domains.to_parquet(folder / "domains.parquet", index=False)
    return replace(
        plain, objects=plain.objects | {"calibrated": run_file}, domains=folder / "domains.parquet", **stores
    )
