"""Commands for scans with known truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..logs import LOG
from .command import Commands, add_command


def register(commands: Commands) -> None:
    """Add ``phantom`` and ``compare``."""
    phantom = add_command(
        commands,
        "phantom",
        _phantom,
        "simulate a scan with known truth",
        "tomoprofile phantom demo --kind A --size 256 --seed 1",
    )
    phantom.add_argument("folder", type=Path, help="receives raw/ and truth/")
    phantom.add_argument("--kind", choices=("A", "B", "C"), default="A", help="C is the hard one")
    phantom.add_argument("--size", type=int, nargs="+", default=[256], help="voxels: one number, or z y x")
    phantom.add_argument("--seed", type=int, default=1, help="another number, another scan of the same kind")
    phantom.add_argument(
        "--form",
        default="tiff_folder_u16",
        choices=("tiff_folder_u16", "tiff_folder_f32", "tiff_stack", "hdf5"),
        help="format of the raw scan",
    )

    compare = add_command(
        commands,
        "compare",
        _compare,
        "compare the results of a simulated scan with its truth, class by class",
        "tomoprofile compare demo/truth results/demo/phantom_A",
    )
    compare.add_argument("truth", type=Path, help="folder truth/ of the phantom")
    compare.add_argument("results", type=Path, help="folder of the sample's results")


def _phantom(options: argparse.Namespace) -> None:
    from ..phantom.files import write_scan, write_truth
    from ..phantom.scan import PhantomSettings, simulate

    size = tuple(options.size * 3 if len(options.size) == 1 else options.size)
    phantom = simulate(PhantomSettings.of_kind(options.kind, size=size, seed=options.seed))
    write_truth(phantom, options.folder / "truth")
    path = write_scan(phantom, options.folder / "raw" / f"phantom_{options.kind}", options.form)
    LOG.info("simulated scan in %s, its truth in %s", path, options.folder / "truth")


def _compare(options: argparse.Namespace) -> int:
    from ..layout import ScanLayout
    from ..run.against_truth import compare, measured_classes

    missed = False
    for name in measured_classes(ScanLayout(options.results)):
        comparisons = compare(options.truth, options.results, name)
        print(f"class {name}", *comparisons, sep="\n")
        missed |= not all(comparison.ok for comparison in comparisons)
    return int(missed)
