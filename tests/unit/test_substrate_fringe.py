"""The model of the substrate's fringe finds the edge where rims overlap, and says when it does not describe a scan."""

import numpy as np
import pytest

from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.substrate.fringe import fit_fringe, mean_profile
from tomoprofile.volume.plane import Plane

SIZE = (64, 160, 96)
LOOKS = {
    "A": ("A", {}),
    "B, rims of 50 mm": ("B", {}),
    "C": ("C", {}),
    "no layer on the substrate": ("A", {"alumina_um": 0.0}),
    "near the detector": ("A", {"distance_mm": 5.0}),
    "far from the detector": ("A", {"distance_mm": 100.0}),
    "absorption alone": ("A", {"distance_mm": 0.0}),
    "noise": ("A", {"noise_per_cm": 27.0}),
    "thick layer": ("A", {"alumina_um": 2.0}),
    "steep": ("B", {"tilt_deg": 2.0}),
}


class Scan:
    """A simulated scan, read like a store."""

    def __init__(self, kind, settings):
        phantom = simulate(PhantomSettings.of_kind(kind, SIZE, seed=3, **settings))
        self.grey, self.plane, self.shape = phantom.grey, phantom.plane, SIZE
        self.voxel_size_um = (phantom.settings.voxel_um,) * 3

    def read(self, start, stop):
        return self.grey[start:stop]


def moved(plane, voxels, voxel_um):
    return Plane(plane.normal, plane.offset_um + voxels * voxel_um)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("start", [-0.5, 0.4])
def test_the_edge_is_found_within_a_quarter_of_a_voxel(look, start):
    scan = Scan(*LOOKS[look])
    fringe = fit_fringe(*mean_profile(scan, moved(scan.plane, start, 0.5), 0.5, np.nan))
    assert fringe.trusted
    assert abs(fringe.offset_voxels + start) < 0.25


def test_the_middle_between_the_rims_is_not_the_edge():
    """The rule that the model replaces: half way from the brightest to the darkest voxel."""
    scan = Scan("B", {})
    distance, grey, _ = mean_profile(scan, scan.plane, 0.5, np.nan)
    near = np.abs(distance) < 4
    distance, grey = distance[near], grey[near]
    top, bottom = grey.argmax(), grey.argmin()
    crossing = np.flatnonzero(grey[top:bottom] < (grey[top] + grey[bottom]) / 2)[0] + top
    assert distance[crossing] > 0.25


def test_no_edge_is_not_trusted():
    noise = np.random.default_rng(0).normal(size=SIZE)
    scan = Scan("A", {})
    scan.grey = noise
    fringe = fit_fringe(*mean_profile(scan, scan.plane, 0.5, np.nan))
    assert not fringe.trusted


def test_an_edge_elsewhere_is_not_trusted():
    scan = Scan("A", {})
    fringe = fit_fringe(*mean_profile(scan, moved(scan.plane, 10, 0.5), 0.5, np.nan))
    assert not fringe.trusted


def test_a_flat_or_short_profile_has_no_edge():
    distance = np.arange(-16, 16, 0.125)
    assert fit_fringe(distance, np.ones_like(distance), np.ones_like(distance)) is None
    assert fit_fringe(distance[:8], np.arange(8.0), np.ones(8)) is None
    assert fit_fringe(distance[:0], distance[:0], distance[:0]) is None
