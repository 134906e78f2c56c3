"""Write the domains of a scan as a label volume."""

from pathlib import Path

from tomoprofile.domains.label_volume import write_label_volume
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    write_label_volume(
        Path(snakemake.input.objects),
        "../volume.ome.zarr",
        snakemake.params.shard_slices,
        Path(snakemake.output.store).parent,
    )
