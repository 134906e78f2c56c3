"""Stage 3: where the substrate ends. Depends on the scan alone, so it runs beside segmentation."""


rule fit_interface:
    """Fit the plane between substrate and resin, from which depth is measured (P42), and find air beyond the resin."""
    input:
        slabs=converted,
    output:
        interface=ensure(f"{RESULTS}/{{sample}}/interface.json", non_empty=True),
        resin=ensure(f"{RESULTS}/{{sample}}/resin.npz", non_empty=True),
    log:
        f"{RESULTS}/logs/fit_interface/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_interface/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(1500, 6),
        runtime=scan_minutes(10, 0.5),
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        interface=lambda wildcards: scan_of(wildcards).interface,
        algorithm_version=2,
    script:
        "../scripts/fit_interface.py"


rule look_at_scan:
    """How the resin looks: scale of its grey values, contrast, rims, noise; seconds, whatever the size."""
    input:
        slabs=converted,
        interface=f"{RESULTS}/{{sample}}/interface.json",
    output:
        appearance=ensure(f"{RESULTS}/{{sample}}/appearance.json", non_empty=True),
    log:
        f"{RESULTS}/logs/look_at_scan/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/look_at_scan/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(2000, 2),
        runtime=15,
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        algorithm_version=1,
    script:
        "../scripts/look_at_scan.py"
