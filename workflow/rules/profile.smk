"""Stage 6: what changes with distance from the substrate."""


rule profile_depth:
    """Compute profile, zones, breakpoints, sizes and correlation against depth, with confidence intervals."""
    input:
        low=SCAN.objects_at("low"),
        calibrated=SCAN.objects_at("calibrated"),
        high=SCAN.objects_at("high"),
        low_domains=SCAN.domains_at("low"),
        domains=SCAN.domains,
        high_domains=SCAN.domains_at("high"),
        interface=SCAN.interface,
        distances=substrate_distances,
        resin=SCAN.resin,
        familiarity=familiarity,
        mask=given_mask,
    output:
        profile=ensure(SCAN.profile, non_empty=True),
        zones=ensure(SCAN.zones, non_empty=True),
        breakpoints=ensure(SCAN.breakpoints, non_empty=True),
        correlation=ensure(SCAN.correlation, non_empty=True),
        sizes=ensure(SCAN.sizes, non_empty=True),
    log:
        LAYOUT.log("profile_depth", "{sample}"),
    benchmark:
        LAYOUT.benchmark("profile_depth", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 4
    resources:
        mem_mb=shard_memory(2500, 8),
        runtime=scan_minutes(10, 0.5),
        dask_jobs=CONFIG.objects.slurm_workers,
    params:
        profile=profile_settings,
        seed=CONFIG.seed,
        workers=str(SCAN.profile_workers),
        algorithm_version=6,
    script:
        "../scripts/profile_depth.py"
