"""Stage 0: open every input and report every fault before anything is computed.

What concerns the run as a whole is checked even earlier: see `onstart` in the Snakefile.
"""


rule check_inputs:
    """Check a scan and its labels and report all faults at once."""
    output:
        table=ensure(SCAN.check, non_empty=True),
    log:
        LAYOUT.log("check_inputs", "{sample}"),
    benchmark:
        LAYOUT.benchmark("check_inputs", "{sample}")
    # Retrying cannot help.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        scan=voxel_columns,
        algorithm_version=1,
    script:
        "../scripts/check_inputs.py"
