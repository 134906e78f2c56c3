"""Optics and detector of the simulated scan, against exact propagation and against what noise should look like."""

import math

import numpy as np
import pytest
from scipy import fft
from scipy.ndimage import laplace

from tomoprofile.errors import ConfigError
from tomoprofile.phantom import scan
from tomoprofile.phantom.geometry import DOMAIN, Spheres
from tomoprofile.phantom.imaging import add_noise, add_rings, transfer_filter
from tomoprofile.phantom.materials import optical_constants, wavelength_um
from tomoprofile.phantom.painting import paint_layer, paint_spheres
from tomoprofile.phantom.settings import PhantomSettings
from tomoprofile.volume.plane import Plane

ENERGY_KEV, DISTANCE_MM, PSF_UM = 20.0, 20.0, 0.4
FIELD_UM = {3: 24, 12: 32}


def contrast():
    epoxy, water = optical_constants("epoxy", ENERGY_KEV), optical_constants("water", ENERGY_KEV)
    return water.delta - epoxy.delta, (water.mu_per_cm - epoxy.mu_per_cm) * 1e-4


def exact_projection(diameter_um, voxel_um, fine=8):
    """-log of the intensity of one water sphere in epoxy: exact Fresnel propagation on a grid ``fine`` times finer."""
    field = FIELD_UM[diameter_um]
    n, step, wavelength = round(field / voxel_um) * fine, voxel_um / fine, wavelength_um(ENERGY_KEV)
    c = (np.arange(n) + 0.5) * step - field / 2
    thickness = 2 * np.sqrt(np.maximum((diameter_um / 2) ** 2 - c[:, None] ** 2 - c[None, :] ** 2, 0))
    delta, mu_per_um = contrast()
    wave = np.exp(-2j * math.pi / wavelength * delta * thickness - mu_per_um / 2 * thickness)
    q2 = fft.fftfreq(n, step)[:, None] ** 2 + fft.fftfreq(n, step)[None, :] ** 2
    propagated = fft.ifft2(fft.fft2(wave) * np.exp(-1j * math.pi * wavelength * DISTANCE_MM * 1e3 * q2))
    blurred = fft.ifft2(fft.fft2(np.abs(propagated) ** 2) * np.exp(-2 * math.pi**2 * PSF_UM**2 * q2)).real
    return -np.log(blurred.reshape(n // fine, fine, n // fine, fine).mean((1, 3)))


def simulated_projection(diameter_um, voxel_um, how="transfer"):
    """The projection of the filtered volume; ``how`` chooses the right way or a wrong one."""
    field, wavelength = FIELD_UM[diameter_um], wavelength_um(ENERGY_KEV)
    n = round(field / voxel_um)
    share, labels = np.zeros((n, n, n), np.float32), np.zeros((n, n, n), np.uint8)
    paint_spheres(
        share, np.zeros(3), voxel_um, np.full((1, 3), field / 2), np.array([diameter_um / 2]), labels, (0, 0, 0), 1
    )
    delta, mu_per_um = contrast()
    if how == "laplacian":
        sharp = labels.astype(float)
        volume = 1e4 * (mu_per_um * sharp - DISTANCE_MM * 1e3 * delta * laplace(sharp, mode="wrap") / voxel_um**2)
    else:
        sign = -1 if how == "wrong sign" else 1
        phase = np.float32(sign * 4 * math.pi / wavelength * delta * 1e4) * share
        mu = np.float32(mu_per_um * 1e4) * share
        volume = transfer_filter(mu, phase, voxel_um, wavelength, DISTANCE_MM, PSF_UM)
    return volume.sum(axis=0) * voxel_um * 1e-4


def relative_error(diameter_um, voxel_um, how="transfer"):
    exact = exact_projection(diameter_um, voxel_um)
    return np.sqrt(np.mean((simulated_projection(diameter_um, voxel_um, how) - exact) ** 2) / np.mean(exact**2))


@pytest.mark.parametrize(
    ("diameter_um", "voxel_um", "gate"), [(12, 0.5, 0.04), (3, 0.5, 0.04), (12, 0.25, 0.02), (3, 0.25, 0.01)]
)
def test_filter_agrees_with_exact_fresnel_propagation(diameter_um, voxel_um, gate):
    assert relative_error(diameter_um, voxel_um) < gate


@pytest.mark.parametrize("how", ["laplacian", "wrong sign"])
@pytest.mark.parametrize("diameter_um", [3, 12])
def test_wrong_optics_miss_the_gate_by_far(diameter_um, how):
    assert relative_error(diameter_um, 0.5, how) > 1


def test_constants_agree_with_electron_densities():
    # Silicon is in the table; the way Al2O3 is derived must give it too.
    electrons_per_m3 = 2.33e6 * 6.02214076e23 * 14 / 28.0855
    derived = 2.8179403e-15 * (wavelength_um(20) * 1e-6) ** 2 * electrons_per_m3 / (2 * math.pi)
    assert optical_constants("silicon", 20).delta == pytest.approx(derived, rel=0.01)
    assert optical_constants("alumina", 20).delta == pytest.approx(2.01e-6, rel=0.01)


@pytest.mark.parametrize("material", ["epoxy", "water", "silicon", "alumina"])
def test_constants_between_the_tabulated_energies(material):
    at = {energy: optical_constants(material, energy) for energy in (15, 17, 20)}
    assert at[15].mu_per_cm > at[17].mu_per_cm > at[20].mu_per_cm
    # Far from absorption edges delta falls as 1 / E^2; linear interpolation would be 1 % off.
    assert at[17].delta * 17**2 == pytest.approx(at[20].delta * 20**2, rel=0.004)


def test_epoxy_scales_with_its_density_and_water_does_not():
    assert optical_constants("epoxy", 20, 0.58).delta == pytest.approx(optical_constants("epoxy", 20).delta / 2)
    assert optical_constants("water", 20, 0.58) == optical_constants("water", 20)


def test_water_absorbs_more_and_refracts_less_than_epoxy():
    water, epoxy = optical_constants("water", 20), optical_constants("epoxy", 20)
    assert water.mu_per_cm > epoxy.mu_per_cm
    assert water.delta < epoxy.delta


def test_energy_outside_the_table_is_refused():
    with pytest.raises(ConfigError, match="10 to 30 keV"):
        optical_constants("water", 35)


def core_and_rim(diameter_um):
    """Grey in the middle of one water sphere, and the darkest and the brightest around it, without noise."""
    settings = PhantomSettings.of_kind("A", size=(48, 48, 48), substrate_um=1)
    middle = np.array([[12.25, 12.25, 12.25]])
    sphere = Spheres(middle, np.array([diameter_um]), np.array([DOMAIN], np.uint8), np.array([False]))
    grey = scan.render(settings, Plane((0.0, 1.0, 0.0), -100.0), sphere, scan.Grid.around(settings, 8))[3]
    return grey[24, 24, 24], grey.min(), grey.max()


def test_grey_levels_of_small_and_large_domains():
    small_core, _, _ = core_and_rim(3.0)
    large_core, dark, bright = core_and_rim(12.0)
    assert small_core == pytest.approx(-11, abs=1)  # a small domain is all rim
    assert large_core == pytest.approx(0.81, abs=0.1)  # a large one has an interior nearly as grey as the matrix
    assert dark == pytest.approx(-21, abs=2.5)
    assert bright > 10


@pytest.mark.parametrize(("kind", "gate"), [("A", 0.1), ("B", 0.5)])
def test_margin_is_wide_enough(kind, gate):
    settings = PhantomSettings.of_kind(kind, size=(40, 96, 48))
    plane, spheres, _ = scan.lay_out(settings, np.random.default_rng(0))

    def worst(margin_um):
        grey = scan.render(settings, plane, spheres, scan.Grid.around(settings, margin_um))[3]
        wide = scan.render(settings, plane, spheres, scan.Grid.around(settings, 3 * scan.MARGIN_UM))[3]
        return np.abs(grey - wide).max()

    assert worst(scan.MARGIN_UM) < gate  # far below the noise of 3 and 6
    assert worst(0.5) > 10 * gate  # substrate and resin meet at the wrapped faces


def test_spheres_fill_their_volume_and_voxels_their_share():
    rng = np.random.default_rng(0)
    n, radius = 200, 3.0
    volumes, labelled, ramps = [], [], []
    grid = np.indices((10, 10, 10)) + 0.5
    for centre in rng.uniform(4.5, 5.5, (n, 3)):
        share, labels = np.zeros((10, 10, 10), np.float32), np.zeros((10, 10, 10), np.uint8)
        tallies = paint_spheres(share, np.zeros(3), 1.0, centre[None], np.array([radius]), labels, (0, 0, 0), 1)
        volumes.append(share.sum())
        labelled.append(labels.sum())
        assert tallies[0, 0] == labels.sum()
        distance = np.linalg.norm(grid - centre[:, None, None, None], axis=0)
        ramps.append(np.clip(0.5 + radius - distance, 0, 1).sum())
    true = 4 / 3 * math.pi * radius**3
    assert np.mean(volumes) == pytest.approx(true, rel=0.002)
    assert np.std(volumes) < 0.01 * true
    assert np.mean(labelled) == pytest.approx(true, rel=0.005)
    assert np.mean(ramps) > 1.02 * true  # the ramp of the distance is why voxels are sampled


@pytest.mark.parametrize(("tilt_deg", "gate"), [(0.0, 1e-6), (0.5, 0.005), (2.0, 0.02)])
def test_layers_fill_the_share_their_docstring_promises(tilt_deg, gate):
    t = math.radians(tilt_deg)
    plane = Plane.through((0.6 * math.tan(t), 1.0, 0.8 * math.tan(t)), 8.3)
    share = np.zeros((8, 16, 8), np.float32)
    paint_layer(share, np.zeros(3), 1.0, plane, 3.0)
    fine = (np.arange(8 * 20) + 0.5) / 20
    height = (plane.offset_um - plane.normal[0] * fine[:, None] - plane.normal[2] * fine[None, :]) / plane.normal[1]
    rise = height[:, None, :] - np.arange(16)[None, :, None]
    columns = np.clip(rise, 0, 1) - np.clip(rise - 3 / plane.normal[1], 0, 1)
    exact = columns.reshape(8, 20, 16, 8, 20).mean((1, 4))
    assert np.abs(share - exact).max() < gate


def spectral_slope(noise):
    """Exponent of the noise power against the spatial frequency within the slices."""
    q = np.hypot(fft.fftfreq(noise.shape[1])[:, None], fft.fftfreq(noise.shape[2])[None, :])
    power = (np.abs(fft.fft2(noise)) ** 2).mean(axis=0)
    bins = np.digitize(q, np.linspace(0.02, 0.5, 25))
    mean_q, mean_power = (np.array([v[bins == i].mean() for i in range(1, 25)]) for v in (q, power))
    return np.polyfit(np.log(mean_q), np.log(mean_power), 1)[0]


def test_noise_has_its_deviation_and_the_spectrum_of_a_ramp_filter():
    noise = np.zeros((40, 128, 96), np.float32)
    add_noise(noise, 3.0, np.random.default_rng(1))
    assert noise.std() == pytest.approx(3.0, rel=0.02)
    assert abs(noise.mean()) < 0.01
    assert spectral_slope(noise) == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.01


def test_white_noise_would_miss_the_spectrum():
    white = np.random.default_rng(1).standard_normal((40, 128, 96))
    assert abs(spectral_slope(white)) < 0.1


def test_rings_run_about_the_axis():
    grey = np.zeros((60, 64, 64), np.float32)
    add_rings(grey, 2.0, np.random.default_rng(1))
    assert np.abs(grey).max() > 1
    assert np.array_equal(grey, np.rot90(grey, axes=(1, 2)))
    assert not np.array_equal(grey, np.roll(grey, 5, axis=1))
    # A defect of the detector stays for some slices, and not for all.
    assert np.corrcoef(grey[20].ravel(), grey[22].ravel())[0, 1] > 0.5
    assert abs(np.corrcoef(grey[0].ravel(), grey[30].ravel())[0, 1]) < 0.5


def test_no_rings_without_rings():
    grey = np.zeros((4, 8, 8), np.float32)
    add_rings(grey, 0.0, np.random.default_rng(1))
    assert not grey.any()
