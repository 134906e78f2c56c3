"""The configuration, read before Snakemake reads it: its own messages may name neither file nor line."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.current_basedir).parent / "scripts"))

from tomoprofile.config_file import load_config
from tomoprofile.errors import TomoprofileError

try:
    # Snakemake says itself where it looked for a missing one; of two equal keys it takes the last without a word.
    for path in [Path("config/config.yaml"), *map(Path, workflow.configfiles)]:
        if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
            load_config(path)
except TomoprofileError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}") from None
