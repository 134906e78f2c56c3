"""Stage 3: where the substrate ends. This depends on the scan alone, so it runs beside segmentation."""


rule fit_interface:
    """Fit the plane between substrate and resin, from which depth is measured, and find the air beyond the resin."""
    input:
        slabs=converted,
    output:
        interface=ensure(SCAN.interface, non_empty=True),
        resin=ensure(SCAN.resin, non_empty=True),
    log:
        LAYOUT.log("fit_interface", "{sample}"),
    benchmark:
        LAYOUT.benchmark("fit_interface", "{sample}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if scan.has_substrate and not scan.substrate_mask),
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(1500, 6),
        runtime=scan_minutes(10, 0.5),
    params:
        volume=str(SCAN.volume.path),
        interface=lambda wildcards: scan_of(wildcards).interface,
        algorithm_version=2,
    script:
        "../scripts/fit_interface.py"


rule find_sample:
    """Find the air around a sample without a substrate, and what was not reconstructed."""
    input:
        slabs=converted,
    output:
        interface=ensure(SCAN.interface, non_empty=True),
        resin=ensure(SCAN.resin, non_empty=True),
    log:
        LAYOUT.log("find_sample", "{sample}"),
    benchmark:
        LAYOUT.benchmark("find_sample", "{sample}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if not (scan.has_substrate or scan.has_own_surface)),
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(1500, 3),
        runtime=scan_minutes(10, 0.5),
    params:
        volume=str(SCAN.volume.path),
        interface=lambda wildcards: scan_of(wildcards).interface,
        algorithm_version=1,
    script:
        "../scripts/find_sample.py"


rule find_surface:
    """Find the outer surface of a sample that air surrounds, and the distance from it everywhere."""
    input:
        slabs=converted,
    output:
        interface=ensure(SCAN.interface, non_empty=True),
        distances=ensure(SCAN.substrate_distance, non_empty=True),
        resin=ensure(SCAN.resin, non_empty=True),
    log:
        LAYOUT.log("find_surface", "{sample}"),
    benchmark:
        LAYOUT.benchmark("find_surface", "{sample}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if scan.has_own_surface),
    # A sample that fills the scan shows no surface: retrying cannot help.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(2500, 3),
        runtime=scan_minutes(10, 0.5),
    params:
        volume=str(SCAN.volume.path),
        algorithm_version=1,
    script:
        "../scripts/find_surface.py"


rule enter_substrate:
    """Find the surface of a rough or curved substrate in a mask of it, and the distance from it everywhere."""
    input:
        slabs=converted,
        mask=substrate_mask,
    output:
        interface=ensure(SCAN.interface, non_empty=True),
        distances=ensure(SCAN.substrate_distance, non_empty=True),
        resin=ensure(SCAN.resin, non_empty=True),
    log:
        LAYOUT.log("enter_substrate", "{sample}"),
    benchmark:
        LAYOUT.benchmark("enter_substrate", "{sample}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if scan.substrate_mask),
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # 32 slices of the mask at a time as 32-bit values, and their sums.
        mem_mb=shard_voxels_memory(3000, 24),
        runtime=scan_minutes(20, 0.2),
    params:
        volume=str(SCAN.volume.path),
        scan=lambda wildcards: scan_of(wildcards).raw | {"interface": scan_of(wildcards).interface},
        mask=substrate_state,
        algorithm_version=1,
    script:
        "../scripts/enter_substrate.py"


rule look_at_scan:
    """Describe how the resin looks: scale of its grey values, contrast, rims and noise. Takes seconds for any size."""
    input:
        slabs=converted,
        interface=SCAN.interface,
        distances=substrate_distances,
        sample=recorded_sample,
    output:
        appearance=ensure(SCAN.appearance, non_empty=True),
    log:
        LAYOUT.log("look_at_scan", "{sample}"),
    benchmark:
        LAYOUT.benchmark("look_at_scan", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(2000, 2),
        runtime=15,
    params:
        volume=str(SCAN.volume.path),
        algorithm_version=1,
    script:
        "../scripts/look_at_scan.py"
