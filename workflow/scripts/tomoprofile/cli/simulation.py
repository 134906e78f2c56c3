"""Commands for scans with known truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..logs import LOG
from .command import Commands, add_command

_FORM = "tiff_folder_u16"
_SIZE, _TORSO_SIZE = (256,), (96, 88, 112)
# Options of one kind of simulation; None where they were not given.
_OF_DOMAINS = ("form",)
_OF_TORSOS = ("cases", "labelled", "label_errors", "displacement")


def register(commands: Commands) -> None:
    """Add ``phantom`` and ``compare``."""
    phantom = add_command(
        commands,
        "phantom",
        _phantom,
        "simulate a scan with known truth",
        "tomoprofile phantom demo --kind A --size 256 --seed 1\n"
        "tomoprofile phantom torsos --anatomy --seed 2 --cases 7 --labelled 1 --displacement",
    )
    phantom.add_argument("folder", type=Path, help="receives raw/ and truth/ and, with --anatomy, labels/")
    phantom.add_argument(
        "--kind", choices=("A", "B", "C", "D"), default="A", help="C is the hard one; torsos: the site"
    )
    phantom.add_argument(
        "--size",
        type=int,
        nargs="+",
        help=f"voxels: one number, or z y x (default: {_SIZE[0]}; torsos: {' '.join(map(str, _TORSO_SIZE))})",
    )
    phantom.add_argument("--seed", type=int, default=1, help="another number, another scan of the same kind")
    phantom.add_argument(
        "--form",
        choices=("tiff_folder_u16", "tiff_folder_f32", "tiff_stack", "hdf5"),
        help=f"format of the raw scan (default: {_FORM}); torsos are NIfTI",
    )
    torsos = phantom.add_argument_group("torsos")
    torsos.add_argument("--anatomy", action="store_true", help="simulate abdominal CT of torsos with labelled organs")
    torsos.add_argument("--cases", type=int, help="how many, with consecutive seeds (default: 1)")
    torsos.add_argument("--labelled", type=int, help="how many of them have labels to train on (default: all)")
    torsos.add_argument("--label-errors", type=float, help="share of organs labelled with a human error (default: 0)")
    torsos.add_argument(
        "--displacement", action="store_const", const=True, help="write the true displacements into the template"
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
    if options.anatomy:
        _torsos(options)
    else:
        _domains(options)


def _domains(options: argparse.Namespace) -> None:
    from ..phantom.files import write_scan, write_truth
    from ..phantom.scan import PhantomSettings, simulate

    _given(options, _OF_TORSOS, "belongs to torsos", "Add --anatomy, or leave it out.")
    phantom = simulate(PhantomSettings.of_kind(options.kind, size=_size(options, _SIZE), seed=options.seed))
    write_truth(phantom, options.folder / "truth")
    path = write_scan(phantom, options.folder / "raw" / f"phantom_{options.kind}", options.form or _FORM)
    LOG.info("simulated scan in %s, its truth in %s", path, options.folder / "truth")


def _torsos(options: argparse.Namespace) -> None:
    from ..anatomy.files import Wanted, write_cases
    from ..anatomy.settings import AnatomySettings

    _given(options, _OF_DOMAINS, "is not of torsos, which are NIfTI", "Leave it out.")
    wanted = Wanted(**_given(options, _OF_TORSOS))
    settings = AnatomySettings.of_site(options.kind, size=_size(options, _TORSO_SIZE))
    write_cases(settings, options.seed, wanted, options.folder)


def _given(options: argparse.Namespace, names: tuple[str, ...], problem: str = "", remedy: str = "") -> dict[str, Any]:
    """Return the options of one kind that were given; with a problem, refuse them.

    Raises
    ------
    ConfigError
        When there are any and a problem.
    """
    from ..errors import ConfigError, Fault

    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if problem and given:
        flags = (f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(*(Fault("phantom", flag, problem, remedy) for flag in flags))
    return given


def _size(options: argparse.Namespace, usual: tuple[int, ...]) -> tuple[int, ...]:
    size = tuple(options.size or usual)
    return size * 3 if len(size) == 1 else size


def _compare(options: argparse.Namespace) -> int:
    from ..layout import ScanLayout
    from ..run.against_truth import compare, measured_classes

    missed = False
    for name in measured_classes(ScanLayout(options.results)):
        comparisons = compare(options.truth, options.results, name)
        print(f"class {name}", *comparisons, sep="\n")
        missed |= not all(comparison.ok for comparison in comparisons)
    return int(missed)
