"""``scripts/fuzz requests``: requests for the real server and the real methods of a node, in this process.

scripts/fuzz requests --count 1000000 --seed 1
scripts/fuzz requests --seed 1 --start 4321 --count 1    one input again

The node is one in a simulation, alone, with a store in which there is something for every method to do; its clock
jumps over every wait, so that a call which would take a minute takes nothing. What is sent is a stream of frames in one
of the two framings: calls of every method with parameters that are right, nearly right, or wrong; lists, notifications,
ids that come twice, junk, deep nesting, huge numbers, broken frames. Some clients leave before they are answered.

In order are: every frame is answered as its envelope says, under its own id, no more and no less often; every error is
one of the table, and none INTERNAL; nothing is logged as a defect; and from a tenth of the inputs on neither memory nor
files nor tasks grow beyond what the contacts and invites take that were made.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, cast

import structlog
import trio
from trio.testing import MockClock

from p2pchat.api.codec import JSON_LINES, FrameError, ParseError, Splitter
from p2pchat.api.schema import METHODS
from p2pchat.control.dispatch import Dispatch, Methods
from p2pchat.control.jsonrpc import ID_CHARACTERS
from p2pchat.control.server import Server
from p2pchat.core.access import Mode
from p2pchat.core.crypto import ed25519_pair
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.services.examine import Files
from p2pchat.store import meta
from p2pchat.store.db import Database
from p2pchat.store.sqlite import connect
from p2pchat.testing.cluster import START_S, Clock, Cluster, Node
from p2pchat.testing.entropy import SeededEntropy
from tests.fuzz.control import any_tree, as_json, json_input, msgpack_input, replies, verdict
from tests.fuzz.daemon import Size, size_of
from tests.fuzz.feed import Feed, Input
from tests.fuzz.mutation import Tree, mutated, packed
from tests.sim.furnished import CAROL, EVE, World, world
from tests.sim.test_once import GIVEN

_LIVE_TOLERANCE_KIB: Final = 16 * 1024
"""The store keeps pages of up to 8 MB in memory, which fill up; contacts and invites have tasks.

What the process has in memory beyond that is shown, and no bar: the clients are in it, whose frames of 16 MiB and lists
of ten thousand requests leave holes. ``scripts/fuzz --target socket`` has a daemon by itself.
"""

_BLOCK_BYTES: Final = 64
_FILES_TOLERANCE: Final = 8  # SQLite keeps those of doctors who looked into the store at the same time, for the next
_TASKS_TOLERANCE: Final = 250  # one for each of 50 more contacts and 100 more invites, which are all that there can be
_WARM_UP: Final = 0.1
_CLIENTS: Final = 8
_END_S: Final = 30 * 86_400.0  # on the node's clock; a call may wait for a day
_KEY: Final = bytes(32)
_BATCH_REQUESTS: Final = 8_192
_MEMBERS: Final = {"jsonrpc", "id", "method", "params"}
_IDS: Final[tuple[Tree, ...]] = (
    0,
    1,
    1,
    -1,
    (1 << 64) - 1,
    -(1 << 63),
    "",
    "a",
    "x" * ID_CHARACTERS,
    "\U0010ffff",
    None,
)
_ODD_IDS: Final[tuple[Tree, ...]] = (1 << 64, -(1 << 63) - 1, True, 1.5, [], {}, "x" * (ID_CHARACTERS + 1))

_CONSUMING: Final = (
    *("contacts.accept", "contacts.refuse", "contacts.choose", "contacts.merge", "contacts.block", "contacts.remove"),
    *("message.cancel", "message.delete", "identity.revoke"),
)
"""What leaves less for all who come later."""

_RIGHT: Final[Mapping[str, Mapping[str, Tree]]] = {
    **{method: cast("Mapping[str, Tree]", given) for method, (given, _) in GIVEN.items()},
    **{
        method: {}
        for method in (
            *("node.hello", "node.status", "identity.show", "identity.qr", "identity.invites", "contacts.list"),
            *("net.peers", "net.addrs", "net.export", "net.rules", "mailbox.list", "mailbox.transparency", "stats.get"),
        )
    },
    **{method: {"to": "Bob"} for method in ("contacts.get", "contacts.claimants", "contacts.safety")},
    "message.list": {"to": "Bob", "limit": 20},
    "message.search": {"text": "word", "limit": 20},
    "message.get": {"id": "00"},
    "message.explain": {"id": "00"},
    "events.subscribe": {"since": "now", "types": ["message.*"]},
    "events.fetch": {"since": 0, "limit": 20},
    "node.doctor": {"send": False},
}

Answer = tuple[str, ...]
"""The id of a reply, or those of a list of replies, sorted, after the word ``list``."""


# -- what is sent ------------------------------------------------------------------------------------------------------


def frames(chance: Random, ids: World, *, is_json: bool) -> tuple[bytes, bool]:
    """Some bytes, and whether the stream can be read further after them."""
    if chance.random() < 0.2:
        return (json_input(chance), True) if is_json else msgpack_input(chance)
    tree = _right(chance) if chance.random() < 0.5 else any_tree(chance)
    if isinstance(tree, list) and len(tree) > 1_000 and chance.random() < 0.95:
        del tree[20:]  # a few of the longest are enough: they would be nearly all that is called
    for call in tree if isinstance(tree, list) else [tree]:
        if isinstance(call, dict):
            _aim(chance, call, ids.ids, is_json=is_json)
    if is_json:
        return as_json(tree) + b"\n", True
    body = packed(chance, tree)
    return len(body).to_bytes(4, "big") + body, True


def _right(chance: Random) -> Tree:
    """One call that can succeed, or several; every other one with a parameter that is changed, or one too many."""
    if chance.random() < 0.05:
        return [_right(chance) for _ in range(chance.choice((1, 2, 20)))]
    method = chance.choice(list(_RIGHT))
    if method in _CONSUMING and chance.random() < 0.98:
        method = "message.send"
    params: dict[str, Tree] = dict(_RIGHT[method])
    if method == "message.send":
        params = {"to": chance.choice(("Bob", "self", "Carol")), "text": "word " * chance.choice((1, 1, 1, 20, 2_000))}
    if method == "contacts.add":
        params = {"number": f"+8210666666{chance.randrange(50):02d}", "name": "Somebody"}
    if METHODS[method].mutating:
        params["idempotency_key"] = ""
    if chance.random() < 0.5:
        name = chance.choice([*params, "x"]) if chance.random() < 0.1 or not params else chance.choice(list(params))
        params[name] = mutated(chance, params.get(name))
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def _aim(chance: Random, call: dict[str, Tree], ids: Mapping[str, str], *, is_json: bool) -> None:
    """Let it name what there is, more often than not; and give it another id."""
    if "id" in call:
        odd = _ODD_IDS if is_json else _ODD_IDS[2:]  # msgpack has no larger numbers
        call["id"] = chance.choice(odd if chance.random() < 0.05 else _IDS)
        if chance.random() < 0.05:
            del call["id"]
    params, method = call.get("params"), call.get("method")
    if not isinstance(params, dict):
        return
    if "idempotency_key" in params and chance.random() < 0.6:
        params["idempotency_key"] = f"key {chance.randrange(1 << 20)}"
    if method in _CONSUMING and chance.random() < 0.98:
        return
    if "to" in params and chance.random() < 0.5:
        params["to"] = chance.choice(
            ("Bob", "bob", "self", "Carol", "Dave", "Zoe", CAROL, EVE, ids["eve"], ids["eve"][:4])
        )
    if "id" in params and chance.random() < 0.5:
        params["id"] = chance.choice([ids[name] for name in ("came", "went", "waits", "asks", "invite")])
    if "safety_number" in params and chance.random() < 0.5:
        params["safety_number"] = ids["safety"]


# -- what is to be answered --------------------------------------------------------------------------------------------


def answers(sent: bytes) -> Counter[Answer]:
    """How often which ids are to be answered, when all of ``sent`` was read."""
    splitter, found = Splitter(), Counter[Answer]()
    try:
        splitter.feed(sent)
        while (frame := splitter.next_frame()) is not None:
            found.update(_answer(splitter, frame))
        if (last := splitter.rest()) is not None:
            found.update(_answer(splitter, last))
    except FrameError:
        found[_shown(None)] += 1
    return found


def _answer(splitter: Splitter, frame: bytes) -> Iterator[Answer]:
    try:
        value = (splitter.framing or JSON_LINES).decode(frame)
    except ParseError:
        yield _shown(None)
        return
    if not isinstance(value, list):
        yield from _ids(value)
    elif not 0 < len(value) <= _BATCH_REQUESTS:
        yield _shown(None)
    elif inner := sorted(each for call in cast("list[object]", value) for (each,) in _ids(call)):
        yield ("list", *inner)


def _ids(value: object) -> Iterator[Answer]:
    """Of a reply to one request, if it gets one."""
    if not isinstance(value, dict):
        yield _shown(None)
        return
    call = cast("dict[object, object]", value)
    is_right = (
        _is_id(call.get("id"))
        and call.get("jsonrpc") == "2.0"
        and isinstance(call.get("method"), str)
        and call.keys() <= _MEMBERS
        and isinstance(call.get("params", {}), dict | None)
    )
    if not is_right or "id" in call:
        yield _shown(call.get("id") if _is_id(call.get("id")) else None)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= ID_CHARACTERS and not any("\ud800" <= each <= "\udfff" for each in value)
    return value is None or (type(value) is int and -(1 << 63) <= value < 1 << 64)


def _shown(request_id: object) -> Answer:
    return (repr(request_id),)


def answered(received: list[object]) -> Counter[Answer]:
    """The same of what came, but for events."""
    found = Counter[Answer]()
    for reply in received:
        if isinstance(reply, list):
            found[("list", *sorted(_id_of(each)[0] for each in cast("list[object]", reply)))] += 1
        elif not (isinstance(reply, dict) and "method" in reply):
            found[_id_of(reply)] += 1
    return found


def _id_of(reply: object) -> Answer:
    return _shown(cast("dict[object, object]", reply).get("id")) if isinstance(reply, dict) else ("no object",)


# -- the node ----------------------------------------------------------------------------------------------------------


class Keeper:
    """A node that is never locked, whoever asks."""

    mode: Mode = "open"

    async def lock(self) -> None:
        """Nothing."""

    async def unlock(self, passphrase: bytes) -> None:
        """Nothing."""

    async def change_passphrase(self, old: bytes | None, new: bytes | None) -> None:
        """Nothing."""


@asynccontextmanager
async def node(folder: Path, furnished: World, clock: MockClock) -> AsyncGenerator[tuple[Path, Database]]:
    """The socket of a node that is alone, and its store."""

    def now_ms() -> int:
        return int((START_S + clock.current_time()) * 1000)  # the doctor asks from a thread of its own

    path = folder / "p2pchat.db"
    with_all = connect(path, _KEY)
    furnished.store.backup(with_all)
    with_all.close()
    async with Cluster.running() as cluster:
        database = Database.open(path, _KEY, now_ms, threaded=False)
        profile = await database.run(meta.load_profile)
        entropy = SeededEntropy(77)
        end = cluster.network.node(peer_id_from_key(ed25519_pair(profile.node_seed).public))
        alice = Node("Alice", profile.number, end, database, profile, entropy, profile.node_seed, Clock(cluster.now))
        await cluster.start(alice)
        assert alice.running is not None
        methods = Methods(
            alice.running.context, alice.running.life.online, "default", 0.0, folder / "config.toml", folder / "own"
        )
        files = Files(folder / "own", folder / "config.toml")
        dispatch = Dispatch(Keeper(), lambda: methods, "default", 0.0, trio.Event(), files)
        socket = folder / "run" / "fuzz.sock"
        async with trio.open_nursery() as nursery:
            await nursery.start(Server(dispatch, path=socket, joint=dispatch).serve)
            yield socket, database
            nursery.cancel_scope.cancel()
        await cluster.crash(alice)
        await database.close()


# -- the run -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """What the process holds when nothing is under way."""

    size: Size
    live_kib: int
    tasks: int


@dataclass(frozen=True)
class Report:
    """What became of it. ``before``: after the warm-up."""

    feed: Feed
    requests: int
    seconds: float
    before: Held
    after: Held

    def lines(self) -> list[str]:
        """For a person."""
        outcomes = ", ".join(f"{count} {what}" for what, count in self.feed.outcomes.most_common())
        told = [
            f"requests: {'FAILED' if self.feed.findings else 'ok'}",
            f"  inputs    {self.feed.taken} with {self.requests} requests in {self.seconds:.0f} s,"
            f" {self.requests / max(self.seconds, 0.001):.0f}/s",
            f"  answered  {outcomes or 'nothing'}",
            f"  memory    {self.before.live_kib / 1024:.1f} MiB in use after the warm-up,"
            f" {self.after.live_kib / 1024:.1f} at the end; of the process"
            f" {self.before.size.rss_kib / 1024:.1f}, {self.after.size.rss_kib / 1024:.1f}",
            f"  files     {self.before.size.descriptors}, {self.after.size.descriptors};"
            f" tasks {self.before.tasks}, {self.after.tasks}",
        ]
        if self.feed.findings:
            told += [f"  FOUND     {finding}" for finding in self.feed.findings]
            told.append(f"  again     requests --seed {self.feed.seed} --start N --count 1, with N of:")
            told += [f"  {each.index}: {each.data[:2_000].hex()}" for each in self.feed.suspects()]
        return told


def fuzz(seed: int, start: int, count: int) -> Report:
    """Send ``count`` inputs, beginning with number ``start``."""
    furnished = world()  # before anything is set that a simulation does not expect
    shared = Path("/dev/shm")  # it is not the disk that is tried
    with tempfile.TemporaryDirectory(prefix="p2pchat-fuzz-", dir=shared if shared.is_dir() else None) as folder:
        clock = MockClock(autojump_threshold=0.0)
        run = partial(_fuzz, Path(folder), furnished, clock, seed, start, count)
        return trio.run(run, clock=clock, strict_exception_groups=True)


async def _fuzz(folder: Path, furnished: World, clock: MockClock, seed: int, start: int, count: int) -> Report:
    feed = Feed(seed, "requests", start, start)
    counted = Counted(feed)
    structlog.configure(processors=[counted.look])
    sizes: list[Held] = []
    began = time.monotonic()
    try:
        async with node(folder, furnished, clock) as (socket, database):
            for stop in (start + max(1, int(count * _WARM_UP)), start + count):
                await feed.until_found(partial(_clients, socket, furnished, feed, counted), stop)
                sizes.append(await _settled())
            seconds = time.monotonic() - began
            (state,) = await database.run(lambda tx: tx.one("PRAGMA quick_check") or ("nothing",))
            if state != "ok":
                feed.found("the store is damaged")
    finally:
        structlog.reset_defaults()
    before, after = sizes
    for what, was, is_now, tolerance in (
        ("KiB in use", before.live_kib, after.live_kib, _LIVE_TOLERANCE_KIB),
        ("open files", before.size.descriptors, after.size.descriptors, _FILES_TOLERANCE),
        ("tasks", before.tasks, after.tasks, _TASKS_TOLERANCE),
    ):
        if is_now > was + tolerance:
            feed.found(f"it grew from {was} to {is_now} {what}")
    return Report(feed, counted.requests, seconds, before, after)


class Counted:
    """What the node logs, and how many requests there were."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.requests = 0

    def look(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if event.get("event") == "defect":
            self._feed.found(f"a defect: {event.get('error')} at {event.get('place')}")
        raise structlog.DropEvent


async def _settled() -> Held:
    await trio.sleep(60)  # on the node's clock: whoever has left is forgotten by then
    gc.collect()
    return Held(size_of(os.getpid()), _live_kib(), trio.lowlevel.current_statistics().tasks_living)


class _Allocated(ctypes.Structure):
    """``struct mallinfo2``."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def _live_kib() -> int:
    """What is allocated now, of C's allocator and Python's, whose blocks have 64 bytes in the middle."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        raise SystemExit("This needs glibc 2.33 or newer.") from None
    mallinfo2.restype = _Allocated
    allocated = mallinfo2()
    return (int(allocated.uordblks) + int(allocated.hblkhd) + sys.getallocatedblocks() * _BLOCK_BYTES) // 1024


async def _clients(socket: Path, furnished: World, feed: Feed, counted: Counted) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(_CLIENTS):
            nursery.start_soon(_client, socket, furnished, feed, counted)


async def _client(socket: Path, furnished: World, feed: Feed, counted: Counted) -> None:
    while (first := feed.take()) is not None:
        with trio.move_on_after(_END_S) as scope:
            async with await trio.open_unix_socket(str(socket)) as stream:
                await _converse(stream, furnished, feed, first, counted)
        if scope.cancelled_caught:
            feed.found("the node has not ended the connection", first)


async def _converse(stream: trio.SocketStream, furnished: World, feed: Feed, first: Input, counted: Counted) -> None:
    """Some dozens of inputs on one connection; all of it is answered, unless the client leaves at once."""
    is_json, leaves = first.chance.random() < 0.5, first.chance.random() < 0.1
    left = first.chance.choice((1, 10, 40))
    sent, received = bytearray(), bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, stream, received)
        taken: Input | None = first
        while taken is not None:
            data, goes_on = frames(taken.chance, furnished, is_json=is_json)
            sent += data
            with suppress(trio.BrokenResourceError):  # refused before all was sent
                await stream.send_all(taken.sending(data))
            left -= 1
            feed.done(taken)
            taken = feed.take() if goes_on and left > 0 else None
        if leaves:
            nursery.cancel_scope.cancel()
        with suppress(trio.BrokenResourceError):
            await stream.send_eof()
    expected = answers(bytes(sent))
    counted.requests += sum(max(len(each) - 1, 1) * count for each, count in expected.items())  # but notifications
    if leaves:
        return
    came = list(replies(bytes(received)))
    for reply in came:
        for each in cast("list[object]", reply) if isinstance(reply, list) else [reply]:
            what, declared = verdict(each)
            feed.outcomes[what] += 1
            if not declared:
                feed.found(f"an undeclared reply, {what}: {str(each)[:300]}", first)
    if (told := answered(came)) != expected:
        feed.found(f"too often {told - expected}, not {expected - told}"[:600], first)


async def _read(stream: trio.SocketStream, received: bytearray) -> None:
    with suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65_536):
            received += data


def main(arguments: list[str]) -> int:
    """The exit status: 1 with a finding."""
    parser = argparse.ArgumentParser(
        prog="fuzz requests", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="inputs (default: 100000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    asked = parser.parse_args(arguments)
    report = fuzz(asked.seed, asked.start, asked.count)
    print("\n".join(report.lines()), flush=True)
    return 1 if report.feed.findings else 0
