"""Updates in a file: what a site tells before the first round, when no server runs yet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..amplify.storage import stored, write_arrays
from ..errors import Fault, FederationError
from .update import Kind, Update

_KIND = "parcel of a federation"
_MOST_BYTES = 2**30


def write_parcel(path: Path, site: str, updates: Iterable[Update]) -> None:
    """Write updates that the policy of a site let out."""
    listed = list(updates)
    arrays = {f"{one.kind}/{name}": array for one in listed for name, array in one.tensors.items()}
    write_arrays(path, _KIND, arrays, {"site": site, "updates": [one.meta() for one in listed]})


def read_parcel(path: Path) -> tuple[str, dict[Kind, Update]]:
    """Return the name of a site, as it says itself, and its updates.

    Raises
    ------
    FederationError
        When it is larger than any, or an update in it is none.
    InputError
        When it is something else.
    """
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        got, remedy = f"{path.stat().st_size} bytes", "Is it the right file?"
        raise FederationError(Fault(str(path), got, "the file is larger than what any site tells", remedy))
    with stored(path, _KIND) as (arrays, facts):
        site, found = str(facts["site"]), {}
        for meta in facts["updates"]:
            start = f"{meta['kind']}/"
            tensors = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            update = Update.received(tensors, meta, f"{path} of {site}")
            found[update.kind] = update
        if len(found) < len(facts["updates"]) or sum(len(one.tensors) for one in found.values()) < len(arrays):
            raise ValueError("it holds a kind twice, or tensors of no update")
        return site, found
