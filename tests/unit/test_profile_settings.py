"""What `auto` makes of bins, blocks and zones, what is given stays, and models may differ."""

import numpy as np
import pandas as pd
import pytest

from tomoprofile.config import read_config
from tomoprofile.config_profile import ProfileConfig, Words
from tomoprofile.errors import ConfigError
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.profile.masks import Grid, Space
from tomoprofile.profile.settings import settled
from tomoprofile.report.words import Terms
from tomoprofile.run.feasibility import check_run
from tomoprofile.samples import Scan
from tomoprofile.substrate.resin import Resin
from tomoprofile.volume.plane import Plane, WithoutSubstrate

FACE = Plane((1.0, 0.0, 0.0), 0.0)
ROW = {"path": "a", "format": "tiff_folder", "slices": 64, "rows": 64, "columns": 64, "dtype": "uint8"}


def space_of(shape, voxel_um, plane=FACE, resin=None):
    return Space.of(shape, (voxel_um,) * 3, plane, resin or Resin.everywhere(), "auto")


def domains(diameter_um, n=50):
    return {"domain": pd.DataFrame({"equivalent_diameter_um": [float(diameter_um)] * n, "edge_weight": [1.0] * n})}


@pytest.mark.parametrize("voxel_um", [0.022, 0.5, 19.5, 3000.0])
@pytest.mark.parametrize("diameter_voxels", [1.7, 8, 60])
def test_automatic_bins_hold_voxels_and_domains_at_any_scale(voxel_um, diameter_voxels):
    space = space_of((200, 200, 200), voxel_um)
    found = settled(ProfileConfig(), space, domains(diameter_voxels * voxel_um))
    assert found.bin_um >= 2 * voxel_um * (1 - 1e-9)
    n_bins = space.deepest_um / found.bin_um
    assert 3 < n_bins <= 100
    if diameter_voxels == 8:
        assert diameter_voxels * voxel_um <= found.bin_um <= 2.5 * diameter_voxels * voxel_um
    ends = [(zone.from_um, zone.to_um) for zone in found.zones]
    assert [zone.name for zone in found.zones] == ["near", "middle", "far"]
    assert ends[0][0] == 0
    assert ends[0][1] == ends[1][0] < ends[1][1] == ends[2][0] < space.deepest_um
    assert ends[2][1] is None
    grid = Grid.dividing(space, np.array([0.0, space.deepest_um]), found.block_um)
    least = min(5 * diameter_voxels, 200) * voxel_um
    assert grid.n_blocks >= 9 or found.block_um == pytest.approx(least, rel=0.01)


def test_five_micrometres_on_coarse_voxels_were_the_fault():
    """The mutant: the bins that were the default, on 19.5 um voxels, are refused by the check before a run."""
    scan = Scan(sample="a", voxel_size_um="19.5", **ROW)
    model = {"models": {"default": {"method": "otsu"}}}
    (fault,) = faults_of({"profile": {"bin_um": 5}, **model}, scan)
    assert "19.5 um" in fault
    assert "profile.bin_um" in fault
    assert not faults_of(model, scan)
    assert not faults_of({"profile": {"bin_um": 19.5}, **model}, scan)
    assert len(faults_of({"profile": {"block_um": 5}, **model}, scan)) == 1
    # Without depth there are no bins; and what the model of the scan says counts.
    assert not faults_of({"profile": {"bin_um": 5}, **model}, scan.model_copy(update={"interface": "none"}))
    own = {"models": {"default": {"method": "otsu", "profile": {"bin_um": "auto"}}}}
    assert not faults_of({"profile": {"bin_um": 5}, **own}, scan)


def faults_of(config, scan):
    return [one.message for one in check_run(read_config(config), [scan]) if one.item == "profile"]


def test_what_is_given_stays_as_it_is():
    given = phantom_profile(bin_um=3.3, block_um=7.7)
    assert settled(given, space_of((64, 64, 64), 1.0), domains(40)) == given


def test_zones_end_where_the_sample_does():
    """Air above a film is no depth of it; the mutant without air has other zones."""
    shape = (120, 64, 64)
    air = np.zeros((15, 8, 8), bool)
    air[8:] = True
    film = settled(ProfileConfig(bin_um=2), space_of(shape, 1.0, resin=Resin(8, air, None)), domains(2))
    solid = settled(ProfileConfig(bin_um=2), space_of(shape, 1.0), domains(2))
    assert [zone.to_um for zone in film.zones[:2]] == pytest.approx([21, 42], abs=2)
    assert [zone.to_um for zone in solid.zones[:2]] == pytest.approx([40, 80], abs=2)


def test_without_depth_blocks_fill_all_three_axes_and_their_number_stays_bounded():
    space = space_of((2000, 2000, 2000), 1.0, WithoutSubstrate())
    many = Grid.dividing(space, np.array([-np.inf, np.inf]), 5.0)
    assert 500 < many.n_blocks <= 1000
    assert [part.max() > 0 for part in many.blocks] == [True] * 3
    assert Grid.dividing(space_of((64, 64, 64), 1.0, WithoutSubstrate()), many.borders_um, 30.0).n_blocks == 8


def test_no_domains_still_give_bins_blocks_and_zones():
    found = settled(ProfileConfig(), space_of((90, 30, 30), 1.0), domains(1, n=0))
    assert found.bin_um == 5
    assert found.block_um > 0
    assert len(found.zones) == 3


def test_a_scan_thinner_than_three_bins_is_one_zone():
    (zone,) = settled(ProfileConfig(), space_of((1, 64, 64), 1.0), domains(4)).zones
    assert (zone.from_um, zone.to_um) == (0, None)


def test_the_smallest_class_decides_on_bins_and_the_largest_on_blocks():
    space = space_of((400, 400, 400), 1.0)
    both = {"small": domains(4)["domain"], "large": domains(9)["domain"]}
    found = settled(ProfileConfig(), space, both)
    assert (found.bin_um, found.block_um) == (5, 90)


def test_a_model_may_give_its_own_keys_of_the_profile():
    config = read_config({
        "profile": {"bin_um": 7, "resamples": 300},
        "models": {"thick": {"method": "otsu", "profile": {"bin_um": 20}}, "thin": {"method": "otsu"}},
    })  # fmt: skip
    assert (config.profile_of("thick").bin_um, config.profile_of("thick").resamples) == (20, 300)
    assert config.profile_of("thin") == config.profile
    assert config.profile_of("a model that a mask does not need") == config.profile


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"profile": {"bin_um": "Auto"}}, "profile.bin_um"),
        ({"profile": {"zones": []}}, "profile.zones"),
        ({"profile": {"zones": [{"name": "a", "from_um": -1}]}}, "profile.zones.0.from_um"),
        ({"models": {"a": {"method": "otsu", "profile": {"binum": 3}}}}, "models.a.profile.binum"),
        ({"models": {"a": {"method": "otsu", "profile": {"field_of_view": {"radius_um": 0}}}}},
         "models.a.profile.field_of_view.radius_um"),
        ({"models": {"a": {"method": "otsu", "words": {"domain": "<b>"}}}}, "models.a.words.domain"),
    ],
)  # fmt: skip
def test_faults_name_the_key_that_was_written(raw, key):
    with pytest.raises(ConfigError, match=f"yaml: {key}[: (]"):
        read_config(raw)


# --- words ------------------------------------------------------------------------------------------------------------


def terms(how="auto", language="en", **words):
    return Terms(language, Words(**words), how)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Domains in resin", "Aggregates in cement"),
        ("a domain, A domain; the domain's volume", "an aggregate, An aggregate; the aggregate's volume"),
        (
            "see data/domain/domain-1.tif and domain.tif, `domain_id`",
            "see data/domain/domain-1.tif and domain.tif, `domain_id`",
        ),
        ("per mm³ of resin.", "per mm³ of cement."),
        ("near the substrate", "near the substrate"),
    ],
)
def test_nouns_are_replaced_and_names_are_not(text, told):
    assert terms(domain="aggregate", matrix="cement")(text) == told


def test_defaults_follow_what_depth_is_measured_from():
    text = "Distance from the surface of the substrate, in the resin"
    assert terms()(text) == text
    assert terms("none")("the resin") == "the sample"
    assert terms("face:z=end")(text) == "Distance from the face z = end, in the sample"
    assert terms("surface", matrix="bone")(text) == "Distance from the outer surface, in the bone"
    assert terms(substrate="electrode")("the substrate") == "the electrode"


def test_an_irregular_plural_is_given_and_a_regular_one_is_made():
    assert terms(domain="pore")("domains") == "pores"
    assert terms(domain="cavity", domains="cavities")("Domains") == "Cavities"


def test_japanese_nouns_are_replaced_where_words_are_given():
    text = "樹脂の中のドメイン、基板"
    assert terms(language="ja")(text) == text
    assert terms("none", "ja")(text) == "試料の中のドメイン、基板"
    assert terms("none", "ja", domain="空隙", matrix="骨")(text) == "骨の中の空隙、基板"
