"""From what a section shows to HTML: templates, languages, embedded figures and tables."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from .. import __version__
from ..files import sealed_file
from ..logs import LOG
from .numbers import length, short
from .sections.section import Content, Section
from .words import Terms, translator

_TEXTS = ("text", "name", "hovertemplate")  # of a figure
TEMPLATES = files(__package__) / "templates"


class Renderer:
    """Renders the templates in a language.

    Parameters
    ----------
    language : str
        Of headings and captions: ``en``, or the name of a file of translations beside the templates.
    terms : Terms, optional
        What the parts of the sample are called.
    has_depth : bool
        Whether anything is measured against depth: templates have the variable ``has_depth``.
    """

    def __init__(self, language: str = "en", terms: Terms | None = None, *, has_depth: bool = True) -> None:
        self.language = language
        self.terms = terms or Terms()
        self.templates = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        self.templates.policies["ext.i18n.trimmed"] = True
        self.templates.filters |= {"embedded": embedded, "short": short, "length_um": length}
        self.templates.filters["told"] = replace(self.terms, language="en")
        self.templates.globals["has_depth"] = has_depth
        plain = translator(language, TEMPLATES)

        def translate(text: str) -> str:
            return self.terms(plain(text))

        # The extension adds this method; no text of the pages has a plural.
        self.templates.install_gettext_callables(  # type: ignore[attr-defined]
            translate,
            lambda one, many, n: translate(many),  # noqa: ARG005
            newstyle=True,
        )

    def section(self, section: Section, content: Content, **common: str) -> Markup:
        """Return one section; its template sees its own content and what all sections share."""
        told = replace(self.terms, language="en")  # plots stay in English
        figures = {name: embedded(in_words(figure, told)) for name, figure in content.figures.items()}
        csv = {name: _csv(table) for name, table in content.tables.items()}
        template = self.templates.get_template(section.template)
        return Markup(template.render(figures=figures, csv=csv, **common, **content.words))

    def write(self, template: str, context: dict[str, Any], out: Path) -> None:
        """Render a page into a file that appears whole or not at all."""
        plotly = Markup(get_plotlyjs())
        page = self.templates.get_template(template)
        text = page.render(version=__version__, language=self.language, plotly=plotly, **context)
        with sealed_file(out) as partial:
            partial.write_text(text, encoding="utf-8")
        LOG.info("%s: %.2g MB", out, out.stat().st_size / 1e6)


def in_words(figure: go.Figure, terms: Terms) -> dict[str, Any]:
    """Return a figure as plain values, with the nouns of a sample in its titles and labels."""

    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: terms(one) if key in _TEXTS and isinstance(one, str) else told(one) for key, one in value.items()
            }
        return [told(one) for one in value] if isinstance(value, list) else value

    return told(json.loads(to_json_plotly(figure)))


def embedded(content: go.Figure | dict[str, Any]) -> Markup:
    """Return a figure or record as JSON that can stand inside a script element, whatever the names in it."""
    plain = json.loads(to_json_plotly(content))  # without NaN, which JSON does not know
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def suffixes_of(classes: Sequence[str]) -> dict[str | None, str]:
    """Return the end of every id and file name in the sections of each class; nothing where there is only one."""
    if len(classes) == 1:
        return dict.fromkeys((None, *classes), "")
    plain = [re.sub(r"\W+", "_", name) for name in classes]
    if len(set(plain)) < len(plain):
        plain = [str(number) for number in range(1, len(classes) + 1)]
    return {None: "", **{name: f"-{word}" for name, word in zip(classes, plain, strict=True)}}


def _csv(table: pd.DataFrame) -> str:
    return f"data:text/csv;base64,{base64.b64encode(table.to_csv(index=False).encode()).decode('ascii')}"
