"""The call that comes by the thousand, ``message.send`` to somebody, made ready at one go.

Rules:

- What is made ready here means the same as what :mod:`jsonrpc` and :mod:`p2pchat.api.schema` make of it. Whatever is
  not in the plainest form, wrong or only unusual, is theirs: theirs are the sentences of errors.
- Nothing is raised here: an error of a decoder would quote what it has met.
"""

from __future__ import annotations

from typing import Final, cast

from p2pchat.api.calls import MessageSend
from p2pchat.api.text import is_unicode
from p2pchat.control.jsonrpc import Ready

_MEMBERS: Final = {"jsonrpc", "id", "method", "params"}
_PARAMS: Final = {"to", "text"}
_TO_CHARACTERS: Final = 256


def ready(value: object) -> Ready | None:
    """The call that a decoded frame, or an element of a batch, is; None: another one, or in another form.

    The text is not checked yet (:meth:`p2pchat.api.calls.MessageSend.check`).
    """
    if type(value) is not dict:
        return None
    call = cast("dict[str, object]", value)
    if call.keys() != _MEMBERS or call["method"] != "message.send" or call["jsonrpc"] != "2.0":
        return None
    request_id, given = call["id"], call["params"]
    if type(request_id) is not int or not 0 <= request_id < 1 << 63 or type(given) is not dict:
        return None
    params = cast("dict[str, object]", given)
    if params.keys() != _PARAMS:
        return None
    to, text = params["to"], params["text"]
    if type(to) is not str or type(text) is not str or not 1 <= len(to) <= _TO_CHARACTERS:
        return None
    return Ready(request_id, MessageSend(to=to, text=text), wants_reply=True) if is_unicode(to + text) else None
