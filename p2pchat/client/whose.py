"""Whose process a client talks to: nothing is sent to another user's.

Where somebody else may write into the directory in which the socket should be, they could put one of their own there,
and would be given texts and passphrases. The kernel says who listens, as it says to the daemon who connects.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from p2pchat.api.errors import ApiError

_CREDENTIALS: Final = struct.Struct("3i")


def refuse_others(connected: socket.socket) -> None:
    """Nothing, if this user listens at the other end, or root; root itself may talk to anybody.

    Args:
        connected: to a Unix socket.

    Raises:
        ApiError: FORBIDDEN, it is another user.
    """
    if os.geteuid() == 0:
        return
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(raw)
    if uid not in (os.geteuid(), 0):
        raise ApiError("FORBIDDEN", "What answers on the socket is another user's; nothing was sent to it.")
