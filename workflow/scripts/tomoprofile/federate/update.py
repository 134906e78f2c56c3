"""What crosses the wire between a site and the coordinator: named tensors, and a few whole numbers about them.

Whatever came from another machine becomes an :class:`Update` through :meth:`Update.received`, which takes arrays of
numbers and nothing else; a :class:`Contract`, which the receiver makes from what it has itself, says which names,
shapes and types it may hold. Both sides check both directions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, FederationError
from ..texts import shown

DTYPES = ("float32", "float64")
_LONGEST_NAME = 200
_MOST_FAULTS = 10  # that a message lists
_NUMBERS = ("round", "voxels", "cases")  # about the tensors, beside their kind
_MOST = 10**12  # voxels, cases or rounds
_REMEDY = "Let all sites run the same version of tomoprofile with the configuration that the coordinator sent out."


class Kind(StrEnum):
    """What tensors are; a site's policy names the kinds that may leave it."""

    WEIGHTS = "weights"
    COUNTS = "counts"
    METRICS = "metrics"
    QUANTILES = "quantiles"
    DEFORMATIONS = "deformation_sums"


@dataclass(frozen=True)
class Update:
    """Tensors of one site in one round, or the coordinator's answer.

    Attributes
    ----------
    kind : Kind
    tensors : mapping of str to array
        float32 or float64, of any shape.
    round : int
        From 0.
    voxels : int
        Labelled voxels behind them: their weight in an average.
    cases : int
        Scans behind them.
    """

    kind: Kind
    tensors: Mapping[str, NDArray]
    round: int
    voxels: int
    cases: int

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(array.nbytes for array in self.tensors.values())

    @property
    def digest(self) -> str:
        """SHA-256 of names, types, shapes and values, the same on every machine."""
        return digest_of_tensors(self.tensors)

    def meta(self) -> dict[str, Any]:
        """Return what goes along with the tensors, as plain values."""
        return {"kind": str(self.kind), **{name: getattr(self, name) for name in _NUMBERS}}

    @classmethod
    def received(cls, tensors: Any, meta: Any, sender: str) -> Update:
        """Return what another machine sent, which may be anything.

        Parameters
        ----------
        tensors
            Should be a mapping of names to arrays.
        meta
            Should hold what :meth:`meta` returned; other keys are left out.
        sender : str
            For messages.

        Raises
        ------
        FederationError
            When it is no update.
        """
        if not isinstance(tensors, Mapping) or not isinstance(meta, Mapping):
            got = f"{type(tensors).__name__} and {type(meta).__name__}"
            raise FederationError(Fault(sender, got, "it sent no tensors with a description", _REMEDY))
        faults = [fault for name, array in tensors.items() if (fault := _no_tensor(name, array, sender))]
        if meta.get("kind") not in list(Kind):
            problem = f"the kind of an update is one of {', '.join(Kind)}"
            faults.append(Fault(sender, shown(meta.get("kind")), problem, _REMEDY))
        for name in _NUMBERS:
            value = meta.get(name)
            if type(value) is not int or not 0 <= value <= _MOST:
                faults.append(
                    Fault(sender, shown(value), f"`{name}` of an update is a whole number, 0 or more", _REMEDY)
                )
        _refuse(faults)
        return cls(Kind(meta["kind"]), dict(tensors), *(meta[name] for name in _NUMBERS))


@dataclass(frozen=True)
class Contract:
    """What an update of one kind holds, nothing less and nothing more.

    Attributes
    ----------
    kind : Kind
    declared : mapping of str to (shape, dtype)
        Of each tensor, by its name.
    """

    kind: Kind
    declared: Mapping[str, tuple[tuple[int, ...], str]]

    @classmethod
    def like(cls, kind: Kind, tensors: Mapping[str, NDArray]) -> Contract:
        """Return the contract that these tensors keep; for weights, those of the receiver's own network."""
        return cls(kind, {name: (array.shape, array.dtype.name) for name, array in tensors.items()})

    @property
    def size(self) -> int:
        """Bytes of an update that keeps the contract."""
        return sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in self.declared.values())

    def check(self, update: Update, sender: str) -> Update:
        """Return an update that keeps the contract.

        Raises
        ------
        FederationError
            When it is of another kind, has other names, shapes, types or more bytes, or numbers that are not finite.
        """
        where = f"{sender}, round {update.round}"
        if update.kind != self.kind:
            raise FederationError(Fault(where, update.kind, f"an update of {self.kind} was expected", _REMEDY))
        if update.size > self.size:  # before anything reads the tensors
            problem = f"the update is larger than the {self.size} bytes that were agreed"
            raise FederationError(Fault(where, f"{update.size} bytes", problem, _REMEDY))
        faults = [
            Fault(f"{where}: {name}", "", problem, _REMEDY)
            for problem, names in (
                ("the tensor is missing", self.declared.keys() - update.tensors.keys()),
                ("a tensor of this name was not agreed", update.tensors.keys() - self.declared.keys()),
            )
            for name in sorted(names)
        ]
        for name in sorted(self.declared.keys() & update.tensors.keys()):
            array, (shape, dtype) = update.tensors[name], self.declared[name]
            got = f"{array.dtype.name} {array.shape}"
            if got != f"{dtype} {shape}":
                faults.append(Fault(f"{where}: {name}", got, f"the tensor should be {dtype} {shape}", _REMEDY))
            elif not np.isfinite(array).all():
                got = f"{int((~np.isfinite(array)).sum())} of {array.size}"
                remedy = "Look at the loss in the site's log: its training diverged, or its scans hold such values."
                faults.append(Fault(f"{where}: {name}", got, "the tensor holds numbers that are not finite", remedy))
        _refuse(faults)
        return update


def digest_of_tensors(tensors: Mapping[str, NDArray]) -> str:
    """Return the SHA-256 of names, types, shapes and values, whatever the order and the byte order of the machine."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        head = f"{len(name.encode())}:{name} {array.dtype.name} {tensors[name].shape}\n"
        found.update(head.encode())
        found.update(little.tobytes())
    return found.hexdigest()


def _no_tensor(name: Any, array: Any, sender: str) -> Fault | None:
    if type(name) is not str or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        return Fault(sender, shown(name), "the name of a tensor is a short text", _REMEDY)
    # Not a subclass, whose methods could do anything; not an array of objects.
    if type(array) is not np.ndarray or array.dtype.name not in DTYPES or not array.dtype.isnative:
        got = f"array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        return Fault(f"{sender}: {name}", got, f"a tensor is an array of {' or '.join(DTYPES)}", _REMEDY)
    return None


def _refuse(faults: Iterable[Fault]) -> None:
    """Raise what was found, if anything."""
    listed = list(faults)
    if len(listed) > _MOST_FAULTS:
        more = len(listed) - _MOST_FAULTS
        where, remedy = listed[_MOST_FAULTS].where, listed[_MOST_FAULTS].remedy
        listed = [*listed[:_MOST_FAULTS], Fault(where, "", f"there are {more} more problems of this update", remedy)]
    if listed:
        raise FederationError(*listed)
