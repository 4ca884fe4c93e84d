"""Noise without what the library does around it: the encrypted connection that Yamux reads and writes (guard 24).

Rules:

- One task reads, one at a time writes, as the muxer sees to; a message that was encrypted is written whole, since both
  ends count them: TCP finishes it (:class:`~.tcp.TcpStream`), a relayed link has room before (:class:`~.relayed`).
- What is decrypted stands in one buffer. Before a read that begins a frame, whoever muxes may take what it understands
  from the front of it, without a task being woken for each part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, cast

from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession

from p2pchat.core.access import FORWARDED
from p2pchat.net.tcp import TcpStream

_LENGTH_BYTES: Final = 2


class LeanSession(SecureSession):
    """The result of a Noise handshake over a :class:`TcpStream`.

    Args:
        session: what the library has made of it; not to be used any more.

    ``take`` is called with the decrypted bytes that nobody has read before a frame is; it removes what it takes.
    """

    def __init__(self, session: SecureSession) -> None:
        super().__init__(
            local_peer=session.local_peer,
            local_private_key=session.local_private_key,
            remote_peer=session.remote_peer,
            remote_permanent_pubkey=session.remote_permanent_pubkey,
            is_initiator=session.is_initiator,
            conn=session.conn,
        )
        self.take: Callable[[bytearray], None] | None = None
        self._noise = cast(NoiseTransportReadWriter, session.conn)
        self._tcp = cast(TcpStream, cast(RawConnection, self._noise.read_writer.read_write_closer).stream)
        self._plain = bytearray()
        # Through a relay a message may have to wait for the one before: not when it is encrypted, and so counted.
        self._room: Callable[[], Awaitable[None]] | None = getattr(self._tcp, "room", None)

    @property
    def local_port(self) -> int | None:
        """The port of this end; None where there is none, through a relay."""
        return getattr(self._tcp, "local_port", None)

    @property
    def relay(self) -> bytes | None:
        """The prefix of the relay that carries it; None: none does."""
        return getattr(self._tcp, "relay", None)

    @property
    def host(self) -> str | None:
        """The IP literal at the other end, as :meth:`~p2pchat.core.access.Access.may_meet` has it."""
        remote = self._tcp.get_remote_address()
        if remote is not None:
            return remote[0]
        return FORWARDED if self.relay is None else None

    async def read(self, n: int | None = None) -> bytes:
        """Exactly ``n`` bytes from where a frame begins, or what is there if ``n`` is None.

        Raises:
            ConnectionClosedError: the connection ended.
            Exception: a message does not decrypt; the library's, of no one kind.
        """
        while True:
            if self.take is not None and self._plain:
                self.take(self._plain)
            if len(self._plain) >= (1 if n is None else n):
                return self._pop(n)
            await self._read_message()

    async def read_body(self, n: int) -> bytes:
        """Exactly ``n`` bytes of a frame whose head was read. Raises as :meth:`read`."""
        while len(self._plain) < n:
            await self._read_message()
        return self._pop(n)

    async def write(self, data: bytes) -> None:
        """Encrypt and hand over all of ``data``.

        Raises:
            ConnectionClosedError: the connection is closed or broke.
        """
        for start in range(0, len(data), MAX_PLAINTEXT_LENGTH):
            if self._room is not None:
                await self._room()
            sealed = self._noise.encrypt(data[start : start + MAX_PLAINTEXT_LENGTH])
            await self._tcp.write(len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed)

    async def _read_message(self) -> None:
        length = int.from_bytes(await self._tcp.read(_LENGTH_BYTES), "big")
        self._plain += self._noise.decrypt(await self._tcp.read(length))

    def _pop(self, n: int | None) -> bytes:
        data = bytes(self._plain[:n])
        del self._plain[:n]
        return data
