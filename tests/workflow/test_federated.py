"""Federated training by real processes of FLARE with mutual TLS, on this machine; and deaths of each of them."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from federated_sites import PLAIN, files_of, make_training_sets, settings
from flare import Federation, family, wait_until
from kills import start
from project import Project

from tomoprofile.errors import StageError
from tomoprofile.federate.coordinator import State
from tomoprofile.federate.flare_kit import PROBLEM
from tomoprofile.federate.flare_part import running
from tomoprofile.federate.log import read_log
from tomoprofile.federate.simulate import simulate

pytest.importorskip("nvflare")
# Three rounds of the model, after one for each of the three that judge: ten tasks, with what follows each.
LIMITS = {"heartbeat_s": 10, "round_s": 60, "wait_s": 1200}  # a machine may have more to do
RUN = settings(rounds=3, round_steps=2, rounds_per_job=10, **LIMITS)
IN_PARTS = settings(rounds=3, round_steps=2, rounds_per_job=4, **LIMITS)


@pytest.fixture(scope="module")
def training_sets(tmp_path_factory):
    return make_training_sets(tmp_path_factory.mktemp("sites"))


@pytest.fixture(scope="module")
def simulated(training_sets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    each = {name: (files_of(path, folder / name), RUN) for name, path in training_sets.items()}
    return simulate(each, 1, folder / "state.safetensors", 1)


def assert_same(state, expected):
    assert state.task == expected.task
    assert state.tensors.keys() == expected.tensors.keys()
    for name, value in expected.tensors.items():
        assert np.allclose(state.tensors[name], value, rtol=1e-4, atol=1e-5), name


def all_end(federation):
    for name, site in federation.sites.items():
        assert site.wait(90) == 0, f"{name}: {federation.said()}"


def test_three_sites_learn_over_the_network_what_a_simulation_learns(training_sets, simulated, tmp_path):
    with Federation(tmp_path, training_sets, RUN) as federation:
        federation.start()
        state = federation.all_segments()
        all_end(federation)
    assert_same(state, simulated)
    rounds = [entry.facts for entry in read_log(tmp_path / "coordinator/log.jsonl") if entry.event == "round"]
    assert [sorted(one["sites"]) for one in rounds] == [sorted(training_sets)] * 6
    assert (tmp_path / "server").stat().st_mode & 0o077 == 0
    assert (tmp_path / "site-a").stat().st_mode & 0o077 == 0


def fails_in_time(federation, number, when, happens):
    """Assert that a job ends in time when something happens in it; and that it is done anew afterwards."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(federation.segment, number)
        wait_until(lambda: when in federation.log_of("site-b") or job.done(), when)
        assert not job.done(), federation.said()
        begun = time.monotonic()
        happens()
        with pytest.raises(StageError) as caught:
            job.result(150)
    assert time.monotonic() - begun < 150
    assert not federation.checkpoint(number).exists()
    return str(caught.value)


@pytest.mark.deep
def test_after_any_death_a_job_is_done_again_with_the_same_result(training_sets, simulated, tmp_path):
    """The process that trains, a site, and the server; what is lost are the rounds since the last checkpoint."""
    with Federation(tmp_path, training_sets, IN_PARTS) as federation:
        federation.start()
        fails_in_time(federation, 0, "task 0:", lambda: federation.kill("site-b", of_job=True))
        federation.segment(0)
        told = fails_in_time(federation, 1, "task 4:", lambda: federation.kill("site-b"))
        assert "3 sites must answer, and 2 did: site-a, site-c" in told
        federation.join("site-b")
        federation.segment(1)
        fails_in_time(federation, 2, "task 8:", federation.restart_server)
        state = federation.segment(2)
        all_end(federation)
    assert_same(state, simulated)


@pytest.mark.deep
def test_a_full_disk_of_the_server_is_told_and_the_job_is_done_again_with_the_same_result(
    training_sets, simulated, tmp_path
):
    disk = tmp_path / "server"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(disk)], check=True)

    def full_for_a_while():
        fill(disk)
        wait_until(lambda: any(disk.rglob(PROBLEM)), "the server notes what is wrong")
        (disk / "ballast").unlink()

    try:
        with Federation(tmp_path, training_sets, IN_PARTS) as federation:
            federation.start()
            federation.segment(0)
            told = fails_in_time(federation, 1, "task 4:", full_for_a_while)
            assert "on the disk of the server: [Errno 28] No space left on device" in told
            federation.segment(1)
            state = federation.segment(2)
            all_end(federation)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert_same(state, simulated)


def fill(disk):
    """Leave room for a note, and for no checkpoint."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(file.tell() - 2**15)


@pytest.mark.deep
def test_a_round_goes_on_without_a_lost_site_where_fewer_are_enough(training_sets, tmp_path):
    with Federation(tmp_path, training_sets, RUN, least_sites=2) as federation:
        federation.start()
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(federation.segment, 0)
            wait_until(lambda: "task 2:" in federation.log_of("site-b"), "task 2")
            federation.kill("site-b")
            state = job.result(240)
    assert sorted(state.history[0]["sites"]) == sorted(training_sets)
    assert sorted(state.history[-1]["sites"]) == ["site-a", "site-c"]


@pytest.mark.deep
def test_a_killed_snakemake_goes_on_with_the_job_that_it_had_submitted(training_sets, simulated, tmp_path):
    project = Project(tmp_path / "project")
    with Federation(tmp_path, training_sets, RUN) as federation:
        train = federation.of(role="coordinator", sites=list(training_sets)).train.model_dump(mode="json")
        train |= {"federation": str(tmp_path / "coordinator"), "wait_s": 240}
        project.configure(models={"default": PLAIN | {"train": train}})
        federation.start()
        run = start(project)
        wait_until(lambda: "task 2:" in federation.log_of("site-b") or run.process.poll() is not None, "task 2")
        assert run.process.poll() is None, run.said + project.logs()
        run.kill("everything")
        project.snakemake()
        all_end(federation)
    files = project.results.federation("tiny")
    assert "submitted by an earlier run" in project.results.log("fed_segment", "tiny", "0").read_text()
    assert_same(State.read(files.checkpoint("0")), simulated)
    assert "all sites\tdomain\t" in files.evaluation.read_text()


def test_what_is_left_of_a_site_is_ended_before_it_begins_again(tmp_path):
    """Two processes with one certificate would take each other's tasks."""
    folder = tmp_path / "flare"
    folder.mkdir()
    sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen([*sleeps, "nvflare.private.fed.app.client.client_train", str(folder)])
    other = subprocess.Popen([*sleeps, "nvflare.private.fed.app.client.client_train", str(tmp_path / "other")])
    try:
        with running([*sleeps, "new"], folder) as new:
            left.wait(20)
            assert other.poll() is None, "that of another site is left alone"
            assert new.poll() is None
        assert new.poll() is not None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()
    assert not family(new)
