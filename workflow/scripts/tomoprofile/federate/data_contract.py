"""Which data a federation takes: agreed before anyone trains, and checked at each site by the site itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..config import UNetConfig
from ..config_profile import Micrometres
from ..errors import Fault, FederationError
from ..labels.training_set import TrainingSet
from ..validation import nearest
from .declared import Declared

Edge = Annotated[Micrometres, Field(gt=0)]
Modality = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]


class DataContract(Declared):
    """Data that the sites of a federation have in common."""

    classes: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] = Field(
        min_length=2, description="Names of the classes, the background first."
    )
    voxel_size_um: tuple[Edge, Edge, Edge] = Field(description="Edges of a voxel along z, y and x.")
    voxel_factor: float = Field(
        1.5, ge=1, le=4, description="By how much the edges at a site may be longer or shorter than these."
    )
    modality: Modality = Field(description="Kind of image, such as `CT` or `phase-contrast-CT`.")
    fewest_cases: int = Field(1, ge=1, description="Labelled scans that a site has at least.")

    def check(self, site: SiteData) -> None:
        """Check the data of a site.

        Raises
        ------
        FederationError
            With all that does not fit.
        """
        faults = [*_wrong_classes(self.classes, site), *self._wrong_sizes(site)]
        if site.modality.lower() != self.modality.lower():
            problem, remedy = f"the federation trains on {self.modality}", "Join a federation for these images."
            faults.append(Fault(f"{site.name}: modality", site.modality, problem, remedy))
        if site.cases < self.fewest_cases:
            problem = f"a site needs at least {self.fewest_cases} labelled scans"
            remedy = "Label more scans, then check again."
            faults.append(Fault(f"{site.name}: labelled scans", str(site.cases), problem, remedy))
        if faults:
            raise FederationError(*faults)

    def _wrong_sizes(self, site: SiteData) -> list[Fault]:
        faults = []
        for axis, here, wanted in zip("zyx", site.voxel_size_um, self.voxel_size_um, strict=True):
            if not wanted / self.voxel_factor <= here <= wanted * self.voxel_factor:
                low, high = wanted / self.voxel_factor, wanted * self.voxel_factor
                problem = f"the edge of a voxel must be {low:.4g} to {high:.4g} um"
                remedy = "Resample the scans and their labels, or check `voxel_size_um` in the sample sheet."
                faults.append(Fault(f"{site.name}: voxel_size_um, {axis}", f"{here:g} um", problem, remedy))
        return faults


@dataclass(frozen=True)
class SiteData:
    """What a site has.

    Attributes
    ----------
    name : str
    classes : sequence of str
        The background first.
    voxel_size_um : tuple of float
    modality : str
    cases : int
        Labelled scans.
    """

    name: str
    classes: Sequence[str]
    voxel_size_um: tuple[float, float, float]
    modality: str
    cases: int

    @classmethod
    def of(cls, name: str, training: TrainingSet, config: UNetConfig, modality: str) -> SiteData:
        """Return what labelled slices are."""
        cases = len({item.sample for item in training.slices})
        return cls(name, tuple(config.classes), training.voxel_size_um, modality, cases)


def _wrong_classes(wanted: Sequence[str], site: SiteData) -> list[Fault]:
    if tuple(site.classes) == tuple(wanted):
        return []
    where, remedy = f"{site.name}: classes", "Correct `classes` of the model in the configuration of the site."
    missing = [name for name in wanted if name not in site.classes]
    unknown = [name for name in site.classes if name not in wanted]
    if not missing and not unknown:
        problem = f"the classes are in another order than {', '.join(wanted)}"
        return [Fault(where, ", ".join(site.classes), problem, remedy)]
    faults = [Fault(where, "", f"the class {name} is missing", remedy) for name in missing]
    for name in unknown:
        near = nearest(name, missing)
        meant = f"Did you mean `{near}`?" if near else remedy
        faults.append(Fault(where, name, "the federation does not have this class", meant))
    return faults
