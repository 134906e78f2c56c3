"""Stage 1: raw scans become OME-Zarr stores, sharded by whole slices; one job per slab."""


rule create_store:
    """Write the layout of the store of grey values, which later jobs fill."""
    input:
        check=SCAN.check,
    output:
        array=SCAN.volume.array,
    log:
        LAYOUT.log("create_store", "{sample}"),
    benchmark:
        LAYOUT.benchmark("create_store", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        scan=voxel_columns,
        shard_slices=CONFIG.store.shard_slices,
        algorithm_version=3,
    script:
        "../scripts/create_store.py"


rule describe_store:
    """Write voxel size and meaning of the grey values, on which no converted slab depends."""
    input:
        array=SCAN.volume.array,
    output:
        metadata=SCAN.volume.metadata,
    log:
        LAYOUT.log("describe_store", "{sample}"),
    benchmark:
        LAYOUT.benchmark("describe_store", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        scan=raw_columns,
        algorithm_version=1,
    script:
        "../scripts/describe_store.py"


rule convert_slab:
    """Copy one slab of the raw scan without changing its grey values."""
    input:
        raw=raw_scan,
        store=SCAN.volume.array,
    output:
        record=SCAN.volume.record("{slab}"),
    log:
        LAYOUT.log("convert_slab", "{sample}", "{slab}"),
    benchmark:
        LAYOUT.benchmark("convert_slab", "{sample}", "{slab}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(1000, 4),
        runtime=slab_minutes(10, 0.2),
    params:
        scan=voxel_columns,
        slices=slab_range,
        shard_slices=CONFIG.store.shard_slices,
        raw=raw_state,
        algorithm_version=1,
    script:
        "../scripts/convert_slab.py"
