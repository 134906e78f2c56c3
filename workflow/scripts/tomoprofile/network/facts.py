"""What a model bundle says of itself. Standard library only: it is asked before anything heavy is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import Fault, InputError
from ..layout import BundleLayout

METADATA = BundleLayout("").metadata  # as seen from the folder of a bundle
NEEDED = ("network", "seen", "decision_level", "calibration", "conditions", "classes")


def read_facts(bundle: str | Path) -> dict[str, Any]:
    """Return what a bundle knows about its model.

    Raises
    ------
    InputError
        When it is no bundle that this version of tomoprofile wrote.
    """
    path = Path(bundle) / METADATA
    try:
        facts: dict[str, Any] = json.loads(path.read_text())["tomoprofile"]
        for key in NEEDED:
            facts[key]
    except (OSError, KeyError, TypeError, ValueError) as error:
        problem = f"this is no model bundle of this version of tomoprofile: {error!r}"
        remedy = "Name the folder of a model (results/models/NAME); one of an older version must be trained again."
        raise InputError(Fault(str(path), "", problem, remedy)) from None
    return facts
