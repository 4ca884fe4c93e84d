"""Invites and blocking as they are typed, between real daemons: nothing here has a number."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from p2pchat.client.blocking import Client
from tests.e2e.daemons import Daemon, daemons, objects, p2pchat, until

pytestmark = pytest.mark.e2e

HERE = "/ip4/127.0.0.1/tcp/0"


def invited(inviter: Daemon, guest: Daemon, name: str, *options: str) -> dict[str, object]:
    """``guest`` becomes a contact of ``inviter`` by a link; what the inviter calls it is ``name``."""
    [made] = objects(p2pchat(inviter.home, "id", "invite", "--json", *options))
    [added] = objects(p2pchat(guest.home, "contacts", "add", str(made["invite"]), "--name", "Alice", "--json"))
    assert (added["state"], added["number"]) == ("pending", None)
    root = str(guest.call("identity.show")["root"])

    def came() -> bool:
        return any(row["name"] == f"Contact {root[:8]}" for row in inviter.call("contacts.list")["contacts"])

    until(came, "nobody came through the invite")
    inviter.call("contacts.rename", to=f"Contact {root[:8]}", name=name)
    return made


def both_matched(one: Daemon, of_one: str, other: Daemon, of_other: str) -> bool:
    return one.state_of(of_one) == other.state_of(of_other) == "matched"


def test_a_link_is_all_that_two_need(tmp_path: Path) -> None:
    """Neither names the other's address: it stands in the link."""
    with daemons(tmp_path, None, None) as (alice, bob):
        alice.start()
        bob.start()
        invited(alice, bob, "Bob")
        until(lambda: both_matched(alice, "Bob", bob, "Alice"), "no match")
        assert p2pchat(bob.home, "send", "Alice", "by link", "--wait", "delivered").returncode == 0
        assert alice.texts("Bob") == ["by link"]
        [kept] = objects(p2pchat(alice.home, "id", "invites", "--json"))
        assert (kept["open"], kept["used"]) == (False, 1)


def test_an_invite_that_asks_and_wrong_input(tmp_path: Path) -> None:
    with daemons(tmp_path, None, None) as (alice, bob):
        alice.start()
        bob.start()
        picture = tmp_path / "invite.png"
        made = invited(alice, bob, "Bob", "--ask", "--uses", "2", "--expires", "12h", "--png", str(picture))
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert alice.state_of("Bob") == "request"
        refused = p2pchat(alice.home, "send", "Bob", "too early")
        assert (refused.returncode, refused.stderr.split(b":")[0]) == (65, b"INVALID_PARAMS")
        assert p2pchat(alice.home, "contacts", "accept", "Bob").returncode == 0
        until(lambda: both_matched(alice, "Bob", bob, "Alice"), "no match")
        again = p2pchat(alice.home, "contacts", "accept", "Bob")
        assert (again.returncode, again.stderr.split(b":")[0]) == (65, b"INVALID_PARAMS")

        link = str(made["invite"])
        for text in (link[:-5], "p2pchat:", link + "a"):
            wrong = p2pchat(bob.home, "contacts", "add", text)
            assert wrong.returncode == 65
            assert wrong.stderr.startswith(b"INVALID_PARAMS: invite: ")
            assert link[8:40].encode() not in wrong.stderr
        own = p2pchat(alice.home, "contacts", "add", link)
        assert (own.returncode, b"this profile has made" in own.stderr) == (65, True)
        assert p2pchat(alice.home, "id", "invite", "--expires", "soon").returncode == 2
        assert p2pchat(alice.home, "id", "invite", "--uses", "0").returncode == 65
        assert p2pchat(alice.home, "id", "revoke", str(made["id"])).returncode == 0
        assert p2pchat(alice.home, "id", "revoke", "00ff").returncode == 65
        number = p2pchat(alice.home, "contacts", "add", "+821012345678")
        assert (number.returncode, b"invite" in number.stderr) == (65, True)


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_a_block_at_a_running_daemon(tmp_path: Path, named: bool) -> None:
    """Its clients stay connected, its other contacts are told, and the one who was blocked finds nobody."""
    with daemons(tmp_path, None, None, None) as (alice, bob, carol):
        alice.start()
        if named:  # a port that the user has named is kept
            port = alice.address.split("/")[4]
            alice.stop()
            alice.start("--listen", f"/ip4/127.0.0.1/tcp/{port}")
        bob.start()
        carol.start()
        invited(alice, bob, "Bob")
        invited(alice, carol, "Carol")
        until(lambda: both_matched(alice, "Bob", bob, "Alice"), "no match with Bob")
        until(lambda: both_matched(alice, "Carol", carol, "Alice"), "no match with Carol")
        before, address = alice.call("identity.show")["peer_id"], alice.address

        seen: list[str] = []

        def listen() -> None:
            with Client(alice.socket) as client:
                for event in client.events(since=0):
                    seen.append(str(event["type"]))
                    if seen.count("message.received") == 1:
                        return

        listener = threading.Thread(target=listen)
        listener.start()
        [blocked] = objects(p2pchat(alice.home, "contacts", "block", "Bob", "--json"))
        assert blocked["state"] == "blocked"
        until(lambda: alice.call("identity.show")["peer_id"] != before, "the node key is the old one")
        until(lambda: alice.call("net.addrs")["addresses"], "no address")
        assert (alice.address.split("/p2p/")[0] == address.split("/p2p/")[0]) is named
        assert p2pchat(carol.home, "send", "Alice", "still there", "--wait", "delivered").returncode == 0
        listener.join(timeout=30)
        assert not listener.is_alive()
        assert seen.count("node.renewed") == 1  # on one connection from before the block until after it

        to_blocked = p2pchat(alice.home, "send", "Bob", "no")
        assert (to_blocked.returncode, to_blocked.stderr.split(b":")[0]) == (76, b"BLOCKED")
        waiting = p2pchat(bob.home, "send", "Alice", "hello?", "--wait", "delivered", "--timeout", "5")
        assert waiting.returncode == 75
        assert alice.texts("Bob") == []
        dial = p2pchat(bob.home, "net", "dial", address)  # the one that it knew
        assert (dial.returncode, dial.stderr.split(b":")[0]) == (75, b"PEER_OFFLINE")

        alice.kill()
        alice.start(*(("--listen", address.split("/p2p/")[0]) if named else ()))
        assert alice.call("identity.show")["peer_id"] != before
        assert p2pchat(alice.home, "send", "Carol", "and I after a crash", "--wait", "delivered").returncode == 0


@pytest.mark.slow
def test_one_by_link_and_by_number_is_one_person_when_the_user_says_so(tmp_path: Path) -> None:
    with daemons(tmp_path, "+821012345678", "+821098765432") as (alice, bob):
        alice.start()
        bob.start()
        invited(alice, bob, "Bob")
        until(lambda: both_matched(alice, "Bob", bob, "Alice"), "no match")
        for one, number, name in ((alice, "+821098765432", "Bob mobile"), (bob, "+821012345678", "Alice mobile")):
            assert p2pchat(one.home, "contacts", "add", number, "--name", name).returncode == 0
        assert p2pchat(alice.home, "send", "Bob mobile", "to the number").returncode == 0

        def told() -> bool:
            return (
                b"that is Bob: p2pchat contacts merge " in p2pchat(alice.home, "contacts", "show", "Bob mobile").stdout
            )

        until(told, "nobody says that they are one")
        assert p2pchat(alice.home, "contacts", "choose", "Bob mobile").returncode == 65
        assert p2pchat(alice.home, "contacts", "merge", "Bob", "Bob mobile").returncode == 0
        until(lambda: bob.texts("Alice") == ["to the number"], "what waited for the number does not arrive")
        [kept] = objects(p2pchat(alice.home, "contacts", "list", "--json"))
        assert (kept["name"], kept["number"], kept["state"]) == ("Bob", "+821098765432", "matched")
        again = p2pchat(alice.home, "contacts", "merge", "Bob", "Bob")
        assert (again.returncode, b"the same contact" in again.stderr) == (65, True)
