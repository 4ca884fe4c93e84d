"""The JSON-RPC 2.0 envelope: pure functions between decoded values and requests, results and errors.

Rules:

- A request is ``{"jsonrpc": "2.0", "method": text, "params"?: map, "id"?: text | integer | null}``; another member is
  refused, since it is a misspelt one.
- Without an id it is a notification and gets no reply, not even an error, unless it is no request at all.
- Parameters are named: a list of them is INVALID_PARAMS.

Source: docs/CONTROL-API.md, "Transport".
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeGuard

import msgspec

from p2pchat.api.calls import Params
from p2pchat.api.errors import code
from p2pchat.api.text import is_unicode
from p2pchat.base.errors import UsageError
from p2pchat.base.silent import Silent

Id = str | int | None

ID_CHARACTERS: Final = 256
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})


class InvalidRequest(UsageError):
    """Not a request. ``id`` is the request's as far as it could be read."""

    name = "INVALID_REQUEST"

    def __init__(self, message: str, request_id: Id = None, *, name: str | None = None) -> None:
        super().__init__(message, name=name)
        self.id = request_id


class Request(NamedTuple):
    """One call. ``id`` means nothing where ``wants_reply`` is false."""

    id: Id
    method: str
    params: dict[str, object]
    wants_reply: bool

    def __repr__(self) -> str:
        return "Request(…)"  # parameters hold texts, names and numbers


class Ready(NamedTuple):
    """One call whose parameters were decoded with it; of which method, its reader knows."""

    id: Id
    params: Params
    wants_reply: bool

    def __repr__(self) -> str:
        return "Ready(…)"  # as above


def parse_request(value: object) -> Request:
    """The request that a decoded frame, or an element of a batch, is.

    Raises:
        InvalidRequest: it is none, or its parameters are not named.
    """
    if not _is_map(value):
        raise InvalidRequest("a request is an object")
    request_id = value.get("id")
    if not _is_id(request_id):
        raise InvalidRequest(f"id: must be null, an integer, or a text of up to {ID_CHARACTERS} characters")
    if value.get("jsonrpc") != "2.0":
        raise InvalidRequest('jsonrpc: must be "2.0"', request_id)
    method = value.get("method")
    if not isinstance(method, str):
        raise InvalidRequest("method: must be a text", request_id)
    if not value.keys() <= _MEMBERS:
        raise InvalidRequest("a request has jsonrpc, id, method and params alone", request_id)
    params = value.get("params")
    if params is not None and not _is_map(params):
        raise InvalidRequest("params: must be an object of named parameters", request_id, name="INVALID_PARAMS")
    return Request(request_id, method, params or {}, "id" in value)


class Reply(Silent, msgspec.Struct, frozen=True, gc=False, tag_field="jsonrpc", tag="2.0"):
    """The reply that carries a struct of the schema."""

    id: Id
    result: msgspec.Struct


def result(request_id: Id, value: object) -> object:
    """The reply that carries ``value``."""
    if isinstance(value, msgspec.Struct):
        return Reply(request_id, value)
    return {"jsonrpc": "2.0", "id": request_id, "result": value}


def error(request_id: Id, name: str, message: str, data: dict[str, object] | None = None) -> dict[str, object]:
    """The reply that carries an error of the table."""
    body = {"code": code(name), "message": message, "data": {"name": name, **(data or {})}}
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def notification(method: str, params: object) -> dict[str, object]:
    """A message to the client that answers no request."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def _is_map(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_id(value: object) -> TypeGuard[Id]:
    if isinstance(value, str):
        return len(value) <= ID_CHARACTERS and is_unicode(value)
    if isinstance(value, int):
        return not isinstance(value, bool) and -(1 << 63) <= value < 1 << 64
    return value is None
