"""From bodies to HU: tissues in two contrast phases, their textures, and voxels that hold two tissues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .frame import Place
from .settings import LABELS
from .shapes import Floats
from .template import Template

AIR_HU = -1000.0
_GAS_SHARE = 0.25  # of the content of the stomach; it collects in front, as patients lie on their back
_GAS_HU = -950.0


@dataclass(frozen=True)
class Tissue:
    """HU without noise.

    Attributes
    ----------
    native, portal : float
        Without contrast agent, and in the portal venous phase.
    texture : str
        Name of its texture; empty for none.
    """

    native: float
    portal: float
    texture: str = ""


TISSUES = {
    "skin": Tissue(10, 20),
    "fat": Tissue(-100, -100, "strands"),
    "visceral fat": Tissue(-98, -96, "mesentery"),
    "muscle": Tissue(52, 60, "fibres"),
    "fascia": Tissue(-30, -28),
    "lung": Tissue(-850, -840, "lung"),
    "mediastinum": Tissue(-40, -30, "strands"),
    "blood": Tissue(40, 140),
    "vein": Tissue(40, 150),
    "aorta": Tissue(40, 150),
    "vena cava": Tissue(40, 130),
    "bone": Tissue(620, 620, "trabecular"),
    "marrow": Tissue(210, 225, "trabecular"),
    "disc": Tissue(80, 85),
    "fluid": Tissue(20, 22),
    "bowel": Tissue(40, 100, "folds"),
    "bowel gas": Tissue(-700, -700),
    "stool": Tissue(-60, -55, "stool"),
    "liver": Tissue(55, 110, "fine"),
    "liver vessel": Tissue(45, 155),
    "spleen": Tissue(50, 120),
    "pancreas": Tissue(40, 100, "lobules"),
    "stomach wall": Tissue(50, 90),
    "gastric fluid": Tissue(30, 35),
    "cortex": Tissue(30, 180),
    "medulla": Tissue(30, 120),
    "urine": Tissue(5, 5),
    "bile": Tissue(10, 10),
}


class Textures:
    """Random structure of tissues on the voxels of one case, in HU.

    Parameters
    ----------
    size : tuple of int
        Voxels along (z, y, x).
    spacing_mm : tuple of float
    rng : numpy.random.Generator
    """

    def __init__(
        self, size: tuple[int, int, int], spacing_mm: tuple[float, float, float], rng: np.random.Generator
    ) -> None:
        def field(sigma_mm: float) -> Floats:
            noise = gaussian_filter(
                rng.standard_normal(size, np.float32), [sigma_mm / edge for edge in spacing_mm], mode="wrap"
            )
            return (noise / noise.std()).ravel()

        self._fine, self._middle, self._other, self._coarse = field(1.5), field(4.0), field(4.0), field(12.0)

    def of(self, name: str, where: NDArray[np.intp]) -> Floats | float:
        """Return what to add to the HU of a tissue at some voxels."""
        return _TEXTURES[name](*(field[where] for field in (self._fine, self._middle, self._other, self._coarse)))


def _strands(middle: Floats, other: Floats, coarse: Floats) -> Floats:
    """Return thin sheets, 0 to 1: the faces between the grains of a random field, in some regions."""
    return np.exp(-((middle / 0.18) ** 2)) * np.clip(0.6 * coarse + 0.4 * other, 0, 1)


_TEXTURES: dict[str, Callable[[Floats, Floats, Floats, Floats], Floats | float]] = {
    "": lambda fine, middle, other, coarse: 0.0,  # noqa: ARG005 - one signature for all
    "fine": lambda fine, middle, other, coarse: 3 * fine + 2 * middle,  # noqa: ARG005
    "fibres": lambda fine, middle, other, coarse: 4 * fine - 70 * _strands(middle, other, coarse),
    "strands": lambda fine, middle, other, coarse: 4 * fine + 60 * _strands(middle, other, coarse),
    "mesentery": lambda fine, middle, other, coarse: 5 * fine + 110 * _strands(other, middle, coarse + 0.4),
    "trabecular": lambda fine, middle, other, coarse: 75 * fine + 35 * middle,  # noqa: ARG005
    "lobules": lambda fine, middle, other, coarse: 4 * fine - 45 * np.clip(middle - 0.9, 0, 1),  # noqa: ARG005
    "folds": lambda fine, middle, other, coarse: 4 * fine + 6 * middle,  # noqa: ARG005
    "stool": lambda fine, middle, other, coarse: 45 * fine + 60 * middle - 320 * np.clip(coarse, 0, 2),  # noqa: ARG005
    # Vessels run where two fields are zero.
    "lung": lambda fine, middle, other, coarse: (  # noqa: ARG005
        12 * fine + 620 * np.exp(-((middle / 0.28) ** 2 + (other / 0.28) ** 2))
    ),
}


@dataclass
class Painting:
    """HU and labels of one case, which bodies are painted on.

    Attributes
    ----------
    template : Template
    place : Place
        Of every voxel, in the template.
    back_mm : array (n,)
        How far every voxel lies to the back, in the patient.
    phase : {"native", "portal venous"}
    edge_mm : float
        Distance over which one tissue changes into the next, because voxels average: the edge of a voxel.
    textures : Textures
    offsets : dict of str to float
        What is added to the HU of tissues in this case.
    """

    template: Template
    place: Place
    back_mm: Floats
    phase: Literal["native", "portal venous"]
    edge_mm: float
    textures: Textures
    offsets: dict[str, float]

    def paint(self, absent: tuple[str, ...] = ()) -> tuple[Floats, NDArray[np.uint8]]:
        """Return HU and labels of all voxels; some organs may be absent."""
        hu = np.full(self.back_mm.shape, np.float32(AIR_HU))
        labels = np.zeros(self.back_mm.shape, np.uint8)
        for name, tissue, where, function in self._parts(absent):
            share = np.clip(0.5 - function / np.float32(self.edge_mm), 0, 1)
            seen = share > 0
            where, share = where[seen], share[seen]
            hu[where] += share * (self._hu(tissue, where) - hu[where])
            if tissue == "gastric fluid":
                self._let_gas_rise(hu, where[share > 0.5])
            if name in LABELS:
                labels[where[function[seen] < 0]] = LABELS[name]
        return hu, labels

    def _parts(self, absent: tuple[str, ...]) -> Iterator[tuple[str, str, NDArray[np.intp], Floats]]:
        """Yield name, tissue, voxels and function of bodies and, after each, of its layers, which have no name."""
        for body, where, function in self.template.functions(self.place, absent):
            yield body.name, body.tissue, where, function
            inside = function < self.edge_mm
            for layer in body.layers:
                there = where[inside]
                yield "", layer.tissue, there, layer.at(self.place.those(there), function[inside])

    def _hu(self, name: str, where: NDArray[np.intp]) -> Floats | float:
        tissue = TISSUES[name]
        value = tissue.native if self.phase == "native" else tissue.portal
        return value + self.offsets.get(name, 0.0) + self.textures.of(tissue.texture, where)

    def _let_gas_rise(self, hu: Floats, where: NDArray[np.intp]) -> None:
        """Make gas of the part of a cavity that lies in front, up to one level."""
        if where.size:
            height = self.back_mm[where]
            share = np.clip(0.5 - (height - np.quantile(height, _GAS_SHARE)) / np.float32(self.edge_mm), 0, 1)
            hu[where] += share * (_GAS_HU - hu[where])
