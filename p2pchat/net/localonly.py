"""A listening socket that answers nobody beyond the local network, not even by the kernel's word.

What has to be known of who connects is known at accept, but by then the kernel has answered: a packet has left, and who
knocked knows that something listens. A classic BPF filter on the socket drops the first packet instead. On systems
without such filters the connection is closed at accept.

Source: https://www.kernel.org/doc/html/latest/networking/filter.html
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import trio

from p2pchat.core.access import LOCAL, Network

_ATTACH: Final = 26  # SO_ATTACH_FILTER and SO_DETACH_FILTER, which Python does not name
_DETACH: Final = 27
_FROM_IP_HEADER: Final = 0xFFF0_0000  # SKF_NET_OFF: what follows counts from the IP header, not from that of TCP
_SOURCE_AT: Final = {4: 12, 6: 8}
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUALS: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_ALL: Final = 0xFFFF_FFFF
_INSTRUCTION: Final = struct.Struct("HBBI")
_WORD_BITS: Final = 32


def keep_local(listener: trio.SocketListener, *, is_on: bool) -> None:
    """Have a listening socket answer local addresses alone, or everybody again. Does nothing but on Linux."""
    if sys.platform != "linux":
        return
    with suppress(OSError):  # none was attached, or a kernel without them: whoever comes is closed at accept
        if not is_on:
            listener.socket.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
            return
        version = 4 if listener.socket.family == socket.AF_INET else 6
        code = program(network for network in LOCAL if network.version == version)
        buffer = ctypes.create_string_buffer(code, len(code))
        count = len(code) // _INSTRUCTION.size
        head = struct.pack("HP", count, ctypes.addressof(buffer))  # struct sock_fprog
        listener.socket.setsockopt(socket.SOL_SOCKET, _ATTACH, head)


def program(networks: Iterable[Network]) -> bytes:
    """A filter that takes packets from ``networks``, which are of one version, and drops all others."""
    code: list[tuple[int, int, int, int]] = []
    for network in networks:
        words = range(-(-network.prefixlen // _WORD_BITS))
        for word in words:
            mask, value = (_word(int(number), network, word) for number in (network.netmask, network.network_address))
            otherwise = 3 * (len(words) - word - 1) + 1  # past the rest of this network, and its return
            at = _FROM_IP_HEADER + _SOURCE_AT[network.version] + 4 * word
            code += [(_LOAD, 0, 0, at), (_AND, 0, 0, mask), (_EQUALS, 0, otherwise, value)]
        code.append((_RETURN, 0, 0, _ALL))
    code.append((_RETURN, 0, 0, 0))
    return b"".join(_INSTRUCTION.pack(*each) for each in code)


def _word(number: int, network: Network, word: int) -> int:
    return number >> network.max_prefixlen - _WORD_BITS * (word + 1) & _ALL
