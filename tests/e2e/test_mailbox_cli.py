"""Mailboxes as a newcomer meets them: what is typed right and wrong, with real daemons, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemons import ALICE, BOB, Daemon, daemons, objects, p2pchat, until

pytestmark = pytest.mark.e2e

HELD_S = "60"


@pytest.fixture
def people(tmp_path: Path) -> Iterator[tuple[Daemon, Daemon, Daemon]]:
    """Alice and Bob, matched, and a third node, from which both start."""
    with daemons(tmp_path, None, ALICE, BOB) as (third, alice, bob):
        third.start()
        for person in (alice, bob):
            person.start("--bootstrap", third.address)
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        yield third, alice, bob


def link(holder: Daemon) -> str:
    [offer] = objects(p2pchat(holder.home, "mailbox", "offer", "--for", "anyone", "--json"))
    return str(offer["invite"])


def refused(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    """The exit status of a command that has failed, and its last line, which is all where it is no usage error."""
    done = p2pchat(daemon.home, *arguments)
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 2 or len(lines) == 1
    return done.returncode, lines[-1]


def uptime_s(daemon: Daemon) -> int:
    return int(daemon.call("node.status")["uptime_s"])


def test_from_an_offer_to_a_text_that_arrives_and_what_is_said_on_the_way(
    people: tuple[Daemon, Daemon, Daemon],
) -> None:
    third, alice, bob = people
    not_offered = "holds nothing for you: its owner has to offer that, with p2pchat mailbox offer."
    assert refused(bob, "mailbox", "use", "Alice") == (75, f"PEER_OFFLINE: That node {not_offered}")
    offered = link(third)
    assert refused(bob, "mailbox", "use", offered, offered) == (65, "INVALID_PARAMS: with: names the same node twice")
    assert third.call("mailbox.offer")["owners"] == 0
    assert refused(third, "mailbox", "use", offered)[0] == 65
    status, sentence = refused(bob, "mailbox", "use", "Alice", offered)
    assert (status, sentence.startswith("PEER_OFFLINE: The first holds nothing")) == (75, True)
    assert sentence.endswith("; the other is in use.")
    began_s = uptime_s(bob)
    until(lambda: uptime_s(bob) >= began_s + 2, "the clock stands")  # then silence of holders is counted
    assert p2pchat(bob.home, "mailbox", "use", offered).returncode == 0
    assert bob.stop() == 0

    sent = p2pchat(alice.home, "send", "Bob", "while you were away", "--wait", "held", "--timeout", HELD_S)
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.startswith(b"held")
    assert b"1 message not delivered yet, 1 of them held in mailboxes" in p2pchat(alice.home, "status").stdout
    explained = p2pchat(alice.home, "explain", sent.stdout.split()[-1].decode()).stdout.decode()
    assert explained.startswith(
        "held: Bob cannot be reached now. It is held, sealed, in a mailbox of Bob, for 3 days more: "
        "Bob gets it there even if your node is off. "
    )
    assert "me (held): while you were away" in p2pchat(alice.home, "history", "Bob").stdout.decode()
    assert "Held for others: 1 sealed box, " in p2pchat(third.home, "transparency").stdout.decode()
    ended = p2pchat(third.home, "mailbox", "offer", "--for", "nobody")
    assert "what is held stays until it is fetched or has expired" in ended.stderr.decode()
    assert alice.stop() == 0

    bob.start("--bootstrap", third.address)
    until(lambda: bob.texts("Alice") == ["while you were away"], "not fetched")
    until(lambda: third.call("mailbox.transparency")["boxes"] == 0, "not deleted")


def test_a_locked_daemon_says_so_and_so_does_none(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert refused_without(home) == {69: 3}
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    daemon = Daemon(home, None, passphrase)
    assert refused_without(home) == {69: 3}
    try:
        daemon.start("--locked")
        assert refused_without(home) == {77: 3}
    finally:
        daemon.kill()


def refused_without(home: Path) -> dict[int, int]:
    """How often which exit status was had where no node can answer; each time with one line."""
    statuses: dict[int, int] = {}
    for arguments in (("mailbox", "list"), ("transparency", "--json"), ("--json", "mailbox", "use", "--none")):
        done = p2pchat(home, *arguments)
        assert (done.stdout, len(done.stderr.splitlines())) == (b"", 1)
        statuses[done.returncode] = statuses.get(done.returncode, 0) + 1
    return statuses
