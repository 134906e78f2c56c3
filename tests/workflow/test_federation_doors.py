"""Who comes in at a real server with mutual TLS, and what a job of a coordinator can have done at a site."""

import json
import shutil
import socket
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from flare import free_port, wait_until

from tomoprofile.cli import main
from tomoprofile.errors import FederationError, StageError
from tomoprofile.federate import joining
from tomoprofile.federate.data_contract import DataContract
from tomoprofile.federate.flare_jobs import _Commands
from tomoprofile.federate.flare_kit import prepare_server, prepare_site, write_json
from tomoprofile.federate.flare_part import running
from tomoprofile.federate.folders import CoordinatorFolder, SiteFolder, SiteIdentity, read_invitation
from tomoprofile.federate.members import revoke, write_revoked

pytest.importorskip("nvflare", reason="the extra `federated` is not installed")

DATA = DataContract(classes=("background", "liver"), voxel_size_um=(1000, 1000, 1000), modality="CT")
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # how a client of HTTP/2 begins
_LOST = "authenticated as 'site_A' but claimed endpoint 'site_Z'"


def joined(coordinator, folder, name):
    """Return the folder of a site that was let in."""
    identity = SiteIdentity(site=name, organisation="hospital", modality="CT")
    made, key = joining.request(folder, coordinator.invitation, identity)
    answer = joining.approve(coordinator.path, made, key)
    joining.make_kit(folder, answer, read_invitation(coordinator.invitation).root)
    return SiteFolder(folder)


def let_expire(coordinator, site):
    """Give a site the certificate that it had last year."""
    path = site.kit / "startup/client.crt"
    own = x509.load_pem_x509_certificate(path.read_bytes())
    day = datetime.now(UTC) - timedelta(days=1)
    subject = own.issuer, own.subject, own.public_key(), own.serial_number
    made = x509.CertificateBuilder(*subject, day - timedelta(days=365), day)
    for extension in own.extensions:
        made = made.add_extension(extension.value, extension.critical)
    key = serialization.load_pem_private_key((coordinator.authority / "rootCA.key").read_bytes(), None)
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """Return a server that runs, and sites: a member, one that was revoked, an expired one, and a stranger."""
    home = tmp_path_factory.mktemp("doors")
    mine, strange = CoordinatorFolder(home / "coordinator"), CoordinatorFolder(home / "strange")
    port = free_port()
    joining.invite(mine.path, "doors", "localhost", port, DATA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joining, "make_own_kits", lambda _: None)
        joining.invite(strange.path, "doors", "localhost", port, DATA)
    sites = {name: joined(mine, home / name, name) for name in ("site_A", "site_B", "site_C", "site_E")}
    sites["site_S"] = joined(strange, home / "site_S", "site_S")
    shutil.copy(mine.authority / "rootCA.pem", sites["site_S"].kit / "startup/rootCA.pem")  # it trusts this server
    revoke(mine.log, "site_B", "its key was lost", mine.server)
    let_expire(mine, sites["site_E"])
    folder = mine.running.resolve()
    with ExitStack() as stack:
        stack.enter_context(running(prepare_server(mine.server, folder, 10), folder))

        def start(name, uid=None):
            site = home / f"{name}_runs_as_{uid or name}"
            command = prepare_site(sites[name].kit, site)
            told = [word.replace(f"uid={name}", f"uid={uid}") if uid else word for word in command]
            stack.enter_context(running(told, site))
            return site / "said.txt"

        said = folder / "said.txt"
        wait_until(lambda: "Server started" in said.read_text(), said)
        yield SimpleNamespace(mine=mine, sites=sites, port=port, said=said, start=start, home=home)


@pytest.fixture(scope="module")
def member(federation):
    """Return what the process of the member says, which was let in."""
    said = federation.start("site_A")
    wait_until(lambda: "New client site_A@" in federation.said.read_text(), "the member is let in")
    return said


def answer_of(federation, kit):
    """Return what the server answers to the first words of a client: nothing, where TLS refuses its certificate."""
    context = ssl.create_default_context(cafile=federation.mine.authority / "rootCA.pem")
    context.set_alpn_protocols(["h2"])
    if kit is not None:
        context.load_cert_chain(kit / "startup/client.crt", kit / "startup/client.key")
    with socket.create_connection(("localhost", federation.port), timeout=20) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(HELLO)
                return secure.recv(9)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_only_certificates_of_the_federation_that_hold_are_answered(federation):
    assert answer_of(federation, federation.sites["site_A"].kit)
    for site, why in (
        ("site_S", "unable to get local issuer certificate"),
        ("site_E", "certificate has expired"),
        (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ):
        assert answer_of(federation, site and federation.sites[site].kit) == b""
        wait_until(lambda why=why: why in federation.said.read_text(), f"{site} is refused: {why}", 20)


def test_an_expired_site_does_not_even_start(federation):
    with pytest.raises(FederationError, match="the certificate has expired"):
        prepare_site(federation.sites["site_E"].kit, federation.home / "none")


@pytest.mark.usefixtures("member")
def test_a_revoked_site_is_not_let_in_though_its_certificate_holds(federation):
    assert answer_of(federation, federation.sites["site_B"].kit), "TLS knows nothing of it"
    said = federation.start("site_B")
    wait_until(lambda: "Reject disabled client registration: site_B" in federation.said.read_text(), "it is refused")
    wait_until(lambda: "Client 'site_B' is disabled" in said.read_text(), "it is told")
    assert "New client site_B" not in federation.said.read_text()
    assert "New client site_A" in federation.said.read_text()
    # The list comes from the log, and is written anew before each start of the server.
    (federation.mine.server / "disabled_clients.json").unlink()
    assert "site_B" in write_revoked(federation.mine.log, federation.mine.server).read_text()


@pytest.mark.usefixtures("member")
def test_a_site_that_is_revoked_while_the_server_runs_is_shut_out(federation, capsys):
    said = federation.start("site_C")
    wait_until(lambda: "New client site_C@" in federation.said.read_text(), "it is let in")
    told = ["--why", "its key was lost", "--folder", str(federation.mine.path)]
    assert main(["federation", "revoke", "site_C", *told]) == 0
    assert "the server that runs no longer lets it in" in capsys.readouterr().err
    wait_until(lambda: "Client site_C disabled. Removed 1 active" in federation.said.read_text(), "it is shut out", 20)
    wait_until(lambda: said.read_text().count("error:client_quit") > 1, "its signs of life are refused", 30)
    assert federation.said.read_text().count("New client site_C@") == 1


def test_a_site_cannot_take_part_under_the_name_of_another(federation):
    federation.start("site_A", uid="site_Z")
    wait_until(lambda: _LOST in federation.said.read_text(), "it is refused")
    assert "New client site_Z" not in federation.said.read_text()


def job_of(folder, executor, files=()):
    """Write a job as a coordinator could who wants more than training."""
    for part in ("server", "site"):
        (folder / part / "config").mkdir(parents=True)
    deployed = {"server": ["server"], "site": ["site_A"]}
    write_json(
        folder / "meta.json", {"name": folder.name, "resource_spec": {}, "min_clients": 1, "deploy_map": deployed}
    )
    rounds = {"id": "rounds", "path": "tomoprofile.federate.flare_server.Rounds", "args": {}}
    write_json(folder / "server/config/config_fed_server.json", {"format_version": 2, "workflows": [rounds]})
    executors = [{"tasks": ["train"], "executor": executor}]
    write_json(folder / "site/config/config_fed_client.json", {"format_version": 2, "executors": executors})
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


TRAINER = "tomoprofile.federate.flare_site.SiteTrainer"
FLARES_OWN = "nvflare.app_common.executors.client_api_executor.ClientAPIExecutor"


@pytest.mark.deep
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("command", "subprocess.Popen"),
        ("script", FLARES_OWN),
        ("argument", "unexpected keyword argument"),
        ("code", "BYOC"),
    ],
)
def test_a_job_can_have_nothing_done_at_a_site_but_training(federation, member, tmp_path, kind, why):
    mark, told = done_by(federation, member, tmp_path, kind)
    assert why in told
    assert not mark.exists()


@pytest.mark.deep
def test_the_list_of_the_site_is_what_stops_it(federation, member, tmp_path):
    """The mutant: a site that lets a job have any class runs its command."""
    resources = member.parent / "local/resources.json"
    kept = resources.read_text()
    resources.write_text(json.dumps(json.loads(kept) | {"class_list_enforcement_mode": "warn"}))
    try:
        mark, _ = done_by(federation, member, tmp_path, "command")
    finally:
        resources.write_text(kept)
    assert mark.exists()


def done_by(federation, member, folder, kind):
    """Have a job run; return the file that its own code would write, and what is told of it."""
    mark = folder / "done"
    bad = f"import pathlib; pathlib.Path({str(mark)!r}).touch()\nclass Bad: pass\n"
    script = {"execution_mode": "in_process", "task_script_path": "bad.py"}
    executor, files = {
        "command": ({"path": "subprocess.Popen", "args": {"args": ["touch", str(mark)]}}, ()),
        "script": ({"path": FLARES_OWN, "args": script}, [("site/config/bad.py", bad)]),
        "argument": ({"path": TRAINER, "args": {"task_script_path": "bad.py"}}, ()),
        "code": ({"path": "bad.Bad", "args": {}}, [("site/custom/bad.py", bad)]),
    }[kind]
    job = job_of(folder / kind, executor, files)
    commands = _Commands(federation.mine.coordinator, folder)
    try:
        number = commands.submit(job, folder.name)
        assert not commands.wait(number, 120)
        told = str(commands._asked("meta", number))
    except StageError as error:
        told = str(error)
    return mark, told + "".join(path.read_text(errors="replace") for path in member.parent.rglob("*.txt"))
