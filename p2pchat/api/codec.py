"""The two framings of the control socket, chosen by the first byte a client sends.

==================  =========================================================================================
first byte          framing
==================  =========================================================================================
``00``              u32 big-endian length ‖ one msgpack value, below 16 MiB so that the first byte stays 00
``{ [`` white space one JSON value a line; bytes are ``{"$b64": "…"}``
anything else       none: the stream cannot be read
==================  =========================================================================================

Rules:

- A frame is bounded before it is buffered whole, its nesting before anything looks into it.
- A frame that does not parse spoils itself alone (:class:`ParseError`); a stream whose frame boundaries are lost is
  over (:class:`FrameError`).
- An error of a decoder may hold the text that it met. It ends where it is caught: ours are not chained to it.
- JSON may hold what UTF-8 cannot, a lone surrogate escape; it is passed on, so that the reply can name the parameter.
- Structs of ``schema`` hold no bytes; a result with bytes is made of dicts and lists.

Source: docs/CONTROL-API.md, "Transport".
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn, Protocol, TypeGuard

import msgspec

from p2pchat.api.text import is_unicode
from p2pchat.base.errors import UsageError

FRAME_BYTES: Final = (1 << 24) - 1
"""Longest frame: JSON without its line feed, msgpack without its length."""

NESTING: Final = 32
"""Deepest nesting of lists and maps in a frame."""


_MALFORMED: Final = object()


class ParseError(UsageError):
    """One frame is not a value of its framing."""

    name = "PARSE"


class FrameError(UsageError):
    """The stream cannot be read any further."""

    name = "PARSE"


class Framing(Protocol):
    """How values travel: a body is one encoded value, a frame is a body as it goes over the socket."""

    def decode(self, frame: bytes) -> object:
        """The value of one frame.

        Raises:
            ParseError: malformed, nested too deep, or not Unicode.
        """
        ...

    def encode(self, value: object) -> bytes:
        """The body for a value of structs, dicts with text keys, lists, text, bytes, numbers, booleans and None.

        Raises:
            UsageError: TOO_LARGE, longer than ``FRAME_BYTES``.
        """
        ...

    def join(self, bodies: list[bytes]) -> bytes:
        """The body of a list of values that are encoded already."""
        ...

    def frame(self, body: bytes) -> bytes:
        """The bytes that go over the socket."""
        ...


class JsonLines:
    """Newline-delimited JSON."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    def decode(self, frame: bytes) -> object:
        plain = self._plain(frame)
        value = self._parse(frame) if plain is _MALFORMED else plain
        if value is _MALFORMED:
            raise ParseError("not one JSON value on a line")
        return value if value is plain else _revived(value, NESTING)

    def encode(self, value: object) -> bytes:
        return _bounded(self._encoder.encode(_without_bytes(value)))

    def join(self, bodies: list[bytes]) -> bytes:
        return b"[" + b",".join(bodies) + b"]"

    def frame(self, body: bytes) -> bytes:
        return body + b"\n"

    def _plain(self, frame: bytes) -> object:
        """The value of a frame that can hold neither bytes, nor an escape, nor too deep a nesting: most are such."""
        if b"$" in frame or b"\\" in frame or frame.count(b"{") + frame.count(b"[") > NESTING:
            return _MALFORMED
        if not frame.isascii() and not is_unicode(frame.decode(errors="surrogateescape")):
            return _MALFORMED  # the decoder's error would hold the text
        try:
            return self._decoder.decode(frame)
        except (msgspec.DecodeError, RecursionError):
            return _MALFORMED

    def _parse(self, frame: bytes) -> object:
        text = frame.decode(errors="surrogateescape")
        if not is_unicode(text):
            return _MALFORMED
        try:
            return self._decode_text(frame, text)
        except (ValueError, RecursionError):
            return _MALFORMED

    def _decode_text(self, frame: bytes, text: str) -> object:
        try:
            return self._decoder.decode(frame)
        except msgspec.DecodeError:
            # msgspec refuses a lone surrogate escape as malformed; the standard library lets it through
            return json.loads(text, parse_constant=_no_constant)


class MsgpackFrames:
    """Length-prefixed msgpack; bytes are native."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder()

    def decode(self, frame: bytes) -> object:
        value = self._parse(frame)
        if value is _MALFORMED:
            raise ParseError("not one msgpack value in a frame")
        _check_nesting(value)
        return value

    def encode(self, value: object) -> bytes:
        return _bounded(self._encoder.encode(value))

    def _parse(self, frame: bytes) -> object:
        try:
            return self._decoder.decode(frame)
        except (ValueError, TypeError, RecursionError):  # TypeError: an unhashable map key
            return _MALFORMED

    def join(self, bodies: list[bytes]) -> bytes:
        count = len(bodies)
        head = bytes([0x90 | count]) if count < 16 else b"\xdd" + count.to_bytes(4, "big")
        return head + b"".join(bodies)

    def frame(self, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + body


JSON_LINES: Final = JsonLines()
MSGPACK_FRAMES: Final = MsgpackFrames()


class Splitter:
    """Cuts a byte stream into frames, after its first byte has chosen the framing."""

    def __init__(self) -> None:
        self.framing: Framing | None = None
        self._buffer = bytearray()
        self._searched = 0

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer)

    def clear(self) -> None:
        """Forget them."""
        self._buffer.clear()

    def feed(self, data: bytes) -> None:
        """Add bytes as they came.

        Raises:
            FrameError: the first byte chooses no framing.
        """
        if self.framing is None and data:
            self.framing = _framing_of(data[0])
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """The oldest complete frame, without its length or line feed; None until more is fed.

        Raises:
            FrameError: it is longer than ``FRAME_BYTES``.
        """
        if self.framing is MSGPACK_FRAMES:
            return self._next_msgpack()
        while (line := self._next_line()) is not None:
            if line.strip():
                return line
        return None

    def rest(self) -> bytes | None:
        """What stands after the last line feed when the stream has ended: a JSON line need not be ended."""
        line = bytes(self._buffer).strip()
        self._buffer.clear()
        return line if line and self.framing is JSON_LINES else None

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if (end if end >= 0 else len(self._buffer)) > FRAME_BYTES:
            raise FrameError(f"a line is longer than {FRAME_BYTES} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _next_msgpack(self) -> bytes | None:
        if len(self._buffer) < 4:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if size > FRAME_BYTES:
            raise FrameError(f"a frame is longer than {FRAME_BYTES} bytes")
        if len(self._buffer) < 4 + size:
            return None
        frame = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return frame


def _framing_of(first: int) -> Framing:
    if first == 0:
        return MSGPACK_FRAMES
    if first in b"{[ \t\r\n":
        return JSON_LINES
    raise FrameError("neither JSON lines nor length-prefixed msgpack")


def _bounded(body: bytes) -> bytes:
    if len(body) > FRAME_BYTES:
        raise UsageError(f"the reply is longer than {FRAME_BYTES} bytes; ask for less with limit", name="TOO_LARGE")
    return body


def _no_constant(literal: str) -> NoReturn:
    raise ValueError(literal)


def _is_map(value: object) -> TypeGuard[dict[object, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def _revived(value: object, levels: int) -> object:
    if _is_map(value):
        inner = _one_less(levels)
        if value.keys() == {"$b64"}:
            return _from_base64(value["$b64"])
        return {key: _revived(item, inner) for key, item in value.items()}
    if _is_list(value):
        inner = _one_less(levels)
        return [_revived(item, inner) for item in value]
    return value


def _one_less(levels: int) -> int:
    if levels == 0:
        raise ParseError(f"nested deeper than {NESTING} levels")
    return levels - 1


def _from_base64(text: object) -> bytes:
    try:
        return binascii.a2b_base64(str(text), strict_mode=True)
    except ValueError as error:
        raise ParseError("$b64 does not hold base64") from error


def _without_bytes(value: object) -> object:
    if isinstance(value, bytes):
        return {"$b64": binascii.b2a_base64(value, newline=False).decode()}
    if _is_map(value):
        return {key: _without_bytes(item) for key, item in value.items()}
    if _is_list(value):
        return [_without_bytes(item) for item in value]
    return value


def _check_nesting(value: object) -> None:
    level: list[object] = [value]
    for _ in range(NESTING):
        level = [child for item in level for child in _children(item) if isinstance(child, dict | list)]
        if not level:
            return
    raise ParseError(f"nested deeper than {NESTING} levels")


def _children(item: object) -> Iterable[object]:
    if _is_map(item):
        return item.values()
    return item if _is_list(item) else ()
