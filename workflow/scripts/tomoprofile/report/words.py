"""The language of headings and captions, English or another from one file, and the nouns of a sample in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources.abc import Traversable

import yaml

from ..config_profile import Words
from ..errors import Fault, InputError

_SAMPLE, _OUTSIDE = ("試料", "sample"), ("外表面", "outer surface")  # other language, English
_JAPANESE = re.compile("ドメイン|樹脂|基板")
# Not inside paths, keys and names of scans.
_ENGLISH = re.compile(
    r"(?<![\w/.-])(?:(?P<article>an?|An?)(?P<space>\s+))?(?P<noun>[Dd]omains?|[Rr]esin|[Ss]ubstrate)(?![\w/-]|\.\w)"
)


def translator(language: str, folder: Traversable) -> Callable[[str], str]:
    """Return what turns an English text of the templates into another language.

    Parameters
    ----------
    language : str
        ``en``, or the name of a file in ``folder`` that gives for each English text its translation: ``ja`` for
        ``ja.yaml``.
    folder : Traversable
        The one of the templates.

    Raises
    ------
    InputError
        When a text has no translation: a page half in another language is of no use. A test compares the file with
        the templates.
    """
    if language == "en":
        return lambda text: text
    path = folder / f"{language}.yaml"
    texts: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))

    def translate(text: str) -> str:
        if text not in texts:
            raise InputError(
                Fault(str(path), text, "there is no translation", "Add it, or choose report.language: en.")
            )
        return texts[text]

    return translate


@dataclass(frozen=True)
class Terms:
    """What the texts of a page call the parts of a sample; they are written with the default nouns of a language.

    Parameters
    ----------
    language : str
    words : Words
        From the configuration; empty ones take the default.
    how : str
        The cell ``interface`` of the scan's row, which decides what depth is measured from.
    """

    language: str = "en"
    words: Words = field(default_factory=Words)
    how: str = ""

    @cached_property
    def nouns(self) -> dict[str, str]:
        """Each default noun of the language with what stands for it."""
        english = self.language == "en"
        kind, _, place = self.how.partition(":")
        matrix = self.words.matrix or (_SAMPLE[english] if kind in ("none", "face", "surface") else "")
        face = place.replace("=", " = ")
        surface = {"surface": _OUTSIDE[english], "face": f"face {face}" if english else f"面 {face}"}.get(kind, "")
        surface = self.words.substrate or surface
        if not english:
            plain = {"ドメイン": self.words.domain, "樹脂": matrix, "基板": surface}
            return {noun: word or noun for noun, word in plain.items()}
        one = self.words.domain or "domain"
        several = self.words.domains or f"{one}s"
        return {"domain": one, "domains": several, "resin": matrix or "resin", "substrate": surface or "substrate"}

    def __call__(self, text: str) -> str:
        """Return a text of the pages with these nouns, in upper case where the default was."""
        if all(noun == word for noun, word in self.nouns.items()):
            return text
        if self.language != "en":
            return _JAPANESE.sub(lambda found: self.nouns[found[0]], text)
        if self.how.partition(":")[0] in ("face", "surface"):  # they are surfaces themselves
            text = text.replace("surface of the substrate", "substrate")
        return _ENGLISH.sub(self._in_place, text)

    def _in_place(self, found: re.Match[str]) -> str:
        article, noun = found["article"] or "", found["noun"]
        word = self.nouns[noun.lower()]
        word = word[0].upper() + word[1:] if noun[0].isupper() else word
        if article:
            vowel = word[0].lower() in "aeiou"
            article = f"{article[0]}{'n' * vowel}{found['space']}"
        return article + word
