"""What a coordinator and a site have in their folders: the invitation, who a site is, keys, kits and logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from .data_contract import DataContract, Modality
from .declared import Declared, read_declared

_NONE = "there is no such file"
_NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=_NAME, max_length=60)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Invitation(Declared):
    """What the coordinator gives to every site; nothing in it is secret."""

    name: Name = Field(description="Name of the federation.")
    server: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", max_length=200)] = Field(
        description="Host name of the server, as sites reach it."
    )
    port: Port = Field(description="The one port that sites connect to.")
    root: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="Fingerprint of the root certificate.")
    data: DataContract = Field(description="Data that a site must have.")


class NamedSite(Declared):
    """A site, by its name, which becomes files and folders."""

    site: Name = Field(description="Its name.")


class SiteIdentity(NamedSite):
    """Who a site is, as it said itself."""

    organisation: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", max_length=60)] = Field(
        description="Its institution."
    )
    modality: Modality = Field(description="Kind of its images.")


@dataclass(frozen=True)
class FederationFolder:
    """Files that a coordinator and a site have alike.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @property
    def invitation(self) -> Path:
        """From the coordinator to the sites."""
        return self.path / "invitation.yaml"

    @property
    def log(self) -> Path:
        """Of a coordinator who was approved, took part or was revoked; of a site what it did and saw."""
        return self.path / "log.jsonl"


class CoordinatorFolder(FederationFolder):
    """Files of a coordinator; `ca` holds the one key that must never be lost or copied."""

    @property
    def server(self) -> Path:
        """Startup kit of the server."""
        return self.path / "server"

    @property
    def coordinator(self) -> Path:
        """Startup kit with which jobs are sent."""
        return self.path / "coordinator"

    @property
    def running(self) -> Path:
        """What the server writes while it runs."""
        return self.path / "running"

    @property
    def authority(self) -> Path:
        """Root certificate and its key."""
        return self.path / "ca"

    @property
    def profile(self) -> Path:
        """What FLARE must know of the federation."""
        return self.path / "profile.yaml"


class SiteFolder(FederationFolder):
    """Files of a site."""

    @property
    def identity(self) -> Path:
        """Who the site is."""
        return self.path / "site.yaml"

    @property
    def policy(self) -> Path:
        """What may leave the site."""
        return self.path / "policy.yaml"

    @property
    def request(self) -> Path:
        """Folder of the key and the request."""
        return self.path / "request"

    @property
    def kit(self) -> Path:
        """Startup kit."""
        return self.path / "kit"


def read_invitation(path: Path) -> Invitation:
    """Return the invitation of a federation."""
    return read_declared(Invitation, path, _NONE, "Name the file `invitation.yaml` that the coordinator sent.")


def read_identity(path: Path) -> SiteIdentity:
    """Return who a site is."""
    return read_declared(SiteIdentity, path, _NONE, "Run `tomoprofile federation request` first.")


def read_data_contract(path: Path) -> DataContract:
    """Return a data contract that a coordinator wrote."""
    return read_declared(DataContract, path, _NONE, "Write it (docs/federation.md shows one).")
