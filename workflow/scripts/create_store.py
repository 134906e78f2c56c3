"""Write the layout of the stores of a scan."""

from pathlib import Path

from tomoprofile.layout import ScanLayout
from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import lay_out_stores

with rule_logging(snakemake.log[0]):
    params = snakemake.params
    files = ScanLayout(Path(params.folder))
    lay_out_stores(
        Scan.model_validate(params.scan), params.shard_slices, files, params.classes, bool(params.uncertainty)
    )
