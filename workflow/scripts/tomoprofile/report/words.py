"""The language of headings and captions: English as the templates have it, or another from one file."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources.abc import Traversable

import yaml

from ..errors import Fault, InputError


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
