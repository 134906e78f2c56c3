"""Stage 1: raw scans become OME-Zarr stores, sharded by whole slices; one job a slab."""


rule create_store:
    """Write the metadata of a scan's stores, which many jobs fill afterwards."""
    input:
        check=f"{RESULTS}/{{sample}}/check.tsv",
    output:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr/zarr.json",
        probability=f"{RESULTS}/{{sample}}/probability.ome.zarr/zarr.json",
    log:
        f"{RESULTS}/logs/create_store/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/create_store/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        scan=raw_columns,
        shard_slices=CONFIG.store.shard_slices,
        uncertainty=uncertainty,
        algorithm_version=1,
    script:
        "../scripts/create_store.py"


rule convert_slab:
    """Copy one slab of the raw scan, grey values unchanged."""
    input:
        raw=raw_scan,
        store=f"{RESULTS}/{{sample}}/volume.ome.zarr/zarr.json",
    output:
        record=f"{RESULTS}/{{sample}}/volume.ome.zarr/slabs/{{slab}}.json",
    log:
        f"{RESULTS}/logs/convert_slab/{{sample}}.{{slab}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/convert_slab/{{sample}}.{{slab}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(1000, 4),
        runtime=slab_minutes(10, 0.2),
    params:
        scan=raw_columns,
        slices=slab_range,
        shard_slices=CONFIG.store.shard_slices,
        algorithm_version=1,
    script:
        "../scripts/convert_slab.py"
