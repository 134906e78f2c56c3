"""Before a site takes part: its data are compared with what was asked for, and what it tells about them is written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..amplify.sums import read_sums
from ..config import UNetConfig
from ..labels.training_set import TrainingSet, read_training_set
from ..logs import LOG
from .data_contract import SiteData
from .deformations import release_sums
from .fingerprint import Fingerprint
from .folders import SiteFolder, read_identity, read_invitation
from .log import append
from .parcel import write_parcel
from .policy import read_policy
from .update import Update


def check_data(mine: SiteFolder, training: TrainingSet, config: UNetConfig) -> None:
    """Check that labels and scans of a site are what its federation is for.

    Raises
    ------
    FederationError
        With all that does not fit.
    """
    identity, invitation = read_identity(mine.identity), read_invitation(mine.invitation)
    site = SiteData.of(identity.site, training, config, identity.modality)
    invitation.data.check(site)
    LOG.info("%s: %d labelled scans with the classes of %s", site.name, site.cases, invitation.name)


def tell(mine: SiteFolder, training_set: Path, config: UNetConfig, out: Path) -> None:
    """Write what a site tells about its labels before the first round, as far as its policy lets it.

    Parameters
    ----------
    mine : SiteFolder
        Where its certificates come from elsewhere, it has no invitation, and the data are not compared.
    training_set : Path
    config : UNetConfig
    out : Path
        For the coordinator; nothing is sent.

    Raises
    ------
    FederationError
        When the data are not what the federation is for, or the site has no policy.
    """
    training = read_training_set(training_set)
    if mine.invitation.is_file():
        check_data(mine, training, config)
    told = Fingerprint.of(training, config).released(read_policy(mine.policy))
    _write(mine, told, out)
    append(mine.log, "fingerprint written", tells={one.kind: one.digest for one in told})
    LOG.info("%s is for the coordinator; it holds %s", out, ", ".join(one.kind for one in told) or "nothing")


def tell_sums(mine: SiteFolder, sums: Path, n_classes: int, out: Path) -> None:
    """Write how the cases of a site differ, as sums over all of them, if its policy lets them out.

    Parameters
    ----------
    mine : SiteFolder
    sums : Path
        Over the cases of the site.
    n_classes : int
        Classes of the labels, background included.
    out : Path
        For the coordinator; nothing is sent.

    Raises
    ------
    FederationError
        When the policy keeps them, or they would tell a case together with those that left before.
    """
    told = release_sums(read_sums(sums), n_classes, read_policy(mine.policy), mine.log)
    _write(mine, [told], out)
    LOG.info("%s is for the coordinator; it holds sums over %d cases", out, told.cases)


def _write(mine: SiteFolder, told: Iterable[Update], out: Path) -> None:
    site = read_identity(mine.identity).site if mine.identity.is_file() else out.parent.name
    out.parent.mkdir(parents=True, exist_ok=True)
    out.parent.chmod(0o700)
    write_parcel(out, site, told)
