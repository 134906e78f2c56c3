"""How often the 95 % intervals of the profile hold the truth: simulated scans with the mask that is true, no imaging.

Every realisation is another phantom A with the same settings; what is true of them all is what they give together.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from tomoprofile.config_profile import ProfileConfig
from tomoprofile.domains.measures import nearest
from tomoprofile.domains.objects import ObjectsMetadata, Runs, write_objects
from tomoprofile.domains.runs import extract_runs
from tomoprofile.errors import StageError
from tomoprofile.files import whole_file
from tomoprofile.phantom.geometry import DOMAIN
from tomoprofile.phantom.painting import TALLIES, paint_spheres
from tomoprofile.phantom.scan import lay_out
from tomoprofile.phantom.settings import PhantomSettings, phantom_profile
from tomoprofile.phantom.truth import SUBSTRATE, object_table, profile_table
from tomoprofile.profile.depth import ProfileInputs, ProfileTables, profile_depth
from tomoprofile.profile.estimators import SURE_BLOCKS
from tomoprofile.tables import LEVELS

RESAMPLES = 400
BLOCKS_UM = {4: 60.0, 9: 42.0, 16: 30.0}  # blocks of a field of 128 um, and their side
QUANTITIES = {
    "volume_ratio": "resin_um3",
    "mean_equivalent_diameter_um": "number_density_per_mm3",
    "number_density_per_mm3": "resin_um3",
    "diameter_median_um": "number_density_per_mm3",
    "volume_weighted_diameter_um": "domain_um3",
}  # with what each is averaged over realisations by
LEAST_OBJECTS = 5.0  # rows that hold fewer on average are flagged, and do not count here
PAGE = Path(__file__).parents[1] / "docs/benchmarks/coverage.md"


@dataclasses.dataclass(frozen=True)
class Realisation:
    """A simulated scan as an exact segmentation gives it: what the profile is made from, and the voxelised truth."""

    objects: Path
    domains: Path
    interface: Path
    truth: pd.DataFrame


def realise(settings: PhantomSettings, folder: Path) -> Realisation:
    """Place and paint the domains of a phantom, and write the files of its true mask."""
    plane, spheres, grid = lay_out(settings, np.random.default_rng(settings.seed))
    labels, share = np.zeros(settings.size, np.uint8), np.zeros(grid.shape, np.float32)
    where = (labels, grid.corner, DOMAIN)
    centres, radii = spheres.centres_um, spheres.diameters_um / 2
    tallies = paint_spheres(share, grid.origin_um, settings.voxel_um, centres, radii, *where)
    objects = object_table(spheres, tallies, settings.size, settings.voxel_um, plane)
    box = dict(zip(TALLIES, tallies[tallies[:, 0] > 0].T, strict=True))
    weight = np.ones(len(objects))
    for axis, n in (("z", settings.size[0]), ("x", settings.size[2])):
        start, stop = box[f"{axis}_start"], box[f"{axis}_stop"]
        weight *= np.where((start > 0) & (stop < n), n / np.maximum(n - (stop - start) - 1, 1), 0.0)
    table = objects.assign(edge_weight=weight, **{"class": "domain"})  # the truth has numbers for classes
    table = table.assign(**nearest({name: table[name].to_numpy() for name in table if name.startswith("centroid_")}))
    found = Realisation(folder / "objects.parquet", folder / "domains.parquet", folder / "interface.json", objects)
    runs = extract_runs(labels, DOMAIN)
    row = np.repeat(np.arange(len(runs.row_ptr) - 1), np.diff(runs.row_ptr)).astype(np.int32)
    columns = (row // settings.size[1], row % settings.size[1], runs.x_start, runs.x_stop)
    metadata = ObjectsMetadata("domain", 0.5, 26, 1, settings.size, (settings.voxel_um,) * 3, len(table))
    # Which domain a run belongs to does not matter to the profile.
    write_objects(found.objects, [(metadata, [Runs(*columns, np.ones(len(row), np.int64))])])
    table.to_parquet(found.domains)
    plane.save(found.interface)
    for index, z_um in enumerate((np.arange(settings.size[0]) + 0.5) * settings.voxel_um):
        y_um, x_um = ((np.arange(n) + 0.5) * settings.voxel_um for n in settings.size[1:])
        labels[index][plane.depth_um(z_um, y_um[:, None], x_um) <= 0] = SUBSTRATE
    return dataclasses.replace(found, truth=profile_table(labels, objects, settings.voxel_um, plane))


def profile_of(scan: Realisation, config: ProfileConfig, folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of a realisation; of profile and zones the calibrated level."""
    out = ProfileTables(*(folder / f"{field.name}.parquet" for field in dataclasses.fields(ProfileTables)))
    levels = (dict.fromkeys(LEVELS, path) for path in (scan.objects, scan.domains))
    profile_depth(ProfileInputs(*levels, scan.interface), config, 1, out)
    tables = {name: pd.read_parquet(path) for name, path in vars(out).items()}
    return {name: table.query("level == 'calibrated'") if "level" in table else table for name, table in tables.items()}


def coverage(rows: pd.DataFrame, where: str, quantities: dict[str, str]) -> pd.DataFrame:
    """Return how often intervals hold the mean over all realisations, for each row and quantity.

    Parameters
    ----------
    rows : DataFrame
        Rows of all realisations.
    where : str
        Column that tells the rows of one table apart.
    quantities : dict
        Each with the column that it is averaged by.
    """
    found = []
    for place, group in rows.groupby(where, sort=False):
        for name, by in quantities.items():
            known = group[group[name].notna() & group[f"{name}_lo"].notna()]
            if known.empty or group["n_domains"].mean() < LEAST_OBJECTS:
                continue
            truth = np.average(known[name], weights=known[by])
            held = (known[f"{name}_lo"] <= truth) & (truth <= known[f"{name}_hi"])
            found.append({where: place, "quantity": name, "covered": held.mean(), "realisations": len(known)})
    return pd.DataFrame(found)


def realisations(number: int, size: int, folder: Path) -> Iterator[Realisation]:
    """Yield phantoms of different seeds, each in the place of the one before."""
    seeds = itertools.count()
    while number:
        try:
            yield realise(PhantomSettings(size=(size,) * 3, seed=next(seeds)), folder)
        except StageError:  # where chance packed too densely there is no room
            continue
        number -= 1


def measure(number: int, size: int) -> list[dict[str, object]]:
    """Return coverage by blocks, zones and all bins together."""
    tables: dict[tuple[int, str], list[pd.DataFrame]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for done, scan in enumerate(realisations(number, size, folder), start=1):
            for blocks, block_um in BLOCKS_UM.items():
                found = profile_of(scan, phantom_profile(block_um=block_um, resamples=RESAMPLES), folder)
                for table, where in (("profile", "depth_um"), ("zones", "zone")):
                    tables.setdefault((blocks, where), []).append(found[table])
            print(f"realisation {done} of {number}", flush=True)
    records: list[dict[str, object]] = []
    for (blocks, where), parts in tables.items():
        nearest_too = {"nearest_mean_um": "number_density_per_mm3"} if where == "zone" else {}
        found = coverage(pd.concat(parts), where, QUANTITIES | nearest_too)
        if where == "depth_um":
            found = found.groupby("quantity", sort=False)["covered"].agg(["mean", "min", "size"]).reset_index()
            found = found.rename(columns={"mean": "covered", "min": "least", "size": "bins"}).assign(zone="bins")
        records += [{"blocks": blocks, **row} for row in found.to_dict("records")]
    return records


def write_page(records: list[dict[str, object]], number: int, size: int) -> None:
    """Write ``docs/benchmarks/coverage.md`` and ``coverage.json``."""
    table = pd.DataFrame(records)
    names = list(dict.fromkeys(table["quantity"]))
    lines = [
        "# Coverage of intervals\n",
        "`make bench-coverage`. In how many of the simulated scans the 95 % interval holds what is true of all of them "
        f"together: {number} phantoms A of {size}^3 voxels with their true mask, so no imaging and no segmentation. "
        "The same scans are divided into 4, 9 and 16 lateral blocks. *bins*: mean over all bins that hold at least "
        f"{LEAST_OBJECTS:g} domains on average. Goal: 0.90 to 0.98; fewer than {SURE_BLOCKS} blocks are flagged "
        "`few_blocks`.\n",
        "| blocks | where | " + " | ".join(f"`{name}`" for name in names) + " |",
        "|---" * (len(names) + 2) + "|",
    ]
    for (blocks, zone), group in table.groupby(["blocks", "zone"], sort=False):
        of = group.set_index("quantity")["covered"]
        values = [f"{of[name]:.3f}" if name in of else "-" for name in names]
        lines.append(f"| {blocks} | {zone} | " + " | ".join(values) + " |")
    with whole_file(PAGE) as partial:
        partial.write_text("\n".join(lines) + "\n")
    with whole_file(PAGE.with_suffix(".json")) as partial:
        partial.write_text(json.dumps({"realisations": number, "size": size, "coverage": records}, indent=1) + "\n")


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realisations", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    write_page(measure(given.realisations, given.size), given.realisations, given.size)


if __name__ == "__main__":
    main()
