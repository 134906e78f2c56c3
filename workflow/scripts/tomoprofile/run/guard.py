"""Whether jobs of an earlier run in the same folder are still active. Light on purpose: the Snakefile imports it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from ..errors import Fault, StageError

# Snakemake's executor names its jobs by a random UUID, and gives rule and wildcards in the comment.
_OUR_NAME = re.compile(r"([A-Za-z0-9_-]+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SQUEUE_SECONDS = 60


def refuse_double_run(work_dir: str | Path, on_cluster: bool) -> None:
    """Refuse to go on while cluster jobs of an earlier run in the same folder are alive.

    Snakemake that was killed leaves its jobs to SLURM; a new run would submit them again, and two jobs would write the
    same files. Only ``squeue`` is asked, so this also works without SLURM accounting.

    Parameters
    ----------
    work_dir : str or Path
        Working directory of Snakemake, which SLURM records for each job.
    on_cluster : bool
        Whether this run submits jobs; then a queue that does not answer is also a reason to refuse.

    Raises
    ------
    StageError
        With the ids of the jobs and the two remedies.
    """
    if not shutil.which("squeue"):
        return
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%j|%k|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SQUEUE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        if not on_cluster:
            return
        said = getattr(error, "stderr", "") or str(error)
        problem = f"squeue cannot say whether jobs of an earlier run are still active: {' '.join(said.split())}"
        raise StageError(Fault("squeue", "", problem, "Try again when SLURM answers.")) from None
    here = Path(work_dir).resolve()
    alive = []
    for line in filter(None, done.stdout.splitlines()):
        job, state, name, comment, folder = line.split("|", 4)
        ours = comment.startswith(("rule_", "group_")) or _OUR_NAME.fullmatch(name)
        if ours and Path(folder).resolve() == here:
            alive.append((job, state, comment.removeprefix("rule_").replace("_wildcards_", " ")))
    if alive:
        lines = [f"  {job}  {state:<10}  {what}" for job, state, what in alive]
        ids = " ".join(job for job, _, _ in alive)
        jobs = "1 job" if len(alive) == 1 else f"{len(alive)} jobs"
        problem = f"{jobs} of an earlier run in this folder {'is' if len(alive) == 1 else 'are'} alive"
        ways = f"Wait until `squeue --me` no longer lists them, or end them: scancel {ids}"
        remedy = "\n".join(
            ["A second run would write the same files.", *lines, f"{ways}. Then run the same command again."]
        )
        raise StageError(Fault(str(here), "", problem, remedy))
