"""How training crops are varied; a part of the configuration, see :mod:`.config`."""

from __future__ import annotations

from pydantic import Field

from .config_profile import Section


class AugmentConfig(Section):
    """Random variations of training crops; amounts in robust standard deviations of the scan's grey values."""

    turn: bool = Field(
        True,
        description="Mirror crops at random, and rotate them by a quarter turn where voxels are as wide as they are "
        "high. `false` where left and right differ, as of the organs of a body.",
    )
    scale: float = Field(
        0.15, ge=0, le=1, description="Nearer or farther by up to this much (natural logarithm), in three crops of ten."
    )
    spectrum: float = Field(
        0.2,
        ge=0,
        le=2,
        description="Spread of a random transfer function that changes rims and blur (natural logarithm).",
    )
    noise: float = Field(
        0.3,
        ge=0,
        le=10,
        description="Largest amplitude of added noise; its power rises with spatial frequency, as in a reconstruction.",
    )
    rings: float = Field(0.2, ge=0, le=10, description="Largest amplitude of rings, in three crops of ten.")
    gain: float = Field(0.7, ge=0, le=2, description="Contrast changes by up to this much (natural logarithm).")
    offset: float = Field(0.2, ge=0, le=10, description="Brightness changes by up to this much.")
    voids: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Share of domains turned into voids: 5 to 15 times the contrast, labelled background. Only with"
        " two classes, and where domains have similar contrast.",
    )
    invert: bool = Field(
        False,
        description="Also exchange dark and bright, where domains may refract more or less than the matrix.",
    )
