"""Files of a federation that people write or pass on: YAML, of which every key is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ..config_file import line_of, load_config
from ..errors import Fault, FederationError
from ..texts import shown
from ..validation import sentence

_PAGE = "docs/federation.md describes every key."


class Declared(BaseModel):
    """The content of such a file, or a part of it; no part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_the_default(cls, value: Any) -> Any:
        """Read a key with nothing but comments below it, which YAML calls null."""
        return {} if value is None else value


Kind = TypeVar("Kind", bound=Declared)


def read_declared(kind: type[Kind], path: Path, problem: str, remedy: str) -> Kind:
    """Return the content of a file.

    Parameters
    ----------
    kind : type
    path : Path
    problem, remedy : str
        Where there is no such file.

    Raises
    ------
    FederationError
        When there is none, or it holds an unknown key or a wrong value.
    ConfigError
        When it is no YAML.
    """
    if not path.is_file():
        raise FederationError(Fault(str(path), "", problem, remedy))
    return checked(kind, load_config(path), path)


def checked(kind: type[Kind], values: dict[str, Any], source: Path | str) -> Kind:
    """Return values as what they should be.

    Raises
    ------
    FederationError
        With one fault for each wrong value.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = []
        for item in error.errors():
            keys = [str(part) for part in item["loc"] if part != "[key]"]
            line = line_of(source, keys) if isinstance(source, Path) else None
            where = f"{source}:{line}: {'.'.join(keys)}" if line else f"{source}: {'.'.join(keys)}"
            got = "" if item["type"] in ("missing", "value_error") else shown(item["input"])
            problem = "unknown key" if item["type"] == "extra_forbidden" else sentence(item)
            faults.append(Fault(where, got, problem, _PAGE))
        raise FederationError(*faults) from None
