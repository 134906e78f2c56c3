"""The self-contained page of one scan, its tables as CSV, and where its numbers come from."""

from pathlib import Path

from tomoprofile.config_profile import Words
from tomoprofile.layout import Layout
from tomoprofile.logs import rule_logging
from tomoprofile.report.archive import write_archive
from tomoprofile.report.links import links_of
from tomoprofile.report.page import report_sample
from tomoprofile.report.results import SampleFiles
from tomoprofile.run.provenance import facts_for_page, write_provenance

TABLES = ("domains", "profile", "zones", "breakpoints", "correlation", "sizes", "baselines")

with rule_logging(snakemake.log[0]):
    found, sample = snakemake.input, snakemake.wildcards.sample
    tables = {name: Path(found[name]) for name in TABLES}
    tables |= {name: Path(found[name]) for name in ("phase", "thickness") if found.get(name)}
    volume, segmenter = Path(snakemake.params.volume), Path(snakemake.params.segmenter)
    config, scan = snakemake.params.config, snakemake.params.scan
    out = Path(snakemake.output.provenance)
    provenance = write_provenance(scan, config, segmenter, volume, [*tables.values()], out)
    write_archive(tables.values(), Path(snakemake.output.tables))
    files = SampleFiles(
        sample=sample,
        volume=volume,
        probability=Path(snakemake.params.probability),
        objects={"low": Path(found.low), "calibrated": Path(found.calibrated), "high": Path(found.high)},
        **tables,
        interface=Path(found.interface),
        segmenter=segmenter,
        familiarity=Path(found.familiarity) if found.get("familiarity") else None,
        provenance=facts_for_page(provenance),
        links=links_of(Layout(config["results"]), sample, segmenter),
        written=provenance["written"],
    )
    title, language = config["report"]["title"], config["report"]["language"]
    report_sample(files, title, Path(snakemake.output.page), language, Words(**snakemake.params.words))
