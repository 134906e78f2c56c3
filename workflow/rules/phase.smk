"""Stage 6, too: each class as one phase, where single objects make no sense."""


rule measure_phase:
    """Measure surface, Euler number, thickness and anisotropy of each class as a whole and by zone."""
    input:
        predicted=predicted,
        segmenter=segmenter,
        interface=SCAN.interface,
        distances=substrate_distances,
        resin=SCAN.resin,
        profile=SCAN.profile,
        mask=given_mask,
    output:
        phase=ensure(SCAN.phase, non_empty=True),
        thickness=ensure(SCAN.thickness, non_empty=True),
    log:
        LAYOUT.log("measure_phase", "{sample}"),
    benchmark:
        LAYOUT.benchmark("measure_phase", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        # For each of two processes 64 slices and those around them, whatever the shards: about 800 bytes a column.
        mem_mb=lambda wildcards, attempt: int(
            (3000 + 1600 * scan_of(wildcards).rows * scan_of(wildcards).columns / 1e6) * 1.5 ** (attempt - 1)
        ),
        runtime=scan_minutes(20, 0.15),
        dask_jobs=CONFIG.objects.slurm_workers,
    params:
        probability=str(SCAN.probability.path),
        segmenter=segmenter_path,
        workers=str(SCAN.phase_workers),
        connectivity=CONFIG.objects.connectivity,
        band=list(CONFIG.objects.band),
        seed=CONFIG.seed,
        algorithm_version=2,
    script:
        "../scripts/measure_phase.py"
