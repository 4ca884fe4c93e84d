"""A network of its own, and every byte that crosses its loopback.

``python capture.py FILE`` makes a network namespace, records what crosses ``lo`` in it, and ends with its stdin;
``python capture.py --enter PID COMMAND…`` runs a command in that namespace. Both need root, and a kernel that lets it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

CLONE_NEWNET: Final = 0x40000000
ETH_P_ALL: Final = 3
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1
SO_RCVBUFFORCE: Final = 33
SOL_PACKET: Final = 263
PACKET_STATISTICS: Final = 6
PACKET_OUTGOING: Final = 4
NOT_ALLOWED: Final = 77
_LENGTH: Final = struct.Struct(">I")


class NotAllowed(Exception):
    """This user, or this kernel, cannot do that."""


class Capture:
    """A recording that runs.

    Raises:
        NotAllowed: no namespace can be made here, or nothing can be recorded in it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self._process.communicate()
            raise NotAllowed("needs root, to make a network namespace and to record in it")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def command(self) -> list[str]:
        """What runs the command behind it inside."""
        return [sys.executable, __file__, "--enter", str(self._process.pid)]

    def frames(self) -> list[bytes]:
        """End the recording; every frame, in order. The kernel must have dropped none."""
        out, _ = self._process.communicate(b"")
        assert json.loads(out)["dropped"] == 0
        data = self._file.read_bytes()
        frames: list[bytes] = []
        at = 0
        while at < len(data):
            (size,) = _LENGTH.unpack_from(data, at)
            frames.append(data[at + _LENGTH.size : at + _LENGTH.size + size])
            at += _LENGTH.size + size
        return frames


def streams(frames: list[bytes]) -> list[bytes]:
    """What each side of each TCP connection sent, and every other packet by itself."""
    sent: dict[bytes, list[bytes]] = defaultdict(list)
    for frame in frames:
        kind, packet = frame[12:14], frame[14:]
        if kind == b"\x08\x00" and packet[9] == socket.IPPROTO_TCP:
            segment = packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4], "big")]
            ends = packet[12:20]
        elif kind == b"\x86\xdd" and packet[6] == socket.IPPROTO_TCP:
            segment = packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
            ends = packet[8:40]
        else:
            sent[b"other"] += [frame, b"\n"]
            continue
        sent[ends + segment[:4]].append(segment[(segment[12] >> 4) * 4 :])
    return [b"".join(parts) for parts in sent.values()]


def _record(file: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        sys.exit(NOT_ALLOWED)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        tap.bind(("lo", 0))
    except OSError:
        sys.exit(NOT_ALLOWED)
    tap.setblocking(False)
    print("ready", flush=True)
    with tap, open(file, "wb") as out, selectors.DefaultSelector() as selector:
        selector.register(tap, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        ended = False
        while not ended:
            ended = any(key.fileobj is sys.stdin for key, _ in selector.select())
            _drain(tap, out.write)
        dropped = struct.unpack("II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    print(json.dumps({"dropped": dropped}))


def _drain(tap: socket.socket, write: Callable[[bytes], int]) -> None:
    while True:
        try:
            frame, address = tap.recvfrom(1 << 17)
        except BlockingIOError:
            return
        if address[2] == PACKET_OUTGOING:  # on the loopback every packet comes back in
            write(_LENGTH.pack(len(frame)) + frame)


def _enter(process: str, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{process}/ns/net", "rb") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            sys.exit(NOT_ALLOWED)
    os.execvp(command[0], command)  # noqa: S606  there is nothing for a shell to do


if __name__ == "__main__":
    if sys.argv[1] == "--enter":
        _enter(sys.argv[2], sys.argv[3:])
    else:
        _record(sys.argv[1])
