"""Where the labels are that train a model: at this site or at many; a part of the configuration, see :mod:`.config`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .config_profile import Section
from .names import possible_path

Rounds = Annotated[int, Field(ge=1, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=1e6)]
SiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=60)]


# How long a site waits changes no result, nor does where its certificate is.
_OF_THE_SITE = ("federation", "rounds_per_job", "round_s", "heartbeat_s", "wait_s")


class TrainConfig(Section):
    """Whether a model learns from the labels of this site alone, or of many that show each other none."""

    mode: Literal["local", "federated", "simulate"] = Field(
        "local",
        description="`local`: from the labels here. `federated`: together with other sites, each of which keeps its "
        "scans and labels and sends weights. `simulate`: the same on this machine alone; every model with the same "
        "`run` is a site.",
    )
    run: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=60,
        description="Name of the federated training, the same at all sites.",
    )
    role: Literal["site", "coordinator"] = Field(
        "site",
        description="`site`: trains on its labels. `coordinator`: averages what sites send, and needs neither scans "
        "nor labels for it.",
    )
    federation: Annotated[str, AfterValidator(possible_path)] = Field(
        "federation",
        min_length=1,
        description="`federated`: folder that `tomoprofile federation` made for this site or coordinator, with its "
        "certificate, and what may leave a site.",
    )
    sites: tuple[SiteName, ...] = Field(
        (), max_length=1000, description="`coordinator`: names of all sites, as in their certificates."
    )
    least_sites: Annotated[int, Field(ge=0, le=1000)] = Field(
        0,
        description="`coordinator`: answers with which a round counts, when a site was lost in it or its answer cannot "
        "be used; `0`: those of all sites.",
    )
    algorithm: Literal["fedavg", "fedprox", "fedopt", "fedbn"] = Field(
        "fedavg",
        description="`fedavg`: the mean of all sites, weighted by labelled voxels. `fedprox`: sites are held close to "
        "it. `fedopt`: the coordinator has a momentum. `fedbn`: the norms of the network stay at the site, for "
        "scanners that differ; a site that took no part then has none of its own.",
    )
    rounds: Rounds = Field(
        30, description="Rounds of the model; the models that judge labels take as many, all together."
    )
    round_steps: Rounds = Field(
        20,
        description="Optimiser steps of a site in a round. Fewer, in more rounds, agree better where scans of sites "
        "differ; each round costs some seconds beside its steps.",
    )
    rounds_per_job: Rounds = Field(15, description="Rounds after which the coordinator keeps a checkpoint.")
    proximal: float = Field(0.01, gt=0, le=100, description="`fedprox`: how strongly sites are held close.")
    server_rate: float = Field(1.0, gt=0, le=10, description="`fedopt`: step of the coordinator.")
    server_momentum: float = Field(0.6, ge=0, lt=1, description="`fedopt`: its momentum.")
    round_s: Seconds = Field(
        3600, description="Longest time of a round; a site that takes longer is lost in this round."
    )
    heartbeat_s: Seconds = Field(
        60, description="Time without a sign of life after which a site is given up in a round, and a job ends."
    )
    wait_s: Seconds = Field(
        86400, description="Longest time that a site or coordinator waits for the others before its job fails."
    )

    @property
    def shares(self) -> bool:
        """Whether other sites take part, be it in a simulation."""
        return self.mode != "local"

    @property
    def coordinates(self) -> bool:
        """Whether this is the coordinator, which trains nothing itself."""
        return self.mode == "federated" and self.role == "coordinator"

    @property
    def learning(self) -> dict[str, object]:
        """What the result depends on, and all sites must have the same."""
        names = {"run", "algorithm", "rounds", "round_steps"}
        names |= {"fedprox": {"proximal"}, "fedopt": {"server_rate", "server_momentum"}}.get(self.algorithm, set())
        return self.model_dump(mode="json", include=names)

    @property
    def told(self) -> TrainConfig:
        """What a model records: no folder of this site, and nothing on which the result does not depend."""
        return self.model_copy(update={name: self.__class__.model_fields[name].default for name in _OF_THE_SITE})

    @model_validator(mode="after")
    def _says_what_its_mode_needs(self) -> TrainConfig:
        if not self.shares:
            return self
        if not self.run:
            raise ValueError(
                f"train.mode={self.mode} needs a name of the training; add `run: NAME`, equal at all sites"
            )
        if self.mode == "simulate" and (self.role != "site" or self.sites):
            raise ValueError("train.mode=simulate has neither role nor sites; every model with this `run` is a site")
        if self.mode == "federated" and (self.role == "coordinator") != bool(self.sites):
            raise ValueError("`sites` names all sites, and is for `role: coordinator` alone")
        if len(set(self.sites)) < len(self.sites):
            raise ValueError("two sites have the same name")
        if self.least_sites > max(len(self.sites), 0):
            raise ValueError(f"least_sites={self.least_sites} is more than the {len(self.sites)} sites")
        return self
