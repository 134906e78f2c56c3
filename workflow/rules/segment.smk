"""Stage 4: from grey values to the probability of being a domain; one job a slab."""


rule fine_tune:
    """Fine-tune a pretrained 2-D U-Net on the labelled slices; continues from its checkpoint after a kill."""
    input:
        training_set=f"{RESULTS}/training/{{model}}.npz",
    output:
        weights=ensure(f"{RESULTS}/models/{{model}}/models/model.pt", non_empty=True),
        metadata=ensure(f"{RESULTS}/models/{{model}}/configs/metadata.json", non_empty=True),
        inference=ensure(f"{RESULTS}/models/{{model}}/configs/inference.json", non_empty=True),
        card=report(
            ensure(f"{RESULTS}/models/{{model}}/docs/README.md", non_empty=True),
            caption="../report/model_card.rst",
            category="Models",
            labels={"model": "{model}"},
        ),
    log:
        f"{RESULTS}/logs/fine_tune/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fine_tune/{{model}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        model=model_settings,
        seed=CONFIG.seed,
        algorithm_version=2,
    script:
        "../scripts/fine_tune.py"


rule fit_threshold:
    """Find Otsu's threshold in the resin of one scan: the baseline."""
    input:
        slabs=converted,
        interface=f"{RESULTS}/{{sample}}/interface.json",
        distances=substrate_distances,
    output:
        threshold=ensure(f"{RESULTS}/{{sample}}/threshold.json", non_empty=True),
    log:
        f"{RESULTS}/logs/fit_threshold/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_threshold/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(1500, 8),
        runtime=scan_minutes(10, 0.2),
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        model=model_settings,
        algorithm_version=2,
    script:
        "../scripts/fit_threshold.py"


rule compare_with_model:
    """Ask whether the model has ever seen a scan like this one; if not, export the slice to label."""
    input:
        segmenter=segmenter,
        slabs=converted,
        appearance=f"{RESULTS}/{{sample}}/appearance.json",
    output:
        familiarity=ensure(f"{RESULTS}/{{sample}}/familiarity.json", non_empty=True),
    log:
        f"{RESULTS}/logs/compare_with_model/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_with_model/{{sample}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        mem_mb=shard_memory(4000, 2),
        runtime=15,
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        segmenter=segmenter_path,
        algorithm_version=1,
    script:
        "../scripts/compare_with_model.py"


rule predict_slab:
    """Segment one slab, slice by slice, into whole shards of probability."""
    input:
        segmenter=segmenter,
        slabs=converted_around,
        appearance=appearance,
        store=f"{RESULTS}/{{sample}}/probability.ome.zarr/zarr.json",
    output:
        record=f"{RESULTS}/{{sample}}/probability.ome.zarr/slabs/{{slab}}.json",
    log:
        f"{RESULTS}/logs/predict_slab/{{sample}}.{{slab}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict_slab/{{sample}}.{{slab}}.tsv"
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if not scan.mask),
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=shard_memory(4000, 12),
        runtime=slab_minutes(10, 0.02),
    params:
        volume=f"{RESULTS}/{{sample}}/volume.ome.zarr",
        segmenter=segmenter_path,
        model=model_settings,
        predict=CONFIG.predict.model_dump(mode="json"),
        uncertainty=uncertainty,
        slices=slab_range,
        algorithm_version=2,
    script:
        "../scripts/predict_slab.py"
