"""Names of lengths in file headers; sizes of files and durations in words."""

from __future__ import annotations

import re
from typing import Any

# Micrometres per unit. Of short names the case counts: `Mm` is no `mm`. Long ones are without plural, in lower case.
_SHORT = {
    "pm": 1e-6,
    "Å": 1e-4,
    "\u212b": 1e-4,
    "nm": 1e-3,
    "NM": 1e-3,
    "u": 1.0,
    "um": 1.0,
    "UM": 1.0,
    "mm": 1e3,
    "MM": 1e3,
    "cm": 1e4,
    "CM": 1e4,
    "dm": 1e5,
    "m": 1e6,
    "in": 25400.0,
    '"': 25400.0,
}
_LONG = {
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micron": 1.0,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "inch": 25400.0,
    "inche": 25400.0,
    "thou": 25.4,
}
# The micro sign, the Greek letter, their escapes (ImageJ writes one of six characters), and UTF-8 read as Latin-1.
_MICRO = re.compile(r"\\u00b5|\\u03bc|\\x?b5|\\mu|&#181;|&#xb5;|&#956;|&micro;|&mu;|â?\u00b5|\u03bc|î¼", re.IGNORECASE)


def micrometres(name: object) -> float | None:
    """Return how many micrometres a unit of length is, whatever way a header spells it.

    Both micro signs and their escapes, British and American names, plurals, brackets, and bytes are understood.

    Parameters
    ----------
    name : object
        What a header holds: text, bytes, or an array of one of them.

    Returns
    -------
    float or None
        None when it names no length: empty, ``pixel``, ``reference frame``, ...
    """
    text = _MICRO.sub("u", text_of_header(name)).strip(" \t\r\n\0()[]{}'")
    if text in _SHORT:
        return _SHORT[text]
    return _LONG.get(re.sub(r"[\s_-]", "", text.lower()).replace("metre", "meter").rstrip("s"))


def text_of_header(value: object) -> str:
    """Return a text that a file format gives as text, as bytes in UTF-8 or Latin-1, or as an array of one of them."""
    item: Any = value
    while getattr(item, "size", 0) == 1 and hasattr(item, "item") and not isinstance(item, str | bytes):
        item = item.item()
    if isinstance(item, bytes):
        try:
            return item.decode("utf-8")
        except UnicodeDecodeError:
            return item.decode("latin-1")
    return str(item)


def size_in_words(n_bytes: float) -> str:
    """Return a size in megabytes below one gigabyte, else in gigabytes."""
    if n_bytes < 1e9:
        return f"{n_bytes / 1e6:.0f} MB" if n_bytes >= 1e7 else f"{n_bytes / 1e6:.1f} MB"
    return f"{n_bytes / 1e9:.1f} GB"


def duration_in_words(seconds: float) -> str:
    """Return a duration in seconds below one minute, in minutes below two hours, else in hours."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
