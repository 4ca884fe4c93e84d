"""Canaries: no number, name, text or key in a log line, a data file, a packet or an exception of a whole demo run."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.needles import Needles
from tests.e2e.provoked import witness_everything
from tests.e2e.witnessed import Evidence

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHORT_NAMES = re.compile(rb"\b(Alice|Bob|Carol)\b")  # too short to be looked for in random bytes
KEYS = {
    *("the root's seed", "the device's seed", "ik", "the node's seed", "ask32", "idsec"),
    *("R", "kenc", "the gate's seed", "the writer's seed", "eph", "spk", "rk", "dhs", "nhks", "nhkr"),
    *("a header key", "a chain key", "a message key", "a KEM step's seed", "the key behind a passphrase"),
    *("an SMS code", "the key of an SMS code", "a safety number", "a verify link"),
}


@pytest.fixture(scope="module")
def evidence() -> Iterator[Evidence]:
    root = Path(tempfile.mkdtemp(prefix="p2pchat-test-", dir="/tmp"))  # short: sockets are made below it
    try:
        yield witness_everything(root)
    finally:
        shutil.rmtree(root)


def test_nothing_secret_is_logged(evidence: Evidence) -> None:
    logs = b"\n".join(evidence.logs.values())
    for needles in (evidence.secrets, evidence.database_keys, evidence.ids):
        assert needles.found_in(logs) == set()
    assert SHORT_NAMES.findall(logs) == []
    for address in evidence.addresses:
        host, port = address.split("/")[2:5:2]
        assert host.encode() not in logs
        assert re.search(rf"(tcp/|:){port}\b".encode(), logs) is None
    assert len(evidence.addresses) == 3
    assert b"Traceback" not in logs
    assert evidence.planted.found_in(logs)
    for event in (b"node.ready", b"link.ended", b"dial.failed"):
        assert event in logs


def test_nothing_secret_is_in_a_file(evidence: Evidence) -> None:
    needles = Needles()
    for others in (evidence.planted, evidence.secrets, evidence.database_keys, evidence.ids):
        needles.add_all(others)
    found: dict[str, set[str]] = {}
    for (name, _), content in evidence.files.items():
        found.setdefault(name, set()).update(needles.found_in(content))
    own_keys = {name for name in found if name.endswith("/key") and "carol" not in name}
    for name in own_keys:  # the only place of the key of a profile without a passphrase
        found[name] = {what for what in found[name] if not what.startswith("a database key")}
    assert len(own_keys) == 3
    assert {name for name, what in found.items() if what} == {"home/planted.db", "home/runs.log"}
    for name in ("home/planted.db", "home/runs.log"):
        assert all(what.startswith("a number") for what in found[name])
    assert not evidence.secrets.found_in(evidence.logs["home/runs.log"])
    for person in ("alice", "bob", "router", "carol"):
        assert {f"home/{person}/data/default/{file}" for file in ("key", "p2pchat.db")} <= found.keys()
    assert "home/alice/data/default/p2pchat.db-wal" in found
    assert not any(name.startswith(("tmp/", "data/", "config/", "state/", "runtime/", "cwd/")) for name in found)


def test_nothing_secret_crosses_the_network_in_clear(evidence: Evidence) -> None:
    if evidence.sent is None:
        pytest.skip("needs root, to record in a network namespace of its own")
    found: set[str] = set()
    for sent in evidence.sent:
        for needles in (evidence.secrets, evidence.database_keys, evidence.ids):
            found |= needles.found_in(sent)
    assert found == set()
    assert [sent for sent in evidence.sent if evidence.planted.found_in(sent)] != []
    talks = [sent for sent in evidence.sent if b"/multistream/1.0.0\n" in sent and b"/noise\n" in sent]
    assert len(talks) >= 6
    assert max(map(len, talks)) > 40 * 256  # the conversation itself was recorded: no message is shorter


def test_nothing_secret_is_in_the_text_of_an_exception(evidence: Evidence) -> None:
    for needles in (evidence.secrets, evidence.database_keys):
        assert needles.found_in(evidence.exceptions) == set()
    assert SHORT_NAMES.findall(evidence.exceptions) == []
    assert evidence.planted.found_in(evidence.exceptions)
    for name in (
        *(
            b"errors.UsageError",
            b"errors.DecodeError",
            b"errors.NetError",
            b"errors.WrongPassphrase",
            b"errors.Corrupt",
        ),
        *(b"msgspec.ValidationError", b"trio.Cancelled", b"builtins.ExceptionGroup", b"exceptions.CryptoError"),
    ):
        assert name in evidence.exceptions, name


def test_every_kind_of_key_was_looked_for(evidence: Evidence) -> None:
    assert set(evidence.secrets.forms.values()) >= KEYS
    assert len(evidence.secrets.forms) > 10_000


@pytest.mark.parametrize("shift", range(4))
def test_the_search_finds_every_form(shift: int) -> None:
    secret = bytes(range(200, 232))
    number = "+821012345678"
    needles = Needles()
    needles.add_key("a key", secret)
    needles.add_number(number, "82")
    forms = (
        secret,
        secret[16:],
        secret.hex().encode(),
        base64.b64encode(bytes(shift) + secret),
        base64.urlsafe_b64encode(bytes(shift) + secret),
        repr(secret).encode(),
        repr({"key": [*secret]}).encode(),
        b"010-1234-5678",
        hashlib.sha256(number.encode()).digest(),
        hashlib.blake2b(number[1:].encode(), digest_size=32).hexdigest().encode(),
        (821012345678).to_bytes(8, "big"),
        b"\\u002b" + number[1:].encode(),
    )
    for form in forms:
        assert needles.found_in(bytes(shift) + form + b"rest"), form
    assert needles.found_in(b"821012" + b"345-678" + secret[:8] + secret[20:]) == set()
