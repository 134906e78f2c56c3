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
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from tomoprofile.network.feature_maps import FeatureMaps, feature_maps
from tomoprofile.network.strokes import NOT_DRAWN, Drawn, best_reduction, segment
from tomoprofile.segment.scribbled import in_own_grey

from .segmentation import ours, tasks

OUT = Path(__file__).parents[1] / "docs/benchmarks"
SIZE = (64, 192, 192)
STROKES = (3, 8, 20)  # of each class
DRAWS = 5
NO_PRIOR = -1  # no class is what the base takes for domains
ENLARGED = 4
SIGMAS = (1, 2, 4, 8)
SIDE = 2048


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
            large = np.stack([_enlarged(grey, 1)] * 3)
            yield Slice("fibres, fine, enlarged", in_own_grey(large), _enlarged(truth, 0) > 0, _enlarged(everywhere, 0) > 0, 32)  # fmt: skip
    for kind in "AC":
        grey, labels, _, _ = tasks._scan(kind, 0, work, SIZE)
        z = SIZE[0] // 2
        stack = in_own_grey(grey[z - 1 : z + 2].astype(np.float32))
        yield Slice(f"phantom {kind}", stack, labels[z] == ours.DOMAIN, labels[z] != ours.SUBSTRATE, 8)


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
        yield "base, no strokes", self.maps[0].values[-1] > 0
        yield "filters", segment(self.filters, voxels, NO_PRIOR) == 1
        yield "maps of the base", segment(self.maps[0], voxels, NO_PRIOR) == 1
        yield "maps, from the base's opinion", segment(self.maps[0], voxels, 1) == 1
        yield "the same and filters", segment(self.both, voxels, 1) == 1
        yield "as shipped", segment(chosen, voxels, 1) == 1


def measure(work: Path) -> list[dict[str, Any]]:
    """Return the Dice of each method with each draw of strokes on each slice."""
    found = []
    for one in slices(work):
        seen = Seen(one)
        for n in STROKES:
            for seed in range(DRAWS):
                drawn = draw(one, n, np.random.default_rng([seed, n]))
                for method, mask in seen.masks(drawn):
                    if method != "base, no strokes":
                        mask = np.where(drawn == NOT_DRAWN, mask, drawn == 1)
                    both = (mask & one.truth & one.resin).sum()
                    dice = 2 * both / ((mask & one.resin).sum() + (one.truth & one.resin).sum())
                    found.append({"slice": one.name, "strokes": n, "draw": seed, "method": method, "dice": round(float(dice), 4)})  # fmt: skip
        print(one.name, one.truth.shape, "done", flush=True)
    return found


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
    tifffile.imwrite(folder / "scan.tif", part.astype(np.float32))
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
        "bfloat16": "avx512_bf16" in Path("/proc/cpuinfo").read_text(),
    }


def page(record: dict[str, Any]) -> str:
    """Return the page: mean Dice over the draws, and the least."""
    found, spent = record["dice"], record["cost"]
    lines = [
        "# A mask from a few strokes",
        "",
        f"`python -m benchmarks.prelabel WORK` made this page. Strokes are drawn by chance on slices whose truth is "
        f"known: short, three voxels wide, on medial lines of domains and of the rest, the same number of each. Mean "
        f"Dice over {DRAWS} draws, in brackets the least. Substrate is not judged. Their matrix: the fibre picture with "
        f"its classes exchanged, where the base is wrong about everything. Enlarged: {ENLARGED} times in both directions.",
        "",
        f"The command takes {spent['cpu_s']} CPU seconds and {spent['peak_gb']} GB for a slice of {SIDE} x {SIDE}, its "
        f"start included, on a CPU {'with' if spent['bfloat16'] else 'without'} bfloat16.",
        "",
    ]
    names = list(dict.fromkeys(one["slice"] for one in found))
    methods = list(dict.fromkeys(one["method"] for one in found))
    for n in STROKES:
        lines += [f"## {n} strokes of each class", "", f"| slice | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]  # fmt: skip
        for name in names:
            cells = []
            for method in methods:
                dice = [one["dice"] for one in found if (one["slice"], one["strokes"], one["method"]) == (name, n, method)]  # fmt: skip
                alike = min(dice) == max(dice)
                cells.append(f"{np.mean(dice):.3f}" + ("" if alike else f" ({min(dice):.2f})"))
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for simulated scans")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    out = OUT / "prelabel.json"
    if not options.page:
        options.work.mkdir(parents=True, exist_ok=True)
        record = {"dice": measure(options.work), "cost": cost(options.work)}
        out.write_text(json.dumps(record, indent=1) + "\n")
    (OUT / "prelabel.md").write_text(page(json.loads(out.read_text())))


if __name__ == "__main__":
    main()
