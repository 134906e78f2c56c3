"""The self-contained page of one scan, and where its numbers come from."""

from pathlib import Path

from tomoprofile.config_profile import Words
from tomoprofile.logs import rule_logging
from tomoprofile.report.page import report_sample
from tomoprofile.report.results import SampleFiles
from tomoprofile.run.provenance import write_provenance

TABLES = ("domains", "profile", "zones", "breakpoints", "correlation", "sizes", "baselines")

with rule_logging(snakemake.log[0]):
    found = snakemake.input
    tables = {name: Path(found[name]) for name in TABLES}
    tables |= {name: Path(found[name]) for name in ("phase", "thickness") if found.get(name)}
    volume, segmenter = Path(snakemake.params.volume), Path(snakemake.params.segmenter)
    config, scan = snakemake.params.config, snakemake.params.scan
    out = Path(snakemake.output.provenance)
    provenance = write_provenance(scan, config, segmenter, volume, [*tables.values()], out)
    files = SampleFiles(
        sample=snakemake.wildcards.sample,
        volume=volume,
        probability=Path(snakemake.params.probability),
        objects={"low": Path(found.low), "calibrated": Path(found.calibrated), "high": Path(found.high)},
        **tables,
        interface=Path(found.interface),
        segmenter=segmenter,
        familiarity=Path(found.familiarity) if found.get("familiarity") else None,
        provenance={
            "tomoprofile": provenance["software"]["tomoprofile"],
            "configuration": provenance["config_digest"],
            "raw scan": scan["path"],
            **({"mask": scan["mask"]} if scan["mask"] else {"model": scan["model"]}),
            "seed": config["seed"],
            "everything else": out.name,
        },
    )
    title, language = config["report"]["title"], config["report"]["language"]
    report_sample(files, title, Path(snakemake.output.page), language, Words(**snakemake.params.words))
