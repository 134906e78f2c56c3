"""The same mask whatever computes it; memory that is full; shards that wait."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from segment_scan import build, dice, level_of

from tomoprofile.config import PredictConfig, UNetConfig, read_config
from tomoprofile.errors import ConfigError, InputError, StageError
from tomoprofile.labels.training_set import read_training_set
from tomoprofile.network import slices
from tomoprofile.network.bundle import load_network
from tomoprofile.network.engine import TorchEngine, folded, make_engine
from tomoprofile.network.fine_tune import fine_tune
from tomoprofile.network.int8 import convolutions
from tomoprofile.network.slices import SlicePredictor
from tomoprofile.run.feasibility import check_run
from tomoprofile.samples import Scan
from tomoprofile.segment import predict
from tomoprofile.volume.shard_file import ShardWriter
from tomoprofile.volume.store import Store, open_store

QUICK = UNetConfig(steps=60, crop=64, decoder_channels=(64, 32, 16, 16), window=96)
LAYER = 10  # slices of a chunk in shards of twice as many
CHANGED = 0.0005  # share of voxels that may fall on the other side of the level


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module")
def bundle(scan):
    fine_tune(scan.training_set(QUICK), QUICK, 1, scan.folder / "model", threads=2)
    return scan.folder / "model"


@pytest.fixture(scope="module")
def images(scan):
    return [item.image for item in read_training_set(scan.folder / "training.npz").slices]


def masks(bundle, images, **settings):
    predictor = SlicePredictor(load_network(bundle), QUICK.window, PredictConfig(device="cpu", **settings), 2)
    found = np.stack([predictor.probability(image) for image in images])
    return found >= level_of(bundle) * 255, predictor.engine


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("torch", "bfloat16"), ("openvino", "float32"), ("openvino", "bfloat16"), ("auto", "auto")],
)
def test_every_engine_and_precision_gives_the_same_mask(bundle, images, engine, precision):
    reference, _ = masks(bundle, images, engine="torch", precision="float32")
    found, used = masks(bundle, images, engine=engine, precision=precision)
    assert reference.any()
    assert (found != reference).mean() <= CHANGED
    assert engine in ("auto", used.name)
    # The mutant: a network a little less sure of itself changes more.
    network = load_network(bundle)
    ((slope, offset),) = network.calibration
    network.calibration = ((slope, offset - 1),)
    shy = SlicePredictor(network, QUICK.window, PredictConfig(device="cpu"), 2)
    other = np.stack([shy.probability(image) for image in images]) >= level_of(bundle) * 255
    assert (other != reference).mean() > CHANGED


def test_int8_changes_little_when_it_knows_the_ranges(bundle, images):
    """It may change more than the other precisions, but the found area must stay."""
    reference, _ = masks(bundle, images, engine="torch", precision="float32")
    found, used = masks(bundle, images, precision="int8")
    assert (used.name, used.precision) == ("openvino", "int8")
    assert (found != reference).mean() <= 10 * CHANGED
    alike = dice(found, reference)
    assert alike > 0.95
    # The mutant: ranges that were noted on something fainter.
    network = load_network(bundle)
    network.ranges /= 8
    wrong = SlicePredictor(network, QUICK.window, PredictConfig(device="cpu", precision="int8"), 2)
    other = np.stack([wrong.probability(image) for image in images]) >= level_of(bundle) * 255
    assert 1 - dice(other, reference) > 3 * (1 - alike)


def test_int8_rounds_every_convolution_but_the_first_and_the_last(bundle):
    engine = make_engine(load_network(bundle), PredictConfig(device="cpu", precision="int8"), 1)
    kinds = [node.get_type_name() for node in engine._converted((1, 3, 64, 64)).get_ordered_ops()]
    inner = sum("Convolution" in kind for kind in kinds) - 2
    assert inner == len(convolutions(load_network(bundle))) > 30
    inputs_and_weights = kinds.count("FakeQuantize")
    assert inner < inputs_and_weights <= 2 * inner, "an input that two convolutions share is rounded once"


def test_openvino_tells_nobody():
    """Its telemetry package is not even loaded."""
    code = "from tomoprofile.config import PredictConfig; from tomoprofile.network.engine import make_engine\n"
    code += "from tomoprofile.network.unet import SliceNetwork; import sys\n"
    code += "make_engine(SliceNetwork(3, 1, 'efficientnet-lite0', (16,) * 4), PredictConfig(engine='openvino'), 1)\n"
    code += "print(sorted(name for name in sys.modules if name.startswith('openvino_telemetry.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_engine_or_device_that_is_not_there_is_a_clear_error(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install openvino"):
        make_engine(load_network(bundle), PredictConfig(engine="openvino"), 1)
    with pytest.raises(InputError, match=r"`predict\.precision: auto`"):
        make_engine(load_network(bundle), PredictConfig(precision="int8", device="cpu"), 1)
    config = read_config({"predict": {"engine": "openvino"}, "results": str(tmp_path)})
    row = {"sample": "s", "path": "p", "format": "hdf5", "slices": 4, "rows": 4, "columns": 4, "dtype": "uint8"}
    scan = Scan(**row, voxel_size_um="1", labels="l")
    assert any("pip install openvino" in found.message for found in check_run(config, [scan]))
    monkeypatch.undo()
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            make_engine(load_network(bundle), PredictConfig(device="cuda"), 1)
    for wrong in (
        {"precision": "float16", "device": "cpu"},
        {"engine": "openvino", "device": "cuda"},
        {"precision": "int8"},
        {"precision": "int8", "device": "cpu", "engine": "torch"},
    ):
        with pytest.raises(ConfigError, match="CPU"):
            read_config({"predict": wrong})


def test_openvino_uses_the_threads_it_is_given(bundle, images, monkeypatch):
    import openvino

    seen = []
    compile_model = openvino.Core.compile_model
    monkeypatch.setattr(
        openvino.Core,
        "compile_model",
        lambda self, model, device, options: seen.append(options) or compile_model(self, model, device, options),
    )
    predictor = SlicePredictor(load_network(bundle), QUICK.window, PredictConfig(engine="openvino"), 1)
    predictor.probability(images[0])
    assert [options["INFERENCE_NUM_THREADS"] for options in seen] == [1]


def test_batch_norms_are_folded_exactly_and_all_of_them(bundle):
    network = load_network(bundle).eval()
    ready = folded(network)
    image = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        assert torch.allclose(ready(image), network(image), atol=1e-4)
    norms = [sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in one.modules()) for one in (network, ready)]
    assert norms[0] > 30
    assert norms[1] == 0


class Small(torch.nn.Module):
    """A network for which only so many windows fit into the memory."""

    def __init__(self, fits):
        super().__init__()
        self.fits, self.sizes = fits, []

    def forward(self, windows):
        self.sizes.append(len(windows))
        if len(windows) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return windows[:, :1] * 2


def test_full_memory_halves_the_batch_says_so_and_remembers(caplog):
    engine = TorchEngine(Small(3), torch.device("cpu"), torch.float32)
    network = engine.network
    windows = torch.arange(8.0).reshape(8, 1, 1, 1)
    assert (engine.logits(windows) == 2 * windows).all()
    assert network.sizes == [8, 4, 2, 2, 2, 2]
    assert "4 windows at once instead of 8" in caplog.text
    network.sizes.clear()
    engine.logits(windows)
    assert network.sizes == [2, 2, 2, 2]
    with pytest.raises(StageError, match="Lower `window`"):
        TorchEngine(Small(0), torch.device("cpu"), torch.float32).logits(windows)


def seam(predictor, images, reference):
    """Return the largest jump, between neighbouring rows or columns, of the difference to a single window."""
    errors = [predictor.probability(image)[0] - whole for image, whole in zip(images, reference, strict=True)]
    return max(
        np.mean([np.abs(np.diff(error, axis=axis)).mean(axis=1 - axis) for error in errors], axis=0).max()
        for axis in (0, 1)
    )


def test_hard_borders_of_windows_would_show(bundle, images, monkeypatch):
    """Blended windows differ smoothly from one large window; without overlap and weights, the mutant, they jump."""
    whole = SlicePredictor(load_network(bundle), 256, threads=2)
    small = SlicePredictor(load_network(bundle), 64, threads=2)
    reference = [whole.probability(image)[0].astype(float) for image in images]
    blended = seam(small, images, reference)
    monkeypatch.setattr(slices, "OVERLAP", 0)
    monkeypatch.setattr(slices, "weights", lambda height, width, *_: torch.ones(height, width))
    assert blended < 0.9 * seam(small, images, reference)


def largest_step(profile, side, shared):
    """Return the largest step of what one window counts beside the next, where the next one begins and beyond."""
    first, second = (torch.zeros(2 * side - shared) for _ in range(2))
    first[:side], second[side - shared :] = profile, profile
    return (second / (first + second)).diff().abs().max().item()


def test_windows_come_in_and_go_without_a_step():
    side, shared = 576, 64
    assert largest_step(slices.weights(side, 32, shared, 16)[:, 16], side, shared) < 0.03
    # The mutant: a Gaussian of the whole window.
    gaussian = compute_importance_map((side,), mode="gaussian", sigma_scale=0.125)
    assert largest_step(gaussian, side, shared) > 0.1


def test_every_voxel_counts_even_in_the_corner_of_a_slice():
    assert slices.weights(576, 576, 64, 64).min() > 0


def slab(scan, bundle, name, settings=None, uncertainty=None, shard_slices=8):
    out = scan.empty(name, shard_slices)
    told = scan.predict(bundle, out, model=QUICK, settings=settings or PredictConfig(), uncertainty=uncertainty)
    return open_store(out, "domain").read(0, 48), told


def layers_in_memory(scan, bundle, monkeypatch):
    """Segment shards of two layers of chunks; return the most slices that were read and not yet written."""
    alive, most, beside = [0], [0], []
    read, add, lock = Store.read_padded, ShardWriter.add, threading.Lock()

    def counted_read(self, start, stop):
        with lock:
            alive[0] += stop - start
            most[0] = max(most[0], alive[0])
        beside.append(threading.current_thread().name)
        return read(self, start, stop)

    def counted_add(self, slices):
        add(self, slices)
        with lock:
            alive[0] -= len(slices)
        beside.append(threading.current_thread().name)

    monkeypatch.setattr(Store, "read_padded", counted_read)
    monkeypatch.setattr(ShardWriter, "add", counted_add)
    found, told = slab(scan, bundle, "counted.ome.zarr", shard_slices=2 * LAYER)
    assert found.any()
    assert threading.main_thread().name not in beside, "reading and writing go on beside the network"
    assert set(told) == {"device", "engine", "precision"}
    return most[0]


def test_few_layers_are_in_memory_and_reading_runs_ahead(scan, bundle, monkeypatch):
    """One is read, one written and one computed from two that were read: never more, however many the slab has."""
    assert layers_in_memory(scan, bundle, monkeypatch) <= 4 * LAYER + 2


def test_mutant_that_reads_whole_slabs_holds_more(scan, bundle, monkeypatch):
    monkeypatch.setattr(predict, "pairwise", lambda borders: [(borders[0], borders[-1])])
    assert layers_in_memory(scan, bundle, monkeypatch) >= 48


def test_a_store_that_cannot_be_written_stops_the_slab_and_leaves_nothing(scan, bundle, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ShardWriter, "add", full)
    with pytest.raises(OSError, match="No space left"):
        slab(scan, bundle, "full.ome.zarr")
    assert not [path for path in (scan.folder / "full.ome.zarr/0/c").rglob("*") if path.is_file()]


def test_flips_tell_where_the_network_does_not_know(scan, bundle):
    spread = scan.empty("spread.ome.zarr")
    mean, _ = slab(scan, bundle, "flipped.ome.zarr", PredictConfig(flips=True), spread)
    unsure = open_store(spread, "domain").read(0, 48).astype(float)
    level = level_of(bundle) * 255
    wrong = (mean >= level) != scan.truth
    assert dice(mean[28:36] >= level, scan.truth[28:36]) > 0.7
    assert unsure[wrong].mean() > 3 * unsure[~wrong].mean()
    plain, _ = slab(scan, bundle, "plain.ome.zarr", PredictConfig())
    assert 0 < np.abs(mean.astype(int) - plain).mean() < 10


@pytest.mark.parametrize(
    ("side", "window", "wanted"), [(50, 576, 64), (576, 576, 576), (2048, 576, 576), (700, 576, 384)]
)
def test_windows_cover_a_slice_with_little_to_spare(side, window, wanted):
    found = slices.fitting_side(side, window, 32)
    assert found == wanted
    assert found % 32 == 0
    count = -(-(side - 64) // (found - 64)) if side > found else 1
    most = -(-(side - 64) // (window - 64)) if side > window else 1
    assert count == most, "smaller windows, but not more of them"


@pytest.mark.parametrize("module", ["network.unet", "segment.predict", "amplify.register"])
def test_threads_do_not_spin_wherever_pytorch_is_loaded_first(module):
    """Read when PyTorch is loaded: a package that forgot it would train several times slower beside other work."""
    code = f"import os, tomoprofile.{module}; print(os.environ['GOMP_SPINCOUNT'])"
    clean = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1000"
