"""Three simulated hospitals train one model together: `make demo-federation`.

The coordinator and the three sites have a folder each, and work in nothing else; what passes between them is a file or
a fingerprint that this script carries, as mail and telephone would. Server and sites are real processes of NVIDIA FLARE
that show each other certificates, on this machine alone. Every command is shown as a person would type it there.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from programs import DemoError, Program, Programs, programs

from tomoprofile.federate.folders import CoordinatorFolder, SiteFolder
from tomoprofile.layout import AnatomyLayout, Layout
from tomoprofile.samples import Scan, read_samples, write_samples

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITES = {"site_A": ("A", 101), "site_B": ("B", 201), "site_C": ("C", 301)}  # kind of its scans, and their first seed
SIZE = (40, 40, 48)
LABELLED, HELD_OUT = 2, 1  # torsos of a site
ALONE, TOGETHER = "alone", "together"
RESULTS = Layout("results")  # from the folder of a site
SERVER_S, PREPARING_S, TRAINING_S = 120, 1800, 1800  # longest waits


@dataclass(frozen=True)
class Party:
    """The coordinator or a site: a folder, and what is done in it.

    Attributes
    ----------
    folder : Path
    programs : Programs
    """

    folder: Path
    programs: Programs

    def tomoprofile(self, *words: object) -> str:
        """Call the command line; return what it printed."""
        return self.programs.call(self.folder, "tomoprofile", *words).strip()

    def snakemake(self, *targets: object, sheet: str = "") -> Program:
        """Start the workflow on one core, since all parties share the machine."""
        words = ["--snakefile", ROOT / "Snakefile", "--workflow-profile", ROOT / "profiles/default", "--cores", 1]
        told = ["--config", f"samples=config/{sheet}.tsv"] if sheet else []
        return self.programs.begin(self.folder, "snakemake", *words, *targets, *told)

    def configure(self, agreed: Mapping[str, Any]) -> None:
        """Write the configuration: the model of all parties, with what was agreed."""
        model = yaml.safe_load((HERE / "model.yaml").read_text()) | agreed
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump({"models": self.models(model)}, sort_keys=False))

    def models(self, model: dict[str, Any]) -> dict[str, Any]:
        """Return what a party makes of the model of all."""
        raise NotImplementedError


class Coordinator(Party):
    """The party that averages what sites send, and has neither scans nor labels."""

    def models(self, model: dict[str, Any]) -> dict[str, Any]:
        """Return the model of all with the names of the sites."""
        return {TOGETHER: model | {"train": model["train"] | {"role": "coordinator", "sites": list(SITES)}}}


class Site(Party):
    """A hospital with some labelled torsos, and some whose truth is used for comparison alone."""

    def models(self, model: dict[str, Any]) -> dict[str, Any]:
        """Return the model of all, and the same from the labels here alone."""
        return {TOGETHER: model, ALONE: {key: value for key, value in model.items() if key != "train"}}

    def simulate(self, kind: str, seed: int) -> None:
        """Make scans and labels, and a sheet for each model."""
        size = ("--size", *SIZE, "--cases", LABELLED + HELD_OUT, "--labelled", LABELLED)
        self.tomoprofile("phantom", "data", "--anatomy", "--kind", kind, "--seed", seed, *size)
        self.tomoprofile("scan", "data/raw", "--interface", "none", "--out", "config/found.tsv")
        found = read_samples(self.folder / "config/found.tsv", {"default"})
        for model in (ALONE, TOGETHER):
            rows = [filled_in(scan, model, number < LABELLED) for number, scan in enumerate(found)]
            write_samples(self.folder / f"config/{model}.tsv", rows)

    def segment(self, model: str) -> Program:
        """Start the training of a model, and the segmentation of the torsos without labels."""
        scans = [scan for scan in self.scans(model) if not scan.labels]
        return self.snakemake(*(RESULTS.scan(scan.sample).classes for scan in scans), sheet=model)

    def scans(self, model: str) -> list[Scan]:
        """Return the rows of the sheet of a model."""
        return read_samples(self.folder / f"config/{model}.tsv", {ALONE, TOGETHER})

    def dice(self, model: str) -> list[dict[str, Any]]:
        """Return Dice of each organ of each torso without labels, as the workflow compared it with the truth."""
        rows = []
        for scan in self.scans(model):
            if not scan.labels:
                table = pd.read_parquet(self.folder / RESULTS.scan(scan.sample).classes)
                rows += [
                    {"site": self.folder.name, "torso": scan.sample, "organ": organ, "model": model, "dice": dice}
                    for organ, dice in zip(table["class"], table["dice"], strict=True)
                ]
        return rows


def filled_in(scan: Scan, model: str, labelled: bool) -> Scan:
    """Return a row with the columns that a person fills in."""
    files = AnatomyLayout("data")
    cells = {"model": model}
    cells |= {"labels": str(files.labels / scan.sample)} if labelled else {}
    cells |= {} if labelled else {"reference": str(files.true_labels(scan.sample))}
    return scan.model_copy(update=cells)


def found(coordinator: Coordinator) -> str:
    """Let the coordinator found the federation; return the fingerprint of its root certificate."""
    shutil.copy(HERE / "data.yaml", coordinator.folder)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    told = ("--name", "torsos", "--server", "localhost", "--port", port, "--data", "data.yaml")
    return coordinator.tomoprofile("federation", "invite", *told)


def join(coordinator: Coordinator, root: str, site: Site) -> None:
    """Let a site join; it is read the fingerprint of the root certificate, and reads that of its key."""
    name = site.folder.name
    theirs, ours = CoordinatorFolder(coordinator.folder / "federation"), SiteFolder(site.folder / "federation")
    carry(theirs.invitation, site.folder)
    who = ("--site", name, "--organisation", f"hospital_{name[-1]}", "--modality", "CT")
    key = site.tomoprofile("federation", "request", "invitation.yaml", *who)
    carry(ours.request / f"{name}.request.zip", coordinator.folder)
    coordinator.tomoprofile("federation", "approve", f"{name}.request.zip", "--fingerprint", key)
    carry(theirs.path / f"signed/{name}.signed.zip", site.folder)
    site.tomoprofile("federation", "kit", f"{name}.signed.zip", "--fingerprint", root)


def agree(coordinator: Coordinator, sites: list[Site]) -> None:
    """Let all sites tell about their labels, and all write down the settings that follow."""
    for party in (coordinator, *sites):
        party.configure({})
    made = RESULTS.site(TOGETHER).fingerprint
    coordinator.programs.wait([site.snakemake(made, sheet=TOGETHER) for site in sites], PREPARING_S)
    sent = [carry(site.folder / made, coordinator.folder, f"{site.folder.name}.safetensors").name for site in sites]
    told = coordinator.tomoprofile("federation", "agree", *sent, "--model", TOGETHER)
    print(told, flush=True)
    for party in (coordinator, *sites):
        party.configure(yaml.safe_load(told))


def learn_together(coordinator: Coordinator, sites: list[Site]) -> None:
    """Run server, coordinator and sites beside each other until each site has segmented its torsos."""
    server = coordinator.programs.begin(coordinator.folder, "tomoprofile", "federation", "serve", "--heartbeat", 60)
    said = CoordinatorFolder(coordinator.folder / "federation").running / "said.txt"
    end = time.monotonic() + SERVER_S
    while not (said.is_file() and "Server started" in said.read_text(errors="replace")):
        if server.ended() or time.monotonic() > end:
            raise DemoError(f"the server did not listen within {SERVER_S} s; see {said}")
        time.sleep(0.2)
    parts = [site.segment(TOGETHER) for site in sites]
    lead = coordinator.snakemake()
    coordinator.programs.wait([lead, *parts], TRAINING_S, while_runs=[server])


def table(rows: list[dict[str, Any]]) -> str:
    """Return Dice of both models beside each other, with the gain, and the mean of all."""
    told = pd.DataFrame(rows).pivot(index=["site", "torso", "organ"], columns="model", values="dice")
    told = told[[ALONE, TOGETHER]]
    told.loc[("mean", "", ""), :] = told.mean()
    told["gain"] = told[TOGETHER] - told[ALONE]
    return told.rename_axis(columns=None).to_string(float_format="{:.3f}".format)


def main(home: Path) -> None:
    """Run the demo in a folder that is not there yet."""
    if home.exists():
        raise DemoError(f"{home} is there already; remove it, or name another folder")
    begun = time.monotonic()
    with programs() as running:
        coordinator = Coordinator(home / "coordinator", running)
        sites = [Site(home / name, running) for name in SITES]
        for party in (coordinator, *sites):
            party.folder.mkdir(parents=True)
        print("1/5 Each site has torsos of its own, two of them labelled.", flush=True)
        for site in sites:
            site.simulate(*SITES[site.folder.name])
        print("2/5 The coordinator founds a federation, and the sites join.", flush=True)
        root = found(coordinator)
        for site in sites:
            join(coordinator, root, site)
        print("3/5 The sites tell about their labels, and all agree on settings.", flush=True)
        agree(coordinator, sites)
        rows = []
        print("4/5 Each site learns alone, from its own labels.", flush=True)
        running.wait([site.segment(ALONE) for site in sites], TRAINING_S)
        for site in sites:
            rows += site.dice(ALONE)
        print("5/5 All learn together; nobody sees the scans or labels of another.", flush=True)
        learn_together(coordinator, sites)
        for site in sites:
            rows += site.dice(TOGETHER)
        coordinator.tomoprofile("federation", "page")
    told = table(rows)
    (home / "dice.txt").write_text(told + "\n")
    print(f"\nDice of torsos that trained no model, compared with the truth:\n{told}")
    print(f"\nWho took part: {coordinator.folder / 'federation.html'}")
    print(f"All of it took {time.monotonic() - begun:.0f} s.")


def carry(file: Path, to: Path, name: str = "") -> Path:
    """Bring a file from one party to another; return where it lies there."""
    print(f"mail: {file.relative_to(to.parent)} to {to.name}", flush=True)
    return Path(shutil.copy(file, to / (name or file.name)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulate a federation of three sites on this machine.")
    parser.add_argument("folder", type=Path, help="must not be there yet")
    try:
        main(parser.parse_args().folder.resolve())
    except DemoError as error:
        sys.exit(f"The demo ended: {error}")
    except KeyboardInterrupt:
        sys.exit("The demo was interrupted; nothing of it runs any more.")
