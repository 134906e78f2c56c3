"""The jobs that a scan needs, and the files that each leaves; the basis of the estimates.

A test compares it with what the workflow would do. Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..layout import Layout
from ..samples import Scan
from ..segment.kinds import segmenter_of
from ..volume.pyramid import level_shapes
from ..volume.slabs import shard_bounds, slab_bounds, slab_names
from .waiting import has_labels


@dataclass(frozen=True)
class PlannedJob:
    """One job of a scan.

    Attributes
    ----------
    rule : str
    log : Path
        The record of its time and memory has the same name.
    outputs : tuple of Path
        Files that Snakemake knows and keeps records of.
    beside : int
        Number of other files that it leaves: shards and arrays of stores, images.
    """

    rule: str
    log: Path
    outputs: tuple[Path, ...]
    beside: int = 0

    @property
    def files(self) -> int:
        """All files that it leaves: outputs with digests and Snakemake's records, other files, log and benchmark."""
        return 3 * len(self.outputs) + self.beside + 2


def planned_jobs(scan: Scan, config: Config) -> list[PlannedJob]:
    """Return the jobs of a scan in the order of the data, without those of its model and of the whole beamtime.

    Files that ``keep`` removes in the end are counted, because they exist until then.
    """
    layout = Layout(config.results)
    files = layout.scan(scan.sample)
    segmenter = segmenter_of(scan, config)
    needs, classes = segmenter.needs, len(segmenter.classes)

    def job(rule: str, *outputs: Path, slab: str = "", beside: int = 0) -> PlannedJob:
        return PlannedJob(rule, layout.log(rule, *filter(None, (scan.sample, slab))), outputs, beside)

    def convert() -> Iterator[PlannedJob]:
        yield job("check_inputs", files.check)
        yield job("create_store", files.volume.array)
        yield job("describe_store", files.volume.metadata)
        # The store of the uncertainty is not an output of any rule; its metadata have digests, too.
        beside = 4 if needs.uncertainty else 0
        yield job("create_probability", files.probability.array, files.probability.metadata, beside=beside)
        for slab, shards in _slabs(scan, config):
            yield job("convert_slab", files.volume.record(slab), slab=slab, beside=shards)

    def find_substrate() -> Iterator[PlannedJob]:
        if scan.substrate_mask:
            yield job("enter_substrate", files.interface, files.substrate_distance, files.resin)
        elif scan.has_own_surface:
            yield job("find_surface", files.interface, files.substrate_distance, files.resin)
        elif not scan.has_substrate:
            yield job("find_sample", files.interface, files.resin)
        else:
            yield job("fit_interface", files.interface, files.resin)

    def segment_by_model() -> Iterator[PlannedJob]:
        if needs.appearance:
            yield job("look_at_scan", files.appearance)
        if needs.labels and scan.labels:
            if not has_labels(scan):
                # An earlier model adds a mask to correct to each image.
                yield job("pick_slices", files.to_label.table, beside=(2 if needs.earlier else 1) * config.pick.slices)
            yield job("check_labels", files.label_check)
        if needs.familiarity:
            # One slice and its mask, in case the scan is unlike those that the model has seen.
            yield job("compare_with_model", files.familiarity, beside=2)
        if segmenter.fitted_by:
            yield job(segmenter.fitted_by, segmenter.file)
        for slab, shards in _slabs(scan, config):
            shards *= classes * (2 if needs.uncertainty else 1)
            yield job("predict_slab", files.probability.record(slab), slab=slab, beside=shards)

    def accept_given_mask(instances: bool) -> Iterator[PlannedJob]:
        if instances:
            yield job("create_instances", files.instances.array, files.instances.metadata)
        for slab, shards in _slabs(scan, config):
            if instances:
                records = files.probability.record(slab), files.instances.record(slab)
                yield job("enter_instances", *records, slab=slab, beside=(classes + 1) * shards)
            else:
                yield job("enter_mask", files.probability.record(slab), slab=slab, beside=classes * shards)
        yield job("accept_mask", files.mask)

    def segment() -> Iterator[PlannedJob]:
        return accept_given_mask(scan.has_instances) if scan.own_mask else segment_by_model()

    def measure() -> Iterator[PlannedJob]:
        levels = ("low", "calibrated", "high")
        yield job("measure_domains", *map(files.objects_at, levels), *map(files.domains_at, levels))
        if config.objects.label_volume:
            yield job("write_label_volume", files.labels.metadata, beside=_label_files(scan, config))
        tables = files.profile, files.zones, files.breakpoints, files.correlation, files.sizes
        yield job("profile_depth", *tables)
        if config.measures_phase(scan.model, scan.has_substrate):
            yield job("measure_phase", files.phase, files.thickness)
        if scan.summarises_classes:
            yield job("summarise_classes", files.classes)
        yield job("compare_baselines", files.baselines)
        yield job("report_sample", files.report, files.provenance, files.tables)
        if config.keep == "minimal":
            yield job("discard_stores", files.discarded)

    return [*convert(), *find_substrate(), *segment(), *measure()]


def _slabs(scan: Scan, config: Config) -> list[tuple[str, int]]:
    """Return name and number of shards of each slab."""
    slices, shards = config.store.slab_slices, config.store.shard_slices
    return [
        (name, len(shard_bounds(*slab_bounds(name, scan.slices, slices), shards)))
        for name in slab_names(scan.slices, slices)
    ]


def _label_files(scan: Scan, config: Config) -> int:
    """Return the files of the pyramid of labels beside its metadata: shards and metadata of each level."""
    shard_slices = config.store.shard_slices
    return sum(math.ceil(nz / shard_slices) + 1 for nz, _, _ in level_shapes(scan.shape))
