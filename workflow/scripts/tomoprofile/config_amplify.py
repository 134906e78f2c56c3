"""How few labelled cases become many; a part of the configuration, see :mod:`.config`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .config_profile import AUTO, Micrometres, Section, or_auto

FEWEST_CASES = 3  # of which differences between cases are learned
LEARNED = ("deformation", "mixed")  # kinds that need them


class AmplifyConfig(Section):
    """Training pairs of image and label, drawn from labelled cases by deformation."""

    kind: Literal["none", "elastic", "deformation", "mixed"] = Field(
        "none",
        description="Where new shapes come from. `none`: only labelled slices train. `elastic`: random smooth "
        "deformations, from one labelled case on. `deformation`: how the scans of this model differ, labelled or not, "
        "which is learned by registration; from three scans on. `mixed`: half of each.",
    )
    pairs: int = Field(
        20,
        ge=1,
        le=1000,
        description="Deformations that are drawn, each of one labelled case, of which up to eight slices train.",
    )
    real: float = Field(
        0.25, ge=0.25, le=1, description="Least share of the crops of a step that come from labelled slices themselves."
    )
    spacing_um: or_auto(Annotated[Micrometres, Field(gt=0)]) = Field(
        AUTO,
        description="Distance of the control points of a deformation. `auto`: a sixteenth of the longest edge of the "
        "scan, at least three voxels.",
    )

    @property
    def draws(self) -> bool:
        """Whether any pair is drawn."""
        return self.kind != "none"

    @property
    def learns(self) -> bool:
        """Whether cases are registered."""
        return self.kind in LEARNED
