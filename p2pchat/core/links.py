"""Links: the text form of what is handed from person to person, on paper or a screen (PROTOCOL.md 3.5).

    link = "p2pchat:" ‖ base32(payload)        payload = [kind, …], 1 to 512 bytes

Rules:

- Base32 is RFC 4648's, in lower case and without padding; a QR code holds the link in upper case.
- A reader takes either case, drops white space and one pair of surrounding angle brackets, and refuses all else that
  an encoder would not have written: every payload has one link.
- An error says what is wrong with a link and never quotes it: an invite is a secret.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from p2pchat.base.errors import InternalError, UsageError

PAYLOAD_BYTES: Final = 512

_SCHEME: Final = "p2pchat:"
_TEXT_CHARS: Final = 4_096  # as much as is looked at: white space included


def encode_link(payload: bytes) -> str:
    """The link that carries ``payload``, 1 to 512 bytes.

    Source: PROTOCOL.md 3.5.
    """
    if not 1 <= len(payload) <= PAYLOAD_BYTES:
        raise InternalError("the payload of a link would exceed its bounds")
    return _SCHEME + _base32(payload)


def decode_link(text: str, param: str = "link") -> bytes:
    """The payload, 1 to 512 bytes; whether it means anything is for its kind to say.

    Args:
        text: as a person gives it.
        param: the parameter that it came in, with which the sentence of an error begins.

    Raises:
        UsageError: INVALID_PARAMS, no link, cut off or mistyped.

    Source: PROTOCOL.md 3.5.
    """
    bare = _bare(text)
    if not bare.startswith(_SCHEME):
        raise _refused(param, f"is no link; one begins with {_SCHEME}")
    payload = _payload(bare.removeprefix(_SCHEME))
    if payload is None:
        raise _refused(param, "was cut off or mistyped")
    if len(payload) > PAYLOAD_BYTES:
        raise _refused(param, "is too long for a link")
    return payload


def is_link(text: str) -> bool:
    """Whether ``text`` is meant as a link, though perhaps a broken one."""
    return _bare(text).startswith(_SCHEME)


def _bare(text: str) -> str:
    """In lower case, without what stands around it; what no link can be is returned as nothing."""
    bare = "".join(text.split()) if len(text) <= _TEXT_CHARS else ""
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1]
    return bare.lower() if bare.isascii() else ""  # the lower case of some other signs is a letter of ours


def _payload(digits: str) -> bytes | None:
    try:
        payload = base64.b32decode(digits.upper() + "=" * (-len(digits) % 8))
    except binascii.Error:  # hidden, because the caller says what it means without the text
        return None
    return payload if payload and _base32(payload) == digits else None  # else bits are set that no byte has


def _base32(payload: bytes) -> str:
    return base64.b32encode(payload).decode("ascii").rstrip("=").lower()


def _refused(param: str, why: str) -> UsageError:
    return UsageError(f"{param}: {why}", data={"param": param})
