"""Commands of a federation: how sites join and leave, and who took part."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..logs import LOG
from .command import RESULTS, Commands, add_command, add_config, load

if TYPE_CHECKING:
    from ..config import UNetConfig

_FOLDER = Path("federation")
_EXAMPLE = """\
tomoprofile federation invite --name torso --server ct.example.org --data data.yaml      # coordinator
tomoprofile federation request invitation.yaml --site site_A --organisation hospital_A --modality CT
tomoprofile federation approve site_A.request.zip --fingerprint "5a95 e068 ..."          # coordinator
tomoprofile federation kit site_A.signed.zip --fingerprint "0058 0f3f ..."
tomoprofile federation status"""


def register(commands: Commands) -> None:
    """Add ``federation`` and its steps."""
    federation = add_command(
        commands,
        "federation",
        lambda _: federation.print_help(),
        "let several sites train one model without showing each other their scans: join, leave, see who took part",
        _EXAMPLE,
    )
    steps = federation.add_subparsers(metavar="STEP", help="each has its own --help")
    _register_coordinator(steps)
    _register_site(steps)
    status = _add_step(
        steps, "status", _status, "show the members, and weeks before it happens which certificates expire", ""
    )
    status.add_argument("--earlier", type=Path, help="a copy of the log, whose lines must still be there")
    _add_folder(status, "of a coordinator or a site")


def _register_coordinator(steps: Commands) -> None:
    invite = _add_step(
        steps,
        "invite",
        _invite,
        "coordinator: found a federation, and write the invitation for the sites",
        "--name torso --server ct.example.org --data data.yaml",
    )
    invite.add_argument("--name", required=True, help="of the federation: letters, digits, `_` and `-`")
    invite.add_argument("--server", required=True, help="host name of the server, as the sites reach it")
    invite.add_argument("--port", type=int, default=8002, help="the one port that they connect to")
    invite.add_argument("--data", type=Path, required=True, help="data that every site must have (docs/federation.md)")
    _add_folder(invite, "is created")

    approve = _add_step(
        steps,
        "approve",
        _approve,
        "coordinator: sign the request of a site that has read its fingerprint to you",
        'site_A.request.zip --fingerprint "5a95 e068 ..."',
    )
    approve.add_argument("request", type=Path, help="the file that the site sent")
    approve.add_argument("--fingerprint", help="of its key, as the site told it by telephone")
    approve.add_argument("--days", type=int, default=365, help="for which the certificate holds")
    _add_folder(approve, "of the coordinator")

    agree = _add_step(
        steps,
        "agree",
        _agree,
        "coordinator: print the settings that follow from the fingerprints of all sites, for the configuration of each",
        "site_A.fingerprint.safetensors site_B.fingerprint.safetensors",
    )
    agree.add_argument("fingerprints", type=Path, nargs="+", help="the files that the sites sent")
    _add_model(agree)

    pool = _add_step(
        steps,
        "pool",
        _pool,
        "coordinator: add up how the cases of all sites differ, so that each can draw new shapes from all of them",
        "site_A.deformations.safetensors site_B.deformations.safetensors --template template.safetensors",
    )
    pool.add_argument("sums", type=Path, nargs="+", help="the files that the sites sent")
    pool.add_argument("--template", type=Path, required=True, help="the file to which all registered their cases")
    pool.add_argument("--out", type=Path, default=Path("pooled.safetensors"), help="the sums, for all sites")
    _add_model(pool)

    server = _add_step(steps, "serve", _serve, "coordinator: run the server in the foreground, until it is ended", "")
    server.add_argument("--heartbeat", type=float, default=60.0, help="seconds without a sign of life of a site")
    _add_folder(server, "of the coordinator")

    renew = _add_step(steps, "renew", _renew, "coordinator: make new certificates for server and coordinator", "")
    _add_folder(renew, "of the coordinator")

    revoke = _add_step(
        steps,
        "revoke",
        _revoke,
        "coordinator: never let a site in again, whatever its certificate says",
        'site_A --why "its key was lost"',
    )
    revoke.add_argument("site", help="its name")
    revoke.add_argument("--why", required=True, help="the reason, for the log")
    _add_folder(revoke, "of the coordinator")

    page = _add_step(steps, "page", _page, "coordinator: write who took part in which round as one HTML file", "")
    page.add_argument("--out", type=Path, default=Path("federation.html"), help="the page")
    _add_folder(page, "of the coordinator")


def _add_model(step: argparse.ArgumentParser) -> None:
    step.add_argument("--model", default="default", help="name of the model in the configuration")
    add_config(step)
    _add_folder(step, "of the coordinator")


def _register_site(steps: Commands) -> None:
    request = _add_step(
        steps,
        "request",
        _request,
        "site: make a key, which stays here, and the request for the coordinator; again, to renew a certificate",
        "invitation.yaml --site site_A --organisation hospital_A --modality CT",
    )
    request.add_argument("invitation", type=Path, help="the file that the coordinator sent")
    request.add_argument("--site", required=True, help="name of the site: letters, digits, `_` and `-`")
    request.add_argument("--organisation", required=True, help="the institution: letters, digits and `_`")
    request.add_argument("--modality", required=True, help="kind of its images, such as CT")
    _add_folder(request, "is created")

    kit = _add_step(
        steps,
        "kit",
        _kit,
        "site: make the startup kit from the answer of the coordinator, who has read the fingerprint to you",
        'site_A.signed.zip --fingerprint "0058 0f3f ..."',
    )
    kit.add_argument("answer", type=Path, help="the file that the coordinator sent")
    kit.add_argument("--fingerprint", help="of the root certificate, as the coordinator told it by telephone")
    _add_folder(kit, "of the site")

    check = _add_step(
        steps, "check", _check, "site: compare labels and scans with what the federation asks for", "--model default"
    )
    check.add_argument("--model", default="default", help="name of the model in the configuration")
    check.add_argument("--results", type=Path, default=RESULTS, help="the folder set in `results:`")
    add_config(check)
    _add_folder(check, "of the site")

    leave = _add_step(steps, "leave", _leave, "site: remove key and startup kit", "")
    _add_folder(leave, "of the site")


def _add_step(steps: Commands, name: str, run, told: str, example: str) -> argparse.ArgumentParser:
    return add_command(steps, name, run, told, f"tomoprofile federation {name} {example}".rstrip())


def _add_folder(step: argparse.ArgumentParser, what: str) -> None:
    step.add_argument("--folder", type=Path, default=_FOLDER, help=f"folder of the federation; {what}")


def _invite(options: argparse.Namespace) -> None:
    from ..federate.certificates import in_groups
    from ..federate.folders import CoordinatorFolder, read_data_contract
    from ..federate.joining import invite

    data = read_data_contract(options.data)
    made = invite(options.folder, options.name, options.server, options.port, data)
    LOG.info("send %s to the sites, and read this to those who call:", CoordinatorFolder(options.folder).invitation)
    print(in_groups(made.root))


def _request(options: argparse.Namespace) -> None:
    from ..federate.certificates import in_groups
    from ..federate.declared import checked
    from ..federate.folders import SiteFolder, SiteIdentity
    from ..federate.joining import request

    told = {"site": options.site, "organisation": options.organisation, "modality": options.modality}
    made, key = request(options.folder, options.invitation, checked(SiteIdentity, told, "request"))
    LOG.info("send %s to the coordinator, and read this by telephone:", made)
    print(in_groups(key))
    LOG.info("look at what may leave this site: %s", SiteFolder(options.folder).policy)


def _approve(options: argparse.Namespace) -> None:
    from ..federate.joining import approve

    LOG.info("send %s to the site", approve(options.folder, options.request, options.fingerprint, options.days))


def _serve(options: argparse.Namespace) -> int:
    from ..federate.serving import serve

    return serve(options.folder, options.heartbeat)


def _renew(options: argparse.Namespace) -> None:
    from ..federate.certificates import Certificate
    from ..federate.folders import CoordinatorFolder
    from ..federate.joining import make_own_kits

    make_own_kits(options.folder)
    ends = Certificate.of_kit(CoordinatorFolder(options.folder).server).ends
    LOG.info("both certificates hold until %s; start the server again", f"{ends:%Y-%m-%d}")


def _kit(options: argparse.Namespace) -> None:
    from ..federate.joining import make_kit

    made = make_kit(options.folder, options.answer, options.fingerprint)
    LOG.info("%s can take part until %s", made.name, f"{made.ends:%Y-%m-%d}")


def _check(options: argparse.Namespace) -> None:
    from ..errors import ConfigError, Fault
    from ..federate.entry import check_data
    from ..federate.folders import SiteFolder
    from ..labels.training_set import read_training_set
    from ..layout import Layout

    labels = Layout(options.results).training_set(options.model)
    if not labels.is_file():
        remedy = f"Run `snakemake {labels}` first."
        raise ConfigError(Fault(str(labels), "", "the labels of the model were not gathered yet", remedy))
    check_data(SiteFolder(options.folder), read_training_set(labels), _model(options))


def _agree(options: argparse.Namespace) -> None:
    from ..federate.agreement import settle
    from ..federate.folders import CoordinatorFolder

    agreed = settle(CoordinatorFolder(options.folder), options.fingerprints, _model(options))
    print(f"input_scale: {agreed.config.input_scale:g}\ncrop: {agreed.config.crop}")
    for doubt in agreed.doubts:
        LOG.warning("%s", doubt)


def _pool(options: argparse.Namespace) -> None:
    from ..federate.agreement import pool_sums
    from ..federate.folders import CoordinatorFolder

    classes = len(_model(options).classes)
    pool_sums(CoordinatorFolder(options.folder), options.sums, options.template, classes, options.out)


def _model(options: argparse.Namespace) -> UNetConfig:
    """Return the settings of a model that learns from labels."""
    from ..config import UNetConfig, read_config
    from ..errors import ConfigError, Fault

    model = read_config(load(options.config), str(options.config)).models.get(options.model)
    if not isinstance(model, UNetConfig):
        raise ConfigError(Fault("models", options.model, "it is no model that learns from labels", "Name another one."))
    return model


def _status(options: argparse.Namespace) -> None:
    from ..federate.certificates import Certificate, in_groups
    from ..federate.folders import CoordinatorFolder, SiteFolder, read_invitation
    from ..federate.log import check_anchors, read_log
    from ..federate.members import members

    mine, site = CoordinatorFolder(options.folder), SiteFolder(options.folder)
    invitation = read_invitation(mine.invitation)
    entries = read_log(mine.log)
    if options.earlier:
        seen = check_anchors(mine.log, (entry.anchor for entry in read_log(options.earlier)))
        print(f"all {seen} lines of {options.earlier} are still there")
    print(f"{invitation.name}: root {in_groups(invitation.root)}")
    print(f"log of {len(entries)} lines is whole; the last is {entries[-1].digest}")
    kits = (mine.server, mine.coordinator) if mine.authority.exists() else (site.kit,)
    for kit in kits:
        if not kit.exists():
            print(f"{kit.name}: not there")
            continue
        own = Certificate.of_kit(kit)
        print(f"{kit.name} of {own.name}: {own.state()}, until {own.ends:%Y-%m-%d}")
    if mine.authority.exists():
        for one in members(mine.log).values():
            print(f"{one.name} ({one.organisation}): {one.state()}, until {one.until:%Y-%m-%d}, {one.rounds} rounds")


def _revoke(options: argparse.Namespace) -> None:
    from ..federate.folders import CoordinatorFolder
    from ..federate.members import revoke
    from ..federate.serving import shut_out

    mine = CoordinatorFolder(options.folder)
    revoke(mine.log, options.site, options.why, mine.server)
    runs = shut_out(mine, options.site)
    then = (
        "the server that runs no longer lets it in" if runs else "no server runs; when it starts, it will not let it in"
    )
    LOG.info("%s is revoked; %s", options.site, then)


def _leave(options: argparse.Namespace) -> None:
    from ..federate.joining import leave

    LOG.info("key and kit of %s are removed; tell the coordinator, who revokes the name", leave(options.folder))


def _page(options: argparse.Namespace) -> None:
    from ..federate.folders import CoordinatorFolder
    from ..report.federation import report_federation

    report_federation(CoordinatorFolder(options.folder).log, options.out)
