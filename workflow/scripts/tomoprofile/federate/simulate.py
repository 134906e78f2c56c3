"""All sites of a run in one process: the same tasks in the same order, with the same result as over the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..config import UNetConfig
from ..errors import Fault, FederationError
from ..logs import LOG
from ..network.fine_tune import compute_reproducibly
from .coordinator import Coordinator, State
from .result import SiteFiles
from .site import Site, first_state


def simulate(sites: Mapping[str, tuple[SiteFiles, UNetConfig]], seed: int, checkpoint: Path, threads: int) -> State:
    """Take all tasks of a run; one that was killed goes on from its last checkpoint.

    Parameters
    ----------
    sites : mapping of str to (SiteFiles, UNetConfig)
        By name.
    seed : int
    checkpoint : Path
        Written after every job's worth of tasks, and at the end.
    threads : int

    Raises
    ------
    FederationError
        When the sites have different settings.
    """
    compute_reproducibly(threads)
    each = {name: Site(name, files, config, seed) for name, (files, config) in sorted(sites.items())}
    one = next(iter(each.values()))
    for name, site in each.items():
        if site.agreement != one.agreement:
            problem = f"it has other settings than {one.name}, which is in the same run {one.train.run}"
            remedy = "Give both the same network, learning rate, crop and `train`."
            raise FederationError(Fault(f"models: {name}", "", problem, remedy))
    coordinator = Coordinator(one.train, len(one.classes.indices), len(each))
    state = first_state(one.config, seed)
    if checkpoint.is_file() and (kept := State.read(checkpoint)).agreement == one.agreement:
        state = kept
        LOG.info("going on from task %d of %d", state.task, len(one.plan.tasks))
    while state.task < len(one.plan.tasks):
        order = state.order()
        state = coordinator.go_on(state, {name: site.answer(order, state.agreement) for name, site in each.items()})
        if state.task % one.plan.per_job == 0 or state.task == len(one.plan.tasks):
            state.write(checkpoint)
    return state
