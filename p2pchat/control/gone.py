"""Whether a client that has ended its half is there still: what it asked is answered, unless it has gone altogether.

Both look the same to whoever reads. The kernel tells them apart: a Unix socket whose other end is closed hangs up.
"""

from __future__ import annotations

import select

import trio


async def client_gone(connected: trio.socket.SocketType) -> None:
    """Returns when the other end is closed.

    Concurrency: it waits on an epoll of its own, where nothing but hanging up wakes it: trio would wake it for the end
    of the other half again and again.
    """
    with select.epoll() as hung_up:
        hung_up.register(connected.fileno(), 0)  # a hang-up is told whatever is asked for
        await trio.lowlevel.wait_readable(hung_up.fileno())
