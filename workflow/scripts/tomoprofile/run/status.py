"""The progress of each scan, what failed, and what it cost: read from the records and logs that jobs leave.

Light on purpose: the Snakefile prints it when a run ends.
"""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from ..layout import Layout
from ..samples import Scan
from ..units import duration_in_words, size_in_words
from ..volume.slabs import slab_names
from .record import Run
from .waiting import lacks_its_model, same_command, scans_that_wait, waiting_text

State = Literal["done", "failed", "running", "queued", "waiting", "missing"]
_STATES = get_args(State)
_SLAB_RULES = ("convert_slab", "predict_slab", "enter_mask", "enter_instances")
MODEL_RULES = ("collect_labels", "amplify_template", "amplify_model", "amplify_sample", "fine_tune")
MODEL_RULES += ("fed_client", "fed_collect")
_STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
_STARTED = re.compile(rf"({_STAMP}) INFO started on ([^,\n]+)(?:, SLURM job (\S+?))?(?:, GPU (\S+))?\n")
_DONE = re.compile(rf"{_STAMP} INFO done in ([\d.]+) s\n?\Z")
_ERROR = re.compile(rf"^{_STAMP} ERROR ", re.MULTILINE)
_TAIL = 5


@dataclass(frozen=True)
class Job:
    """What the log of a job reports.

    Attributes
    ----------
    rule : str
    target : str
        Scan or model; empty for rules of the whole beamtime.
    slab : str
        Name of the slab, or empty.
    log : Path
    state : {"done", "failed", "unfinished"}
        A killed job leaves no last line: it is unfinished, like one that is still running.
    host, slurm_job, gpu : str
        Where it ran; empty when it does not apply.
    started : datetime or None
        Local time of the host.
    seconds : float or None
        How long it took; None unless it is done.
    last : tuple of str
        The last lines of the log; for a failed job, those from its error on.
    """

    rule: str
    target: str
    slab: str
    log: Path
    state: Literal["done", "failed", "unfinished"]
    host: str
    slurm_job: str
    gpu: str
    started: datetime | None
    seconds: float | None
    last: tuple[str, ...]

    @property
    def name(self) -> str:
        """Rule and slab."""
        return f"{self.rule} {self.slab}".strip()

    @property
    def place(self) -> str:
        """Host and SLURM job."""
        return f"SLURM job {self.slurm_job} on {self.host}" if self.slurm_job else f"on {self.host}"


@dataclass(frozen=True)
class ScanStatus:
    """The progress of one scan.

    Attributes
    ----------
    scan : Scan
    state : {"done", "failed", "running", "queued", "waiting", "missing"}
        ``queued``: none of its jobs runs now. ``waiting``: for labels; all that can be done without them is done.
        ``missing``: the run is over, and no job of the scan itself failed.
    converted, segmented : int
        Finished slabs.
    slabs : int
        Number of slabs of the scan.
    jobs : tuple of Job
        Every job of the scan and of its model.
    job_seconds, cpu_seconds, peak_mb : float
        Time and memory of its own finished jobs.
    """

    scan: Scan
    state: State
    converted: int
    segmented: int
    slabs: int
    jobs: tuple[Job, ...]
    job_seconds: float
    cpu_seconds: float
    peak_mb: float

    @property
    def troubles(self) -> list[Job]:
        """The jobs that failed, or that stopped without an error message."""
        if self.state in ("running", "queued", "done"):
            return [job for job in self.jobs if job.state == "failed"]
        return [job for job in self.jobs if job.state != "done"]


def read_status(run: Run) -> list[ScanStatus]:
    """Return the state of each scan of a run, in the order of the sample sheet.

    What failed in an earlier run and was not tried again says nothing about this one.
    """
    jobs: dict[str, list[Job]] = defaultdict(list)
    for job in _of_this_run(read_jobs(run.layout), run):
        jobs[f"model {job.target}" if job.rule in MODEL_RULES else job.target].append(job)
    waiting = {scan.sample for scan in scans_that_wait(run.scans, run.config, run.work_dir)}
    of_models = {scan.sample: [] if scan.mask else jobs[f"model {scan.model}"] for scan in run.scans}
    return [_status(run, scan, jobs[scan.sample], of_models[scan.sample], scan.sample in waiting) for scan in run.scans]


def _of_this_run(jobs: list[Job], run: Run) -> list[Job]:
    """Return jobs without those that ended without success before this run began."""
    begun = run.started.timestamp()
    return [job for job in jobs if job.state == "done" or job.log.stat().st_mtime >= begun]


def read_jobs(layout: Layout, target: str | None = None) -> list[Job]:
    """Return what the logs report, for the latest attempt of each job: of all jobs, or those of a scan or model."""
    logs = layout.written_logs()
    wanted = [path for path in logs if target is None or path.stem == target or path.stem.startswith(f"{target}.z")]
    jobs = [_read_log(path, path.parent.name if path.parent != layout.logs else path.stem) for path in wanted]
    return [job for job in jobs if target is None or job.target == target]


def status_text(run: Run, scans: list[ScanStatus]) -> str:
    """Return one line for each scan, what failed and where its log is, and what a person does next."""
    width = max(len("scan"), *(len(status.scan.sample) for status in scans))
    lines = [f"{'scan':<{width}}  {'state':<7}  converted  segmented  job time  CPU time     memory"]
    for status in scans:
        lines.append(
            f"{status.scan.sample:<{width}}  {status.state:<7}  {f'{status.converted}/{status.slabs}':>9}  "
            f"{f'{status.segmented}/{status.slabs}':>9}  {duration_in_words(status.job_seconds):>8}  "
            f"{duration_in_words(status.cpu_seconds):>8}  {size_in_words(status.peak_mb * 1e6):>9}"
        )
    counts = [f"{n} {state}" for state in _STATES if (n := sum(status.state == state for status in scans))]
    lines += ["", f"{len(scans)} scan{'s' * (len(scans) != 1)}: {', '.join(counts)}"]
    left = _time_left(run, scans)
    if left:
        lines.append(left)
    bad = {"failed"} if run.is_alive() else {"failed", "unfinished"}
    # Logs of the whole beamtime are one folder above those of the scans, which were read already.
    whole = [_read_log(path, path.stem) for path in run.layout.written_logs() if path.parent == run.layout.logs]
    general = [job for job in _of_this_run(whole, run) if job.state in bad]
    troubles = [("all scans", job) for job in general]
    troubles += [(status.scan.sample, job) for status in scans for job in status.troubles]
    seen: set[Path] = set()
    for sample, job in troubles:
        if job.log not in seen:
            seen.add(job.log)
            lines += ["", *trouble_lines(sample, job, run)]
    running = [job for status in scans if status.state == "running" for job in status.jobs if job.state == "unfinished"]
    for job in running:
        if job.log not in seen:
            seen.add(job.log)
            lines.append(f"  {job.target}: {job.name}, {job.place}: {job.last[-1] if job.last else 'just started'}")
    next_step = _next_step(run, scans, bool(general))
    return "\n".join([*lines, "", next_step] if next_step else lines)


def _next_step(run: Run, scans: list[ScanStatus], failed: bool) -> str:
    """Return what a person does next; empty while the run goes on and needs nobody."""
    states = {status.state for status in scans} | ({"failed"} if failed else set())
    command = same_command(run.command)
    if "waiting" in states:
        scans_to_label = [status.scan for status in scans if status.state == "waiting"]
        return waiting_text(scans_to_label, run.layout, run.command, run.work_dir)
    if run.is_alive():
        return ""
    if "failed" in states:
        return f"Next: mend what is named above, then run the same command again: {command}"
    if "missing" in states:
        return f"Next: run the same command again: {command}"
    return f"Done. Open {os.path.relpath(run.layout.index, run.work_dir)}"


def exit_status(scans: list[ScanStatus]) -> int:
    """Return 1 when something failed or is missing, 3 when the run waits for a person to label, else 0."""
    states = {status.state for status in scans}
    return 1 if states & {"failed", "missing"} else 3 if "waiting" in states else 0


def trouble_lines(sample: str, job: Job, run: Run) -> list[str]:
    """Return what a person needs to know about a failed job: scan, slab, where it ran, its log and last lines."""
    how = (
        "failed"
        if job.state == "failed"
        else "stopped without an error message (memory, time limit, scancel or its node)"
    )
    lines = [f"{sample}: {job.name} {how}, {job.place}", f"  log: {os.path.relpath(job.log, run.work_dir)}"]
    lines += [f"    {line}" for line in job.last]
    if job.state == "unfinished":
        lines += _slurm_lines(Path(run.work_dir), job)
    return lines


def _slurm_lines(work_dir: Path, job: Job) -> list[str]:
    """Return what SLURM said about the last attempt of a job; it alone knows why a job was killed or did not start."""
    folder = work_dir / ".snakemake/slurm_logs" / f"rule_{job.rule}" / "_".join(filter(None, (job.target, job.slab)))
    logs = sorted(folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
    if not logs:
        return []
    lines = logs[-1].read_text(errors="replace").splitlines()
    told = [line for line in lines if re.match(r"(slurmstepd|srun)\S*: (error|fatal)", line)]
    return [f"  SLURM's log: {os.path.relpath(logs[-1], work_dir)}", *(f"    {line}" for line in told[-_TAIL:])]


def _read_log(path: Path, rule: str) -> Job:
    text = path.read_text(errors="replace")
    begun, done, error = _STARTED.search(text), _DONE.search(text), _ERROR.search(text)
    state: Literal["done", "failed", "unfinished"] = "done" if done else "failed" if error else "unfinished"
    target, slab = (path.stem, "") if path.stem != rule else ("", "")
    if rule in _SLAB_RULES:
        target, _, slab = path.stem.rpartition(".")
    return Job(
        rule=rule,
        target=target,
        slab=slab,
        log=path,
        state=state,
        host=begun[2] if begun else "an unknown host",
        slurm_job=(begun[3] or "") if begun else "",
        gpu=(begun[4] or "") if begun else "",
        started=datetime.fromisoformat(begun[1]) if begun else None,
        seconds=float(done[1]) if done else None,
        last=tuple(_tail(text[error.start() :] if error and not done else text)),
    )


def _tail(text: str) -> list[str]:
    # The first lines of an error name the file and the remedy; the last line of a traceback names the exception.
    lines = [line for line in text.splitlines() if line.strip()]
    if "Traceback (most recent call last)" in text:
        return [lines[0], *lines[1 - _TAIL :]] if len(lines) > _TAIL else lines
    return lines[:_TAIL] if _ERROR.match(text) else lines[-_TAIL:]


def _status(run: Run, scan: Scan, own: list[Job], of_model: list[Job], lacks_labels: bool) -> ScanStatus:
    files = run.layout.scan(scan.sample)
    names = slab_names(scan.slices, run.config.store.slab_slices)
    lacks_labels = lacks_labels and lacks_its_model(scan, run.layout)
    finished = all(product.exists() for product in files.products) and not lacks_labels
    counts = [sum(store.record(name).exists() for name in names) for store in (files.volume, files.probability)]
    jobs = [*of_model, *own]
    states = {job.state for job in jobs}
    alive = run.is_alive()
    waits = lacks_labels and (files.to_label.table.exists() or not scan.labels)
    state: State = "done" if finished else "waiting" if waits else "queued" if alive else "missing"
    if alive and any(job.state == "unfinished" for job in own):
        state = "running"
    elif states & ({"failed"} if alive else {"failed", "unfinished"}):
        state = "failed"
    if state == "done":
        counts = [len(names)] * 2  # with `keep: minimal` the stores are gone by then
    seconds, cpu, peak = _benchmarks(run.layout, own)
    return ScanStatus(scan, state, counts[0], counts[1], len(names), tuple(jobs), seconds, cpu, peak)


def _benchmarks(layout: Layout, jobs: list[Job]) -> tuple[float, float, float]:
    """Return seconds, CPU seconds and peak memory in MB that Snakemake measured for a scan's jobs."""
    seconds = cpu = peak = 0.0
    for job in jobs:
        path = layout.benchmark_of(job.log)
        if not path.is_file():
            continue
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                seconds += _number(row.get("s"))
                cpu += _number(row.get("cpu_time"))
                peak = max(peak, _number(row.get("max_rss")))
    return seconds, cpu, peak


def _number(text: str | None) -> float:
    # A job that ended before it was measured has "NA" or "-".
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _time_left(run: Run, scans: list[ScanStatus]) -> str:
    """Return an estimate from the pace at which this run finishes slabs; empty when it is over or has just started."""
    if not run.is_alive():
        return ""
    total = sum(2 * status.slabs for status in scans)
    finished = sum(status.converted + status.segmented for status in scans)
    stores = (store for scan in run.scans for store in run.layout.scan(scan.sample).stores)
    records = (record for store in stores for record in store.written_records())
    in_this_run = sum(record.stat().st_mtime > run.started.timestamp() for record in records)
    if not in_this_run or finished == total:
        return ""
    elapsed = (datetime.now().astimezone() - run.started).total_seconds()
    left = duration_in_words(elapsed / in_this_run * (total - finished))
    return f"{finished} of {total} slabs converted or segmented; at this pace the rest takes about {left}"
