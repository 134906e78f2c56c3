"""Write voxel size and meaning of the values of the stores of a scan."""

from pathlib import Path

from tomoprofile.layout import ScanLayout
from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import describe_stores

with rule_logging(snakemake.log[0]):
    describe_stores(Scan.model_validate(snakemake.params.scan), ScanLayout(Path(snakemake.params.folder)))
