"""Arrays in one file, as NumPy writes them, never with pickles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, TomoprofileError
from ..files import intact, not_what_is_expected


@contextmanager
def stored_arrays(path: Path, what: str) -> Iterator[Any]:
    """Yield what :func:`numpy.load` returns for a file; ``what`` says what it should be.

    Raises
    ------
    DamageError
        When it is not what was written.
    InputError
        When it cannot be read, or what is done with its content fails.
    """
    try:
        content = np.load(intact(path), allow_pickle=False)
        with nullcontext(content) if isinstance(content, np.ndarray) else content as opened:
            yield opened
    except TomoprofileError:
        raise
    except Exception as error:  # what a damaged archive raises depends on the place of the damage
        raise InputError(not_what_is_expected(path, what, error)) from None
