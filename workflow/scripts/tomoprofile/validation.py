"""What validation found, in whole sentences: pydantic's own are for programmers."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

from .config_file import line_of
from .errors import Fault
from .texts import shown

_PATTERNS = {
    r"^[A-Za-z0-9_-]+$": "may hold only letters (A to Z), digits, `_` and `-`",
    r"^[A-Za-z][A-Za-z0-9_-]*$": "must begin with a letter (A to Z) and may hold only letters, digits, `_` and `-`",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "must begin with a letter (A to Z) or digit and may hold only letters, digits, "
    "`.`, `_` and `-`",
    r"^[^\x00-\x1f<>&{}]*$": "may not hold `<`, `>`, `&`, `{`, `}` or a control character",
}
_WHOLE, _NUMBER = "must be a whole number", "must be a number"
_LIST, _SECTION = "must be a list, as in `[1, 2]`", "must be a section, with `key: value` in the lines below it"
_TRUTH, _TEXT = "must be `true` or `false`", "must be text, in quotes"
_SENTENCES = {
    "missing": "is required",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "has too many digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "string_type": _TEXT,
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_unicode": "must be text in Unicode",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _SECTION,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "short": "has too few entries",
    "invalid_key": "must have text for keys",
    "union_tag_invalid": "must be one of {expected_tags}",
    "literal_error": "must be {expected}",
}


def config_faults(root: type[BaseModel], items: Iterable[Mapping[str, Any]], source: str) -> list[Fault]:
    """Return the faults of a configuration, one for each key.

    Parameters
    ----------
    root : type
        The section that was read.
    items : iterable of mapping
        See :func:`sentence`.
    source : str
        Its file, for messages.
    """
    found: dict[str, list[tuple[Place, Mapping[str, Any]]]] = {}
    for item in items:
        place = place_of(root, item)
        if item["type"] == "union_tag_invalid":
            place = place._replace(path=[*place.path, "method"])
            item = {**item, "input": item["ctx"]["tag"]}
        elif item["type"] == "missing" and place.path and isinstance(item["loc"][-1], int):  # of a list
            place = place._replace(path=place.path[:-1])
            item = {**item, "type": "short"}
        found.setdefault(".".join(place.path), []).append((place, item))
    for key, several in list(found.items()):
        # Wrong entries do not count for pydantic, so that a list seems to be too short.
        if several[0][1]["type"] == "too_short" and any(other.startswith(f"{key}.") for other in found):
            del found[key]
    faults = []
    for key, several in found.items():
        place, item = several[0]
        line = line_of(Path(source), place.path[:-1] if item["type"] == "missing" else place.path)
        where = ": ".join(part for part in (f"{source}:{line}" if line else source, key) if part)
        if item["type"] == "extra_forbidden":
            faults.append(Fault(where, shown(item["input"]), *_not_a_key(root, place)))
            continue
        # Of a key that may be one of several types, each type has its own sentence.
        problem = ", or ".join(dict.fromkeys(sentence(other) for _, other in several)).replace(", or the value", ", or")
        got = "" if item["type"] in ("missing", "value_error") else shown(item["input"])
        faults.append(Fault(where, got, problem, _remedy(place, [other for _, other in several])))
    return faults


def _not_a_key(root: type[BaseModel], place: Place) -> tuple[str, str]:
    """Return what is wrong with an unknown key, and what to do."""
    for section in place.sections:
        if why := getattr(section, "GONE", {}).get(place.path[-1]):
            return f"the key is gone: {why}", "Remove it."
    return "unknown key", _where_it_belongs(root, place)


def _where_it_belongs(root: type[BaseModel], place: Place) -> str:
    *above, name = place.path
    if near := nearest(name, {key for section in place.sections for key in section.model_fields}):
        return f"Did you mean `{near}`?"
    elsewhere: dict[str, str] = {}
    # What holds for all models before what holds for one.
    for path, section in sorted(sections_below(root), key=lambda found: len(found[0])):
        for key in section.model_fields:
            elsewhere.setdefault(key, ".".join((*path, key)))
            if key == name and path and len(path) == len(above) and path[0] == above[0]:
                return f"The key is one of `method: {_methods(section)[0]}`; set that method, or remove the key."
    near = nearest(name, elsewhere)
    return f"Did you mean `{elsewhere[near]}`?" if near else "config/README.md shows every key."


def _remedy(place: Place, items: list[Mapping[str, Any]]) -> str:
    for item in items:
        if near := nearest(item["input"], choices(item)):
            return f"Did you mean `{near}`?"
    name = place.path[-1] if place.path else ""
    if items[0]["type"].startswith("model_") and items[0]["input"] in [
        method for kind in place.here for method in _methods(kind)
    ]:
        return f"Write `{name}: {{method: {items[0]['input']}}}`."
    defaults = [section.model_fields[name].default for section in place.sections if name in section.model_fields]
    described = "config/README.md describes it."
    if not defaults or defaults[0] is PydanticUndefined:
        return f"Add it; {described}" if items[0]["type"] == "missing" else f"Correct it; {described}"
    plain = TypeAdapter(Any).dump_json(defaults[0]).decode()
    return f"Leave the key out for its default, {plain}; {described}" if len(plain) < 80 else f"Correct it; {described}"


def sentence(item: Mapping[str, Any], subject: str = "the value") -> str:
    """Return what is wrong with a value.

    Parameters
    ----------
    item : mapping
        One of the ``errors()`` of a pydantic ``ValidationError``.
    subject : str
        Of the sentence.
    """
    kind = item["type"]
    if kind == "value_error":  # one of ours
        return str(item["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f"{subject} {_PATTERNS.get(item['ctx']['pattern'], 'does not have the form ' + item['ctx']['pattern'])}"
    if kind not in _SENTENCES:
        return str(item["msg"])
    context = dict(item.get("ctx", {}))
    for name in ("expected", "expected_tags"):
        if name in context:
            context[name] = str(context[name]).replace("'", "`")
    return f"{subject} {_SENTENCES[kind].format(**context)}".replace("least 1 entries", "least one entry")


def nearest(name: Any, known: Iterable[str]) -> str:
    """Return the known name that somebody probably meant, ignoring case, or nothing."""
    plain = {_plain(other): other for other in known}
    near = difflib.get_close_matches(_plain(str(name)), list(plain), n=1)
    return plain[near[0]] if near else ""


def choices(item: Mapping[str, Any]) -> list[str]:
    """Return the texts that would have been valid, for a value that is none of a few."""
    if item["type"] not in ("literal_error", "union_tag_invalid"):
        return []
    told = str(item["ctx"].get("expected", item["ctx"].get("expected_tags", "")))
    return [part.strip(" '") for part in told.replace(" or ", ", ").split(",") if "'" in part]


class Place(NamedTuple):
    """Where in a configuration an error lies.

    Attributes
    ----------
    path : list of str
        Keys and positions as the user wrote them.
    sections : list of type
        The kinds of section that may stand around its last part: several where a key chooses between them.
    here : list of type
        The kinds of section that may stand at the place itself.
    """

    path: list[str]
    sections: list[type[BaseModel]]
    here: list[type[BaseModel]]


def place_of(root: type[BaseModel], item: Mapping[str, Any]) -> Place:
    """Return the place of an error; of pydantic's own, tags by which it chose between types are left out.

    Parameters
    ----------
    root : type
        The section that was read.
    item : mapping
        See :func:`sentence`.
    """
    loc = [part for part in item["loc"] if not str(part).startswith("[")]
    path: list[str] = []
    now: list[Any] = [root]
    around = now
    for number, part in enumerate(loc):
        if len(now) > 1 and (chosen := [kind for kind in now if part in _methods(kind)]):
            now = chosen
            continue
        inner = [found for kind in now for found in _inside(kind, part)]
        if inner or (item["type"] == "extra_forbidden" and number == len(loc) - 1):
            path.append(str(part))
            around, now = now, inner
    return Place(path, *([kind for kind in kinds if _is_section(kind)] for kinds in (around, now)))


def sections_below(root: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Yield every kind of section with the keys that lead to it; ``NAME`` stands for one that users choose."""
    if _is_section(root):
        yield path, root
        for name, field in root.model_fields.items():
            for kind in _alternatives(field.annotation):
                yield from sections_below(kind, (*path, name))
    elif get_origin(root) is dict:
        for kind in _alternatives(get_args(root)[1]):
            yield from sections_below(kind, (*path, "NAME"))


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _methods(kind: Any) -> tuple[Any, ...]:
    """Return the values of the key by which a kind of section is chosen."""
    return (
        get_args(kind.model_fields["method"].annotation) if _is_section(kind) and "method" in kind.model_fields else ()
    )


def _inside(kind: Any, part: Any) -> list[Any]:
    """Return the types that may stand at a part of a type."""
    arguments = get_args(kind)
    if _is_section(kind):
        field = kind.model_fields.get(part)
        return list(_alternatives(field.annotation)) if field else []
    if get_origin(kind) is dict:
        return list(_alternatives(arguments[1]))
    if get_origin(kind) in (tuple, list) and isinstance(part, int):
        return [found for argument in arguments if argument is not ... for found in _alternatives(argument)]
    return []


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types of an annotation, unions taken apart."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for argument in get_args(annotation):
            yield from _alternatives(argument)
    else:
        yield annotation


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
