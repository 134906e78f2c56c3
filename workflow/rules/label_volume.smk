"""Domains as voxels, for viewers; nothing is computed from them."""


rule write_label_volume:
    """Paint the domains at the calibrated level into an OME-Zarr pyramid for viewers."""
    input:
        objects=SCAN.objects_at("calibrated"),
    output:
        store=ensure(SCAN.labels.metadata, non_empty=True),
    log:
        LAYOUT.log("write_label_volume", "{sample}"),
    benchmark:
        LAYOUT.benchmark("write_label_volume", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # Four shards of labels, at four bytes per voxel whatever the type of the grey values.
        mem_mb=shard_voxels_memory(1500, 16),
        runtime=scan_minutes(10, 1),
    params:
        shard_slices=CONFIG.store.shard_slices,
        algorithm_version=1,
    script:
        "../scripts/write_label_volume.py"
