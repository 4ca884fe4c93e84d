"""Bends the world of one daemon: the time of day, its disk, where its dials lead, and with whom it dies.

Python imports this at its start where the folder is on PYTHONPATH. ``BENT_CLOCK`` names a file of 8 bytes, the
seconds by which the clock is ahead, looked up whenever somebody asks for the time. ``BENT_DISK`` names one of 16: the
milliseconds that every commit takes longer, and how many did, which is counted there. ``BENT_DIALS`` says which port is
meant by which (``4001=5001 4002=5002``). ``BENT_WAY`` is a network and a host in it (``127.9 12``): whoever is meant by
127.9.X.any is reached at 127.9.X.12, where :mod:`chaos.link` stands. ``BENT_PARENT`` is the process with which this one
ends, whatever ends it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
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


def bend_disk(path: str) -> None:
    """Let whatever SQLCipher makes durable take as much longer as ``path`` says, half of it before and half after: who
    is killed meanwhile has not stored it, or has and told nobody. Only the thread that commits waits."""
    import sqlcipher3.dbapi2 as driver  # loaded by whoever has a disk to bend

    with open(path, "r+b") as file:
        late = mmap.mmap(file.fileno(), 16)
    true_connect = driver.connect

    class Connection(driver.Connection):
        def execute(self, sql: str, *parameters: Any) -> Any:  # noqa: ANN401  the driver's own
            late_ms, waited = struct.unpack("<qq", late[:])
            if not late_ms or not sql.startswith(("COMMIT", "PRAGMA wal_checkpoint")):
                return super().execute(sql, *parameters)
            late[8:] = struct.pack("<q", waited + 1)
            time.sleep(late_ms / 2_000)
            done = super().execute(sql, *parameters)
            time.sleep(late_ms / 2_000)
            return done

    def connect(*place: Any, **how: Any) -> Any:  # noqa: ANN401  the driver's own
        return true_connect(*place, factory=Connection, **how)

    driver.connect = connect


def bend_dials(meant: Callable[[str, int], tuple[str, int]]) -> None:
    """Connect to what ``meant`` makes of a host and a port."""
    true_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:  # noqa: ANN401  whatever the family takes
        true_connect(self, meant(*address) if self.family == socket.AF_INET else address)

    socket.socket.connect = connect  # type: ignore[method-assign,assignment]


def other_ports(ports: dict[int, int]) -> Callable[[str, int], tuple[str, int]]:
    """Another port of the same host, in place of those that ``ports`` has."""
    return lambda host, port: (host, ports.get(port, port))


def other_hosts(network: str, way: str) -> Callable[[str, int], tuple[str, int]]:
    """The host ``way`` of the same third octet, in place of each in ``network``, the first two octets."""

    def meant(host: str, port: int) -> tuple[str, int]:
        if host.startswith(f"{network}."):
            host = f"{host.rpartition('.')[0]}.{way}"
        return host, port

    return meant


if "BENT_CLOCK" in os.environ:
    bend_clock(os.environ["BENT_CLOCK"])
if "BENT_DISK" in os.environ:
    bend_disk(os.environ["BENT_DISK"])
if "BENT_DIALS" in os.environ:
    pairs = (pair.split("=") for pair in os.environ["BENT_DIALS"].split())
    bend_dials(other_ports({int(asked): int(meant) for asked, meant in pairs}))
if "BENT_WAY" in os.environ:
    bend_dials(other_hosts(*os.environ["BENT_WAY"].split()))
if os.environ.get("BENT_PARENT") == str(os.getppid()):  # not the daemon's own children, which inherit the environment
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
