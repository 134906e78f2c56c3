"""Small torsos in stores, labelled as a whole, in a few slices, or not at all, and registrations without a search."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from amplify_cases import positions, seen, torso

from tomoprofile.amplify.registration import Registration
from tomoprofile.amplify.stages import LearnedFiles, learn, take_template
from tomoprofile.amplify.template import read_template
from tomoprofile.config import UNetConfig
from tomoprofile.labels.training_set import LabelledScan, collect_labels
from tomoprofile.shift.appearance import FEATURES, Appearance
from tomoprofile.volume.store import create_store

SIDE = 32
EDGE_UM = 2000.0
CLASSES = {"background": 0, "body": 1, "spine": 2, "liver": 3, "kidney": 4, "vessel": 5}
ORGANS = ("liver", "kidney", "vessel")
FEW = (8, 20)  # slices


def config_of(**amplify):
    return UNetConfig(classes=CLASSES, measure=ORGANS, crop=32, steps=4, amplify={"pairs": 4} | amplify)


@dataclass(frozen=True)
class Scans:
    """Scans of one model below a folder."""

    folder: Path

    def volume(self, name):
        return self.folder / name / "volume.ome.zarr"

    def add(self, name, shift=0.0, image=None, seed=0):
        """Write the store and the appearance of a torso whose organs are moved; returns its classes."""
        points = positions(SIDE, 3)
        points[2] = points[2] + shift
        label = torso(points, 3)
        grey = seen(label, np.random.default_rng(seed), noise=0.05) if image is None else image
        store = create_store(self.volume(name), grey.shape, "float32", (EDGE_UM,) * 3, 16)
        for start, stop in store.shards():
            store.write(start, grey[start:stop].astype(np.float32))
        features = np.zeros((4, len(FEATURES)))
        Appearance(0.0, 0.5, (EDGE_UM,) * 3, [0], features).save(self.folder / name / "appearance.json")
        return label

    def label(self, name, label, slices=None):
        """Write labels of all slices as one volume, or of some as masks."""
        folder = self.folder / name / "labels"
        folder.mkdir()
        if slices is None:
            tifffile.imwrite(folder / "organs.tif", label.astype(np.uint8))
        for z in slices or ():
            tifffile.imwrite(folder / f"x_z{z:05d}.tif", label[z].astype(np.uint8))
        return LabelledScan(name, self.volume(name), folder, self.folder / name / "appearance.json")

    def collected(self, scans, config):
        path = self.folder / "training.npz"
        collect_labels(scans, config, path)
        return path

    def registered(self, names, labelled, config, refused=()):
        """Take the first case as the template, and write smooth made-up deformations of all; returns where they are."""
        template = self.folder / "template.safetensors"
        take_template({names[0]: self.volume(names[0])}, "auto", template)
        found = read_template(template)
        paths = []
        for number, name in enumerate(names):
            rng = np.random.default_rng(number)
            shift = rng.normal(0, 1.5, (3, 1, 1, 1)) * np.ones(found.lattice.shape)
            case = Registration(name, found.digest, shift.astype(np.float32), np.zeros(3), *refusal_of(name, refused))
            paths.append(self.folder / name / "registration.safetensors")
            case.write(paths[-1])
        files = LearnedFiles(template, self.folder / "sums.safetensors", self.folder / "cases.json", paths)
        learn(files, labelled, config)
        return files


def refusal_of(name, refused):
    """Return the refusal of a case and its sentence."""
    return refused.get(name, (None, "")) if refused else (None, "")
