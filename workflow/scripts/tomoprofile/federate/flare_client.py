"""The training of a site, as FLARE runs it in the process of a job; everything it does is in the site's own files."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from nvflare import client
from nvflare.app_common.abstract.fl_model import FLModel

from tomoprofile.config import UNetConfig
from tomoprofile.federate.flare_kit import SETTINGS
from tomoprofile.federate.policy import read_policy
from tomoprofile.federate.result import SiteFiles
from tomoprofile.federate.site import Site
from tomoprofile.federate.update import Update
from tomoprofile.logs import LOG
from tomoprofile.network.fine_tune import compute_reproducibly


def main(settings: dict[str, Any]) -> None:
    """Answer every task of a job."""
    compute_reproducibly(settings["threads"])
    files = SiteFiles(*(Path(settings[name]) for name in ("training_set", "folder", "result")))
    site = Site(settings["name"], files, UNetConfig.model_validate(settings["model"]), settings["seed"])
    policy = read_policy(Path(settings["policy"]))
    client.init()
    while client.is_running():
        sent = client.receive()
        order = Update.received(sent.params, sent.meta.get("update"), "the coordinator")
        answer = site.answer(order, sent.meta.get("agreement"))
        policy.release(answer, site.contracts[answer.kind])
        client.send(FLModel(params=dict(answer.tensors), meta={"update": answer.meta()}))


def log_to_file(path: Path) -> logging.Handler:
    """Write what training says to the site's own log: FLARE's goes where FLARE keeps it."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    return handler


if __name__ == "__main__":
    told = json.loads(Path(os.environ[SETTINGS]).read_text())
    log_to_file(Path(told["log"]))
    try:
        main(told)
    except Exception:
        LOG.exception("the site ended its part of the job")
        raise
