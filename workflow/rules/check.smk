"""Stage 0: open every input and report every fault before anything is computed.

What concerns the run as a whole is checked even earlier: see `onstart` in the Snakefile.
"""


rule check_inputs:
    """Check a scan and report all faults at once; check_labels does so with its labels, whenever they change."""
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


rule check_labels:
    """Check the labels of a scan, also against its grey values, whenever they change."""
    output:
        table=ensure(SCAN.label_check, non_empty=True),
    log:
        LAYOUT.log("check_labels", "{sample}"),
    benchmark:
        LAYOUT.benchmark("check_labels", "{sample}")
    # Retrying cannot help: labels are wrong until a person corrects them.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        scan=lambda wildcards: scan_of(wildcards).voxels | {"labels": scan_of(wildcards).labels},
        model=lambda wildcards: settings_for_labels(scan_of(wildcards).model),
        labels=lambda wildcards: content_of_files(label_files_of(scan_of(wildcards))),
        algorithm_version=2,
    script:
        "../scripts/check_labels.py"
