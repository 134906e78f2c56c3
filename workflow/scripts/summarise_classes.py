"""Put all domains of each class together, and compare them with a reference where the sheet names one."""

from pathlib import Path

from tomoprofile.domains.classes import Reference, summarise_classes
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    found, out = snakemake.input, Path(snakemake.output.classes)
    reference = Reference.of(snakemake.params.scan, snakemake.params.values)
    volume = Path(found.described).parent
    summarise_classes(Path(found.domains), Path(found.objects), volume, out, reference)
