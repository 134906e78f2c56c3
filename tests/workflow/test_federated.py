"""Federated training by real processes of FLARE with mutual TLS, on this machine."""

import numpy as np
import pytest
from federated_sites import files_of, make_training_sets, settings
from flare import Federation

from tomoprofile.federate.simulate import simulate

pytest.importorskip("nvflare")
# Three rounds of the model, after one for each of the three that judge.
RUN = settings(rounds=3, round_steps=2, rounds_per_job=10, heartbeat_s=10, round_s=60, wait_s=180)


@pytest.fixture(scope="module")
def training_sets(tmp_path_factory):
    return make_training_sets(tmp_path_factory.mktemp("sites"))


def test_three_sites_learn_over_the_network_what_a_simulation_learns(training_sets, tmp_path):
    with Federation(tmp_path, training_sets, RUN) as federation:
        federation.start()
        state = federation.all_segments()
        for name, site in federation.sites.items():
            assert site.wait(60) == 0, federation.said() and name
    each = {name: (files_of(path, tmp_path / "simulated" / name), RUN) for name, path in training_sets.items()}
    expected = simulate(each, 1, tmp_path / "simulated.safetensors", 1)
    assert state.task == expected.task
    assert state.tensors.keys() == expected.tensors.keys()
    for name, value in expected.tensors.items():
        assert np.allclose(state.tensors[name], value, rtol=1e-4, atol=1e-5), name
