"""Certificates of a federation: whose they are, how long they hold, and the fingerprints that people compare."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ..errors import Fault, FederationError
from ..logs import LOG

_WEEKS_AHEAD = 6  # an expiry is shown; a renewal takes a site and the coordinator a few days
_DIGITS = 64
_NAMES = ("client.crt", "server.crt")  # of the certificate in a startup kit


@dataclass(frozen=True)
class Certificate:
    """What a certificate says.

    Attributes
    ----------
    name, organisation : str
    key : str
        SHA-256 of the public key.
    begins, ends : datetime
        UTC.
    """

    name: str
    organisation: str
    key: str
    begins: datetime
    ends: datetime

    @classmethod
    def of_kit(cls, kit: Path) -> Certificate:
        """Return the certificate in a startup kit.

        Raises
        ------
        FederationError
            When there is none.
        """
        found = [path for name in _NAMES if (path := kit / "startup" / name).is_file()]
        if not found:
            remedy = "Name the folder that `tomoprofile federation kit` wrote."
            raise FederationError(Fault(str(kit), "", "the folder holds no startup kit with a certificate", remedy))
        return cls.of_bytes(found[0].read_bytes(), str(found[0]))

    @classmethod
    def of_bytes(cls, pem: bytes, where: str) -> Certificate:
        """Return the certificate in PEM text."""
        try:
            read = x509.load_pem_x509_certificate(pem)
            name, organisation = (_of_subject(read.subject, oid) for oid in _SUBJECT)
        except ValueError as error:
            problem = f"it is no certificate: {error}"
            raise FederationError(Fault(where, "", problem, "Ask the coordinator for a new one.")) from None
        return cls(name, organisation, _of_key(read), read.not_valid_before_utc, read.not_valid_after_utc)

    def days_left(self, now: datetime | None = None) -> int:
        """Return for how many whole days it still holds; negative after its end."""
        return days_until(self.ends, now)

    def state(self, now: datetime | None = None) -> str:
        """Return in words whether it holds."""
        return state_until(self.ends, now)

    def check(self, where: str, now: datetime | None = None) -> None:
        """Check that it holds now, and warn weeks before its end.

        Raises
        ------
        FederationError
            When it has expired, or the clock of this machine is before its beginning.
        """
        now = now or datetime.now(UTC)
        if now >= self.ends:
            remedy = "Renew it: `tomoprofile federation request` makes a new request (docs/federation.md)."
            raise FederationError(Fault(where, f"{self.ends:%Y-%m-%d}", "the certificate has expired", remedy))
        if now < self.begins:
            problem = f"the certificate holds from {self.begins:%Y-%m-%d %H:%M} UTC on"
            remedy = "Set the clock of this machine, or that of the coordinator."
            raise FederationError(Fault(where, f"{now:%Y-%m-%d %H:%M} UTC", problem, remedy))
        if expires_soon(self.ends, now):
            LOG.warning(
                "%s: the certificate of %s expires in %d days, on %s",
                *(where, self.name, self.days_left(now), f"{self.ends:%Y-%m-%d}"),
            )


def days_until(end: datetime, now: datetime | None = None) -> int:
    """Return the whole days until an end; negative after it."""
    return (end - (now or datetime.now(UTC))) // timedelta(days=1)


def expires_soon(end: datetime, now: datetime | None = None) -> bool:
    """Whether it is time to renew a certificate."""
    return days_until(end, now) < 7 * _WEEKS_AHEAD


def state_until(end: datetime, now: datetime | None = None) -> str:
    """Return in words whether a certificate with this end holds."""
    days = days_until(end, now)
    return "expired" if days < 0 else f"expires in {days} days" if expires_soon(end, now) else "valid"


def key_of_request(pem: bytes, where: str) -> str:
    """Return the SHA-256 of the public key in a signing request whose signature is right.

    Raises
    ------
    FederationError
        When it is none.
    """
    try:
        request = x509.load_pem_x509_csr(pem)
        if request.is_signature_valid:
            return _of_key(request)
    except ValueError:
        pass
    raise FederationError(Fault(where, "", "it holds no signing request", "Ask the site to send its request again."))


def root_of(path: Path) -> str:
    """Return the fingerprint of a root certificate, as `openssl x509 -fingerprint -sha256` has it."""
    read = x509.load_pem_x509_certificate(path.read_bytes())
    return hashlib.sha256(read.public_bytes(Encoding.DER)).hexdigest()


def in_groups(fingerprint: str) -> str:
    """Return a fingerprint as people read it to each other."""
    plain = digits_of(fingerprint)
    return " ".join(plain[n : n + 4] for n in range(0, len(plain), 4))


def digits_of(fingerprint: str) -> str:
    """Return the 64 hexadecimal digits of a fingerprint, in whichever way it is written; empty where it is none."""
    plain = re.sub(r"[\s:]", "", re.sub(r"(?i)^\s*sha-?256\s*[:=]?", "", fingerprint)).lower()
    return plain if re.fullmatch(rf"[0-9a-f]{{{_DIGITS}}}", plain) else ""


def compare(given: str | None, actual: str, where: str, whom: str) -> None:
    """Compare the fingerprint that a person was told with that of a file.

    Parameters
    ----------
    given : str or None
    actual : str
    where : str
        The file.
    whom : str
        Who can tell it.

    Raises
    ------
    FederationError
        When none was given, or they differ.
    """
    ask = f"Call {whom}, not by a number from the same mail, and let them read it to you; then give it with"
    remedy = f"{ask} `--fingerprint`."
    if not given:
        raise FederationError(Fault(where, in_groups(actual), "nobody has confirmed this fingerprint", remedy))
    if digits_of(given) != digits_of(actual):
        problem = f"the fingerprint of the file is {in_groups(actual)}: it is not the one that was told"
        raise FederationError(Fault(where, given, problem, f"Do not use the file. {remedy}"))


_SUBJECT = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)


def _of_subject(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _of_key(read: x509.Certificate | x509.CertificateSigningRequest) -> str:
    plain = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(plain).hexdigest()
