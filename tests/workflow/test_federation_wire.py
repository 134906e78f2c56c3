"""What leaves a site in a run of real processes, byte for byte, and a site that leaks and is caught."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federated_sites import NAMES, make_training_sets, settings
from flare import Federation

from tomoprofile.errors import StageError
from tomoprofile.federate.site import first_state
from tomoprofile.labels.training_set import read_training_set, write_training_set

pytest.importorskip("nvflare", reason="the extra `federated` is not installed")

WIRE = Path(__file__).parent / "wire"
RUN = settings(rounds=1, round_steps=1, rounds_per_job=2, heartbeat_s=10, round_s=60, wait_s=120)
LEAKING = NAMES[0]
PERSON = "Hanako-Yamada-1970"
TYPES = ("u1", "i2", "i8", "f2", "<f4", ">f4", "f8")


def planted(training_sets):
    """Write random numbers into a row of every image and label, and a name; return all of them by what they are."""
    secrets = {}
    for site, path in training_sets.items():
        training = read_training_set(path)
        random = np.random.default_rng(sum(site.encode()))
        slices = []
        for item in training.slices:
            image, label = item.image.copy(), item.label.copy()
            image[:, 40, 8:40] = random.normal(0, 1, 32)
            label[40, 8:72] = random.integers(0, 2, 64)
            slices.append(replace(item, image=image, label=label))
            secrets[f"image of {site} z{item.z}"] = image[0, 40, 8:40]
            secrets[f"label of {site} z{item.z}"] = label[40, 8:72]
        write_training_set(replace(training, slices=slices), path)
    return secrets


def found_in(sent, secrets):
    """Return which secrets occur in what was sent, in any usual type of numbers; places of a disk and names, too."""
    found = [name for name, row in secrets.items() if any(row.astype(kind).tobytes() in sent for kind in TYPES)]
    return found + [text for text in (PERSON, "training.npz") if text.encode() in sent]


def heard(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.bin")))


@pytest.fixture
def federation(tmp_path, monkeypatch):
    """Return a federation of two sites, of which one is yet to start, and what is planted in its scans."""
    (tmp_path / PERSON).mkdir()
    made = make_training_sets(tmp_path / PERSON)
    training_sets = {name: made[name] for name in NAMES[:2]}
    secrets = planted(training_sets)
    monkeypatch.setenv("PYTHONPATH", str(WIRE), prepend=":")
    with Federation(tmp_path, training_sets, RUN) as federation:
        federation.serve()
        federation.secrets = secrets
        yield federation


def join(federation, monkeypatch, leak=""):
    """Start both sites, one of which may leak; return where is written what each of them sends."""
    taps = {name: federation.folder / f"sent_by_{name}" for name in federation.training_sets}
    for name, tap in taps.items():
        monkeypatch.setenv("WIRE_TAP", str(tap))
        monkeypatch.setenv("WIRE_LEAK", leak if name == LEAKING else "")
        federation.join(name)
    return taps


def told(federation, words):
    """Return whether a process of FLARE said something."""
    logs = [path.read_text(errors="replace") for path in federation.folder.rglob("said.txt")]
    return any(words in text for text in logs)


def test_a_leak_is_heard_and_refused_and_an_honest_site_sends_none(federation, monkeypatch):
    """One site was changed to send an image past its own policy; the other one is as it should be."""
    taps = join(federation, monkeypatch, "hidden")
    with pytest.raises(StageError):
        federation.segment(0)
    caught = found_in(heard(taps[LEAKING]), federation.secrets)
    assert [secret for secret in caught if secret.startswith("image of site-a")]
    assert told(federation, "site-a, round 0: the update is larger than")
    assert not federation.checkpoint(0).exists()
    sent = heard(taps[NAMES[1]])
    assert found_in(sent, federation.secrets) == []
    weights = sum(array.nbytes for array in first_state(RUN, 1).tensors.values())
    # Its weights, which pass from the process of the job to that of the site, and a little around them.
    assert weights < len(sent) < 2 * weights + 2e6


@pytest.mark.deep
def test_nothing_but_weights_leaves_a_site(federation, monkeypatch):
    taps = join(federation, monkeypatch)
    state = federation.segment(0)
    assert state.task == 2
    for name, tap in taps.items():
        assert found_in(heard(tap), federation.secrets) == [], name


@pytest.mark.deep
@pytest.mark.parametrize(("leak", "words"), [("extra", "larger than"), ("nan", "not finite")])
def test_what_is_no_update_is_refused(federation, monkeypatch, leak, words):
    """An image beside the weights by the policy of the site, so it never leaves; weights that are NaN by the server."""
    taps = join(federation, monkeypatch, leak)
    with pytest.raises(StageError):
        federation.segment(0)
    assert told(federation, words)
    assert not any(found_in(heard(tap), federation.secrets) for tap in taps.values())
    assert not federation.checkpoint(0).exists()


def test_secrets_are_found_in_any_type_of_numbers():
    row = np.arange(32, dtype=np.float32)
    for kind in TYPES:
        assert found_in(b"..." + row.astype(kind).tobytes() + b"...", {"row": row}) == ["row"]
    assert found_in(f"/home/{PERSON}/x".encode(), {}) == [PERSON]
