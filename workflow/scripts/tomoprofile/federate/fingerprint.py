"""What a site tells about its labels before the first round: counts, sizes of objects, and a few grey quantiles.

Settings of a network that depend on the labels must be the same at all sites. The counts of sites add up to those of
all labels together, so what follows from them is what all labels in one place would give, to 1 % of a width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import UNetConfig
from ..config_profile import AUTO
from ..errors import Fault, FederationError
from ..labels.classes import Classes
from ..labels.training_set import TrainingSet
from ..network.scale import Widths, areas_of, scaled_for, widths_of
from .policy import Policy
from .update import Contract, Kind, Update

# Areas of objects in pixels: a step is 2 % of a width.
_EDGES = 2.0 ** np.arange(0, 24 + 1 / 16, 1 / 16)
_LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MIDDLE = _LEVELS.index(0.5)
_DECIDES = 0.1  # of the spread of a scan: less contrast between two classes has no direction
_MOST_OBJECTS = 10**7  # that a site labels; a number without limit would fill the coordinator's memory
_LARGEST_SHARE = 0.9  # of the labelled voxels, beyond which one site decides nearly alone
_REMEDY = "Let the site run `tomoprofile` in the version of the coordinator, and look at its labels."


@dataclass(frozen=True)
class Fingerprint:
    """What a site tells.

    Attributes
    ----------
    scans, slices : int
        With labels.
    voxels : array (k,)
        Labelled voxels of each class, the background first.
    objects : array (bins,)
        Objects of the measured classes, by their area.
    voxel_size_um : array (3,)
        Edges along z, y and x.
    grey : array (k, 7) or None
        Quantiles of the normalised grey values of each class; 0 where it has no voxels; None where the policy of the
        site keeps them.
    """

    scans: int
    slices: int
    voxels: NDArray[np.float64]
    objects: NDArray[np.float64]
    voxel_size_um: NDArray[np.float64]
    grey: NDArray[np.float64] | None

    @classmethod
    def of(cls, training: TrainingSet, config: UNetConfig) -> Fingerprint:
        """Return the fingerprint of labelled slices."""
        labels = [item.label for item in training.slices]
        middles = [item.image[len(item.image) // 2] for item in training.slices]
        inside = [
            np.concatenate([image[label == index] for image, label in zip(middles, labels, strict=True)] or [[]])
            for index in range(len(config.classes))
        ]
        grey = [np.quantile(values, _LEVELS) if len(values) else np.zeros(len(_LEVELS)) for values in inside]
        areas = areas_of(labels, Classes.of(config).indices)
        return cls(
            len({item.sample for item in training.slices}),
            len(labels),
            np.array([len(values) for values in inside], np.float64),
            np.histogram(areas.clip(_EDGES[0], _EDGES[-1]), _EDGES)[0].astype(np.float64),
            np.array(training.voxel_size_um, np.float64),
            np.array(grey, np.float64),
        )

    def updates(self) -> list[Update]:
        """Return what crosses the wire, one update for each kind."""
        tensors: dict[Kind, dict[str, NDArray]] = {
            Kind.COUNTS: {
                "scans": np.array([self.scans], np.float64),
                "slices": np.array([self.slices], np.float64),
                "voxels": self.voxels,
                "objects": self.objects,
            },
            Kind.METRICS: {"voxel_size_um": self.voxel_size_um},
        }
        if self.grey is not None:
            tensors[Kind.QUANTILES] = {"grey": self.grey}
        return [Update(kind, content, 0, int(self.voxels.sum()), self.scans) for kind, content in tensors.items()]

    def released(self, policy: Policy) -> list[Update]:
        """Return what may leave the site: the kinds that its policy names."""
        contracts = fingerprint_contracts(len(self.voxels))
        told = [one for one in self.updates() if one.kind in policy.allow]
        return [policy.release(one, contracts[one.kind]) for one in told]

    @classmethod
    def of_updates(cls, updates: Mapping[Kind, Update], n_classes: int, site: str) -> Fingerprint:
        """Return what a site sent.

        Parameters
        ----------
        updates : mapping of Kind to Update
            Those of kind ``quantiles`` may be missing.
        n_classes : int
        site : str
            For messages.

        Raises
        ------
        FederationError
            When it is no fingerprint, or no labels can have it.
        """
        contracts = fingerprint_contracts(n_classes)
        for kind in (Kind.COUNTS, Kind.METRICS):
            if kind not in updates:
                raise FederationError(Fault(site, "", f"the site sent no {kind}", "Look at the log of the site."))
        for kind, update in updates.items():
            if kind not in contracts:
                raise FederationError(Fault(site, kind, "this kind is no part of a fingerprint", _REMEDY))
            contracts[kind].check(update, site)
        counts = updates[Kind.COUNTS].tensors
        edges = updates[Kind.METRICS].tensors["voxel_size_um"]
        grey = updates[Kind.QUANTILES].tensors["grey"] if Kind.QUANTILES in updates else None
        for name, array in counts.items():
            if (array < 0).any() or (array % 1).any():
                raise FederationError(Fault(f"{site}: {name}", "", "counts are whole numbers, 0 or more", _REMEDY))
        if (objects := counts["objects"].sum()) > _MOST_OBJECTS:
            problem = f"a site labels at most {_MOST_OBJECTS} objects"
            raise FederationError(Fault(f"{site}: objects", f"{objects:.0f}", problem, _REMEDY))
        if not (edges > 0).all():
            raise FederationError(Fault(f"{site}: voxel_size_um", str(edges), "edges are more than 0", _REMEDY))
        if grey is not None and (np.diff(grey, axis=1) < 0).any():
            raise FederationError(Fault(f"{site}: grey", "", "quantiles do not rise", _REMEDY))
        return cls(int(counts["scans"][0]), int(counts["slices"][0]), counts["voxels"], counts["objects"], edges, grey)


def fingerprint_contracts(n_classes: int) -> dict[Kind, Contract]:
    """Return what the updates of a fingerprint hold."""
    grey = np.zeros((n_classes, len(_LEVELS)))
    empty = Fingerprint(0, 0, np.zeros(n_classes), np.zeros(len(_EDGES) - 1), np.zeros(3), grey)
    return {update.kind: Contract.like(update.kind, update.tensors) for update in empty.updates()}


@dataclass(frozen=True)
class Agreement:
    """What all sites train with.

    Attributes
    ----------
    config : UNetConfig
        Its scale and crop are numbers.
    sites : dict of Fingerprint
        By name.
    doubts : list of str
        What a person should look at before the first round.
    """

    config: UNetConfig
    sites: dict[str, Fingerprint]
    doubts: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        sites = {
            name: {
                "scans": one.scans,
                "slices": one.slices,
                "voxels": one.voxels.tolist(),
                "voxel_size_um": one.voxel_size_um.tolist(),
            }
            for name, one in self.sites.items()
        }
        chosen = {"input_scale": self.config.input_scale, "crop": self.config.crop}
        return {"classes": list(self.config.classes), **chosen, "sites": sites, "doubts": self.doubts}


def agree(sites: Mapping[str, Fingerprint], config: UNetConfig) -> Agreement:
    """Return the settings that follow from the labels of all sites.

    Parameters
    ----------
    sites : mapping of str to Fingerprint
    config : UNetConfig
        The settings that all sites were given.

    Raises
    ------
    FederationError
        When no site has labels of a measured class.
    """
    classes = Classes.of(config)
    pooled = np.sum([one.voxels for one in sites.values()], axis=0)
    for name, index in zip(classes.measured, classes.indices, strict=True):
        if not pooled[index]:
            problem = f"no site has labels of {name}"
            raise FederationError(Fault("federation", ", ".join(sites), problem, "Label some, or do not measure it."))
    found = pooled_widths(sites)
    settled = scaled_for(config, found) if config.input_scale == AUTO else config
    return Agreement(settled, dict(sites), _doubts(sites, classes))


def pooled_widths(sites: Mapping[str, Fingerprint]) -> Widths | None:
    """Return how wide the labelled domains of all sites are, to 1 % of a width."""
    counts = np.sum([one.objects for one in sites.values()], axis=0).astype(np.int64)
    return widths_of(np.repeat(np.sqrt(_EDGES[:-1] * _EDGES[1:]), counts))


def _doubts(sites: Mapping[str, Fingerprint], classes: Classes) -> list[str]:
    told = []
    total = sum(one.voxels.sum() for one in sites.values())
    for site, one in sites.items():
        if len(sites) > 1 and one.voxels.sum() > _LARGEST_SHARE * total:
            told.append(f"{site} has {one.voxels.sum() / total:.0%} of all labelled voxels, and decides nearly alone")
        told += [
            f"{site} has no labels of {name}; where it shows, the site teaches that it is not there"
            for name, index in zip(classes.measured, classes.indices, strict=True)
            if not one.voxels[index]
        ]
    for name, index in zip(classes.measured, classes.indices, strict=True):
        steps = {
            site: float(one.grey[index, _MIDDLE] - one.grey[0, _MIDDLE])
            for site, one in sites.items()
            if one.grey is not None and one.voxels[index] and one.voxels[0]
        }
        brighter = [site for site, step in steps.items() if step > _DECIDES]
        darker = [site for site, step in steps.items() if step < -_DECIDES]
        if brighter and darker:
            told.append(
                f"{name} is brighter than {classes.background} at {', '.join(brighter)} and darker at "
                f"{', '.join(darker)}: is it the same class and the same contrast?"
            )
    return told
