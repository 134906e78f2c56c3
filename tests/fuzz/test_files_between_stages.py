"""Whatever happens to a file between two stages: the stage that reads it gets what was written, or says so.

Every kind of file is damaged again and again. With its digest beside it, the result is the same, or the file is named
and set aside, so that the workflow makes it again. Without one, as from elsewhere, no error may be untyped.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
import reliability
import torch
from fuzz.harness import FEW, MANY, NUMBERS, failures
from fuzz.mutations import mutations
from model_facts import model_facts, write_bundle
from report_scan import measure_scan

from tomoprofile.config import read_config
from tomoprofile.domains.objects import iter_runs, read_objects_metadata
from tomoprofile.errors import DamageError, TomoprofileError
from tomoprofile.files import digest_file, read_record, seal, write_record
from tomoprofile.labels.training_set import LabelledSlice, TrainingSet, read_training_set, write_training_set
from tomoprofile.layout import BundleLayout, Layout, StoreLayout
from tomoprofile.network.bundle import load_network
from tomoprofile.network.facts import read_facts
from tomoprofile.network.unet import SliceNetwork
from tomoprofile.run.record import Run, read_run
from tomoprofile.samples import Scan
from tomoprofile.segment.segmenter import level_of
from tomoprofile.segment.threshold import read_threshold
from tomoprofile.shift.appearance import Appearance, look_at_scan
from tomoprofile.substrate.resin import Resin
from tomoprofile.tables import TABLES
from tomoprofile.tables import read_facts as facts_of_table
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import open_store

SEEDS = (11, 12)


@dataclass(frozen=True)
class Stored:
    """A file between stages.

    Attributes
    ----------
    path : Path
    read : callable
        What a stage makes of it, in a form that can be compared.
    aside : tuple of Path
        What the workflow must miss when the file is damaged, any of them.
    others : tuple of Path
        Files that are set aside with it, and must be put back for the next trial.
    opened : callable, optional
        What is done with such a file from elsewhere, where reading all of it may take any time: a store that says it
        has 10^9 slices is read slice by slice.
    """

    path: Path
    read: Callable[[], object]
    aside: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    opened: Callable[[], object] | None = None


def plain(found) -> object:
    """Return something that ``==`` compares, down to the last bit."""
    if isinstance(found, np.ndarray):
        return found.dtype.str, found.shape, found.tobytes()
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [plain(value) for value in found]
    return repr(found)


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> dict[str, Stored]:
    """Everything the stages write for a small scan, by name."""
    folder = tmp_path_factory.mktemp("scan")
    files = measure_scan(folder, "one bin")
    kinds: dict[str, Stored] = {}

    def add(name: str, path: Path, read: Callable[[], object]) -> None:
        kinds[name] = Stored(path, read, (path,))

    add("interface.json", files.interface, lambda: asdict(Plane.load(files.interface)))
    resin = folder / "resin.npz"
    add("resin.npz", resin, lambda: [Resin.load(resin).side, Resin.load(resin).air])
    look_at_scan(files.volume, files.interface, folder / "appearance.json")
    add("appearance.json", folder / "appearance.json", lambda: Appearance.load(folder / "appearance.json").record())
    for name in ("domains", "profile", "zones", "breakpoints", "correlation", "sizes", "baselines"):
        path, table = getattr(files, name), TABLES[name]
        add(path.name, path, lambda path=path, table=table: [table.read(path).to_csv(), facts_of_table(path)])
    objects = files.objects["calibrated"]
    add("objects", objects, lambda: _runs(objects))
    add_records(folder, files.interface, add)
    add_model(folder, add)
    kinds |= stores(files)
    return kinds


def _runs(objects: Path) -> object:
    metadata = read_objects_metadata(objects)
    return [asdict(metadata["domain"]), [asdict(runs) for runs in iter_runs(objects, metadata["domain"])]]


def add_records(folder: Path, interface: Path, add) -> None:
    threshold, mask = folder / "threshold.json", folder / "mask.json"
    settings = {"method": "otsu", "domains_are": "dark", "smooth_voxels": 1.0, "max_hole_um": 2.0}
    record = {"threshold": 101.5, "decision_level": 0.5, "interface": interface.name, **settings}
    write_record(threshold, record)
    add("threshold.json", threshold, lambda: repr(read_threshold(threshold)))
    write_record(mask, {"method": "mask", "decision_level": 0.5, "voxels": {"domain": 7}})
    add("mask.json", mask, lambda: [level_of(mask, "a mask"), read_record(mask)])


def add_model(folder: Path, add) -> None:
    rng = np.random.default_rng(3)
    label = (rng.random((24, 20)) < 0.2).astype(np.uint8)
    slices = [LabelledSlice("a", 3, group, rng.random((3, 24, 20), np.float32), label) for group in (0, 1)]
    training = folder / "default.npz"
    write_training_set(TrainingSet(slices, {}, (0.5, 0.5, 0.5), {"labels": {}}), training)
    add("training set", training, lambda: _slices(read_training_set(training)))
    bundle = write_bundle(folder / "model")
    metadata, weights = BundleLayout(bundle).metadata, BundleLayout(bundle).weights
    seal(metadata)
    add("metadata.json", metadata, lambda: read_facts(bundle).record())
    weights.parent.mkdir()
    network = SliceNetwork(**model_facts().network.model_dump(), pretrained=False)
    torch.save(network.state_dict(), weights)
    seal(weights)
    add("model.pt", weights, lambda: [part.numpy() for part in load_network(bundle).state_dict().values()])


def _slices(training: TrainingSet) -> object:
    return [[asdict(item) for item in training.slices], training.voxel_size_um, training.facts]


def stores(files) -> dict[str, Stored]:
    """Return metadata, records and shards of a store with one image and of one with classes."""
    found = {}
    for name, channel in (("volume", None), ("probability", "domain")):
        layout = StoreLayout(getattr(files, name))
        store = open_store(layout.path, channel)
        record = layout.record("z00000")
        store.complete(record, 0, store.shape[0], sha256="0" * 64)

        def read(layout=layout, channel=channel):
            store = open_store(layout.path, channel)
            return [store.read(0, store.shape[0]), store.voxel_size_um, asdict(store.grey), store.attributes]

        def opened(layout=layout):
            return open_store(layout.path).voxel_size_um

        for what, path, aside in (
            ("metadata", layout.metadata, layout.metadata),
            ("metadata of the array", layout.array, layout.array),
            ("record of a slab", record, record),
            ("shard", store.shard_path(32), record),
        ):
            found[f"{name}: {what}"] = Stored(path, read, (aside,), (layout.metadata, layout.array, record), opened)
    return found


KINDS = [
    *("interface.json", "resin.npz", "appearance.json", "threshold.json", "mask.json", "objects", "training set"),
    *("metadata.json", "model.pt"),
    *("domains.parquet", "profile.parquet", "zones.parquet", "breakpoints.parquet", "correlation.parquet"),
    *("sizes.parquet", "baselines.parquet"),
    *(f"{store}: {what}" for store in ("volume", "probability")
      for what in ("metadata", "metadata of the array", "record of a slab", "shard")),
]  # fmt: skip
SEALED = [kind for kind in KINDS if ": shard" not in kind]  # a shard has no digest of its own


class Kept:
    """The files of a trial as they were, put back after each one."""

    def __init__(self, *paths: Path) -> None:
        every = {one for path in paths for one in (path, digest_file(path))}
        self.content = {path: path.read_bytes() for path in every if path.exists()}

    def put_back(self) -> None:
        for path, content in self.content.items():
            path.write_bytes(content)
            path.with_name(f"{path.name}.damaged").unlink(missing_ok=True)


def damage(stored: Stored, number: int, seed: int) -> Counter[str]:
    """Damage a file in many ways; return how often what became of it."""
    kept = Kept(stored.path, *stored.others)
    right = plain(stored.read())
    became: Counter[str] = Counter()
    for what, content in mutations(kept.content[stored.path], number, seed):
        stored.path.write_bytes(content)
        became[outcome(stored, right, what)] += 1
        kept.put_back()
    assert plain(stored.read()) == right
    return became


def outcome(stored: Stored, right: object, what: str) -> str:
    try:
        found = plain(stored.read())
    except DamageError:
        assert not any(path.exists() for path in stored.aside), f"{what}: nothing makes the workflow write it again"
        return "noticed"
    assert found == right, f"{what}: read as something else without a word"
    return "survived"


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_noticed_and_set_aside(scan, kind):
    assert damage(scan[kind], FEW, SEEDS[0])["noticed"] > FEW / 2


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_noticed_in_long_sweeps(scan, kind):
    became = damage(scan[kind], MANY, SEEDS[1])
    reliability.record("Files between stages", kind, became.total(), became["survived"], became["noticed"])


@pytest.mark.parametrize("kind", KINDS)
def test_lost_files_are_noticed(scan, kind):
    stored = scan[kind]
    kept = Kept(stored.path, *stored.others)
    stored.path.unlink()
    try:
        with pytest.raises(TomoprofileError):
            stored.read()
        assert not any(path.exists() for path in stored.aside)
    finally:
        kept.put_back()


@pytest.mark.parametrize(("number", "seed"), NUMBERS)
@pytest.mark.parametrize("kind", SEALED)
def test_a_damaged_file_from_elsewhere_is_a_typed_fault(scan, kind, number, seed):
    stored = scan[kind]
    kept = Kept(stored.path, *stored.others)
    digest_file(stored.path).unlink()

    def read() -> None:
        try:
            (stored.opened or stored.read)()
        finally:
            for path in stored.others:
                if not path.exists():
                    path.write_bytes(kept.content[path])

    try:
        assert failures(stored.path, read, number, seed) == []
    finally:
        kept.put_back()


@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_a_damaged_record_of_a_run_is_a_typed_fault(tmp_path, number, seed):
    results = tmp_path / "results"
    results.mkdir()
    path = Layout(results).run
    row = {"path": "raw", "format": "tiff_stack", "dtype": "uint8", "voxel_size_um": "1"}
    scan = Scan(sample="a", slices=4, rows=5, columns=6, **row)
    run = Run(
        started="2026-01-01T00:00:00+00:00",
        host="node",
        pid=1,
        command=["snakemake"],
        work_dir=str(tmp_path),
        software={},
        config=read_config({}),
        scans=[scan],
    )
    good = run.model_dump_json().encode()
    path.write_bytes(good)
    assert read_run(results) == run
    assert failures(path, lambda: read_run(results), number, seed) == []


def test_without_digests_a_changed_file_is_read_as_it_is(scan):
    """The mutant: the same damage, and another depth or another level without a word."""
    stored = scan["interface.json"]
    kept = Kept(stored.path)
    right = plain(stored.read())
    digest_file(stored.path).unlink()
    wrong = 0
    for _, content in mutations(kept.content[stored.path], FEW, SEEDS[0]):
        stored.path.write_bytes(content)
        try:
            wrong += plain(stored.read()) != right
        except TomoprofileError:
            continue
    kept.put_back()
    assert wrong > 0
