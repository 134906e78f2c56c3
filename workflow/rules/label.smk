"""Stage 2: propose slices to label, and collect the labelled ones."""


rule pick_slices:
    """Export slices to label: those that show most in every layer, or those an earlier model is least sure of."""
    input:
        slabs=converted,
        earlier=earlier_metadata,
        appearance=lambda wildcards: files_of(wildcards).appearance if earlier_bundle(wildcards) else [],
    output:
        table=ensure(SCAN.to_label.table, non_empty=True),
    log:
        LAYOUT.log("pick_slices", "{sample}"),
    benchmark:
        LAYOUT.benchmark("pick_slices", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(3000, 2),
        runtime=15,
    params:
        volume=str(SCAN.volume.path),
        slices=CONFIG.pick.slices,
        earlier=earlier_bundle,
        label_values=label_values,
        algorithm_version=3,
    script:
        "../scripts/pick_slices.py"


rule collect_labels:
    """Gather the labelled slices of a model's scans into one training set, in groups that can judge each other."""
    input:
        labels=label_files,
        slabs=labelled_stores,
        # Of scans without labels nothing is learned.
        appearances=lambda wildcards: [
            LAYOUT.scan(scan.sample).appearance for scan in labelled_scans(wildcards) if has_labels(scan)
        ],
        checks=lambda wildcards: [
            LAYOUT.scan(scan.sample).label_check for scan in labelled_scans(wildcards) if has_labels(scan)
        ],
        # Who labelled a scan needs no proposals for it.
        proposed=lambda wildcards: [
            LAYOUT.scan(scan.sample).to_label.table for scan in labelled_scans(wildcards) if not has_labels(scan)
        ],
    output:
        training_set=unless_kept(ensure(LAYOUT.training_set("{model}"), non_empty=True)),
    log:
        LAYOUT.log("collect_labels", "{model}"),
    benchmark:
        LAYOUT.benchmark("collect_labels", "{model}")
    # Retrying cannot help: labels are missing or wrong until a person corrects them.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=15,
    params:
        scans=labelled_rows,
        model=lambda wildcards: settings_for_labels(wildcards.model),
        labels=lambda wildcards: content_of_files(label_files(wildcards)),
        algorithm_version=3,
    script:
        "../scripts/collect_labels.py"
