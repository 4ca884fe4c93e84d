"""How a user names a proxy."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.net.addresses import endpoint, parse_address
from p2pchat.net.socks import Credentials, Proxy, leads_to, parse_proxy


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("socks5://127.0.0.1:9050", Proxy("127.0.0.1", 9050)),
        ("socks5://localhost:9050/", Proxy("127.0.0.1", 9050)),
        ("socks5://[::1]:65535", Proxy("::1", 65_535)),
        ("socks5://me:p%40ss%3A@192.0.2.1:1080", Proxy("192.0.2.1", 1080, Credentials(b"me", b"p@ss:"))),
        ("socks5://m%C3%A9:p@192.0.2.1:1", Proxy("192.0.2.1", 1, Credentials("mé".encode(), b"p"))),
    ],
)
def test_a_proxy_is_named_by_where_it_is(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:9050",
        "socks5h://127.0.0.1:9050",
        "http://127.0.0.1:9050",
        "socks5://127.0.0.1",
        "socks5://127.0.0.1:0",
        "socks5://127.0.0.1:65536",
        "socks5://127.0.0.1:99999999999999999999999",
        "socks5://proxy.example.org:9050",  # a name server would be asked
        "socks5://[fe80::1%25eth0]:9050",
        "socks5://[fe80::1%eth0]:9050",
        "socks5://canary@127.0.0.1:9050",
        "socks5://:canary@127.0.0.1:9050",
        "socks5://canary:@127.0.0.1:9050",
        "socks5://canary:c@nary@127.0.0.1:9050",
        f"socks5://me:{'c' * 256}@127.0.0.1:9050",
        "socks5://127.0.0.1:9050/canary",
        " socks5://127.0.0.1:9050",
    ],
)
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="socks5://HOST:PORT") as refused:
        parse_proxy(text)
    assert refused.value.data == {"param": "net.proxy"}
    assert not any(part in str(refused.value) for part in ("canary", "127.0.0.1", "example.org"))


def test_no_repr_shows_it() -> None:
    shown = repr(parse_proxy("socks5://user:canary@192.0.2.77:1080"))
    assert not any(part in shown for part in ("user", "canary", "192.0.2.77", "1080"))


@pytest.mark.parametrize("name", ["127.1", "127.0.0.1", "127.0x1", "0x7f.0.0.0X1", "1.0x", "0x7f000001", "router.lan"])
def test_a_name_that_a_resolver_takes_for_an_address_is_not_asked_for(name: str) -> None:
    assert not leads_to(endpoint(parse_address(f"/dns4/{name}/tcp/80")[0]))


@pytest.mark.parametrize("name", ["example.org", "0x1.example.org", "example.x0", "example.0xyz", "1.beef"])
def test_a_name_of_the_internet_is(name: str) -> None:
    assert leads_to(endpoint(parse_address(f"/dns4/{name}/tcp/80")[0]))
