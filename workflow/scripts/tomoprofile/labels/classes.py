"""The classes of a model: their names, their values in label files, and which of them are measured.

Standard library only: the Snakefile imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..config import ModelConfig, OtherValues, UNetConfig
from ..samples import OwnMask

# Inside the library masks hold the index of the class, whatever the values in label files. In a mask of one class,
# DOMAIN is that class.
BACKGROUND, DOMAIN, IGNORE = 0, 1, 255


@dataclass(frozen=True)
class Classes:
    """Classes in the order of their indices; the first one is the background.

    Attributes
    ----------
    names : tuple of str
    values : tuple of int
        In label files.
    measured : tuple of str
        Names of the classes that are measured, in the order used everywhere.
    others : {"refuse", "background", "ignore"}
        What a value in label files is that belongs to no class.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    measured: tuple[str, ...]
    others: OtherValues = "refuse"

    @classmethod
    def named(cls, values: Mapping[str, int], measure: Sequence[str] = (), others: OtherValues = "refuse") -> Classes:
        """Return classes from names and values; measured are those named, else ``domain``, else the second."""
        names = tuple(values)
        usual = "domain" if "domain" in names[1:] else names[1]
        return cls(names, tuple(values.values()), tuple(measure) or (usual,), others)

    @classmethod
    def of(cls, model: ModelConfig | None) -> Classes:
        """Return the classes of a model; without labels to learn from, those that a U-Net has by default."""
        learns = model if isinstance(model, UNetConfig) else UNetConfig()
        return cls.named(learns.classes, learns.measure, learns.other_values)

    @classmethod
    def of_mask(cls, mask: OwnMask, model: ModelConfig | None) -> Classes:
        """Return the classes of a given mask: those of its row's model, of which it shows one unless it is a map."""
        classes = cls.of(model)
        return classes if mask.classes else replace(classes, measured=classes.measured[:1])

    @property
    def background(self) -> str:
        """Name of the class that is never measured."""
        return self.names[0]

    @property
    def indices(self) -> tuple[int, ...]:
        """Indices of the measured classes."""
        return tuple(self.names.index(name) for name in self.measured)

    @property
    def index_of_value(self) -> dict[int, int]:
        """Index of the class for each value of label files; 0 and 255 are ignored where no class has them."""
        return {IGNORE: IGNORE, 0: IGNORE} | {value: index for index, value in enumerate(self.values)}

    @property
    def index_of_others(self) -> int | None:
        """Index for values that belong to no class; None where they are refused."""
        return {"refuse": None, "background": BACKGROUND, "ignore": IGNORE}[self.others]

    @property
    def allowed(self) -> list[str]:
        """What a label file may hold, in words: ``0 (background)``, ..."""
        told = [f"{value} ({name})" for name, value in zip(self.names, self.values, strict=True)]
        return told + ["255 (ignore)"] * (IGNORE not in self.values)

    def value(self, name: str) -> int:
        """Return the value of a class in label files."""
        return self.values[self.names.index(name)]


def values_of(names: Sequence[str], model: ModelConfig | None) -> dict[str, int]:
    """Return the value of each class in images of all of them: as in the settings of its model, else 1, 2, ...

    Parameters
    ----------
    names : sequence of str
        Measured classes, in their order.
    model : ModelConfig or None
    """
    known = Classes.of(model)
    if set(names) <= set(known.names):
        return {name: known.value(name) for name in names}
    return {name: number for number, name in enumerate(names, 1)}


def sides_of(names: Sequence[str]) -> tuple[str, str] | None:
    """Return two classes whose names differ by left and right alone, if there are any."""
    lower = {name.lower(): name for name in names}
    for name, as_written in lower.items():
        other = name.replace("left", "right")
        if other != name and other in lower:
            return as_written, lower[other]
    return None
