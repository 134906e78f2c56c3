"""The classes as bodies in a patient or a sample: a table, a scene of their surfaces, and three views through each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from ...domains.agreement import worst_first
from ...domains.classes import Reference
from ...domains.objects import ObjectsMetadata
from ...domains.voxels import Domains
from ...tables import CALIBRATED
from ...volume.store import Store
from ..anatomy import Place, View, cuts_of_domains, cuts_of_image, outline, position_in_words, views_of
from ..cuts import scale_bar_um
from ..figures import MANY, bare
from ..images import reduced
from ..numbers import count, short
from ..solids import surface_of
from .section import Content

_CENTROID = ["centroid_z_um", "centroid_y_um", "centroid_x_um"]
_PIXELS = 512  # longest side of a picture
_SPREAD = 6  # robust standard deviations of a class's grey values that are neither black nor white
_SCENE_PIXELS = 560
# Beyond the six of Okabe and Ito, for up to fifteen classes.
COLOURS = (*MANY, "#f0e442", "#8c564b", "#7f7f7f", "#bcbd22", "#17becf", "#9467bd", "#e377c2", "#aec7e8", "#98df8a")


@dataclass(frozen=True)
class Row:
    """One class in display units; what is not known is empty."""

    name: str
    colour: str
    volume_ml: str
    surface_cm2: str
    feret_mm: str
    position: str
    parts: str
    left_out: str
    on_border: bool
    dice: str
    mean_mm: str
    p95_mm: str


@dataclass(frozen=True)
class Line:
    """Outlines of a class in a picture."""

    path: str
    colour: str
    is_own: bool = False
    is_reference: bool = False


@dataclass(frozen=True)
class Picture:
    """One view through a class; lengths in millimetres."""

    view: View
    image: str
    width: float
    height: float
    at: str
    lines: tuple[Line, ...]
    bar: float


@dataclass(frozen=True)
class Body:
    """A class with its three pictures."""

    row: Row
    pictures: tuple[Picture, ...]


def build(
    summary: pd.DataFrame,
    volume: Store,
    objects: Path,
    levels: dict[str, dict[str, ObjectsMetadata]],
    reference: Reference | None,
) -> Content:
    """Return table, scene and views of all classes, those that agree least with a reference first."""
    colours = dict(zip(levels, COLOURS, strict=False))
    ordered = summary.set_index("class").loc[worst_first(dict(zip(summary["class"], summary["dice"], strict=True)))]
    rows = {name: _row(name, line, colours[name]) for name, line in ordered.iterrows()}
    painted = {name: Domains(objects, of_class[CALIBRATED]) for name, of_class in levels.items()}
    bodies = [Body(rows[name], pictures) for name, pictures in _pictures(ordered, painted, volume, colours, reference)]
    words = {"rows": [*rows.values()], "bodies": bodies, "compared": bool(ordered["dice"].notna().any())}
    figures = {"bodies": _scene(painted, volume, colours)} if bodies else {}
    return Content(words, figures, {"bodies": summary})


def _row(name: str, line: pd.Series, colour: str) -> Row:
    def told(value: float, factor: float = 1.0) -> str:
        return "" if pd.isna(value) else short(value / factor)

    place = line["right_mm"], line["anterior_mm"], line["superior_mm"]
    left_out = line["n_left_out"]
    return Row(
        name=name,
        colour=colour,
        volume_ml=told(line["volume_ml"]),
        surface_cm2=told(line["surface_um2"], 1e8),
        feret_mm=told(line["feret_max_um"], 1e3),
        position="" if pd.isna(place[0]) else position_in_words(*place),
        parts=count(line["n_domains"]),
        left_out="" if pd.isna(left_out) or not left_out else _left_out(left_out, line["left_out_um3"]),
        on_border=bool(line["on_border"]),
        dice="" if pd.isna(line["dice"]) else short(line["dice"]),
        mean_mm=told(line["surface_mean_um"], 1e3),
        p95_mm=told(line["surface_p95_um"], 1e3),
    )


def _left_out(number: float, volume_um3: float) -> str:
    return f"{count(number)} ({short(volume_um3 / 1e12)} mL)"


def _pictures(
    rows: pd.DataFrame,
    painted: dict[str, Domains],
    volume: Store,
    colours: dict[str, str],
    reference: Reference | None,
) -> list[tuple[str, tuple[Picture, ...]]]:
    """Return the views through the middle of each class that was found, drawn with the outlines of all."""
    assert volume.geometry is not None
    views, edges = views_of(volume.geometry), volume.voxel_size_um
    middles = {
        name: [min(int(at / edge), n - 1) for at, edge, n in zip(line[_CENTROID], edges, volume.shape, strict=True)]
        for name, line in rows.iterrows()
        if line["n_domains"]
    }
    places = sorted({(view.axis, middle[view.axis]) for middle in middles.values() for view in views})
    cuts = {name: cuts_of_domains(domains, places) for name, domains in painted.items()}
    given = cuts_of_image(reference.reader(volume), places, volume.shard_slices) if reference and places else {}
    found = []
    for name, middle in middles.items():
        pictures = []
        for view in views:
            place = view.axis, middle[view.axis]
            masks = {other: view.turned(of_class[place]) for other, of_class in cuts.items()}
            known = view.turned(reference.shows(given[place], name)) if reference else None
            pictures.append(_picture(view, place, volume, masks, name, colours, known))
        found.append((name, tuple(pictures)))
    return found


def _picture(
    view: View,
    place: Place,
    volume: Store,
    masks: dict[str, NDArray[np.bool_]],
    name: str,
    colours: dict[str, str],
    known: NDArray[np.bool_] | None,
) -> Picture:
    grey = view.turned(volume.grey.physical(volume.cut(*place)))
    edges = volume.voxel_size_um[view.rows] / 1e3, volume.voxel_size_um[view.columns] / 1e3
    height, width = (n * edge for n, edge in zip(grey.shape, edges, strict=True))
    lines = [Line(outline(mask, edges), colours[other], other == name) for other, mask in masks.items() if mask.any()]
    if known is not None and known.any():
        lines.append(Line(outline(known, edges), "#ffffff", is_reference=True))
    at = f"{'zyx'[view.axis]} = {place[1]}"
    image = reduced(grey, _window(grey, masks[name]), _PIXELS)
    return Picture(view, image, width, height, at, tuple(sorted(lines, key=lambda line: line.is_own)), _bar(width))


def _window(grey: NDArray, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return black and white so that what is like the class can be told apart."""
    inside = grey[mask] if mask.any() else grey
    middle = float(np.median(inside))
    spread = max(1.4826 * float(np.median(np.abs(inside - middle))), 1e-6)  # calculi and vessels do not count
    return middle - _SPREAD * spread, middle + _SPREAD * spread


def _bar(width_mm: float) -> float:
    return scale_bar_um(width_mm * 1e3) / 1e3


def _scene(painted: dict[str, Domains], volume: Store, colours: dict[str, str]) -> go.Figure:
    """Return the surfaces of all classes in millimetres of RAS, seen from the front: the right is on the left."""
    assert volume.geometry is not None
    figure = go.Figure()
    for name, domains in painted.items():
        surface = surface_of(domains, volume.geometry)
        if surface is None:
            continue
        x, y, z = surface.vertices.T
        i, j, k = surface.triangles.T
        figure.add_mesh3d(
            x=x, y=y, z=z, i=i, j=j, k=k, color=colours[name], name=name, showlegend=True, hoverinfo="name"
        )
    titles = ("to the right (mm)", "anterior (mm)", "superior (mm)")
    axes = {f"{axis}axis": {"title": {"text": title}} for axis, title in zip("xyz", titles, strict=True)}
    camera = {"eye": {"x": -0.5, "y": 1.9, "z": 0.4}, "up": {"x": 0, "y": 0, "z": 1}}
    return bare(figure, _SCENE_PIXELS, scene={"aspectmode": "data", "camera": camera, **axes})
