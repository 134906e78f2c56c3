"""What `tomoprofile export` writes: copies of results that other programs open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..domains.class_map import ClassMap
from ..domains.objects import ObjectsMetadata
from ..domains.voxels import Domains
from ..errors import Fault, InputError
from ..files import whole_file
from ..logs import LOG
from ..units import size_in_words
from .images import FORMATS as IMAGES
from .images import Image, write_image
from .meshes import FORMATS as MESHES
from .meshes import write_mesh
from .scan import FinishedScan
from .spreadsheets import write_spreadsheets
from .surfaces import Solid, WholeClass, domains_of, surface

PARTS = ("tables", "volume", "classes", "mask", "labels", "mesh")
__all__ = ["IMAGES", "MESHES", "PARTS", "Wanted", "export_scan"]


@dataclass(frozen=True)
class Wanted:
    """What is exported.

    Attributes
    ----------
    parts : sequence of str
        Of :data:`PARTS`.
    images, meshes : sequence of str
        Formats.
    classes : sequence of str
        Measured classes; all when empty.
    domains : sequence of int
        Domains that get a mesh each, by their ``domain_id``; when empty, a class is one mesh.
    """

    parts: Sequence[str] = ("tables",)
    images: Sequence[str] = ("tiff",)
    meshes: Sequence[str] = ("stl",)
    classes: Sequence[str] = ()
    domains: Sequence[int] = ()


def export_scan(scan: FinishedScan, wanted: Wanted, folder: Path) -> list[Path]:
    """Write what is wanted of a scan into a folder; returns the files, each of which appears whole or not at all.

    Raises
    ------
    InputError
        When something wanted is not among the results.
    """
    written: list[Path] = []
    if "tables" in wanted.parts:
        written += write_spreadsheets(scan, folder)
    if "volume" in wanted.parts:
        written += _images(Image.of(scan, scan.volume), wanted, folder / "volume")
    if "classes" in wanted.parts:
        written += _class_map(scan, wanted, folder)
    if set(wanted.parts) & {"mask", "labels", "mesh"}:
        classes = scan.chosen(list(wanted.classes))
        _refuse_unknown_domains(scan, classes, wanted)
        for one in classes:
            written += _of_class(scan, one, wanted, folder)
    for path in written:
        LOG.info("%s  %s", path, size_in_words(path.stat().st_size))
    return written


def _class_map(scan: FinishedScan, wanted: Wanted, folder: Path) -> list[Path]:
    """Write the map of the classes, and which value is which."""
    classes = scan.chosen(list(wanted.classes))
    values = {one.name: scan.class_values[one.name] for one in classes}
    found = ClassMap(scan.files.objects_at("calibrated"), classes, scan.files.probability.path, values)
    # Never 1 alone, which is a mask: programs for TIFF get those in black and white.
    written = _images(Image.of(scan, found, max(2, *values.values())), wanted, folder / "classes")
    names = folder / "classes.tsv"
    with whole_file(names) as partial:
        lines = ["value\tclass", "0\tbackground", *(f"{value}\t{name}" for name, value in values.items())]
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*written, names]


def _refuse_unknown_domains(scan: FinishedScan, classes: Sequence[ObjectsMetadata], wanted: Wanted) -> None:
    if not wanted.domains:
        return
    if len(classes) > 1:
        names = ", ".join(one.name for one in classes)
        problem, remedy = "several classes have domains with these numbers", f"Choose one with `--class`: {names}."
        raise InputError(Fault(scan.sample, " ".join(map(str, wanted.domains)), problem, remedy))
    unknown = [number for number in wanted.domains if not 1 <= number <= classes[0].n_domains]
    if unknown:
        problem = f"class {classes[0].name} has the domains 1 to {classes[0].n_domains}"
        remedy = "Take numbers from the column `domain_id` of domains.csv."
        raise InputError(Fault(scan.sample, " ".join(map(str, unknown)), problem, remedy))


def _of_class(scan: FinishedScan, metadata: ObjectsMetadata, wanted: Wanted, folder: Path) -> list[Path]:
    objects, name = scan.files.objects_at("calibrated"), metadata.name
    mask, labels = Domains(objects, metadata), Domains(objects, metadata, numbered=True)
    written: list[Path] = []
    if "mask" in wanted.parts:
        written += _images(Image.of(scan, mask, 1), wanted, folder / f"mask_{name}")
    if "labels" in wanted.parts:
        written += _images(Image.of(scan, labels, metadata.n_domains), wanted, folder / f"labels_{name}")
    if "mesh" in wanted.parts:
        solids: dict[str, Solid] = {name: WholeClass(mask)}
        if wanted.domains:
            found = domains_of(mask, list(wanted.domains))
            solids = {f"{name}_{number}": solid for number, solid in found.items()}
        for stem, solid in solids.items():
            for form in wanted.meshes:
                out = folder / f"mesh_{stem}.{form}"
                write_mesh(surface(solid), scan.geometry, f"{scan.sample} {stem}", form, out)
                written.append(out)
    return written


def _images(image: Image, wanted: Wanted, stem: Path) -> list[Path]:
    return [write_image(image, form, stem) for form in wanted.images]
