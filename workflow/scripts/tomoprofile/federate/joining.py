"""How a site joins: invitation, request, approval by fingerprint, and startup kit. No key leaves its machine.

Both sides compare a fingerprint by telephone: the coordinator that of the site's key, so that nobody else is let in,
and the site that of the coordinator's root certificate, so that it sends nothing to a stranger.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..config_file import load_config
from ..errors import Fault, FederationError
from ..files import whole_file
from ..texts import shown
from .certificates import Certificate, compare, expires_soon, in_groups, key_of_request, root_of
from .data_contract import DataContract
from .declared import checked
from .folders import (
    CoordinatorFolder,
    Invitation,
    NamedSite,
    SiteFolder,
    SiteIdentity,
    read_identity,
    read_invitation,
)
from .log import append
from .members import Member, members
from .tool import flare

_COORDINATOR = "coordinator@{name}.org"  # FLARE wants the name of a person to look like an address
_VALID_DAYS = 365
_MOST_BYTES = 10**6  # of a request or an answer, and of a file in it
_POLICY = """\
# What may leave this site; nothing that the coordinator sends changes it (docs/federation.md).
allow:
  weights: {}
  counts: {}
  metrics: {}
# quantiles: {}         # of grey values
# deformation_sums: {}  # over 20 cases or more
"""


def invite(folder: Path, name: str, server: str, port: int, data: DataContract) -> Invitation:
    """Found a federation: root certificate, kits of server and coordinator, and the invitation for the sites.

    Raises
    ------
    FederationError
        When the folder has one already, or FLARE refuses a name.
    """
    mine = CoordinatorFolder(folder)
    if mine.authority.exists():
        remedy = "Name another folder; sites join the one that is there."
        raise FederationError(Fault(str(folder), "", "the folder has a federation already", remedy))
    known = checked(
        Invitation, {"name": name, "server": server, "port": port, "root": "0" * 64, "data": data}, "invite"
    )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    ports = {"fed_learn_port": port, "admin_port": port}
    profile = {"name": name, "scheme": "grpc", "connection_security": "mtls", "server": {"host": server, **ports}}
    _write_yaml(mine.profile, profile)
    try:
        flare("cert", "init", "--profile", str(mine.profile), "-o", str(mine.authority))
        make_own_kits(folder)
    except BaseException:
        shutil.rmtree(mine.authority, ignore_errors=True)  # nobody has been invited yet
        raise
    invitation = known.model_copy(update={"root": root_of(mine.authority / "rootCA.pem")})
    append(mine.log, "founded", name=name, root=invitation.root, data=data.model_dump(mode="json"))
    _write_yaml(mine.invitation, invitation.model_dump(mode="json"))
    return invitation


def make_own_kits(folder: Path) -> None:
    """Make the startup kits of server and coordinator, with new keys: when a federation begins, and to renew them."""
    mine = CoordinatorFolder(folder)
    profile = load_config(mine.profile)
    name, (host, *ports) = profile["name"], profile["server"].items()
    for kit, told in (
        (mine.server, {"name": host[1], "type": "server", **dict(ports)}),
        (mine.coordinator, {"name": _COORDINATOR.format(name=name), "type": "admin", "role": "lead"}),
    ):
        with _scratch(folder) as scratch:
            made = _made_request(scratch, name, told | {"org": "coordinator"})
            signed = _signed(mine, made, scratch / "answer.signed.zip")
            _packaged(signed, made.parent, root_of(mine.authority / "rootCA.pem"), kit, scratch)


def request(folder: Path, invitation: Path, identity: SiteIdentity) -> tuple[Path, str]:
    """Make the key of a site and a signing request; return the file for the coordinator, and the key's fingerprint.

    For a renewal, call it again: the key is made anew.
    """
    mine = SiteFolder(folder)
    known = read_invitation(invitation)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shutil.rmtree(mine.request, ignore_errors=True)
    with _scratch(folder) as scratch:
        told = {"name": identity.site, "type": "client", "org": identity.organisation}
        made = _made_request(scratch, known.name, told)
        made.parent.rename(mine.request)
    made = mine.request / made.name
    key = key_of_request((mine.request / f"{identity.site}.csr").read_bytes(), str(made))
    if invitation.resolve() != mine.invitation.resolve():
        shutil.copy(invitation, mine.invitation)
    _write_yaml(mine.identity, identity.model_dump(mode="json"))
    if not mine.policy.exists():
        mine.policy.write_text(_POLICY, encoding="utf-8")
    append(mine.log, "requested", federation=known.name, site=identity.site, key=key)
    return made, key


def approve(folder: Path, request_file: Path, fingerprint: str | None, valid_days: int = _VALID_DAYS) -> Path:
    """Sign the request of a site whose fingerprint was confirmed; return the file for the site.

    Raises
    ------
    FederationError
        When the fingerprint was not confirmed, the request is for anything but a site, or its name is taken or revoked.
    """
    mine = CoordinatorFolder(folder)
    read_invitation(mine.invitation)
    data = _read_small(request_file)
    files = _members_of(data, request_file)
    told = _checked_json(files.get("request.json", b""), request_file)
    name = checked(NamedSite, {"site": told.get("name")}, str(request_file)).site
    if told.get("cert_type") != "client" or told.get("kind") != "site":
        problem = "the request asks for more than the part of a site"
        got, remedy = shown(told.get("cert_type")), "Refuse it; nobody but the coordinator has another role."
        raise FederationError(Fault(str(request_file), got, problem, remedy))
    key = key_of_request(files.get(f"{name}.csr", b""), str(request_file))
    _check_name(name, members(mine.log).get(name))
    compare(fingerprint, key, str(request_file), name)
    out = folder / "signed" / f"{name}.signed.zip"
    out.parent.mkdir(exist_ok=True)
    with _scratch(folder) as scratch:
        # What was looked at is signed, whatever happens to the file meanwhile.
        kept = scratch / f"{name}.request.zip"
        kept.write_bytes(data)
        signed = _signed(mine, kept, scratch / "answer.signed.zip", valid_days)
        certificate = Certificate.of_bytes(_members_of(_read_small(signed), signed)[f"{name}.crt"], str(signed))
        if (certificate.name, certificate.key) != (name, key):
            problem = "the certificate is not that of the request"
            raise FederationError(Fault(str(signed), certificate.name, problem, "Do not send it."))
        with whole_file(out) as partial:
            shutil.copy(signed, partial)
    until = certificate.ends.isoformat(timespec="seconds")
    append(mine.log, "approved", site=name, organisation=certificate.organisation, key=key, until=until)
    return out


def make_kit(folder: Path, signed: Path, fingerprint: str | None) -> Certificate:
    """Make the startup kit of a site from the coordinator's answer and the site's own key.

    Raises
    ------
    FederationError
        When the root certificate was not confirmed, or is not that of the invitation, or the answer is for another key.
    """
    mine = SiteFolder(folder)
    invitation = read_invitation(mine.invitation)
    data = _read_small(signed)
    files = _members_of(data, signed)
    with _scratch(folder) as scratch:
        kept, root = scratch / "answer.signed.zip", scratch / "rootCA.pem"
        kept.write_bytes(data)
        root.write_bytes(files.get("rootCA.pem", b""))
        try:
            found = root_of(root)
        except ValueError:
            problem = "it holds no root certificate"
            raise FederationError(Fault(str(signed), "", problem, "Ask the coordinator to send it again.")) from None
        if found != invitation.root:
            problem = "its root certificate is not that of the invitation"
            remedy = "Do not use it; ask the coordinator."
            raise FederationError(Fault(str(signed), in_groups(found), problem, remedy))
        compare(fingerprint, found, str(signed), "the coordinator")
        _packaged(kept, mine.request, found, mine.kit, scratch)
    certificate = Certificate.of_kit(mine.kit)
    certificate.check(str(mine.kit))
    append(mine.log, "joined", federation=invitation.name, until=certificate.ends.isoformat(timespec="seconds"))
    return certificate


def leave(folder: Path) -> str:
    """Remove key and kit of a site, which cannot take part any more; return its name."""
    mine = SiteFolder(folder)
    name = read_identity(mine.identity).site
    shutil.rmtree(mine.kit, ignore_errors=True)
    shutil.rmtree(mine.request, ignore_errors=True)
    append(mine.log, "left", site=name)
    return name


def _check_name(name: str, known: Member | None) -> None:
    if known is None:
        return
    if known.revoked:
        problem, remedy = "the site was revoked", "Let it ask for another name, if it may take part again."
        raise FederationError(Fault(name, known.why, problem, remedy))
    if not expires_soon(known.until):
        problem = f"the name is taken, by a certificate until {known.until:%Y-%m-%d}"
        remedy = "Revoke it, if its key was lost; then let the site ask for another name."
        raise FederationError(Fault(name, "", problem, remedy))


def _made_request(scratch: Path, federation: str, told: dict[str, Any]) -> Path:
    """Make a key and a request; return the file of the request, beside its key."""
    asked, out = scratch / "participant.yaml", scratch / "request"
    _write_yaml(asked, {"name": federation, "participants": [told]})
    flare("cert", "request", "-p", str(asked), "--out", str(out))
    asked.unlink()
    return out / f"{told['name']}.request.zip"


def _signed(mine: CoordinatorFolder, made: Path, out: Path, days: int = _VALID_DAYS) -> Path:
    words = "-c", str(mine.authority), "--profile", str(mine.profile), "--valid-days", str(days), "--out", str(out)
    flare("cert", "approve", str(made), *words)
    return out


def _packaged(signed: Path, request_folder: Path, root: str, kit: Path, scratch: Path) -> None:
    """Make a startup kit in place of any earlier one."""
    words = "-w", str(scratch / "made"), "--request-dir", str(request_folder), "--fingerprint", root
    made = flare("package", str(signed), *words)
    shutil.rmtree(kit, ignore_errors=True)
    Path(made["output_dir"]).rename(kit)
    kit.chmod(0o700)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder that nobody else can enter, beside the results: keys pass through it."""
    made = tempfile.mkdtemp(prefix=".making-", dir=folder)
    try:
        yield Path(made).resolve()
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _read_small(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            got = f"{path.stat().st_size} bytes"
            raise FederationError(Fault(str(path), got, "the file is larger than any request", "Is it the right one?"))
        return path.read_bytes()
    except OSError as error:
        problem = f"the file cannot be read: {error.strerror}"
        raise FederationError(Fault(str(path), "", problem, "Is it the right one?")) from None


def _members_of(data: bytes, path: Path) -> dict[str, bytes]:
    """Return the files in a zip archive, none of which is large, and each of which is there once."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = archive.infolist()
            if (
                len({one.filename for one in inside}) < len(inside)
                or sum(one.file_size for one in inside) > _MOST_BYTES
            ):
                raise zipfile.BadZipFile("it holds too much, or a name twice")
            return {one.filename: archive.read(one) for one in inside}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        problem = f"it is no request or answer of a federation: {error}"
        raise FederationError(Fault(str(path), "", problem, "Ask for the file again.")) from None


def _checked_json(text: bytes, path: Path) -> dict[str, Any]:
    try:
        told = json.loads(text)
        if isinstance(told, dict):
            return told
    except (ValueError, RecursionError):
        pass
    raise FederationError(Fault(str(path), "", "it holds no request of a site", "Ask the site to send it again."))


def _write_yaml(path: Path, values: dict[str, Any]) -> None:
    with whole_file(path) as partial, os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        yaml.safe_dump(values, file, sort_keys=False)
