"""Errors a user can act on: each names the place, the value and the remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One problem in the user's input.

    Attributes
    ----------
    where : str
        File, dotted configuration key, or both (``config/samples.tsv:3 voxel_size_um``).
    got : str
        The offending value, as the user wrote it.
    problem : str
        What is wrong with it, in one sentence.
    remedy : str
        What to do next, in one sentence.
    """

    where: str
    got: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        got = f" (got {self.got})" if self.got else ""
        return f"{self.where}: {self.problem}{got}. {self.remedy}"


class TomoprofileError(Exception):
    """Base of all errors that tomoprofile raises on purpose.

    Parameters
    ----------
    *faults : Fault
        Every problem that was found, so that one run shows them all.
    """

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class ConfigError(TomoprofileError):
    """The configuration or the sample sheet cannot be used."""


class InputError(TomoprofileError):
    """A scan, a label file or a model cannot be used."""


class DamageError(InputError):
    """A file that the workflow wrote is no longer what was written; the next run makes it again."""


class StoreError(TomoprofileError):
    """A Zarr store is missing, does not match the scan, or was accessed in a way that would damage it."""


class StageError(TomoprofileError):
    """A stage cannot produce a trustworthy result (no interface found, no labels, ...)."""


class FederationError(TomoprofileError):
    """An update, a site or a certificate is refused in a federation."""
