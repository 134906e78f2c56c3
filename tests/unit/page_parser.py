"""The page of a scan as its elements and its words."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np

from tomoprofile.report.page import report_sample
from tomoprofile.report.rendering import Renderer

VOID = {"meta", "link", "br", "img", "input", "hr"}
SVG_ALONE = {"path", "line", "polyline", "rect", "image"}


class Page(HTMLParser):
    """Collects elements and refuses markup that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.kept: list[tuple[str, dict]] = []  # of templates, which a reader sees only after moving a slider
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.element(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG_ALONE, f"<{tag}/> is no void element"
        self.element(tag, attrs)

    def element(self, tag, attrs):
        (self.kept if "template" in self.open else self.found).append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style", "template", "nav"} & set(self.open):
            self.words.append(data)

    def all(self, tag, **attributes):
        return [a for t, a in self.found if t == tag and all(a.get(k.strip("_")) == v for k, v in attributes.items())]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def loads(self):
        """Return every address an element would load or link, embedded data and places in the page apart."""
        names = ("src", "href", "xlink:href", "srcset", "action", "poster", "data")
        found = [a[name] for _, a in self.found + self.kept for name in names if a.get(name)]
        return [address for address in found if not address.startswith(("data:", "#"))]


def written(files, out):
    report_sample(files, "Domains against the distance", out)
    text = out.read_text(encoding="utf-8")
    return Page(text), text


def figures(text):
    found = re.findall(r'<script type="application/json" id="(?:figure-)?([\w-]+)">(.*?)</script>', text, re.S)
    return {name: json.loads(figure) for name, figure in found}


def values(array):
    """Return numbers of a Plotly figure, which embeds arrays in binary."""
    if isinstance(array, dict):
        array = np.frombuffer(base64.b64decode(array["bdata"]), np.dtype(array["dtype"]))
    return np.array(array)


def templates():
    """Return the names of the templates behind the page of a scan, which is translated."""
    names = Renderer().templates.list_templates(extensions=["j2"])
    return [name for name in names if not name.startswith(("beamtime", "comparison"))]


def ids(page):
    return {a["id"] for _, a in page.found + page.kept if "id" in a}
