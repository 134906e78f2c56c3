"""The model card: its numbers, its warnings, and pictures that show what is wrong where it is wrong."""

import re

import numpy as np
import pytest
from model_facts import measured, model_facts, scores
from PIL import Image

from tomoprofile.network import charts, pictures
from tomoprofile.network.card import CardPictures, model_card, write_card
from tomoprofile.network.charts import MOST_BYTES, ticks
from tomoprofile.network.facts import CurvePoint
from tomoprofile.network.pictures import FOUND, LABELLED, HeldOutSlice, draw_slice
from tomoprofile.network.scores import score_slices

CUBE = (0.5, 0.5, 0.5)


def held_out(shape=(300, 260), seed=0):
    """A slice with twenty domains found, a large one found hollow, and one false object."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    for y in range(25, shape[0] - 20, 40):
        for x in range(25, 120, 40):
            label[(yy - y) ** 2 + (xx - x) ** 2 <= 25] = 1
    large = (yy - 100) ** 2 + (xx - 190) ** 2
    label[large <= 30**2] = 1
    found = label.copy()
    found[large <= 22**2] = 0
    found[250:254, 200:204] = 1
    label[-10:] = 255
    return HeldOutSlice("epoxy_1 z00030", rng.normal(size=shape) - label % 255, label, found * 250)


def facts_of(item=None, **changes):
    found = score_slices([item.probability], [item.label], 0.5, CUBE) if item else None
    known = measured(0.5, calibrated=item is not None, held_out=found)
    folds = model_facts().folds if item else None
    return model_facts(**{"measured": {"domain": known}, "folds": folds} | changes)


def colours(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(image, colour):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(image - wanted).max(axis=-1) < 40


def test_a_card_shows_every_picture_that_it_wrote_and_what_the_dice_hides(tmp_path):
    item = held_out()
    written = write_card(tmp_path / "docs", "default", facts_of(item), CardPictures({"domain": [item]}))
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {path.name for path in written}
    text = written[0].read_text()
    assert set(re.findall(r"\]\((\S+\.png)\)", text)) == {path.name for path in written[1:]}
    assert [path.name for path in written[1:]] == ["learning_curve.png", "reliability.png", "held_out_1.png"]
    told = facts_of(item).measured["domain"].held_out
    assert f"Dice {told.dice:.3f} (95 % interval {told.dice_interval.low:.3f} to" in text
    assert "if other slices differ from the labelled ones as much as is usual" in text
    assert "Judged by: 2 models, each from all but one part of the 2 groups of slices" in text
    assert "Those models have 150 steps instead of 300, and fewer labels: the model itself is usually better" in text
    last = told.sizes[-1]
    assert f"| 16 and more | 1 | 0 % | - | {100 * last.interior_recall:.0f} % | 0 |" in text
    assert "Interiors are missed in domains of 16 µm and more" in text
    assert "fewer than 5 labelled domains (8 to 16 µm, 16 µm and more)" in text
    assert re.search(r"worst part,\s+not a typical one", text)


def test_each_of_several_classes_has_its_own_scores_and_pictures(tmp_path):
    item, other = held_out(), held_out(seed=1)
    known = facts_of(item).measured["domain"]
    network = model_facts().network.model_copy(update={"classes": 3, "measured": (2, 1)})
    several = {"void": measured(0.41, calibrated=False), "domain": known}
    classes = ("background", "domain", "void")
    facts = facts_of(item, network=network, classes=classes, measured=several)
    shown = CardPictures({"void": [other], "domain": [item]})
    written = write_card(tmp_path / "docs", "default", facts, shown)
    names = ["learning_curve.png", "held_out_void_1.png", "reliability_domain.png", "held_out_domain_1.png"]
    assert [path.name for path in written[1:]] == names
    text = written[0].read_text()
    assert set(re.findall(r"\]\((\S+\.png)\)", text)) == set(names)
    assert "probability of being void, domain (one probability each)." in text
    assert "- `void`: The accuracy is unknown" in text
    assert "- `void`: Decision level: 0.410 (not calibrated)" in text
    assert f"- `domain`: On labels that did not train: Dice {known.held_out.dice:.3f}" in text
    assert "- `void`: No label could judge" in text
    assert "- `domain`: Interiors are missed in domains of 16 µm and more" in text
    assert text.count("A different voxel size") == 1
    assert text.index("## Labels that did not train: void") < text.index("## Labels that did not train: domain")


def test_that_no_label_could_judge_is_said_and_not_drawn(tmp_path):
    written = write_card(tmp_path, "default", facts_of(), CardPictures())
    assert [path.name for path in written] == ["README.md", "learning_curve.png"]
    text = written[0].read_text()
    assert "accuracy is unknown because" in text
    assert "the model's accuracy is unknown" in text
    assert "Judged by: nothing, because the labels are too few" in text
    assert "By size" not in text
    assert len(write_card(tmp_path / "b", "default", facts_of(learning_curve=[]), CardPictures())) == 1


def test_scores_of_labels_without_any_domain_make_a_card(tmp_path):
    nothing = np.zeros((50, 50), np.uint8)
    item = HeldOutSlice("a z0", nothing * 1.0, nothing, nothing)
    text = write_card(tmp_path, "default", facts_of(item), CardPictures({"domain": [item]}))[0].read_text()
    assert "accuracy is unknown because" in text
    assert "No slice has both labelled and found outlines" in text


def test_scores_that_are_unknown_are_left_out_of_the_headline():
    known = measured(held_out=scores(area_ratio=1.01, labelled_fraction=0.04))
    text = model_card("default", facts_of(measured={"domain": known}))
    assert "Dice 0.931, IoU 0.871, found / labelled area 1.010" in text
    assert "is unknown" not in text


def test_the_learning_curve_has_a_second_frame_for_the_dice(tmp_path):
    curve = facts_of().learning_curve
    pictures.draw_learning_curve(curve, tmp_path / "one.png")
    with_dice = [p.model_copy(update={"labels_dice": 0.9 if p.step % 50 == 0 else None}) for p in curve]
    pictures.draw_learning_curve(with_dice, tmp_path / "two.png")
    one, two = colours(tmp_path / "one.png"), colours(tmp_path / "two.png")
    assert len(two) > len(one)
    assert not near(one, charts.ORANGE).any()
    assert near(two, charts.ORANGE).sum() > 300
    pictures.draw_learning_curve([CurvePoint(step=0, loss=0.0, labels_dice=1.0)], tmp_path / "least.png")


def test_wrong_voxels_have_their_colour_in_the_last_panel(tmp_path, monkeypatch):
    item = held_out()
    caption = draw_slice(item, 0.5, (0.5, 0.5), tmp_path / "a.png")
    wrong = ((item.probability > 127) != (item.label == 1)) & (item.label != 255)
    assert str(int(wrong.sum())) in caption  # the window holds all that is wrong
    panel = colours(tmp_path / "a.png")[-400:, -358:]  # (d) and the legend's end
    scale = (352 / 176) ** 2
    missed = int(((item.probability < 128) & (item.label == 1)).sum())
    legend = 2 * 14**2
    assert near(panel, LABELLED).sum() == pytest.approx(missed * scale, rel=0.05, abs=legend)
    assert near(panel, FOUND).sum() == pytest.approx(16 * scale, abs=legend)
    # A mutant that takes no notice of where it is wrong shows nothing of it.
    monkeypatch.setattr(pictures, "_worst_window", lambda *_: (slice(0, 40), slice(80, 120)))
    assert str(int(wrong.sum())) not in draw_slice(item, 0.5, (0.5, 0.5), tmp_path / "b.png")


def test_the_worst_window_is_square_in_micrometres_and_in_the_slice():
    wrong = np.zeros((500, 900), bool)
    wrong[490:495, 880:890] = True
    rows, columns = pictures._worst_window(wrong, (1.0, 0.5))
    assert wrong[rows, columns].sum() == 50
    assert (rows.stop - rows.start, columns.stop - columns.start) == (88, 176)
    assert rows.stop <= 500
    assert columns.stop <= 900
    assert pictures._worst_window(wrong[:20, :30], (0.5, 0.5)) == (slice(0, 20), slice(0, 30))


def test_pictures_stay_small_where_everything_is_noise(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(900, 900))
    item = HeldOutSlice("a z0", noise, (rng.random(noise.shape) < 0.3).astype(np.uint8), np.uint8(100) * (noise > 0))
    draw_slice(item, 0.3, (0.5, 0.5), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < MOST_BYTES
    monkeypatch.setattr(charts, "_COLOURS", (256,))
    monkeypatch.setattr(pictures, "_GREYS", 256)
    draw_slice(item, 0.3, (0.5, 0.5), tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > (tmp_path / "a.png").stat().st_size


def test_ticks_are_round():
    assert ticks(0, 400) == [0, 100, 200, 300, 400]
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(0.4, 1.0) == [0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 1.68) == [0, 0.5, 1, 1.5]
