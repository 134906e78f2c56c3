"""Which models are trained with other sites (`train`), and what their rules read."""

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
