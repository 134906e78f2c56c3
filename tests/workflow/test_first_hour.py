"""The first hour of a person with one scan: from an empty folder to slices to label, and from labels to the report.

Commands run in a terminal, so that colours are those that a person sees.
"""

import os
import pty
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import tifffile
import yaml
from project import BIN, ROOT, Project
from spheres import write_spheres

CEMENT = Path(__file__).parents[3] / "shared/data/xct_volumes_mit/cement_128x128x128.tif"
RED, YELLOW = ("\x1b[31m", "\x1b[1;31m", "\x1b[91m"), "\x1b[33m"
# Small and quick: this shows that the way is whole, not how good the result is.
QUICK = {
    "models": {"default": {"method": "unet", "steps": 20, "crop": 64, "decoder_channels": [32, 16, 16, 16]}},
    "profile": {"resamples": 100},
}


class Person(Project):
    """Types commands into a terminal, without the profile or paths that tests use otherwise."""

    def type(self, program: str, *arguments: object) -> tuple[int, str]:
        """Run a command as in a terminal; returns the exit status and all it showed, colours included."""
        ours, theirs = pty.openpty()
        command = [str(BIN / program), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
        with subprocess.Popen(command, cwd=self.folder, stdout=theirs, stderr=theirs, env=environment) as process:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:  # the other end was closed: so a terminal on Linux ends
                    break
                if not part:
                    break
                shown += part
        os.close(ours)
        return process.returncode, shown.decode()

    def run_workflow(self) -> tuple[int, str]:
        """Type ``snakemake`` as it is typed outside the clone."""
        return self.type("snakemake", "--cores", 2, "--snakefile", ROOT / "Snakefile")


def alarming(shown: str) -> list[str]:
    """Return what would make a person think that something broke."""
    words = re.findall(r"Traceback|[Ff]ailed|\bERROR\b|Error\b|Exception", shown.replace("nothing failed", ""))
    return words + [colour for colour in RED if colour in shown]


def first_hour(person: Person, scan: Path, *options: object) -> str:
    """Go the whole way; returns the name of the scan."""
    status, shown = person.type("tomoprofile", "scan", scan, "--labels", "labels", *options)
    assert (status, alarming(shown)) == (0, []), shown
    status, shown = person.run_workflow()
    assert (status, alarming(shown)) == (0, []), shown
    (sample,) = pd.read_csv(person.folder / "config/samples.tsv", sep="\t")["sample"]
    waits(person, sample, shown)

    status, again = person.run_workflow()
    assert (status, alarming(again)) == (0, []), again
    assert "Nothing to be done" in again
    waits(person, sample, again)

    status, shown = person.type("tomoprofile", "prelabel")
    assert (status, alarming(shown)) == (0, []), shown
    masks = sorted((person.folder / "labels" / sample).glob("*.tif"))
    previews = sorted(person.results.scan(sample).to_label.previews.glob("*.png"))
    assert [path.stem for path in masks] == [path.stem for path in previews] != []

    person.configure(**QUICK)
    status, shown = person.run_workflow()
    assert (status, alarming(shown)) == (0, []), shown
    assert "Done. Open results/index.html" in shown
    return sample


def waits(person: Person, sample: str, shown: str) -> None:
    """Assert that a run, ``status`` and ``index.html`` say the same: which slices to label, and the next command."""
    pictures = sorted(path.name for path in person.results.scan(sample).to_label.folder.glob("*.tif"))
    assert len(pictures) == 3
    told = f"{sample}: label {', '.join(pictures)} in results/{sample}/to_label, save each mask under the same name in"
    last = shown[shown.index("Waiting for labels") :]
    assert told in last
    assert f"snakemake --cores 2 --snakefile {ROOT / 'Snakefile'}" in last
    assert f"{YELLOW}Waiting for labels" in shown
    status, listed = person.type("tomoprofile", "status")
    assert status == 3
    assert told in listed
    assert "1 scan: 1 waiting" in listed
    assert alarming(listed) == []
    index = person.results.index.read_text()
    assert "1 waits for labels" in index
    assert all(name in index for name in pictures)
    assert f"run the same command again: snakemake --cores 2 --snakefile {ROOT / 'Snakefile'}" in index
    assert not person.results.model("default").folder.exists()


def nothing_is_left_of_waiting(person: Person, sample: str) -> None:
    """Assert that a scan that finished well carries no older message."""
    status, listed = person.type("tomoprofile", "status")
    assert (status, alarming(listed)) == (0, [])
    assert "1 scan: 1 done" in listed
    for page in (person.results.index, person.results.scan(sample).report):
        assert not re.search(r"[Ww]aiting for labels|waits for labels|no labels|propose", page.read_text())
    assert "labelled slices" in person.results.scan(sample).label_check.read_text()


def test_from_an_empty_folder_without_a_configuration(tmp_path):
    """With cement, where the real scan is at hand."""
    scan = CEMENT
    if not scan.exists():
        scan = tmp_path / "spheres.tif"
        write_spheres(scan)
    person = Person(tmp_path)
    sample = first_hour(person, scan, "--voxel-size-um", 1, "--interface", "none")
    nothing_is_left_of_waiting(person, sample)
    assert len(pd.read_parquet(person.results.scan(sample).domains)) > 0


def test_what_alarms_a_person_is_seen():
    """The mutants: an error, a red line, a traceback."""
    assert alarming("\x1b[31mError in rule collect_labels\x1b[0m") == ["Error", "\x1b[31m"]
    assert alarming("Traceback (most recent call last)") == ["Traceback"]
    assert alarming("Waiting for labels: 1 scan waits; nothing failed") == []


@pytest.mark.deep
def test_scans_that_wait_do_not_hold_up_others(tmp_path):
    """One by a threshold, one by a network without labels: the first is finished, and both are on the page."""
    person = Person(tmp_path)
    for name in ("ready", "unlabelled"):
        write_spheres(tmp_path / f"raw/{name}.tif")
    person.tomoprofile("scan", "raw", "--voxel-size-um", 1, "--interface", "none", "--labels", "labels")
    sheet = tmp_path / "config/samples.tsv"
    table = pd.read_csv(sheet, sep="\t", dtype=str, keep_default_na=False)
    table.loc[table["sample"] == "ready", ["model", "labels"]] = ["otsu", ""]
    table.to_csv(sheet, sep="\t", index=False)
    person.configure(models=QUICK["models"] | {"otsu": {"method": "otsu"}}, profile=QUICK["profile"])
    status, shown = person.run_workflow()
    assert (status, alarming(shown)) == (0, []), shown
    assert "unlabelled: label " in shown
    assert "ready: label" not in shown
    listed = person.run("tomoprofile", "status")
    assert listed.returncode == 3
    assert "2 scans: 1 done, 1 waiting" in listed.stdout
    index = person.results.index.read_text()
    assert "ready/report.html" in index
    assert "1 waits for labels" in index
    # Labels of which none can be used are a fault of that scan, told with its file, and not a state.
    label = tmp_path / "labels/unlabelled/unlabelled_z00009.tif"
    label.parent.mkdir(parents=True)
    tifffile.imwrite(label, tifffile.imread(tmp_path / "raw/ready.tif")[0][:-1])
    status, shown = person.run_workflow()
    assert status == 1
    assert "unlabelled_z00009.tif" in shown
    assert "Waiting" not in shown
    assert "2 scans: 1 done, 1 failed" in shown
    # A label that is taken away again: the failure was one of the run before.
    label.unlink()
    status, shown = person.run_workflow()
    assert status == 0
    assert "unlabelled: label " in shown
    assert yaml.safe_load((tmp_path / "config/config.yaml").read_text())["models"]["otsu"] == {"method": "otsu"}
