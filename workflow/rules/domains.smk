"""Stage 5: exact objects across slabs, and one row of measures per domain."""


rule measure_domains:
    """Find connected objects across slabs and measure them, at the calibrated level and at the two that bracket it."""
    input:
        converted=converted,
        predicted=predicted,
        segmenter=segmenter,
        interface=SCAN.interface,
        distances=substrate_distances,
        familiarity=familiarity,
        mask=given_mask,
        instances=entered_instances,
    output:
        objects_low=unless_kept(ensure(SCAN.objects_at("low"), non_empty=True)),
        objects_calibrated=unless_kept(ensure(SCAN.objects_at("calibrated"), non_empty=True)),
        objects_high=unless_kept(ensure(SCAN.objects_at("high"), non_empty=True)),
        low=unless_kept(ensure(SCAN.domains_at("low"), non_empty=True)),
        calibrated=ensure(SCAN.domains, non_empty=True),
        high=unless_kept(ensure(SCAN.domains_at("high"), non_empty=True)),
    log:
        LAYOUT.log("measure_domains", "{sample}"),
    benchmark:
        LAYOUT.benchmark("measure_domains", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=shard_memory(2000, 20, for_each_further_class=10),
        runtime=scan_minutes(10, 0.2),
        dask_jobs=CONFIG.objects.slurm_workers,
    params:
        volume=str(SCAN.volume.path),
        probability=str(SCAN.probability.path),
        instances=instances,
        segmenter=segmenter_path,
        workers=str(SCAN.measure_workers),
        # Neither a label volume nor the number of workers changes the tables.
        objects=CONFIG.objects.model_dump(mode="json", exclude={"label_volume", "slurm_workers"}),
        one_piece=one_piece,
        algorithm_version=6,
    script:
        "../scripts/measure_domains.py"


rule summarise_classes:
    """Put all domains of a class together, in the space of the scan's file, and compare them with a reference."""
    input:
        described=SCAN.volume.metadata,
        objects=SCAN.objects_at("calibrated"),
        domains=SCAN.domains,
        reference=reference,
    output:
        classes=ensure(SCAN.classes, non_empty=True),
    log:
        LAYOUT.log("summarise_classes", "{sample}"),
    benchmark:
        LAYOUT.benchmark("summarise_classes", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        # Of a reference a shard of it, and distances in the box around a class.
        mem_mb=lambda wildcards, attempt: (
            shard_voxels_memory(4000 if scan_of(wildcards).reference else 1000, 8)(wildcards, attempt)
        ),
        runtime=scan_minutes(10, 0.2),
    params:
        scan=lambda wildcards: scan_of(wildcards).raw | {"reference": scan_of(wildcards).reference},
        values=class_values,
        algorithm_version=1,
    script:
        "../scripts/summarise_classes.py"
