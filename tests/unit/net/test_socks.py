"""How a user names a proxy."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.net.socks import Credentials, Proxy, parse_proxy


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
