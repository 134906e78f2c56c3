"""The page of a federation: its members, and who took part in which round with how many cases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..federate.certificates import in_groups
from ..federate.log import Entry, read_log
from ..federate.members import members
from .rendering import Renderer

_STATES = {"valid": "ok", "revoked": "error", "expired": "error"}  # all others: look at it
_SHORT = 12  # digits of a digest in a table
_EVENTS = {
    "founded": "federation founded",
    "approved": "site approved",
    "revoked": "site revoked",
    "agreed": "settings agreed",
    "refused": "update refused",
}


@dataclass(frozen=True)
class Round:
    """A row of the table of rounds."""

    run: str
    number: int
    time: str
    model: str
    sites: list[dict[str, Any]]

    @classmethod
    def of(cls, entry: Entry) -> Round:
        """Return the row of a line of the log."""
        facts = entry.facts
        sites = [{"name": name, **one} for name, one in sorted(facts["sites"].items())]
        return cls(facts.get("run", ""), facts["round"] + 1, _readable(entry.time), facts["model"][:_SHORT], sites)


def report_federation(log: Path, out: Path, now: datetime | None = None) -> None:
    """Write ``federation.html`` from the log of a coordinator.

    Parameters
    ----------
    log : Path
    out : Path
        It appears whole or not at all.
    now : datetime, optional
        For which certificates are judged.

    Raises
    ------
    FederationError
        When the log was changed: no page is made of it.
    """
    entries = read_log(log)
    known = members(log).values()
    founded = next((entry.facts for entry in entries if entry.event == "founded"), {})
    context = {
        "name": founded.get("name", ""),
        "root": in_groups(founded.get("root", "")),
        "data": founded.get("data", {}),
        "members": [(one, one.state(now), _STATES.get(one.state(now), "warning")) for one in known],
        "rounds": [Round.of(entry) for entry in entries if entry.event == "round"],
        "events": [_told(entry) for entry in entries if entry.event != "round"],
        "lines": len(entries),
        "last": entries[-1].digest if entries else "",
    }
    Renderer().write("federation.html.j2", context, out)


def _told(entry: Entry) -> tuple[str, str, str]:
    """Return when something happened, what, and to whom or why."""
    facts = entry.facts
    more = [str(facts[name]) for name in ("site", "why") if facts.get(name)]
    return _readable(entry.time), _EVENTS.get(entry.event, entry.event), ": ".join(more)


def _readable(time: str) -> str:
    return time[:16].replace("T", " ")
