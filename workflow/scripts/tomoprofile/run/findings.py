"""What a check finds, one line each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import Fault


@dataclass(frozen=True)
class Finding:
    """One line of ``check.tsv``.

    Attributes
    ----------
    sample : str
        Name of the scan, or ``-`` for the whole run.
    item : str
        What was checked (``scan``, ``labels``, ``model``, ``disk``).
    status : {"ok", "warning", "error"}
    message : str
    """

    sample: str
    item: str
    status: str
    message: str


def errors_of(sample: str, item: str, faults: Iterable[Fault]) -> list[Finding]:
    """Return faults as findings."""
    return [Finding(sample, item, "error", str(fault)) for fault in faults]
