"""The sections of docs/CONTROL-API.md that are made: what people write stays around them.

Each stands between two marks, ``<!-- made: NAME -->`` and ``<!-- /made -->``. All is taken from the document of
``rpc.discover`` (:mod:`p2pchat.api.openrpc`) and from the tables behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, cast

from p2pchat.api import schema
from p2pchat.api.errors import TABLE
from p2pchat.api.event_table import EVENTS
from p2pchat.api.methods import COMMON_ERRORS, METHODS
from p2pchat.api.openrpc import document

Json = dict[str, Any]

_SECTION: Final = re.compile(r"(?<=<!-- made: )(\w+) -->\n.*?(?=<!-- /made -->)", re.DOTALL)
_TITLE: Final = re.compile(r"\A# The control API, version [\d.]+$", re.MULTILINE)
_WIDTH: Final = 120
_SUPERSCRIPT: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_EXACT: Final = 1 << 40
"""Numbers beyond it are told as powers of two."""
_KINDS: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_KEY: Final = "idempotency_key"
_HEX: Final = r"^[0-9a-f]+(?![\s\S])"


def made(page: str) -> str:
    """The page with its sections as they are to be; nothing else of it is changed.

    Raises:
        KeyError: a section that nothing makes.
    """
    page = _TITLE.sub(f"# The control API, version {schema.API_MAJOR}.{schema.API_MINOR}", page)
    return _SECTION.sub(lambda found: f"{found[1]} -->\n\n{_SECTIONS[found[1]]().rstrip()}\n\n", page)


def sections(page: str) -> list[str]:
    """The names of those that the page has."""
    return [found[1] for found in _SECTION.finditer(page)]


def _methods() -> str:
    described = document().methods
    common = ", ".join(f"`{name}`" for name in COMMON_ERRORS)
    lines = [
        *_filled(f"Any call may be answered {common}; the errors that a method has beside these stand with it."),
        "",
    ]
    for family, methods in groupby(described, lambda method: str(method["name"]).partition(".")[0]):
        lines += [f"### {family}", ""]
        for method in methods:
            lines += [*_method(method), ""]
    return "\n".join(lines)


def _method(method: Json) -> Iterator[str]:
    name, params = str(method["name"]), [each for each in method["params"] if each["name"] != _KEY]
    spec = METHODS[name]
    yield f"#### {name}"
    yield ""
    yield from _filled(spec.doc)
    yield ""
    for param in params:
        optional, shown = "" if param["required"] else "?", param["schema"]
        default = f"; {_number(shown['default'])} where left out" if "default" in shown else ""
        null = ", or null" if param["required"] and {"type": "null"} in shown.get("anyOf", ()) else ""
        said = f"- `{param['name']}`{optional}: {param['description']} ({_type(shown)}{null}{default})"
        yield from _filled(said, "  ")
    if params:
        yield ""
    facts = [f"Replies {_type(method['result']['schema'])}"]
    if spec.mutating:
        facts.append(f"takes an `{_KEY}`")
    if spec.while_locked:
        facts.append("works while the node is locked")
    errors = f" Errors: {', '.join(f'`{each}`' for each in spec.answers)}." if spec.answers else ""
    yield from _filled("; ".join(facts) + "." + errors)


def _type(shown: Json) -> str:
    """A schema in a few words."""
    if "$ref" in shown:
        return f"`{shown['$ref'].rpartition('/')[2]}`"
    if "anyOf" in shown:
        among = [each for each in shown["anyOf"] if each.get("type") != "null"]
        return ", or ".join(map(_type, among))
    if "enum" in shown:
        return _listed([f"`{each}`" for each in shown["enum"]])
    if "properties" in shown:
        return "bytes"  # the only object of a parameter without a name
    if shown["type"] == "array":
        return f"list{_bounds(shown, 'minItems', 'maxItems', '')}: {_type(shown['items'])}"
    if shown.get("pattern") == _HEX:
        return f"lower-case hex{_bounds(shown, 'minLength', 'maxLength', ' digits')}"
    if shown["type"] == "string":
        return f"text{_bounds(shown, 'minLength', 'maxLength', ' characters')}"
    bounds = ""
    if "minimum" in shown:
        bounds = f", {_number(shown['minimum'])} to {_number(shown['maximum'])}"
    return _KINDS[shown["type"]] + bounds


def _bounds(shown: Json, least: str, most: str, unit: str) -> str:
    if most not in shown:
        return ""
    low = f"{_number(shown[least])} to " if shown.get(least) else "up to "
    return f" of {low}{_number(shown[most])}{unit}"


def _number(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int):
        return str(value)
    for power, rest in ((value, ""), (value + 1, " - 1")):
        if power >= _EXACT and not power & (power - 1):
            return f"2{str(power.bit_length() - 1).translate(_SUPERSCRIPT)}{rest}"
    return f"{value:,}"


def _listed(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _objects() -> str:
    return "\n".join(f"    {name} {{{', '.join(_fields(shown))}}}" for name, shown in _in_order().items())


def _in_order() -> dict[str, Json]:
    """The objects in the order in which methods and events come to them."""
    schemas = cast("dict[str, Json]", document().components["schemas"])
    found: dict[str, Json] = {}

    def visit(value: object) -> None:
        if isinstance(value, list):
            for each in cast("list[object]", value):
                visit(each)
        elif isinstance(value, dict):
            shown = cast("dict[str, object]", value)
            name = str(shown.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in found:
                found[name] = schemas[name]
                visit(schemas[name])
            visit(list(shown.values()))

    visit([document().methods, document().notifications, list(document().events.values())])
    return found


def _fields(shown: Json) -> Iterator[str]:
    for name, field in shown["properties"].items():
        among = field.get("anyOf", [field])
        kinds = [kind for each in among if (kind := _kind(each))]
        nullable = "|null" if any(each.get("type") == "null" for each in among) else ""
        optional = "" if name in shown["required"] else "?"
        yield name + optional + (f": {'|'.join(kinds)}" if kinds else "") + nullable


def _kind(shown: Json) -> str:
    """What an element of an object is, where its name does not say it."""
    if "$ref" in shown:
        return str(shown["$ref"]).rpartition("/")[2]
    if "enum" in shown:
        return "|".join(map(str, shown["enum"]))
    if shown.get("type") == "array":
        return f"[{_kind(shown['items']) or _KINDS.get(shown['items'].get('type', ''), '{…}')}]"
    return "{…}" if shown.get("type") == "object" else ""


def _events() -> str:
    rows = ["| type | data |", "|---|---|"]
    for each in EVENTS:
        types = ", ".join(f"`{name}`" for name in each.types)
        rows.append(f"| {types} | {each.data}{'' if each.stored else '; `seq` is null: not stored'} |")
    return "\n".join(rows)


def _errors() -> str:
    rows = ["| code | name | exit | meaning |", "|---|---|---|---|"]
    for row in TABLE:
        code = "–" if row.code is None else row.code
        rows.append(f"| {code} | `{row.name}` | {row.exit_status} | {row.meaning} |")
    return "\n".join(rows)


_SECTIONS: Final = {"methods": _methods, "objects": _objects, "events": _events, "errors": _errors}


def _filled(text: str, indent: str = "") -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append(indent + word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines
