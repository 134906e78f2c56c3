"""Stage 7: the pages people open."""


rule report_sample:
    """Write the self-contained page of a scan, and its tables as CSV in a zip."""
    input:
        low=SCAN.objects_at("low"),
        calibrated=SCAN.objects_at("calibrated"),
        high=SCAN.objects_at("high"),
        domains=SCAN.domains,
        profile=SCAN.profile,
        zones=SCAN.zones,
        breakpoints=SCAN.breakpoints,
        correlation=SCAN.correlation,
        sizes=SCAN.sizes,
        interface=SCAN.interface,
        baselines=SCAN.baselines,
        phase=lambda wildcards: (phase_tables_of(wildcards.sample) or [[]])[0],
        thickness=lambda wildcards: (phase_tables_of(wildcards.sample) or [[]])[-1],
        distances=substrate_distances,
        segmenter=segmenter,
        familiarity=familiarity,
        converted=converted,
        predicted=predicted,
        classes=lambda wildcards: (class_table_of(wildcards.sample) or [[]])[0],
        reference=reference,
    output:
        page=report(
            ensure(SCAN.report, non_empty=True),
            caption="../report/sample.rst",
            category="Scans",
            labels={"scan": "{sample}"},
        ),
        provenance=ensure(SCAN.provenance, non_empty=True),
        tables=ensure(SCAN.tables, non_empty=True),
    log:
        LAYOUT.log("report_sample", "{sample}"),
    benchmark:
        LAYOUT.benchmark("report_sample", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(2000, 4),
        runtime=20,
    params:
        volume=str(SCAN.volume.path),
        probability=str(SCAN.probability.path),
        segmenter=segmenter_path,
        scan=lambda wildcards: scan_of(wildcards).model_dump(mode="json", exclude={"role", "group", "time_h"}),
        values=class_values,
        config=config_of_scan,
        words=lambda wildcards: CONFIG.words_of(scan_of(wildcards).model).model_dump(),
        algorithm_version=7,
    script:
        "../scripts/report_sample.py"


rule discard_stores:
    """Remove the stores of a finished scan; only with `keep: minimal`."""
    input:
        page=SCAN.report,
        converted=converted,
        predicted=predicted,
    output:
        record=SCAN.discarded,
    log:
        LAYOUT.log("discard_stores", "{sample}"),
    benchmark:
        LAYOUT.benchmark("discard_stores", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        volume=str(SCAN.volume.path),
        probability=str(SCAN.probability.path),
        uncertainty=uncertainty,
        instances=instances,
        algorithm_version=1,
    script:
        "../scripts/discard_stores.py"


rule report_beamtime:
    """Write the page of the beamtime: every scan side by side, faults first, with groups and series compared."""
    input:
        checks=lambda _: checks(),
        zones=expand(SCAN.zones, sample=SCANS),
        profiles=expand(SCAN.profile, sample=SCANS),
        interfaces=expand(SCAN.interface, sample=SCANS),
        reports=expand(SCAN.report, sample=SCANS),
    output:
        page=report(
            ensure(LAYOUT.index, non_empty=True),
            caption="../report/beamtime.rst",
            category="Beamtime",
        ),
        comparison=ensure(LAYOUT.comparison, non_empty=True),
    log:
        LAYOUT.log("report_beamtime"),
    benchmark:
        LAYOUT.benchmark("report_beamtime")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        scans=[
            scan.model_dump(mode="json", exclude={"interface", "labels", "role", "reference"})
            for scan in SCANS.values()
        ],
        segmenters=[str(SEGMENTERS[sample].path) for sample in SCANS],
        words=[CONFIG.words_of(scan.model).model_dump() for scan in SCANS.values()],
        title=CONFIG.report.title,
        algorithm_version=4,
    script:
        "../scripts/report_beamtime.py"
