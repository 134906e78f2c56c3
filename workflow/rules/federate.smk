"""One model from many sites, where a model says so (`train`): the parts of a site, of the coordinator, and of both."""

from tomoprofile.federate.plan import Plan

FEDERATED = LAYOUT.federation("{run}")


def models_of(mode, role="site"):
    """Return the models that are trained in a mode, by name."""
    models = {name: model for name, model in CONFIG.models.items() if isinstance(model, UNetConfig)}
    return {name: one for name, one in models.items() if (one.train.mode, one.train.role) == (mode, role)}


def sites_of(run):
    """Return the models that are the sites of a simulated run."""
    return [name for name, model in models_of("simulate").items() if model.train.run == run]


def training_sets_of_sites(wildcards):
    """Return the training set of each site of a simulated run."""
    return [training_set_of(name) for name in sites_of(wildcards.run)]


def settings_of_sites(wildcards):
    """Return what their models depend on."""
    return {name: learning_settings(name) for name in sites_of(wildcards.run)}


def coordinated(wildcards):
    """Return the name of the model whose training is coordinated here."""
    return next(
        name for name, model in models_of("federated", "coordinator").items() if model.train.run == wildcards.run
    )


def checkpoint_before(wildcards):
    """Return the checkpoint that a job of the coordinator begins with; the first one begins with none."""
    number = int(wildcards.job)
    return LAYOUT.federation(wildcards.run).checkpoint(str(number - 1)) if number else []


def last_checkpoint(wildcards):
    """Return the checkpoint at the end of a run."""
    files = LAYOUT.federation(wildcards.run)
    if sites_of(wildcards.run):
        return files.simulated
    return files.checkpoint(str(Plan.of(CONFIG.models[coordinated(wildcards)].train).jobs - 1))


def result_of_site(wildcards):
    """Return what holds the model of a site: its own result, or the last checkpoint of the simulation that wrote it."""
    train = CONFIG.models[wildcards.model].train
    simulated = train.mode == "simulate"
    return LAYOUT.federation(train.run).simulated if simulated else LAYOUT.site(wildcards.model).result


def minutes_of_wait(wildcards):
    """Return how long a job may wait for the others, and take afterwards."""
    models = {**models_of("federated"), **models_of("federated", "coordinator")}
    name = wildcards.get("model") or coordinated(wildcards)
    return int(models[name].train.wait_s / 60) + 30


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
