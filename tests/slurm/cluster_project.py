"""A user's working folder on the real cluster, and the means to disturb a run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml
from cluster import Cluster, wait_for
from project import BIN, ROOT, Project

# Jobs of seconds, asked after once: a second look comes ten seconds later still. A site keeps the profile's own.
QUICK = ("--slurm-init-seconds-before-status-checks", "11", "--jobs", "8", "--set-threads")
THREADS = ("fine_tune=2", "fed_client=1", "predict_slab=1", "measure_domains=1", "profile_depth=1")


@dataclass
class ClusterProject(Project):
    """A user's working folder on the cluster, with the site's copy of the profile."""

    cluster: Cluster
    said: str = ""

    def start(
        self, *arguments: object, profile: str = "with-accounting", said_to: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        """Begin a run; it goes on in the background, and what it says goes to a pipe, or to a file."""
        command = [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", *arguments]
        command += ["--workflow-profile", self.folder / "profiles" / profile, *QUICK, *THREADS]
        with said_to.open("w") if said_to else contextlib.nullcontext(subprocess.PIPE) as said:
            return subprocess.Popen(
                [str(part) for part in command],
                cwd=self.folder,
                env=self.cluster.environment | variables,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                preexec_fn=_listen_to_interrupts,
            )

    def on_cluster(self, *arguments: object, ok: bool = True, **options: str) -> str:
        """Run to the end; returns everything it said."""
        return self.finish(self.start(*arguments, **options), ok)

    def finish(self, run: subprocess.Popen[str], ok: bool = True) -> str:
        """Wait for the end of a run; returns everything it said."""
        said, _ = run.communicate(timeout=1200)
        assert (run.returncode == 0) == ok, said + self.logs()
        return said

    def job(self, comment: str) -> str:
        """Wait until a job runs, named by rule and wildcards as the executor writes them; returns its id."""
        found: list[str] = []

        def runs() -> bool:
            job = self.cluster.job_named(comment)
            if job and job in self.cluster.jobs("RUNNING"):
                found.append(job)
            return bool(found)

        wait_for(runs, f"job {comment}", 120)
        return found[0]

    def hold(self, comment: str) -> str:
        """Stop the work of a job as soon as it began, so that the job stays alive; returns its id."""
        job = self.job(comment)
        wait_for(lambda: self.processes(job), f"the script of job {comment}", 60)
        self.signal(job, signal.SIGSTOP)
        return job

    def signal(self, job: str, number: int) -> None:
        """Send a signal to the processes that do the work of a job."""
        for pid in self.processes(job):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def processes(self, job: str) -> list[int]:
        """Return the processes that run the rule's script; Snakemake's own processes in the job are not among them."""
        found = self.cluster.processes(SLURM_JOB_ID=job)
        return [pid for pid in found if ".snakemake/scripts/" in _command(pid) and "-c" not in _command(pid).split()]

    def forget(self, *patterns: str) -> None:
        """Remove files and folders of the results."""
        for pattern in patterns:
            found = list((self.folder / "results").glob(pattern))
            assert found, pattern
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def tables(self, sample: str) -> dict[str, bytes]:
        """Return the content of the final tables."""
        names = [f"{name}.parquet" for name in ("domains", "profile", "zones", "breakpoints", "correlation", "sizes")]
        return {name: (self.results.scan(sample).folder / name).read_bytes() for name in names}

    def submitted(self, said: str, rule: str) -> list[str]:
        """Return the SLURM jobs that a run submitted for a rule, from the paths of their logs."""
        return re.findall(rf"SLURM jobid (\d+) \(log: \S*/rule_{rule}/", said)


def _listen_to_interrupts() -> None:
    # Tests that were started in the background ignore SIGINT, and hand that down.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def site_profiles(folder: Path) -> None:
    """Copy the profile for two sites, as profiles/README.md tells."""
    text = (ROOT / "profiles/README.md").read_text()
    for name in ("with-accounting", "without-accounting", "partitions"):
        example = text.partition(f"# profiles/{name}/config.yaml")[2].partition("```")[0]
        assert example.strip(), name
        profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text()) | yaml.safe_load(example)
        (folder / "profiles" / name).mkdir(parents=True)
        (folder / "profiles" / name / "config.yaml").write_text(yaml.safe_dump(profile))
    limits = text.partition("# profiles/partitions/partitions.yaml")[2].partition("```")[0]
    (folder / "profiles/partitions/partitions.yaml").write_text(limits)
