"""A bad day of a beamtime: a fault every half minute, the same command after each, and the tables of a good day."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
import reliability
from cluster import CPU_NODES, Cluster, wait_for
from cluster_project import ClusterProject, site_profiles
from project import RESULTS

SCANS = 12
LONGEST_S = 3000
NODE_AWAY_S = 15
DISK_FULL_S = 10
AGAIN_S = 10  # between a death and the next call
SECTION = "Rehearsal on a cluster"
FAULTS = {
    "cancel": "a running job is cancelled",
    "node": "a node dies with its jobs and comes back",
    "memory": "a job is killed as for want of memory",
    "disk": "the disk of the results is full",
    "snakemake": "Snakemake is killed",
}


@dataclass
class BadDay:
    """Calls the same command until everything is done, and disturbs it.

    Attributes
    ----------
    project : ClusterProject
        Its results lie on a small disk.
    command : list
        What is called again and again.
    draw : Random
        Chooses faults, their victims and their moments.
    tried, healed : Counter
        Faults by kind, and those of runs that had to be called again.
    restarts, refusals : int
        Calls after the first; those of them that were refused because jobs of the dead run were alive.
    """

    project: ClusterProject
    command: list[object]
    draw: random.Random
    tried: Counter = field(default_factory=Counter)
    healed: Counter = field(default_factory=Counter)
    restarts: int = 0
    refusals: int = 0
    run: subprocess.Popen[str] | None = None
    coming: list[str] = field(default_factory=list)
    at_this_run: list[str] = field(default_factory=list)
    away: dict[str, float] = field(default_factory=dict)
    full_until: float = 0.0

    @property
    def cluster(self) -> Cluster:
        """The cluster that it disturbs, too."""
        return self.project.cluster

    def go(self) -> None:
        """Work and disturb, until a call succeeds."""
        began = time.monotonic()
        self._call()
        due = began + self.draw.uniform(20, 40)
        while True:
            now = time.monotonic()
            assert now - began < LONGEST_S, self._said()
            self._repair(now)
            if self.run.poll() is not None:
                if self.run.returncode == 0:
                    break
                self._call_again()
            elif now > due and self._disturb():
                due = time.monotonic() + self.draw.uniform(20, 40)
            time.sleep(1)
        self._repair(float("inf"))

    def _call(self) -> None:
        self.run = self.project.start(*self.command, said_to=self.project.folder / "said.txt")
        self.at_this_run = []

    def _call_again(self) -> None:
        self.healed.update(self.at_this_run)
        said = self._said()
        self.refusals += "of an earlier run in this folder" in said
        assert "LockException" not in said
        self.restarts += 1
        time.sleep(AGAIN_S)
        self._call()

    def _said(self) -> str:
        return (self.project.folder / "said.txt").read_text()

    def _disturb(self) -> bool:
        """Do the next fault, unless it finds nothing to disturb now."""
        if not self.coming:
            self.coming = self.draw.sample(list(FAULTS), len(FAULTS))
        kind = self.coming[-1]
        if not getattr(self, f"_{kind}")():
            return False
        self.coming.pop()
        self.tried[kind] += 1
        self.at_this_run.append(kind)
        return True

    def _cancel(self) -> bool:
        running = sorted(self.cluster.jobs("RUNNING"))
        if running:
            self.cluster.run("scancel", self.draw.choice(running))
        return bool(running)

    def _node(self) -> bool:
        up = [node for node in CPU_NODES if node in self.cluster.daemons]
        if len(up) < len(CPU_NODES) or not self.cluster.jobs("RUNNING"):
            return False
        node = self.draw.choice(up)
        self.cluster.kill_node(node)
        self.away[node] = time.monotonic() + NODE_AWAY_S
        return True

    def _memory(self) -> bool:
        for job in self.draw.sample(running := sorted(self.cluster.jobs("RUNNING")), len(running)):
            if found := self.project.processes(job):
                for pid in found:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return True
        return False

    def _disk(self) -> bool:
        ballast = self.project.folder / "results/ballast"
        if not self.cluster.jobs("RUNNING"):
            return False
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(2**16)):
                pass
        self.full_until = time.monotonic() + DISK_FULL_S
        return True

    def _snakemake(self) -> bool:
        # Alone, or with everything that it has started here; its jobs on the cluster go on in both cases.
        if self.draw.random() < 0.5:
            self.run.kill()
        else:
            os.killpg(self.run.pid, signal.SIGKILL)
        self.run.wait()
        return True

    def _repair(self, now: float) -> None:
        """Do what the people of the site do: free the disk, switch nodes on, let requeued jobs run at once."""
        if self.full_until and now > self.full_until:
            (self.project.folder / "results/ballast").unlink()
            self.full_until = 0.0
        for node in [node for node, time_up in self.away.items() if now > time_up]:
            del self.away[node]
            self.cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
            self.cluster.start_node(node)
        for line in self.cluster.run("squeue", "-h", "-t", "PENDING", "-o", "%i %r", check=False).splitlines():
            job, _, reason = line.partition(" ")
            if reason == "BeginTime":
                self.cluster.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)


@pytest.fixture
def beamtime(cluster, tmp_path):
    """Twelve simulated scans; the results lie on a disk that can be filled."""
    project = ClusterProject(tmp_path / "beamtime", cluster)
    project.folder.mkdir()
    site_profiles(project.folder)
    project.configure(
        models={"default": {"method": "otsu"}},
        store={"shard_slices": 16, "slab_slices": 64},
        profile={"resamples": 200, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
    )
    for seed in range(1, SCANS + 1):
        project.tomoprofile("phantom", f"made/{seed}", "--seed", seed, "--size", 64, 128, 96)
        target = project.folder / f"raw/scan{seed:02}"
        target.parent.mkdir(exist_ok=True)
        (project.folder / f"made/{seed}/raw/phantom_A").rename(target)
    project.tomoprofile("scan", "raw", "--out", "config/samples.tsv")
    results = project.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(results)], check=True)
    try:
        yield project
    finally:
        cluster.run("scancel", "--user=root", check=False)
        wait_for(lambda: not cluster.jobs("RUNNING", "PENDING", "COMPLETING"), "an empty queue", 60)
        for node in CPU_NODES:
            if node not in cluster.daemons:
                cluster.start_node(node)
        subprocess.run(["umount", "--lazy", str(results)], check=True)


@pytest.mark.deep
def test_a_beamtime_with_a_fault_every_half_minute(beamtime):
    samples = [f"scan{seed:02}" for seed in range(1, SCANS + 1)]
    targets = [RESULTS.scan(sample).zones for sample in samples]
    beamtime.snakemake(*targets)
    good = {sample: beamtime.tables(sample) for sample in samples}
    beamtime.forget("*")
    began = time.monotonic()
    day = BadDay(beamtime, targets, random.Random(0))
    try:
        day.go()
    finally:
        if day.run.poll() is None:
            os.killpg(day.run.pid, signal.SIGKILL)
            day.run.wait()
    minutes = (time.monotonic() - began) / 60
    print(f"{minutes:.1f} min, {dict(day.tried)}, healed {dict(day.healed)}, {day.restarts} restarts", end=", ")
    print(f"{day.refusals} of them refused because of jobs that were alive")
    assert set(day.tried) == set(FAULTS)
    wrong = [sample for sample in samples if beamtime.tables(sample) != good[sample]]
    assert not wrong
    notes = {
        "cancel": "of all faults, those of a call that had to be repeated, for whatever reason, count as healed",
        "snakemake": f"{day.restarts} calls of the same command; {day.refusals} were refused, as jobs were alive",
    }
    for kind, fault in FAULTS.items():
        healed = day.healed[kind]
        reliability.record(SECTION, fault, day.tried[kind], day.tried[kind] - healed, healed, notes.get(kind, ""))
