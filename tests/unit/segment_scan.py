"""A small simulated scan with labelled slices, shared by the tests of segmentation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from tomoprofile.labels.training_set import LabelledScan, collect_labels
from tomoprofile.phantom.scan import Phantom, PhantomSettings, simulate
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.segment.segmenter import Slab
from tomoprofile.shift.appearance import look_at_scan
from tomoprofile.volume.store import create_store


@dataclass(frozen=True)
class SegmentScan:
    folder: Path
    phantom: Phantom

    @property
    def volume(self):
        return self.folder / "volume.ome.zarr"

    @property
    def interface(self):
        return self.folder / "interface.json"

    @property
    def appearance(self):
        return self.folder / "appearance.json"

    @property
    def truth(self):
        return self.phantom.labels == 1

    def label(self, name, slices, change=lambda mask: mask):
        """Write true masks of some slices; returns the labelled scan."""
        folder = self.folder / name
        folder.mkdir()
        for z in slices:
            mask = change(self.truth[z].astype(np.uint8))
            tifffile.imwrite(folder / f"x_z{z:05d}.tif", mask)
        return LabelledScan("x", self.volume, folder, self.appearance)

    def training_set(self, config):
        """Write the training set of three labelled slices; returns its path."""
        path = self.folder / "training.npz"
        collect_labels([self.label("labels", (8, 24, 40))], config, path)
        return path

    def empty(self, name, shard_slices=8, classes=("domain",)):
        """Create a store for probabilities."""
        path = self.folder / name
        create_store(path, self.truth.shape, "uint8", (0.5, 0.5, 0.5), shard_slices, channels=classes)
        return path

    def predict(self, segmenter, out, start=0, stop=48, model=None, **more):
        """Segment a slab into a store, as a job does; returns what it was computed with."""
        slab = Slab(self.volume, out, start, stop, threads=2, appearance=self.appearance, **more)
        return segmenter_at(segmenter, model).predict(slab)


def level_of(segmenter):
    """Return the decision level of the one measured class."""
    (level,) = segmenter_at(segmenter).levels().values()
    return level


def build(folder, kind="A", **changes):
    phantom = simulate(PhantomSettings.of_kind(kind, **{"size": (48, 128, 96), "seed": 2} | changes))
    scan = SegmentScan(folder, phantom)
    store = create_store(scan.volume, phantom.grey.shape, "float32", (0.5, 0.5, 0.5), 8)
    for start, stop in store.shards():
        store.write(start, phantom.grey[start:stop])
    phantom.plane.save(scan.interface)
    look_at_scan(scan.volume, scan.interface, scan.appearance)
    return scan


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())
