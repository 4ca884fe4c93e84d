"""After ``node.lock`` nothing that Python can reach holds a key: not the database's, not the identity's, no passphrase.

Looked for are the secrets themselves and whatever holds one of them in full, in every object of the process, be it
reached through containers, closures, tasks or frames. What Python has freed and not overwritten is not looked at.
"""

from __future__ import annotations

import array
import fcntl
import gc
import os
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import pytest
import trio

from p2pchat.api.paths import ProfilePaths
from p2pchat.control.dispatch import GRACE_S
from p2pchat.core.keys import load_identity
from p2pchat.core.numbers import parse_number
from p2pchat.daemon import node, profile
from p2pchat.daemon.system import SystemEntropy
from p2pchat.services.config import Config
from p2pchat.store import meta
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import connect
from tests.unit.control.fake_node import JsonClient
from tests.unit.control.fake_node import connect as connect_to

pytestmark = [pytest.mark.net, pytest.mark.slow]

MASK = 0x5A
SHORTEST = 32
FILL = 10_000
"""Requests, and replies, that are more than all buffers hold."""
Masked = dict[str, bytes]


def flipped(secret: bytes) -> bytes:
    """What the test keeps of a secret, so that it is not what is found; and the secret again."""
    return bytes(byte ^ MASK for byte in secret)


def make_profile(paths: ProfilePaths) -> Masked:
    """A profile with a passphrase that nobody has seen, and its secrets."""
    passphrase = os.urandom(16).hex().encode()
    made = profile.create(
        paths,
        name="Alice",
        number=parse_number("+821012345678", None),
        region=None,
        passphrase=passphrase,
        entropy=SystemEntropy(),
        now_ms=1_700_000_000_000,
    )
    key = read_key(paths.key_file, passphrase)
    connection = connect(paths.database, key)
    stored = meta.load_profile(Tx(connection, 0))
    connection.close()
    assert stored == made
    identity = load_identity(stored.identity)
    secrets = {
        "the passphrase": passphrase,
        "the database key": key,
        "the database key in hex": key.hex().encode(),
        "the root's seed": identity.root.secret,
        "the device's seed": identity.device.secret,
        "ik": identity.ik.secret,
        "the node's seed": stored.node_seed,
        "ask32": stored.ask,
    }
    return {name: flipped(secret) for name, secret in secrets.items()}


def everything() -> Iterator[object]:
    """Every object that can be reached from one that the collector knows, or from a frame that runs."""
    gc.collect()
    level: list[object] = [*gc.get_objects(), *_running()]
    seen = set(map(id, level))
    seen |= {id(level), id(seen)}
    while level:
        yield from level
        reached = {id(each): each for each in gc.get_referents(*level) if id(each) not in seen}
        seen |= reached.keys()
        seen.add(id(reached))
        level = list(reached.values())


def _running() -> Iterator[object]:
    for frame in sys._current_frames().values():
        upward: FrameType | None = frame
        while upward is not None:
            if upward.f_code.co_filename != __file__:
                yield from upward.f_locals.values()
            upward = upward.f_back


def found(masked: Masked) -> set[str]:
    """The names of the secrets that something holds."""
    needles = {name: flipped(secret) for name, secret in masked.items()}
    own = {id(needle) for needle in needles.values()}
    names = set[str]()
    for each in everything():
        if isinstance(each, bytes | bytearray | str | memoryview) and len(each) >= SHORTEST and id(each) not in own:
            held = each.encode(errors="surrogatepass") if isinstance(each, str) else bytes(each)
            names |= {name for name, needle in needles.items() if needle in held}
    return names


@asynccontextmanager
async def serving(paths: ProfilePaths, masked: Masked) -> AsyncIterator[None]:
    start = node.Start(paths, paths.socket, node.parse(Config(listen=("/ip4/127.0.0.1/tcp/0",))))
    key = profile.unlock(paths, flipped(masked["the passphrase"]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.serve, start, key)
        with trio.fail_after(30):
            while not paths.socket.exists():  # noqa: ASYNC110  a real socket
                await trio.sleep(0.01)
        yield
        client = await connect_to(paths.socket)
        await called(client, "node.shutdown")
        await client.stream.aclose()


async def called(client: JsonClient, method: str, **params: object) -> dict[str, object]:
    """The result of a call; events and the ends of subscriptions are passed over."""
    await client.send({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    while (reply := await client.receive()).get("id") != 7:
        pass
    assert "result" in reply, reply
    result: dict[str, object] = reply["result"]  # type: ignore[assignment]
    return result


async def unlock(client: JsonClient, masked: Masked) -> None:
    await called(client, "node.unlock", passphrase=flipped(masked["the passphrase"]).decode())


async def until_nothing_is_read(client: JsonClient) -> None:
    """Wait until the daemon has so much for ``client`` that it reads nothing more of it."""
    left = [0, -1]
    while not left[-1] or len(set(left[-5:])) > 1:
        await trio.sleep(0.1)
        unread = array.array("i", [0])
        fcntl.ioctl(client.stream.socket.fileno(), termios.TIOCOUTQ, unread)
        left.append(unread[0])


@pytest.fixture
def paths(tmp_path: Path) -> ProfilePaths:
    return ProfilePaths(environ={"P2PCHAT_HOME": str(tmp_path)})


async def test_after_locking_nothing_holds_a_secret(paths: ProfilePaths) -> None:
    masked = make_profile(paths)
    async with serving(paths, masked):
        first, second = await connect_to(paths.socket), await connect_to(paths.socket)
        await unlock(first, masked)  # it is open: a check, by a client that stays
        await called(first, "events.subscribe", since=0)
        await called(first, "contacts.add", number="+821098765432", name="Bob")
        assert found(masked) >= {"the root's seed", "the device's seed", "ik", "the node's seed", "ask32"}
        for _ in range(2):
            await called(second, "node.lock")
            assert (await called(second, "node.status"))["locked"] is True
            assert found(masked) == set()
            await unlock(first, masked)
        for client in (first, second):
            await client.stream.aclose()


async def test_locking_is_told_to_systemd_though_whoever_asked_has_left(
    paths: ProfilePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(node, "sd_notify", told.append)
    masked = make_profile(paths)
    start = node.Start(paths, paths.socket, node.parse(Config(listen=("/ip4/127.0.0.1/tcp/0",))))
    async with trio.open_nursery() as nursery:
        keeper = node.Node(start, nursery)
        await keeper.open(profile.unlock(paths, flipped(masked["the passphrase"])))
        async with trio.open_nursery() as asking:
            asking.start_soon(keeper.lock)
            while keeper.methods() is not None:
                await trio.lowlevel.checkpoint()
            asking.cancel_scope.cancel()
        with trio.fail_after(10):
            while not told:  # noqa: ASYNC110  a real host ends
                await trio.sleep(0.01)
    assert told == ["STATUS=locked"]


async def test_a_client_that_reads_nothing_keeps_nothing_from_being_dropped(paths: ProfilePaths) -> None:
    masked = make_profile(paths)
    async with serving(paths, masked), trio.open_nursery() as filling:
        stuck, other = await connect_to(paths.socket), await connect_to(paths.socket)
        hello = {"jsonrpc": "2.0", "method": "node.hello", "id": "x" * 200}
        subscribe = {"jsonrpc": "2.0", "method": "events.subscribe", "id": 1}
        await stuck.send(subscribe)
        await stuck.receive()
        filling.start_soon(stuck.send, subscribe, *[hello] * FILL)
        await until_nothing_is_read(stuck)
        began = trio.current_time()
        await called(other, "node.lock")
        assert trio.current_time() - began > GRACE_S  # the subscription was waited for, and then cut off
        assert found(masked) == set()
        await other.stream.aclose()
        filling.cancel_scope.cancel()
        await trio.aclose_forcefully(stuck.stream)


def test_what_is_held_somewhere_is_found() -> None:
    secret = os.urandom(32)
    masked = {"it": flipped(secret)}
    hexed = secret.hex()
    places: tuple[object, ...] = ({"a": [(b"x" + secret + b"y",)]}, lambda: hexed)
    del secret
    in_hex = {"it": flipped(flipped(masked["it"]).hex().encode())}
    assert found(masked) == found(in_hex) == {"it"}
    assert len(places) == 2
