"""tomoprofile: from raw X-ray CT scans and a few labelled slices to depth profiles of domains.

    snakemake                 everything, up to results/index.html
    snakemake pick            stop after proposing slices to label
    snakemake check           only check the configuration, the sheet and every input

The stages, in the order of the data, are the files of workflow/rules/.
"""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/configuration.smk"


# Every key has a default, so the first run needs no configuration.
if Path("config/config.yaml").is_file():

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/learning.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/convert.smk"
include: "workflow/rules/label.smk"
include: "workflow/rules/interface.smk"
include: "workflow/rules/amplify.smk"
include: "workflow/rules/segment.smk"
include: "workflow/rules/sites.smk"
include: "workflow/rules/federate.smk"
include: "workflow/rules/mask.smk"
include: "workflow/rules/domains.smk"
include: "workflow/rules/label_volume.smk"
include: "workflow/rules/profile.smk"
include: "workflow/rules/phase.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    pick,
    check,
    create_store,
    describe_store,
    create_probability,
    create_instances,
    accept_mask,
    discard_stores,


wildcard_constraints:
    sample=any_of(SCANS),
    model=any_of(CONFIG.models),
    slab=r"z\d+",


rule all:
    """Everything: the page of the beamtime, and the tables and the page of each scan.

    Of a scan that waits for labels, all that can be made without them.
    """
    default_target: True
    input:
        everything,


rule pick:
    """Propose slices to label, for each scan with a folder for labels."""
    input:
        [LAYOUT.scan(name).to_label.table for name, scan in SCANS.items() if scan.labels and not scan.mask],


rule check:
    """Open every input and report every problem at once."""
    input:
        lambda _: checks(),


if workflow.is_main_process:
    # Before Snakemake looks at its lock, which a killed run leaves behind; `onstart` would be after that.
    workflow.execute = while_claimed(workflow.execute)
    workflow.unlock = after_release(workflow.unlock)


onstart:
    if not is_claimed_here(LAYOUT.results):
        raise WorkflowError(
            "Nothing was started: with this version of Snakemake two runs would not see each other."
        )
    try:
        findings = check_run(CONFIG, list(SCANS.values()))
        require(findings)
    except TomoprofileError as error:
        raise WorkflowError(f"Nothing was started.\n{error}") from None
    begin_run(CONFIG, list(SCANS.values()), snakemake.__version__)
    (needs,) = [finding.message for finding in findings if (finding.sample, finding.item) == ("-", "needs")]
    print(f"Estimate: {needs}", flush=True)


onsuccess:
    run = end_run(LAYOUT.results)
    if waiting():
        write_index_of_unfinished_run()
    describe_for_archives(run)


onerror:
    run = end_run(LAYOUT.results)
    print(f"\n{status_text(run, read_status(run))}\n")
    write_index_of_unfinished_run()
    print(
        "Not finished. Fix the cause and run the same command again: finished work is kept, interrupted jobs restart. "
        "Snakemake's own log, named in the last line below, lists jobs that could not even start.\n"
    )
