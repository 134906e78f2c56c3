"""How results are divided and worded: bins, zones, blocks and field of view of a profile, and words for the sample.

A part of the configuration that models may give anew; see :mod:`.config`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

AUTO = "auto"
Micrometres = Annotated[float, Field(le=1e7)]
Thickness = Annotated[Micrometres, Field(ge=1e-3)]
Word = Annotated[str, Field(pattern=r"^[^\x00-\x1f<>&{}]*$", max_length=40)]


def or_auto(kind: Any) -> Any:
    """Return the type of a key that takes a value or ``auto``; the tags tell which, and no message names them."""
    automatic, given = Annotated[Literal["auto"], Tag("[automatic]")], Annotated[kind, Tag("[given]")]
    return Annotated[automatic | given, Discriminator(lambda value: "[automatic]" if value == AUTO else "[given]")]


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors, because a typo must not pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    GONE: ClassVar[dict[str, str]] = {}  # keys of earlier versions, and why they are no keys now

    @model_validator(mode="before")
    @classmethod
    def _empty_is_the_default(cls, value: Any) -> Any:
        """Read a key with nothing but comments below it, which YAML calls null."""
        return {} if value is None else value


class Zone(Section):
    """A depth range that is summarised in one row."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="Name of the zone in tables and report.")
    from_um: Micrometres = Field(ge=0, description="Nearest depth: distance from the substrate.")
    to_um: Micrometres | None = Field(None, description="Farthest depth; empty: to the end of the scan.")

    @model_validator(mode="after")
    def _has_thickness(self) -> Zone:
        if self.to_um is not None and self.to_um <= self.from_um:
            raise ValueError(f"zone {self.name!r} ends at {self.to_um} um, before it begins at {self.from_um} um")
        return self


class Circle(Section):
    """The part of every slice that was reconstructed."""

    radius_um: Micrometres = Field(gt=0, description="Radius of the circle.")
    centre_um: tuple[float, float] | None = Field(
        None, description="Centre `[y, x]`, from the outer corner of the slice; empty: the middle of the slice."
    )


class ProfileConfig(Section):
    """Depth bins, zones and intervals."""

    bin_um: or_auto(Thickness) = Field(
        AUTO,
        description="Thickness of a depth bin. `auto`: the mean diameter of the domains, rounded up to 1, 2 or 5 times "
        "a power of ten; at least two voxels, and 10 to 100 bins. Breakpoints are sought in layers of a fifth of it "
        "(at least one voxel) and lie at least one bin apart.",
    )
    guard_um: Micrometres = Field(
        0.0, ge=0, description="Depths closer to the substrate than this are left out of the profile."
    )
    field_of_view: Annotated[
        Annotated[Literal["auto", "all", "cylinder"], Tag("[named]")] | Annotated[Circle, Tag("[own]")],
        Discriminator(lambda value: "[own]" if isinstance(value, dict | Circle) else "[named]"),
    ] = Field(
        "auto",
        description="Which voxels were reconstructed. `auto`: those inside a circle if the slices hold a single value "
        "outside of it, else all; `all`; `cylinder`: the largest circle in each slice; or a given circle, as in "
        "`{radius_um: 400, centre_um: [512, 500]}`.",
    )
    zones: or_auto(Annotated[tuple[Zone, ...], Field(min_length=1)]) = Field(
        AUTO,
        description="Depth ranges that are summarised, as in `[{name: near, from_um: 0, to_um: 27}, {name: far, "
        "from_um: 27}]`; the last one is the plateau shown in the headline. `auto`: thirds of the depths of the scan, "
        "`near`, `middle` and `far`. State them to compare scans of different thickness. A scan with `interface: none` "
        "has one zone, `whole`, whatever stands here.",
    )
    block_um: or_auto(Thickness) = Field(
        AUTO,
        description="Side of the blocks of the bootstrap, which divide the scan across the depth; at least 10 mean "
        "diameters. The field of view should hold nine or more blocks. `auto`: ten mean diameters, and down to five "
        "where fewer than nine blocks would fit.",
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples behind each interval.")


class Words(Section):
    """What the pages call the parts of a sample."""

    domain: Word = Field("", description="One object that is measured, as in `pore`; empty: `domain`.")
    domains: Word = Field("", description="Several of them; empty: the word for one with an s.")
    matrix: Word = Field(
        "", description="What they lie in, as in `cement`; empty: `resin`, and `sample` where there is no substrate."
    )
    substrate: Word = Field(
        "",
        description="Where depth begins, as in `electrode`; empty: `substrate`, or the face or surface that the column "
        "`interface` names.",
    )


class OfResults(BaseModel):
    """What a model may say about the results of its scans; its segmentation does not depend on it."""

    profile: ProfileConfig | None = Field(
        None, description="Keys of `profile` that differ for the scans of this model, as in `{bin_um: 20}`."
    )
    words: Words = Field(
        Words(), description="What the pages call the parts of the sample, as in `{domain: void, matrix: cement}`."
    )
    phase: Literal["auto"] | bool | None = Field(
        None, description="As `phase` at the top, for the scans of this model."
    )
    one_piece: tuple[str, ...] = Field(
        (),
        description="Classes of which there is one body, as in `[liver, spleen]`: only the largest domain is kept, "
        "after the merge across slabs; table and report tell what was left out. Objects of a given label volume stay.",
    )

    @field_validator("one_piece", mode="before")
    @classmethod
    def _one_piece_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"must be a list of names; write `one_piece: [{value}]`")
        return value


OF_RESULTS = frozenset(OfResults.model_fields)
