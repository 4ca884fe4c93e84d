"""What a node asks of a relay: to be reached through it, and to reach another there (PROTOCOL.md 7.2).

Rules:

- No relay through a relay: neither is asked for over a relayed connection.
- A relay's word counts for nothing but the way: whom a circuit leads to, the handshake over it shows. Of the addresses
  that it says are its own only those are used that reach as far as the connection to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import circuit_wire as wire
from p2pchat.net import hearsay
from p2pchat.net.addresses import encode_endpoint, endpoint, varied
from p2pchat.net.multistream import encode_varint, read_exactly, read_varint
from p2pchat.net.transport import Network, Stream

HOP: Final = "/libp2p/circuit/relay/0.2.0/hop"
STOP: Final = "/libp2p/circuit/relay/0.2.0/stop"
_ADDRESSES_USED: Final = 2  # of one relay
_LIFE_S: Final = (120.0, 86_400.0)  # of a reservation, whatever the relay's clock says
_TALK_S: Final = 600
_TALK_BYTES: Final = 1024 * 1024
_REFUSED: Final = {
    wire.NO_RESERVATION: "The peer is not connected to the relay.",
    wire.CONNECTION_FAILED: "The peer did not answer its relay.",
    wire.RESOURCE_LIMIT_EXCEEDED: "The relay has no more circuits.",
}


@dataclass(frozen=True, slots=True)
class Granted:
    """A reservation at ``relay``, which answers at the IP literal ``host``.

    ``circuits``: where this node is reached through it; ``life_s``: for how many seconds; ``is_scant``: a circuit of it
    carries a moment's talk, enough to agree on a direct way.
    """

    relay: PeerId
    host: str | None = field(repr=False)
    circuits: tuple[Address, ...] = field(repr=False)
    life_s: float
    is_scant: bool = False


async def read_message(stream: Stream) -> bytes:
    """One message, without its length; nothing beyond it is read.

    Raises:
        DecodeError: its length is refused.
        NetError: the stream ended.
    """
    return await read_exactly(stream, await read_varint(stream, wire.MESSAGE_MAX_BYTES))


async def write_message(stream: Stream, message: bytes) -> None:
    """``message`` behind its length.

    Raises:
        NetError: see :meth:`~p2pchat.net.transport.Stream.write`.
    """
    await stream.write(encode_varint(len(message)) + message)


def is_reached_directly(network: Network, peer: PeerId) -> bool:
    """Whether there is a connection to ``peer`` that no relay carries."""
    return any(link.peer == peer and link.path != "relayed" for link in network.links())


async def reserve(network: Network, relay: PeerId, now_s: float) -> Granted:
    """Ask a connected relay to be reached through it, or to be so for longer.

    Args:
        now_s: unix seconds.

    Raises:
        NetError: it refuses, says nothing in time, or is of no use.
    """
    if not is_reached_directly(network, relay):
        raise NetError("A relay cannot be used through another.")
    stream = await network.open(relay, HOP)
    try:
        answer = await _ask(stream, wire.encode_reserve())
        granted = answer.reservation
        if answer.status != wire.OK or granted is None:
            raise NetError("The relay grants no reservation.")
        own = varied(hearsay.passing(stream.remote_host, granted.addresses), _ADDRESSES_USED)
        if not own:
            raise NetError("The relay does not say where it is.")
        life_s = min(max(granted.expire_s - now_s, _LIFE_S[0]), _LIFE_S[1])
        circuits = tuple(encode_endpoint(replace(endpoint(each), relay=relay)) for each in own)
        limit = answer.limit or wire.Limit(0, 0)
        is_scant = 0 < limit.duration_s < _TALK_S or 0 < limit.data_bytes < _TALK_BYTES
        return Granted(relay, stream.remote_host, circuits, life_s, is_scant)
    finally:
        await stream.reset()


async def lead_to(network: Network, peer: PeerId, address: Address) -> Stream:
    """A stream that leads, it is said, to ``peer`` through the relay which ``address`` names: to be adopted.

    Raises:
        NetError: the relay cannot be reached, or refuses.
    """
    end = endpoint(address)
    if end.relay is None or end.relay in (peer, network.peer_id):
        raise NetError("This is no way through a relay.")
    await network.dial(end.relay, [encode_endpoint(replace(end, relay=None))], from_port=True)
    if not is_reached_directly(network, end.relay):
        raise NetError("A relay cannot be used through another.")
    stream = await network.open(end.relay, HOP)
    try:
        answer = await _ask(stream, wire.encode_hop_connect(bytes(peer)))
        if answer.status != wire.OK:
            raise NetError(_REFUSED.get(answer.status, "The relay refuses."))
    except BaseException:
        await stream.reset()
        raise
    return stream


async def accept(network: Network, stream: Stream, is_own_relay: Callable[[PeerId], bool]) -> PeerId | None:
    """Serve :data:`STOP`: somebody connects to this node through a relay; who that is, or None: it is none of its own.

    Raises:
        NetError: nothing came of it; the stream is to be reset.
        DecodeError: the relay sent something else.
    """
    with _in_time(limits.STREAM_OPEN_S):
        wire.decode_stop_connect(await read_message(stream))
        if not is_own_relay(stream.peer):
            await write_message(stream, wire.encode_stop_status(wire.PERMISSION_DENIED))
            return None
        await write_message(stream, wire.encode_stop_status(wire.OK))
    return await network.adopt(stream, None)


async def _ask(stream: Stream, request: bytes) -> wire.HopStatus:
    with _in_time(limits.STREAM_OPEN_S):
        await write_message(stream, request)
        try:
            return wire.decode_hop_status(await read_message(stream))
        except DecodeError:
            raise NetError("The relay answered something else.") from None
    raise NetError("The relay did not answer in time.")  # never: _in_time has raised it


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise NetError("The relay did not answer in time.")
