"""Kill a run of the real workflow, and look at what is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from project import BIN, RESULTS, ROOT, Project

from tomoprofile.run.claim import MARK

# In the order of the data; all have a script of the same name.
STAGES = ("convert_slab", "fine_tune", "predict_slab", "measure_domains", "profile_depth", "report_sample")
KINDS = ("Snakemake alone", "everything", "the job alone")
_PATIENCE_S = 300


@dataclass
class KilledRun:
    """A run that was started to be killed.

    Attributes
    ----------
    project : Project
        Its working folder; what it says goes to ``said.txt`` there.
    process : Popen
        Snakemake itself, the head of a process group.
    """

    project: Project
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        """What it has said so far."""
        return (self.project.folder / "said.txt").read_text()

    def processes(self, rule: str = "") -> list[psutil.Process]:
        """Return the processes of its jobs, or those that run the script of one rule."""
        token = read_claim(self.project).get("token")
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                ours = token is not None and process.environ().get(MARK) == token
                script = next((part for part in process.cmdline() if ".snakemake/scripts/" in part), "")
                if ours and script.endswith(".py") and (not rule or script.endswith(f".{rule}.py")):
                    found.append(process)
        return found

    def wait_for(self, rule: str) -> list[psutil.Process]:
        """Wait until the script of a rule runs; returns its processes, or none when the run ended before."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            if found := self.processes(rule):
                return found
            if self.process.poll() is not None:
                return []
            time.sleep(0.05)
        raise AssertionError(f"no job of {rule} in {_PATIENCE_S} s\n{self.said}")

    def kill(self, kind: str = "Snakemake alone") -> None:
        """Kill Snakemake, its whole process group, or its jobs, and wait until Snakemake has ended."""
        if kind == "the job alone":
            for job in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    job.kill()
        elif kind == "everything":
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(_PATIENCE_S)


def start(project: Project, *arguments: object) -> KilledRun:
    """Begin a run on this machine, in a process group of its own."""
    command = [BIN / "snakemake", "--cores", 2, "--snakefile", ROOT / "Snakefile"]
    command += ["--workflow-profile", ROOT / "profiles/default", *arguments]
    with (project.folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=project.folder,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return KilledRun(project, process)


def read_claim(project: Project) -> dict[str, Any]:
    """Return the claim on the results of a project, or nothing when there is none."""
    try:
        return json.loads(project.results.claim.read_text())
    except FileNotFoundError:
        return {}


def still_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those of some processes that do not end within seconds; the dead that nobody waits for do not count."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        alive = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        if not alive:
            break
        time.sleep(0.05)
    return alive


@dataclass
class Campaign:
    """A run that is killed again and again on its way, each time at a random moment in the next stage.

    Attributes
    ----------
    project : Project
        Where nothing is computed yet.
    seconds : dict
        How long each stage takes.
    draw : Random
        Chooses moments and kinds of death.
    hit : list of tuple
        Stage and kind of each kill.
    """

    project: Project
    seconds: dict[str, float]
    draw: random.Random
    hit: list[tuple[str, str]] = field(default_factory=list)

    def go(self) -> None:
        """Kill the run in every stage, and finish it; the same command is called each time."""
        for stage in STAGES:
            run = start(self.project)
            if not run.wait_for(stage):
                assert run.process.returncode == 0, run.said  # an earlier run got further than this stage
                continue
            end = time.monotonic() + self.draw.uniform(0, self.seconds[stage])
            while time.monotonic() < end and run.processes(stage):  # on a machine with less to do it may end before
                time.sleep(0.1)
            kind = self.draw.choice(KINDS)
            alive = {rule for rule in STAGES if run.processes(rule)}
            run.kill(kind)
            if run.process.returncode == 0:
                continue  # the run was over, or no job was there to be killed
            self.hit.append((stage if stage in alive else f"after {stage}", kind))
        self.project.snakemake()


def stage_seconds(project: Project) -> dict[str, float]:
    """Return how long a job of each stage took, from Snakemake's measurements."""
    found = {}
    for stage in STAGES:
        files = sorted((project.results.benchmarks / stage).glob("*.tsv"))
        found[stage] = max(float(file.read_text().splitlines()[1].split("\t")[0]) for file in files)
    return found


def tables(project: Project, sample: str = "a") -> dict[str, bytes]:
    """Return every table of a scan, and what the tables come from: grey values, probability and model."""
    files = project.results.scan(sample)
    found = sorted(files.folder.glob("*.parquet"))
    for store in (files.volume, files.probability):
        found += [path for path in sorted((store.path / "0").rglob("*")) if path.is_file()]
    found.append(project.results.comparison)
    if (weights := project.results.model("default").weights).exists():  # a threshold has none
        found.append(weights)
    return {str(path.relative_to(project.results.results)): path.read_bytes() for path in found}


def left_over(project: Project) -> list[Path]:
    """Return files and folders that only a killed job leaves."""
    results = project.folder / RESULTS.results
    return [path for pattern in (".partial-*", "*.checkpoint.pt", "claim.json") for path in results.rglob(pattern)]
