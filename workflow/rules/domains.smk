"""Stage 5: exact objects across slabs, and one row of measures for each domain."""


rule stitch_sample:
    """Unite what touches across slices, shards and slabs; at the calibrated level and the two that bracket it."""
    input:
        slabs=predicted,
        segmenter=segmenter,
    output:
        low=unless_kept(ensure(f"{RESULTS}/{{sample}}/objects/low.parquet", non_empty=True)),
        calibrated=unless_kept(ensure(f"{RESULTS}/{{sample}}/objects/calibrated.parquet", non_empty=True)),
        high=unless_kept(ensure(f"{RESULTS}/{{sample}}/objects/high.parquet", non_empty=True)),
    log:
        f"{RESULTS}/logs/stitch_sample/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/stitch_sample/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(2000, 6),
        runtime=scan_minutes(10, 0.2),
    params:
        probability=f"{RESULTS}/{{sample}}/probability.ome.zarr",
        segmenter=segmenter_path,
        objects=CONFIG.objects.model_dump(mode="json"),
        algorithm_version=1,
    script:
        "../scripts/stitch_sample.py"


rule measure_domains:
    """Add up sums over runs, shard by shard in parallel, and derive the table of domains (P16)."""
    input:
        low=f"{RESULTS}/{{sample}}/objects/low.parquet",
        calibrated=f"{RESULTS}/{{sample}}/objects/calibrated.parquet",
        high=f"{RESULTS}/{{sample}}/objects/high.parquet",
        converted=converted,
        predicted=predicted,
        interface=f"{RESULTS}/{{sample}}/interface.json",
        familiarity=familiarity,
    output:
        low=unless_kept(ensure(f"{RESULTS}/{{sample}}/band/low.parquet", non_empty=True)),
        calibrated=ensure(f"{RESULTS}/{{sample}}/domains.parquet", non_empty=True),
        high=unless_kept(ensure(f"{RESULTS}/{{sample}}/band/high.parquet", non_empty=True)),
    log:
        f"{RESULTS}/logs/measure_domains/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_domains/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=shard_memory(2000, 20),
        runtime=scan_minutes(10, 0.2),
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        probability=f"{RESULTS}/{{sample}}/probability.ome.zarr",
        algorithm_version=2,
    script:
        "../scripts/measure_domains.py"
