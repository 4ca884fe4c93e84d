"""Two real daemons: every text arrives byte for byte, and what cannot be sent is refused and not stored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from p2pchat.api.errors import ApiError
from tests.e2e.daemons import Daemon, matched_pair, until

pytestmark = pytest.mark.e2e

TEXTS = {
    "one byte": "x",
    "64 KiB": "a" * 65_536,
    "64 KiB of Korean": "가" * 21_845 + "a",
    "Korean": "안녕하세요, 반갑습니다",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 \U0001f9d1\u200d\U0001f680",
    "right to left": "שלום \u202eאבג\u202c مرحبا",
    "newlines": "a\nb\r\nc\n\n",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "every plane": "\ufeff\ufffe\uffff\U00010000\U0010ffff",
    "not normalised": "e\u0301 \u00e9 \u1112\u1161\u11ab",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    with matched_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.mark.parametrize("kind", TEXTS)
def test_text_arrives_byte_for_byte(pair: tuple[Daemon, Daemon], kind: str) -> None:
    alice, bob = pair
    sent = alice.call("message.send", to="Bob", text=TEXTS[kind], wait="delivered", timeout_ms=20_000)
    assert sent["state"] == "delivered"
    assert sent["text"] == TEXTS[kind]
    received = bob.texts("Alice")[-1]
    assert received.encode() == TEXTS[kind].encode()


@pytest.mark.parametrize(
    ("text", "name"), [("", "INVALID_PARAMS"), ("a" * 65_537, "TOO_LARGE"), ("가" * 21_846, "TOO_LARGE")]
)
def test_what_cannot_be_sent_is_refused_and_not_stored(pair: tuple[Daemon, Daemon], text: str, name: str) -> None:
    alice, _ = pair
    before = alice.call("message.list", to="Bob")["messages"]
    with pytest.raises(ApiError) as refusal:
        alice.call("message.send", to="Bob", text=text)
    assert refusal.value.error_name == name
    assert alice.call("message.list", to="Bob")["messages"] == before
    assert alice.call("node.status")["outbox"] == 0


def test_an_idempotency_key_sends_once(pair: tuple[Daemon, Daemon]) -> None:
    alice, bob = pair
    first = alice.call("message.send", to="Bob", text="once", idempotency_key="k1")
    again = alice.call("message.send", to="Bob", text="once", idempotency_key="k1")
    assert again["id"] == first["id"]
    assert again["replayed"] is True
    with pytest.raises(ApiError) as conflict:
        alice.call("message.send", to="Bob", text="twice", idempotency_key="k1")
    assert conflict.value.error_name == "IDEMPOTENCY_CONFLICT"
    until(lambda: "once" in bob.texts("Alice"), "it did not arrive")
    assert bob.texts("Alice").count("once") == 1


def test_waiting_for_somebody_who_is_away_ends_in_timeout_and_the_message_goes_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with matched_pair(tmp_path_factory.mktemp("away")) as (alice, bob):
        assert bob.stop() == 0
        with pytest.raises(ApiError) as late:
            alice.call("message.send", to="Bob", text="later", wait="delivered", timeout_ms=300)
        assert late.value.error_name == "TIMEOUT"
        bob.start()
        until(lambda: bob.texts("Alice") == ["later"], "it did not arrive")
