"""For comparison with the profile: what simple thresholds would have found."""


rule compare_baselines:
    """Segment one block of a scan by two simple thresholds and measure it in the same way as the scan's own segmentation."""
    input:
        converted=converted,
        predicted=predicted,
        segmenter=segmenter,
        interface=SCAN.interface,
        resin=SCAN.resin,
        distances=substrate_distances,
        profile=SCAN.profile,
        instances=entered_instances,
    output:
        table=ensure(SCAN.baselines, non_empty=True),
    log:
        LAYOUT.log("compare_baselines", "{sample}"),
    benchmark:
        LAYOUT.benchmark("compare_baselines", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # The block has at most 512^3 voxels for any size of scan: one shard of it, and what filling holes needs.
        mem_mb=lambda wildcards, attempt: int(4000 * 1.5 ** (attempt - 1)),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        volume=str(SCAN.volume.path),
        probability=str(SCAN.probability.path),
        instances=instances,
        segmenter=segmenter_path,
        objects=CONFIG.objects.model_dump(mode="json", exclude={"label_volume", "slurm_workers", "band"}),
        algorithm_version=4,
    script:
        "../scripts/compare_baselines.py"
