"""kill -9 at any moment of a run of 2,000 messages: each arrives once and in order, and the ratchet goes on.

Who is killed, how often, and about when, follows from the seed; what happens at that moment in two real processes does
not, and need not: the same holds for all moments. ``pytest tests/e2e/test_kill.py --kill-runs 100`` makes more runs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from p2pchat.api.errors import NoDaemon
from p2pchat.client.blocking import Client
from tests.e2e.daemons import DEADLINE_S, Daemon, matched_pair, until
from tests.e2e.pipelined import Sender

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

COUNT = 2_000


@dataclass
class Side:
    """One of the two, what it calls the other, and what came into its event log and its history since then."""

    daemon: Daemon
    to: str
    cursor: int
    position: int
    events: list[dict[str, Any]]

    @classmethod
    def of(cls, daemon: Daemon, to: str) -> Side:
        last = daemon.call("message.list", to=to, limit=1)["messages"]
        return cls(daemon, to, daemon.call("node.hello")["head"], last[0]["position"] if last else 0, [])

    def history(self, direction: str) -> list[dict[str, Any]]:
        return [row for row in self.daemon.history(self.to, self.position) if row["direction"] == direction]

    def look(self) -> None:
        """Read what is new, if it lives."""
        try:
            with Client(self.daemon.socket, timeout_s=DEADLINE_S) as client:
                while page := self._page(client):
                    self.events += page
                    self.cursor = page[-1]["seq"]
        except NoDaemon:
            return  # killed: the events of before are read by the next look, or have been

    def _page(self, client: Client) -> list[dict[str, Any]]:
        types = ["message.received", "message.delivered"]
        page: Any = client.call("events.fetch", since=self.cursor, types=types, limit=1000)["events"]
        return page  # type: ignore[no-any-return]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] == f"message.{kind}"]


@dataclass(frozen=True)
class Blow:
    """Whom to kill, when so many messages were accepted and a little later, and for how long."""

    at: int
    delay_s: float
    victims: tuple[int, ...]
    pause_s: float


def drawn_blows(chance: random.Random, messages: int) -> list[Blow]:
    """One to three while messages are accepted; perhaps one more when all are accepted and some still on their way."""
    at = sorted(chance.sample(range(1, messages), chance.choice((1, 2, 2, 3))))
    at += chance.choice(((), (messages,)))
    return [
        Blow(
            moment,
            chance.uniform(0, 0.02 if moment < messages else 0.1),
            chance.choice(((0,), (1,), (0,), (1,), (0, 1))),
            chance.uniform(0, 0.3),
        )
        for moment in at
    ]


def strike(blow: Blow, sides: tuple[Side, Side], accepted: Callable[[], int]) -> int:
    """How many messages had been accepted at that moment."""
    until(lambda: accepted() >= blow.at, "the run does not go on", every_s=0.0005)
    time.sleep(blow.delay_s)
    victims = [sides[index].daemon for index in blow.victims]
    for victim in victims:
        victim.kill()
    moment = accepted()
    time.sleep(blow.pause_s)
    for victim in victims:
        victim.launch()  # not waited for: the next blow may hit it in its start
    for side in sides:
        side.look()
    return moment


def check(writer: Side, reader: Side, texts: list[str], replies: list[dict[str, Any]]) -> None:
    """That ``texts`` went from one to the other, once and in order, whoever is asked."""
    ids = [reply["id"] for reply in replies]
    assert [reply["text"] for reply in replies] == texts
    assert len(set(ids)) == len(texts)
    assert [message["text"] for message in reader.told("received")] == texts
    assert sorted(message["id"] for message in writer.told("delivered")) == sorted(ids)
    assert [(row["id"], row["text"], row["state"]) for row in writer.history("out")] == [
        (message, text, "delivered") for message, text in zip(ids, texts, strict=True)
    ]
    assert [row["text"] for row in reader.history("in")] == texts


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    with matched_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture(scope="module")
def moments() -> list[float]:
    """Of every blow of all runs: which part of the run's messages had been accepted."""
    return []


def test_a_kill_costs_nothing(pair: tuple[Daemon, Daemon], kill_seed: int, moments: list[float]) -> None:
    chance = random.Random(kill_seed)
    sides = Side.of(pair[0], "Bob"), Side.of(pair[1], "Alice")
    writers = chance.choice(((0,), (1,), (0, 1)))
    senders = {index: Sender(pair[index].socket, sides[index].to, f"{kill_seed}-{index}") for index in writers}
    texts = {index: [f"run {kill_seed}, {index} says {number}" for number in range(COUNT)] for index in writers}
    messages = COUNT * len(writers)

    def accepted() -> int:
        return sum(len(sender.replies) for sender in senders.values())

    def received() -> int:
        for side in sides:
            side.look()
        return sum(len(side.told("received")) for side in sides)

    with ThreadPoolExecutor(len(writers)) as pool:
        sending = {index: pool.submit(sender.send, texts[index]) for index, sender in senders.items()}
        for blow in drawn_blows(chance, messages):
            moments.append(strike(blow, sides, accepted) / messages)
        replies = {index: future.result() for index, future in sending.items()}
    for daemon in pair:
        daemon.become_ready()
    until(lambda: received() >= messages, "not everything arrived")
    until(lambda: all(daemon.outbox() == 0 for daemon in pair), "not everything was acknowledged")
    received()
    for index, side in enumerate(sides):
        check(side, sides[1 - index], texts.get(index, []), replies.get(index, []))

    # the ratchet goes on in both directions
    for side in sides:
        side.daemon.call("message.send", to=side.to, text="and on", wait="delivered", timeout_ms=30_000)
    for side in sides:
        assert side.history("in")[-1]["text"] == "and on"


def test_the_kills_were_in_the_middle(moments: list[float]) -> None:
    assert sum(0 < moment < 1 for moment in moments) >= len(moments) / 3
