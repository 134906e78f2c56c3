"""What sites and coordinator do in a run, without any network between them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from federated_sites import NAMES, files_of, make_training_sets, settings, sites
from segment_scan import SegmentScan, level_of

from tomoprofile.config import Config, UNetConfig, read_config
from tomoprofile.errors import ConfigError, FederationError, StageError
from tomoprofile.federate import site as of_site
from tomoprofile.federate.collect import collect
from tomoprofile.federate.coordinator import State
from tomoprofile.federate.result import SiteResult
from tomoprofile.federate.simulate import simulate
from tomoprofile.federate.site import arrays_of, first_state, load_tensors, norm_names
from tomoprofile.federate.update import Kind, Update
from tomoprofile.network.bundle import load_network
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.facts import read_facts
from tomoprofile.volume.store import create_store, open_store

# A round for each model; the checkpoints are after three and six of eight tasks, and at the end.
QUICK = settings(rounds=1, rounds_per_job=3)


@pytest.fixture(scope="module")
def training_sets(tmp_path_factory):
    return make_training_sets(tmp_path_factory.mktemp("sites"))


def run(training_sets, folder, config, **others):
    each = {name: (files_of(path, folder / name), config) for name, path in training_sets.items()}
    return simulate(each, others.get("seed", 1), folder / "state.safetensors", 1)


@pytest.fixture(scope="module")
def done(training_sets, tmp_path_factory):
    """A finished run: its folder and its last state."""
    folder = tmp_path_factory.mktemp("run")
    return folder, run(training_sets, folder, QUICK)


def test_every_site_gets_an_ordinary_bundle_that_judged_its_own_labels(training_sets, done, tmp_path):
    folder, state = done
    name = "site-b"
    out = tmp_path / name
    collect(files_of(training_sets[name], folder / name), QUICK, 1, out, 1)
    facts = read_facts(out)
    site = sites({name: training_sets[name]}, folder, QUICK)[name]
    assert facts.measured["domain"].calibrated
    assert (facts.folds.kind, facts.folds.n_folds, facts.steps) == ("slices", len(site.folds.folds), 2)
    labelled = sum(int((item.label == 1).sum()) for item in site.training.slices)
    assert state.held_out[name]["labelled"] == labelled, "every label was judged by a model that did not train on it"
    network = load_network(out)
    for tensor, value in state.tensors.items():
        is_of_all = ".running_" not in tensor
        assert np.array_equal(network.state_dict()[tensor].numpy(), value) == is_of_all, tensor
    scan = SegmentScan(training_sets[name].parent, None)
    store = tmp_path / "probability.ome.zarr"
    create_store(store, open_store(scan.volume).shape, "uint8", (0.5, 0.5, 0.5), 8, channels=("domain",))
    scan.predict(out, store, stop=8, model=QUICK)
    assert 0 < level_of(out) < 1
    assert open_store(store, "domain").read(0, 8).max() > 0


def test_norms_expect_what_the_crops_of_the_site_give(training_sets, done):
    """Not what all sites have together, nor what crops gave with the weights before they were averaged."""
    folder, state = done
    for name, site in sites(training_sets, folder, QUICK).items():
        norm = next(place for place, part in site.first.named_modules() if isinstance(part, torch.nn.BatchNorm2d))
        load_tensors(site.first, state.tensors)
        given = []
        site.first.get_submodule(norm).register_forward_hook(lambda _, x, __, given=given: given.append(x[0]))
        sampler = CropSampler(site.training, site.config, 1)
        with torch.no_grad():
            for step in range(of_site.MEASURED_STEPS):
                site.first(torch.from_numpy(sampler.draw(step)[0]))
        mean = torch.stack([x.mean((0, 2, 3)) for x in given]).mean(0).numpy()
        own = SiteResult.read(site.files.result, site.identity).network[f"{norm}.running_mean"]
        assert own == pytest.approx(mean, rel=1e-3, abs=1e-4), name
        assert state.tensors[f"{norm}.running_mean"] != pytest.approx(mean, rel=1e-3, abs=1e-4), "of all sites"


def test_labels_are_judged_with_the_statistics_of_the_site(training_sets, tmp_path, monkeypatch):
    site = sites({"site-a": training_sets["site-a"]}, tmp_path, QUICK)["site-a"]
    task = next(number for number, one in enumerate(site.plan.tasks) if not one.trains)
    judged = []
    for measure in (of_site.measure_statistics, lambda *_: None):  # the mutant leaves those of all sites
        monkeypatch.setattr(of_site, "measure_statistics", measure)
        site.answer(*order_of(QUICK, task))
        judged.append(SiteResult.read(tmp_path / "site-a/judged.safetensors", site.identity).logits)
    assert not np.allclose(judged[0][0], judged[1][0], equal_nan=True)


def test_a_result_of_other_labels_is_refused(training_sets, done, tmp_path):
    folder, _ = done
    files = files_of(training_sets["site-a"], folder / "site-b")
    with pytest.raises(StageError, match="of other labels or settings"):
        collect(files, QUICK, 1, tmp_path / "out", 1)


def test_a_killed_run_goes_on_from_its_checkpoint_with_the_same_bits(training_sets, done, tmp_path, monkeypatch):
    """It is killed in the middle of a job, so what it did since the checkpoint is done again."""
    count = iter(range(100))
    answer = of_site.Site.answer

    def dies(self, order, agreed):
        if next(count) == 3 * 4 + 1:
            raise KeyboardInterrupt
        return answer(self, order, agreed)

    monkeypatch.setattr(of_site.Site, "answer", dies)
    with pytest.raises(KeyboardInterrupt):
        run(training_sets, tmp_path, QUICK)
    monkeypatch.undo()
    assert State.read(tmp_path / "state.safetensors").task == 3
    state = run(training_sets, tmp_path, QUICK)
    assert state.history == done[1].history
    assert all(np.array_equal(value, state.tensors[name]) for name, value in done[1].tensors.items())


def test_norms_stay_at_the_site_where_that_is_asked_for(training_sets, tmp_path):
    config = settings(algorithm="fedbn", rounds=2)
    training_sets = {name: training_sets[name] for name in NAMES[:2]}
    state = run(training_sets, tmp_path, config)
    network = of_site.first_network(config, 1)
    norms = norm_names(network)
    assert len(norms) > 50
    assert not norms & state.tensors.keys()
    results = {}
    for name, path in training_sets.items():
        site = sites({name: path}, tmp_path, config)[name]
        results[name] = SiteResult.read(files_of(path, tmp_path / name).result, site.identity).network
    a, b = results.values()
    assert not any(np.array_equal(a[name], b[name]) for name in norms if name.endswith("running_mean"))
    assert all(np.array_equal(a[name], b[name]) for name in state.tensors)
    first = arrays_of(network)
    assert not any(np.array_equal(a[name], first[name]) for name in norms if name.endswith("running_mean"))


def order_of(config, task=0, **changes):
    state = first_state(config, 1)
    return Update(Kind.WEIGHTS, state.tensors | changes, task, 0, 0), state.agreement


def test_a_site_held_close_stays_closer_and_one_round_is_the_same_each_time(training_sets, tmp_path):
    moved = {}
    for name, train in (("free", {}), ("again", {}), ("held", {"algorithm": "fedprox", "proximal": 100.0})):
        config = settings(round_steps=4, **train)
        site = sites({"site-a": training_sets["site-a"]}, tmp_path, config)["site-a"]
        order, agreed = order_of(config)
        answer = site.answer(order, agreed)
        assert answer.voxels == sum(item.label.size for item in site.folds.folds[0].training)
        weights = [key for key in order.tensors if ".running_" not in key]
        moved[name] = np.concatenate([(answer.tensors[key] - order.tensors[key]).ravel() for key in weights])
    assert np.array_equal(moved["free"], moved["again"])
    assert np.linalg.norm(moved["held"]) < 0.9 * np.linalg.norm(moved["free"])


def test_rounds_follow_one_schedule(training_sets, tmp_path):
    """The second round of three trains with the crops and the rate of its steps, not with those of the first."""
    config = settings(rounds=3)
    site = sites({"site-a": training_sets["site-a"]}, tmp_path, config)["site-a"]
    seen = []
    draw = of_site.CropSampler.draw

    def watched(self, step):
        seen.append(step)
        return draw(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_site.CropSampler, "draw", watched)
        plan = site.plan
        task = next(n for n, one in enumerate(plan.tasks) if not one.leaves_out and one.round == 1)
        site.answer(*order_of(config, task))
    assert seen == [2, 3]


def test_a_site_takes_nothing_but_tensors_of_its_own_network_under_its_own_settings(
    training_sets, tmp_path, monkeypatch
):
    config = settings()
    site = sites({"site-a": training_sets["site-a"]}, tmp_path, config)["site-a"]
    order, agreed = order_of(config)
    name = next(iter(order.tensors))
    with pytest.raises(FederationError, match="other settings of the model"):
        site.answer(order, first_state(settings(rounds=4), 1).agreement)
    with pytest.raises(FederationError, match="tasks"):
        site.answer(Update(Kind.WEIGHTS, order.tensors, 999, 0, 0), agreed)
    bad, _ = order_of(config, **{name: np.full_like(order.tensors[name], np.inf)})
    with pytest.raises(FederationError, match="not finite"):
        site.answer(bad, agreed)
    # The mutant: without the check a site trains on it.
    monkeypatch.setattr(of_site.Contract, "check", lambda *_: None)
    with pytest.raises(Exception, match="NaN or infinite"):
        site.answer(bad, agreed)


def test_sites_with_other_settings_are_no_run(training_sets, tmp_path):
    each = {
        name: (files_of(path, tmp_path / name), settings(**({"round_steps": 5} if name == "site-c" else {})))
        for name, path in training_sets.items()
    }
    with pytest.raises(FederationError, match=r"models: site-c.*other settings than site-a"):
        simulate(each, 1, tmp_path / "state.safetensors", 1)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"mode": "federated"}, "run: NAME"),
        ({"mode": "federated", "run": "r", "role": "coordinator"}, "`sites` names all sites"),
        ({"mode": "federated", "run": "r", "role": "coordinator", "sites": ["a", "a"]}, "same name"),
        ({"mode": "simulate", "run": "r", "role": "coordinator"}, "neither role nor sites"),
        ({"mode": "simulate", "run": "r/x"}, "may hold only letters"),
    ],
)
def test_what_a_mode_needs_is_said(train, said):
    with pytest.raises(ConfigError, match=said):
        read_config({"models": {"m": {"input_scale": 2, "train": train}}})


def test_the_scale_is_agreed_and_a_local_model_is_what_it_was():
    with pytest.raises(ConfigError, match="input_scale"):
        read_config({"models": {"m": {"train": {"mode": "simulate", "run": "r"}}}})
    assert "train" not in UNetConfig().model_dump(mode="json")
    assert "train" not in Config().model_dump(mode="json")["models"]["default"]


def test_nothing_heavy_is_needed_to_coordinate():
    code = "import sys; import tomoprofile.federate.coordinator; print('torch' in sys.modules, 'monai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
