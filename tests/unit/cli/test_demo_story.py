"""The demo's judgement: what counts as arrived, and that a lost, doubled or swapped message is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.cli import demo_story
from p2pchat.cli.demo_story import Person, Story
from p2pchat.cli.sandbox import Interrupts, Sandbox

ALICE = [*demo_story._ALICE_SAYS, *demo_story._after_restart("Alice")]
BOB = [*demo_story._BOB_SAYS, *demo_story._after_restart("Bob")]


class FakeClient:
    """A daemon that has received these texts, and keeps those."""

    def __init__(self, told: list[str], kept: list[str]) -> None:
        self._events: list[dict[str, object]] = [
            {"seq": n, "type": "message.received", "ts": 5 + n, "data": {"text": text, "created_ms": n}}
            for n, text in enumerate(told, 1)
        ]
        self._kept = [{"direction": "in", "text": text} for text in kept]

    def call(self, method: str, /, **params: object) -> dict[str, object]:
        if method == "events.fetch":
            since = params["since"]
            assert isinstance(since, int)
            return {"events": self._events[since:]}
        assert method == "message.list"
        return {"messages": [{"direction": "out", "text": "mine"}, *self._kept]}


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(Sandbox(Interrupts(), "p2pchat-test-"), tmp_path, silent=True)


def heard(person: Person, told: list[str], kept: list[str] | None = None) -> None:
    person.client = FakeClient(told, told if kept is None else kept)  # type: ignore[assignment]


def test_forty_messages_that_arrived_once_and_in_order_are_right(story: Story) -> None:
    heard(story._bob, ALICE)
    heard(story._alice, BOB)
    story._check()
    assert story._summary.messages == 40


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said[:-1],
        lambda said: [*said, said[-1]],
        lambda said: [said[1], said[0], *said[2:]],
        lambda said: [*said[:5], said[5] + " ", *said[6:]],
        lambda said: [],
    ],
    ids=["lost", "twice", "swapped", "altered", "nothing"],
)
@pytest.mark.parametrize("in_history", [False, True], ids=["events", "history"])
def test_what_did_not_arrive_as_it_was_sent_is_seen(
    story: Story, spoil: Callable[[list[str]], list[str]], in_history: bool
) -> None:
    heard(story._bob, ALICE)
    heard(story._alice, BOB if in_history else spoil(BOB), spoil(BOB) if in_history else BOB)
    with pytest.raises(ApiError, match="What Alice received is not what Bob wrote"):
        story._check()


def test_events_are_read_once(story: Story) -> None:
    heard(story._bob, ["one", "two"])
    story._bob.look()
    story._bob.look()
    assert [message["text"] for message in story._bob.received] == ["one", "two"]
    assert demo_story._took_ms(story._bob.received[0]) == 5


def test_what_never_happens_ends_with_a_sentence(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApiError, match=r"nothing came to Bob, after 0 seconds\.") as caught:
        story._wait(0, "nothing came to {name}, after {seconds} seconds.", story._bob, lambda: False)
    assert caught.value.error_name == "TIMEOUT"
