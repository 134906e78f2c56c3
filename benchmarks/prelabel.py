"""How good the mask of a slice is that a few strokes give, and what it costs.

``python -m benchmarks.prelabel WORK`` draws strokes on slices whose truth is known and writes
``docs/benchmarks/prelabel.json`` and ``.md``; ``python -m benchmarks.prelabel WORK --page`` writes the page anew.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from tomoprofile.network.feature_maps import FeatureMaps, feature_maps
from tomoprofile.network.strokes import NOT_DRAWN, Drawn, best_reduction, segment
from tomoprofile.network.unet import choose_precision
from tomoprofile.segment.scribbled import in_own_grey

from .segmentation import ours, tasks

OUT = Path(__file__).parents[1] / "docs/benchmarks"
SIZE = (64, 192, 192)
STROKES = (3, 8, 20)  # of each class
DRAWS = 5
SHIPPED = "as shipped"
MORE = 3  # strokes of each class in a second round
AGAIN = f"{MORE} more where it is wrong"
NO_PRIOR = -1  # no class is what the base takes for domains
ENLARGED = 4
SIGMAS = (1, 2, 4, 8)
SIDE = 2048


INTRODUCTION = """# A mask from a few strokes

`python -m benchmarks.prelabel WORK` made this page. Strokes are drawn by chance on slices whose truth is known: short,
three voxels wide, on medial lines of domains and of the rest, the same number of each. Cells are the mean Dice over
{draws} draws, in brackets the least; substrate is not judged. *Their matrix* is the picture of fibres with its classes
exchanged, so the base is wrong about everything; *enlarged* is {enlarged} times in both directions.

The command takes {cpu_s} CPU seconds and {peak_gb} GB for a slice of {side} x {side}, its start included, on a CPU
{with_or_without} bfloat16.

- *base alone*: the shipped model without any stroke.
- *filters*: smoothed grey values, gradients and eigenvalues of the Hessian at four scales, from nothing.
- *maps of the base*: its last feature maps, from nothing.
- *maps, from its opinion*: the same, with its logit as what is changed as little as possible.
- *and filters*: both kinds of features.
- *as shipped*: the same, on a reduced slice where the base sees nothing in the slice as it is.
- The last column: three more strokes of each class where that mask is wrong over the largest areas.
"""


class Slice(NamedTuple):
    """A slice between its neighbours, normalised, and its truth; what is no resin is not judged."""

    name: str
    stack: NDArray[np.float32]
    truth: NDArray[np.bool_]
    resin: NDArray[np.bool_]
    reach: int  # of a stroke, in voxels


def slices(work: Path) -> Iterator[Slice]:
    """Yield the slices."""
    for name, (picture, mask, _) in (("fibres, coarse", tasks.COARSE), ("fibres, fine", tasks.FINE)):
        grey, truth = tasks.read_fibres(picture, mask)
        everywhere = np.ones_like(truth)
        yield Slice(name, in_own_grey(np.stack([grey] * 3)), truth, everywhere, 8)
        if name == "fibres, coarse":
            yield Slice("their matrix", in_own_grey(np.stack([grey] * 3)), ~truth, everywhere, 8)
        else:
            large, wide = in_own_grey(np.stack([_enlarged(grey, 1)] * 3)), _enlarged(truth, 0) > 0
            yield Slice("fibres, fine, enlarged", large, wide, np.ones_like(wide), 32)
    for kind in "AC":
        grey, labels, _, _ = tasks._scan(kind, 0, work, SIZE)
        z = SIZE[0] // 2
        stack = in_own_grey(grey[z - 1 : z + 2].astype(np.float32))
        truth, resin = labels[z] == ours.DOMAIN, labels[z] != ours.SUBSTRATE
        yield Slice(f"phantom {kind}", stack, truth, resin, 8)


def _enlarged(image: NDArray[Any], order: int) -> NDArray[np.float32]:
    return ndimage.zoom(image.astype(np.float32), ENLARGED, order=order, grid_mode=True, mode="nearest")


def draw(one: Slice, n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return ``n`` short strokes, three voxels wide, in each class: on the medial lines of domains, and of the rest."""
    drawn = np.full(one.truth.shape, NOT_DRAWN, np.uint8)
    domains, _ = ndimage.label(one.truth)
    for value, area in ((0, ~one.truth), (1, one.truth)):
        medial = skeletonize(area)
        for _ in range(n):
            where = medial
            if value:  # a person picks a domain, whatever its size
                where = medial & (domains == rng.choice(np.unique(domains[medial])))
            begin = np.argwhere(where)[rng.integers(where.sum())]
            rows, columns = np.ogrid[: area.shape[0], : area.shape[1]]
            near = where & (np.hypot(rows - begin[0], columns - begin[1]) <= one.reach)
            parts, _ = ndimage.label(near, np.ones((3, 3)))
            stroke = ndimage.binary_dilation(parts == parts[tuple(begin)], np.ones((3, 3)))
            drawn[stroke & area] = value
    return drawn


def draw_more(one: Slice, drawn: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return strokes and more of them, where the mask is wrong over the largest areas."""
    more = drawn.copy()
    for value, area in ((0, ~one.truth), (1, one.truth)):
        wrong, n = ndimage.label(area & one.resin & (mask != value))
        sizes = ndimage.sum_labels(np.ones_like(wrong), wrong, range(1, n + 1)) if n else np.zeros(0)
        for index in np.argsort(-sizes)[:MORE] + 1:
            deep = ndimage.distance_transform_edt(wrong == index)
            begin = np.unravel_index(deep.argmax(), deep.shape)
            rows, columns = np.ogrid[: area.shape[0], : area.shape[1]]
            near = np.hypot(rows - begin[0], columns - begin[1]) <= one.reach
            more[ndimage.binary_dilation(skeletonize(wrong == index) & near, np.ones((3, 3))) & area] = value
    return more


def filters(image: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return the usual filters of pixel classifiers: smoothed grey values, gradients, eigenvalues of the Hessian."""
    found = [image]
    for sigma in SIGMAS:
        smooth = ndimage.gaussian_filter(image, sigma)
        y, x = np.gradient(smooth)
        yy, xx, xy = np.gradient(y, axis=0), np.gradient(x, axis=1), np.gradient(y, axis=1)
        mean, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
        found += [smooth, sigma * np.hypot(y, x), sigma**2 * (mean + half), sigma**2 * (mean - half)]
    return np.stack(found).astype(np.float16)


class Seen:
    """All features of a slice, and the methods that use them."""

    def __init__(self, one: Slice) -> None:
        self.maps = list(feature_maps(one.stack))
        made, shape = filters(one.stack[1]), one.truth.shape
        self.filters = FeatureMaps(made, 1, shape)
        self.both = FeatureMaps(np.concatenate([made, self.maps[0].values]), 1, shape)

    def masks(self, drawn: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield the mask of each method."""
        voxels = Drawn.of(drawn)
        chosen = best_reduction(self.maps, voxels, 1)
        yield "base alone", self.maps[0].values[-1] > 0
        yield "filters", segment(self.filters, voxels, NO_PRIOR) == 1
        yield "maps of the base", segment(self.maps[0], voxels, NO_PRIOR) == 1
        yield "maps, from its opinion", segment(self.maps[0], voxels, 1) == 1
        yield "and filters", segment(self.both, voxels, 1) == 1
        yield SHIPPED, segment(chosen, voxels, 1) == 1

    def again(self, drawn: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the mask of the shipped method."""
        voxels = Drawn.of(drawn)
        return segment(best_reduction(self.maps, voxels, 1), voxels, 1) == 1


def measure(work: Path) -> list[dict[str, Any]]:
    """Return the Dice of each method with each draw of strokes on each slice."""
    found = []
    for one in slices(work):
        seen = Seen(one)
        for n in STROKES:
            for seed in range(DRAWS):
                drawn = draw(one, n, np.random.default_rng([seed, n]))
                masks = dict(seen.masks(drawn))
                more = draw_more(one, drawn, np.where(drawn == NOT_DRAWN, masks[SHIPPED], drawn == 1))
                record = {"slice": one.name, "strokes": n, "draw": seed}
                found += [record | {"method": name, "dice": _dice(one, mask, drawn)} for name, mask in masks.items()]
                found.append(record | {"method": AGAIN, "dice": _dice(one, seen.again(more), more)})
        print(one.name, one.truth.shape, "done", flush=True)
    return found


def _dice(one: Slice, mask: NDArray[np.bool_], drawn: NDArray[np.uint8]) -> float:
    """Return the Dice of a mask whose strokes are kept, as the command keeps them."""
    kept = np.where(drawn == NOT_DRAWN, mask, drawn == 1) & one.resin
    truth = one.truth & one.resin
    return round(float(2 * (kept & truth).sum() / (kept.sum() + truth.sum())), 4)


def cost(work: Path) -> dict[str, Any]:
    """Return CPU seconds and peak memory of the command on a slice of 2048 x 2048, its start included.

    The strokes call the base wrong, so all three sizes of the slice are looked at: it takes no longer than that.
    """
    grey, labels, _, _ = tasks._scan("A", 0, work, SIZE)
    times = -(-SIDE // SIZE[1])
    part = np.tile(grey[30:33], (1, times, times))[:, :SIDE, :SIDE]
    truth = np.tile(labels[31] == ours.DOMAIN, (times, times))[:SIDE, :SIDE]
    folder = work / "cost"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    tifffile.imwrite(folder / "scan.tif", part.astype(np.float32), photometric="minisblack")
    strokes = np.zeros((SIDE, SIDE), np.uint8)
    for row in range(100, SIDE, 400):
        line = truth[row : row + 3]
        strokes[row : row + 3] = np.where(line, 2, 1)
    tifffile.imwrite(folder / "S_z00001.tif", strokes)
    command = [sys.executable, "-m", "tomoprofile.cli", "prelabel", "--scan", str(folder / "scan.tif")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    subprocess.run([*command, "--scribbles", str(folder / "S_z00001.tif")], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_s": round(time.monotonic() - begun, 1),
        "peak_gb": round(after.ru_maxrss / 1e6, 2),
        "bfloat16": choose_precision(torch.device("cpu")) is torch.bfloat16,
    }


def page(record: dict[str, Any]) -> str:
    """Return the page: mean Dice over the draws, and the least."""
    found, spent = record["dice"], record["cost"]
    text = INTRODUCTION.format(
        draws=DRAWS, enlarged=ENLARGED, side=SIDE, with_or_without="with" if spent["bfloat16"] else "without", **spent
    )
    methods = list(dict.fromkeys(one["method"] for one in found))
    for n in STROKES:
        text += f"\n## {n} strokes of each class\n\n| slice | {' | '.join(methods)} |\n{'|---' * (len(methods) + 1)}|\n"
        for name in dict.fromkeys(one["slice"] for one in found):
            mine = [one for one in found if (one["slice"], one["strokes"]) == (name, n)]
            cells = [_cell([one["dice"] for one in mine if one["method"] == method]) for method in methods]
            text += f"| {name} | {' | '.join(cells)} |\n"
    return text


def _cell(dice: list[float]) -> str:
    return f"{np.mean(dice):.3f}" + ("" if min(dice) == max(dice) else f" ({min(dice):.2f})")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for simulated scans")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    out = OUT / "prelabel.json"
    if not options.page:
        options.work.mkdir(parents=True, exist_ok=True)
        record = {"cost": cost(options.work), "dice": measure(options.work)}
        out.write_text(json.dumps(record, indent=1) + "\n")
    (OUT / "prelabel.md").write_text(page(json.loads(out.read_text())))


if __name__ == "__main__":
    main()
