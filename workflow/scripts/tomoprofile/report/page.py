"""The page of one scan: everything a reader needs in one file that opens from a disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from ..config_profile import Words
from ..logs import LOG
from ..volume.store import Store
from .rendering import Renderer, suffixes_of
from .results import Results, SampleFiles
from .sections import SECTIONS
from .sections.section import Section
from .words import Terms

_HEADING = re.compile(r'<h2 (?P<more>[^>]*)id="(?P<id>[^"]+)">(?P<words>.*?)</h2>', re.DOTALL)


def report_sample(files: SampleFiles, title: str, out: Path, language: str = "en", words: Words | None = None) -> None:
    """Write the self-contained page of one scan.

    Parameters
    ----------
    files : SampleFiles
    title : str
        Heading; empty: what is measured.
    out : Path
        ``report.html``; it appears whole or not at all.
    language : str
        Of headings and captions: ``en`` or ``ja``.
    words : Words, optional
        What the parts of the sample are called.

    Raises
    ------
    InputError
        When a table or record cannot be read.
    StoreError
        When a store cannot be read.
    """
    results = Results(files)
    has_depth = results.get("plane").has_depth
    terms = Terms(language, words or Words(), str(results.get("interface").get("how", "")))
    renderer = Renderer(language, terms, has_depth=has_depth)
    title = title or replace(terms, language="en")(title_of(has_depth))
    suffixes = suffixes_of(results.classes)
    parts = []
    for section, measured in arranged(results.classes):
        if section.if_domains and results.get("domains", measured).empty:
            continue
        if section.if_depth and not has_depth:
            continue
        if section.if_placed and (results.get("summary") is None or has_depth or not is_placed(results.get("volume"))):
            continue
        LOG.info("%s: %s", files.sample, " of ".join(filter(None, (section.name, measured))))
        content = section.build(**{name: results.get(name, measured) for name in section.needs})
        common = {"title": title, "sample": files.sample, "suffix": suffixes[measured]}
        parts.append(renderer.section(section, content, **common))
    first, *rest = parts
    page = {"title": title, "sample": files.sample, "first": first, "contents": contents_of(rest), "sections": rest}
    renderer.write("sample.html.j2", page, out)


def is_placed(volume: Store) -> bool:
    """Return whether the file of a scan says where its voxels lie in space, and more than programs write by default."""
    return volume.geometry is not None and not volume.geometry.is_default


@dataclass(frozen=True)
class Entry:
    """A line of the list of contents: where it leads, its words, and whether it begins the part of a class."""

    id: str
    words: Markup
    is_class: bool


def contents_of(parts: Sequence[Markup]) -> list[Entry]:
    """Return the headings of rendered sections, so that the list of contents cannot differ from the page."""
    return [
        Entry(found["id"], Markup(found["words"]), 'class="class"' in found["more"])
        for part in parts
        for found in _HEADING.finditer(part)
    ]


def title_of(has_depth: bool) -> str:
    """Return the heading of pages to which the configuration gives none."""
    return "Domains against the distance from the substrate" if has_depth else "Domains in the resin"


def arranged(classes: Sequence[str]) -> list[tuple[Section, str | None]]:
    """Return the sections of a page in their order, each with the class that it shows or None.

    With several classes, the sections of each class stand together, after those of the whole scan.
    """
    if len(classes) == 1:
        return [(one, classes[0] if one.per_class else None) for one in SECTIONS if not one.if_several]
    last = max(number for number, one in enumerate(SECTIONS) if one.per_class)
    scan: list[tuple[Section, str | None]] = [(one, None) for one in SECTIONS[:last] if not one.per_class]
    scan += [(one, name) for name in classes for one in SECTIONS if one.per_class]
    return scan + [(one, None) for one in SECTIONS[last + 1 :]]
