"""Whether a client that has ended its half is there still: what it asked is answered, unless it has gone altogether.

Both look the same to whoever reads. The kernel tells them apart: a Unix socket whose other end is closed hangs up.
"""

from __future__ import annotations

from select import epoll
from typing import Final

import trio

_AGAIN_S: Final = 5.0
"""Until it is tried again to look, where the process has no descriptor left for that."""


async def client_gone(connected: trio.socket.SocketType) -> None:
    """Returns when the other end is closed.

    Concurrency: it waits on an epoll of its own, where nothing but hanging up wakes it: trio would wake it for the end
    of the other half again and again.
    """
    while (hung_up := _epoll()) is None:  # noqa: ASYNC110  nobody tells that there are descriptors again
        await trio.sleep(_AGAIN_S)
    with hung_up:
        hung_up.register(connected.fileno(), 0)  # a hang-up is told whatever is asked for
        await trio.lowlevel.wait_readable(hung_up.fileno())


def _epoll() -> epoll | None:
    try:
        return epoll()
    except OSError:  # who is there must not be cut off for that
        return None
