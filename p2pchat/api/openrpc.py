"""What ``rpc.discover`` replies: the API as an OpenRPC document, made of the types that check and render every call.

Rules:

- Nothing here is said twice: types and bounds are those of :mod:`p2pchat.api.calls` and the objects, sentences those of
  the tables of methods, events and errors, what a parameter is for that of its docstring or its type.
- It is made when it is first asked for: a start of the daemon, or of a command, costs nothing for it.

Source: https://spec.open-rpc.org, version 1.3.2.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeGuard

import msgspec
from msgspec import Struct, UnsetType
from msgspec.structs import FieldInfo

import p2pchat
from p2pchat.api import schema
from p2pchat.api.calls import Params
from p2pchat.api.errors import TABLE
from p2pchat.api.event_table import EVENTS
from p2pchat.api.methods import COMMON_ERRORS, METHODS, MethodSpec
from p2pchat.api.objects import EventNotification
from p2pchat.api.openrpc_objects import OpenRpc
from p2pchat.api.passphrase import PASSPHRASE_BYTES, Passphrase

Json = dict[str, Any]
"""A JSON Schema, or another object of the document."""

_VERSION: Final = "1.3.2"
_CLAUSE: Final = re.compile(r"(?:^|(?<=[;.] ))``(\w+)``: ")
_BYTES: Final[Json] = {
    "type": "object",
    "properties": {
        "$b64": {
            "type": "string",
            "contentEncoding": "base64",
            "minLength": 4,
            "maxLength": (PASSPHRASE_BYTES + 2) // 3 * 4,
        }
    },
    "required": ["$b64"],
    "additionalProperties": False,
}


@cache
def document() -> OpenRpc:
    """The document. It is shared: whoever has it must not change it."""
    schemas = _Schemas()
    methods = [_method(name, spec, schemas.of) for name, spec in METHODS.items()]
    notified = _content("event", "an event of a subscription", schemas.of(EventNotification))
    events = {
        name: _event(each.data, each.stored, schemas.of(each.carries or dict[str, object]))
        for each in EVENTS
        for name in each.types
    }
    return OpenRpc(
        openrpc=_VERSION,
        info={
            "title": "p2pchat",
            "description": "The control API of a p2pchat daemon. `error.data.name` tells errors apart.",
            "version": f"{schema.API_MAJOR}.{schema.API_MINOR}.0",
            "x-node": f"p2pchat/{p2pchat.__version__}",
        },
        methods=methods,
        components={"schemas": dict(sorted(schemas.components.items())), "errors": _errors()},
        notifications=[{"name": "event", "params": notified}],
        events=events,
    )


class _Schemas:
    """JSON Schemas of types; ``components`` are those of the structs that they refer to."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}
        self._kinds: dict[str, type[Struct]] = {}

    def of(self, hint: object) -> Json:
        """The schema of a type as it is annotated."""
        if _is_struct(hint):
            return self._reference(hint)
        if hint is object:
            return {}
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if not _holds_ours(hint):
            return _plain(hint)
        if origin is Annotated:  # of what it is about msgspec says the bounds alone
            return _plain(Annotated[(typing.get_origin(inner[0]), *inner[1:])]) | self.of(inner[0])
        if origin is list:
            return {"type": "array", "items": self.of(inner[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(inner[1])}
        if origin is Literal:  # in the order in which they are written
            return {"enum": list(inner)}
        among = [self.of(each) for each in inner if each is not UnsetType]
        return among[0] if len(among) == 1 else {"anyOf": among}

    def _reference(self, kind: type[Struct]) -> Json:
        name = kind.__name__
        assert self._kinds.setdefault(name, kind) is kind, name  # noqa: S101  two of one name could not be told apart
        if name not in self.components:
            self.components[name] = {}  # one that refers to itself would not end
            self.components[name] = self._struct(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _struct(self, kind: type[Struct]) -> Json:
        fields = msgspec.structs.fields(kind)
        found: Json = {
            "title": kind.__name__,
            "description": _markdown(kind.__doc__ or ""),
            "type": "object",
            "properties": {field.encode_name: self.of(field.type) for field in fields},
            "required": [field.encode_name for field in fields if not _may_lack(kind, field)],
        }
        if kind.__struct_config__.forbid_unknown_fields:
            found["additionalProperties"] = False
        return found


def _may_lack(kind: type[Struct], field: FieldInfo) -> bool:
    """Whether a field may be missing: of what is sent to the node where it has a default, of what comes only if it is
    not set."""
    if kind.__struct_config__.forbid_unknown_fields:
        return not field.required
    return UnsetType in typing.get_args(field.type)


def _is_struct(hint: object) -> TypeGuard[type[Struct]]:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _holds_ours(hint: object) -> bool:
    """Whether there is something in a type of which msgspec makes no schema, or another one."""
    if hint is object or hint is UnsetType or _is_struct(hint):
        return True
    return typing.get_origin(hint) is Literal or any(map(_holds_ours, typing.get_args(hint)))


def _plain(hint: object) -> Json:
    return msgspec.json.schema(hint, schema_hook=_of_others)


def _of_others(kind: type) -> Json:
    assert kind is Passphrase  # noqa: S101  the only type of a parameter that msgspec does not know
    text = {"type": "string", "minLength": 1, "maxLength": PASSPHRASE_BYTES}
    return {
        "anyOf": [text, _BYTES],
        "description": f"a text, which stands for its UTF-8, or bytes; 1 to {PASSPHRASE_BYTES:,}",
    }


def _described(kind: type[Struct]) -> dict[str, str]:
    """What the docstring of ``kind`` says of each field: what stands behind its name and a colon."""
    text = _flat(kind.__doc__ or "")
    _, *found = _CLAUSE.split(text)
    return {name: _markdown(clause).rstrip(".;") for name, clause in zip(found[::2], found[1::2], strict=True)}


def _parameters(kind: type[Params], of: Callable[[object], Json]) -> list[Json]:
    said = _described(kind)
    found: list[Json] = []
    fields = sorted(msgspec.structs.fields(kind), key=lambda field: field.name == "idempotency_key")  # the last
    for field in fields:
        shown = dict(of(field.type))
        if not field.required and field.default is not None:
            shown["default"] = field.default
        said_of_type = _taken(shown, "description")
        name = field.encode_name
        found.append(_content(name, said.get(name) or said_of_type, shown) | {"required": field.required})
    return found


def _taken(shown: Json, key: str) -> str:
    """What stands there in a schema, or in one of those that it joins; it is taken out of the schema."""
    shown["anyOf"] = [dict(each) for each in shown.get("anyOf", [])]
    taken = [each.pop(key) for each in (shown, *shown["anyOf"]) if key in each]
    if not shown["anyOf"]:
        del shown["anyOf"]
    return str(taken[0]) if taken else ""


def _content(name: str, description: str, shown: Json) -> Json:
    return {"name": name, "description": description, "schema": shown}


def _method(name: str, spec: MethodSpec, of: Callable[[object], Json]) -> Json:
    result = {"name": "result", "schema": of(spec.result)}
    return {
        "name": name,
        "summary": spec.doc.partition(". ")[0].rstrip(".") + ".",
        "description": spec.doc,
        "paramStructure": "by-name",
        "params": _parameters(spec.params, of),
        "result": result,
        "errors": [{"$ref": f"#/components/errors/{each}"} for each in dict.fromkeys((*COMMON_ERRORS, *spec.answers))],
        "x-mutating": spec.mutating,
        "x-while-locked": spec.while_locked,
    }


def _event(description: str, stored: bool, shown: Json) -> Json:
    return {"description": description, "schema": shown, "x-stored": stored}


def _errors() -> dict[str, Json]:
    return {
        row.name: {"code": row.code, "message": row.meaning, "data": {"name": row.name}}
        for row in TABLE
        if row.code is not None
    }


def _flat(text: str) -> str:
    return " ".join(text.split())


def _markdown(text: str) -> str:
    return _flat(text).replace("``", "`")
