"""Beside the profile: what simple thresholds would have found."""


rule compare_baselines:
    """Segment one block of a scan by two thresholds and measure it as the scan's own segmentation (P21)."""
    input:
        converted=converted,
        predicted=predicted,
        segmenter=segmenter,
        interface=f"{RESULTS}/{{sample}}/interface.json",
        resin=f"{RESULTS}/{{sample}}/resin.npz",
        distances=substrate_distances,
        instances=entered_instances,
    output:
        table=ensure(f"{RESULTS}/{{sample}}/baselines.parquet", non_empty=True),
    log:
        f"{RESULTS}/logs/compare_baselines/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_baselines/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # The block has at most 512^3 voxels, whatever the scan has; a shard of it with what filling holes needs.
        mem_mb=lambda wildcards, attempt: int(4000 * 1.5 ** (attempt - 1)),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        probability=f"{RESULTS}/{{sample}}/probability.ome.zarr",
        instances=instances,
        segmenter=segmenter_path,
        profile=CONFIG.profile.model_dump(mode="json", include={"bin_um", "guard_um", "field_of_view", "zones"}),
        objects=CONFIG.objects.model_dump(mode="json", exclude={"label_volume", "slurm_workers", "band"}),
        algorithm_version=1,
    script:
        "../scripts/compare_baselines.py"
