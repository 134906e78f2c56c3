"""Pages of the site that are not files of docs/, and links that hold on a forge as well as on the site.

The guides beside what they describe (config/, profiles/, envs/) become pages; so does what the commands say of
themselves. MkDocs calls the functions whose names begin with ``on_``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import patch

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Files of the repository that are pages under another name; the front page stands for the README.
GUIDES = {
    "config/README.md": "configuration.md",
    "profiles/README.md": "cluster.md",
    "envs/README.md": "environments.md",
    "README.md": "index.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
_ROLE = re.compile(r":[a-z]+:<code>~?(?:[\w.]*\.)?(\w+)</code>")
_COMMAND = re.compile(r"^ {4}([a-z]+)(?: {2,}|$)", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not files of docs/."""
    for source, page in GUIDES.items():
        if page != "index.md":
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=with_links(text, source, page)))
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make links out of docs/ lead to pages of the site."""
    if page.file.generated_by:
        return markdown
    return with_links(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Write roles in docstrings, which editors understand, as the plain names that they stand for."""
    return _ROLE.sub(r"<code>\1</code>", html)


def with_links(text: str, source: str, page: str) -> str:
    """Return a text with the links of a file of the repository as they are on a page of the site.

    What is not on the site, such as source code, is named without a link; a file that is nowhere stays a link, so that
    the build finds it broken.

    Parameters
    ----------
    text : str
    source : str
        The file, from the root of the repository.
    page : str
        The page, from the root of docs/.
    """

    def led(link: re.Match[str]) -> str:
        image, words, target, anchor = link.groups(default="")
        place = os.path.normpath(PurePosixPath(source).parent / target)
        if place in GUIDES:
            place = f"docs/{GUIDES[place]}"
        if not place.startswith("docs/"):
            return words if (ROOT / place).exists() else link[0]
        relative = os.path.relpath(place.removeprefix("docs/"), PurePosixPath(page).parent)
        return f"{image}[{words}]({relative}{anchor})"

    return _LINK.sub(led, text)


def commands() -> str:
    """Return the page of the commands: what ``--help`` of each says."""
    listed = _help()
    parts = []
    for name in _COMMAND.findall(listed):
        said = _help(name)
        parts.append(f"## `tomoprofile {name}`\n\n```text\n{said}```\n")
        steps = _COMMAND.findall(said)
        parts += [f"### `tomoprofile {name} {step}`\n\n```text\n{_help(name, step)}```\n" for step in steps]
    return f"# Commands\n\nWhat `tomoprofile --help` says.\n\n```text\n{listed}```\n\n" + "\n".join(parts)


def _help(*command: str) -> str:
    sys.path.insert(0, str(ROOT / "workflow/scripts"))
    try:
        from tomoprofile.cli import main
    finally:
        sys.path.pop(0)
    said = io.StringIO()
    with patch.dict(os.environ, COLUMNS="100"), contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return said.getvalue()
