"""The page of one scan: everything a reader needs in one file that opens from a disk."""

from __future__ import annotations

from pathlib import Path

from ..logs import LOG
from .rendering import Renderer
from .results import Results, SampleFiles
from .sections import SECTIONS


def report_sample(files: SampleFiles, title: str, out: Path, language: str = "en") -> None:
    """Write the self-contained page of one scan.

    Parameters
    ----------
    files : SampleFiles
    title : str
        Heading.
    out : Path
        ``report.html``; it appears whole or not at all.
    language : str
        Of headings and captions: ``en`` or ``ja``.

    Raises
    ------
    InputError
        When a table or record cannot be read.
    StoreError
        When a store cannot be read.
    """
    results, renderer = Results(files), Renderer(language)
    empty = results["domains"].empty
    parts = []
    for section in SECTIONS:
        if section.per_class and empty:
            continue
        LOG.info("%s: %s", files.sample, section.name)
        content = section.build(**{name: results[name] for name in section.needs})
        parts.append(renderer.section(section, content, title=title, sample=files.sample, suffix=""))
    renderer.write("sample.html.j2", {"title": title, "sample": files.sample, "sections": parts}, out)
