"""multistream-select on a stream: agree on its one protocol. Source: the multistream-select 1.0.0 specification.

::

    message   varint length ‖ text ‖ "\\n"            length counts the newline, at most limits.NEGOTIATION_BYTES
    opener    /multistream/1.0.0   PROTOCOL           both at once, so an open costs one round trip
    acceptor  /multistream/1.0.0   PROTOCOL | na      na: the opener may propose another, at most _PROPOSALS in all

Upstream's own reads a length of any size into memory and answers "ls" with everything this node serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError, UnsupportedProtocol
from p2pchat.net.transport import Stream

_HELLO: Final = "/multistream/1.0.0"
_NO: Final = "na"
_PROPOSALS: Final = 16


async def propose(stream: Stream, protocol: str) -> None:
    """Ask the peer to speak ``protocol`` on a stream that this node has opened.

    Raises:
        UnsupportedProtocol: it does not.
        NetError: the stream ended, or the answer is none.
    """
    await stream.write(encode_line(_HELLO) + encode_line(protocol))
    try:
        if await _read(stream) != _HELLO:
            raise DecodeError("not multistream")
        answer = await _read(stream)
    except DecodeError:
        raise NetError("The peer did not negotiate a protocol.") from None
    if answer == _NO:
        raise UnsupportedProtocol("The peer does not speak this protocol.")
    if answer != protocol:
        raise NetError("The peer agreed to another protocol than it was asked for.")


async def choose(stream: Stream, serves: Callable[[str], bool]) -> str:
    """Agree on a protocol for a stream that the peer has opened.

    Raises:
        DecodeError: the peer sent something else than a negotiation, or proposed too much.
        NetError: the stream ended.
    """
    await stream.write(encode_line(_HELLO))
    if await _read(stream) != _HELLO:
        raise DecodeError("A stream began with something else than a negotiation.")
    for _ in range(_PROPOSALS):
        protocol = await _read(stream)
        if serves(protocol):
            await stream.write(encode_line(protocol))
            return protocol
        await stream.write(encode_line(_NO))
    raise DecodeError("A peer proposed too many protocols.")


def encode_line(text: str) -> bytes:
    """One message of a negotiation."""
    body = text.encode() + b"\n"
    return encode_varint(len(body)) + body


async def _read(stream: Stream) -> str:
    length = await read_varint(stream, limits.NEGOTIATION_BYTES)
    body = await read_exactly(stream, length)
    if body[-1:] != b"\n":
        raise DecodeError("A negotiation message does not end in a newline.")
    try:
        return body[:-1].decode()
    except UnicodeDecodeError:
        raise DecodeError("A negotiation message is no text.") from None


def encode_varint(value: int) -> bytes:
    """An unsigned LEB128 number."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + encode_varint(value >> 7)


async def read_varint(stream: Stream, most: int) -> int:
    """Read an unsigned LEB128 number from 1 to ``most`` (below 2^21), byte by byte from what is buffered.

    Raises:
        DecodeError: it is outside of that.
        NetError: the stream ended.
    """
    value = 0
    for shift in (0, 7, 14):
        byte = (await read_exactly(stream, 1))[0]
        value |= (byte & 127) << shift
        if byte < 128:
            if not 1 <= value <= most:
                raise DecodeError("A length is out of bounds.")
            return value
    raise DecodeError("A length is out of bounds.")


async def read_exactly(stream: Stream, count: int) -> bytes:
    """Read ``count`` bytes.

    Raises:
        NetError: the stream ended before.
    """
    data = b""
    while len(data) < count:
        chunk = await stream.read(count - len(data))
        if not chunk:
            raise NetError("The stream ended too early.")
        data += chunk
    return data
