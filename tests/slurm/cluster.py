"""A real SLURM cluster on one machine: authentication, accounting, controller, and several nodes with GPUs.

Everything belongs to the run that started it: configuration, state, sockets and ports. What it started it stops by
process id. It needs root, because SLURM's daemons do, and installs Debian's packages when they are missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from debian import InstallError, install

# Set by `make test-slurm`: then no cluster is a failure, not a reason to skip.
REQUIRED = "TOMOPROFILE_SLURM_REQUIRED"
PACKAGES = ("slurmctld", "slurmd", "slurmdbd", "slurm-client", "munge", "mariadb-server")
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "squeue", "munged", "mariadbd")
# Snakemake's job step drops SLURM_CONF, so a job finds its cluster only here: a link, for as long as the cluster runs.
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
CPU_NODES, GPU_NODE = ("cpu1", "cpu2"), "gpu1"
ACCOUNT = "beamline"

SLURM_CONF = """\
ClusterName=tomoprofile
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge}
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/%n.spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
GresTypes=gpu
DefMemPerCPU=500
SlurmdTimeout=20
SlurmctldTimeout=30
KillWait=5
MinJobAge=300
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=5,bf_interval=5
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
{accounting}
{nodes}
PartitionName=standard Nodes={cpu_nodes} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={gpu_node} MaxTime=INFINITE State=UP
"""

ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={munge}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations
"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""


class ClusterError(Exception):
    """SLURM cannot be installed or started here; the message says why."""


def install_slurm() -> None:
    """Install Debian's packages of SLURM when a program is missing."""
    if os.geteuid() != 0:
        raise ClusterError("SLURM's daemons must be started by root, and this is another user")
    try:
        install(PROGRAMS, PACKAGES)
    except InstallError as error:
        raise ClusterError(str(error)) from None


@dataclass
class Cluster:
    """The running cluster.

    Attributes
    ----------
    folder : Path
        Its configuration, state and logs.
    environment : dict
        Variables that make SLURM's commands speak to it.
    """

    folder: Path
    environment: dict[str, str]
    ports: list[int]
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command of SLURM; returns what it said."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if check and done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def jobs(self, *states: str) -> dict[str, str]:
        """Return the state of each job in the queue, or of those in the given states."""
        lines = self.run("squeue", "-h", "-o", "%i %T").split("\n")
        found = dict(line.split() for line in lines if line.strip())
        return {job: state for job, state in found.items() if not states or state in states}

    def job_named(self, comment: str) -> str | None:
        """Return the id of the unfinished job whose comment ends so; the executor puts rule and wildcards there."""
        for line in self.run("squeue", "-h", "-o", "%i %k").splitlines():
            job, _, text = line.partition(" ")
            if text.strip().endswith(comment):
                return job
        return None

    def accounted(self, job: str, what: str) -> str:
        """Return a field of the accounting record of a job."""
        return self.run("sacct", "-X", "-n", "-P", "-j", job, "-o", what).strip()

    def start_controller(self, accounting: bool = True) -> None:
        """Start slurmctld, with or without accounting, and wait until it answers."""
        conf = self.folder / "slurm.conf"
        conf.write_text(self._conf(accounting))
        self.start("slurmctld", "slurmctld", "-D", "-f", str(conf))
        wait_for(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld", 30)

    def start_node(self, node: str) -> None:
        """Start the daemon of a node and wait until jobs may run there."""
        self.start(node, "slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf"))
        wait_for(lambda: self.node_state(node) in ("IDLE", "MIXED", "ALLOCATED"), f"node {node}", 60)

    def node_state(self, node: str) -> str:
        """Return the state of a node; what follows ``*`` or ``+`` does not matter here."""
        text = self.run("scontrol", "-o", "show", "node", node, check=False)
        return text.partition("State=")[2].split(" ")[0].strip("*").split("+")[0]

    def kill_node(self, node: str) -> None:
        """End a node as a power failure would: its daemon and everything that it runs, at once."""
        daemon = self.daemons.pop(node)
        steps = [*self._step_daemons(node), *self.processes(SLURMD_NODENAME=node)]
        for pid in (daemon.pid, *steps):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def start(self, name: str, *command: str) -> None:
        """Start a daemon in the foreground; :meth:`stop` ends it."""
        with (self.folder / f"{name}.out").open("w") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def stop(self, name: str, seconds: float = 15) -> None:
        """End one daemon by its process id."""
        process = self.daemons.pop(name)
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def shut_down(self) -> None:
        """Cancel all jobs and end every daemon, the last one started first."""
        if "slurmctld" in self.daemons:
            self.run("scancel", "--user=root", check=False)
            with contextlib.suppress(ClusterError):
                wait_for(lambda: not self.jobs("RUNNING", "COMPLETING", "PENDING"), "the end of all jobs", 20)
        for node in [name for name in self.daemons if name in (*CPU_NODES, GPU_NODE)]:
            self.kill_node(node)
        for name in reversed(list(self.daemons)):
            self.stop(name)

    def processes(self, **variables: str) -> list[int]:
        """Return the processes of jobs that have these variables in their environment; SLURM's own are left out."""
        wanted = {f"{name}={value}".encode() for name, value in variables.items()}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ours = (process / "comm").read_text().strip() not in ("slurmstepd", "srun")
                if ours and wanted <= set((process / "environ").read_bytes().split(b"\0")):
                    found.append(int(process.name))
        return found

    def _step_daemons(self, node: str) -> list[int]:
        """Return SLURM's own processes that watch the jobs of a node."""
        titles = [f"[{job}." for job in self.run("squeue", "-h", "-w", node, "-o", "%i").split()]
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (process / "cmdline").read_text()
                if line.startswith("slurmstepd") and any(title in line for title in titles):
                    found.append(int(process.name))
        return found

    def _conf(self, accounting: bool) -> str:
        host = _host()
        where = f"NodeHostname={host} NodeAddr=127.0.0.1"
        lines = [
            f"NodeName={node} {where} Port={self.ports[2 + i]} CPUs=8 RealMemory=16000"
            + (" Gres=gpu:a100:2" if node == GPU_NODE else "")
            for i, node in enumerate((*CPU_NODES, GPU_NODE))
        ]
        return SLURM_CONF.format(
            host=host,
            folder=self.folder,
            munge=self.folder / "munge.socket",
            port=self.ports[0],
            accounting=ACCOUNTING.format(port=self.ports[1], munge=self.folder / "munge.socket") if accounting else "",
            nodes="\n".join(lines),
            cpu_nodes=",".join(CPU_NODES),
            gpu_node=GPU_NODE,
        )


def wait_for(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Wait until something holds; raises ClusterError when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise ClusterError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.2)


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster of three nodes in a folder of its own; end it and remove the folder afterwards."""
    install_slurm()
    if SYSTEM_CONF.is_symlink() and not _runs(SYSTEM_CONF.readlink().with_name("slurmctld.pid")):
        SYSTEM_CONF.unlink()  # left by a run that was killed
    if SYSTEM_CONF.exists():
        raise ClusterError(f"{SYSTEM_CONF} exists: this machine belongs to a cluster, which is left alone")
    # Short, for the paths of sockets; open for the daemons' own users.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    cluster = Cluster(folder, os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}, _free_ports(5))
    try:
        _start_munge(cluster)
        _start_accounting(cluster)
        (folder / "state").mkdir()
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        (folder / "gres.conf").write_text(_gpus(folder))
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        SYSTEM_CONF.symlink_to(folder / "slurm.conf")
        cluster.start_controller()
        for node in (*CPU_NODES, GPU_NODE):
            cluster.start_node(node)
        yield cluster
    except (ClusterError, OSError) as error:
        logs = [f"--- {path.name}\n{path.read_text()[-1500:]}" for path in sorted(folder.glob("*.out"))]
        raise ClusterError("\n".join([str(error), *logs])) from None
    finally:
        cluster.shut_down()
        if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink() == folder / "slurm.conf":
            SYSTEM_CONF.unlink()
        shutil.rmtree(folder)


def _runs(pid_file: Path) -> bool:
    return pid_file.is_file() and Path("/proc", pid_file.read_text().strip(), "cmdline").is_file()


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _start_munge(cluster: Cluster) -> None:
    folder = cluster.folder / "munge"
    folder.mkdir(mode=0o700)
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(stat.S_IRUSR)
    for path in (folder, key):
        shutil.chown(path, "munge", "munge")
    socket_path = cluster.folder / "munge.socket"
    # The socket lies where everyone may connect, in a folder that only its owner may change.
    cluster.start(
        "munged",
        *("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"),
        *("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/socket"),
        *(f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed"),
    )
    wait_for((folder / "socket").exists, "munged", 20)
    folder.chmod(0o711)
    socket_path.symlink_to(folder / "socket")


def _start_accounting(cluster: Cluster) -> None:
    folder = cluster.folder / "mysql"
    folder.mkdir()
    shutil.chown(folder, "mysql", "mysql")
    done = subprocess.run(
        [
            "mariadb-install-db",
            "--user=mysql",
            f"--datadir={folder}",
            "--skip-test-db",
            "--auth-root-authentication-method=socket",
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ClusterError(f"mariadb-install-db failed: {done.stdout}{done.stderr}")
    database = folder / "socket"
    cluster.start(
        "mariadbd",
        *("mariadbd", "--no-defaults", "--user=mysql", f"--datadir={folder}", f"--socket={database}"),
        *("--skip-networking", f"--pid-file={folder}/pid", "--innodb-buffer-pool-size=64M"),
    )
    wait_for(database.exists, "mariadbd", 30)
    conf = cluster.folder / "slurmdbd.conf"
    conf.write_text(
        SLURMDBD_CONF.format(
            host=_host(), folder=cluster.folder, munge=cluster.folder / "munge.socket", port=cluster.ports[1]
        )
    )
    conf.chmod(0o600)
    cluster.environment["MYSQL_UNIX_PORT"] = str(database)
    cluster.start("slurmdbd", "slurmdbd", "-D")
    (cluster.folder / "slurm.conf").write_text(cluster._conf(accounting=True))
    wait_for(lambda: "Cluster" in cluster.run("sacctmgr", "list", "cluster", check=False), "slurmdbd", 30)
    for command in (
        ("add", "cluster", "tomoprofile"),
        ("add", "account", ACCOUNT, "cluster=tomoprofile"),
        ("add", "user", "root", f"account={ACCOUNT}", "cluster=tomoprofile"),
    ):
        cluster.run("sacctmgr", "-i", *command)


def _gpus(folder: Path) -> str:
    """Return gres.conf for two devices: clones of the null device, which SLURM counts and hands out like GPUs."""
    for index in range(2):
        os.mknod(folder / f"gpu{index}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    return f"AutoDetect=off\nNodeName={GPU_NODE} Name=gpu Type=a100 File={folder}/gpu[0-1]\n"
