"""One model from many sites, where a model says so (`train`): the parts of a site, of the coordinator, and of both."""


rule fed_simulate:
    """Train one model at several simulated sites, one task after the other, in this process."""
    input:
        training_sets=training_sets_of_sites,
    output:
        checkpoint=ensure(FEDERATED.simulated, non_empty=True),
    log:
        LAYOUT.log("fed_simulate", "{run}"),
    benchmark:
        LAYOUT.benchmark("fed_simulate", "{run}")
    wildcard_constraints:
        run=any_of(model.train.run for model in models_of("simulate").values()),
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        sites=lambda wildcards: sites_of(wildcards.run),
        models=settings_of_sites,
        seed=CONFIG.seed,
        algorithm_version=1,
    script:
        "../scripts/fed_simulate.py"


rule fed_statistics:
    """Write what a site tells about its labels before the first round, if they are what the federation is for."""
    input:
        training_set=LAYOUT.training_set("{model}"),
    output:
        fingerprint=ensure(LAYOUT.site("{model}").fingerprint, non_empty=True),
    log:
        LAYOUT.log("fed_statistics", "{model}"),
    benchmark:
        LAYOUT.benchmark("fed_statistics", "{model}")
    wildcard_constraints:
        model=any_of(models_of("federated")),
    # The same labels are of another federation again.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=15,
    params:
        model=lambda wildcards: learning_settings(wildcards.model),
        algorithm_version=1,
    script:
        "../scripts/fed_statistics.py"


rule fed_deformations:
    """Write how the cases of a site differ, as sums over all of them, for sums over the cases of all sites."""
    input:
        sums=LAYOUT.amplification("{model}").sums,
    output:
        deformations=ensure(LAYOUT.site("{model}").deformations, non_empty=True),
    log:
        LAYOUT.log("fed_deformations", "{model}"),
    benchmark:
        LAYOUT.benchmark("fed_deformations", "{model}")
    wildcard_constraints:
        model=any_of(name for name, model in models_of("federated").items() if model.amplify.learns),
    # The same sums are kept again.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=15,
    params:
        model=lambda wildcards: settings_for_labels(wildcards.model),
        federation=lambda wildcards: CONFIG.models[wildcards.model].train.federation,
        algorithm_version=1,
    script:
        "../scripts/fed_deformations.py"


rule fed_client:
    """Take part in a training with other sites, in the foreground, until the finished model is here."""
    input:
        training_set=what_trains,
        fingerprint=LAYOUT.site("{model}").fingerprint,
    output:
        result=ensure(LAYOUT.site("{model}").result, non_empty=True),
    log:
        LAYOUT.log("fed_client", "{model}"),
    benchmark:
        LAYOUT.benchmark("fed_client", "{model}")
    wildcard_constraints:
        model=any_of(models_of("federated")),
    conda:
        "../../envs/conda.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=minutes_of_wait,
    params:
        model=lambda wildcards: learning_settings(wildcards.model),
        seed=CONFIG.seed,
        algorithm_version=1,
    script:
        "../scripts/fed_client.py"


rule fed_segment:
    """Have the sites take some rounds, from one checkpoint of the coordinator to the next."""
    input:
        before=checkpoint_before,
    output:
        checkpoint=ensure(FEDERATED.checkpoint("{job}"), non_empty=True),
    log:
        LAYOUT.log("fed_segment", "{run}", "{job}"),
    benchmark:
        LAYOUT.benchmark("fed_segment", "{run}", "{job}")
    wildcard_constraints:
        run=any_of(model.train.run for model in models_of("federated", "coordinator").values()),
        job=r"\d+",
    # A site that was lost comes back.
    retries: 5
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=minutes_of_wait,
    params:
        name=coordinated,
        model=lambda wildcards: learning_settings(coordinated(wildcards)),
        rounds_per_job=lambda wildcards: CONFIG.models[coordinated(wildcards)].train.rounds_per_job,
        seed=CONFIG.seed,
        algorithm_version=1,
    script:
        "../scripts/fed_segment.py"


rule fed_collect:
    """Write the ordinary bundle of a site, with level and calibration from labels of its own."""
    input:
        training_set=what_trains,
        result=result_of_site,
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
        LAYOUT.log("fed_collect", "{model}"),
    benchmark:
        LAYOUT.benchmark("fed_collect", "{model}")
    wildcard_constraints:
        model=any_of([*models_of("simulate"), *models_of("federated")]),
    # The same result is of other labels again.
    retries: 0
    conda:
        "../../envs/conda.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=30,
    params:
        model=lambda wildcards: learning_settings(wildcards.model),
        seed=CONFIG.seed,
        algorithm_version=1,
    script:
        "../scripts/fed_collect.py"


rule fed_evaluate:
    """Write how well the labels of each site were judged by models of all sites that did not train on them."""
    input:
        checkpoint=last_checkpoint,
    output:
        evaluation=ensure(FEDERATED.evaluation, non_empty=True),
    log:
        LAYOUT.log("fed_evaluate", "{run}"),
    benchmark:
        LAYOUT.benchmark("fed_evaluate", "{run}")
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        classes=lambda wildcards: list(
            Classes.of(CONFIG.models[(sites_of(wildcards.run) or [coordinated(wildcards)])[0]]).measured
        ),
        algorithm_version=1,
    script:
        "../scripts/fed_evaluate.py"
