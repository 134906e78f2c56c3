"""How sites join, are refused, renewed and revoked, with FLARE's own certificates; and who is told what."""

import io
import json
import shutil
import socket
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from page_parser import Page

from tomoprofile.amplify.storage import write_arrays
from tomoprofile.cli import main
from tomoprofile.config import UNetConfig
from tomoprofile.errors import FederationError, TomoprofileError
from tomoprofile.federate import joining, tool
from tomoprofile.federate.certificates import Certificate, compare, digits_of, in_groups, state_until
from tomoprofile.federate.data_contract import DataContract
from tomoprofile.federate.entry import tell
from tomoprofile.federate.folders import CoordinatorFolder, SiteFolder, SiteIdentity, read_invitation
from tomoprofile.federate.log import append, append_new, read_log
from tomoprofile.federate.members import check_sites, members, revoke
from tomoprofile.federate.parcel import read_parcel
from tomoprofile.federate.serving import serve
from tomoprofile.labels.training_set import LabelledSlice, TrainingSet, write_training_set
from tomoprofile.layout import Layout
from tomoprofile.report.federation import report_federation

DATA = DataContract(classes=("background", "liver"), voxel_size_um=(1000, 1000, 1000), modality="CT")
SITE_A = SiteIdentity(site="site_A", organisation="hospital_A", modality="CT")


def now():
    """Return the time; the tests before this one may take an hour."""
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Return a federation of one site, which joined by the commands that people type."""
    home = tmp_path_factory.mktemp("joined")
    mine, site = CoordinatorFolder(home / "coordinator"), SiteFolder(home / "site_A")
    (home / "data.yaml").write_text(yaml.safe_dump(DATA.model_dump(mode="json")))
    invite = ["--name", "torso", "--server", "localhost", "--port", "18002", "--data", str(home / "data.yaml")]
    assert main(["federation", "invite", *invite, "--folder", str(mine.path)]) == 0
    told = ["--site", "site_A", "--organisation", "hospital_A", "--modality", "CT"]
    assert main(["federation", "request", str(mine.invitation), *told, "--folder", str(site.path)]) == 0
    key = read_log(site.log)[0].facts["key"]
    request = site.request / "site_A.request.zip"
    approve = ["federation", "approve", str(request), "--folder", str(mine.path)]
    assert main(approve) == 1, "nobody confirmed the fingerprint"
    assert main([*approve, "--fingerprint", in_groups(key)]) == 0
    answer = mine.path / "signed/site_A.signed.zip"
    kit = ["federation", "kit", str(answer), "--folder", str(site.path)]
    assert main(kit) == 1
    assert main([*kit, "--fingerprint", read_invitation(mine.invitation).root]) == 0
    return SimpleNamespace(mine=mine, site=site, key=key, request=request, answer=answer)


@pytest.fixture
def copy(joined, tmp_path):
    """Return a copy of the federation that a test may change."""
    shutil.copytree(joined.mine.path, tmp_path / "coordinator")
    shutil.copytree(joined.site.path, tmp_path / "site_A")
    mine, site = CoordinatorFolder(tmp_path / "coordinator"), SiteFolder(tmp_path / "site_A")
    answer = mine.path / "signed/site_A.signed.zip"
    return SimpleNamespace(mine=mine, site=site, key=joined.key, request=joined.request, answer=answer)


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opened(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path


def approved_until(mine, end):
    """Write into the log of a copy that the certificate of a site ends then."""
    append(mine.log, "approved", site="site_A", organisation="hospital_A", key="00" * 32, until=end.isoformat())


def test_a_site_that_joined_has_a_kit_and_its_key_never_left(joined):
    own = Certificate.of_kit(joined.site.kit)
    assert (own.name, own.organisation, own.key) == ("site_A", "hospital_A", joined.key)
    assert own.state() == "valid"
    key = (joined.site.request / "site_A.key").read_bytes()
    assert key == (joined.site.kit / "startup/client.key").read_bytes()
    secret = b"".join(key.splitlines()[1:-1])[:60]
    for files in (
        everything(joined.mine.path),
        opened(joined.request.read_bytes()),
        opened(joined.answer.read_bytes()),
    ):
        assert not [name for name, data in files.items() if secret in data.replace(b"\n", b"")]
    (known,) = members(joined.mine.log).values()
    assert (known.name, known.key, known.state()) == ("site_A", joined.key, "valid")
    assert not list(joined.site.path.glob(".making-*")) + list(joined.mine.path.glob(".making-*"))


def test_keys_are_for_their_owner_alone(joined):
    keys = [path for path in everything(joined.mine.path.parent) if path.suffix == ".key"]
    assert len(keys) == 5  # root, server, coordinator; of the site beside its request and in its kit
    for path in keys:
        assert path.stat().st_mode & 0o077 == 0, path
    for folder in (joined.mine.path, joined.site.path, joined.site.kit, joined.mine.server):
        assert folder.stat().st_mode & 0o077 == 0, folder


def test_status_and_page_tell_who_is_a_member(copy, capsys, tmp_path):
    approved_until(copy.mine, now() + timedelta(days=20, hours=1))
    rounds = [{"round": 0, "model": "ab" * 32, "sites": {"site_A": {"cases": 3, "voxels": 5000, "digest": "cd" * 32}}}]
    refused = [{"task": 0, "site": "site_B", "why": "not finite"}]
    for count in (1, 0):  # what a repeated job brings again is there already
        assert append_new(copy.mine.log, "round", "organs", rounds) == count
        assert append_new(copy.mine.log, "refused", "organs", refused) == count
    assert main(["federation", "status", "--folder", str(copy.mine.path)]) == 0
    said = capsys.readouterr().out
    assert "site_A (hospital_A): expires in 20 days, until" in said
    assert "1 rounds" in said
    assert "server of localhost: valid" in said
    assert main(["federation", "status", "--folder", str(copy.site.path)]) == 0
    assert "kit of site_A: valid" in capsys.readouterr().out
    out = tmp_path / "federation.html"
    assert main(["federation", "page", "--folder", str(copy.mine.path), "--out", str(out)]) == 0
    page = Page(out.read_text())
    assert page.loads() == []
    for words in (
        "Federation torso",
        "expires in 20 days",
        "hospital_A",
        "organs",
        "5000",
        "abababababab",
        "liver",
        "site_B: not finite",
    ):
        assert words in page.text
    kept = shutil.copy(copy.mine.log, tmp_path / "kept.jsonl")
    append(copy.mine.log, "revoked", site="site_A", why="x")
    assert main(["federation", "status", "--folder", str(copy.mine.path), "--earlier", str(kept)]) == 0
    assert "all 5 lines of" in capsys.readouterr().out
    lines = copy.mine.log.read_bytes().splitlines(keepends=True)
    copy.mine.log.write_bytes(b"".join(lines[:2]))
    copy.mine.log.with_name(".log.jsonl.end").unlink()
    assert main(["federation", "status", "--folder", str(copy.mine.path)]) == 0, "the chain holds"
    assert main(["federation", "status", "--folder", str(copy.mine.path), "--earlier", str(kept)]) == 1
    copy.mine.log.write_bytes(b"".join(lines[1:]))
    with pytest.raises(FederationError, match="removed, inserted or moved"):
        report_federation(copy.mine.log, out)
    assert main(["federation", "status", "--folder", str(copy.mine.path)]) == 1


@pytest.fixture
def labels(tmp_path):
    """Return the options of the site's labels: a disc of liver in two scans."""
    y, x = np.mgrid[:128, :128]
    label = (np.hypot(y - 64, x - 64) < 20).astype(np.uint8)
    image = (2 * label[None] + np.random.default_rng(1).normal(0, 1, (1, 128, 128))).astype(np.float32)
    slices = [LabelledSlice(f"scan_{n}", 3, n, image, label) for n in range(2)]
    training = TrainingSet(slices, {}, (1000.0, 1000.0, 1000.0), {})
    write_training_set(training, Layout(tmp_path / "results").training_set("default"))
    config = tmp_path / "config.yaml"
    config.write_text("models: {default: {classes: {background: 0, liver: 1}, measure: [liver]}}\n")
    return ["--config", str(config), "--results", str(tmp_path / "results")]


def tell_of(copy, labels):
    """Return what the job of the site writes for the coordinator."""
    results, config = Path(labels[3]), UNetConfig(classes={"background": 0, "liver": 1}, measure=["liver"])
    out = Layout(results).site("default").fingerprint
    tell(copy.site, Layout(results).training_set("default"), config, out)
    return out


def test_settings_are_agreed_before_the_first_round(copy, labels, capsys):
    site = ["--folder", str(copy.site.path)]
    assert main(["federation", "check", *labels, *site]) == 0
    sent = tell_of(copy, labels)
    mine = [*labels[:2], "--folder", str(copy.mine.path)]
    capsys.readouterr()
    assert main(["federation", "agree", str(sent), *mine]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"input_scale": 2, "crop": 160}
    (agreed,) = (entry for entry in read_log(copy.mine.log) if entry.event == "agreed")
    assert agreed.facts["sites"]["site_A"]["slices"] == 2
    append(copy.mine.log, "revoked", site="site_A", why="x")
    assert main(["federation", "agree", str(sent), *mine]) == 1
    copy.site.invitation.write_text(copy.site.invitation.read_text().replace("fewest_cases: 1", "fewest_cases: 3"))
    assert main(["federation", "check", *labels, *site]) == 1
    assert "at least 3 labelled scans (got 2)" in capsys.readouterr().err
    sent.unlink()
    with pytest.raises(FederationError, match="at least 3 labelled scans"):
        tell_of(copy, labels)
    assert not sent.exists()


def test_a_parcel_of_something_else_is_refused(copy, labels, tmp_path):
    sent = tell_of(copy, labels)
    site, updates = read_parcel(sent)
    assert (site, len(updates)) == ("site_A", 2)
    data = sent.read_bytes()
    (tmp_path / "cut").write_bytes(data[:-8])
    (tmp_path / "text").write_text("site_A")
    (tmp_path / "lies").write_bytes(data.replace(b"counts/slices", b"weird0/slices"))
    write_arrays(tmp_path / "twice", "parcel of a federation", {}, {"site": "x", "updates": [{"kind": "counts"}] * 2})
    for name in ("cut", "text", "lies", "twice", "missing"):
        with pytest.raises(TomoprofileError) as caught:
            read_parcel(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_names_on_the_page_are_text(copy, tmp_path):
    append(copy.mine.log, "refused", site="<script>alert(1)</script>", why="garbage")
    report_federation(copy.mine.log, tmp_path / "federation.html")
    assert "<script>alert" not in (tmp_path / "federation.html").read_text()


def test_another_key_under_the_same_name_is_not_approved(copy, tmp_path, monkeypatch):
    """Whoever changes the mail of a site has another key, and cannot read out its fingerprint."""
    foreign, key = joining.request(tmp_path / "foreign", copy.mine.invitation, SITE_A)
    assert key != copy.key
    lines = len(read_log(copy.mine.log))
    approved_until(copy.mine, now() + timedelta(days=1))  # its own could be renewed
    with pytest.raises(FederationError, match="it is not the one that was told"):
        joining.approve(copy.mine.path, foreign, copy.key)
    assert len(read_log(copy.mine.log)) == lines + 1
    # The mutant: without the comparison, the stranger is let in.
    monkeypatch.setattr(joining, "compare", lambda *_: None)
    joining.approve(copy.mine.path, foreign, copy.key)
    assert members(copy.mine.log)["site_A"].key == key


def test_nobody_asks_for_another_role(copy, tmp_path):
    asked = {"name": "site_B", "type": "admin", "role": "lead", "org": "hospital_B"}
    with pytest.raises(FederationError, match="INVALID"):
        joining._made_request(tmp_path, "torso", asked)  # the name of an administrator looks like an address
    made = joining._made_request(tmp_path, "torso", asked | {"name": "b@hospital.org"})
    with pytest.raises(FederationError, match="may hold only letters"):
        joining.approve(copy.mine.path, made, None)
    # The same under the name of a site.
    files = opened(copy.request.read_bytes())
    told = json.loads(files["request.json"]) | {"cert_type": "lead", "kind": "user", "cert_role": "lead"}
    forged = zipped(tmp_path / "site_A.request.zip", (files | {"request.json": json.dumps(told)}).items())
    approved_until(copy.mine, now() + timedelta(days=1))
    with pytest.raises(FederationError, match="more than the part of a site"):
        joining.approve(copy.mine.path, forged, copy.key)


def test_files_that_are_no_request_are_refused(copy, tmp_path):
    files = opened(copy.request.read_bytes())
    told = json.loads(files["request.json"])
    away = files | {"request.json": json.dumps(told | {"name": "../../away"})}
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zipped(tmp_path / "twice", [*files.items(), ("request.json", b"{}")]).read_bytes()
    bad = {
        "text": b"PK but not a zip",
        "large": b"0" * (10**6 + 1),
        "bomb": zipped(tmp_path / "bomb", [*files.items(), ("more", b"0" * 10**7)]).read_bytes(),
        "twice": twice,
        "without": zipped(tmp_path / "without", [("request.json", files["request.json"])]).read_bytes(),
        "list": zipped(tmp_path / "list", [("request.json", b"[]")]).read_bytes(),
        "away": zipped(tmp_path / "away", away.items()).read_bytes(),
    }
    before = everything(copy.mine.path)
    for name, data in bad.items():
        path = tmp_path / f"{name}.request.zip"
        path.write_bytes(data)
        with pytest.raises(FederationError) as caught:
            joining.approve(copy.mine.path, path, copy.key)
        assert str(path) in str(caught.value), name
    with pytest.raises(FederationError, match="cannot be read"):
        joining.approve(copy.mine.path, tmp_path / "missing.zip", copy.key)
    assert everything(copy.mine.path) == before


def test_a_name_is_taken_until_its_certificate_expires_soon(copy):
    with pytest.raises(FederationError, match="the name is taken"):
        joining.approve(copy.mine.path, copy.request, copy.key)
    approved_until(copy.mine, now() + timedelta(days=41))
    joining.approve(copy.mine.path, copy.request, copy.key)
    assert members(copy.mine.log)["site_A"].state() == "valid"


def test_a_revoked_name_is_never_approved_again(copy):
    revoke(copy.mine.log, "site_A", "its key was lost", copy.mine.server)
    assert json.loads((copy.mine.server / "disabled_clients.json").read_text()) == {"disabled_clients": ["site_A"]}
    approved_until(copy.mine, now() + timedelta(days=1))  # a line that says so is no way back
    assert members(copy.mine.log)["site_A"].revoked
    with pytest.raises(FederationError, match=r"the site was revoked \(got its key was lost"):
        joining.approve(copy.mine.path, copy.request, copy.key)
    with pytest.raises(FederationError, match="site_A: the site was revoked: its key was lost"):
        check_sites(copy.mine.log, ["site_A"])
    revoke(copy.mine.log, "site_A", "again", copy.mine.server)
    assert [entry.event for entry in read_log(copy.mine.log)].count("revoked") == 1
    with pytest.raises(FederationError, match="the sites of this federation are: site_A"):
        revoke(copy.mine.log, "site_b", "x", copy.mine.server)


def test_only_members_whose_certificates_hold_take_part(copy):
    check_sites(copy.mine.log, ["site_A"])
    with pytest.raises(FederationError, match="site_B: no request of this site was approved"):
        check_sites(copy.mine.log, ["site_A", "site_B"])
    with pytest.raises(FederationError, match="the certificate of the site expired on"):
        check_sites(copy.mine.log, ["site_A"], now() + timedelta(days=400))


def test_an_answer_of_a_stranger_makes_no_kit(copy, tmp_path, monkeypatch):
    """Neither with another root certificate, nor for the key of another site."""
    strange = CoordinatorFolder(tmp_path / "strange")
    monkeypatch.setattr(joining, "make_own_kits", lambda _: None)
    joining.invite(strange.path, "torso", "localhost", 18002, DATA)
    answer = joining.approve(strange.path, copy.request, copy.key)
    with pytest.raises(FederationError, match="not that of the invitation"):
        joining.make_kit(copy.site.path, answer, read_invitation(strange.invitation).root)
    other = SiteFolder(tmp_path / "site_B")
    root = read_invitation(copy.mine.invitation).root
    joining.request(other.path, copy.mine.invitation, SITE_A.model_copy(update={"site": "site_B"}))
    before = everything(copy.site.kit)
    with pytest.raises(FederationError):
        joining.make_kit(other.path, copy.answer, root)
    assert not other.kit.exists()
    with pytest.raises(FederationError, match="not the one that was told"):
        joining.make_kit(copy.site.path, copy.answer, "0" * 64)
    assert everything(copy.site.kit) == before


def test_a_second_federation_does_not_overwrite_the_first(copy):
    before = everything(copy.mine.path)
    with pytest.raises(FederationError, match="has a federation already"):
        joining.invite(copy.mine.path, "other", "localhost", 18002, DATA)
    assert everything(copy.mine.path) == before


def test_an_invitation_that_failed_can_be_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "make_own_kits", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        joining.invite(tmp_path / "new", "torso", "localhost", 18002, DATA)
    monkeypatch.undo()
    with pytest.raises(FederationError, match="server"):
        joining.invite(tmp_path / "new", "torso", "local host", 18002, DATA)
    assert not (tmp_path / "new/ca").exists()


def test_a_port_that_is_taken_is_told(copy):
    with socket.socket() as one:
        one.bind(("", 0))
        one.listen()
        text = copy.mine.invitation.read_text().replace("port: 18002", f"port: {one.getsockname()[1]}")
        copy.mine.invitation.write_text(text)
        with pytest.raises(FederationError, match="another program has this port"):
            serve(copy.mine.path, 10)


def test_who_leaves_keeps_neither_key_nor_kit(copy):
    assert main(["federation", "leave", "--folder", str(copy.site.path)]) == 0
    assert not [path for path in everything(copy.site.path) if path.suffix in (".key", ".crt")]
    assert [entry.event for entry in read_log(copy.site.log)] == ["requested", "joined", "left"]


def test_an_expiry_is_shown_weeks_ahead(joined, caplog):
    own = Certificate.of_kit(joined.site.kit)
    with caplog.at_level("WARNING"):
        own.check("kit", own.ends - timedelta(days=43))
        assert not caplog.records
        own.check("kit", own.ends - timedelta(days=41, hours=1))
    assert "expires in 41 days" in caplog.text
    with pytest.raises(FederationError, match="has expired"):
        own.check("kit", own.ends)
    with pytest.raises(FederationError, match="Set the clock"):
        own.check("kit", own.begins - timedelta(seconds=1))
    start = now()
    states = [state_until(start + timedelta(days=days, hours=1), start) for days in (-2, 0, 41, 42)]
    assert states == ["expired", "expires in 0 days", "expires in 41 days", "valid"]


def test_fingerprints_are_compared_however_they_are_written():
    digits = "5a95e0681a1525533d3084f883f42f45a1256b94d2f1d6f7510f51f0bacaf24e"
    colons = ":".join(digits[n : n + 2] for n in range(0, 64, 2)).upper()
    for written in (digits, in_groups(digits), f"SHA256:{colons}", f"sha256={digits}", f"SHA-256 {in_groups(digits)}"):
        assert digits_of(written) == digits
        compare(written, digits, "file", "site")
    for wrong in (None, "", digits[:-1], digits[:-1] + "f", "x" * 64):
        with pytest.raises(FederationError, match="--fingerprint"):
            compare(wrong, digits, "file", "site")


def test_without_flare_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(tool.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FederationError, match="pip install"):
        tool.flare("cert", "init")


def test_a_command_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(tool, "_LIMIT_S", 0.01)
    with pytest.raises(FederationError, match="nvflare cert init: the command did not end"):
        tool.flare("cert", "init")
