"""The list of slices that are proposed for labelling, ``slices.tsv``, which people may have opened and saved again."""

from __future__ import annotations

import csv
from pathlib import Path

from ..errors import Fault, InputError
from ..samples import MOST_EDGE
from ..texts import lines_of, read_text, shown

_REMEDY = "Run the workflow up to its target `pick`, which writes it again."


def read_proposed(path: Path) -> list[tuple[int, str]]:
    """Return slice index and name of the picture of every proposed slice.

    Parameters
    ----------
    path : Path
        Tab-separated with the columns ``slice`` and ``file``, a name in the same folder or below.

    Raises
    ------
    InputError
        When it is something else; a wrong line is named.
    """
    text = read_text(path, "the list of slices", _REMEDY, InputError)
    numbered = [(number, line) for number, line in enumerate(lines_of(text), 1) if line.strip()]
    try:
        rows = [(number, next(csv.reader([line], delimiter="\t"))) for number, line in numbered]
    except csv.Error as error:
        raise InputError(Fault(str(path), "", f"the list of slices cannot be read: {error}", _REMEDY)) from None
    header = rows[0][1] if rows else []
    if "slice" not in header or "file" not in header:
        problem = "not a list of slices with the columns `slice` and `file`"
        raise InputError(Fault(str(path), shown(header), problem, _REMEDY))
    found = []
    for number, cells in rows[1:]:
        row = dict(zip(header, cells, strict=False))
        index, name = row.get("slice", ""), row.get("file", "")
        if not (index.isascii() and index.isdigit() and len(index) < 10 and int(index) < MOST_EDGE):
            raise InputError(Fault(f"{path}:{number} slice", shown(index), "not the index of a slice", _REMEDY))
        if not Path(name).name or Path(name).is_absolute() or ".." in Path(name).parts:
            problem = "not the name of a picture in the folder of the list or below"
            raise InputError(Fault(f"{path}:{number} file", shown(name), problem, _REMEDY))
        found.append((int(index), name))
    if not found:
        raise InputError(Fault(str(path), "", "the list proposes no slice", _REMEDY))
    return found
