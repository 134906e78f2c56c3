"""What sites tell about their labels, what follows from it, and which data a federation refuses."""

from dataclasses import replace

import numpy as np
import pytest

from tomoprofile.config import UNetConfig
from tomoprofile.errors import FederationError
from tomoprofile.federate.data_contract import DataContract, SiteData
from tomoprofile.federate.fingerprint import Fingerprint, agree, fingerprint_contracts, pooled_widths
from tomoprofile.federate.policy import Policy
from tomoprofile.federate.update import Kind, Update
from tomoprofile.labels.training_set import LabelledSlice, TrainingSet
from tomoprofile.network.scale import scaled, widths

CLASSES = {"background": 0, "liver": 1, "spleen": 2}
CONFIG = UNetConfig(classes=CLASSES, measure=["liver", "spleen"])
CONTRACT = DataContract(classes=tuple(CLASSES), voxel_size_um=(2000, 1000, 1000), modality="CT", fewest_cases=2)
SITE = SiteData("site_A", tuple(CLASSES), (2000, 1000, 1000), "CT", 2)


def labelled(n, radius, seed, sample, contrast=2.0):
    """Return slices with a disc of each organ, whose size varies."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    slices = []
    for z in range(n):
        label = np.zeros((256, 256), np.uint8)
        for index, place in ((1, (80, 80)), (2, (180, 180))):
            label[np.hypot(y - place[0], x - place[1]) < radius * random.uniform(0.7, 1.3)] = index
        image = (random.normal(0, 1, label.shape) + contrast * (label > 0)).astype(np.float32)
        slices.append(LabelledSlice(f"{sample}_{z % 2}", z, z, image[None], label))
    return slices


def site(*args, **kwargs):
    return TrainingSet(labelled(*args, **kwargs), {}, (2000.0, 1000.0, 1000.0), {})


def sent(fingerprint, without=(), **changed):
    """Return a fingerprint after it crossed the wire."""
    found = {}
    for one in fingerprint.updates():
        if one.kind not in without:
            tensors = {name: changed.get(name, array) for name, array in one.tensors.items()}
            found[one.kind] = Update.received(tensors, one.meta(), "site_A")
    return Fingerprint.of_updates(found, len(CLASSES), "site_A")


SMALL, WIDE = site(4, 12, 1, "a"), site(3, 60, 2, "b")
FOUND = Fingerprint.of(SMALL, CONFIG)


def test_a_fingerprint_counts_what_is_there():
    labels = np.stack([one.label for one in SMALL.slices])
    assert (FOUND.scans, FOUND.slices) == (2, 4)
    assert FOUND.voxels.tolist() == np.bincount(labels.ravel(), minlength=3).tolist()
    assert FOUND.objects.sum() == 8
    assert FOUND.grey[0, 3] == pytest.approx(0, abs=0.05)
    assert FOUND.grey[1, 3] == pytest.approx(2, abs=0.05)


def test_it_crosses_the_wire_unchanged():
    again = sent(FOUND)
    assert (again.scans, again.slices) == (FOUND.scans, FOUND.slices)
    for name in ("voxels", "objects", "voxel_size_um", "grey"):
        assert np.array_equal(getattr(again, name), getattr(FOUND, name))
    assert sent(FOUND, without=[Kind.QUANTILES]).grey is None
    assert all(update.cases == 2 and update.voxels == 4 * 256**2 for update in FOUND.updates())
    assert fingerprint_contracts(3).keys() == {Kind.COUNTS, Kind.METRICS, Kind.QUANTILES}


def test_grey_quantiles_leave_only_where_the_site_says_so():
    assert [one.kind for one in FOUND.released(Policy())] == [Kind.COUNTS, Kind.METRICS]
    every = Policy(allow={"counts": {}, "metrics": {}, "quantiles": {}})
    assert [one.kind for one in FOUND.released(every)] == [Kind.COUNTS, Kind.METRICS, Kind.QUANTILES]
    assert FOUND.released(Policy(allow={"weights": {}})) == []
    with pytest.raises(FederationError, match="may leave the site"):
        FOUND.released(Policy(allow={"counts": {"most_numbers": 10}}))


def test_sites_agree_on_what_all_labels_in_one_place_give():
    central = TrainingSet([*SMALL.slices, *WIDE.slices], {}, SMALL.voxel_size_um, {})
    sites = {"site_A": FOUND, "site_B": Fingerprint.of(WIDE, CONFIG)}
    pooled, wanted = pooled_widths(sites), widths([one.label for one in central.slices], (1, 2))
    for name in ("small", "mean", "large"):
        assert getattr(pooled, name) == pytest.approx(getattr(wanted, name), rel=0.012)
    agreed, alone = agree(sites, CONFIG).config, scaled(CONFIG, central)
    assert agreed.input_scale == alone.input_scale
    assert abs(agreed.crop - alone.crop) <= 16
    # What each of them alone would choose differs, or the agreement above shows nothing.
    assert scaled(CONFIG, WIDE).input_scale != scaled(CONFIG, SMALL).input_scale
    assert agree(sites, CONFIG.model_copy(update={"input_scale": 2.0})).config.input_scale == 2


def test_what_should_be_looked_at_is_told():
    inverted = Fingerprint.of(site(4, 12, 3, "c", contrast=-2.0), CONFIG)
    only_liver = replace(FOUND, voxels=FOUND.voxels * (1, 1, 0))
    assert not agree({"a": FOUND, "b": FOUND}, CONFIG).doubts
    (first, _) = agree({"a": FOUND, "b": inverted}, CONFIG).doubts
    assert first.startswith("liver is brighter than background at a and darker at b")
    assert not agree({"a": FOUND, "b": replace(inverted, grey=None)}, CONFIG).doubts
    assert ["a has no labels of spleen" in told for told in agree({"a": only_liver, "b": FOUND}, CONFIG).doubts] == [1]
    huge = replace(FOUND, voxels=FOUND.voxels * 10)
    assert ["a has 91% of all" in told for told in agree({"a": huge, "b": FOUND}, CONFIG).doubts] == [True]
    with pytest.raises(FederationError, match="no site has labels of spleen"):
        agree({"a": only_liver}, CONFIG)
    record = agree({"a": FOUND}, CONFIG).record()
    assert record["sites"]["a"]["slices"] == 4


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"voxels": np.array([1.0, 2.0, -3.0])}, "whole numbers"),
        ({"voxels": np.array([1.0, 2.0, 0.5])}, "whole numbers"),
        ({"voxels": np.array([1.0, 2.0])}, "should be"),
        ({"objects": np.full(384, np.nan)}, "not finite"),
        ({"objects": np.full(384, 1e12)}, "at most 10000000 objects"),
        ({"voxel_size_um": np.array([1.0, 0.0, 1.0])}, "more than 0"),
        ({"grey": FOUND.grey[:, ::-1].copy()}, "do not rise"),
    ],
)
def test_garbage_is_no_fingerprint(changed, told):
    with pytest.raises(FederationError, match=told):
        sent(FOUND, **changed)


def test_a_part_that_is_needed_or_foreign_is_told():
    with pytest.raises(FederationError, match="sent no counts"):
        sent(FOUND, without=[Kind.COUNTS])
    foreign = {one.kind: one for one in FOUND.updates()}
    foreign[Kind.WEIGHTS] = Update(Kind.WEIGHTS, {"w": np.zeros(3)}, 0, 1, 1)
    with pytest.raises(FederationError, match="no part of a fingerprint"):
        Fingerprint.of_updates(foreign, 3, "site_A")


def test_an_empty_site_has_an_empty_fingerprint():
    none = Fingerprint.of(TrainingSet([], {}, (1.0, 1.0, 1.0), {}), CONFIG)
    assert (none.scans, none.slices, none.voxels.sum()) == (0, 0, 0)


def test_data_that_fits_is_taken():
    CONTRACT.check(SITE)
    CONTRACT.check(replace(SITE, modality="ct", voxel_size_um=(2999, 667, 1499)))
    assert SiteData.of("site_A", SMALL, CONFIG, "CT") == SITE


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"classes": ("background", "liver")}, "the class spleen is missing"),
        ({"classes": ("background", "liver", "Splen")}, "Did you mean `spleen`"),
        ({"classes": ("background", "spleen", "liver")}, "another order"),
        ({"classes": ("background", "liver", "spleen", "aorta")}, "does not have this class .got aorta"),
        ({"voxel_size_um": (2000, 1000, 1501)}, "voxel_size_um, x: .*666.7 to 1500 um .got 1501 um"),
        ({"voxel_size_um": (1333, 1000, 1000)}, "voxel_size_um, z"),
        ({"voxel_size_um": (2.0, 1.0, 1.0)}, "check `voxel_size_um` in the sample sheet"),
        ({"modality": "MR"}, "trains on CT .got MR"),
        ({"cases": 1}, "at least 2 labelled scans .got 1"),
        ({"cases": 0}, "at least 2 labelled scans .got 0"),
    ],
)
def test_data_that_does_not_fit_is_refused(changed, told):
    with pytest.raises(FederationError, match=told) as caught:
        CONTRACT.check(replace(SITE, **changed))
    assert all(fault.where.startswith("site_A: ") and fault.remedy for fault in caught.value.faults)
