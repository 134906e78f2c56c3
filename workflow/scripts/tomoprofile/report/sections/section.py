"""What a section of a page is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go


@dataclass(frozen=True)
class Content:
    """What the template of a section shows.

    Attributes
    ----------
    words : dict
        Variables of the template.
    figures : dict of str to Figure
        Plots by name: ``plot(name, label)`` in the template draws one.
    tables : dict of str to DataFrame
        Tables that a reader can save as CSV, by name; that of a plot has its name.
    """

    words: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, go.Figure] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """One part of the page of a scan.

    Attributes
    ----------
    name : str
        Its template is ``templates/sections/<name>.html.j2``.
    build : callable
        Returns the :class:`Content`; each parameter without a default names a part of the results in
        :data:`~tomoprofile.report.results.PARTS`.
    per_class : bool
        Whether it shows one class. Every id in its template contains ``suffix``, so that it can stand in a page once
        for each class.
    if_domains : bool
        Whether it is left out where no domain of the class was found.
    if_several : bool
        Whether it is left out where only one class was measured.
    if_depth : bool
        Whether it is left out of the page of a scan without depth.
    if_placed : bool
        Whether it is left out where there is a depth or no table of the classes, and where the file does not say where
        its voxels lie in space.
    """

    name: str
    build: Callable[..., Content]
    per_class: bool = False
    if_domains: bool = False
    if_several: bool = False
    if_depth: bool = False
    if_placed: bool = False

    @property
    def template(self) -> str:
        """Name of the template."""
        return f"sections/{self.name}.html.j2"

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the parts of the results that it reads."""
        parameters = inspect.signature(self.build).parameters.values()
        return tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)
