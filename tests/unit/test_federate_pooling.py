"""New shapes from the cases of all sites: what leaves a site, what the coordinator adds up, and who may use it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from amplified_scans import CLASSES, Scans, config_of

from tomoprofile.amplify import stages
from tomoprofile.amplify.model import DeformationModel
from tomoprofile.amplify.registration import Registration, read_registration
from tomoprofile.amplify.stages import LearnedFiles, draw_pairs, learn, register, take_template
from tomoprofile.amplify.sums import Sums, read_sums
from tomoprofile.amplify.template import read_template
from tomoprofile.cli import main
from tomoprofile.errors import FederationError, InputError, StageError
from tomoprofile.federate.entry import tell_sums
from tomoprofile.federate.folders import CoordinatorFolder, SiteFolder
from tomoprofile.federate.log import append, read_log
from tomoprofile.labels.training_set import read_training_set

CASES = {"site_A": 20, "site_B": 24}
CONFIG = config_of(kind="deformation")


def registered(template, count, seed):
    """Return cases that differ in three ways, by registrations that nobody had to search for."""
    rng = np.random.default_rng(seed)
    ways = np.random.default_rng(0).standard_normal((3, 3, 1, 1, 1)) * np.ones((1, *template.lattice.shape))
    for number in range(count):
        moved = np.tensordot(rng.standard_normal(3), ways, 1).astype(np.float32)
        yield Registration(f"{seed}_{number}", template.digest, moved, np.zeros(3))


@pytest.fixture
def shared(tmp_path):
    """Return the scans of a site with two cases, the template of all sites, and the coordinator's folder."""
    scans = Scans(tmp_path / "small")
    label = scans.add("whole")
    labelled = [scans.label("whole", label)]
    scans.add("bare", shift=1.0)
    other = Scans(tmp_path / "elsewhere")
    other.add("whole", seed=7)  # another body by the same name
    template = tmp_path / "template.safetensors"
    take_template({"whole": other.volume("whole")}, "auto", template)
    mine = CoordinatorFolder(tmp_path / "coordinator")
    mine.path.mkdir()
    until = (datetime.now(UTC) + timedelta(days=99)).isoformat()
    for site in CASES:
        append(mine.log, "approved", site=site, organisation="x", key="k", until=until)
    return scans, labelled, template, mine


def sent_by(site, template, tmp_path, count, seed):
    """Return what a site writes for the coordinator."""
    folder = SiteFolder(tmp_path / site)
    folder.path.mkdir(exist_ok=True)
    folder.policy.write_text(yaml.safe_dump({"allow": {"deformation_sums": {}}}))
    folder.identity.write_text(yaml.safe_dump({"site": site, "organisation": "x", "modality": "CT"}))
    sums = tmp_path / f"{site}.sums"
    Sums.of(registered(template, count, seed), template.digest, template.lattice).write(sums)
    out = tmp_path / f"{site}.safetensors"
    tell_sums(folder, sums, len(CLASSES), out)
    return out


def pooled(mine, template, files, tmp_path):
    """Call the command of the coordinator; returns its exit status and what it writes."""
    config, out = tmp_path / "config.yaml", tmp_path / "pooled.safetensors"
    config.write_text(yaml.safe_dump({"models": {"default": {"classes": CLASSES, "measure": ["liver"]}}}))
    told = ["--template", str(template), "--out", str(out), "--config", str(config), "--folder", str(mine.path)]
    return main(["federation", "pool", *map(str, files), *told]), out


def test_a_site_of_two_cases_draws_from_those_of_all(shared, tmp_path, monkeypatch):
    scans, labelled, path, mine = shared
    template = read_template(path)
    sent = [sent_by(site, template, tmp_path, count, seed) for seed, (site, count) in enumerate(CASES.items())]
    status, pool = pooled(mine, path, sent, tmp_path)
    assert status == 0
    (entry,) = (entry for entry in read_log(mine.log) if entry.event == "deformations pooled")
    assert {site: told["cases"] for site, told in entry.facts["sites"].items()} == CASES
    everything = [case for seed, n in enumerate(CASES.values()) for case in registered(template, n, seed)]
    central = DeformationModel.of(Sums.of(everything, template.digest, template.lattice))
    found = DeformationModel.of(read_sums(pool))
    np.testing.assert_allclose(found.mean, central.mean, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.variances, central.variances, rtol=1e-6)
    # The site registers its own two cases, without a long search here, and adds them up for itself.
    names, paths = ("whole", "bare"), []
    own = dict(zip(names, registered(template, 2, 9), strict=True))
    monkeypatch.setattr(stages, "register_case", lambda case, _: replace(own[case.name], name=case.name))
    for name in names:
        paths.append(tmp_path / f"{name}.safetensors")
        register(name, scans.volume(name), path, paths[-1], 1)
    assert read_registration(paths[0]).coefficients.any(), "it has the template's name, and is another body"
    own = LearnedFiles(path, tmp_path / "own.sums", tmp_path / "cases.json", paths)
    with pytest.raises(StageError, match="at least 3 registered cases"):
        learn(own, labelled, CONFIG)
    learn(own, labelled, CONFIG, alone=False)
    assert read_sums(own.sums).count == 2
    assert not read_sums(own.sums).volumes, "the labels of its `whole` are not those of the template"
    training, out = scans.collected(labelled, CONFIG), tmp_path / "amplified.npz"
    draw_pairs(training, labelled, CONFIG, LearnedFiles(path, pool, own.cases, paths), 1, out)
    assert {pair["kind"] for pair in read_training_set(out).pairs if pair["accepted"]} == {"deformation"}
    # Mutant: its own sums are no model to draw from.
    with pytest.raises(StageError, match="at least 3 registered cases"):
        draw_pairs(training, labelled, CONFIG, own, 1, out)


def test_sums_to_another_template_are_not_added(shared, tmp_path, capsys):
    scans, labelled, path, mine = shared
    template = read_template(path)
    own = tmp_path / "own.safetensors"
    take_template({"bare": scans.volume("bare")}, "auto", own)
    other = read_template(own)
    assert other.lattice == template.lattice, "nothing but the name of the template tells them apart"
    sent = [sent_by("site_A", template, tmp_path, 20, 0), sent_by("site_B", other, tmp_path, 20, 1)]
    status, pool = pooled(mine, path, sent, tmp_path)
    assert status == 1
    assert "site_B: template" in capsys.readouterr().err
    assert not pool.exists()
    # Nor does a site draw from sums that belong to a template it does not have.
    assert pooled(mine, path, sent[:1], tmp_path)[0] == 0
    registration = tmp_path / "still.safetensors"
    register("bare", scans.volume("bare"), own, registration, 1)
    files = LearnedFiles(own, tmp_path / "own.sums", tmp_path / "cases.json", [registration])
    learn(files, [], CONFIG, alone=False)
    wrong = LearnedFiles(own, pool, files.cases, [registration])
    training = scans.collected(labelled, CONFIG)
    with pytest.raises(InputError, match="another template"):
        draw_pairs(training, labelled, CONFIG, wrong, 1, tmp_path / "out.npz")


def test_what_cannot_be_pooled_is_named(shared, tmp_path, capsys):
    _, _, path, mine = shared
    template = read_template(path)
    one = sent_by("site_A", template, tmp_path, 20, 0)
    assert pooled(mine, path, [one, one], tmp_path)[0] == 1
    assert "this site sent another file, too" in capsys.readouterr().err
    stranger = sent_by("site_C", template, tmp_path, 20, 1)
    assert pooled(mine, path, [one, stranger], tmp_path)[0] == 1
    assert "no request of this site was approved" in capsys.readouterr().err
    with pytest.raises(FederationError, match="fewer than 20 cases may not leave"):
        sent_by("site_B", template, tmp_path, 19, 1)
    assert not (tmp_path / "site_B.safetensors").exists()
