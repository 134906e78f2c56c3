"""Sums of deformations leave a site only of many cases, and give what all cases in one place give."""

from dataclasses import replace

import numpy as np
import pytest

from tomoprofile.amplify.lattice import Lattice
from tomoprofile.amplify.model import DeformationModel
from tomoprofile.amplify.register import Registration
from tomoprofile.amplify.sums import Sums, added
from tomoprofile.errors import FederationError
from tomoprofile.federate import deformations
from tomoprofile.federate.deformations import release_sums, sums_contract, sums_of
from tomoprofile.federate.log import read_log
from tomoprofile.federate.parcel import read_parcel, write_parcel
from tomoprofile.federate.policy import Policy
from tomoprofile.federate.update import Kind, Update

LATTICE = Lattice((60.0, 48.0), (6, 5))
POLICY = Policy(allow={"deformation_sums": {}})
CLASSES = 4


def cases_of(count, seed, rare=0):
    """Return registrations with three modes; class 3 is in as many of them as ``rare``."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(0).standard_normal((3, *LATTICE.shape))
    made = []
    for number in range(count):
        coefficients = np.tensordot(random.standard_normal(3) * (3, 2, 1), directions, 1)
        coefficients = coefficients + 0.1 * random.standard_normal(LATTICE.shape) + 2
        volumes = {1: float(np.exp(5 + 0.2 * random.standard_normal()))} | ({3: 7.0} if number < rare else {})
        told = np.zeros(2), None, "", {}, volumes
        made.append(Registration(f"c{number}", "t", coefficients.astype(np.float32), *told))
    return made


def sums(count, seed=1, rare=0):
    return Sums.of(cases_of(count, seed, rare), "t", LATTICE)


def received(update, tmp_path, site="site_A"):
    """Return an update after it crossed the wire as a file."""
    write_parcel(tmp_path / f"{site}.safetensors", site, [update])
    name, found = read_parcel(tmp_path / f"{site}.safetensors")
    assert name == site
    return found[Kind.DEFORMATIONS]


def released(one, tmp_path, policy=POLICY, site="site_A"):
    return received(release_sums(one, CLASSES, policy, tmp_path / f"{site}.jsonl"), tmp_path, site)


def test_sums_of_sites_are_the_central_ones(tmp_path):
    cases = {"site_A": cases_of(20, 1), "site_B": cases_of(35, 2), "site_C": cases_of(21, 3)}
    central = DeformationModel.of(Sums.of([case for part in cases.values() for case in part], "t", LATTICE))
    sent = {site: released(Sums.of(part, "t", LATTICE), tmp_path, site=site) for site, part in cases.items()}
    pooled = added(sums_of(update, "t", LATTICE, CLASSES, site) for site, update in sent.items())
    assert pooled.count == 76
    model = DeformationModel.of(pooled)
    assert np.allclose(model.mean, central.mean, rtol=1e-6)
    assert np.allclose(model.variances, central.variances, rtol=1e-6)
    assert np.allclose(model.components, central.components, atol=1e-6)
    assert model.volume_range(1) == pytest.approx(central.volume_range(1), rel=1e-6)
    # What one site alone knows is something else, or the above shows nothing.
    alone = DeformationModel.of(Sums.of(cases["site_A"], "t", LATTICE))
    assert not np.allclose(alone.mean, central.mean, rtol=1e-3)


def test_few_cases_stay_and_so_do_volumes_of_few(tmp_path):
    with pytest.raises(FederationError, match="fewer than 20 cases may not leave"):
        released(sums(19), tmp_path)
    with pytest.raises(FederationError, match="this kind may not leave the site"):
        released(sums(30), tmp_path, policy=Policy())
    assert not (tmp_path / "site_A.jsonl").exists()
    found = sums_of(released(sums(30, rare=19), tmp_path), "t", LATTICE, CLASSES, "site_A")
    assert found.volumes.keys() == {1}
    found = sums_of(released(sums(30, 2, rare=20), tmp_path, site="site_B"), "t", LATTICE, CLASSES, "site_B")
    assert found.volumes.keys() == {1, 3}


def test_two_sums_do_not_tell_the_case_between_them(tmp_path, monkeypatch):
    """The difference of sums over 20 and 21 cases is one patient."""
    cases = cases_of(41, 1)
    first, more = (Sums.of(cases[:count], "t", LATTICE) for count in (20, 21))
    told = released(first, tmp_path)
    assert released(first, tmp_path).digest == told.digest
    for other in (more, Sums.of(cases[1:21], "t", LATTICE), Sums.of(cases[:39], "t", LATTICE)):
        with pytest.raises(FederationError, match="sums of 20 cases to this template left before"):
            released(other, tmp_path)
    released(Sums.of(cases[:40], "t", LATTICE), tmp_path)
    released(replace(more, template="another"), tmp_path)
    released(first, tmp_path)
    assert [entry.facts["cases"] for entry in read_log(tmp_path / "site_A.jsonl")] == [20, 20, 40, 21, 20]
    # The mutant: without the memory of the site, the patient is told to the last digit.
    monkeypatch.setattr(deformations, "_EVENT", "forgotten")
    after = released(more, tmp_path)
    numbers = deformations.Basis(LATTICE).of_coefficients(cases[20].coefficients)
    assert np.allclose(after.tensors["total"] - told.tensors["total"], numbers)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"template": lambda array: array + 1}, "another template"),
        ({"count": np.array([19.0])}, "those of 20 cases or more"),
        ({"count": np.array([30.5])}, "those of 20 cases or more"),
        ({"count": np.array([1e6])}, "those of 20 cases or more"),
        ({"products": lambda array: array + np.triu(np.ones_like(array), 1)}, "no cases can have"),
        ({"products": lambda array: -array}, "no cases can have"),
        ({"total": lambda array: 100 * array}, "no cases can have"),
        ({"total": lambda array: array[:-1]}, "should be float64"),
        ({"products": lambda array: array.astype(np.float32)}, "should be float64"),
        ({"volumes": lambda array: np.full_like(array, np.nan)}, "not finite"),
    ],
)
def test_sums_that_cannot_be_are_refused(changed, told, tmp_path):
    good = dict(release_sums(sums(30), CLASSES, POLICY, tmp_path / "log.jsonl").tensors)
    bad = {name: change(good[name]) if callable(change) else change for name, change in changed.items()}
    sums_of(Update(Kind.DEFORMATIONS, good, 0, 0, 30), "t", LATTICE, CLASSES, "site_A")
    with pytest.raises(FederationError, match=told):
        sums_of(Update(Kind.DEFORMATIONS, good | bad, 0, 0, 30), "t", LATTICE, CLASSES, "site_A")


def test_nothing_of_a_case_and_nothing_about_refused_ones_is_sent():
    assert sums_contract(LATTICE, CLASSES).declared.keys() == {"template", "count", "total", "products", "volumes"}
