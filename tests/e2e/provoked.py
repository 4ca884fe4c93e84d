"""Every failure that can be provoked in a node that runs or starts, each with something secret in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.cli.demo_story import ALICE_NUMBER
from p2pchat.cli.reading import texts
from p2pchat.client.blocking import Client
from p2pchat.core.params import PRODUCTION
from p2pchat.core.proof import parse_code
from tests.e2e.capture import Capture, NotAllowed
from tests.e2e.daemons import DEADLINE_S, environment, until
from tests.e2e.secret_keys import data_key, secret_keys
from tests.e2e.witnessed import (
    CAROL_NUMBER,
    HERE,
    NAME,
    NO_NAME,
    NO_NUMBER,
    NOBODYS_NUMBER,
    PASSPHRASE,
    TEXT,
    VERBOSE,
    WRONG_PASSPHRASE,
    Evidence,
    WatchedStory,
    Witness,
    in_told_story,
)


def refused(client: Client, method: str, **params: object) -> str:
    """The name of the error that a call must have."""
    with pytest.raises(ApiError) as refusal:
        client.call(method, **params)
    return refusal.value.error_name


def junk_on_the_socket(path: Path) -> None:
    """Every way of not being a request, with something secret in it."""
    secret = TEXT.encode()
    request = b'{"jsonrpc":"2.0","id":1,"method":"message.send","params":{"to":"Bob","text":"%s"}}\n'
    for junk in (
        secret,
        b"{" + secret + b"\n",
        b'{"' + secret + b'": "\xff\xfe"}\n',
        request % (secret + b"\\ud83d"),
        request % (secret + b"\xff"),
        request.replace(b"Bob", secret + b"\\udcff") % secret,
        b'[{"' + secret + b'":' * 40 + b"1\n",
        b'{"jsonrpc":"2.0","id":"' + secret * 20 + b'","method":"' + secret + b'","params":{}}\n',
        b'{"jsonrpc":"2.0","id":1,"method":"contacts.add","params":"' + secret + b'"}\n',
        b"\x00\x00\x00\x20\xc1" + secret,
        b"\x00\x00\x00\xff\xda\xff\xff" + secret,
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(DEADLINE_S)
            connection.connect(str(path))
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass


def junk_from_a_stranger(witness: Witness, addresses: Sequence[str]) -> None:
    """From one to each of the nodes."""
    program = [*witness.command("")[:-2], str(HERE / "stranger.py")]
    strangers = [
        subprocess.Popen([*program, address, TEXT], env=environment(witness.beside / "stranger"))
        for address in addresses
    ]
    assert [stranger.wait(DEADLINE_S) for stranger in strangers] == [0] * len(strangers)


def provoke_refusals(alice: Client, bobs_address: str) -> None:
    """Every kind of request that is refused, with something secret in it."""
    wrong = bobs_address.rpartition("/p2p/")[0] + "/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    assert refused(alice, "contacts.add", number=NO_NUMBER) == "INVALID_PARAMS"
    assert refused(alice, "contacts.add", number=f"{NOBODYS_NUMBER}0000") == "INVALID_PARAMS"
    assert refused(alice, "contacts.add", number=ALICE_NUMBER) == "INVALID_PARAMS"
    assert refused(alice, "contacts.add", number=NOBODYS_NUMBER, name=f"{NAME}\x1b") == "INVALID_PARAMS"
    assert refused(alice, "contacts.add", number=NOBODYS_NUMBER, name=NAME * 20) == "INVALID_PARAMS"
    assert refused(alice, "contacts.import", entries=[{"line": 1, "number": NO_NUMBER, TEXT: 1}]) == "INVALID_PARAMS"
    assert refused(alice, "contacts.import", entries=[{"line": 1, "number": [NO_NUMBER]}]) == "INVALID_PARAMS"
    assert refused(alice, "contacts.import", entries=[{"line": 1, "number": f"{NO_NUMBER}\ud83d"}]) == "INVALID_PARAMS"
    assert refused(alice, "contacts.find", to=[NAME, NO_NAME]) == "CONTACT_NOT_FOUND"
    assert refused(alice, "contacts.get", to=NO_NAME) == "CONTACT_NOT_FOUND"
    assert refused(alice, "contacts.get", to=CAROL_NUMBER) == "CONTACT_NOT_FOUND"
    assert refused(alice, "contacts.rename", to=NAME, name="") == "INVALID_PARAMS"
    assert refused(alice, "message.send", to=NO_NAME, text=TEXT) == "CONTACT_NOT_FOUND"
    assert refused(alice, "message.send", to=NAME, text=TEXT * 5000) == "TOO_LARGE"
    assert refused(alice, "message.send", to=NAME, text="") == "INVALID_PARAMS"
    assert refused(alice, "message.send", to=NAME, text=TEXT + "\ud83d") == "INVALID_PARAMS"
    assert refused(alice, "message.send", to=NAME, text=TEXT, wait=TEXT) == "INVALID_PARAMS"
    assert refused(alice, "message.send", to=NAME, text=[TEXT]) == "INVALID_PARAMS"
    assert refused(alice, "message.send", to={"name": NAME}, text=TEXT) == "INVALID_PARAMS"
    assert refused(alice, "message.send", to=NAME, text=TEXT, idempotency_key=TEXT * 20) == "INVALID_PARAMS"
    assert refused(alice, "message.list", to=NAME, limit=TEXT) == "INVALID_PARAMS"
    assert refused(alice, "message.get", id=TEXT) in ("INVALID_PARAMS", "MESSAGE_NOT_FOUND")
    assert refused(alice, "message.send", **{TEXT: NAME}) == "INVALID_PARAMS"
    assert refused(alice, TEXT, to=NAME) == "METHOD_NOT_FOUND"
    assert refused(alice, "node.lock") == "FORBIDDEN"
    assert refused(alice, "node.unlock", passphrase=WRONG_PASSPHRASE) == "FORBIDDEN"
    assert refused(alice, "node.unlock", passphrase=[WRONG_PASSPHRASE]) == "INVALID_PARAMS"
    assert refused(alice, "passphrase.change", old=WRONG_PASSPHRASE, new=PASSPHRASE) == "FORBIDDEN"
    assert refused(alice, "passphrase.change", old=PASSPHRASE * 100, new=None) == "INVALID_PARAMS"
    assert refused(alice, "net.bootstrap", address=TEXT) == "INVALID_PARAMS"
    assert refused(alice, "net.dial", address=f"/dns4/{NO_NUMBER}/tcp/1") == "INVALID_PARAMS"
    assert refused(alice, "net.dial", address=wrong) == "PEER_OFFLINE"
    assert refused(alice, "net.bootstrap", address=f"/ip4/127.0.0.1/tcp/1/p2p/{wrong[-52:]}") == "PEER_OFFLINE"


def verify_each_other(story: WatchedStory, alice: Client, bob: Client) -> None:
    """In person and by SMS, wrongly and then rightly."""
    note = story.evidence.secrets.add_text
    for client, to in ((alice, NAME), (bob, "Alice")):
        safety = client.call("contacts.safety", to=to)
        note("a safety number", str(safety["safety_number"]))
        note("a safety number", str(safety["safety_number"]).replace(" ", ""))
        note("a verify link", str(safety["qr"]))
    number = str(alice.call("contacts.safety", to=NAME)["safety_number"])
    assert refused(alice, "contacts.verify", to=NAME, safety_number=number[::-1]) == "UNTRUSTED_KEY"
    assert refused(alice, "contacts.verify", to=NAME, safety_number=f"{number}1") == "INVALID_PARAMS"
    assert refused(alice, "contacts.verify", to=NAME, scanned=str(alice.call("identity.qr")["qr"])) == "INVALID_PARAMS"
    assert refused(alice, "contacts.verify", to=NAME, scanned=f"{bob.call('identity.qr')['qr']}!") == "INVALID_PARAMS"
    assert alice.call("contacts.verify", to=NAME, safety_number=number)["trust"] == "in_person"
    sms = str(bob.call("contacts.sms_proof", to="Alice", idempotency_key="asked once")["text"])
    code = sms.removeprefix("p2pchat ").partition(":")[0]
    secret = parse_code(code)
    for form in (code, code.replace("-", ""), code.lower()):
        note("an SMS code", form)
    story.evidence.secrets.add_key("an SMS code", secret.secret)
    story.note_keys()
    assert refused(alice, "contacts.sms_proof", to=NAME, code=f"{code}A") == "INVALID_PARAMS"
    until(lambda: proven(alice, code[:-1] + ("A" if code[-1] != "A" else "B")), "the question does not come")
    until(lambda: proven(alice, code), "it was answered before")
    until(lambda: bob.call("contacts.get", to="Alice")["trust"] == "number_verified", "the number is not verified")


def proven(client: Client, code: str) -> bool:
    """Whether there is a question, so that a proof was given."""
    try:
        client.call("contacts.sms_proof", to=NAME, code=code)
    except ApiError:
        return False
    return True


def take_a_kem_step(story: WatchedStory, alice: Client) -> None:
    """So much to and fro that a chain advertises a KEM key; the keys of every step are noted."""
    with Client(story.people[1].paths.socket) as bob:
        for _ in range(PRODUCTION.kem_every):
            for client, to in ((alice, NAME), (bob, "Alice")):
                client.call("message.send", to=to, text=TEXT, wait="delivered")
            story.note_keys()


def provoke(witness: Witness, story: WatchedStory) -> None:
    """Whatever can go wrong while the node runs, and what it does when the peer is killed."""
    alice, bob, _ = story.people
    with Client(alice.paths.socket) as client, Client(bob.paths.socket) as bobs:
        (address,) = texts(bobs.call("net.addrs"), "addresses")
        client.call("contacts.rename", to="Bob", name=NAME)
        client.call("contacts.add", number=NOBODYS_NUMBER, name="Carol")
        client.call("contacts.add", number=NOBODYS_NUMBER, name=f"{NAME} II")
        entries = [{"line": 1, "name": NAME, "number": NO_NUMBER}, {"line": 2, "name": NAME, "number": NOBODYS_NUMBER}]
        assert client.call("contacts.import", entries=entries)["known"] == 1
        sent = client.call("message.send", to=NAME, text=TEXT, idempotency_key="once", wait="delivered")
        assert client.call("message.list", to=NAME, search=TEXT)["messages"]
        assert client.call("message.get", id=sent["id"])["text"] == TEXT
        assert (
            refused(client, "message.send", to=NAME, text=NO_NUMBER, idempotency_key="once") == "IDEMPOTENCY_CONFLICT"
        )
        provoke_refusals(client, address)
        junk_on_the_socket(alice.paths.socket)
        junk_from_a_stranger(witness, (address, *texts(client.call("net.addrs"), "addresses")))
        assert bob.process is not None
        os.kill(bob.process.pid, signal.SIGKILL)
        for _ in range(3):
            assert refused(client, "message.send", to=NAME, text=TEXT, wait="delivered", timeout_ms=300) == "TIMEOUT"
        witness.look_at_files()
        assert client.call("contacts.remove", to=NOBODYS_NUMBER)["number"] == NOBODYS_NUMBER
        story.restart_bob()
        until(lambda: client.call("node.status")["outbox"] == 0, "not everything is delivered")
        take_a_kem_step(story, client)
        with Client(bob.paths.socket) as again:
            verify_each_other(story, client, again)
    witness.look_at_files()
    for person in story.people:
        with Client(person.paths.socket) as client:
            identity = client.call("identity.show")
            witness.evidence.ids.add_text("a PeerID", str(identity["peer_id"]))
            witness.evidence.ids.add_key("a root key", bytes.fromhex(str(identity["root"])))
            witness.evidence.addresses |= set(texts(client.call("net.addrs"), "addresses"))
        witness.evidence.database_keys.add_key("a database key", data_key(person.paths.data_dir))


def provoke_at_the_start(witness: Witness) -> None:
    """A profile with a passphrase, and every way of not getting it open or started."""
    home = witness.folders["home"] / "carol"
    home.mkdir()
    right, wrong, empty = (witness.beside / name for name in ("right", "wrong", "empty"))
    right.write_text(PASSPHRASE)
    wrong.write_text(WRONG_PASSPHRASE)
    empty.touch()

    def statuses(*runs: tuple[str, ...]) -> list[int]:
        return witness.run(home, VERBOSE, *runs)

    init = ("init", "--number", CAROL_NUMBER, "--name", NAME)
    opened = ("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--passphrase-file", str(right))
    assert statuses(
        ("init", "--number", NO_NUMBER, "--name", NAME, "--no-passphrase"),
        ("init", "--number", CAROL_NUMBER, "--name", f"{NAME}\x1b", "--no-passphrase"),
        (*init, "--passphrase-file", str(empty)),
    ) == [65, 65, 65]
    assert statuses((*init, "--passphrase-file", str(right))) == [0]
    assert statuses(
        (*init, "--passphrase-file", str(right)),
        ("run", "--passphrase-file", str(wrong)),
        (*opened, "--bootstrap", TEXT),
    ) == [73, 77, 65]
    profile = home / "data" / "default"
    for secret, name in secret_keys(profile, PASSPHRASE.encode()).items():
        witness.evidence.secrets.add_key(name, secret)
    witness.evidence.secrets.add_key("the key behind a passphrase", data_key(profile, PASSPHRASE.encode()))
    database = profile / "p2pchat.db"
    content = database.read_bytes()
    database.write_bytes(os.urandom(len(content)))
    assert statuses(opened) == [74]
    database.write_bytes(content)


@contextmanager
def capturing(file: Path) -> Iterator[Capture | None]:
    with ExitStack() as stack:
        try:
            capture = stack.enter_context(Capture(file))
        except NotAllowed:
            capture = None
        yield capture


def witness_everything(root: Path) -> Evidence:
    """Takes about half a minute."""
    (root / "capture").mkdir()
    with capturing(root / "capture" / "frames") as capture:
        witness = Witness(root, capture.command() if capture is not None else [])
        in_told_story(witness, partial(provoke, witness))
        provoke_at_the_start(witness)
        witness.plant()
        time.sleep(0.1)
        return witness.finish(capture)
