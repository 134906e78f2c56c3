"""How often the intervals of a model card hold what slices without a label show.

`python -m benchmarks.card_coverage FOLDER [FIRST]` trains one small model for each of 30 random splits of each labelled
set, or for those from FIRST on: phantoms of the kinds A, B and C with three labelled slices, and two hand-labelled
pictures of fibres with three tiles. The truth is that of everything that was not labelled. One JSON file a split is
written to FOLDER/splits as they come, in an order in which all sets grow alike; a run that is stopped goes on with what
is missing, and several may run side by side. FOLDER/card_coverage.json has the table, which is printed, too.
"""

from __future__ import annotations

import fcntl
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.segmentation import ours, tasks
from tomoprofile.labels.classes import IGNORE
from tomoprofile.network.facts import MeasuredClass, read_facts

SIZE, LABELS = (64, 128, 128), 3
# Short, so that a split takes half a minute of one core; quality is not the point here, honesty is.
SETTINGS: dict[str, Any] = {"steps": 90, "crop": 64, "window": 128}
SETS = ("A", "C", "B", "fibres-fine", "fibres-coarse")
TILE = 64  # pixels of a tile of a picture of fibres
GAP = 8  # slices or pixels beside a label that are not part of the truth
SPLITS = 30


@dataclass(frozen=True)
class Split:
    """Labels that train, and what else the set shows.

    Attributes
    ----------
    training : TrainingSet
    images : list of arrays (3, y, x)
        Slices or a picture to segment, normalised.
    truth : list of arrays (y, x) of uint8
        0 background, 1 domain, 255 labelled or too near to a label.
    """

    training: ours.TrainingSet
    images: list[NDArray[np.float32]]
    truth: list[NDArray[np.uint8]]


def main() -> None:
    """Compute what is missing, and print the table."""
    folder = Path(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    ours.log_to_terminal()
    torch.set_num_threads(1)
    (folder / "splits").mkdir(parents=True, exist_ok=True)
    for number in range(first, SPLITS):
        for name in SETS:
            if name in ("A", "B", "C") or tasks.FIBRES.is_dir():
                run(name, number, folder / "splits" / f"{name}_{number:03d}.json")
        rows = table(folder / "splits")
        with ours.whole_file(folder / "card_coverage.json") as partial:
            partial.write_text(json.dumps(rows, indent=1) + "\n")
    print(page(rows))


def run(name: str, number: int, out: Path) -> None:
    """Train and measure one split unless it is there, or another process is at it."""
    with out.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if out.exists():
            return
        with tempfile.TemporaryDirectory() as scratch:
            record = measured(name, number, Path(scratch))
        with ours.whole_file(out) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n")
        ours.LOG.info("%s %d: %s", name, number, json.dumps(record))


def measured(name: str, number: int, scratch: Path) -> dict[str, Any]:
    """Return what the card of a split says, and what is true."""
    split = _phantom(name, number) if name in ("A", "B", "C") else _fibres(name, number)
    ours.train_bundle(split.training, ours.UNetConfig(**SETTINGS), number + 1, scratch / "model", 1)
    network, level = ours.read_bundle(scratch / "model")
    facts = read_facts(scratch / "model")
    (known,) = facts.measured.values()
    both = found = labelled = 0
    for image, truth in zip(split.images, split.truth, strict=True):
        mask = (ours.probabilities(network, image[None], SETTINGS["window"])[0] >= level * 255) & (truth != IGNORE)
        both += int((mask & (truth == 1)).sum())
        found += int(mask.sum())
        labelled += int((truth == 1).sum())
    true = {"dice": 2 * both / (found + labelled), "area_ratio": found / labelled}
    groups = len(facts.labels.groups)
    return {"set": name, "split": number, "groups": groups, "level": level, "true": true, "card": _of_card(known)}


def _of_card(known: MeasuredClass) -> dict[str, Any]:
    """Return scores and intervals; None where the card says that they are unknown."""
    scores, fitted = known.held_out, known.fitted
    told: dict[str, Any] = {"fitted_dice": fitted.dice if fitted else None}
    for score, interval in (("dice", "dice_interval"), ("area_ratio", "area_interval")):
        told[score] = getattr(scores, score) if scores else None
        known_interval = getattr(scores, interval) if scores else None
        told[interval] = [known_interval.low, known_interval.high] if known_interval else None
    return told


def _phantom(kind: str, number: int) -> Split:
    settings = ours.PhantomSettings.of_kind(kind, SIZE, 5000 + number, large_per_mm2=tasks.LARGE_PER_MM2)
    phantom = ours.simulate(settings)
    looks = tasks.look_at(phantom.grey, phantom.labels != ours.SUBSTRATE, settings.voxel_um)
    grey = ours.normalise(phantom.grey, looks.centre, looks.spread)
    chosen = sorted(
        np.random.default_rng([1, number]).choice(np.arange(1, SIZE[0] - 1), LABELS, replace=False).tolist()
    )
    masks = {z: (phantom.labels[z] == ours.DOMAIN).astype(np.uint8) for z in chosen}
    images = {z: grey[z - 1 : z + 2] for z in range(1, SIZE[0] - 1)}
    training = ours.collected([ours.Labelled("scan", phantom.grey, masks, looks, settings.voxel_um)])
    rest = [z for z in images if min(abs(z - other) for other in chosen) > GAP]
    truth = [(phantom.labels[z] == ours.DOMAIN).astype(np.uint8) for z in rest]
    return Split(training, [images[z] for z in rest], truth)


def _fibres(name: str, number: int) -> Split:
    picture, mask, voxel = tasks.FINE if name == "fibres-fine" else tasks.COARSE
    grey, fibre = tasks.read_fibres(picture, mask)
    looks = tasks.look_at(grey[None], np.ones_like(fibre)[None], voxel)
    image = np.stack([ours.normalise(grey, looks.centre, looks.spread)] * 3)
    truth = fibre.astype(np.uint8)
    scans = []
    for n, place in enumerate(_apart_tiles(grey.shape, np.random.default_rng([2, number]))):
        tile = {0: fibre[place].astype(np.uint8)}
        scans.append(ours.Labelled(f"tile{n}", grey[place][None], tile, looks, voxel))
        wide = tuple(slice(max(0, part.start - GAP), part.stop + GAP) for part in place)
        truth[wide] = IGNORE
    return Split(ours.collected(scans), [image], [truth])


def _apart_tiles(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[tuple[slice, slice]]:
    """Yield the places of tiles that do not touch, at random."""
    kept: list[tuple[int, int]] = []
    while len(kept) < LABELS:
        y, x = (int(rng.integers(0, n - TILE + 1)) for n in shape)
        if all(abs(y - a) >= TILE + GAP or abs(x - b) >= TILE + GAP for a, b in kept):
            kept.append((y, x))
            yield slice(y, y + TILE), slice(x, x + TILE)


def table(folder: Path) -> list[dict[str, Any]]:
    """Return for each set how often each interval held the truth, how wide it was and how wide it had to be.

    What had to be is four standard deviations of the truth about what the card says: the width of an interval of 95 %
    from the one number that the card gives, if only one knew them.
    """
    rows = []
    for name in SETS:
        records = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{name}_*.json"))]
        for score, interval in (("dice", "dice_interval"), ("area_ratio", "area_interval")):
            known = [one for one in records if one["card"][interval]]
            ends = np.array([one["card"][interval] for one in known]).reshape(-1, 2)
            true, said = (np.array([one[part][score] for one in known]) for part in ("true", "card"))
            inside = (ends[:, 0] <= true) & (true <= ends[:, 1])
            rows.append(
                {
                    "set": name,
                    "score": score,
                    "splits": len(records),
                    "with_interval": len(known),
                    "one_group": sum(one["groups"] == 1 for one in records),
                    "covered": int(inside.sum()),
                    "too_low": int((ends[:, 1] < true).sum()),
                    "too_high": int((ends[:, 0] > true).sum()),
                    "width": float(np.median(ends[:, 1] - ends[:, 0])) if len(known) else None,
                    "needed": float(4 * np.sqrt(np.mean((true - said) ** 2))) if len(known) else None,
                    "true": float(np.mean(true)) if len(known) else None,
                    "said": float(np.mean(said)) if len(known) else None,
                }
            )
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """Return the table in Markdown; widths are medians."""
    lines = [
        "| set | score | splits | covered | card too low, too high | width | needed | true, mean | card, mean |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["with_interval"]:
            lines.append(
                f"| {row['set']} | {row['score']} | {row['with_interval']} of {row['splits']} | {row['covered']} | "
                f"{row['too_low']}, {row['too_high']} | {row['width']:.3f} | {row['needed']:.3f} | {row['true']:.3f} | "
                f"{row['said']:.3f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
