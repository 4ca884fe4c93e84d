"""``history``: what years of messages cost: pages, searches, starts and sends with 10⁶ messages beside 10³ and between.

A profile of each size is made, and its messages written by the store's own functions, in runs of twenty with a hundred
contacts, each with its event. Then all daemons run at once, production parameters, no network, and every call is made
to one after the other: what the machine does beside it slows all alike.

- *page*: 50 messages of a conversation, the newest or at a position somewhere in it. *search*: up to 100 messages of
  all conversations, or of one. What is called rare stands in three messages, of which the oldest is among the first.
- *send*: ``message.send`` until ``queued``. *while the index is made*: on the large profile, whose index is at its
  beginning as after a migration or a restore.
- *start*: from before the process exists until ``node.hello`` is answered.
- *index*: CPU and time of the store's thread a message, and what the file grows by.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from bench.daemons import Node
from bench.limits import unix_echo
from bench.measure import Samples, each_s, quantile, rounds, seconds
from bench.plot import Chart, Line
from bench.prose import FREQUENT, ONE_SYLLABLE, RARE, TWO_SYLLABLES, Prose
from bench.report import Metric
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.ids import ContactId
from p2pchat.cli.sandbox import Sandbox
from p2pchat.client.blocking import Client
from p2pchat.core.events import EventKind
from p2pchat.services.context import tell
from p2pchat.store import contacts, messages, word_index
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import read_key
from p2pchat.store.messages import Incoming, MessageRow
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import Connection, checkpoint, connect

FEW: Final = 1_000
BETWEEN: Final = {"more": 10_000, "most": 100_000}
MANY: Final = 1_000_000

_CONTACTS: Final = 100
_RUN: Final = 20
_COMMIT: Final = 2_000
_CALLS: Final = 200
_QUICK_CALLS: Final = 5
_STARTS: Final = 5
_QUICK_STARTS: Final = 1
_PAGE_MS: Final = 50.0
_DAY_MS: Final = 86_400_000

_SEARCHES: Final[dict[str, dict[str, object]]] = {
    "a rare word": {"text": RARE.lower()},
    "a frequent word": {"text": FREQUENT},
    "one letter": {"text": "t"},
    "a word of one syllable": {"text": ONE_SYLLABLE},
    "a word of two syllables": {"text": TWO_SYLLABLES},
    "a rare word and a letter": {"text": f"t {RARE}"},
    "nothing found": {"text": "zzzz"},
    "a frequent word in one conversation": {"text": FREQUENT, "to": "Person 7"},
    "a rare word in one conversation": {"text": RARE, "to": "Person 7"},
}
_DRAWN: Final = (
    "a rare word",
    "a frequent word",
    "nothing found",
    "a frequent word in one conversation",
    "a rare word in one conversation",
)
_PAGES: Final = ("the newest page", "a page further back")


def _metrics() -> Iterator[Metric]:
    echo = (("echo ms", "Unix socket echo"),)
    for name in (*_PAGES, *(f"search: {each}" for each in _SEARCHES)):
        for share in ("p50", "p99"):
            beside = (*_smaller(f"{name} {share}", share), *echo)
            yield Metric(f"many {name} {share}", f"{name}, {share}", "ms", beside, bar=_PAGE_MS)
    yield Metric("many send p50", "message.send, p50", "ms", (*_smaller("send p50", "p50"), *echo))
    yield Metric("many send p99", "message.send, p99", "ms", _smaller("send p99", "p99"))
    yield Metric("send ratio", "the same p50, × that with 1,000", "×", bar=1.5)
    yield Metric("behind send p50", "message.send while the index is made, p50", "ms")
    yield Metric("behind send p99", "message.send while the index is made, p99", "ms")
    yield Metric("behind search s", "search: nothing found, without an index", "s")
    yield Metric("many start s", "start", "s", _smaller("start s", "p50"))
    yield Metric("start difference s", "start, more than with 1,000", "s", bar=1.0)
    yield Metric("behind start difference s", "the same, without an index", "s", bar=1.0)
    yield Metric("index us", "index, a message", "µs")
    yield Metric("index batch p99 ms", "index, a batch of 64, p99", "ms")
    yield Metric("file bytes", "file, a message", "bytes")
    yield Metric("index bytes", "of which the index", "bytes")


def _smaller(name: str, share: str) -> tuple[tuple[str, str], ...]:
    """The same figure of smaller profiles: medians of all of them, the others of the smallest."""
    sizes = {"few": FEW, **BETWEEN} if share == "p50" else {"few": FEW}
    return tuple((f"{size} {name}", f"with {count:,} messages") for size, count in sizes.items())


def _line(title: str, name: str) -> Line:
    return Line(title, tuple((f"{size} messages", f"{size} {name}") for size in ("few", *BETWEEN, "many")))


METRICS: Final = tuple(_metrics())
CHARTS: Final = (
    Chart(
        "Pages and sends",
        "messages in the history",
        "p50, ms",
        (*(_line(name, f"{name} p50") for name in _PAGES), _line("message.send", "send p50")),
    ),
    Chart(
        "Searches",
        "messages in the history",
        "p50, ms",
        tuple(_line(name, f"search: {name} p50") for name in _DRAWN),
    ),
    Chart("Start of a daemon", "messages in the history", "process begun → ready, s", (_line("", "start s"),)),
)


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples, messages: int = MANY) -> None:
    """Add ``runs`` values of everything."""
    for index, values in rounds(runs, samples, warm_up=False):
        _one(sandbox, folder / str(index), quick, messages, values)


def _one(sandbox: Sandbox, folder: Path, quick: bool, count: int, samples: Samples) -> None:
    starts, calls = (_QUICK_STARTS, _QUICK_CALLS) if quick else (_STARTS, _CALLS)
    folder.mkdir()
    sizes = {"few": FEW, **{size: between for size, between in BETWEEN.items() if between < count}, "many": count}
    profiles = {size: Profile(sandbox, folder / size, size, of_size) for size, of_size in sizes.items()}
    for size, profile in profiles.items():
        profile.fill()
        samples.add(f"{size} messages", profile.count)
        if size != "many":
            profile.index(Samples())
    many = profiles["many"]
    taken_s = _starts(profiles, starts)
    samples.add("behind start difference s", taken_s["many"] - taken_s["few"])
    for profile in profiles.values():
        profile.node.start()
    _quantiles(samples, "behind send", _taken_ms(many, _send, calls))
    samples.add("behind search s", seconds(partial(_search_patiently, many)))
    for profile in profiles.values():
        profile.node.stop()
    many.index(samples)
    taken_s = _starts(profiles, starts)
    for size, each_took_s in taken_s.items():
        samples.add(f"{size} start s", each_took_s)
    samples.add("start difference s", taken_s["many"] - taken_s["few"])
    for profile in profiles.values():
        profile.node.start()
    _calls(profiles, calls, samples)
    for profile in profiles.values():
        profile.node.stop()


class Profile:
    """A profile, and the messages in it."""

    def __init__(self, sandbox: Sandbox, home: Path, name: str, count: int) -> None:
        self.node = Node(sandbox, home, name, "+821012345678")
        self.count = count
        self.chance = random.Random(count)
        self._came: Counter[int] = Counter()
        self._paths = ProfilePaths(environ=self.node.environment)
        self.node.init()
        self.node.ended()

    def _open(self) -> Connection:
        connection = connect(self._paths.database, read_key(self._paths.key_file, None))
        migrate(connection)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def fill(self) -> None:
        connection = self._open()
        texts = Prose().texts(self.count)
        rare = {self.count // 100, self.count // 2, self.count * 9 // 10}
        began_ms = int(time.time() * 1000) - 20 * _DAY_MS
        for begin in range(0, self.count, _COMMIT):
            connection.execute("BEGIN IMMEDIATE")
            tx = Tx(connection, began_ms + begin)
            if not begin:
                _add_contacts(tx)
            for position in range(begin, min(begin + _COMMIT, self.count), _RUN):
                self._write(tx, position, texts, rare)
            connection.execute("COMMIT")
        checkpoint(connection)
        connection.close()

    def _write(self, tx: Tx, position: int, texts: Iterator[str], rare: set[int]) -> None:
        """A run: half of it came, half of it was sent and delivered."""
        contact, indices = self.chance.randint(1, _CONTACTS), range(position, min(position + _RUN, self.count))
        said = [next(texts) + (f" {RARE}" if index in rare else "") for index in indices]
        ids = [index.to_bytes(16, "big") for index in indices]
        half = len(said) // 2
        self._came[contact] += half
        n0 = self._came[contact] - half + 1
        arrived = [Incoming(n0 + index, ids[index], 1, said[index], None, tx.now_ms) for index in range(half)]
        tell(tx, EventKind.MESSAGE_RECEIVED, messages.receive(tx, contact, 1, arrived), contact)
        first, n = messages.highest(tx) + 1, [contacts.take_n(tx, contact) for _ in said[half:]]
        sent = [
            MessageRow(first + at, contact, False, n[at], wire_id, 1, text, "", None, tx.now_ms, None, None, None)
            for at, (wire_id, text) in enumerate(zip(ids[half:], said[half:], strict=True))
        ]
        messages.queue(tx, sent)
        messages.mark_delivered(tx, contact, n[0], n[-1])
        tell(tx, EventKind.MESSAGE_DELIVERED, [row.id for row in sent], contact)

    def index(self, samples: Samples) -> None:
        """Make the index, as the daemon does but without pauses; what it takes."""
        connection = self._open()
        before = self._paths.database.stat().st_size
        taken_s: list[float] = []
        more = True
        while more:
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            more = word_index.add_batch(Tx(connection, 0))
            connection.execute("COMMIT")
            taken_s.append(time.perf_counter() - began)
        checkpoint(connection)
        connection.close()
        size = self._paths.database.stat().st_size
        samples.add("index us", sum(taken_s) / self.count * 1e6)
        samples.add("index batch p99 ms", quantile(taken_s, 0.99) * 1000)
        samples.add("file bytes", size / self.count)
        samples.add("index bytes", (size - before) / self.count)


def _add_contacts(tx: Tx) -> None:
    for index in range(1, _CONTACTS + 1):
        contacts.add(tx, ContactId(os.urandom(8)), f"Person {index}", f"+8210{20_000_000 + index}", None)


Call = Callable[[Profile], object]


def _starts(profiles: Mapping[str, Profile], count: int) -> dict[str, float]:
    """The medians of a few starts of each, in turn."""
    taken: dict[str, list[float]] = {size: [] for size in profiles}
    for _ in range(count):
        for size, profile in profiles.items():
            taken[size].append(profile.node.start())
            profile.node.stop()
    return {size: quantile(values, 0.5) for size, values in taken.items()}


def _calls(profiles: Mapping[str, Profile], count: int, samples: Samples) -> None:
    with unix_echo() as echo:
        samples.add("echo ms", quantile(each_s(echo, count), 0.5) * 1000)
    kinds: dict[str, Call] = {_PAGES[0]: _newest_page, _PAGES[1]: _deep_page}
    kinds |= {f"search: {each}": _searching(each) for each in _SEARCHES}
    kinds["send"] = _send
    for name, call in kinds.items():
        taken: dict[str, list[float]] = {size: [] for size in profiles}
        for _ in range(count):
            for size, profile in profiles.items():
                taken[size] += _taken_ms(profile, call, 1)
        for size, values in taken.items():
            _quantiles(samples, f"{size} {name}", values)
    samples.add("send ratio", samples["many send p50"].values[-1] / samples["few send p50"].values[-1])


def _quantiles(samples: Samples, name: str, values_ms: list[float]) -> None:
    samples.add(f"{name} p50", quantile(values_ms, 0.5))
    samples.add(f"{name} p99", quantile(values_ms, 0.99))


def _taken_ms(profile: Profile, call: Call, count: int) -> list[float]:
    return [taken * 1000 for taken in each_s(partial(call, profile), count, warm_up=0)]


def _newest_page(profile: Profile) -> None:
    to = f"Person {profile.chance.randint(1, _CONTACTS)}"
    profile.node.client.call("message.list", to=to, limit=50)


def _deep_page(profile: Profile) -> None:
    to = f"Person {profile.chance.randint(1, _CONTACTS)}"
    profile.node.client.call("message.list", to=to, limit=50, before=profile.chance.randint(1, profile.count))


def _searching(kind: str) -> Call:
    return lambda profile: profile.node.client.call("message.search", **_SEARCHES[kind])


def _search_patiently(profile: Profile) -> None:
    with Client(profile.node.socket, timeout_s=None) as client:
        client.call("message.search", **_SEARCHES["nothing found"])


def _send(profile: Profile) -> None:
    profile.node.client.call("message.send", to=f"Person {profile.chance.randint(1, _CONTACTS)}", text="x" * 100)
