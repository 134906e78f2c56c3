"""What a model remembers of the scans it learned from. Imports only pydantic and the standard library."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Remembered(BaseModel):
    """A part of a model bundle: NaN and infinite values are refused, and keys that nothing reads are dropped."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class SeenScan(Remembered):
    """The appearance of the resin of a labelled scan; lists have one number for each of :attr:`Seen.features`."""

    centre: float = Field(description="Median of the grey values, physical units.")
    spread: float = Field(gt=0, description="Their robust standard deviation.")
    voxel_size_um: tuple[float, float, float] = Field(description="Voxel edges along z, y and x.")
    tiles: int = Field(ge=0, description="Number of tiles of resin.")
    tile_spread: tuple[float, ...] = Field(description="Robust standard deviation over tiles.")
    low: tuple[float, ...] = Field(description="10th percentile over tiles.")
    middle: tuple[float, ...] = Field(description="Median over tiles.")
    high: tuple[float, ...] = Field(description="90th percentile over tiles.")


class Seen(Remembered):
    """What a model has seen; new scans are compared with it."""

    features: tuple[str, ...] = Field(description="Names of the numbers that describe a tile.")
    scans: dict[str, SeenScan] = Field(description="The labelled scans, by name.")
    doubt: float | None = Field(
        description="Expected fraction of wrong voxels among those found, on unlabelled slices of these scans."
    )
    simulated: bool = Field(False, description="It learned from simulated scans alone: no label was used.")
