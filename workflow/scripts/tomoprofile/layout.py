"""The names of all files below the results folder and in a folder of truth, each defined once.

Every path is a :class:`~pathlib.Path`, also with a wildcard for a name, as in rules:
``Layout("results").scan("{sample}").zones``.
Standard library only: the Snakefile imports this.
"""

from __future__ import annotations

from pathlib import Path


class Layout:
    """The results folder.

    Attributes
    ----------
    results : Path
        The folder itself.
    check, run, claim, index, comparison : Path
        What the check found, the record of the last run, whose the folder is now, the page of the beamtime and its
        table.
    crate, workflow : Path
        The run described for archives, and the copy of the workflow that this needs.
    logs, benchmarks : Path
        Folders with one file per job.
    """

    def __init__(self, results: str | Path) -> None:
        self.results = Path(results)
        self.check = self.results / "check.tsv"
        self.run = self.results / "run.json"
        self.claim = self.results / "claim.json"
        self.index = self.results / "index.html"
        self.comparison = self.results / "comparison.parquet"
        self.crate = self.results / "ro-crate-metadata.json"
        self.workflow = self.results / "workflow.smk"
        self.logs = self.results / "logs"
        self.benchmarks = self.results / "benchmarks"

    def scan(self, sample: str) -> ScanLayout:
        """Return the files of a scan."""
        return ScanLayout(self.results / sample)

    def model(self, name: str) -> BundleLayout:
        """Return the files of a model that is trained here."""
        return BundleLayout(self.results / "models" / name)

    def training_set(self, model: str) -> Path:
        """Return the labelled slices that a model is trained on."""
        return self.results / "training" / f"{model}.npz"

    def amplification(self, model: str) -> AmplifyLayout:
        """Return the files from which further training pairs of a model are drawn."""
        return AmplifyLayout(self.results / "training", model)

    def site(self, model: str) -> SiteLayout:
        """Return the files of the part of a site in the training of a model at many sites."""
        return SiteLayout(self.results / "training" / f"{model}.federated")

    def federation(self, run: str) -> FederationLayout:
        """Return the files of a training at many sites."""
        return FederationLayout(self.results / "federated" / run)

    def log(self, rule: str, *target: str) -> Path:
        """Return the log of a job; ``target`` is its scan or model, and its slab if it has one."""
        return self.logs / _job(rule, target, "log")

    def benchmark(self, rule: str, *target: str) -> Path:
        """Return the record of time and memory of a job, named as its log is."""
        return self.benchmarks / _job(rule, target, "tsv")

    def benchmark_of(self, log: Path) -> Path:
        """Return the record of time and memory that belongs to a log."""
        return self.benchmarks / log.relative_to(self.logs).with_suffix(".tsv")

    def written_logs(self) -> list[Path]:
        """Return the logs that jobs have written so far, sorted."""
        return sorted(self.logs.glob("**/*.log"))


class ScanLayout:
    """The folder of a scan; the attributes are named as what they hold.

    Attributes
    ----------
    folder : Path
        The folder itself.
    volume, probability, uncertainty, instances, labels : StoreLayout
        Images on disk.
    to_label : ToLabelLayout
        Slices that a person should label.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder = Path(folder)
        self.check = folder / "check.tsv"
        self.label_check = folder / "check_labels.tsv"
        self.volume = StoreLayout(folder / "volume.ome.zarr")
        self.probability = StoreLayout(folder / "probability.ome.zarr")
        self.uncertainty = StoreLayout(folder / "uncertainty.ome.zarr")
        self.instances = StoreLayout(folder / "instances.ome.zarr")
        self.labels = StoreLayout(folder / "labels.ome.zarr")
        self.to_label = ToLabelLayout(folder / "to_label")
        self.interface = folder / "interface.json"
        self.substrate_distance = folder / "substrate_distance.npy"
        self.resin = folder / "resin.npz"
        self.appearance = folder / "appearance.json"
        self.familiarity = folder / "familiarity.json"
        self.registration = folder / "registration.safetensors"
        self.threshold = folder / "threshold.json"
        self.mask = folder / "mask.json"
        self.domains = folder / "domains.parquet"
        self.profile = folder / "profile.parquet"
        self.zones = folder / "zones.parquet"
        self.breakpoints = folder / "breakpoints.parquet"
        self.correlation = folder / "correlation.parquet"
        self.sizes = folder / "sizes.parquet"
        self.phase = folder / "phase.parquet"
        self.thickness = folder / "thickness.parquet"
        self.baselines = folder / "baselines.parquet"
        self.classes = folder / "classes.parquet"
        self.tables = folder / "tables.zip"
        self.report = folder / "report.html"
        self.provenance = folder / "provenance.json"
        self.discarded = folder / "discarded.json"
        # Output of the job's workers on other nodes; exists only while it runs.
        self.measure_workers = folder / "objects" / "workers"
        self.profile_workers = folder / "profile_workers"
        self.phase_workers = folder / "phase_workers"

    def objects_at(self, level: str) -> Path:
        """Return the runs of voxels at a level of probability: low, calibrated or high."""
        return self.folder / "objects" / f"{level}.parquet"

    def domains_at(self, level: str) -> Path:
        """Return the table of domains at a level; the calibrated one is ``domains``, the others bracket it."""
        return self.domains if level == "calibrated" else self.folder / "band" / f"{level}.parquet"

    @property
    def stores(self) -> tuple[StoreLayout, ...]:
        """The stores that ``keep: minimal`` removes at the end; a scan need not have all of them."""
        return self.volume, self.probability, self.uncertainty, self.instances

    @property
    def products(self) -> tuple[Path, ...]:
        """The files of a finished scan; each is made again when it is lost."""
        return self.domains, self.profile, self.zones, self.baselines, self.report


class StoreLayout:
    """An image on disk, written slab by slab.

    Attributes
    ----------
    path : Path
        Its folder.
    array : Path
        Layout of its array, which stands for the empty store as input or output of a rule: shards depend on it.
    metadata : Path
        Voxel size and meaning of the values, on which no shard depends.
    records : Path
        Folder of the records of its slabs.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.array = self.path / "0" / "zarr.json"
        self.metadata = self.path / "zarr.json"
        self.records = self.path / "slabs"

    def record(self, slab: str) -> Path:
        """Return the record that says a slab is complete."""
        return self.records / f"{slab}.json"

    def written_records(self) -> list[Path]:
        """Return the records of the slabs that are complete so far, sorted."""
        return sorted(path for path in self.records.glob("*.json") if not path.name.startswith("."))


class ToLabelLayout:
    """The slices of a scan that are proposed for labelling.

    Attributes
    ----------
    folder : Path
        Holds an image of each.
    table : Path
        Which slices, and why.
    prelabels : Path
        Folder with masks of an earlier model to correct, if there is one.
    previews : Path
        Folder with a picture of each mask that was made to start from, on its slice.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.table = self.folder / "slices.tsv"
        self.prelabels = self.folder / "prelabels"
        self.previews = self.folder / "previews"


class BundleLayout:
    """A model bundle, here or of an earlier run.

    Attributes
    ----------
    folder : Path
        The folder itself.
    weights, inference, card, metadata : Path
        Its files; the metadata are written last, so they stand for the whole bundle. The weights of the model that
        comes with the package are safetensors.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder = Path(folder)
        shipped = folder / "models" / "model.safetensors"
        self.weights = shipped if shipped.is_file() else folder / "models" / "model.pt"
        self.inference = folder / "configs" / "inference.json"
        self.card = folder / "docs" / "README.md"
        self.metadata = folder / "configs" / "metadata.json"

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them, in the order in which they are put in place."""
        return self.weights, self.inference, self.card, self.metadata


class AmplifyLayout:
    """What is learned of how the cases of a model differ.

    Attributes
    ----------
    template, sums, cases : Path
        The case that all are registered to, the sums over their deformations, and which were left out and why.
    training_set : Path
        The labelled slices, and those drawn from them.
    """

    def __init__(self, training: Path, model: str) -> None:
        self.template = training / f"{model}.template.safetensors"
        self.sums = training / f"{model}.sums.safetensors"
        self.cases = training / f"{model}.cases.json"
        self.training_set = training / f"{model}.amplified.npz"


class SiteLayout:
    """What a site keeps of a training at many sites.

    Attributes
    ----------
    folder : Path
        The folder itself, which nobody else can enter.
    result : Path
        The model, and what judged the labels of the site.
    fingerprint : Path
        What the site tells about its labels before the first round.
    deformations : Path
        How its cases differ, as sums over all of them, if its policy lets them out.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.result = self.folder / "result.safetensors"
        self.fingerprint = self.folder / "fingerprint.safetensors"
        self.deformations = self.folder / "deformations.safetensors"


class FederationLayout:
    """A training at many sites, as the coordinator or a simulation has it.

    Attributes
    ----------
    folder : Path
        The folder itself.
    simulated : Path
        The last checkpoint of a simulation.
    evaluation : Path
        How well the labels of each site were judged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder = Path(folder)
        self.simulated = folder / "simulated.safetensors"
        self.evaluation = folder / "evaluation.tsv"

    def checkpoint(self, job: str) -> Path:
        """Return the checkpoint that a job of the coordinator ends with; its number counts from 0."""
        return self.folder / "checkpoints" / f"{job}.safetensors"

    def job(self, job: str) -> Path:
        """Return the folder of what a job of the coordinator sends and receives."""
        return self.folder / "jobs" / job


class TruthLayout:
    """The truth of a simulated scan, in a separate folder beside the raw scan.

    Attributes
    ----------
    objects : Path
        Table of what was placed.
    labels, occupancy : Path
        Class of each voxel, and the share of it that domains fill.
    interface : Path
        The substrate plane.
    settings : Path
        Of the simulation; written last.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder = Path(folder)
        self.objects = folder / "objects.parquet"
        self.labels = folder / "labels.tif"
        self.occupancy = folder / "occupancy.tif"
        self.interface = folder / "interface.json"
        self.settings = folder / "settings.json"

    def profile_of(self, measured: str) -> Path:
        """Return the table of the volume of a class against depth."""
        return self.folder / ("profile.parquet" if measured == "domain" else f"profile_{measured}.parquet")


class AnatomyLayout:
    """A folder of simulated torsos: scans and labels as the workflow reads them, and the truth.

    Attributes
    ----------
    raw, labels : Path
        Folders of the scans, and of the labels that a person would have drawn.
    cases : Path
        What each case is; written last.
    template : Path
        Labels of the template, which displacements point into.
    """

    def __init__(self, folder: str | Path) -> None:
        self.raw = Path(folder) / "raw"
        self.labels = Path(folder) / "labels"
        self._truth = Path(folder) / "truth"
        self.cases = self._truth / "cases.json"
        self.template = self._truth / "template_labels.nii.gz"

    def scan(self, case: str) -> Path:
        """Return the scan of a case."""
        return self.raw / f"{case}.nii.gz"

    def labels_of(self, case: str) -> Path:
        """Return the label volume that training sees."""
        return self.labels / case / f"{case}_labels.nii.gz"

    def true_labels(self, case: str) -> Path:
        """Return the labels without any error."""
        return self._truth / f"{case}_labels.nii.gz"

    def displacement(self, case: str) -> Path:
        """Return the displacement into the template."""
        return self._truth / f"{case}_displacement.nii.gz"

    def picture(self, case: str) -> Path:
        """Return the picture of three planes."""
        return self._truth / f"{case}.png"


def _job(rule: str, target: tuple[str, ...], ending: str) -> Path:
    # Jobs for the whole beamtime have no separate folder.
    return Path(rule, f"{'.'.join(target)}.{ending}") if target else Path(f"{rule}.{ending}")
