"""Interfaces where the system tells less than Linux does to whoever may ask it."""

from __future__ import annotations

import builtins
import errno
import fcntl
import socket
import sys
from ipaddress import ip_interface
from typing import NoReturn

import ifaddr
import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.net.interfaces import OwnAddress, SystemInterfaces, own_addresses


def refuse(*_: object) -> None:
    raise PermissionError


async def looks_twice() -> float:
    with SystemInterfaces().watching() as wait:
        started = trio.current_time()
        await wait()
        await wait()
        return trio.current_time() - started


async def test_on_another_system_one_looks_every_two_seconds(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "another")
    assert await looks_twice() == pytest.approx(2 * limits.INTERFACES_POLL_S)


class Unbindable(socket.socket):
    """As where a container has no right to listen to the kernel."""

    def bind(self, address: object) -> None:
        raise PermissionError


@pytest.mark.parametrize("refusal", [refuse, Unbindable])
async def test_where_the_kernel_may_not_be_asked_too(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, refusal: object
) -> None:
    monkeypatch.setattr("p2pchat.net.interfaces.socket.socket", refusal)
    assert await looks_twice() == pytest.approx(2 * limits.INTERFACES_POLL_S)


def adapters(*names: str) -> list[ifaddr.Adapter]:
    ip = ifaddr.IP("192.168.1.7", 24, "")
    return [ifaddr.Adapter(name, name, [ip], index=index) for index, name in enumerate(names, 1)]


def test_an_interface_that_is_down_or_has_no_carrier_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {"up": 0x1 | 0x40, "down": 0x40, "loose": 0x1}

    def ioctl(_: object, __: int, request: bytes) -> bytes:
        name = request.partition(b"\0")[0].decode()
        if name not in flags:
            raise OSError
        return request[:16] + flags[name].to_bytes(2, sys.byteorder) + request[18:]

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters("up", "down", "loose", "unknown"))
    ip = ip_interface("192.168.1.7/24")
    assert list(own_addresses()) == [OwnAddress(1, ip), OwnAddress(4, ip)]


def test_no_routes_where_there_is_no_table_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "open", refuse)
    assert SystemInterfaces().read().routes == frozenset()


def test_no_repr_shows_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters("one"))
    assert "192" not in repr(SystemInterfaces().read())


def test_who_has_no_file_left_to_open_keeps_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = list(own_addresses())
    assert known

    def full(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "too many open files")

    for name in ("socket.socket", "ifaddr.get_adapters"):
        with monkeypatch.context() as patch:
            patch.setattr(f"p2pchat.net.interfaces.{name}", full)
            assert list(own_addresses()) == known
            assert SystemInterfaces().read().addresses == frozenset(known)
