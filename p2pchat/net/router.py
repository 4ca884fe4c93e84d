"""Asking the router for a port: NAT-PMP here, UPnP in :mod:`~.upnp`; what both have in common.

Rules:

- Only the gateway is asked, by a socket that takes datagrams of nobody else.
- A router that does not answer is given up after four questions, 3.75 s in all.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from p2pchat.base.errors import DecodeError, NetError
from p2pchat.core import natpmp

LIFETIME_S: Final = 3_600
_WAITS_S: Final = (0.25, 0.5, 1.0, 2.0)
_ADDRESS_OPCODE: Final = 0
_MAPPING_OPCODE: Final = 2


@dataclass(frozen=True, slots=True)
class Mapped:
    """``host`` and ``port`` on the router's other side lead to this node, for ``lifetime_s``."""

    host: str = field(repr=False)
    port: int = field(repr=False)
    lifetime_s: float


class PortTakenError(NetError):
    """The router has refused this port; another one may do."""


class Router(Protocol):
    """A way to ask."""

    async def map(self, gateway: str, host: str, port: int, wanted: int) -> Mapped:
        """Have the router lead a port of its other side here, or go on to.

        Args:
            gateway: its IPv4 literal.
            host, port: where this node listens.
            wanted: the port on the other side, if it is to be had.

        Raises:
            PortTakenError: not to this port.
            NetError: it does not.
        """
        ...

    async def unmap(self, gateway: str, port: int, external_port: int) -> None:
        """End that.

        Raises:
            NetError: it does not say that it has.
        """
        ...


class NatPmp(Router):
    """Source: RFC 6886.

    Args:
        server_port: where the router listens.
    """

    def __init__(self, server_port: int = natpmp.PORT) -> None:
        self._server_port = server_port

    async def map(self, gateway: str, host: str, port: int, wanted: int) -> Mapped:  # noqa: ARG002
        """See :class:`Router`; the router goes by the sender's address."""
        asked = natpmp.ask_mapping(natpmp.Mapping(port, wanted, LIFETIME_S))
        try:
            external = natpmp.read_address(await self._ask(gateway, natpmp.ask_address(), _ADDRESS_OPCODE))
            mapping = natpmp.read_mapping(await self._ask(gateway, asked, _MAPPING_OPCODE), port)
        except DecodeError:
            raise NetError("The router has refused to map a port.") from None
        if not mapping.lifetime_s:
            raise NetError("The router has ended a mapping instead of making it.")
        return Mapped(external, mapping.external_port, mapping.lifetime_s)

    async def unmap(self, gateway: str, port: int, external_port: int) -> None:  # noqa: ARG002
        """See :class:`Router`; the router knows the mapping by the port here."""
        await self._ask(gateway, natpmp.ask_mapping(natpmp.Mapping(port, 0, 0)), _MAPPING_OPCODE)

    async def _ask(self, gateway: str, question: bytes, opcode: int) -> bytes:
        try:
            with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                await sock.connect((gateway, self._server_port))
                for wait_s in _WAITS_S:
                    await sock.send(question)
                    with trio.move_on_after(wait_s):
                        while True:
                            answer = await sock.recv(natpmp.ANSWER_MAX_BYTES)
                            if natpmp.is_answer(answer, opcode):
                                return answer
        except OSError:
            pass  # nothing listens there, or no way leads there: the same to the caller as no answer
        raise NetError("The router does not answer.")
