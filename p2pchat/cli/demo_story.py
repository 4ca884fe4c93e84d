"""What happens in the demo, in order, and the check that it did."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from gettext import gettext as _
from pathlib import Path
from typing import Final

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.language import marked
from p2pchat.api.paths import ProfilePaths
from p2pchat.api.text import columns
from p2pchat.cli.output import line
from p2pchat.cli.program import daemon_program
from p2pchat.cli.reading import fields, number, objects, text, texts
from p2pchat.cli.sandbox import ALONE, Process, Sandbox
from p2pchat.client.blocking import Client

ALICE_NUMBER: Final = "+821012345678"
BOB_NUMBER: Final = "+821098765432"

READY_S: Final = 60.0
MATCH_S: Final = 180.0
DELIVERY_S: Final = 60.0
STOP_S: Final = 20.0
POLL_S: Final = 0.02

_ALICE_SAYS: Final = (
    "Hello Bob, all I had was your number.",
    "No server between us.",
    "안녕, 밥! 잘 지냈어?",
    "Who could read this on the way?",
    "And if somebody records all of it?",
    "🙂🏔️🚲",
    "Two lines\nare one message.",
    "שלום",
    "What if your node is off when I write?",
    "Nine down, this is ten.",
)
_BOB_SAYS: Final = (
    "Hello Alice, all I had was yours.",
    "Only our own nodes.",
    "응, 잘 지냈어!",
    "Nobody: only the two of us have the keys.",
    "Each message has a key of its own, deleted after use.",
    "👩‍👩‍👧‍👦",
    "And are shown as one.",
    "مرحبا",
    "Then yours keeps it until I am back.",
    "Ten here too. I restart now.",
)
_AWAY: Final = 5


@dataclass
class Person:
    """Somebody with a node: what has happened there is read from its event log."""

    name: str
    number: str | None
    home: Path
    paths: ProfilePaths
    process: Process | None = None
    client: Client | None = None
    cursor: int = 0
    matched: bool = False
    received: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    def call(self, method: str, /, **params: object) -> dict[str, object]:
        assert self.client is not None  # noqa: S101  the story calls whom it has started
        return self.client.call(method, **params)

    def disconnect(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None

    def look(self) -> None:
        """Read what is new."""
        for event in objects(self.call("events.fetch", since=self.cursor, limit=1000), "events"):
            self.cursor = number(event, "seq")
            if event.get("type") == "contact.matched":
                self.matched = True
            if event.get("type") == "message.received":
                self.received.append({**fields(event, "data"), "ts": event.get("ts")})


@dataclass
class Summary:
    """What it took, in milliseconds, and how much was said."""

    ready_ms: int = 0
    match_ms: int = 0
    first_delivery_ms: int = 0
    restart_ms: int = 0
    total_ms: int = 0
    messages: int = 0

    def fields(self) -> dict[str, object]:
        return asdict(self)

    def lines(self) -> list[str]:
        rows = (
            (_("ready"), self.ready_ms, _("(the slowest of three daemons)")),
            (_("match"), self.match_ms, _("(by phone number alone)")),
            (_("first delivery"), self.first_delivery_ms, ""),
            (_("after a restart"), self.restart_ms, _("(start of the daemon to what had waited)")),
            (_("in all"), self.total_ms, ""),
        )
        widest = max(columns(name) for name, _ms, _what in rows)
        said = _("{count} messages, each arrived once and in order. Everything was removed.")
        return [
            "",
            *(f"{name}{' ' * (widest - columns(name))} {ms / 1000:6.2f} s  {what}".rstrip() for name, ms, what in rows),
            said.format(count=self.messages),
        ]


class Story:
    """The demo's course.

    Args:
        home: an empty directory.
        silent: print no transcript.
    """

    def __init__(self, sandbox: Sandbox, home: Path, *, silent: bool) -> None:
        self._sandbox = sandbox
        self._silent = silent
        self._began = time.monotonic()
        self._summary = Summary()
        self._router = _person("Router", None, home)
        self._alice = _person("Alice", ALICE_NUMBER, home)
        self._bob = _person("Bob", BOB_NUMBER, home)
        self._everyone = (self._router, self._alice, self._bob)

    def tell(self) -> Summary:
        """Everything, in order.

        Raises:
            ApiError: TIMEOUT, something did not happen in time; INTERNAL, a daemon ended or a message is not as it
                was sent; or what a daemon replied.
        """
        try:
            for act in (self._make_profiles, self._start_all, self._match, self._talk, self._restart, self._check):
                act()
        finally:
            for person in self._everyone:
                person.disconnect()
        self._summary.total_ms = self._since(self._began)
        return self._summary

    # -- the course ------------------------------------------------------------------------------------------------

    def _make_profiles(self) -> None:
        for person in self._everyone:
            person.home.mkdir()
            who = ["--number", person.number] if person.number else ["--no-number"]
            self._run(person, "init", *who, "--name", person.name, "--no-passphrase")
        for person in self._everyone:
            failure = marked("{name}'s profile is not made, after {seconds} seconds.")
            self._wait(READY_S, failure, person, partial(self._has_exited, person))
        self._say(_("Alice, Bob and a router have made their profiles."))

    def _start_all(self) -> None:
        began = time.monotonic()
        self._start(self._router)
        self._become_ready(self._router)
        self._start(self._alice)
        self._start(self._bob)
        for person in (self._alice, self._bob):
            self._become_ready(person)
        self._summary.ready_ms = self._since(began)
        self._say(_("Three daemons are ready. Alice and Bob know one address each: the router's."))

    def _match(self) -> None:
        began = time.monotonic()
        self._alice.call("contacts.add", number=BOB_NUMBER, name="Bob")
        self._say(_("Alice adds {number} and calls it Bob.").format(number=BOB_NUMBER))
        self._bob.call("contacts.add", number=ALICE_NUMBER, name="Alice")
        self._say(_("Bob adds {number} and calls it Alice.").format(number=ALICE_NUMBER))
        both = (self._alice, self._bob)
        failure = marked("Alice and Bob do not find each other, after {seconds} seconds.")
        self._wait(MATCH_S, failure, self._alice, lambda: all(person.matched for person in both))
        self._summary.match_ms = self._since(began)
        self._say(_("They have found each other in the DHT and opened a session."))

    def _talk(self) -> None:
        for alice_says, bob_says in zip(_ALICE_SAYS, _BOB_SAYS, strict=True):
            self._exchange(self._alice, self._bob, alice_says)
            self._exchange(self._bob, self._alice, bob_says)
        self._summary.first_delivery_ms = _took_ms(self._bob.received[0])

    def _restart(self) -> None:
        self._stop(self._bob)
        self._say(_("Bob's daemon is stopped. Alice goes on writing."))
        for said in _after_restart("Alice")[:_AWAY]:
            self._send(self._alice, self._bob, said)
        began = time.monotonic()
        self._start(self._bob)
        self._become_ready(self._bob)
        self._say(_("Bob's daemon is started again."))
        self._wait_for(self._bob, len(_ALICE_SAYS) + _AWAY)
        self._summary.restart_ms = self._since(began)
        self._say(_("The {count} messages that waited for Bob have arrived.").format(count=_AWAY))
        for said in _after_restart("Alice")[_AWAY:]:
            self._exchange(self._alice, self._bob, said)
        for said in _after_restart("Bob"):
            self._exchange(self._bob, self._alice, said)

    def _check(self) -> None:
        for reader, writer, said in (
            (self._bob, self._alice, [*_ALICE_SAYS, *_after_restart("Alice")]),
            (self._alice, self._bob, [*_BOB_SAYS, *_after_restart("Bob")]),
        ):
            reader.look()
            told = [text(message, "text") for message in reader.received]
            page = objects(reader.call("message.list", to=writer.name, limit=1000), "messages")
            kept = [text(message, "text") for message in page if message.get("direction") == "in"]
            if told != said or kept != said:
                wrong = marked("What {reader} received is not what {writer} wrote.")
                raise ApiError("INTERNAL", wrong.format(reader=reader.name, writer=writer.name))
            self._summary.messages += len(said)

    # -- one step --------------------------------------------------------------------------------------------------

    def _exchange(self, writer: Person, reader: Person, said: str) -> None:
        self._send(writer, reader, said)
        self._wait_for(reader, len(reader.received) + 1)
        self._say(f"{writer.name} → {reader.name}: {said}   [{_took_ms(reader.received[-1])} ms]")

    def _send(self, writer: Person, reader: Person, said: str) -> None:
        writer.call("message.send", to=reader.name, text=said)

    def _wait_for(self, reader: Person, count: int) -> None:
        failure = marked("a message to {name} does not arrive, after {seconds} seconds.")
        self._wait(DELIVERY_S, failure, reader, lambda: len(reader.received) >= count)

    def _start(self, person: Person) -> None:
        known = [] if person is self._router else ["--bootstrap", self._router_address()]
        self._run(person, "run", "--listen", "/ip4/127.0.0.1/tcp/0", *known)

    def _become_ready(self, person: Person) -> None:
        failure = marked("{name}'s daemon does not answer, after {seconds} seconds.")
        self._wait(READY_S, failure, person, lambda: self._connected(person))

    def _stop(self, person: Person) -> None:
        person.call("node.shutdown")
        person.disconnect()
        failure = marked("{name}'s daemon does not stop, after {seconds} seconds.")
        self._wait(STOP_S, failure, person, lambda: self._has_exited(person))

    def _run(self, person: Person, *arguments: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("P2PCHAT_", "NOTIFY_"))}
        environment = {**kept, **ALONE, "P2PCHAT_HOME": str(person.home)}
        log = person.home / "output.log"
        person.process = self._sandbox.start(person.name, [*daemon_program(), *arguments], environment, log)

    def _router_address(self) -> str:
        addresses = texts(self._router.call("net.addrs"), "addresses")
        if not addresses:
            raise ApiError("INTERNAL", "The router has no address.")
        return addresses[0]

    def _connected(self, person: Person) -> bool:
        assert person.process is not None  # noqa: S101  it was started
        status = person.process.ended()
        if status is not None:
            raise ApiError("INTERNAL", f"{person.name}'s daemon ended at its start, with status {status}.")
        try:
            client = Client(person.paths.socket)
        except NoDaemon:
            return False  # not listening yet
        client.call("node.hello")
        person.client = client
        return True

    def _has_exited(self, person: Person) -> bool:
        """Whether a process that is expected to end has ended, which it must do well."""
        assert person.process is not None  # noqa: S101  it was started
        status = person.process.ended()
        if status is None:
            return False
        if status != 0:
            raise ApiError("INTERNAL", f"{person.name}'s process ended with status {status}.")
        self._sandbox.finish(person.process)
        person.process = None
        return True

    def _wait(self, within_s: float, failure: str, whom: Person, condition: Callable[[], bool]) -> None:
        """Until ``condition``. ``failure``: a sentence with places for the name of ``whom`` and the seconds.

        Raises:
            ApiError: TIMEOUT.
        """
        deadline = time.monotonic() + within_s
        while True:
            self._sandbox.check()
            for person in self._everyone:
                if person.client is not None:
                    self._look(person)
            if condition():
                return
            if time.monotonic() > deadline:
                raise ApiError("TIMEOUT", failure.format(name=whom.name, seconds=f"{within_s:g}"))
            time.sleep(POLL_S)

    def _look(self, person: Person) -> None:
        try:
            person.look()
        except NoDaemon:
            raise ApiError("INTERNAL", f"{person.name}'s daemon has ended.") from None

    def _say(self, said: str) -> None:
        if not self._silent:
            line(f"{time.monotonic() - self._began:6.2f} s  {said}")

    @staticmethod
    def _since(began: float) -> int:
        return round((time.monotonic() - began) * 1000)


def _person(name: str, own_number: str | None, home: Path) -> Person:
    own_home = home / name.lower()
    return Person(name, own_number, own_home, ProfilePaths(environ={"P2PCHAT_HOME": str(own_home)}))


def _after_restart(writer: str) -> list[str]:
    return [f"{n} of 10 from {writer}, after the restart" for n in range(1, 11)]


def _took_ms(message: dict[str, object]) -> int:
    """From the writer's commit to the reader's; both clocks are this machine's."""
    return number(message, "ts") - number(message, "created_ms")
