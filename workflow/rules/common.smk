"""Configuration, sample sheet, and the functions by which rules find their inputs and size their jobs.

Nothing heavy is imported and no data file is opened here, because every cluster job parses this again.
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import snakemake

from snakemake.exceptions import WorkflowError

SCRIPTS = str(Path(workflow.current_basedir).parent / "scripts")
sys.path.insert(0, SCRIPTS)

from tomoprofile.config import UNetConfig, read_config
from tomoprofile.config_profile import OF_RESULTS
from tomoprofile.errors import TomoprofileError
from tomoprofile.layout import BundleLayout, Layout
from tomoprofile.run.claim import claimed, is_claimed_here, release
from tomoprofile.run.crate import write_crate
from tomoprofile.run.estimates import BYTES_PER_VOXEL
from tomoprofile.run.feasibility import check_run, require
from tomoprofile.run.record import begin_run, end_run
from tomoprofile.samples import read_samples
from tomoprofile.labels.classes import Classes, values_of
from tomoprofile.labels.files import find_label_files
from tomoprofile.segment.kinds import segmenter_of
from tomoprofile.run.status import read_status, status_text
from tomoprofile.run.waiting import (
    has_labels,
    highlighted,
    lacks_its_model,
    models_to_train,
    same_command,
    scans_that_wait,
    waiting_text,
)
from tomoprofile.volume.sources import content_of_files, state_of_slab
from tomoprofile.volume.slabs import neighbour_slabs, slab_bounds, slab_names

try:
    CONFIG = read_config(config, " + ".join(map(str, workflow.configfiles)))
    SCANS = {scan.sample: scan for scan in (read_samples(CONFIG.samples, CONFIG.models) if CONFIG.has_scans else ())}
except TomoprofileError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}") from None

# Every path below the results folder; params hold them as strings, in which Snakemake fills in wildcards.
LAYOUT = Layout(CONFIG.results)
SCAN = LAYOUT.scan("{sample}")
MODEL = LAYOUT.model("{model}")
AMPLIFY = LAYOUT.amplification("{model}")
SEGMENTERS = {sample: segmenter_of(scan, CONFIG) for sample, scan in SCANS.items()}


def scan_of(wildcards):
    """Return the row of the sample sheet."""
    return SCANS[wildcards.sample]


def files_of(wildcards):
    """Return where the files of a scan are."""
    return LAYOUT.scan(wildcards.sample)


def voxel_columns(wildcards):
    """Return the columns of the sheet that conversion depends on."""
    return scan_of(wildcards).voxels


def raw_columns(wildcards):
    """Return the columns of the sheet that a header holds."""
    return scan_of(wildcards).raw


def mask_voxel_columns(wildcards):
    """Return the columns of the sheet that entering a scan's own mask depends on."""
    return scan_of(wildcards).voxels | {"mask": scan_of(wildcards).mask}


def mask_columns(wildcards):
    """Return the columns of the sheet that say what a scan and its own mask are."""
    return scan_of(wildcards).raw | {"mask": scan_of(wildcards).mask}


def mask_classes(wildcards):
    """Return the classes of a scan's own mask, as plain values."""
    scan = scan_of(wildcards)
    classes = Classes.of_mask(scan.own_mask, CONFIG.models.get(scan.model))
    values = dict(zip(classes.names, classes.values))
    return {"values": values, "measure": list(classes.measured), "others": classes.others}


def any_of(samples):
    """Return a wildcard constraint: any of these names, or nothing at all when there are none."""
    return "|".join(re.escape(sample) for sample in samples) or r"(?!)"


def model_settings(wildcards):
    """Return the settings of the model that segments a scan on which its threshold depends."""
    return CONFIG.models[scan_of(wildcards).model].model_dump(mode="json", exclude=OF_RESULTS)


def training_settings(wildcards):
    """Return the settings of a model that training depends on."""
    return CONFIG.models[wildcards.model].model_dump(mode="json", exclude=OF_RESULTS | {"window"})


def settings_for_labels(model):
    """Return the settings of a model on which its training set depends."""
    settings = {"method", "classes", "measure", "other_values", "neighbours"}
    return CONFIG.models[model].model_dump(mode="json", include=settings)


def prediction_settings(wildcards):
    """Return the settings of the model of a scan that are not part of what it learned."""
    settings = {"method", "window", "bundle"}
    return CONFIG.models[scan_of(wildcards).model].model_dump(mode="json", include=settings)


def profile_settings(wildcards):
    """Return the settings of the profile of a scan, in which those of its model come first."""
    return CONFIG.profile_of(scan_of(wildcards).model).model_dump(mode="json")


def one_piece(wildcards):
    """Return the classes of a scan of which only the largest domain is kept."""
    model = CONFIG.models.get(scan_of(wildcards).model)
    return list(model.one_piece) if model else []


def phase_tables_of(sample):
    """Return the two tables of a scan's classes as phases, or nothing where they are not measured."""
    scan, files = SCANS[sample], LAYOUT.scan(sample)
    return [files.phase, files.thickness] if CONFIG.measures_phase(scan.model, scan.has_substrate) else []


def class_table_of(sample):
    """Return the table of a scan's classes as a whole, or nothing where it is not made."""
    return [LAYOUT.scan(sample).classes] if SCANS[sample].summarises_classes else []


def config_of_scan(wildcards):
    """Return the configuration as far as it concerns a scan: of all models its own one, and its profile."""
    name = scan_of(wildcards).model
    own = {one: model for one, model in CONFIG.models.items() if one == name}
    return CONFIG.model_copy(update={"models": own, "profile": CONFIG.profile_of(name)}).model_dump(mode="json")


def unless_kept(path):
    """Return an output that goes when its last reader is done, unless the configuration keeps everything."""
    return path if CONFIG.keep == "all" else temp(path)


def slabs_of(scan):
    """Return the names of all slabs of a scan."""
    return slab_names(scan.slices, CONFIG.store.slab_slices)


def slab_range(wildcards):
    """Return first slice and one past the last slice of the job's slab."""
    return list(slab_bounds(wildcards.slab, scan_of(wildcards).slices, CONFIG.store.slab_slices))


def unless_missing(path, made):
    """Return a user's file as input, or nothing when it is missing and so is what is made from it.

    A missing file is left to the check, which says what to do and does not stop other scans; one that was archived
    after its use does not cause a new computation. A folder is no input, because its time changes with any note that
    is left in it, and stays when a slice is replaced: the state of its files is a parameter.
    """
    return path if os.path.isfile(path) or (made.exists() and not os.path.isdir(path)) else []


def raw_scan(wildcards):
    """Return the raw scan as input, unless it is missing."""
    return unless_missing(scan_of(wildcards).path, files_of(wildcards).volume.record(wildcards.slab))


def raw_state(wildcards):
    """Return in which state the raw files of a slab are."""
    record = files_of(wildcards).volume.record(wildcards.slab)
    return state_of_slab(
        [scan_of(wildcards).path], *slab_range(wildcards), scan_of(wildcards).slice_axis, record, "raw"
    )


def own_mask(wildcards):
    """Return the images of a scan's own mask as input, unless they are missing."""
    entered = files_of(wildcards).probability.record(wildcards.slab)
    paths = [unless_missing(image.path, entered) for image in scan_of(wildcards).own_mask.images]
    return [path for path in paths if path]


def mask_state(wildcards):
    """Return in which state the files of a scan's own mask are that a slab depends on."""
    scan, record = scan_of(wildcards), files_of(wildcards).probability.record(wildcards.slab)
    paths = [image.path for image in scan.own_mask.images]
    return state_of_slab(paths, *slab_range(wildcards), scan.slice_axis, record, "mask")


def reference(wildcards):
    """Return the segmentation with which a scan's is compared, as input, unless it is missing."""
    scan = scan_of(wildcards)
    return unless_missing(scan.reference, files_of(wildcards).classes) if scan.reference else []


def class_values(wildcards):
    """Return the value of each measured class in images of all of them."""
    scan = scan_of(wildcards)
    return values_of(measured_classes(wildcards), CONFIG.models.get(scan.model))


def substrate_mask(wildcards):
    """Return a scan's mask of its substrate as input, unless it is missing."""
    return unless_missing(scan_of(wildcards).substrate_mask.path, files_of(wildcards).substrate_distance)


def substrate_state(wildcards):
    """Return in which state the files of a scan's mask of its substrate are; archived ones cause no new computation."""
    scan, made = scan_of(wildcards), files_of(wildcards).interface
    return state_of_slab([scan.substrate_mask.path], 0, scan.slices, scan.slice_axis, made, "mask_state")


def substrate_distances(wildcards):
    """Return the distances from a rough or curved surface, which belong to interface.json, or nothing for a plane."""
    scan = scan_of(wildcards)
    return files_of(wildcards).substrate_distance if scan.substrate_mask or scan.has_own_surface else []


def recorded_sample(wildcards):
    """Return where a scan without a substrate is sample, or nothing: beyond a substrate everything counts at first."""
    return [] if scan_of(wildcards).has_substrate else files_of(wildcards).resin


def whole_store(store, slabs):
    """Return all files of a store but its shards: what stands for it as input, so that a lost one is made again."""
    return [store.array, store.metadata, *(store.record(slab) for slab in slabs)]


def converted(wildcards):
    """Return the metadata of the store of grey values and the records of all its slabs."""
    return whole_store(files_of(wildcards).volume, slabs_of(scan_of(wildcards)))


def converted_around(wildcards):
    """Return the same for the slab and its neighbours alone, whose slices the network sees."""
    slabs = neighbour_slabs(wildcards.slab, scan_of(wildcards).slices, CONFIG.store.slab_slices)
    return whole_store(files_of(wildcards).volume, slabs)


def segmented(wildcards):
    """Return the records of all segmented slabs of a scan."""
    return [files_of(wildcards).probability.record(slab) for slab in slabs_of(scan_of(wildcards))]


def predicted(wildcards):
    """Return the metadata of the store of probability and the records of all its slabs."""
    return whole_store(files_of(wildcards).probability, slabs_of(scan_of(wildcards)))


def instances(wildcards):
    """Return the store of the objects that came with a scan, or nothing."""
    return str(files_of(wildcards).instances.path) if scan_of(wildcards).has_instances else ""


def entered_instances(wildcards):
    """Return its metadata and the records of all its slabs."""
    scan = scan_of(wildcards)
    return whole_store(files_of(wildcards).instances, slabs_of(scan)) if scan.has_instances else []


@cache
def waiting():
    """Return the scans that wait for labels, by name; only the process that plans a run asks for it."""
    return {scan.sample: scan for scan in scans_that_wait(SCANS.values(), CONFIG)}


def everything(_):
    """Return the files that a run makes; of scans that wait for labels, all that can be made without."""
    wanted = [] if waiting() or not SCANS else [LAYOUT.index]
    wanted += [LAYOUT.federation(run).evaluation for run in CONFIG.runs if not waiting()]
    for name, scan in SCANS.items():
        files = LAYOUT.scan(name)
        if name not in waiting():
            wanted += files.products
            wanted += [files.discarded] if CONFIG.keep == "minimal" else []
            wanted += [files.labels.metadata] if CONFIG.objects.label_volume else []
            wanted += phase_tables_of(name) + class_table_of(name)
        elif lacks_its_model(scan, LAYOUT):
            wanted += [files.check, *whole_store(files.volume, slabs_of(scan)), files.interface]
            wanted += [files.to_label.table] if scan.labels else []
    return wanted


def checks():
    """Return what the checks find: of every scan, and of the labels from which a model learns."""
    learning = [scan for scans in models_to_train(SCANS.values(), CONFIG).values() for scan in scans]
    of_labels = [LAYOUT.scan(scan.sample).label_check for scan in learning if has_labels(scan)]
    return [*(LAYOUT.scan(name).check for name in SCANS), *of_labels]


def needs_of(wildcards):
    """Return what the segmenter of a scan asks of the workflow."""
    return SEGMENTERS[wildcards.sample].needs


def measured_classes(wildcards):
    """Return the names of the classes that are measured; none of an earlier model that the check of the run refuses."""
    found = SEGMENTERS[wildcards.sample]
    return list(found.classes) if found.is_made_by_the_run or not found.faults() else []


def segmenter_path(wildcards):
    """Return what segments a scan: the folder of its model bundle, or the file of its threshold or its own mask."""
    return str(SEGMENTERS[wildcards.sample].path)


def segmenter(wildcards):
    """Return its file that stands for it as input; an earlier model that is missing is left to the check of the run."""
    found = SEGMENTERS[wildcards.sample]
    return found.file if found.is_made_by_the_run or found.file.exists() else []


def weights(wildcards):
    """Return the weights of its network as input, if it has one: lost ones are trained again."""
    found = SEGMENTERS[wildcards.sample]
    return found.weights if found.weights and (found.is_made_by_the_run or found.weights.exists()) else []


def given_mask(wildcards):
    """Return the file that says a scan's mask was given, or nothing when a model made it."""
    return files_of(wildcards).mask if scan_of(wildcards).mask else []


def appearance(wildcards):
    """Return the description of a scan's appearance, for rules that need it."""
    return files_of(wildcards).appearance if needs_of(wildcards).appearance else []


def uncertainty(wildcards):
    """Return the store of the uncertainty, or nothing where no flips are asked for."""
    return str(files_of(wildcards).uncertainty.path) if needs_of(wildcards).uncertainty else ""


def familiarity(wildcards):
    """Return how familiar a scan is to its model, where that is known."""
    return files_of(wildcards).familiarity if needs_of(wildcards).familiarity else []


def earlier_bundle(wildcards):
    """Return the folder of the earlier model that a scan's model is or begins with, or nothing."""
    return needs_of(wildcards).earlier


def earlier_metadata(wildcards):
    """Return the metadata of that earlier model as input; when it is missing, the check of the run says what to do."""
    bundle = earlier_bundle(wildcards)
    path = BundleLayout(bundle).metadata
    return path if bundle and path.exists() else []


def label_values(wildcards):
    """Return the value of each class in label files, or nothing for a model that learns from none."""
    return SEGMENTERS[wildcards.sample].model.classes if needs_of(wildcards).labels else {}


def shard_megavoxels(wildcards):
    """Return the voxels of one shard, in millions."""
    scan = scan_of(wildcards)
    return CONFIG.store.shard_slices * scan.rows * scan.columns / 1e6


def shard_mb(wildcards):
    """Return the size in memory of one shard of grey values, in megabytes."""
    return shard_megavoxels(wildcards) * BYTES_PER_VOXEL[scan_of(wildcards).stored_dtype]


def further_classes(wildcards):
    """Return how many classes are measured besides the first one."""
    return max(len(measured_classes(wildcards)) - 1, 0)


def shard_memory(base_mb, shards, for_each_further_class=0):
    """Return a resource function: ``base_mb`` plus so many shards of grey values, more with each attempt."""

    def megabytes(wildcards, attempt):
        every = shards + for_each_further_class * further_classes(wildcards)
        return int((base_mb + every * shard_mb(wildcards)) * 1.5 ** (attempt - 1))

    return megabytes


def shard_voxels_memory(base_mb, bytes_per_voxel, for_each_further_class=0):
    """Return a resource function: ``base_mb`` plus so many bytes for each voxel of a shard, more with each attempt."""

    def megabytes(wildcards, attempt):
        every = bytes_per_voxel + for_each_further_class * further_classes(wildcards)
        return int((base_mb + every * shard_megavoxels(wildcards)) * 1.5 ** (attempt - 1))

    return megabytes


def slab_minutes(base, gigavoxels_per_minute):
    """Return a resource function: minutes for one slab, more with each attempt."""

    def minutes(wildcards, attempt):
        start, stop = slab_range(wildcards)
        scan = scan_of(wildcards)
        return int(
            (base + (stop - start) * scan.rows * scan.columns / 1e9 / gigavoxels_per_minute) * 2 ** (attempt - 1)
        )

    return minutes


def scan_minutes(base, gigavoxels_per_minute):
    """Return a resource function: minutes for one scan, more with each attempt."""

    def minutes(wildcards, attempt):
        scan = scan_of(wildcards)
        voxels = scan.slices * scan.rows * scan.columns
        return int((base + voxels / 1e9 / gigavoxels_per_minute) * 2 ** (attempt - 1))

    return minutes


def while_claimed(execute):
    """Return Snakemake's way to execute a plan, made to claim the results folder first; a dry run writes nothing."""

    def claim_and_execute(executor_plugin, *arguments, **settings):
        executor = executor_plugin.common_settings
        if executor.dryrun_exec:
            return execute(executor_plugin, *arguments, **settings)
        try:
            with claimed(LAYOUT.results, Path.cwd(), on_cluster=not executor.local_exec):
                result = execute(executor_plugin, *arguments, **settings)
        except TomoprofileError as error:
            raise WorkflowError(f"Nothing was started.\n{error}") from None
        # Here, because Snakemake calls `onsuccess` only when there was something to do.
        print(f"\n{highlighted(closing_words())}\n", flush=True)
        return result

    return claim_and_execute


def closing_words():
    """Return what a person does next, after a run in which nothing failed."""
    left = [name for name in SCANS if not all(product.exists() for product in LAYOUT.scan(name).products)]
    if blocked := [scan for scan in waiting().values() if lacks_its_model(scan, LAYOUT)]:
        return waiting_text(blocked, LAYOUT, sys.argv)
    if not SCANS:
        return f"Done. How well each site was judged: {LAYOUT.results / 'federated'}"
    if left:
        return f"Done what was asked for. The whole way: {same_command(sys.argv)}"
    return f"Done. Open {LAYOUT.index}\n`tomoprofile status {LAYOUT.results}` shows what each scan took."


def after_release(unlock):
    """Return Snakemake's way to unlock a folder, made to release the claim on the results folder first."""

    def release_and_unlock():
        try:
            release(LAYOUT.results)
        except TomoprofileError as error:
            raise WorkflowError(f"Nothing was unlocked.\n{error}") from None
        unlock()

    return release_and_unlock


def write_index_of_unfinished_run():
    """Write the beamtime's page from existing results, in a process of its own: its libraries are heavy."""
    command = [sys.executable, "-m", "tomoprofile.cli", "index", CONFIG.results]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": SCRIPTS}, check=False)


def describe_for_archives(run):
    """Write the RO-Crate once every scan has its results; results are complete without it."""
    if not LAYOUT.index.exists() or not all(made.exists() for name in SCANS for made in LAYOUT.scan(name).products):
        return
    try:
        write_crate(run)
    except TomoprofileError as error:
        print(f"\nThe run is not described for archives:\n{error}\n", flush=True)
