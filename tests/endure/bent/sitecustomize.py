"""Bends the world of one daemon: the time of day, where its dials lead, and with whom it dies.

Python imports this at its start where the folder is on PYTHONPATH. ``ENDURE_CLOCK`` names a file of 8 bytes, the
seconds by which the clock is ahead, looked up whenever somebody asks for the time. ``ENDURE_DIALS`` says which port is
meant by which (``4001=5001 4002=5002``). ``ENDURE_PARENT`` is the process with which this one ends, whatever ends it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import struct
import time
from typing import Any

_PR_SET_PDEATHSIG = 1


def bend_clock(path: str) -> None:
    """Let the time of day be as far from the true one as ``path`` says; what measures spans stays."""
    with open(path, "rb") as file:
        ahead = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    true_s, true_ns = time.time, time.time_ns

    def ahead_s() -> int:
        return int(struct.unpack("<q", ahead[:])[0])

    time.time = lambda: true_s() + ahead_s()
    time.time_ns = lambda: true_ns() + ahead_s() * 1_000_000_000


def bend_dials(ports: dict[int, int]) -> None:
    """Connect to another port of the same host, in place of those that ``ports`` has."""
    true_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:  # noqa: ANN401  whatever the family takes
        if self.family == socket.AF_INET:
            address = (address[0], ports.get(address[1], address[1]))
        true_connect(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign,assignment]


if "ENDURE_CLOCK" in os.environ:
    bend_clock(os.environ["ENDURE_CLOCK"])
if "ENDURE_DIALS" in os.environ:
    pairs = (pair.split("=") for pair in os.environ["ENDURE_DIALS"].split())
    bend_dials({int(asked): int(meant) for asked, meant in pairs})
if os.environ.get("ENDURE_PARENT") == str(os.getppid()):  # not the daemon's own children, which inherit the environment
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
