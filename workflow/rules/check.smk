"""Stage 0: open every input and tell every fault before anything is computed."""


rule check_inputs:
    """Check configuration, sheet, scans, labels, models and disk; all faults at once."""
    input:
        sheet=CONFIG.samples,
    output:
        table=ensure(f"{RESULTS}/check.tsv", non_empty=True),
    log:
        f"{RESULTS}/logs/check_inputs.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_inputs.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        config=CONFIG.model_dump(mode="json", include={"samples", "results", "store", "models"}),
        algorithm_version=1,
    script:
        "../scripts/check_inputs.py"
