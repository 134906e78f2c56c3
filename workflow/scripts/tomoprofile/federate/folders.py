"""What a coordinator and a site have in their folders: the invitation, who a site is, keys, kits and logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..config_file import load_config
from ..config_profile import Section
from ..errors import Fault, FederationError
from ..texts import shown
from ..validation import sentence
from .data_contract import DataContract, Modality

_NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=_NAME, max_length=60)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Invitation(Section):
    """What the coordinator gives to every site; nothing in it is secret."""

    name: Name = Field(description="Name of the federation.")
    server: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", max_length=200)] = Field(
        description="Host name of the server, as sites reach it."
    )
    port: Port = Field(description="The one port that sites connect to.")
    root: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="Fingerprint of the root certificate.")
    data: DataContract = Field(description="Data that a site must have.")


class NamedSite(Section):
    """A site, by its name, which becomes files and folders."""

    site: Name = Field(description="Its name.")


class SiteIdentity(NamedSite):
    """Who a site is, as it said itself."""

    organisation: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", max_length=60)] = Field(
        description="Its institution."
    )
    modality: Modality = Field(description="Kind of its images.")


@dataclass(frozen=True)
class CoordinatorFolder:
    """Files of a coordinator; `ca` holds the one key that must never be lost or copied.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @property
    def invitation(self) -> Path:
        """For the sites."""
        return self.path / "invitation.yaml"

    @property
    def log(self) -> Path:
        """Who was approved, who took part, who was revoked."""
        return self.path / "log.jsonl"

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


@dataclass(frozen=True)
class SiteFolder:
    """Files of a site.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @property
    def invitation(self) -> Path:
        """As the coordinator sent it."""
        return self.path / "invitation.yaml"

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

    @property
    def log(self) -> Path:
        """What the site did and saw."""
        return self.path / "log.jsonl"


def read_invitation(path: Path) -> Invitation:
    """Return the invitation of a federation."""
    return _read(Invitation, path, "Name the file `invitation.yaml` that the coordinator sent.")


def read_identity(path: Path) -> SiteIdentity:
    """Return who a site is."""
    return _read(SiteIdentity, path, "Run `tomoprofile federation request` first.")


def read_data_contract(path: Path) -> DataContract:
    """Return a data contract that a coordinator wrote."""
    return _read(DataContract, path, "Write it (docs/federation.md shows one).")


def _read(kind: type[Section], path: Path, remedy: str) -> Any:
    if not path.is_file():
        raise FederationError(Fault(str(path), "", "there is no such file", remedy))
    return checked(kind, load_config(path), str(path))


def checked(kind: type[Section], values: dict[str, Any], where: str = "federation") -> Any:
    """Return values as a section.

    Raises
    ------
    FederationError
        With one fault for each wrong value.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = [
            Fault(
                f"{where}: {'.'.join(map(str, item['loc']))}",
                "" if item["type"] in ("missing", "value_error") else shown(item["input"]),
                "unknown key" if item["type"] == "extra_forbidden" else sentence(item),
                "Correct it; docs/federation.md shows an example.",
            )
            for item in error.errors()
        ]
        raise FederationError(*faults) from None
