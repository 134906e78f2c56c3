"""Stage 0: open every input and tell every fault before anything is computed.

What concerns the run as a whole is looked at even before: see `onstart` in the Snakefile.
"""


rule check_inputs:
    """Check a scan and its labels; all faults at once. It is done again when what conversion depends on has changed."""
    output:
        table=ensure(SCAN.check, non_empty=True),
    log:
        LAYOUT.log("check_inputs", "{sample}"),
    benchmark:
        LAYOUT.benchmark("check_inputs", "{sample}")
    # What is wrong is so the second time, too.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        scan=raw_columns,
        algorithm_version=1,
    script:
        "../scripts/check_inputs.py"
