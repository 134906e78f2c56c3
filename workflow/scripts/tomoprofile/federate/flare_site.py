"""All that a job of the coordinator can have built at a site."""

from __future__ import annotations

from pathlib import Path

from nvflare.app_common.executors.client_api_executor import ClientAPIExecutor, ExecutionMode


class SiteTrainer(ClientAPIExecutor):
    """FLARE's executor around the training of this package, as it is installed here.

    A job names this class and can say nothing to it: FLARE's own one takes any command from the job.
    """

    def __init__(self) -> None:
        script = Path(__file__).with_name("flare_client.py")
        super().__init__(ExecutionMode.IN_PROCESS, task_script_path=str(script))
