"""Ownership of a number, face to face: the safety number and what a verification's QR code holds (PROTOCOL.md 3.6).

Both compare the two roots, the same on both sides: the number is read out or looked at, the link is scanned.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.base.ids import RootKey
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import equal
from p2pchat.core.links import PAYLOAD_BYTES, decode_link, encode_link
from p2pchat.core.structs import Bytes32, Form

SAFETY_DIGITS: Final = 60
GROUP_DIGITS: Final = 5

_ROUNDS: Final = 5_200
_GROUP_BYTES: Final = 5
_GROUPS: Final = SAFETY_DIGITS // 2 // GROUP_DIGITS


@dataclass(frozen=True, slots=True)
class Shown:
    """What a verify link says: the root of who shows it, and that of whom it is shown to (None: of anybody)."""

    root: RootKey
    to: RootKey | None


class _Verify(Form, frozen=True):
    kind: Literal[2]
    root: Bytes32
    to: Bytes32 | None


_links: Decoder[_Verify] = Decoder(_Verify, PAYLOAD_BYTES)


def safety_number(a: RootKey, b: RootKey) -> str:
    """60 digits in 12 groups of five with a space between them, the same for both of the two. About 10 ms.

    Source: PROTOCOL.md 3.6.
    """
    digits = "".join(sorted((_half(a), _half(b))))
    return " ".join(digits[at : at + GROUP_DIGITS] for at in range(0, SAFETY_DIGITS, GROUP_DIGITS))


def _half(root: RootKey) -> str:
    d = b"\0\0" + root
    for _ in range(_ROUNDS):
        d = hashlib.sha512(d + root).digest()
    groups = (d[_GROUP_BYTES * i : _GROUP_BYTES * (i + 1)] for i in range(_GROUPS))
    return "".join(f"{int.from_bytes(group, 'big') % 10**GROUP_DIGITS:0{GROUP_DIGITS}d}" for group in groups)


def is_safety_number(text: str, number: str) -> bool:
    """Whether ``text``, as a person writes it, is ``number``; in constant time.

    Raises:
        UsageError: INVALID_PARAMS, it is not 60 digits; spaces and dashes do not count.
    """
    digits = without_separators(text)
    if len(digits) != SAFETY_DIGITS or not (digits.isascii() and digits.isdigit()):
        raise UsageError(f"safety_number: has {SAFETY_DIGITS} digits", data={"param": "safety_number"})
    return equal(digits.encode(), number.replace(" ", "").encode())


def without_separators(text: str) -> str:
    """``text`` without white space and dashes of any kind, which people put between groups."""
    return "".join(sign for sign in text if not sign.isspace() and unicodedata.category(sign) != "Pd")


def verify_link(root: RootKey, to: RootKey | None) -> str:
    """The link that ``root`` shows, to ``to`` or to anybody. Source: PROTOCOL.md 3.5, 3.6."""
    return encode_link(encode(_Verify(2, bytes(root), bytes(to) if to is not None else None)))


def read_verify_link(text: str, param: str) -> Shown:
    """What the verify link ``text`` says.

    Args:
        param: the parameter that it came in.

    Raises:
        UsageError: INVALID_PARAMS, it is no link, or one of another kind.
    """
    shown = _decoded(decode_link(text, param))
    if shown is None:
        raise UsageError(f"{param}: is a link, but not one to verify with", data={"param": param})
    return Shown(RootKey(shown.root), RootKey(shown.to) if shown.to is not None else None)


def _decoded(payload: bytes) -> _Verify | None:
    try:
        return _links.decode(payload)
    except DecodeError:  # hidden, because the caller is a person and not a peer
        return None
