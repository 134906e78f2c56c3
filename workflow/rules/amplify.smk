"""Between labels and training: few labelled cases become many, where a model says so (`amplify`)."""


rule amplify_template:
    """Take the case to which all others are registered, without its labels; of several, the most usual."""
    input:
        slabs=template_stores,
    output:
        template=ensure(AMPLIFY.template, non_empty=True),
    log:
        LAYOUT.log("amplify_template", "{model}"),
    benchmark:
        LAYOUT.benchmark("amplify_template", "{model}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=15,
    params:
        volumes=template_volumes,
        spacing_um=lambda wildcards: CONFIG.models[wildcards.model].amplify.spacing_um,
        algorithm_version=2,
    script:
        "../scripts/amplify_template.py"


rule amplify_register:
    """Find the deformation that brings a case onto the template; a case that is refused leaves a file that says why."""
    input:
        slabs=converted,
        template=lambda wildcards: template_of(scan_of(wildcards).model),
    output:
        registration=ensure(SCAN.registration, non_empty=True),
    log:
        LAYOUT.log("amplify_register", "{sample}"),
    benchmark:
        LAYOUT.benchmark("amplify_register", "{sample}")
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        volume=str(SCAN.volume.path),
        algorithm_version=2,
    script:
        "../scripts/amplify_register.py"


rule amplify_model:
    """Add up the deformations of all cases, without outliers: the statistics from which new shapes are drawn."""
    input:
        unpack(learned_from),
        labels=label_files,
        slabs=labelled_stores,
    output:
        sums=ensure(AMPLIFY.sums, non_empty=True),
        cases=ensure(AMPLIFY.cases, non_empty=True),
    log:
        LAYOUT.log("amplify_model", "{model}"),
    benchmark:
        LAYOUT.benchmark("amplify_model", "{model}")
    # The same registrations are too few again.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=15,
    params:
        labelled=labelled_rows,
        model=lambda wildcards: settings_for_labels(wildcards.model),
        alone=lambda wildcards: not CONFIG.models[wildcards.model].amplify.sums,
        labels=lambda wildcards: content_of_files(label_files(wildcards)),
        algorithm_version=2,
    script:
        "../scripts/amplify_model.py"


rule amplify_sample:
    """Draw further pairs of image and label from labelled cases; each has a record, also where it was left out."""
    input:
        unpack(statistics),
        training_set=LAYOUT.training_set("{model}"),
        labels=label_files,
        slabs=labelled_stores,
    output:
        training_set=unless_kept(ensure(AMPLIFY.training_set, non_empty=True)),
    log:
        LAYOUT.log("amplify_sample", "{model}"),
    benchmark:
        LAYOUT.benchmark("amplify_sample", "{model}")
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        scans=labelled_rows,
        model=drawing_settings,
        seed=CONFIG.seed,
        algorithm_version=1,
    script:
        "../scripts/amplify_sample.py"
