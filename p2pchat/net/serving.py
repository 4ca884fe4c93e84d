"""What becomes of a stream whose handler ends: the same for every implementation of the network.

A handler that returns has its stream closed unless somebody has adopted it, one that raises has it reset, and nothing
but cancellation goes further. What the peer sends after that is dropped for a while.
The log gets the class name of the error and four digits of the PeerID; NetError, which is the weather, gets no line.
"""

from __future__ import annotations

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, PeerError
from p2pchat.base.ids import PeerId
from p2pchat.net.transport import Stream, StreamHandler

log = structlog.get_logger()


async def run_handler(handler: StreamHandler, stream: Stream) -> bool:
    """Run ``handler`` to its end; whether the stream was closed, neither reset nor adopted."""
    try:
        await handler(stream)
    except Exception as error:  # a handler's fault or its peer's ends the stream, never the node
        report(stream.peer, error)
        await stream.reset()
        return False
    except BaseException:
        await stream.reset()
        raise
    if stream.is_adopted:
        return False
    await stream.close()
    return True


async def drain(stream: Stream) -> None:
    """After the end of our side wait ``limits.LINGER_S`` for the peer's, dropping what it still sends; then reset."""
    with trio.move_on_after(limits.LINGER_S):
        try:
            while await stream.read(limits.STREAM_READ_BYTES):
                pass
        except NetError:
            pass  # it was reset, or its connection lost: an end like any other
        return
    await stream.reset()


def report(peer: PeerId, error: Exception) -> None:
    """Log what ended a stream: a peer's misbehaviour as information, anything unexpected as a warning."""
    if isinstance(error, NetError):
        return
    write = log.info if isinstance(error, (PeerError, trio.TooSlowError)) else log.warning
    write("stream.failed", error=type(error).__name__, peer=peer)
