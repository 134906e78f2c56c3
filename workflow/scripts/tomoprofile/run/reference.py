"""Documentation generated from the models: the schema of the configuration, its guide, the columns of results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..config import Config
from ..config_profile import Section
from ..errors import Fault, InputError
from ..files import whole_file
from ..samples import Scan
from ..tables import with_tables as with_columns
from ..volume.formats import FORMATS

SCHEMA = Path("workflow/schemas/config.schema.json")
GUIDE = Path("config/README.md")
OUTPUTS = Path("docs/outputs.md")
_TABLE = re.compile(r"(<!-- (?P<name>\w+): `make schema` writes this table -->\n).*?(<!-- end -->)", re.DOTALL)


def write_reference(root: Path) -> None:
    """Write the schema and the tables of both guides, in a checkout of the project.

    Raises
    ------
    InputError
        When a guide is missing, or has a place for a table that does not exist.
    """
    guide, outputs = (_read(root / path) for path in (GUIDE, OUTPUTS))
    written = {SCHEMA: schema_text(), GUIDE: with_tables(guide), OUTPUTS: with_columns(outputs)}
    for path, content in written.items():
        with whole_file(root / path) as partial:
            partial.write_text(content, encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "Run the command at the top of a checkout of tomoprofile."
        raise InputError(Fault(str(path), "", f"the guide cannot be read: {error}", remedy)) from None


def schema_text() -> str:
    """Return the JSON schema of the configuration, for editors."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "tomoprofile configuration"
    return json.dumps(schema, indent=2) + "\n"


def with_tables(text: str) -> str:
    """Return the guide with its tables rewritten.

    Raises
    ------
    InputError
        When it has a place for a table that does not exist.
    """
    tables = reference_tables()
    unknown = [place["name"] for place in _TABLE.finditer(text) if place["name"] not in tables]
    if unknown:
        remedy = f"Tables: {', '.join(sorted(tables))}."
        raise InputError(*(Fault(str(GUIDE), name, "there is no such table", remedy) for name in unknown))
    return _TABLE.sub(lambda place: f"{place[1]}{tables[place['name']]}{place[3]}", text)


def sections() -> list[type[Section]]:
    """Return the sections of the configuration; files of a federation have sections of their own."""
    return [section for section in Section.__subclasses__() if ".config" in section.__module__]


def reference_tables() -> dict[str, str]:
    """Return the tables of the guide in Markdown: one per configuration section, the sheet's, and the formats'."""
    tables = {section.__name__: _fields(section, "key") for section in sections()}
    return tables | {"Scan": _fields(Scan, "column"), "Formats": _formats()}


def _formats() -> str:
    rows = [(f"`{form.name}`" if form.of_scans else "masks only", form.what, form.remarks) for form in FORMATS]
    return _markdown(("format", "what it is", "remarks"), sorted(rows, key=lambda row: row[0][0] != "`"))


def _fields(model: type[BaseModel], kind: str) -> str:
    fields = {name: field for name, field in model.model_fields.items() if field.description}
    rows = [(f"`{name}`", _default(field), field.description or "") for name, field in fields.items()]
    return _markdown((kind, "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None or field.default == "":
        return ""
    return f"`{_yaml(field.default)}`"


def _yaml(value: Any) -> str:
    """Return a value as YAML on one line; of a section, only what differs from its defaults."""
    if isinstance(value, BaseModel):
        return _yaml(value.model_dump(exclude_defaults=True) | value.model_dump(include={"method"}))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]]) + "\n"
