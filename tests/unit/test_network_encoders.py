"""Any encoder that says its channels and how often it halves an image: MONAI's, and one that halves it four times."""

import pytest
from monai.networks.blocks import BaseEncoder
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from segment_scan import build, level_of
from torch import nn

from tomoprofile.config import UNetConfig
from tomoprofile.errors import InputError
from tomoprofile.network.bundle import load_network
from tomoprofile.network.encoder import encoder_names, reductions_of
from tomoprofile.network.fine_tune import fine_tune, initial_network
from tomoprofile.network.slices import SlicePredictor, fitting_side
from tomoprofile.network.unet import SliceNetwork
from tomoprofile.volume.store import open_store

QUICK = UNetConfig(base="none", steps=2, input_scale=1, decoder_channels=(16, 16, 8, 8), batch=2)
CHANNELS = (4, 8, 8, 16)


class FourTimes(nn.Module, BaseEncoder):
    """An encoder of four maps, each half the size of the one before."""

    def __init__(self, in_channels, pretrained, spatial_dims):
        super().__init__()
        assert (pretrained, spatial_dims) == (False, 2)
        each = zip((in_channels, *CHANNELS), CHANNELS, strict=False)
        self.layers = nn.ModuleList(nn.Conv2d(before, after, 3, 2, 1) for before, after in each)

    def forward(self, image):
        features = []
        for layer in self.layers:
            features.append(layer(features[-1] if features else image))
        return features

    @classmethod
    def get_encoder_parameters(cls):
        return [{"in_channels": 3, "pretrained": False, "spatial_dims": 2}]

    @classmethod
    def num_channels_per_output(cls):
        return [CHANNELS]

    @classmethod
    def num_outputs(cls):
        return [len(CHANNELS)]

    @classmethod
    def get_encoder_names(cls):
        return ["four-times"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module")
def training_set(scan):
    return scan.training_set(QUICK)


@pytest.fixture(scope="module", autouse=True)
def four_times():
    FLEXUNET_BACKBONE.register_class(FourTimes)
    yield
    del FLEXUNET_BACKBONE.register_dict["four-times"]


def test_encoders_say_how_far_they_reduce():
    assert {"efficientnet-lite0", "efficientnet-b0", "resnet18", "four-times"} <= set(encoder_names())
    assert reductions_of("efficientnet-lite0") == reductions_of("resnet18") == (1, 2, 4, 8, 16)
    assert reductions_of("four-times") == (1, 2, 4, 8)
    with pytest.raises(InputError, match="Did you mean `four-times`"):
        reductions_of("fourtimes")


@pytest.mark.parametrize(("encoder", "crop", "window"), [("four-times", 48, 80), ("resnet10", 64, 96)])
def test_any_encoder_trains_and_segments(scan, training_set, encoder, crop, window):
    """Neither crop nor windows of the first are multiples of 32."""
    config = QUICK.model_copy(update={"encoder": encoder, "crop": crop, "window": window})
    out = scan.folder / "models" / encoder
    fine_tune(training_set, config, 1, out, threads=2)
    network = load_network(out)
    assert network.reduction == 2 * reductions_of(encoder)[-1], "at `input_scale: 1` it sees means of two voxels"
    store = scan.empty(f"{encoder}.ome.zarr")
    scan.predict(out, store, 0, 8, model=config)
    assert open_store(store, "domain").read(0, 8).any()
    assert 0 < level_of(out) < 1


def test_windows_follow_the_encoder():
    assert (fitting_side(100, 576, 32), fitting_side(100, 576, 16)) == (128, 112)
    assert (fitting_side(500, 90, 32), fitting_side(500, 90, 16)) == (64, 80)
    network = SliceNetwork(3, 1, "efficientnet-lite0", (16,) * 4)
    with pytest.raises(InputError, match="32 voxels or larger"):
        SlicePredictor(network, 8)


def test_crops_that_an_encoder_cannot_halve_are_refused(training_set, tmp_path):
    config = QUICK.model_copy(update={"encoder": "resnet10", "crop": 48})
    with pytest.raises(InputError, match="Choose a multiple of 32"):
        fine_tune(training_set, config, 1, tmp_path / "model", threads=2)
    # At twice the enlargement they can be halved once more.
    fine_tune(training_set, config.model_copy(update={"input_scale": 2, "steps": 1}), 1, tmp_path / "model", threads=2)


def test_an_encoder_that_is_not_there():
    with pytest.raises(InputError, match="there is no such encoder"):
        initial_network(QUICK.model_copy(update={"encoder": "resnet19"}))
