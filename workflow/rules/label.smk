"""Stage 2: propose slices to label, and collect what was labelled."""


rule pick_slices:
    """Export the slices that show most in every layer, or that an earlier model doubts most, for a person to label."""
    input:
        slabs=converted,
        earlier=earlier_metadata,
        appearance=lambda wildcards: (
            f"{RESULTS}/{wildcards.sample}/appearance.json" if earlier_bundle(wildcards) else []
        ),
    output:
        table=ensure(f"{RESULTS}/{{sample}}/to_label/slices.tsv", non_empty=True),
    log:
        f"{RESULTS}/logs/pick_slices/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pick_slices/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(3000, 2),
        runtime=15,
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        slices=CONFIG.pick.slices,
        earlier=earlier_bundle,
        algorithm_version=2,
    script:
        "../scripts/pick_slices.py"


rule collect_labels:
    """Gather the labelled slices of a model's scans into one training set, split by slab with a guard gap."""
    input:
        labels=label_files,
        slabs=lambda wildcards: [
            f"{RESULTS}/{scan.sample}/volume.ome.zarr/slabs/{slab}.json"
            for scan in labelled_scans(wildcards)
            for slab in slabs_of(scan)
        ],
        # Not before there are labels: that some are needed must not wait for an interface.
        appearances=lambda wildcards: [
            f"{RESULTS}/{scan.sample}/appearance.json"
            for scan in labelled_scans(wildcards)
            if find_label_files(Path(scan.labels))
        ],
        proposed=lambda wildcards: [
            f"{RESULTS}/{scan.sample}/to_label/slices.tsv" for scan in labelled_scans(wildcards)
        ],
    output:
        training_set=unless_kept(ensure(f"{RESULTS}/training/{{model}}.npz", non_empty=True)),
    log:
        f"{RESULTS}/logs/collect_labels/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_labels/{{model}}.tsv"
    # Labels that are missing or wrong are so the second time, too.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=15,
    params:
        scans=lambda wildcards: [
            {
                "sample": scan.sample,
                "volume": f"{RESULTS}/{scan.sample}/volume.ome.zarr",
                "labels": scan.labels,
                "appearance": f"{RESULTS}/{scan.sample}/appearance.json",
            }
            for scan in labelled_scans(wildcards)
        ],
        model=model_settings,
        algorithm_version=2,
    script:
        "../scripts/collect_labels.py"
