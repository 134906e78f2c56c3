"""How few labelled cases become many; a part of the configuration, see :mod:`.config`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .config_profile import AUTO, Micrometres, Section, or_auto
from .names import possible_path

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
    template: Annotated[str, AfterValidator(possible_path)] = Field(
        "",
        description="File of the template that several sites share, so that what they learn can be added up; its "
        "control points are taken, too. Empty: one of the scans here.",
    )
    sums: Annotated[str, AfterValidator(possible_path)] = Field(
        "",
        description="File of the sums over the cases of all sites (`tomoprofile federation pool`), from which new "
        "shapes are drawn; a site then needs no three scans of its own. Empty: the sums over the scans here.",
    )

    @property
    def draws(self) -> bool:
        """Whether any pair is drawn."""
        return self.kind != "none"

    @property
    def learns(self) -> bool:
        """Whether cases are registered."""
        return self.kind in LEARNED

    @property
    def fewest_cases(self) -> int:
        """Scans from which it begins."""
        return FEWEST_CASES if self.learns and not self.sums else 1

    @model_validator(mode="after")
    def _sums_belong_to_a_template(self) -> AmplifyConfig:
        given = [name for name in ("template", "sums") if getattr(self, name)]
        if given and not self.learns:
            raise ValueError(f"kind={self.kind} registers no cases, and {given[0]} has no effect; leave it empty")
        if self.sums and not self.template:
            raise ValueError("sums belong to one template; add `template:`, the file that all sites have")
        return self
