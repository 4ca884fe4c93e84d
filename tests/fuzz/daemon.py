"""The daemon under fire and its honest friend: started, measured from outside, and asked whether they still talk."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from p2pchat.api.errors import ApiError
from p2pchat.base.errors import P2PChatError
from p2pchat.client.blocking import Client
from p2pchat.daemon.logs import ALLOWED
from p2pchat.net.addresses import parse_address
from tests.e2e.daemons import ALICE, BOB, Daemon, daemons, until
from tests.fuzz.attacker import Place
from tests.fuzz.insider import Insider

EXPECTED: Final = {
    "node.ready": "info",
    "bootstrap.done": "info",
    "inbound.refused": "debug",
    "stream.failed": "info",
    "link.ended": "debug",
    "peer.cut_off": "info",
    "peer.paced": "info",
    "dial.failed": "debug",
    "presence.not_read": "debug",
    "session.refused": "info",
}
"""What a daemon may log while strangers send it junk, and at which level. ``defect`` is never among it."""

_DELIVERY_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Size:
    """What the process holds."""

    rss_kib: int
    descriptors: int
    threads: int


def size_of(pid: int) -> Size:
    """Measured by the kernel."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    return Size(
        rss_kib=int(status["VmRSS"].split()[0]),
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"]),
    )


def complaint_about(line: str) -> str | None:
    """What is wrong with a line of a log: not a declared event, not at its level, or with a key that was dropped."""
    try:
        entry = json.loads(line)
    except ValueError:
        return f"not a line of ours: {line[:300]!r}"
    if not isinstance(entry, dict) or EXPECTED.get(str(entry.get("event"))) != entry.get("level"):
        return f"not expected: {line[:300]}"
    if "may not be logged" in str(entry.get("reason", "")) or entry.keys() - ALLOWED - {"peer"}:
        return f"with a key that may not be logged: {line[:300]}"
    return None


class LogTail:
    """Reads a log as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = ""
        self.kinds: dict[str, int] = {}

    def complaints(self) -> list[str]:
        """What is wrong with the lines that are new."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        *lines, self._rest = (self._rest + data.decode(errors="replace")).split("\n")
        for line in lines:
            self._count(line)
        return [found for line in lines if (found := complaint_about(line)) is not None]

    def _count(self, line: str) -> None:
        with suppress(ValueError):  # complained about already
            entry = json.loads(line)
            kind = f"{entry.get('event')}:{entry.get('error', '')}"
            self.kinds[kind] = self.kinds.get(kind, 0) + 1


@dataclass(eq=False)
class Pair:
    """``victim`` gets the junk, ``friend`` is matched with it and connected."""

    victim: Daemon
    friend: Daemon
    place: Place
    latencies_ms: list[float] = field(default_factory=list[float])
    offline: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._logs = [LogTail(self.victim.log), LogTail(self.friend.log)]
        self._link = self._link_to_friend()
        self._sent = 0
        self._insider: Insider | None = None

    @property
    def log_kinds(self) -> dict[str, int]:
        """How often the victim logged which event with which error."""
        return self._logs[0].kinds

    def forget(self) -> None:
        """Begin to count anew."""
        self.latencies_ms.clear()
        self.log_kinds.clear()

    @property
    def size(self) -> Size:
        """Of the victim; nothing if it died."""
        assert self.victim.process is not None
        if self.victim.process.poll() is not None:
            return Size(0, 0, 0)
        return size_of(self.victim.process.pid)

    def findings(self) -> list[str]:
        """What can be seen from outside without asking the daemons: that they died, what they logged."""
        found: list[str] = []
        for name, daemon in (("victim", self.victim), ("friend", self.friend)):
            assert daemon.process is not None
            if daemon.process.poll() is not None:
                found.append(f"the {name} died with status {daemon.process.returncode}")
        found += [f"{name} logged {line}" for tail, name in zip(self._logs, ("victim", "friend"), strict=True)
                  for line in tail.complaints()]  # fmt: skip
        return found + [f"the friend went {what}" for what in self.offline]

    def talk(self) -> list[str]:
        """Both send each other a text; what is wrong if it does not come, or if their connection is another one."""
        found: list[str] = []
        for sender, to in ((self.friend, "Alice"), (self.victim, "Bob")):
            self._sent += 1
            start = time.monotonic()
            try:
                with Client(sender.socket, timeout_s=_DELIVERY_MS / 1000 + 5) as client:
                    text = f"honest {self._sent}"
                    client.call("message.send", to=to, text=text, wait="delivered", timeout_ms=_DELIVERY_MS)
            except P2PChatError as error:
                found.append(f"a text to {to} did not arrive: {error.error_name}: {error.message}")
            self.latencies_ms.append((time.monotonic() - start) * 1000)
        if self._link_to_friend() != self._link:
            found.append("the connection of the victim and its friend was replaced")
        return found

    def _link_to_friend(self) -> object:
        try:
            friend = self.friend.call("node.status")["peer_id"]
            peers = self.victim.call("net.peers")["peers"]
        except ApiError as error:
            return error.error_name
        return next((row["since_ms"] for row in peers if row["peer_id"] == friend), None)

    def insider(self) -> Insider:
        """Somebody else with whom the victim is matched, and whose profile we have; made at the first call."""
        if self._insider is None:
            self._insider = Insider(self.victim.home.parent / "insider", self.victim)
        return self._insider

    def watch(self) -> threading.Thread:
        """Note when the victim says that its friend is offline: in a thread that ends with the victim."""
        client = Client(self.victim.socket)
        events = client.events(types=["peer.offline"], reconnect=False)

        def follow() -> None:
            with client, suppress(P2PChatError):  # the daemon ended, which findings() sees
                for event in events:
                    if "Bob" in str(event["data"]):
                        self.offline.append(str(event["type"]))

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        return thread


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """Two daemons, matched and connected, at the most verbose level."""
    with daemons(folder, ALICE, BOB) as (alice, bob):
        alice.start("--log-level", "debug")
        bob.start("--log-level", "debug", "--bootstrap", alice.address)
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        alice.call("message.send", to="Bob", text="first", wait="delivered", timeout_ms=30_000)
        address, peer = parse_address(alice.address)
        assert peer is not None
        made = Pair(alice, bob, Place(peer, address))
        watcher = made.watch()
        yield made
    watcher.join()
