"""Who belongs to a federation, as its log tells; and who does not any more."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ..errors import Fault, FederationError
from ..files import whole_file
from .certificates import days_until, state_until
from .log import append, read_log

REVOKED = "disabled_clients.json"  # in the folder of FLARE's server: whom it does not let in


@dataclass(frozen=True)
class Member:
    """A site.

    Attributes
    ----------
    name, organisation : str
    key : str
        SHA-256 of its public key.
    until : datetime
        When its certificate expires.
    revoked : bool
    why : str
        Reason of that.
    rounds : int
        In which it took part.
    """

    name: str
    organisation: str
    key: str
    until: datetime
    revoked: bool = False
    why: str = ""
    rounds: int = 0

    def state(self, now: datetime | None = None) -> str:
        """Return in words whether it may take part."""
        return "revoked" if self.revoked else state_until(self.until, now)


def members(log: Path) -> dict[str, Member]:
    """Return all sites that were ever approved, by name.

    Raises
    ------
    FederationError
        When the log was changed.
    """
    found: dict[str, Member] = {}
    for entry in read_log(log):
        facts = entry.facts
        if entry.event == "approved":
            until = datetime.fromisoformat(facts["until"])
            told = {"organisation": facts["organisation"], "key": facts["key"], "until": until}
            earlier = found.get(facts["site"])
            found[facts["site"]] = replace(earlier, **told) if earlier else Member(facts["site"], **told)
        elif entry.event == "revoked":
            found[facts["site"]] = replace(found[facts["site"]], revoked=True, why=facts["why"])
        elif entry.event == "round":
            for site in facts["sites"]:
                if site in found:
                    found[site] = replace(found[site], rounds=found[site].rounds + 1)
    return found


def revoke(log: Path, site: str, why: str, server: Path) -> None:
    """Never let a site in again, whatever its certificate says.

    Parameters
    ----------
    log : Path
    site : str
    why : str
    server : Path
        Startup kit of the server, which takes the list along when it starts.

    Raises
    ------
    FederationError
        When there is no such site.
    """
    known = members(log)
    if site not in known:
        named = ", ".join(known) or "none"
        raise FederationError(Fault(str(log), site, f"the sites of this federation are: {named}", "Name one of them."))
    if not known[site].revoked:
        append(log, "revoked", site=site, why=why)
    write_revoked(log, server)


def write_revoked(log: Path, server: Path) -> Path:
    """Write the list of those whom FLARE's server does not let in; return its file."""
    names = sorted(name for name, member in members(log).items() if member.revoked)
    path = server / REVOKED
    with whole_file(path) as partial:
        partial.write_text(json.dumps({"disabled_clients": names}) + "\n")
    return path


def check_sites(log: Path, sites: Iterable[str], now: datetime | None = None) -> None:
    """Check before a run that all its sites may take part.

    Raises
    ------
    FederationError
        Naming those that were never approved, are revoked, or whose certificate has expired.
    """
    known, faults = members(log), []
    for site in sites:
        if site not in known:
            problem = "no request of this site was approved"
            faults.append(Fault(site, "", problem, "Approve it: `tomoprofile federation approve`."))
        elif known[site].revoked:
            problem = f"the site was revoked: {known[site].why}"
            faults.append(Fault(site, "", problem, "Take it off the list of sites."))
        elif days_until(known[site].until, now) < 0:
            problem = f"the certificate of the site expired on {known[site].until:%Y-%m-%d}"
            faults.append(Fault(site, "", problem, "Let it make a new request: `tomoprofile federation request`."))
    if faults:
        raise FederationError(*faults)
