"""The validator of RO-Crates, without a network: it is given the terms of the context in a cache of its own."""

from __future__ import annotations

import json
from pathlib import Path

import requests
from requests_cache import CachedSession
from rocrate_validator import services
from rocrate_validator.models import Severity
from urllib3 import HTTPResponse

PROFILE = "workflow-run-crate-0.5"  # which includes Workflow RO-Crate 1.0, Process Run Crate 0.5 and RO-Crate 1.1
# What https://w3id.org/ro/crate/1.1/context says of the terms that are used; the validator knows no other.
SCHEMA = """\
about actionStatus additionalType contentSize datePublished description encodingFormat endTime exampleOfWork
hasPart identifier instrument license mainEntity mentions name object programmingLanguage result softwareRequirements
softwareVersion startTime url value version workExample ComputerLanguage CreateAction CreativeWork Dataset PropertyValue
SoftwareApplication SoftwareSourceCode"""
BIOSCHEMAS = "https://bioschemas.org/"
CONTEXT = {name: f"http://schema.org/{name}" for name in SCHEMA.split()} | {
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "File": "http://schema.org/MediaObject",
    "ComputationalWorkflow": f"{BIOSCHEMAS}ComputationalWorkflow",
    "FormalParameter": f"{BIOSCHEMAS}FormalParameter",
    "input": f"{BIOSCHEMAS}ComputationalWorkflow#input",
    "output": f"{BIOSCHEMAS}ComputationalWorkflow#output",
}


def issues(crate: Path, severity: Severity) -> list[str]:
    """Return what the validator finds wrong with a folder, from some severity on."""
    cache = crate.parent / "validator_cache"
    _remember("https://w3id.org/ro/crate/1.1/context", {"@context": CONTEXT}, cache)
    settings = services.ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier=PROFILE,
        requirement_severity=severity,
        offline=True,
        cache_path=cache,
    )
    return [f"{issue.check.identifier} {issue.message}" for issue in services.validate(settings).get_issues()]


def _remember(url: str, document: object, cache: Path) -> None:
    response = requests.Response()
    response.status_code, response.url, response._content = 200, url, json.dumps(document).encode()
    response.headers["Content-Type"] = "application/ld+json"
    response.request = requests.Request("GET", url).prepare()
    response.raw = HTTPResponse(b"", status=200)
    CachedSession(str(cache), backend="sqlite", expire_after=-1).cache.save_response(response)
