"""Stage 4: from grey values to the probability of each measured class; one job per slab."""


rule fine_tune:
    """Fine-tune a pretrained 2-D U-Net on all labelled slices, after one for each fold; an interrupted job continues."""
    input:
        training_set=what_trains,
    output:
        weights=ensure(MODEL.weights, non_empty=True),
        metadata=ensure(MODEL.metadata, non_empty=True),
        inference=ensure(MODEL.inference, non_empty=True),
        card=report(
            ensure(MODEL.card, non_empty=True),
            caption="../report/model_card.rst",
            category="Models",
            labels={"model": "{model}"},
        ),
    log:
        LAYOUT.log("fine_tune", "{model}"),
    benchmark:
        LAYOUT.benchmark("fine_tune", "{model}")
    wildcard_constraints:
        model=any_of(
            name for name, one in CONFIG.models.items() if isinstance(one, UNetConfig) and not one.train.shares
        ),
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        model=training_settings,
        seed=CONFIG.seed,
        algorithm_version=4,
    script:
        "../scripts/fine_tune.py"


rule fit_threshold:
    """Find Otsu's threshold in the resin of a scan."""
    input:
        slabs=converted,
        interface=SCAN.interface,
        distances=substrate_distances,
        sample=recorded_sample,
    output:
        threshold=ensure(SCAN.threshold, non_empty=True),
    log:
        LAYOUT.log("fit_threshold", "{sample}"),
    benchmark:
        LAYOUT.benchmark("fit_threshold", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=shard_memory(1500, 8),
        runtime=scan_minutes(10, 0.2),
    params:
        volume=str(SCAN.volume.path),
        model=model_settings,
        algorithm_version=3,
    script:
        "../scripts/fit_threshold.py"


rule compare_with_model:
    """Compare a scan with those its model was trained on; if it is unlike them, export a slice to label."""
    input:
        segmenter=segmenter,
        slabs=converted,
        appearance=SCAN.appearance,
    output:
        familiarity=ensure(SCAN.familiarity, non_empty=True),
    log:
        LAYOUT.log("compare_with_model", "{sample}"),
    benchmark:
        LAYOUT.benchmark("compare_with_model", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        mem_mb=shard_memory(4000, 2),
        runtime=15,
    params:
        volume=str(SCAN.volume.path),
        segmenter=segmenter_path,
        label_values=label_values,
        algorithm_version=1,
    script:
        "../scripts/compare_with_model.py"


rule create_probability:
    """Write the metadata of the stores of probability and uncertainty, which later jobs fill."""
    input:
        described=SCAN.volume.metadata,
    output:
        array=SCAN.probability.array,
        metadata=SCAN.probability.metadata,
    log:
        LAYOUT.log("create_probability", "{sample}"),
    benchmark:
        LAYOUT.benchmark("create_probability", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        scan=raw_columns,
        shard_slices=CONFIG.store.shard_slices,
        classes=measured_classes,
        uncertainty=uncertainty,
        algorithm_version=1,
    script:
        "../scripts/create_probability.py"


rule predict_slab:
    """Segment one slab, slice by slice, into whole shards of the probability of each measured class."""
    input:
        segmenter=segmenter,
        weights=weights,
        interface=SCAN.interface,
        distances=substrate_distances,
        sample=recorded_sample,
        slabs=converted_around,
        appearance=appearance,
        store=SCAN.probability.array,
    output:
        record=SCAN.probability.record("{slab}"),
    log:
        LAYOUT.log("predict_slab", "{sample}", "{slab}"),
    benchmark:
        LAYOUT.benchmark("predict_slab", "{sample}", "{slab}")
    wildcard_constraints:
        sample=any_of(scan.sample for scan in SCANS.values() if not scan.mask),
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=shard_memory(4000, 12, for_each_further_class=4),
        runtime=slab_minutes(10, 0.02),
    params:
        volume=str(SCAN.volume.path),
        segmenter=segmenter_path,
        model=prediction_settings,
        # Where it is computed changes no mask by more than rounding: the script takes that from the configuration.
        predict=CONFIG.predict.model_dump(mode="json", exclude={"device", "gpu_windows"}),
        uncertainty=uncertainty,
        slices=slab_range,
        algorithm_version=3,
    script:
        "../scripts/predict_slab.py"
