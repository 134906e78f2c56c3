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
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if not scan.substrate_mask),
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


rule enter_substrate:
    """Find the surface of a rough or curved substrate in a mask of it, and the distance of every place from it."""
    input:
        slabs=converted,
        mask=substrate_mask,
    output:
        interface=ensure(f"{RESULTS}/{{sample}}/interface.json", non_empty=True),
        distances=ensure(f"{RESULTS}/{{sample}}/substrate_distance.npy", non_empty=True),
        resin=ensure(f"{RESULTS}/{{sample}}/resin.npz", non_empty=True),
    log:
        f"{RESULTS}/logs/enter_substrate/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/enter_substrate/{{sample}}.tsv"
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if scan.substrate_mask),
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # Parts of 32 slices of the mask as 32-bit values, and their sums.
        mem_mb=shard_voxels_memory(3000, 24),
        runtime=scan_minutes(20, 0.2),
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        scan=lambda wildcards: scan_of(wildcards).raw | {"interface": scan_of(wildcards).interface},
        algorithm_version=1,
    script:
        "../scripts/enter_substrate.py"


rule look_at_scan:
    """How the resin looks: scale of its grey values, contrast, rims, noise; seconds, whatever the size."""
    input:
        slabs=converted,
        interface=f"{RESULTS}/{{sample}}/interface.json",
        distances=substrate_distances,
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
