"""Processes of NVIDIA FLARE with the certificate of a startup kit, and with what the site itself lets them do.

The kit is only read. Whatever FLARE writes goes to a folder of its own that nobody else can enter; what it may do is
written there anew each time, so no file of the kit and no job of the coordinator widens it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from .certificates import Certificate
from .members import REVOKED
from .tool import require_flare

# All that a job may have built at a site: one class of this package, which takes no argument from the job.
SITE_CLASSES = ["tomoprofile.federate.flare_site.SiteTrainer"]
SERVER_CLASSES = ["tomoprofile.federate.flare_server.Rounds"]
SETTINGS = "TOMOPROFILE_SITE"  # a variable that names the file of a site's own settings, written by its own job
CHECKPOINT, JOB = "checkpoint.safetensors", "segment.json"  # beside each other in a job
PROBLEM = "problem.txt"  # in what a job leaves, in place of a checkpoint of its end
_LAUNCHERS = "nvflare.app_common.job_launcher"
_STORAGE = "nvflare.app_common.storages.filesystem_storage.FilesystemStorage"
_TRAINING = {"submit_job": "any", "clone_job": "none", "manage_job": "any", "download_job": "any", "view": "any"}
# Nobody reads a site's files, restarts it, or brings code of his own, whatever his role; a server can shut a site out.
_RIGHTS = _TRAINING | {"operate": "none", "disable_client": "any", "shell_commands": "none", "byoc": "none"}
_ROLES = ("project_admin", "org_admin", "lead", "member")


def prepare_site(kit: Path, folder: Path, heartbeat_s: float = 60.0) -> list[str]:
    """Prepare the folder of a site's process; return the command that runs it in the foreground.

    Parameters
    ----------
    kit, folder : Path
    heartbeat_s : float
        Time without a sign of life after which the server gives the site up; it sends four meanwhile.
    """
    resources = {
        "client": {"retry_timeout": 30, "compression": "Gzip"},
        "components": [
            _component("resource_manager", "nvflare.app_common.resource_managers.passthrough_resource_manager."
                       "PassthroughResourceManager"),
            _component("resource_consumer", "nvflare.app_common.resource_consumers.passthrough_resource_consumer."
                       "PassthroughResourceConsumer"),
            _component("process_launcher", f"{_LAUNCHERS}.client_process_launcher.ClientProcessJobLauncher"),
        ],
    }  # fmt: skip
    _prepare(kit, folder, resources, SITE_CLASSES)
    mine = Certificate.of_kit(kit)
    told = (f"uid={mine.name}", f"org={mine.organisation}", f"heart_beat_interval={min(10.0, heartbeat_s / 4):g}")
    return _command("client.client_train", folder, "fed_client.json", *told)


def prepare_server(kit: Path, folder: Path, heartbeat_s: float) -> list[str]:
    """Prepare the folder of the server's process; return the command that runs it in the foreground.

    Parameters
    ----------
    kit, folder : Path
    heartbeat_s : float
        Time without a sign of life after which a site is given up.
    """
    storage = {"path": _STORAGE, "args": {"root_dir": str(folder / "snapshots"), "uri_root": "/"}}
    persistor = "nvflare.app_common.state_persistors.storage_state_persistor.StorageStatePersistor"
    jobs = {"uri_root": str(folder / "jobs"), "job_store_id": "job_store"}
    scheduler = "nvflare.app_common.job_schedulers.job_scheduler.DefaultJobScheduler"
    resources = {
        "servers": [{"admin_storage": "transfer", "max_num_clients": 1000, "heart_beat_timeout": heartbeat_s}],
        "snapshot_persistor": {"path": persistor, "args": {"uri_root": "/", "storage": storage}},
        "components": [
            _component("job_scheduler", scheduler, max_jobs=1),
            _component("job_manager", "nvflare.apis.impl.job_def_manager.SimpleJobDefManager", **jobs),
            {"id": "job_store", "path": _STORAGE},
            _component("process_launcher", f"{_LAUNCHERS}.server_process_launcher.ServerProcessJobLauncher"),
        ],
    }
    _prepare(kit, folder, resources, SERVER_CLASSES)
    if (kit / REVOKED).is_file():
        shutil.copy(kit / REVOKED, folder / REVOKED)
    return _command("server.server_train", folder, "fed_server.json", f"org={Certificate.of_kit(kit).organisation}")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of such a process: it finds this package where this process found it."""
    scripts = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([scripts, others] if others else [scripts])} | more


def _prepare(kit: Path, folder: Path, resources: dict[str, Any], classes: list[str]) -> None:
    require_flare("train.mode: federated")
    Certificate.of_kit(kit).check(str(kit))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    startup, local = folder / "startup", folder / "local"
    for part in (startup, local):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
    for path in (kit / "startup").iterdir():  # FLARE follows no linked folder
        (startup / path.name).symlink_to(path.resolve())
    for name in ("log_config.json.default", "log_config.json", "privacy.json", "comm_config.json"):
        if (kit / "local" / name).is_file():
            shutil.copy(kit / "local" / name, local / name)
    # FLARE's own kit sends the logs of a site to the server; here nothing but answers to tasks leaves.
    allowed = {"class_list_enforcement_mode": "enforce", "class_allow_list": classes, "allow_log_streaming": False}
    write_json(local / "resources.json", {"format_version": 2, **allowed, **resources})
    write_json(local / "authorization.json", {"format_version": "1.0", "permissions": dict.fromkeys(_ROLES, _RIGHTS)})


def _component(name: str, path: str, **arguments: Any) -> dict[str, Any]:
    return {"id": name, "path": path, "args": arguments}


def _command(module: str, folder: Path, config: str, *told: str) -> list[str]:
    command = [sys.executable, "-m", f"nvflare.private.fed.app.{module}", "-m", str(folder), "-s", config]
    return [*command, "--set", "secure_train=true", "config_folder=config", *told]


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a file that FLARE, or a process that it starts, reads."""
    path.write_text(json.dumps(record, indent=1) + "\n")
