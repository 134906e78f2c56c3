"""Stage 5: exact objects across slabs, and one row of measures for each domain."""


rule measure_domains:
    """Unite what touches, shard by shard in parallel, and measure it (P16); at the calibrated level and around it."""
    input:
        converted=converted,
        predicted=predicted,
        segmenter=segmenter,
        interface=f"{RESULTS}/{{sample}}/interface.json",
        distances=substrate_distances,
        familiarity=familiarity,
        mask=given_mask,
        instances=entered_instances,
    output:
        objects_low=unless_kept(ensure(f"{RESULTS}/{{sample}}/objects/low.parquet", non_empty=True)),
        objects_calibrated=unless_kept(ensure(f"{RESULTS}/{{sample}}/objects/calibrated.parquet", non_empty=True)),
        objects_high=unless_kept(ensure(f"{RESULTS}/{{sample}}/objects/high.parquet", non_empty=True)),
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
        dask_jobs=CONFIG.objects.slurm_workers,
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        probability=f"{RESULTS}/{{sample}}/probability.ome.zarr",
        instances=instances,
        segmenter=segmenter_path,
        workers=f"{RESULTS}/{{sample}}/objects/workers",
        # What is only for viewers, and who measures, must not measure again.
        objects=CONFIG.objects.model_dump(mode="json", exclude={"label_volume", "slurm_workers"}),
        algorithm_version=3,
    script:
        "../scripts/measure_domains.py"
