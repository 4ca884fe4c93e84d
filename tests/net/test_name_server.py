"""A name is asked for as this machine's resolver asks: over UDP, of a name server on loopback."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import dns.message
import dns.resolver
import dns.rrset
import pytest
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.net.dnsaddr import system_texts

pytestmark = pytest.mark.net

NAME = "_dnsaddr.example.org"


@asynccontextmanager
async def name_server(monkeypatch: pytest.MonkeyPatch, texts: Sequence[str] | None) -> AsyncGenerator[None]:
    """Answers every question with ``texts``, each as the zone file has it; None: with nothing at all."""
    resolver = dns.resolver.Resolver(configure=False)
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))
        resolver.nameservers, resolver.port = ["127.0.0.1"], sock.getsockname()[1]
        monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver)

        async def serve() -> None:
            while True:
                data, client = await sock.recvfrom(4_096)
                answer = dns.message.make_response(dns.message.from_wire(data))
                if texts is not None:
                    answer.answer = [dns.rrset.from_text(f"{NAME}.", 60, "IN", "TXT", *texts)]
                    await sock.sendto(answer.to_wire(), client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield
            nursery.cancel_scope.cancel()


async def test_the_records_of_a_name_come_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    async with name_server(monkeypatch, ['"dnsaddr=/ip4/192.0.2.1" "/tcp/4001/p2p/x"', "v=spf1"]):
        assert sorted(await system_texts(NAME)) == ["dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/x", "v=spf1"]


async def test_a_name_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DNS_S", 0.3)
    async with name_server(monkeypatch, None):
        with pytest.raises(NetError):
            await system_texts(NAME)
