"""Write the domains of a scan as a label volume."""

import os
from pathlib import Path

from tomoprofile.domains.label_volume import write_label_volume
from tomoprofile.layout import ScanLayout
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    store = Path(snakemake.output.store).parent
    write_label_volume(
        Path(snakemake.input.objects),
        os.path.relpath(ScanLayout(store.parent).volume.path, store),
        snakemake.params.shard_slices,
        store,
    )
