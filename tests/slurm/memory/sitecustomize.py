"""Make one job of the workflow need more memory than it asked for: on the path of the jobs of one test.

``MEMORY_TEST`` is ``<target of the job>=<MB>``, the target as Snakemake hands it to the job. Python imports this file
by its name when it starts.
"""

import os
import sys
import time
from pathlib import Path


def _targets() -> str:
    """Return the command line of the Snakemake process above this one."""
    pid = os.getppid()
    while pid > 1:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if "--target-jobs" in line:
            return line
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return ""


if any(".snakemake/scripts/" in part for part in sys.orig_argv):
    target, _, megabytes = os.environ["MEMORY_TEST"].rpartition("=")
    if target in _targets():
        ballast = b"x" * (int(megabytes) * 1_000_000)
        time.sleep(6)
        del ballast
