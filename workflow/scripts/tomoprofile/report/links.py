"""What lies around a page: links to what exists when it is written, relative, so that they survive a move of all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..layout import BundleLayout, Layout


@dataclass(frozen=True)
class Link:
    """A link from a page.

    Attributes
    ----------
    name : str
        What is shown.
    address : str
        Relative to the page.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Links:
    """Where a page of a scan leads.

    Attributes
    ----------
    index : Link or None
        The page of the beamtime.
    tables : Link or None
        ``tables.zip``.
    card, provenance : Link or None
        Of the model, and of the results.
    logs : tuple of Link
        Of the jobs of this scan.
    """

    index: Link | None = None
    tables: Link | None = None
    card: Link | None = None
    provenance: Link | None = None
    logs: tuple[Link, ...] = ()


def links_of(layout: Layout, sample: str, segmenter: Path) -> Links:
    """Return the links of the page of a scan.

    The index is written after the pages, and by a run that fails as well, so it is taken to exist.

    Parameters
    ----------
    layout : Layout
        The results.
    sample : str
        Name of the scan.
    segmenter : Path
        Folder of its model, or file that stands for what segmented it.
    """
    files = layout.scan(sample)

    def to(path: Path, name: str = "") -> Link | None:
        relative = Path(os.path.relpath(path, files.folder)).as_posix()
        return Link(name or relative, quote(relative)) if path.exists() or path == layout.index else None

    logs = (to(log, log.relative_to(layout.logs).as_posix()) for log in _logs(layout, sample))
    return Links(
        to(layout.index),
        to(files.tables),
        to(BundleLayout(segmenter).card),
        to(files.provenance),
        tuple(filter(None, logs)),
    )


def _logs(layout: Layout, sample: str) -> Iterator[Path]:
    """Yield the logs of a scan: of its jobs and of its slabs."""
    for log in layout.written_logs():
        if log.parent != layout.logs and re.fullmatch(rf"{re.escape(sample)}(\.z\d+)?", log.stem):
            yield log
