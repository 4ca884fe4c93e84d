"""Nobody has to be online together: four real daemons, of which two hold boxes for people whom they do not know."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest

from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import connect
from tests.e2e.daemons import Daemon, daemons, objects, p2pchat, until
from tests.e2e.pipelined import Sender
from tests.e2e.test_backup import restored

pytestmark = pytest.mark.e2e

ALICE, BOB = "+821053971264", "+821064829517"  # in no example of the program
CANARY = "a canary that sings at"
BEFORE = [f"{CANARY} {number} o'clock" for number in range(500)]
AFTER = [f"{CANARY} {number} o'clock" for number in range(500, 1000)]
HELD_S = 120.0
SHOWN_S = 60.0


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text("correct horse battery staple\n")
    return str(file)


def use(owner: Daemon, *holders: Daemon) -> None:
    """Both offer mailboxes to anyone, and the owner uses them."""
    links: list[str] = []
    for holder in holders:
        [offer] = objects(p2pchat(holder.home, "mailbox", "offer", "--for", "anyone", "--json"))
        links.append(str(offer["invite"]))
    done = p2pchat(owner.home, "mailbox", "use", *links)
    assert done.returncode == 0, done.stderr


def states(daemon: Daemon, to: str) -> set[str]:
    return {str(row["state"]) for row in daemon.history(to) if row["direction"] == "out"}


def holders_of(daemon: Daemon, to: str) -> set[int]:
    return {len(row["holders"]) for row in daemon.history(to) if row["direction"] == "out"}


def memory_of(daemon: Daemon) -> bytes:
    """All that the process can write to, as somebody with its machine in hands would dump it."""
    assert daemon.process is not None
    pid, parts = daemon.process.pid, list[bytes]()
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if rights.startswith("rw"):
                low, high = (int(end, 16) for end in span.split("-"))
                with contextlib.suppress(OSError, ValueError):  # a mapping that only the kernel reads
                    memory.seek(low)
                    parts.append(memory.read(high - low))
    return b"\n".join(parts)


def database_of(daemon: Daemon) -> bytes:
    """Everything in its tables, in plain."""
    profile = daemon.home / "data" / "default"
    connection = connect(profile / "p2pchat.db", read_key(profile / "key", None))
    try:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type != 'virtual'"
            )
        ]
        rows = (row for table in tables for row in connection.execute(f"SELECT * FROM {table}"))  # noqa: S608  ours
        return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
    finally:
        connection.close()


def identities(*people: Daemon) -> list[bytes]:
    """What says who somebody is, and what they wrote: as bytes, and keys in hex, too."""
    needles = [CANARY.encode(), b"Alice of the hill", b"Bob of the sea"]
    for number in (ALICE, BOB):
        needles += [number.encode(), number[3:].encode(), hashlib.sha256(number.encode()).digest()]
    for person in people:
        root = str(person.call("identity.show")["root"])
        needles += [bytes.fromhex(root), root.encode()]
    return needles


def found(needles: list[bytes], haystack: bytes) -> list[bytes]:
    return [needle for needle in needles if needle in haystack]


@pytest.mark.slow
def test_a_thousand_messages_arrive_from_who_is_gone_through_the_holder_that_is_left(
    tmp_path: Path, passphrase: str
) -> None:
    """Bob is away while Alice writes, from one device and then, restored from a backup, from another; she is away, and
    one of two holders gone for ever, when he comes back. Her first message ever to him is among them.
    """
    with daemons(tmp_path, ALICE, BOB, None, None) as (alice, bob, one, two):
        one.start()
        two.start("--bootstrap", one.address)
        meeting = ("--bootstrap", one.address, "--bootstrap", two.address)
        alice.start(*meeting)
        bob.start(*meeting)
        alice.call("contacts.add", number=BOB, name="Bob of the sea")
        bob.call("contacts.add", number=ALICE, name="Alice of the hill")
        to = "Bob of the sea"
        until(lambda: alice.state_of(to) == bob.state_of("Alice of the hill") == "matched", "no match")
        use(bob, one, two)
        people = identities(alice, bob)
        assert bob.stop() == 0

        Sender(alice.socket, to, "before").send(BEFORE)
        until(lambda: states(alice, to) == {"held"}, "not held", HELD_S, every_s=0.5)
        explained = p2pchat(alice.home, "explain", str(alice.history(to)[0]["id"]))
        assert explained.returncode == 0
        assert b"held" in explained.stdout
        made = p2pchat(alice.home, "backup", "create", str(tmp_path / "backup"), "--passphrase-file", passphrase)
        assert made.returncode == 0, made.stderr
        assert alice.stop() == 0
        with restored(tmp_path / "new", tmp_path / "backup", passphrase) as again:
            again.start("--passphrase-file", passphrase, *meeting)
            Sender(again.socket, to, "after").send(AFTER)
            until(lambda: states(again, to) == {"held"}, "not held anew", HELD_S, every_s=0.5)
            until(lambda: holders_of(again, to) == {2}, "not held twice", HELD_S, every_s=0.5)
            for holder in (one, two):
                [kept] = objects(p2pchat(holder.home, "transparency", "--json"))
                assert kept["boxes"] > 0
                assert found(people, memory_of(holder)) == []
                assert found(people, database_of(holder)) == []
            assert found(people, memory_of(again)) != []  # where they are, they are found
            assert again.stop() == 0
            one.kill()

            bob.start("--bootstrap", two.address)
            until(lambda: len(bob.texts("Alice of the hill")) >= 1000, "not fetched", SHOWN_S, every_s=0.2)
            assert bob.texts("Alice of the hill") == BEFORE + AFTER
            until(lambda: objects(p2pchat(two.home, "transparency", "--json"))[0]["boxes"] == 0, "not deleted")

            again.start("--passphrase-file", passphrase, "--bootstrap", two.address)
            until(lambda: again.outbox() == 0, "not told of their arrival")
            assert states(again, to) == {"delivered"}
            assert bob.texts("Alice of the hill") == BEFORE + AFTER
