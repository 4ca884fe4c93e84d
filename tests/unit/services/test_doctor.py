"""What the doctor makes of what was looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from p2pchat.api.diagnosis import advice, text
from p2pchat.base.errors import Corrupt, StoreError
from p2pchat.net.addresses import from_socket
from p2pchat.services import doctor
from p2pchat.services.context import Context
from p2pchat.services.doctor import of_integrity
from p2pchat.services.examine import Files
from p2pchat.store.db import Database
from p2pchat.store.integrity import Integrity
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import Connection, connect

FILES = Files(Path("/nowhere/work"), Path("/nowhere/work.toml"))
WELL = Integrity(problems=0, is_finished=True, bytes=5 << 20, took_s=0.25, schema=9, newest=9)


@pytest.mark.parametrize(
    ("seen", "code", "facts"),
    [
        (WELL, "database.ok", {"mib": 5, "ms": 250}),
        (replace(WELL, bytes=0, took_s=0.0), "database.ok", {"mib": 1, "ms": 1}),
        (replace(WELL, is_finished=False), "database.unfinished", {"mib": 5, "ms": 250}),
        (replace(WELL, schema=8), "database.older", {"schema": 8, "newest": 9}),
        (replace(WELL, schema=10), "database.newer", {"schema": 10, "newest": 9}),
        (replace(WELL, problems=3), "database.damaged", {"places": 3, "folder": "/nowhere/work"}),
        (replace(WELL, problems=3, is_finished=False), "database.damaged", {"places": 3, "folder": "/nowhere/work"}),
    ],
)
def test_what_follows_from_the_check_of_a_database(seen: Integrity, code: str, facts: dict[str, object]) -> None:
    found = of_integrity(seen, FILES)
    assert found.code == code
    assert found.facts == facts
    assert text(found, "p2pchat") + advice(found, "p2pchat")  # both sentences have all their facts


def listening(*hosts: str, proxy: str | None = None) -> Context:
    """A node with these addresses; all that is looked at of it."""
    addresses = tuple(from_socket(host, 4001) for host in hosts)
    node = SimpleNamespace(reach=SimpleNamespace(proxy=proxy), network=SimpleNamespace(addresses=lambda: addresses))
    return cast("Context", node)


@pytest.mark.parametrize(
    ("hosts", "code", "shown"),
    [
        (("10.0.0.2", "8.8.8.8", "127.0.0.1"), "addresses.global", ["10.0.0.2:4001", "8.8.8.8:4001", "127.0.0.1:4001"]),
        (("127.0.0.1", "10.0.0.2"), "addresses.private", ["127.0.0.1:4001", "10.0.0.2:4001"]),
        (("2001:4860::1",), "addresses.global", ["[2001:4860::1]:4001"]),
        (("127.0.0.1",), "addresses.loopback", None),
        ((), "addresses.none", None),
    ],
)
def test_the_widest_address_counts(hosts: tuple[str, ...], code: str, shown: list[str] | None) -> None:
    found = doctor._addresses(listening(*hosts))
    assert (found.code, found.facts.get("addresses")) == (code, shown)
    assert text(found, "p2pchat")


def test_behind_a_proxy_it_listens_nowhere_on_purpose() -> None:
    hidden = listening(proxy="socks5://127.0.0.1:9050")
    assert doctor._addresses(hidden).code == "addresses.proxied"
    assert doctor._port(hidden, 0).code == "port.proxied"
    assert doctor._port(listening(), 0).code == "port.any"
    assert doctor._port(listening("10.0.0.2"), 4001).facts == {"port": 4001}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("The database cannot be used: unable to open database file."), "database.refused"),
        (Corrupt("The database is damaged."), "database.unreadable"),
    ],
)
async def test_a_second_look_at_the_database_that_is_refused_is_a_finding(
    tmp_path: Path, error: StoreError, code: str
) -> None:
    def again() -> Connection:
        raise error

    connection = connect(None, bytes(32))
    migrate(connection)
    database = Database(connection, lambda: 0, threaded=False, again=again)
    finding = await doctor._database(database, Files(tmp_path, tmp_path / "work.toml"))
    assert finding.code == code
    connection.close()
