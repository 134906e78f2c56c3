"""A federation of real processes on this machine: a server and three sites with certificates of their own."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from tomoprofile.config import UNetConfig
from tomoprofile.federate.coordinator import State
from tomoprofile.federate.flare_jobs import Segment
from tomoprofile.federate.flare_kit import environment, prepare_server
from tomoprofile.federate.flare_part import running
from tomoprofile.federate.folders import CoordinatorFolder
from tomoprofile.federate.plan import Plan

LEAD = "lead@lab.org"
PATIENCE_S = 120
BUILDERS = (("workspace.WorkspaceBuilder", {"template_file": ["master_template.yml"]}),)
BUILDERS += (("static_file.StaticFileBuilder", {"config_folder": "config"}), ("cert.CertBuilder", {}))
TAKE = """
import json, sys
from pathlib import Path
from tomoprofile.config import UNetConfig
from tomoprofile.federate.flare_part import Part
from tomoprofile.federate.folders import SiteFolder
from tomoprofile.federate.result import SiteFiles
told = json.loads(sys.argv[1])
files = SiteFiles(*(Path(told[name]) for name in ("training_set", "folder", "result")))
mine, config = SiteFolder(Path(told["federation"])), UNetConfig.model_validate(told["model"])
Part(files, config, mine, Path(told["log"]), 1, 1).take()
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def provision(folder, names):
    """Make the folders of a coordinator and of all sites, with certificates that FLARE makes."""
    port = free_port()
    people = [{"name": "localhost", "type": "server", "org": "lab", "fed_learn_port": port, "admin_port": port}]
    people += [{"name": name, "type": "client", "org": "lab"} for name in names]
    people += [{"name": LEAD, "type": "admin", "org": "lab", "role": "lead"}]
    builders = [{"path": f"nvflare.lighter.impl.{path}", "args": arguments} for path, arguments in BUILDERS]
    project = {"api_version": 3, "name": "tiny", "participants": people, "builders": builders}
    (folder / "project.yml").write_text(yaml.safe_dump(project))
    command = [sys.executable, "-m", "nvflare.cli", "provision", "-p", folder / "project.yml", "-w", folder / "kits"]
    subprocess.run(command, check=True, capture_output=True, env=environment())
    made = folder / "kits/tiny/prod_00"
    (folder / "coordinator").mkdir()
    (made / "localhost").rename(folder / "coordinator/server")
    (made / LEAD).rename(folder / "coordinator/coordinator")
    for name in names:
        (folder / "federation" / name).mkdir(parents=True)
        (made / name).rename(folder / "federation" / name / "kit")
        (folder / "federation" / name / "policy.yaml").write_text("{}\n")


@dataclass
class Federation:
    """Its processes, which end with it.

    Attributes
    ----------
    folder : Path
    training_sets : dict of Path
    config : UNetConfig
        Of a site, without a kit.
    """

    folder: Path
    training_sets: dict
    config: UNetConfig
    least_sites: int = 0
    open: ExitStack = field(default_factory=ExitStack)
    sites: dict = field(default_factory=dict)

    def __post_init__(self):
        provision(self.folder, self.training_sets)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open.close()

    def of(self, **train):
        told = self.config.train.model_dump() | {"mode": "federated"} | train
        return UNetConfig.model_validate(self.config.model_dump() | {"train": told})

    def serve(self):
        """Start the server."""
        folder = self.folder / "server"
        command = prepare_server(self.folder / "coordinator/server", folder, self.config.train.heartbeat_s)
        self.server = self.open.enter_context(running(command, folder))

    def join(self, name):
        """Start the part of a site."""
        told = {
            "training_set": str(self.training_sets[name]),
            "folder": str(self.folder / name),
            "result": str(self.folder / name / "result.safetensors"),
            "federation": str(self.folder / "federation" / name),
            "log": str(self.folder / f"{name}.log"),
            "model": self.of().model_dump(mode="json"),
        }
        self.sites[name] = self.open.enter_context(self._part(name, told))

    @contextmanager
    def _part(self, name, told):
        with (self.folder / f"{name}.txt").open("a") as said:
            command = [sys.executable, "-c", TAKE, json.dumps(told)]
            process = subprocess.Popen(command, stdout=said, stderr=said, env=environment())
            try:
                yield process
            finally:
                for one in family(process):
                    one.kill()
                process.wait()

    def restart_server(self):
        """Kill the server as a power cut does, and start it again."""
        for one in family(self.server):
            one.kill()
        self.serve()

    def kill(self, name, of_job=False):
        """Kill all processes of a site, or that of the job alone, which trains."""
        for one in family(self.sites[name]):
            if not of_job or "nvflare.private.fed.app.client.worker_process" in one.cmdline():
                one.kill()

    def log_of(self, name):
        """Return what the training of a site said."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def start(self):
        """Start all."""
        self.serve()
        for name in self.training_sets:
            self.join(name)

    def checkpoint(self, number):
        return self.folder / f"state_{number}.safetensors"

    def segment(self, number):
        """Take the rounds of a job of the coordinator."""
        config = self.of(role="coordinator", sites=list(self.training_sets), least_sites=self.least_sites, wait_s=240)
        before = self.checkpoint(number - 1) if number else None
        mine = CoordinatorFolder(self.folder / "coordinator")
        return Segment(number, before, self.checkpoint(number), self.folder / f"job_{number}", mine, config, 1).run()

    def all_segments(self):
        """Take all rounds; return the last state."""
        state = None
        for number in range(Plan.of(self.config.train).jobs):
            if not self.checkpoint(number).exists():
                state = self.segment(number)
        return state or State.read(self.checkpoint(Plan.of(self.config.train).jobs - 1))

    def said(self):
        """Return the ends of all logs, for messages of tests."""
        files = [*self.folder.glob("*.txt"), *self.folder.glob("*.log"), *self.folder.glob("*/**/said.txt")]
        return "\n".join(f"--- {path}\n{path.read_text()[-3000:]}" for path in files)


def family(process):
    """Return a process and all below it."""
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def wait_until(true, what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}; {os.getloadavg()}")
