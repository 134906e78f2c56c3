"""Stage 4 for scans with a given mask: no model, no labels, no network; one job per slab."""


rule create_instances:
    """Write the metadata of the store for given objects."""
    input:
        described=SCAN.volume.metadata,
    output:
        array=SCAN.instances.array,
        metadata=SCAN.instances.metadata,
    log:
        LAYOUT.log("create_instances", "{sample}"),
    benchmark:
        LAYOUT.benchmark("create_instances", "{sample}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if scan.has_instances),
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        scan=mask_columns,
        shard_slices=CONFIG.store.shard_slices,
        algorithm_version=2,
    script:
        "../scripts/create_instances.py"


rule enter_mask:
    """Write one slab of a given mask or map of classes as probabilities of 0 or 1."""
    input:
        mask=own_mask,
        store=SCAN.probability.array,
    output:
        record=SCAN.probability.record("{slab}"),
    log:
        LAYOUT.log("enter_mask", "{sample}", "{slab}"),
    benchmark:
        LAYOUT.benchmark("enter_mask", "{sample}", "{slab}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if scan.mask and not scan.has_instances),
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # The shard twice as 16-bit values, as most files hold it, and once as each class is written.
        mem_mb=shard_voxels_memory(1000, 6, for_each_further_class=1),
        runtime=slab_minutes(10, 0.5),
    params:
        scan=mask_voxel_columns,
        classes=mask_classes,
        mask=mask_state,
        slices=slab_range,
        shard_slices=CONFIG.store.shard_slices,
        algorithm_version=2,
    script:
        "../scripts/enter_mask.py"


rule enter_instances:
    """Write one slab of a given label volume: its objects as they are, and as probabilities of 0 or 1."""
    input:
        mask=own_mask,
        store=SCAN.probability.array,
        instances=SCAN.instances.array,
    output:
        record=SCAN.probability.record("{slab}"),
        instances=SCAN.instances.record("{slab}"),
    log:
        LAYOUT.log("enter_instances", "{sample}", "{slab}"),
    benchmark:
        LAYOUT.benchmark("enter_instances", "{sample}", "{slab}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if scan.has_instances),
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # The shard twice as 32-bit values, a map of classes, and all as they are written.
        mem_mb=shard_voxels_memory(1000, 18, for_each_further_class=1),
        runtime=slab_minutes(10, 0.5),
    params:
        scan=mask_voxel_columns,
        classes=mask_classes,
        mask=mask_state,
        slices=slab_range,
        shard_slices=CONFIG.store.shard_slices,
        algorithm_version=2,
    script:
        "../scripts/enter_instances.py"


rule accept_mask:
    """Accept a given mask once all its slabs agree on which value is foreground."""
    input:
        slabs=segmented,
    output:
        mask=ensure(SCAN.mask, non_empty=True),
    log:
        LAYOUT.log("accept_mask", "{sample}"),
    benchmark:
        LAYOUT.benchmark("accept_mask", "{sample}")
    # Retrying cannot help.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        scan=mask_columns,
        algorithm_version=2,
    script:
        "../scripts/accept_mask.py"
