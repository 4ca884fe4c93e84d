"""The call that comes by the thousand, ``message.send``, decoded at one go into what it asks for.

Rules:

- What decodes here means the same as what :mod:`jsonrpc` and :mod:`p2pchat.api.schema` make of it. Whatever does not,
  wrong or only unusual, is theirs: theirs are the sentences of errors.
- A call that waits is theirs, too: it is carried out by itself.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from p2pchat.api.calls import MessageSend
from p2pchat.api.codec import JSON_LINES, Framing
from p2pchat.base.silent import Silent
from p2pchat.control.jsonrpc import ID_CHARACTERS, Ready

_Integer = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class _Call(Silent, msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    jsonrpc: Literal["2.0"]
    method: Literal["message.send"]
    params: MessageSend
    id: Annotated[str, Meta(max_length=ID_CHARACTERS)] | _Integer | UnsetType | None = UNSET


_Calls = _Call | list[_Call]
_json: Final[msgspec.json.Decoder[_Calls]] = msgspec.json.Decoder(_Calls)
_msgpack: Final[msgspec.msgpack.Decoder[_Calls]] = msgspec.msgpack.Decoder(_Calls)


def read(framing: Framing, frame: bytes) -> Ready | list[Ready] | None:
    """The calls in ``frame``, of a batch where it is a list; None: not all are such calls.

    The parameters of each are not checked yet (:meth:`p2pchat.api.calls.Params.check`).
    """
    decoder = _json if framing is JSON_LINES else _msgpack
    try:
        said = decoder.decode(frame)
    except (ValueError, RecursionError):  # hidden, because whoever reads it again says what is wrong with it
        return None
    if isinstance(said, _Call):
        return _request(said) if said.params.wait is None else None
    return [_request(call) for call in said] if all(call.params.wait is None for call in said) else None


def _request(call: _Call) -> Ready:
    if call.id is UNSET:
        return Ready(None, call.params, wants_reply=False)
    return Ready(call.id, call.params, wants_reply=True)
