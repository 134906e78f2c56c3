"""Stage 7: the pages people open."""


rule report_sample:
    """One self-contained page for a scan: headline, pictures, profile, zones (P19, P28, P29)."""
    input:
        low=f"{RESULTS}/{{sample}}/objects/low.parquet",
        calibrated=f"{RESULTS}/{{sample}}/objects/calibrated.parquet",
        high=f"{RESULTS}/{{sample}}/objects/high.parquet",
        domains=f"{RESULTS}/{{sample}}/domains.parquet",
        profile=f"{RESULTS}/{{sample}}/profile.parquet",
        zones=f"{RESULTS}/{{sample}}/zones.parquet",
        breakpoints=f"{RESULTS}/{{sample}}/breakpoints.parquet",
        correlation=f"{RESULTS}/{{sample}}/correlation.parquet",
        sizes=f"{RESULTS}/{{sample}}/sizes.parquet",
        interface=f"{RESULTS}/{{sample}}/interface.json",
        baselines=f"{RESULTS}/{{sample}}/baselines.parquet",
        distances=substrate_distances,
        segmenter=segmenter,
        familiarity=familiarity,
        converted=converted,
        predicted=predicted,
    output:
        page=report(
            ensure(f"{RESULTS}/{{sample}}/report.html", non_empty=True),
            caption="../report/sample.rst",
            category="Scans",
            labels={"scan": "{sample}"},
        ),
        provenance=ensure(f"{RESULTS}/{{sample}}/provenance.json", non_empty=True),
    log:
        f"{RESULTS}/logs/report_sample/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_sample/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(2000, 4),
        runtime=20,
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        probability=f"{RESULTS}/{{sample}}/probability.ome.zarr",
        segmenter=segmenter_path,
        scan=lambda wildcards: scan_of(wildcards).model_dump(mode="json", exclude={"group", "time_h"}),
        config=CONFIG.model_dump(mode="json"),
        algorithm_version=3,
    script:
        "../scripts/report_sample.py"


rule discard_stores:
    """Remove the stores of a finished scan: only with `keep: minimal`."""
    input:
        page=f"{RESULTS}/{{sample}}/report.html",
        converted=converted,
        predicted=predicted,
    output:
        record=f"{RESULTS}/{{sample}}/discarded.json",
    log:
        f"{RESULTS}/logs/discard_stores/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/discard_stores/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        probability=f"{RESULTS}/{{sample}}/probability.ome.zarr",
        uncertainty=uncertainty,
        instances=instances,
        algorithm_version=1,
    script:
        "../scripts/discard_stores.py"


rule report_beamtime:
    """Every scan side by side, faults first; groups and series compared (P40)."""
    input:
        checks=expand(f"{RESULTS}/{{sample}}/check.tsv", sample=SCANS),
        zones=expand(f"{RESULTS}/{{sample}}/zones.parquet", sample=SCANS),
        profiles=expand(f"{RESULTS}/{{sample}}/profile.parquet", sample=SCANS),
        interfaces=expand(f"{RESULTS}/{{sample}}/interface.json", sample=SCANS),
        reports=expand(f"{RESULTS}/{{sample}}/report.html", sample=SCANS),
    output:
        page=report(
            ensure(f"{RESULTS}/index.html", non_empty=True),
            caption="../report/beamtime.rst",
            category="Beamtime",
        ),
        comparison=ensure(f"{RESULTS}/comparison.parquet", non_empty=True),
    log:
        f"{RESULTS}/logs/report_beamtime.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_beamtime.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        scans=[scan.model_dump(mode="json", exclude={"interface", "labels"}) for scan in SCANS.values()],
        segmenters=[str(SEGMENTERS[sample].path) for sample in SCANS],
        title=CONFIG.report.title,
        algorithm_version=2,
    script:
        "../scripts/report_beamtime.py"
