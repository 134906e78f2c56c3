"""The self-contained page of one scan."""

from pathlib import Path

from tomoprofile import __version__
from tomoprofile.config import digest
from tomoprofile.logs import rule_logging
from tomoprofile.report.page import SampleFiles, report_sample

with rule_logging(snakemake.log[0]):
    found = snakemake.input
    files = SampleFiles(
        sample=snakemake.wildcards.sample,
        volume=Path(found.volume).parent,
        probability=Path(found.probability).parent,
        objects={"low": Path(found.low), "calibrated": Path(found.calibrated), "high": Path(found.high)},
        domains=Path(found.domains),
        profile=Path(found.profile),
        zones=Path(found.zones),
        interface=Path(found.interface),
        segmenter=Path(snakemake.params.segmenter),
        provenance={
            "tomoprofile": __version__,
            "configuration": digest(snakemake.params.config),
            "raw scan": snakemake.params.scan["path"],
            "model": snakemake.params.scan["model"],
            "seed": snakemake.params.config["seed"],
        },
    )
    report_sample(files, snakemake.params.config["report"]["title"], Path(snakemake.output.page))
