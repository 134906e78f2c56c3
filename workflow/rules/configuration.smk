"""The configuration, read before Snakemake reads it: its own messages may name neither file nor line."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.current_basedir).parent / "scripts"))

from tomoprofile.config_file import load_config
from tomoprofile.errors import TomoprofileError

try:
    if Path("config/config.yaml").is_file():  # Snakemake says itself where it looked for a missing one
        load_config(Path("config/config.yaml"))
except TomoprofileError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}") from None
