"""Decoders of what is said about reaching a node: by peers, and by the router."""

from __future__ import annotations

from typing import Final

from p2pchat.base.errors import DecodeError
from p2pchat.core import autonat, holepunch, natpmp
from p2pchat.net.addresses import from_socket
from p2pchat.net.autonat import own_addresses
from p2pchat.net.dcutr import believed
from p2pchat.net.gateway import parse_routes
from tests.fuzz.decoders.target import Target, text_of

_HOST: Final = "12.0.0.1"
_ADDRESSES: Final = tuple(bytes(from_socket(host, 4001)) for host in (_HOST, "12.0.0.2", "192.168.1.2", "2a00::1"))
_PORT: Final = 4001
_ROUTE: Final = "Iface\teth0\neth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\n"


def _question(data: bytes) -> None:
    dial = autonat.decode_dial(data)
    if len(own_addresses(_HOST, dial.addresses)) > 2:
        raise AssertionError("too many addresses would be dialled")
    if autonat.decode_dial(autonat.encode_dial(dial.peer, dial.addresses)) != dial:
        raise AssertionError("a question is another one when it is written again")


def _answer(data: bytes) -> None:
    answer = autonat.decode_answer(data)
    if autonat.decode_answer(autonat.encode_answer(answer)) != answer:
        raise AssertionError("an answer is another one when it is written again")


def _holepunch(data: bytes) -> None:
    if len(believed(holepunch.decode(data, holepunch.CONNECT))) > 4:
        raise AssertionError("too many addresses would be knocked at")


def _router(data: bytes) -> None:
    if natpmp.is_answer(data, 0):
        natpmp.read_address(data)
    else:
        natpmp.read_mapping(data, _PORT)


def _routers() -> list[bytes]:
    mapped = b"\0\x82\0\0" + bytes(4) + _PORT.to_bytes(2, "big") * 2 + (3600).to_bytes(4, "big")
    return [b"\0\x80\0\0" + bytes(4) + bytes([12, 0, 0, 9]), mapped]


def _routes(data: bytes) -> None:
    parse_routes(text_of(data))


def _answers() -> list[bytes]:
    answers = autonat.DialAnswer(autonat.OK, _ADDRESSES[0]), autonat.DialAnswer(autonat.DIAL_ERROR)
    return list(map(autonat.encode_answer, answers))


TARGETS: Final = (
    Target("autonat-question", _question, (DecodeError,), lambda: [autonat.encode_dial(bytes(38), _ADDRESSES)]),
    Target("autonat-answer", _answer, (DecodeError,), _answers),
    Target("holepunch", _holepunch, (DecodeError,), lambda: [holepunch.encode(holepunch.CONNECT, _ADDRESSES)]),
    Target("nat-pmp", _router, (DecodeError,), _routers, 1_100),
    Target("routes", _routes, (), lambda: [_ROUTE.encode(), (_ROUTE * 2).encode()]),
)
