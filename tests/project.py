"""Run the real workflow on small real inputs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tomoprofile.layout import Layout

ROOT = Path(__file__).parents[1]
RESULTS = Layout("results")  # as the working folder of a run sees it
BIN = Path(sys.executable).parent

_PROFILE = ("--workflow-profile", ROOT / "profiles/default")


@dataclass
class Project:
    """A working folder of a user: configuration, sheet, results."""

    folder: Path

    def configure(self, **config) -> None:
        """Write config/config.yaml."""
        path = self.folder / "config" / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(config, sort_keys=False))  # of classes the first is the background

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in the working folder."""
        return subprocess.run(
            [str(BIN / program), *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, check=False
        )

    def tomoprofile(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the command line and expect success."""
        done = self.run("tomoprofile", *map(str, arguments))
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def snakemake(self, *arguments: object, ok: bool = True) -> str:
        """Run the workflow with the default profile; returns everything it said."""
        return self._workflow(*_PROFILE, *arguments, ok=ok)

    def attempt(self) -> subprocess.CompletedProcess[str]:
        """Run the workflow with the default profile, which may fail."""
        return self._started(*_PROFILE)

    def _started(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", *map(str, ("--cores", 2, "--snakefile", ROOT / "Snakefile", *arguments)))

    def _workflow(self, *arguments: object, ok: bool = True) -> str:
        done = self._started(*arguments)
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, said + self.logs()
        return said

    @property
    def results(self) -> Layout:
        """Where its results lie."""
        return Layout(self.folder / RESULTS.results)

    def logs(self) -> str:
        """Return the ends of all rule logs, for a failing test's message."""
        found = sorted(self.folder.glob("results/**/logs/**/*.log"))
        return "\n".join(f"--- {path}\n" + "\n".join(path.read_text().splitlines()[-30:]) for path in found)

    def dry_run(self, *targets: object) -> str:
        """Return what a run would do now, in Snakemake's words."""
        # Without the profile, which is quiet; with what it says of changes.
        quiet = ("--workflow-profile", "none", "--dry-run", "--rerun-triggers", "input", "params", "mtime")
        return self._workflow(*targets, *quiet)

    def planned(self) -> set[str]:
        """Return ``rule wildcards`` of every job that a run would do now."""
        jobs: set[str] = set()
        rule = ""
        for line in self.dry_run().splitlines():
            words = line.split()
            if words[:1] in (["rule"], ["localrule"]):
                rule = words[1].rstrip(":")
                jobs.add(rule)
            elif words[:1] == ["wildcards:"]:
                jobs.discard(rule)
                jobs.add(f"{rule} {' '.join(part.split('=')[1].rstrip(',') for part in words[1:])}")
        return jobs
