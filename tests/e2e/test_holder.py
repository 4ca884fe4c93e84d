"""A real daemon that holds mailboxes: offered and shown on the command line, and true to its word over a kill."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.base.errors import NetError
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.mailbox import Custody, Deposit, Fetch, Fetched, Grant, Granted, List, Listed, is_custody, token_hash
from p2pchat.core.mailbox_link import decode_mailbox_link
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.mailbox import Visit, visit
from tests.e2e.daemons import Daemon, daemons, objects, p2pchat

pytestmark = pytest.mark.e2e

OWNER, TOKEN = ed25519_pair(bytes(range(32))), b"token" * 6 + b"12"
NO_SIGNATURE = bytes(64)


def visited(link: str, what: Callable[[Visit], Awaitable[None]]) -> None:
    """Do ``what`` at the holder of a mailbox link."""
    holder = decode_mailbox_link(link, "link")

    async def main() -> None:
        async with (
            Libp2pHost.listen(bytes(range(32)), (), now=time.time) as host,
            visit(host, holder.peer_id, holder.addresses) as at,
        ):
            await what(at)

    trio.run(main)


async def grant(at: Visit) -> None:
    granted = await at.ask_as(OWNER, Grant(OWNER.public, (token_hash(TOKEN),), b"", NO_SIGNATURE), Granted)
    assert granted.ttl_max_s == 14 * 86_400


async def leave_until_killed(at: Visit, daemon: Daemon, said: list[bytes]) -> None:
    while True:
        box = len(said).to_bytes(4, "big") * 256
        try:
            custody = await at.ask(Deposit(TOKEN, 3_600, box), Custody)
        except NetError:
            return  # it was killed, which is what it is waited for
        assert is_custody(custody, box, at.peer)
        said.append(box)
        if len(said) % 100 == 99:
            daemon.kill()


async def fetch(at: Visit, found: list[bytes]) -> None:
    listed = await at.ask_as(OWNER, List(OWNER.public, 0, 0, NO_SIGNATURE), Listed)
    for each in listed.boxes:
        fetched = await at.ask_as(OWNER, Fetch(OWNER.public, (each.number,), NO_SIGNATURE), Fetched)
        found += [boxed.box for boxed in fetched.boxes]


def test_what_was_taken_into_custody_is_there_after_a_kill(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (holder,):
        holder.start()
        (shown,) = objects(p2pchat(holder.home, "mailbox", "offer", "--json"))
        assert (shown["for"], shown["invite"]) == ("nobody", None)
        (shown,) = objects(p2pchat(holder.home, "mailbox", "offer", "--for", "anyone", "--quota", "500M", "--json"))
        assert (shown["for"], shown["quota"], shown["owners"]) == ("anyone", 500 << 20, 0)
        visited(shown["invite"], grant)
        said: list[bytes] = []
        for _ in range(2):
            visited(holder.call("mailbox.offer")["invite"], partial(leave_until_killed, daemon=holder, said=said))
            holder.start()
        assert len(said) == 199
        there: list[bytes] = []
        visited(holder.call("mailbox.offer")["invite"], partial(fetch, found=there))
        assert set(said) <= set(there)
        assert len(there) <= len(said) + 2  # at each kill one may be written and not said
        (told,) = objects(p2pchat(holder.home, "transparency", "--json"))
        assert (told["boxes"], told["passphrase"]) == (len(there), False)
        assert told["mailboxes"][0]["bytes"] == len(there) * 1_024
        text = p2pchat(holder.home, "transparency").stdout.decode()
        assert "Mailboxes are offered to anyone, up to 500 MiB." in text
        assert "This profile has no passphrase" in text


def test_a_size_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    done = p2pchat(tmp_path, "mailbox", "offer", "--quota", "much")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[-1].endswith("give a size such as 500M or 2G, from 1M to 1024T")
