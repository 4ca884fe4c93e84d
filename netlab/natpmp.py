"""The home router's NAT-PMP: what it answers. Source: RFC 6886."""

from __future__ import annotations

import struct
from typing import Final

from netlab.nat import Nat
from netlab.packets import TCP, UDP

PORT: Final = 5351

_VERSION: Final = 0
_ANSWER: Final = 128
_PROTOCOLS: Final = {1: UDP, 2: TCP}
_OK, _BAD_VERSION, _BAD_OPCODE = 0, 1, 5
_SHORTEST_BYTES, _MAP_BYTES = 2, 12


def answer(request: bytes, sender: bytes, nat: Nat, epoch_s: int, now: float) -> bytes | None:
    """The reply to one datagram; None: it deserves none.

    Args:
        sender: the 4 bytes of the address that it came from: nobody opens a port for another host.
        epoch_s: since when the router has its mappings, in whole seconds.
    """
    if len(request) < _SHORTEST_BYTES or request[1] >= _ANSWER:
        return None
    version, opcode = request[0], request[1]
    if version != _VERSION:
        return _head(opcode, _BAD_VERSION, epoch_s)
    if opcode == 0:
        return _head(opcode, _OK, epoch_s) + nat.outside
    if opcode not in _PROTOCOLS or len(request) < _MAP_BYTES:
        return _head(opcode, _BAD_OPCODE, epoch_s)
    inside_port, wanted, lifetime_s = struct.unpack_from("!HHI", request, 4)
    protocol = _PROTOCOLS[opcode]
    if lifetime_s == 0:
        nat.close(protocol, sender, inside_port)
        port = 0
    else:
        port = nat.open(protocol, sender, inside_port, wanted, lifetime_s, now)
    return _head(opcode, _OK, epoch_s) + struct.pack("!HHI", inside_port, port, lifetime_s)


def _head(opcode: int, result: int, epoch_s: int) -> bytes:
    return struct.pack("!BBHI", _VERSION, _ANSWER | opcode, result, epoch_s)
