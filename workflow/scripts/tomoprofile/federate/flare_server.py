"""All that a job can have built at the server: some rounds, from one checkpoint to the next."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from nvflare.apis.fl_constant import FLContextKey
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.model_controller import ModelController

from ..config_train import TrainConfig
from ..errors import FederationError, TomoprofileError
from .coordinator import Coordinator, State
from .flare_kit import CHECKPOINT, JOB, PROBLEM
from .update import Update


class Rounds(ModelController):
    """Sends the tasks of a job to all sites, and averages what they answer."""

    def __init__(self) -> None:
        super().__init__(persistor_id="")

    def run(self) -> None:
        """Take the tasks of the job, and write a checkpoint after each."""
        folder = Path(self.fl_ctx.get_prop(FLContextKey.APP_ROOT)) / "config"
        job = json.loads((folder / JOB).read_text())
        train = TrainConfig.model_validate(job["train"])
        coordinator = Coordinator(train, int(job["measured"]), train.least_sites or len(train.sites))
        state = State.read(folder / CHECKPOINT)
        try:
            while state.task < job["end"] and not self.abort_signal.triggered:
                state = coordinator.go_on(state, *self._answers(state, train))
                state.write(folder.parent / CHECKPOINT)
        except (TomoprofileError, OSError) as error:
            where = "on the disk of the server: " if isinstance(error, OSError) else ""
            with suppress(OSError):  # there may be no room for it
                (folder.parent / PROBLEM).write_text(f"{where}{error}")
            raise

    def _answers(self, state: State, train: TrainConfig) -> tuple[dict[str, Update], dict[str, FederationError]]:
        """Send a task and wait for the answers, as long as a round may take; return them, and what are none."""
        order = state.order()
        meta = {"update": order.meta(), "agreement": state.agreement}
        sent = FLModel(params=dict(order.tensors), current_round=state.task, meta=meta)
        limit = max(1, round(train.round_s))
        answers, unreadable = {}, {}
        for one in self.send_model_and_wait(data=sent, targets=list(train.sites), timeout=limit):
            name = one.meta["client_name"]
            try:
                answers[name] = Update.received(one.params, one.meta.get("update"), name)
            except FederationError as error:
                unreadable[name] = error
        return answers, unreadable
