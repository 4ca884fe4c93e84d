"""The link between the two: TCP through a relay that can be cut and healed.

A *silent* cut is a cable that was pulled: nothing passes and nobody is told; what was on its way arrives when it is
healed, as after the kernel's retransmission. A *loud* one resets every connection and each that is begun meanwhile.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

HOST: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time


def free_port() -> int:
    """One of loopback that nobody has."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


class Relay:
    """A port before each port that :meth:`stand_before` was asked for."""

    def __init__(self) -> None:
        self.carried_bytes = 0
        self.cuts = 0
        self._whole = threading.Event()
        self._whole.set()
        self._loud = False
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()
        self._end_all()

    @property
    def whole(self) -> bool:
        """Whether it is not cut."""
        return self._whole.is_set()

    def stand_before(self, port: int) -> int:
        """The port through which ``port`` is reached from now on."""
        listener = socket.create_server((HOST, 0))
        self._listeners.append(listener)
        self._begin(self._accept, listener, port)
        return int(listener.getsockname()[1])

    def cut(self, *, loud: bool) -> None:
        """Let nothing pass."""
        self._loud = loud
        self._whole.clear()
        self.cuts += 1
        if loud:
            self._end_all(_RESET)

    def heal(self) -> None:
        """Let everything pass, and what was held."""
        self._loud = False
        self._whole.set()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with suppress(OSError):  # closed: the relay is at its end
            while True:
                near = self._known(listener.accept()[0])
                self._begin(self._join, near, port)

    def _join(self, near: socket.socket, port: int) -> None:
        if self._loud:
            self._end(near, _RESET)
            return
        self._whole.wait()
        try:
            far = self._known(socket.create_connection((HOST, port)))
        except OSError:  # nobody listens: the daemon was killed
            self._end(near, _RESET)
            return
        if self._loud:  # cut meanwhile, when this end was not known yet
            self._end(near, _RESET)
            self._end(far, _RESET)
            return
        self._begin(self._carry, near, far)
        self._begin(self._carry, far, near)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        """All bytes of one direction; whatever ends it ends the other one, too."""
        with suppress(OSError):  # one of the two went away, or a loud cut
            while data := source.recv(_CHUNK_BYTES):
                self._whole.wait()
                sink.sendall(data)
                self.carried_bytes += len(data)
        self._whole.wait()
        self._end(source)
        self._end(sink)

    def _known(self, sock: socket.socket) -> socket.socket:
        with self._lock:
            self._sockets.add(sock)
        return sock

    def _end(self, sock: socket.socket, linger: bytes | None = None) -> None:
        with self._lock:
            self._sockets.discard(sock)
        with suppress(OSError):  # it is closed already
            if linger is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.shutdown(socket.SHUT_RDWR)  # wakes the threads that read and write it
            sock.close()

    def _end_all(self, linger: bytes | None = None) -> None:
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            self._end(sock, linger)
