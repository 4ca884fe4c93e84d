"""A daemon that is stopped (SIGSTOP) is dropped after 30 s of silence; let go on, it is back and nothing is lost.

Two pairs at the same time: in one the receiver is stopped in the middle of a burst, in the other the sender.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.errors import NoDaemon
from p2pchat.base.limits import DIAL_TOTAL_S, SILENCE_S
from p2pchat.client import Client, Event
from p2pchat.core.params import PRODUCTION
from tests.e2e.daemons import Daemon, matched_pair, until
from tests.e2e.pipelined import Sender

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STOPPED_S = 40.0
SLACK_S = 4.0
BACK_S = DIAL_TOTAL_S + 1.2 * PRODUCTION.retry_min_s + SLACK_S
"""A dial that began too early fails first, then the first pause passes."""

BURST = 1_000


class Presence:
    """When a daemon saw its contact come and go: (seconds on this process's clock, event type)."""

    def __init__(self, daemon: Daemon, pool: ThreadPoolExecutor) -> None:
        self.events: list[tuple[float, str]] = []
        self._client = Client(daemon.socket)
        pool.submit(self._watch, self._client.events(types=["peer.*"], reconnect=False))

    def _watch(self, events: Iterator[Event]) -> None:
        try:
            for event in events:
                self.events.append((time.monotonic(), str(event["type"])))
        except NoDaemon:
            self._client.close()

    def types(self) -> list[str]:
        return [kind for _, kind in self.events]


class Pair:
    """Alice stays, Bob is stopped; what each says, and what each is told of the other."""

    def __init__(self, alice: Daemon, bob: Daemon, pool: ThreadPoolExecutor) -> None:
        self.alice, self.bob = alice, bob
        self.peer = str(bob.call("identity.show")["peer_id"])
        self.alice_sees, self.bob_sees = Presence(alice, pool), Presence(bob, pool)
        self.alice_says: list[str] = []
        self.bob_says: list[str] = []
        self.stopped_at = 0.0
        self._pool = pool
        self._burst: Future[list[dict[str, Any]]] | None = None

    def say(self, when: str, *, alice: int = 0, bob: int = 0) -> None:
        """Queue so many messages on each side; returns when they are committed."""
        hers, his = (self.alice, "Bob", self.alice_says, alice), (self.bob, "Alice", self.bob_says, bob)
        for daemon, to, said, count in (hers, his):
            texts = [f"{when} {number}" for number in range(count)]
            Sender(daemon.socket, to, when).send(texts)
            said += texts

    def stop_in_a_burst(self, writer: Daemon) -> None:
        """Stop Bob while one of the two says ``BURST`` things, and the client of a stopped daemon waits."""
        hers = writer is self.alice
        texts = [f"burst {number}" for number in range(BURST)]
        sender = Sender(writer.socket, "Bob" if hers else "Alice", "burst")
        self._burst = self._pool.submit(sender.send, texts)
        (self.alice_says if hers else self.bob_says).extend(texts)
        until(lambda: len(sender.replies) > BURST // 4, "the burst does not begin", every_s=0.001)
        assert self.bob.process is not None
        os.kill(self.bob.process.pid, signal.SIGSTOP)
        self.stopped_at = time.monotonic()

    def go_on(self) -> None:
        assert self.bob.process is not None
        os.kill(self.bob.process.pid, signal.SIGCONT)

    def end_of_burst(self) -> None:
        assert self._burst is not None
        assert len(self._burst.result()) == BURST

    def connected(self) -> bool:
        return self.peer in [peer["peer_id"] for peer in self.alice.call("net.peers")["peers"]]

    def online(self) -> bool:
        return bool(self.alice.call("contacts.get", to="Bob")["online"])

    def settled(self) -> bool:
        return self.alice.outbox() == self.bob.outbox() == 0


@contextmanager
def pairs(folder: Path) -> Iterator[tuple[Pair, Pair]]:
    with ThreadPoolExecutor(6) as pool, ExitStack() as stack:  # the daemons end first, and with them the watchers
        first, second = (stack.enter_context(matched_pair(folder / name)) for name in ("a", "b"))
        yield Pair(*first, pool), Pair(*second, pool)


def test_a_stopped_daemon_is_dropped_and_comes_back(tmp_path: Path) -> None:
    with pairs(tmp_path) as (receiving, sending):
        both = (receiving, sending)
        for pair in both:
            pair.say("before", alice=20, bob=20)
            until(pair.settled, "the first messages are not delivered")
            assert pair.online()
        receiving.stop_in_a_burst(receiving.alice)
        sending.stop_in_a_burst(sending.bob)
        receiving.end_of_burst()
        for pair in both:
            pair.say("during", alice=100)
            assert pair.connected()
        began = max(pair.stopped_at for pair in both)
        until(lambda: not any(pair.connected() for pair in both), "not dropped", SILENCE_S + SLACK_S)
        until(lambda: not any(pair.online() for pair in both), "dropped, and yet online", SLACK_S)
        for pair in both:
            until(pair.alice_sees.types, "no event tells of it")  # another connection's, and so a moment later
            (dropped_at, kind), *_ = pair.alice_sees.events
            assert kind == "peer.offline"
            assert SILENCE_S - SLACK_S < dropped_at - pair.stopped_at < SILENCE_S + SLACK_S
        time.sleep(began + STOPPED_S - time.monotonic())
        for pair in both:
            assert pair.alice_sees.types() == ["peer.offline"]
            assert pair.alice.outbox() >= 100
            pair.go_on()
        until(lambda: all(pair.online() for pair in both), "it did not come back", BACK_S)
        for pair in both:
            assert pair.connected()
            pair.end_of_burst()
            pair.say("after", alice=20, bob=20)
            until(pair.settled, "not everything was acknowledged")
            assert pair.bob.texts("Alice") == pair.alice_says
            assert pair.alice.texts("Bob") == pair.bob_says
            until(lambda p=pair: p.alice_sees.types()[-1] == "peer.online", "no event tells of it")  # type: ignore[misc]
            assert pair.alice_sees.types()[0] == "peer.offline"
            # who was stopped may be met anew before it notices that it was away
            until(lambda p=pair: p.bob_sees.types()[-1:] in ([], ["peer.online"]), "still away")  # type: ignore[misc]
            assert pair.bob_sees.types()[:1] in ([], ["peer.offline"])
