"""Stage 6: what changes with the distance from the substrate."""


rule profile_depth:
    """Profile, zones, breaks, sizes and correlation against the depth, with intervals; slab by slab in parallel (P28)."""
    input:
        low=f"{RESULTS}/{{sample}}/objects/low.parquet",
        calibrated=f"{RESULTS}/{{sample}}/objects/calibrated.parquet",
        high=f"{RESULTS}/{{sample}}/objects/high.parquet",
        low_domains=f"{RESULTS}/{{sample}}/band/low.parquet",
        domains=f"{RESULTS}/{{sample}}/domains.parquet",
        high_domains=f"{RESULTS}/{{sample}}/band/high.parquet",
        interface=f"{RESULTS}/{{sample}}/interface.json",
        distances=substrate_distances,
        resin=f"{RESULTS}/{{sample}}/resin.npz",
        familiarity=familiarity,
        mask=given_mask,
    output:
        profile=ensure(f"{RESULTS}/{{sample}}/profile.parquet", non_empty=True),
        zones=ensure(f"{RESULTS}/{{sample}}/zones.parquet", non_empty=True),
        breakpoints=ensure(f"{RESULTS}/{{sample}}/breakpoints.parquet", non_empty=True),
        correlation=ensure(f"{RESULTS}/{{sample}}/correlation.parquet", non_empty=True),
        sizes=ensure(f"{RESULTS}/{{sample}}/sizes.parquet", non_empty=True),
    log:
        f"{RESULTS}/logs/profile_depth/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/profile_depth/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 4
    resources:
        mem_mb=shard_memory(2500, 8),
        runtime=scan_minutes(10, 0.5),
        dask_jobs=CONFIG.objects.slurm_workers,
    params:
        profile=CONFIG.profile.model_dump(mode="json"),
        seed=CONFIG.seed,
        workers=f"{RESULTS}/{{sample}}/profile_workers",
        algorithm_version=3,
    script:
        "../scripts/profile_depth.py"
