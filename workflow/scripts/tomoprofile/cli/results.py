"""Commands for finished scans: copies for other programs, and a look at them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..logs import LOG
from .command import RESULTS, Commands, add_command, add_results


def register(commands: Commands) -> None:
    """Add ``export``, ``view`` and ``crate``."""
    # The names of parts and formats stand here again, because their modules take a second to import.
    export = add_command(
        commands,
        "export",
        _export,
        "write copies of a scan's results for other programs: CSV, TIFF, NIfTI, NRRD, STL, PLY, GLB",
        "tomoprofile export SCAN\n"
        "tomoprofile export SCAN --what mask labels --images nifti\n"
        "tomoprofile export SCAN --what classes mesh --images nifti --meshes glb\n"
        "tomoprofile export SCAN --what mesh --class void --domains 3 17",
    )
    _add_scan(export)
    export.add_argument("--to", type=Path, help="folder for the files; exports/SCAN by default")
    parts, images, meshes = (
        ("tables", "volume", "classes", "mask", "labels", "mesh"),
        ("tiff", "nifti", "nrrd"),
        ("stl", "ply", "glb"),
    )
    export.add_argument("--what", nargs="+", choices=parts, default=["tables"], help="what to write")
    export.add_argument("--images", nargs="+", choices=images, default=["tiff"], help="formats of images")
    export.add_argument("--meshes", nargs="+", choices=meshes, default=["stl"], help="formats of meshes")
    export.add_argument(
        "--class", nargs="+", dest="classes", metavar="NAME", default=[], help="only these of the measured classes"
    )
    export.add_argument(
        "--domains", nargs="+", type=int, metavar="ID", default=[], help="a mesh for each of these, not for all"
    )

    view = add_command(
        commands,
        "view",
        _view,
        "show a scan in napari, where installed, or in neuroglancer: grey values, probability, domains",
        "tomoprofile view SCAN",
    )
    _add_scan(view)

    crate = add_command(
        commands,
        "crate",
        _crate,
        "write ro-crate-metadata.json, the record of a run for archives; a run that succeeds writes it itself",
        "tomoprofile crate",
    )
    add_results(crate)


def _add_scan(command: argparse.ArgumentParser) -> None:
    command.add_argument("scan", metavar="SCAN", help="name of the scan, as in the sample sheet")
    command.add_argument("--results", type=Path, default=RESULTS, help="the folder set in `results:`")


def _export(options: argparse.Namespace) -> None:
    from ..export.export import Wanted, export_scan
    from ..export.scan import finished_scan

    wanted = Wanted(options.what, options.images, options.meshes, options.classes, options.domains)
    export_scan(finished_scan(options.results, options.scan), wanted, options.to or Path("exports", options.scan))


def _view(options: argparse.Namespace) -> None:
    from ..export.scan import finished_scan
    from ..export.viewing import view

    view(finished_scan(options.results, options.scan))


def _crate(options: argparse.Namespace) -> None:
    from ..run.crate import write_crate
    from ..run.record import read_run

    LOG.info("the run, described for archives: %s", write_crate(read_run(options.results)))
