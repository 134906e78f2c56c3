"""Which scans wait for labels, what is said about them, and masks to start from for all of them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from tomoprofile.cli import main
from tomoprofile.config import read_config
from tomoprofile.errors import Fault, InputError
from tomoprofile.layout import Layout
from tomoprofile.report.beamtime import BeamtimeEntry, report_beamtime
from tomoprofile.run import waiting
from tomoprofile.run.waiting import has_labels, highlighted, same_command, scans_that_wait, waiting_text
from tomoprofile.samples import Scan, write_samples
from tomoprofile.segment.preview import outline, write_preview

CONFIG = {
    "models": {
        "default": {"method": "unet"},
        "fiji": {"method": "unet", "classes": {"background": 0, "domain": 255}},
        "otsu": {"method": "otsu"},
    }
}


def scan(sample, **cells):
    usual = {"path": f"{sample}.tif", "format": "tiff_stack", "labels": f"l/{sample}", "voxel_size_um": "1"}
    return Scan(sample=sample, **(usual | {"slices": 8, "rows": 40, "columns": 48, "dtype": "uint8"} | cells))


SCANS = [
    scan("a"),
    scan("b"),
    scan("c", labels=""),
    scan("d", model="otsu"),
    scan("e", mask="m.tif"),
    scan("f", model="fiji"),
]


def names(scans):
    return [one.sample for one in scans]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def label(sample, name="a_z00003.tif"):
    path = Path("l", sample, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_scans_of_models_without_any_label_wait(here):
    config = read_config(CONFIG)
    assert names(scans_that_wait(SCANS, config)) == ["a", "b", "c", "f"], "no threshold, no given mask"
    label("b", "notes.txt")
    assert names(scans_that_wait(SCANS, config)) == ["a", "b", "c", "f"]
    label("b")
    assert names(scans_that_wait(SCANS, config)) == ["f"], "labels of one scan are enough for its model"
    assert names(scans_that_wait(SCANS, config, here / "elsewhere")) == ["a", "b", "c", "f"]
    assert names(scans_that_wait(SCANS, config, here)) == ["f"]


def test_a_folder_that_cannot_be_listed_is_left_to_the_check_of_labels(monkeypatch):
    def refuse(folder):
        raise InputError(Fault(str(folder), "", "the folder of labels cannot be listed", ""))

    assert not has_labels(scan("a"))
    monkeypatch.setattr(waiting, "find_label_files", refuse)
    assert has_labels(scan("a"))


def propose(sample, count=3):
    """Write what picking writes: pictures and their list."""
    proposed = Layout("results").scan(sample).to_label
    proposed.folder.mkdir(parents=True)
    image = np.full((40, 48), 200, np.uint8)
    image[8:20, 10:30] = 40
    lines = ["slice\tfile\tdoubt\tprelabel"]
    for z in range(count):
        tifffile.imwrite(proposed.folder / f"{sample}_z{z:05d}.tif", image)
        lines.append(f"{z}\t{sample}_z{z:05d}.tif\t\t")
    proposed.table.write_text("\n".join(lines) + "\n")
    return proposed


def test_the_text_names_slices_folders_and_the_next_command(here):
    propose("a", 2)
    command = ["/usr/bin/snakemake", "pick", "--configfile", "my config.yaml"]
    told = waiting_text([SCANS[0], SCANS[1], SCANS[2]], Layout("results"), command)
    assert "3 scans wait; nothing failed" in told
    assert "a: label a_z00000.tif, a_z00001.tif in results/a/to_label, save each mask under the same name in l" in told
    assert "b: the run proposes slices in results/b/to_label; their masks go to l/b" in told
    assert "and 1 more of the same models, which need no labels of their own" in told
    assert "The labels of one scan are enough" in told
    assert told.endswith("again: snakemake --configfile 'my config.yaml'")
    assert same_command(["snakemake", "check"]) == "snakemake"
    assert waiting_text([scan("a", labels="/far/a")], Layout("results"), ["snakemake"], here).count("/far/a") == 1


def test_files_that_look_like_labels_and_are_not_read_are_named():
    propose("a", 2)
    label("a", "a_z00001.svg")
    (waits,) = scans_that_wait([scan("a")], read_config({}))
    told = waiting_text([waits], Layout("results"), ["snakemake"])
    assert "a_z00001.svg" in told
    assert "not read as labels" in told


@pytest.mark.parametrize(
    ("terminal", "no_colour", "yellow"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colour_is_for_terminals(monkeypatch, terminal, no_colour, yellow):
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setattr(waiting.sys.stdout, "isatty", lambda: terminal)
    assert highlighted("one\ntwo") == ("\x1b[33mone\x1b[0m\ntwo" if yellow else "one\ntwo")


def project(*scans):
    Path("config").mkdir()
    Path("config/config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    write_samples(Path("config/samples.tsv"), list(scans))


def test_prelabel_without_arguments_serves_every_scan_that_waits(capsys):
    project(*SCANS)
    for sample in ("a", "b", "f"):
        propose(sample)
    assert main(["prelabel"]) == 0
    for sample, value in (("a", 1), ("b", 1), ("f", 255)):
        masks = sorted(Path("l", sample).iterdir())
        assert [path.name for path in masks] == [f"{sample}_z{z:05d}.tif" for z in range(3)]
        mask = tifffile.imread(masks[0])
        assert set(np.unique(mask)) == {0, value}, "the classes of its own model"
        assert (mask[10:18, 12:28] == value).all()
        pictures = sorted(Layout("results").scan(sample).to_label.previews.iterdir())
        assert [path.stem for path in pictures] == [path.stem for path in masks]
    assert not Path("l/d").exists()
    capsys.readouterr()
    assert main(["prelabel"]) == 0
    assert "No scan waits for labels" in capsys.readouterr().err


def test_prelabel_names_scans_without_proposed_slices_and_serves_the_others(capsys):
    project(scan("a"), scan("f", model="fiji"))
    propose("f")
    assert main(["prelabel"]) == 1
    assert "results/a/to_label/slices.tsv" in capsys.readouterr().err
    assert len(list(Path("l/f").iterdir())) == 3


def test_masks_of_an_earlier_model_are_taken_instead_of_a_threshold():
    project(scan("a"))
    proposed = propose("a")
    proposed.prelabels.mkdir()
    own = np.zeros((40, 48), np.uint8)
    own[2:5, 2:5] = 1
    tifffile.imwrite(proposed.prelabels / "a_z00001.tif", own)
    assert main(["prelabel"]) == 0
    assert (tifffile.imread("l/a/a_z00001.tif") == own).all()
    assert not (tifffile.imread("l/a/a_z00000.tif") == own).all()


def test_one_folder_without_the_other_is_told(capsys):
    assert main(["prelabel", "slices.tsv"]) == 1
    assert "the folder for the masks is missing" in capsys.readouterr().err


def test_a_preview_shows_the_slice_and_beside_it_the_outline(tmp_path):
    grey = np.full((40, 60), 1000, np.uint16)
    grey[10:20, 10:20] = 3000
    mask = (grey > 2000).astype(np.uint8)
    write_preview(grey, mask, tmp_path / "p.png")
    picture = np.asarray(Image.open(tmp_path / "p.png")).astype(int)
    side = 60 * 12
    left, right = picture[:, :side], picture[:, -side:]
    assert picture.shape[0] == 480
    coloured = np.ptp(right, axis=2) > 0
    assert not np.ptp(left, axis=2).any()
    rows, columns = np.nonzero(coloured)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (120, 239, 120, 239)
    assert coloured.sum() == 4 * 119, "a closed line of one pixel"
    assert (left[~coloured] == right[~coloured]).all()
    write_preview(np.zeros((3, 1000)), np.zeros((3, 1000), int), tmp_path / "flat.png")


def test_the_outline_of_a_mask_that_touches_the_border_is_open_there():
    mask = np.zeros((4, 5), int)
    mask[:, 3:] = 2
    assert (outline(mask) == (np.arange(5) == 3)).all()


def test_the_page_lists_scans_that_wait():
    layout = Layout("results")
    layout.results.mkdir()
    entry = BeamtimeEntry(scan("a"), layout.scan("a"), layout.model("default").folder, (), "label a_z00003.tif in x")
    report_beamtime([entry], [], "Beamtime", layout.index, layout.comparison)
    page = layout.index.read_text()
    assert "1 waits for labels" in page
    assert "Label a_z00003.tif in x" in page
    assert 'class="state warning">waiting<' in page
    assert "No result yet" not in page
