"""The self-contained page of one scan, its tables as CSV, and where its numbers come from."""

from pathlib import Path

from tomoprofile.config_profile import Words
from tomoprofile.domains.classes import Reference
from tomoprofile.layout import Layout
from tomoprofile.logs import rule_logging
from tomoprofile.report.archive import write_archive
from tomoprofile.report.links import links_of
from tomoprofile.report.page import report_sample
from tomoprofile.report.results import SampleFiles
from tomoprofile.run.provenance import facts_for_page, write_provenance

TABLES = ("domains", "profile", "zones", "breakpoints", "correlation", "sizes", "baselines")
TABLES += ("phase", "thickness", "classes")  # not of every scan

with rule_logging(snakemake.log[0]):
    found, sample = snakemake.input, snakemake.wildcards.sample
    tables = {name: Path(found[name]) for name in TABLES if found.get(name)}
    places = {name: Path(snakemake.params[name]) for name in ("volume", "probability", "segmenter")}
    config, scan = snakemake.params.config, snakemake.params.scan
    reference = Reference.of(scan, snakemake.params.values)
    page, out = Path(snakemake.output.page), Path(snakemake.output.provenance)
    provenance = write_provenance(scan, config, places["segmenter"], places["volume"], [*tables.values()], out)
    write_archive(tables.values(), Path(snakemake.output.tables))
    files = SampleFiles(
        sample=sample,
        objects={"low": Path(found.low), "calibrated": Path(found.calibrated), "high": Path(found.high)},
        **places,
        **tables,
        interface=Path(found.interface),
        familiarity=Path(found.familiarity) if found.get("familiarity") else None,
        reference=reference,
        provenance=facts_for_page(provenance),
        links=links_of(Layout(config["results"]), sample, places["segmenter"]),
        written=provenance["written"],
    )
    report_sample(files, config["report"]["title"], page, config["report"]["language"], Words(**snakemake.params.words))
