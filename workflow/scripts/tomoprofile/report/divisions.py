"""Into which bins, blocks and zones a scan was divided, and which of these were chosen for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..config_profile import ProfileConfig, Zone
from ..profile.settings import read_settings
from ..tables import read_facts
from .numbers import depth_range, length


@dataclass(frozen=True)
class Divisions:
    """Bins, blocks and zones of a scan.

    Attributes
    ----------
    settings : ProfileConfig
        Numbers, where the configuration says ``auto``.
    automatic : tuple of str
        Keys of the configuration that were ``auto``.
    """

    settings: ProfileConfig
    automatic: tuple[str, ...] = ()

    @classmethod
    def read(cls, profile: Path) -> Divisions:
        """Read what ``profile.parquet`` says of itself.

        Raises
        ------
        InputError
            When the file cannot be read or does not say.
        """
        return cls(read_settings(profile), tuple(read_facts(profile).get("automatic", ())))

    def told(self, has_depth: bool) -> dict[str, Any]:
        """Return what a page says: ``chosen`` and ``given`` values by key, and the ``yaml`` that sets the chosen ones.

        Parameters
        ----------
        has_depth : bool
            Without depth there are no bins, and the one zone is no choice.
        """
        keys = ("bin_um", "block_um", "zones") if has_depth else ("block_um",)
        chosen = [key for key in keys if key in self.automatic]
        return {
            "chosen": {key: self._in_words(key) for key in chosen},
            "given": {key: self._in_words(key) for key in keys if key not in chosen},
            "yaml": self._yaml(chosen) if chosen else "",
        }

    def _in_words(self, key: str) -> str:
        value = getattr(self.settings, key)
        return ", ".join(map(_zone, value)) if key == "zones" else length(value)

    def _yaml(self, keys: list[str]) -> str:
        values = self.settings.model_dump(mode="json", include=set(keys), exclude_none=True)
        section = {"profile": {key: values[key] for key in keys}}
        text = yaml.safe_dump(section, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
        return text.strip()[1:-1]  # a line of its own in the configuration, without the braces around it


def _zone(zone: Zone) -> str:
    return f"{zone.name} ({depth_range(zone.from_um, zone.to_um)})"
