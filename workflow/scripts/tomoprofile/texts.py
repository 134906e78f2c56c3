"""Text that people write and other programs save again: its encoding, and what cannot be shown of it.

Standard library only: the Snakefile imports this.
"""

from __future__ import annotations

import codecs
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import ConfigError, Fault, TomoprofileError

_MOST_BYTES = 16 * 2**20  # a sheet of 100,000 scans
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAVE_AS = "Save it as UTF-8 (in an editor: File > Save As, encoding UTF-8)."
# Not Excel's `Text (Tab delimited)`, which is in the encoding of the country.
SAVE_SHEET_AS = (
    "Save it as UTF-8 text and name that file in `samples:`. In Excel: File > Save As > `CSV UTF-8 (Comma delimited)` "
    "or `Unicode Text`; in LibreOffice: File > Save As > `Text CSV`, character set `Unicode (UTF-8)`."
)
# All but tab and the ends of lines: they move or end something where they are shown or stored.
_CONTROL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\u2028\u2029\\ud800-\\udfff]")
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


def read_text(
    path: Path,
    what: str,
    remedy: str,
    kind: type[TomoprofileError] = ConfigError,
    utf_16: bool = True,
    save_as: str = _SAVE_AS,
) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 as Excel writes it; line ends are those of the file.

    Parameters
    ----------
    path : Path
    what : str
        What the file is, for messages (``the sample sheet``).
    remedy : str
        What to do when it cannot be read at all.
    kind : type
        Of the error.
    utf_16 : bool
        Whether other readers of the file also understand UTF-16.
    save_as : str
        How to save it again when its encoding is not understood.

    Raises
    ------
    TomoprofileError
        Of this kind; a wrong byte or character is named with its line.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            problem = f"{what} has {path.stat().st_size} bytes, more than any has"
            raise kind(Fault(str(path), "", problem, "Is it the right file?"))
        data = path.read_bytes()
    except FileNotFoundError:
        raise kind(Fault(str(path), "", f"{what} does not exist", remedy)) from None
    except (OSError, ValueError) as error:
        told = (isinstance(error, OSError) and error.strerror) or str(error)
        raise kind(Fault(str(path), "", f"{what} cannot be read: {told}", remedy)) from None
    wide = data.startswith(_UTF_16)
    if wide and not utf_16:
        raise kind(Fault(f"{path}:1", "UTF-16", f"{what} is not UTF-8", save_as))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-16" if wide else "latin-1", "ignore")
        got = "an odd number of bytes" if wide else f"byte 0x{data[error.start]:02x}"
        raise kind(Fault(f"{path}:{_line(before)}", got, f"{what} is not UTF-8", save_as)) from None
    control = _CONTROL.search(text)
    if control:
        got = f"U+{ord(control[0]):04X}"
        problem = f"{what} holds a character that is no text"
        raise kind(Fault(f"{path}:{_line(text[: control.start()])}", got, problem, f"Remove it. {save_as}"))
    return text


def lines_of(text: str) -> list[str]:
    """Return the lines of a text that ends them as Unix, Windows or old Macs do, and no others."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def has_control(text: str) -> bool:
    """Return whether a cell or a path holds what is no text: a tab, the end of a line, half a character."""
    return "\t" in text or "\n" in text or "\r" in text or bool(_CONTROL.search(text))


def shown(value: Any) -> str:
    """Return a value for a message, short whatever it holds: YAML can make lists of lists without an end."""
    return _SHORT.repr(value)


def _line(before: str) -> int:
    return len(lines_of(before))


def in_ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers in their order, those that follow each other as a range: ``3, 5 to 9``."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in found]
    return ", ".join(parts)
