"""Names that tell of nodes; nothing here asks a name server."""

from __future__ import annotations

from collections.abc import Sequence

import dns.resolver
import pytest
import trio
from dns.exception import DNSException
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UsageError
from p2pchat.net.addresses import format_peer_id, parse_address, peer_id_from_key
from p2pchat.net.dnsaddr import DnsName, Entry, NodeAddress, parse_entry, resolved, system_texts

ONE, TWO = (peer_id_from_key(bytes([number]) * 32) for number in (1, 2))
P1, P2 = format_peer_id(ONE), format_peer_id(TWO)
RSA = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"
A4, A6 = parse_address("/ip4/192.0.2.1/tcp/4001")[0], parse_address("/ip6/2001:db8::1/tcp/4001")[0]


class Zone:
    """TXT records by name; ``asked``: every look-up."""

    def __init__(self, **records: Sequence[str]) -> None:
        self._records = {name.replace("_", "."): tuple(texts) for name, texts in records.items()}
        self.asked: list[str] = []

    async def texts(self, name: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append(name)
        name = name.removeprefix("_dnsaddr.")
        if name not in self._records:
            raise NetError("The name is not known.")
        return [f"dnsaddr={text}" for text in self._records[name]]

    async def lead(self, *entries: str) -> list[NodeAddress]:
        return await resolved([parse_entry(text) for text in entries], self.texts)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("/dnsaddr/example.org", DnsName("example.org")),
        ("/dnsaddr/Example.ORG.", DnsName("example.org")),
        (f"/dnsaddr/a-b.example/p2p/{P1}", DnsName("a-b.example", ONE)),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{P1}", (ONE, (A4,))),
    ],
)
def test_an_entry_is_read(text: str, entry: Entry) -> None:
    assert parse_entry(text) == entry


@pytest.mark.parametrize(
    "text",
    [
        *("/dnsaddr/", "/dnsaddr/a b", "/dnsaddr/a/p2p/", "/dnsaddr/a/p2p/x", "/dnsaddr/-a", "/dnsaddr/a/tcp/4001"),
        *(f"/dnsaddr/a/p2p/{P1}/p2p/{P1}", "/dnsaddr/" + "a" * 64, "/ip4/192.0.2.1/tcp/4001", "example.org", ""),
    ],
)
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_entry(text)


async def test_a_name_tells_of_nodes_each_once_with_what_can_be_dialled() -> None:
    zone = Zone(
        example_org=(
            f"/ip4/192.0.2.1/tcp/4001/p2p/{P1}",
            f"/ip6/2001:db8::1/tcp/4001/p2p/{P1}",
            f"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/{P1}",
            f"/dns/x.example/tcp/443/wss/p2p/{P2}",
            "/ip4/192.0.2.2/tcp/4001",
            f"/ip4/0.0.0.0/tcp/4001/p2p/{P2}",
            "junk",
            f"/dns4/x.example/tcp/4001/p2p/{RSA}",
        )
    )
    found = await zone.lead("/dnsaddr/example.org", f"/ip4/192.0.2.1/tcp/4001/p2p/{P2}")
    by_peer = {format_peer_id(peer): addresses for peer, addresses in found}
    assert by_peer == {P2: (A4,), P1: (A4, A6), RSA: (parse_address("/dns4/x.example/tcp/4001")[0],)}
    assert zone.asked == ["_dnsaddr.example.org"]


async def test_names_lead_to_names_and_a_peer_id_behind_one_leaves_its_own() -> None:
    zone = Zone(
        example_org=(f"/dnsaddr/one.example.org/p2p/{P1}", f"/dnsaddr/two.example.org/p2p/{P2}"),
        one_example_org=(f"/ip4/192.0.2.1/tcp/4001/p2p/{P1}", f"/ip6/2001:db8::1/tcp/4001/p2p/{P2}"),
        two_example_org=(f"/ip6/2001:db8::1/tcp/4001/p2p/{P2}",),
    )
    assert await zone.lead("/dnsaddr/example.org") == [(ONE, (A4,)), (TWO, (A6,))]
    assert await zone.lead(f"/dnsaddr/example.org/p2p/{P2}") == [(TWO, (A6,))]


async def test_a_name_that_leads_nowhere_hides_no_other() -> None:
    zone = Zone(b=(f"/ip4/192.0.2.1/tcp/4001/p2p/{P1}",))
    assert await zone.lead("/dnsaddr/a", "/dnsaddr/b") == [(ONE, (A4,))]
    assert await zone.lead("/dnsaddr/a") == []


async def test_circles_depth_and_breadth_have_an_end() -> None:
    circle = Zone(a=("/dnsaddr/b",), b=("/dnsaddr/a",))
    assert await circle.lead("/dnsaddr/a") == []
    assert circle.asked == ["_dnsaddr.a", "_dnsaddr.b"]
    deep = Zone(a=("/dnsaddr/b",), b=("/dnsaddr/c",), c=("/dnsaddr/d",), d=(f"/ip4/192.0.2.1/tcp/4001/p2p/{P1}",))
    assert await deep.lead("/dnsaddr/a") == []
    assert len(deep.asked) == limits.DNS_DEPTH
    wide = Zone(a=[f"/dnsaddr/n{number}" for number in range(limits.DNS_TEXTS)])
    assert await wide.lead("/dnsaddr/a") == []
    assert len(wide.asked) == limits.DNS_NAMES


async def test_of_too_many_records_and_nodes_the_first_count() -> None:
    def node(number: int) -> str:
        return f"/ip4/192.0.2.1/tcp/4001/p2p/{format_peer_id(peer_id_from_key(number.to_bytes(32, 'big')))}"

    many = Zone(a=[*map(node, range(40))], b=[*map(node, range(100, 140))])
    assert len(await many.lead("/dnsaddr/a")) == limits.DNS_TEXTS
    assert len(await many.lead("/dnsaddr/a", "/dnsaddr/b")) == limits.DNS_NODES
    same = Zone(a=[f"/ip4/192.0.2.{number}/tcp/4001/p2p/{P1}" for number in range(1, 30)])
    ((_, addresses),) = await same.lead("/dnsaddr/a")
    assert len(addresses) == limits.ADDRESSES_PER_PEER
    long = Zone(a=(f"/ip4/192.0.2.1/tcp/4001/p2p/{P1}" + "x" * 1_024,))
    assert await long.lead("/dnsaddr/a") == []


class FakeResolver:
    """In place of dnspython's: ``fails`` with an error, or answers with TXT records as they come off the wire."""

    fails: Exception | None = None

    def resolve(self, name: str, kind: str, *, lifetime: float, search: bool) -> list[object]:
        assert (name, kind, search) == ("_dnsaddr.example.org", "TXT", False)
        assert lifetime == limits.DNS_S
        if self.fails is not None:
            raise self.fails
        return [type("Record", (), {"strings": (b"dnsaddr=", b"/x\xff")})()] * (limits.DNS_TEXTS + 1)


async def test_the_system_is_asked_in_a_thread_and_parts_of_a_text_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.resolver, "Resolver", FakeResolver)
    assert await system_texts("_dnsaddr.example.org") == ["dnsaddr=/x�"] * limits.DNS_TEXTS


@pytest.mark.parametrize("error", [DNSException, OSError, ValueError])
async def test_whatever_a_resolver_raises_is_one_error(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    monkeypatch.setattr(dns.resolver, "Resolver", FakeResolver)
    monkeypatch.setattr(FakeResolver, "fails", error())
    with pytest.raises(NetError):
        await system_texts("_dnsaddr.example.org")


async def test_a_resolver_that_hangs_is_left_alone(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> list[str]:
        await trio.sleep_forever()
        return []

    monkeypatch.setattr(trio.to_thread, "run_sync", never)
    with pytest.raises(NetError):
        await system_texts("_dnsaddr.example.org")
    assert trio.current_time() >= limits.DNS_S
