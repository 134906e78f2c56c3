"""What the coordinator makes of the files that sites sent before the first round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..amplify.model import DeformationModel
from ..amplify.sums import added
from ..amplify.template import read_template
from ..config import UNetConfig
from ..config_profile import AUTO
from ..errors import Fault, FederationError
from ..logs import LOG
from .deformations import sums_of
from .fingerprint import Agreement, Fingerprint, agree
from .folders import CoordinatorFolder
from .log import append
from .members import check_sites
from .parcel import read_parcel
from .update import Kind, Update


def settle(mine: CoordinatorFolder, files: Sequence[Path], model: UNetConfig) -> Agreement:
    """Return the settings that follow from the labels of all sites, and note them in the log.

    Parameters
    ----------
    mine : CoordinatorFolder
    files : sequence of Path
        Fingerprints.
    model : UNetConfig
        Its `input_scale` is found anew, whatever was agreed before.

    Raises
    ------
    FederationError
        When one is of no member, or of labels that do not fit.
    """
    sent = _sent(mine, files)
    found = {site: Fingerprint.of_updates(updates, len(model.classes), site) for site, updates in sent.items()}
    agreed = agree(found, model.model_copy(update={"input_scale": AUTO}))
    append(mine.log, "agreed", **agreed.record())
    return agreed


def pool_sums(mine: CoordinatorFolder, files: Sequence[Path], template: Path, n_classes: int, out: Path) -> None:
    """Write the sums over the cases of all sites, from which each may draw new shapes, and note them in the log.

    Parameters
    ----------
    mine : CoordinatorFolder
    files : sequence of Path
        Sums of deformations of single sites.
    template : Path
        To which all sites registered their cases.
    n_classes : int
        Classes of the labels, background included.
    out : Path

    Raises
    ------
    FederationError
        When one is of no member or of another template, or no cases can have its sums.
    """
    sent = {site: _sums_in(updates, site) for site, updates in _sent(mine, files).items()}
    known = read_template(template)
    pooled = added(sums_of(one, known.digest, known.lattice, n_classes, site) for site, one in sent.items())
    components = len(DeformationModel.of(pooled).variances)
    pooled.write(out)
    told = {site: {"cases": one.cases, "sums": one.digest} for site, one in sent.items()}
    append(mine.log, "deformations pooled", template=pooled.template, sites=told)
    LOG.info("%s is for all sites: sums over %d cases with %d components", out, pooled.count, components)


def _sent(mine: CoordinatorFolder, files: Sequence[Path]) -> dict[str, Mapping[Kind, Update]]:
    sent: dict[str, Mapping[Kind, Update]] = {}
    for file in files:
        site, updates = read_parcel(file)
        if site in sent:
            remedy = "Take the newer of the two files."
            raise FederationError(Fault(str(file), site, "this site sent another file, too", remedy))
        sent[site] = updates
    check_sites(mine.log, sent)
    return sent


def _sums_in(updates: Mapping[Kind, Update], site: str) -> Update:
    if set(updates) != {Kind.DEFORMATIONS}:
        got, remedy = ", ".join(updates), "Ask the site for its `deformations.safetensors`."
        raise FederationError(Fault(site, got, "the file is none of sums of deformations", remedy))
    return updates[Kind.DEFORMATIONS]
