"""Write voxel size and meaning of the grey values of a scan."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import describe_volume

with rule_logging(snakemake.log[0]):
    describe_volume(Scan.model_validate(snakemake.params.scan), Path(snakemake.output.metadata).parent)
