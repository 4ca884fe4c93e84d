"""The conversation between a user and a daemon that are both played here."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.text import TEXT_BYTES
from p2pchat.cli.chat.drawing import Look
from p2pchat.cli.chat.questions import Answer, Begin, Extend, Find, Question, Read, Send, Stretch, Who
from p2pchat.cli.chat.rows import Row
from p2pchat.cli.chat.standing import status
from p2pchat.cli.chat.talk import Talk
from tests.unit.cli.chat.makers import BOB, contact, made, message, own, plain, rows

LOOK = Look(60, "Bob")


class World:
    """A conversation, its user, and what it asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.input: list[str] = []
        self.found: list[str] = []
        self.ended = False
        self.talk = Talk(contact(), self.asked.append, self)

    def give_back(self, text: str) -> None:
        self.input.append(text)
        self.talk.heard()  # as typing does

    def search(self, words: str) -> None:
        self.found.append(words)

    def quit(self) -> None:
        self.ended = True

    def take(self, kind: type[Question]) -> Question:
        """The oldest question of a kind."""
        question = next(each for each in self.asked if isinstance(each, kind))
        self.asked.remove(question)
        return question

    def answer(self, kind: type[Question], answer: Answer) -> None:
        self.talk.answered(self.take(kind), answer)

    def event(self, kind: str, data: Mapping[str, object]) -> None:
        self.talk.event({"seq": 1, "ts": 0, "type": kind, "data": data})

    def shown(self, height: int = 30) -> list[str]:
        return plain(self.talk.lines(LOOK, height))

    @property
    def status(self) -> str:
        return status(self.talk, "p2pchat")


@pytest.fixture
def world() -> World:
    """With the daemon there, and five messages."""
    made_ = World()
    made_.talk.up(anew=True)
    made_.answer(Begin, Stretch(rows(range(1, 6)), at_start=True, at_end=True))
    made_.answer(Who, contact())
    made_.answer(Read, made(5, state="read"))
    return made_


def long(world: World) -> None:
    """A conversation of which 60 messages are loaded, and a screen of 10 lines on its end."""
    world.talk.up(anew=True)
    world.answer(Begin, Stretch(rows(range(941, 1001)), at_start=False, at_end=True))
    world.asked.clear()
    world.shown(10)


# -- reading ----------------------------------------------------------------------------------------------------------


def test_it_begins_with_the_newest_page() -> None:
    world = World()
    world.talk.up(anew=True)
    assert world.asked == [Begin(), Who()]
    world.answer(Begin, Stretch([], at_start=True, at_end=True))
    assert (world.shown(), world.talk.empty, world.status) == ([], True, "Nothing was said yet.")


def test_what_comes_in_is_shown(world: World) -> None:
    world.event("message.received", message(6, "news"))
    assert world.shown()[-1].endswith("Bob: news")
    assert world.talk.unseen == 0


def test_others_conversations_are_not_shown(world: World) -> None:
    before = world.shown()
    world.event("message.received", message(6, "secret", contact_id="0c" * 16))
    assert world.shown() == before


def test_a_sign_moves_where_it_stands(world: World) -> None:
    for state, sign in (("queued", "\u25e6"), ("sent", "\u2713"), ("delivered", "\u2713\u2713"), ("read", "read")):
        world.event(f"message.{state}", message(6, "mine", incoming=False, state=state))
        assert world.shown()[-1].endswith(f"me: mine {sign}") or world.shown()[-1].endswith(f"\u2713\u2713 {sign}")
    assert sum("mine" in line for line in world.shown()) == 1


def test_a_message_that_is_gone_is_not_shown(world: World) -> None:
    world.event("message.failed", {"id": made(3).id})
    assert "text 3" not in "".join(world.shown())


def test_older_pages_come_as_they_are_needed(world: World) -> None:
    long(world)
    assert world.asked == []
    world.talk.page(-4)
    world.shown(10)
    world.shown(10)
    assert world.asked == [Extend("older", 941)]
    world.answer(Extend, Stretch(rows(range(881, 941)), at_start=False, at_end=False))
    shown = world.shown(10)
    world.talk.page(-1)
    assert world.shown(10)[-1] == shown[0]


def test_a_page_that_is_refused_is_asked_for_when_somebody_scrolls(world: World) -> None:
    long(world)
    world.talk.page(-4)
    world.shown(10)
    world.answer(Extend, ApiError("STORE", "The disk refused."))
    world.shown(10)
    assert (world.asked, world.status) == ([], "The disk refused.")
    world.talk.page(-1)
    world.shown(10)
    assert world.asked == [Extend("older", 941)]


def test_scrolled_up_news_is_counted_and_marked(world: World) -> None:
    long(world)
    world.talk.page(-1)
    before = world.shown(10)
    world.event("message.received", message(1001, "first news"))
    world.event("message.received", message(1002, "more news"))
    world.event("message.queued", message(1003, "from another terminal", incoming=False))
    assert world.shown(10) == before
    assert world.status == "2 new below; Esc goes there."
    world.talk.newest()
    shown = world.shown(10)
    assert [line for line in shown if "--" in line] == ["-- new --"]
    assert shown.index("-- new --") == 6
    assert world.talk.unseen == 0
    world.talk.page(-1)
    world.shown(10)
    world.event("message.received", message(1004, "later"))
    world.talk.newest()
    assert world.shown(10).index("-- new --") == 8
    world.talk.enter("An answer")
    assert "-- new --" not in world.shown(10)


def test_far_from_the_end_news_is_counted_too(world: World) -> None:
    long(world)
    world.talk.find("needle")
    world.answer(Find, made(100))
    world.answer(Begin, Stretch(rows(range(40, 160)), at_start=False, at_end=False))
    world.shown(10)
    world.event("message.received", message(1001, "news"))
    assert world.talk.unseen == 1
    world.talk.newest()
    assert isinstance(world.asked[-1], Begin)
    world.answer(Begin, Stretch(rows(range(942, 1002)), at_start=False, at_end=True))
    assert world.shown(10)[-1].endswith("text 1001")


def test_newer_pages_come_before_the_end_is_reached(world: World) -> None:
    long(world)
    world.talk.find("needle")
    world.answer(Find, made(100))
    world.answer(Begin, Stretch(rows(range(40, 160)), at_start=False, at_end=False))
    world.shown(10)
    world.talk.scroll(45)
    world.shown(10)
    assert world.asked == [Extend("newer", 159)]
    before = world.shown(10)
    world.answer(Extend, Stretch(rows(range(160, 220)), at_start=False, at_end=False))
    assert world.shown(10) == before


def test_what_it_opens_on_was_read() -> None:
    world = World()
    world.talk.up(anew=True)
    world.answer(Begin, Stretch([*rows(range(1, 6)), own(6)], at_start=True, at_end=True))
    read = world.take(Read)
    assert isinstance(read, Read)
    assert read.id == made(5).id


def test_what_comes_later_was_read_when_somebody_touches_a_key(world: World) -> None:
    world.shown()
    world.event("message.received", message(6))
    world.event("message.received", message(7))
    world.shown()
    assert world.asked == []
    world.talk.attend()
    world.talk.attend()
    read = world.take(Read)
    assert isinstance(read, Read)
    assert (read.id, world.asked) == (made(7).id, [])
    world.talk.answered(read, NoDaemon("gone"))
    world.talk.attend()
    world.answer(Read, made(7, state="read"))
    world.event("message.read", message(7, state="read"))
    world.talk.attend()
    assert world.asked == []


def test_what_is_below_the_screen_was_not_read(world: World) -> None:
    long(world)
    world.talk.page(-1)
    world.shown(10)
    world.event("message.received", message(1001))
    world.asked.clear()
    world.talk.attend()
    world.talk.attend()
    read = world.take(Read)
    assert isinstance(read, Read)
    assert int(read.id, 16) < 1000
    world.talk.newest()
    world.shown(10)
    world.talk.attend()
    read = world.take(Read)
    assert isinstance(read, Read)
    assert read.id == made(1001).id


def test_what_comes_late_stands_in_its_place_and_is_read_when_it_is_seen(world: World) -> None:
    world.event("message.received", message(9, missing=3))
    assert [line.partition(" ")[2] for line in world.shown()[-2:]] == [
        "3 messages of Bob have not arrived --",
        "Bob: text 9",
    ]
    world.talk.attend()
    world.answer(Read, made(9, state="read"))
    world.event("message.read", message(9, state="read", missing=3))
    world.event("message.received", message(7, missing=1))
    assert [line.partition(" ")[2] for line in world.shown()[-4:]] == [
        "1 message of Bob has not arrived --",
        "Bob: text 7",
        "1 message of Bob has not arrived --",
        "Bob: text 9",
    ]
    world.talk.attend()
    world.talk.attend()
    read = world.take(Read)
    assert isinstance(read, Read)
    assert read.id == made(7).id
    assert not [each for each in world.asked if isinstance(each, Read)]


def test_what_comes_late_above_the_screen_is_said_and_not_read(world: World) -> None:
    long(world)
    before = world.shown(10)
    world.event("message.received", message(942))
    world.talk._history.remove(made(942).id)
    world.asked.clear()
    world.event("message.received", message(942))
    assert world.status == "A message that was missing has arrived, further up."
    assert world.shown(10) == before
    assert world.talk.unseen == 0
    world.talk.scroll(-200)
    world.shown(10)
    assert not [each for each in world.asked if isinstance(each, Read)]


# -- sending ----------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_there_at_once_and_once(world: World) -> None:
    assert world.talk.enter("Hello")
    assert world.shown()[-1].endswith("me: Hello \u25e6 sending")
    send = world.take(Send)
    world.event("message.queued", message(6, "Hello", incoming=False))
    assert [line[6:] for line in world.shown() if "Hello" in line] == ["me: Hello \u25e6"]
    world.event("message.sent", message(6, "Hello", incoming=False, state="sent"))
    world.talk.answered(send, own(6, "Hello"))
    assert [line[6:] for line in world.shown() if "Hello" in line] == ["me: Hello \u2713"]
    assert world.talk.drafts == []


def test_a_reply_that_comes_before_the_event_is_as_good(world: World) -> None:
    world.talk.enter("Hello")
    world.answer(Send, own(6, "Hello"))
    world.event("message.queued", message(6, "Hello", incoming=False))
    assert sum("Hello" in line for line in world.shown()) == 1


def test_the_same_text_twice_is_two_messages(world: World) -> None:
    world.talk.enter("Hello")
    world.talk.enter("Hello")
    keys = {each.key for each in world.asked if isinstance(each, Send)}
    world.event("message.queued", message(6, "Hello", incoming=False))
    assert sum("Hello" in line for line in world.shown()) == 2
    world.answer(Send, own(6, "Hello"))
    world.answer(Send, own(7, "Hello"))
    assert (len(keys), sum("Hello" in line for line in world.shown())) == (2, 2)


@pytest.mark.parametrize("name", ["BLOCKED", "LOCKED", "CONTACT_NOT_FOUND", "NO_SPACE", "TOO_LARGE"])
def test_a_text_that_is_refused_goes_back_into_the_input(world: World, name: str) -> None:
    world.talk.enter("Hello")
    world.answer(Send, ApiError(name, "It cannot be."))
    assert (world.input, world.status) == (["Hello"], "Not sent: It cannot be.")
    assert "Hello" not in "".join(world.shown())


def test_a_text_without_an_answer_is_sent_again_under_its_key(world: World) -> None:
    world.talk.enter("Hello")
    first = world.take(Send)
    world.talk.answered(first, NoDaemon("gone"))
    world.talk.down(NoDaemon("gone"))
    assert world.input == []
    assert "sending" in world.shown()[-1]
    world.talk.up(anew=False)
    again = world.take(Send)
    assert isinstance(first, Send)
    assert isinstance(again, Send)
    assert (again.key, again.text) == (first.key, "Hello")
    world.talk.answered(again, own(6, "Hello"))
    assert world.talk.drafts == []


def test_a_daemon_that_is_slow_is_asked_again(world: World) -> None:
    world.talk.enter("Hello")
    first = world.take(Send)
    world.talk.answered(first, ApiError("TIMEOUT", "slow"))
    again = world.take(Send)
    assert isinstance(first, Send)
    assert isinstance(again, Send)
    assert again.key == first.key


def test_without_a_daemon_the_text_stays_in_the_input(world: World) -> None:
    world.talk.down(NoDaemon("gone"))
    assert not world.talk.enter("Hello")
    assert world.talk.drafts == []
    assert world.status == "Not sent; it stays here. No daemon answers; this goes on when one does: p2pchat daemon"


@pytest.mark.parametrize("typed", ["x" * (TEXT_BYTES + 1), "/nothing", "caf\udce9"])
def test_a_mistake_stays_in_the_input_with_one_sentence(world: World, typed: str) -> None:
    assert not world.talk.enter(typed)
    assert world.status == world.talk.notice != ""
    assert not any(isinstance(each, Send) for each in world.asked)
    world.talk.heard()
    assert world.status == "/help tells the keys."


def test_a_paste_that_no_message_can_hold_is_left_out(world: World) -> None:
    assert world.talk.pasted(TEXT_BYTES + 1)
    assert not world.talk.pasted(5_000_000)
    assert "5,000,000" in world.status


# -- the daemon -------------------------------------------------------------------------------------------------------


def test_what_happened_meanwhile_is_told_by_events(world: World) -> None:
    world.talk.down(NoDaemon("gone"))
    world.talk.up(anew=False)
    assert world.asked == [Who()]
    world.event("message.received", message(6, "meanwhile"))
    assert world.shown()[-1].endswith("meanwhile")


def test_where_events_are_gone_it_begins_anew(world: World) -> None:
    world.talk.up(anew=True)
    world.answer(Begin, Stretch(rows(range(500, 503)), at_start=False, at_end=True))
    assert [line.rsplit(" ", 1)[1] for line in world.shown()[-3:]] == ["500", "501", "502"]


def test_a_first_page_that_did_not_come_is_asked_for_again() -> None:
    world = World()
    world.talk.up(anew=True)
    world.answer(Begin, NoDaemon("gone"))
    world.talk.down(NoDaemon("gone"))
    world.shown()
    world.talk.up(anew=False)
    assert Begin() in world.asked


def test_an_answer_that_is_not_awaited_any_more_is_ignored(world: World) -> None:
    long(world)
    world.talk.page(-4)
    world.shown(10)
    late = world.take(Extend)
    world.talk.up(anew=True)
    world.talk.answered(late, Stretch(rows(range(881, 941)), at_start=True, at_end=False))
    world.answer(Begin, Stretch(rows(range(950, 1010)), at_start=False, at_end=True))
    world.talk.newest()
    assert world.shown(2)[-1].endswith("text 1009")


def test_a_locked_profile_is_told_with_the_way_out(world: World) -> None:
    world.talk.down(ApiError("LOCKED", "The profile is locked."))
    assert world.status == "The profile is locked; this goes on after: p2pchat unlock"


# -- the contact ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["contact.blocked", "contact.verified", "peer.online", "peer.offline"])
def test_news_of_the_contact_is_asked_for(world: World, kind: str) -> None:
    world.event(kind, contact(id="0c" * 16))
    assert world.asked == []
    world.event(kind, contact())
    assert world.asked == [Who()]
    world.answer(Who, contact(state="blocked"))
    assert "unblock" in world.status


def test_a_contact_that_is_gone_gets_nothing(world: World) -> None:
    world.talk.notice = "Not sent: it is blocked."
    world.event("contact.removed", contact())
    world.answer(Who, ApiError("CONTACT_NOT_FOUND", "Nobody."))
    assert "was removed" in world.status
    assert not world.talk.enter("Hello")
    assert world.status == "Not sent; it stays here."


def test_a_contact_that_became_another_says_where_it_goes_on(world: World) -> None:
    world.event("contact.removed", contact(merged_into="0c" * 16))
    world.answer(Who, ApiError("CONTACT_NOT_FOUND", "Nobody."))
    assert world.status.endswith(f"p2pchat chat {'0c' * 16}")


def test_a_new_device_is_told(world: World) -> None:
    world.event("contact.key_changed", contact())
    assert "new device" in world.status


def test_a_merged_conversation_is_loaded_anew(world: World) -> None:
    world.event("contact.merged", contact(id="0c" * 16))
    assert world.asked == [Who(), Begin()]


# -- searching --------------------------------------------------------------------------------------------------------


def test_a_search_steps_through_what_it_finds(world: World) -> None:
    long(world)
    assert world.talk.enter("/search needle")
    assert world.found == ["needle"]
    find = world.take(Find)
    assert isinstance(find, Find)
    assert (find.words, find.end, find.beyond) == ("needle", "older", None)
    world.talk.answered(find, made(960, "needle"))
    assert any("text 960" in line for line in world.shown(10))
    world.talk.find("needle")
    find = world.take(Find)
    assert isinstance(find, Find)
    assert (find.end, find.beyond) == ("older", 960)
    world.talk.answered(find, made(100, "needle"))
    assert world.take(Begin) == Begin(100)


def test_a_hit_that_is_not_loaded_is_shown_among_what_surrounds_it(world: World) -> None:
    long(world)
    world.talk.find("needle")
    world.answer(Find, made(100))
    world.answer(Begin, Stretch(rows(range(40, 160)), at_start=False, at_end=False))
    lines = world.talk.lines(LOOK, 10)
    assert [style for line in lines for style, text in line if text.endswith("text 100")] == ["class:hit"]
    assert len(lines) == 10
    world.talk.leave_search()
    assert "class:hit" not in [style for line in world.talk.lines(LOOK, 10) for style, _ in line]
    assert any("text 100" in line for line in world.shown(10))


@pytest.mark.parametrize(
    ("hit", "end", "sentence"),
    [(False, "older", "No message"), (True, "older", "No older message"), (True, "newer", "No newer message")],
)
def test_nothing_found_is_said(world: World, hit: bool, end: str, sentence: str) -> None:
    world.talk.find("needle")
    assert world.status == "Searching"
    if hit:
        world.answer(Find, made(3))
        world.talk.step("older" if end == "older" else "newer")
    world.answer(Find, None)
    assert world.status == f"{sentence} holds this."


def test_a_search_that_is_refused_or_empty_or_too_long(world: World) -> None:
    world.talk.find("  ")
    world.talk.step("newer")
    assert world.asked == []
    world.talk.find("x" * 257)
    assert (world.asked, "256" in world.status) == ([], True)
    world.talk.find("needle")
    world.talk.step("older")
    assert len(world.asked) == 1
    world.answer(Find, ApiError("STORE", "The disk refused."))
    assert world.status == "The disk refused."
    world.talk.find("other")
    world.talk.leave_search()
    world.answer(Find, made(3))
    assert world.talk.searching is None


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_help_is_shown_until_the_next_thing(world: World) -> None:
    assert world.talk.enter("/help")
    assert "Enter sends" in "".join(world.shown(8))
    world.talk.newest()
    assert "Enter sends" not in "".join(world.shown())


def test_quit_ends_and_nothing_does_nothing(world: World) -> None:
    world.talk.enter("  ")
    assert not world.ended
    world.talk.enter("/quit")
    assert world.ended
    assert world.asked == []


def test_no_flood_grows_without_bound(world: World) -> None:
    for position in range(6, 4000):
        world.event("message.received", message(position))
    assert world.shown(3)[-1].endswith("text 3999")
    assert len(world.talk._rows()) <= 2500


def test_no_repr_shows_a_text() -> None:
    for each in (
        made(1, "secret"),
        Send("k", "secret"),
        Find("secret", "older", None),
        Stretch([made(1, "secret")], True, True),
    ):
        assert "secret" not in repr(each)
    assert BOB not in repr(Row(BOB, 1, True, "", "", None, 0))


def test_a_replaced_device_says_so(world: World) -> None:
    world.event("node.warning", {"replaced_ms": 1})
    assert "A newer device of yours is in use" in world.status


def test_what_a_node_refuses_to_call_read_is_not_said_again_at_every_key(world: World) -> None:
    world.shown()
    world.event("message.received", message(6))
    world.shown()
    world.talk.attend()
    world.answer(Read, ApiError("FORBIDDEN", "A newer device of yours is in use."))
    world.talk.attend()
    assert world.asked == []
