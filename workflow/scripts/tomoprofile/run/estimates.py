"""What a run will need, estimated before it begins: disk, files, GPU minutes and core hours of scans and models.

Rates are floors measured on one core of a 2-core virtual machine (Zen 4), rounded down; a run reports its own
afterwards (``tomoprofile status``). The GPU rate is assumed, not measured: any recent data-centre GPU exceeds it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..config import Config
from ..samples import Scan
from ..segment.kinds import segmenter_of
from .plan import planned_jobs

KEEPS = ("minimal", "standard", "all")
BYTES_PER_VOXEL = {"uint8": 1, "uint16": 2, "int16": 2, "float32": 4}
# Bytes per voxel, rounded up from a simulated scan: probability 0.07, objects and band 0.14, tables 0.04, labels 0.034,
# given objects 0.05.
_PROBABILITY, _OBJECTS, _TABLES, _LABELS, _INSTANCES, _REPORT_BYTES = 0.25, 0.25, 0.05, 0.05, 0.25, 6e6
_JOB_CORE_SECONDS = 7  # two Snakemake processes and the imports
# Per core-second.
_CONVERT_BYTES, _OBJECT_VOXELS, _LABEL_VOXELS, _PHASE_VOXELS = 100e6, 7e6, 70e6, 1e6
_MOST_BASELINE_VOXELS = 512**3
_BASELINE_VOXELS = 2e6  # of the block on which thresholds are compared
_GPU_SPEEDUP = 100  # a GPU against one core: 10 TFLOP/s sustained against 0.1
_THREADS = 8  # of a training
_CHAIN_SECONDS = 90.0  # the jobs of one scan that wait for each other, however many cores there are


@dataclass(frozen=True)
class Needs:
    """What one scan needs.

    Attributes
    ----------
    bytes_kept : dict
        Disk in bytes afterwards, for each choice of ``keep``; ``all`` is also the need during the run.
        Volumes are counted uncompressed; compressed they take about three quarters of that.
    files : int
        Files of the scan, logs and Snakemake's own records included, before any is removed; shards of zeros have none.
    gpu_minutes : float
        0 for threshold methods and for scans with a mask of their own.
    core_hours, core_hours_without_gpu : float
        CPU time, with a GPU and without one.
    """

    bytes_kept: dict[str, float]
    files: int
    gpu_minutes: float
    core_hours: float
    core_hours_without_gpu: float


def needs_of(scan: Scan, config: Config) -> Needs:
    """Return what a scan will need."""
    voxels = float(math.prod(scan.shape))
    raw = voxels * BYTES_PER_VOXEL[scan.stored_dtype]
    painted = voxels if config.objects.label_volume else 0.0
    segmenter = segmenter_of(scan, config)
    measured = voxels * len(segmenter.classes)  # each class is stored and measured separately
    tables = measured * _TABLES + painted * _LABELS + _REPORT_BYTES
    stores = raw + measured * _PROBABILITY * (2 if segmenter.needs.uncertainty else 1)
    if scan.has_instances:
        stores += voxels * _INSTANCES
    jobs = planned_jobs(scan, config)
    core = len(jobs) * _JOB_CORE_SECONDS + raw / _CONVERT_BYTES + measured / _OBJECT_VOXELS + painted / _LABEL_VOXELS
    core += measured / _PHASE_VOXELS if config.measures_phase(scan.model, scan.has_substrate) else 0.0
    core += min(voxels, _MOST_BASELINE_VOXELS) / _BASELINE_VOXELS
    core += voxels * segmenter.cost.cores
    network = voxels * segmenter.cost.network
    return Needs(
        bytes_kept={"minimal": tables, "standard": stores + tables, "all": stores + tables + measured * _OBJECTS},
        files=sum(job.files for job in jobs),
        gpu_minutes=network / _GPU_SPEEDUP / 60,
        core_hours=core / 3600,
        core_hours_without_gpu=(core + network) / 3600,
    )


@dataclass(frozen=True)
class Total:
    """What several scans need together with the training of their models.

    Attributes
    ----------
    bytes_kept, files
        As for one scan, added up.
    models : int
        How many are trained.
    gpu_minutes, core_hours, core_hours_without_gpu : float
        Training included.
    seconds_here : float
        How long it takes on the cores of this machine, without a GPU.
    """

    bytes_kept: dict[str, float]
    files: int
    models: int
    gpu_minutes: float
    core_hours: float
    core_hours_without_gpu: float
    seconds_here: float


def total_needs(scans: Iterable[Scan], config: Config, with_training: bool = True) -> Total:
    """Return what scans need together, with or without the training of their models."""
    scans = list(scans)
    needs = [needs_of(scan, config) for scan in scans]
    segmenters = {found.name: found for found in (segmenter_of(scan, config) for scan in scans) if found.cost.training}
    training = sum(found.cost.training for found in segmenters.values()) if with_training else 0.0
    hours = sum(need.core_hours_without_gpu for need in needs) + training / 3600
    longest = max((found.cost.training for found in segmenters.values()), default=0.0) if training else 0.0
    cores = cores_here()
    return Total(
        bytes_kept={keep: sum(need.bytes_kept[keep] for need in needs) for keep in KEEPS},
        files=sum(need.files for need in needs),
        models=len(segmenters) if with_training else 0,
        gpu_minutes=sum(need.gpu_minutes for need in needs) + training / _GPU_SPEEDUP / 60,
        core_hours=sum(need.core_hours for need in needs),
        core_hours_without_gpu=hours,
        seconds_here=max(hours * 3600 / cores, longest / min(cores, _THREADS) + _CHAIN_SECONDS),
    )


def cores_here() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
