"""The document of ``rpc.discover`` as its readers take it: which values fit a schema, and some that do not."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from p2pchat.api.openrpc import document

Json = dict[str, Any]

DOCUMENT: Final[Json] = msgspec.to_builtins(document())
METHODS: Final[dict[str, Json]] = {method["name"]: method for method in DOCUMENT["methods"]}

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
_KNOWN: Final = {
    *("$ref", "anyOf", "enum", "type", "title", "description", "default", "contentEncoding"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems"),
    *("items", "properties", "required", "additionalProperties"),
}


def resolved(shown: Json) -> Json:
    """What a reference leads to.

    Raises:
        KeyError: nowhere.
    """
    while "$ref" in shown:
        found: Json = DOCUMENT
        for part in shown["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        shown = found
    return shown


def fits(shown: Json, value: object) -> bool:
    """Whether ``value``, as it is once it was decoded, is of a schema. An object has no fields but those that are
    told."""
    assert shown.keys() <= _KNOWN, shown.keys() - _KNOWN
    if "$ref" in shown:
        return fits(resolved(shown), value)
    if "anyOf" in shown:
        return any(fits(each, value) for each in shown["anyOf"])
    if "enum" in shown:
        return isinstance(value, str) and value in shown["enum"]
    if isinstance(value, bytes):
        text = base64.b64encode(value).decode()
        return "$b64" in shown.get("properties", ()) and fits(shown["properties"]["$b64"], text)
    if "type" not in shown:
        return True
    if not isinstance(value, _TYPES[shown["type"]]) or (isinstance(value, bool) and shown["type"] != "boolean"):
        return False
    match value:
        case str():
            least, most, size = shown.get("minLength", 0), shown.get("maxLength"), len(value)
            return least <= size and (most is None or size <= most) and bool(re.search(shown.get("pattern", ""), value))
        case list():
            items = cast("list[object]", value)
            least, most, size = shown.get("minItems", 0), shown.get("maxItems"), len(items)
            return (
                least <= size and (most is None or size <= most) and all(fits(shown["items"], each) for each in items)
            )
        case dict():
            return _is_object(shown, cast("dict[str, object]", value))
        case int() | float():
            return bool(shown.get("minimum", value) <= value <= shown.get("maximum", value))
        case _:
            return True


def _is_object(shown: Json, value: dict[str, object]) -> bool:
    if "$b64" in shown.get("properties", ()):
        return False  # what stands for bytes was decoded to bytes
    if "properties" not in shown:
        return all(fits(shown.get("additionalProperties") or {}, each) for each in value.values())
    known = shown["properties"]
    return value.keys() <= known.keys() and all(
        fits(each, value[name]) if name in value else name not in shown["required"] for name, each in known.items()
    )


def example(shown: Json) -> object:
    """A value that fits a schema, as short as it may be."""
    if "$ref" in shown:
        return example(resolved(shown))
    if "anyOf" in shown:
        return example(shown["anyOf"][0])
    if "enum" in shown:
        return shown["enum"][0]
    match shown["type"]:
        case "string":
            least = "0" * shown.get("minLength", 0)
            return next(text for text in (least, "0", "*") if fits(shown, text))
        case "integer":
            return shown.get("minimum", 0)
        case "array":
            return [example(shown["items"])] * shown.get("minItems", 0)
        case "object":
            return {name: example(shown["properties"][name]) for name in shown["required"]}
        case _:
            return False


def values(shown: Json) -> Iterator[object]:
    """Values at the bounds of a schema and beyond them, of other types, and what may be taken for right."""
    yield from (
        None,
        True,
        False,
        0,
        1,
        -1,
        1 << 64,
        0.5,
        1.0,
        "",
        "x",
        "0a",
        "XY",
        [],
        {},
        [None],
        {"x": 1},
        b"x",
        [[]],
    )
    yield from _at_bounds(shown)


def _at_bounds(shown: Json) -> Iterator[object]:
    shown = resolved(shown)
    for each in shown.get("anyOf", ()):
        yield from _at_bounds(each)
    for word in shown.get("enum", ()):
        yield from (word, word.upper(), word + " ")
    for least in ("minimum", "maximum"):
        if least in shown:
            yield from (shown[least] - 1, shown[least], shown[least] + 1)
    for bound in ("minLength", "maxLength"):
        if bound in shown:
            yield from ("0" * size for size in (shown[bound] - 1, shown[bound], shown[bound] + 1) if size >= 0)
            yield b"x" * (shown[bound] + 3)  # one group of base64 more
    if shown.get("type") == "array":
        for bound in ("minItems", "maxItems"):
            sizes = (shown[bound] - 1, shown[bound], shown[bound] + 1) if bound in shown else ()
            yield from ([example(shown["items"])] * size for size in sizes if size >= 0)
        yield from ([each] for each in values(shown["items"]))
    if "properties" in shown and shown.get("additionalProperties") is False:
        right = cast("dict[str, object]", example(shown))
        yield from (right, right | {"colour": "red"})
        for name, inner in shown["properties"].items():
            yield {key: value for key, value in right.items() if key != name}
            yield from (right | {name: each} for each in values(inner))
