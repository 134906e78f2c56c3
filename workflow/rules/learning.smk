"""What models learn from: the functions by which rules find labels and cases."""

from tomoprofile.run.cases import cases_of, template_candidates


def labelled_scans(wildcards):
    """Return the scans whose labels train a model."""
    return [
        scan
        for sample, scan in SCANS.items()
        if scan.labels and SEGMENTERS[sample].name == wildcards.model and SEGMENTERS[sample].needs.labels
    ]


def label_files_of(scan):
    """Return the label files of a scan."""
    return [str(path) for file in find_label_files(Path(scan.labels)) for path in file.files]


def label_files(wildcards):
    """Return the label files that train a model; when there are none yet, it is not asked for."""
    return [file for scan in labelled_scans(wildcards) for file in label_files_of(scan)]


def labelled_stores(wildcards):
    """Return the metadata and the records of the stores of the scans whose labels train a model."""
    scans = labelled_scans(wildcards)
    return [file for scan in scans for file in whole_store(LAYOUT.scan(scan.sample).volume, slabs_of(scan))]


def labelled_row(scan):
    """Return where a job finds a labelled scan, as plain values."""
    files = LAYOUT.scan(scan.sample)
    found = {"sample": scan.sample, "volume": str(files.volume.path), "labels": scan.labels}
    return found | {"appearance": str(files.appearance)}


def labelled_rows(wildcards):
    """Return the same of all scans whose labels train a model."""
    return [labelled_row(scan) for scan in labelled_scans(wildcards)]


def drawing_settings(wildcards):
    """Return the settings of a model on which the pairs depend that are drawn for it."""
    model = CONFIG.models[wildcards.model]
    amplify = model.amplify.model_dump(mode="json")
    return settings_for_labels(wildcards.model) | {"amplify": amplify}


def template_of(model):
    """Return the template to which the cases of a model are registered: of all sites, or of these scans."""
    return CONFIG.models[model].amplify.template or LAYOUT.amplification(model).template


def template_volumes(wildcards):
    """Return the store of each scan that may become the template, by name."""
    cases = template_candidates(cases_of(wildcards.model, SCANS.values(), CONFIG))
    return {case.sample: str(LAYOUT.scan(case.sample).volume.path) for case in cases}


def template_stores(wildcards):
    """Return the metadata and the records of these stores."""
    names = template_volumes(wildcards)
    return [file for name in names for file in whole_store(LAYOUT.scan(name).volume, slabs_of(SCANS[name]))]


def learned_from(wildcards):
    """Return the template and the registrations of all cases of a model."""
    cases = cases_of(wildcards.model, SCANS.values(), CONFIG)
    template = template_of(wildcards.model)
    return {"template": template, "registrations": [LAYOUT.scan(case.sample).registration for case in cases]}


def statistics(wildcards):
    """Return the same with the statistics of the deformations, or nothing for a model that draws without them."""
    amplify = CONFIG.models[wildcards.model].amplify
    if not amplify.learns:
        return {}
    files = LAYOUT.amplification(wildcards.model)
    return learned_from(wildcards) | {"sums": amplify.sums or files.sums, "cases": files.cases}


def training_set_of(model):
    """Return the training set of a model, with pairs that were drawn where it says so."""
    draws = CONFIG.models[model].amplify.draws
    return LAYOUT.amplification(model).training_set if draws else LAYOUT.training_set(model)


def what_trains(wildcards):
    """Return the same of the model of a job."""
    return training_set_of(wildcards.model)


def learning_settings(model):
    """Return the settings of a model that its training at many sites depends on, without those of the network between."""
    known = CONFIG.models[model]
    told = known.model_copy(update={"train": known.train.told})
    return told.model_dump(mode="json", exclude=OF_RESULTS | {"window"})
