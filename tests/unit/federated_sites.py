"""Three small sites with labels of their own, shared by the tests of federated training."""

from dataclasses import replace

from segment_scan import build

from tomoprofile.config import UNetConfig
from tomoprofile.federate.result import SiteFiles
from tomoprofile.federate.site import Site
from tomoprofile.labels.training_set import collect_labels

NAMES = ("site-a", "site-b", "site-c")
TINY = {
    "crop": 64,
    "batch": 1,
    "decoder_channels": (16, 16, 16, 16),
    "window": 96,
    "input_scale": 2,
    "base": "imagenet",
}
PLAIN = TINY | {"decoder_channels": list(TINY["decoder_channels"])}  # as in a configuration file
RUN = {"mode": "simulate", "run": "tiny", "rounds": 3, "round_steps": 2, "rounds_per_job": 4}


def settings(**train):
    return UNetConfig(**TINY, train=RUN | train)


def make_training_sets(folder):
    """Write the training set of each site; scans differ, and labels are on two, three and four slices."""
    made = {}
    for number, (name, slices) in enumerate(zip(NAMES, ((8, 40), (8, 24, 40), (4, 16, 28, 40)), strict=True)):
        (folder / name).mkdir(parents=True)
        scan = build(folder / name, seed=2 + number)
        made[name] = folder / name / "training.npz"
        collect_labels([replace(scan.label("labels", slices), sample=name)], settings(), made[name])
    return made


def files_of(training_set, folder):
    return SiteFiles(training_set, folder, folder / "result.safetensors")


def sites(training_sets, folder, config, seed=1):
    """Return the sites, which keep what they must in a folder."""
    return {name: Site(name, files_of(path, folder / name), config, seed) for name, path in training_sets.items()}
