"""The keys and the screen, through the library, a pipe for the keyboard and an emulator for the terminal."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pyte
import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from p2pchat.base.errors import UsageError
from p2pchat.cli.chat.drawing import ASCII, UNICODE, Signs
from p2pchat.cli.chat.view import HUNG_UP, TERMINATED, Terminal, View
from tests.fake_api import FakeApi, Served
from tests.unit.cli.chat.makers import contact

WAIT_S = 10.0
ESCAPE, ENTER, UP, DOWN, PAGE_UP, PAGE_DOWN = "\x1b", "\r", "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~"


class Person:
    """Somebody at a keyboard, who looks at a screen."""

    def __init__(self, node: Served, keyboard: PipeInput, columns: int, rows: int, signs: Signs) -> None:
        self.written = io.StringIO()
        self.size = Size(rows=rows, columns=columns)
        self._keyboard = keyboard
        self._read = 0
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._drawn = asyncio.Event()
        output = Vt100_Output(self.written, lambda: self.size, term="xterm")
        terminal = Terminal("utf-8", signs, keyboard, output)
        self.view = View(contact(id=f"{1:016x}"), node.path, "p2pchat", terminal)
        self.view._app.after_render += lambda _: self._drawn.set()

    def types(self, keys: str) -> None:
        self._keyboard.send_text(keys)

    async def pastes(self, keys: str) -> None:
        """What is more than the pipe holds."""
        await asyncio.to_thread(self._keyboard.send_text, keys)

    @property
    def lines(self) -> list[str]:
        self._stream.feed(self.written.getvalue()[self._read :])
        self._read = len(self.written.getvalue())
        return [line.rstrip() for line in self._screen.display]

    async def looks_again(self) -> None:
        """Wait until something was drawn."""
        self._drawn.clear()
        await self._drawn.wait()

    @asynccontextmanager
    async def _telling(self) -> AsyncIterator[None]:
        """What was on the screen when it was given up."""
        try:
            yield
        except asyncio.CancelledError:
            raise AssertionError("\n".join(self.lines)) from None

    async def sees(self, *wanted: str, not_any_more: str = "\0") -> None:
        """Look at the screen until all of it is there."""
        async with asyncio.timeout(WAIT_S), self._telling():
            while not (all(any(want in line for line in self.lines) for want in wanted)) or any(
                not_any_more in line for line in self.lines
            ):
                await self.looks_again()


Story = Callable[[Person], Awaitable[None]]


def play(
    node: Served, story: Story, *, columns: int = 60, rows: int = 12, signs: Signs = UNICODE
) -> tuple[int, Person]:
    """What came of it: the exit status, and the one who saw it."""

    async def both() -> tuple[int, Person]:
        with create_pipe_input() as keyboard:
            person = Person(node, keyboard, columns, rows, signs)
            running = asyncio.create_task(person.view.run())
            telling = asyncio.ensure_future(story(person))
            await asyncio.wait({running, telling}, return_when=asyncio.FIRST_EXCEPTION)
            if running.done() and running.exception() is not None:
                telling.cancel()
            elif telling.done() and telling.exception() is not None:
                person.view.end(0)
            status = await running
            await telling
            return status, person

    return asyncio.run(both())


@pytest.fixture
def talked(node: Served) -> Served:
    """A node on which a hundred messages came from Bob."""

    def make() -> None:
        bob = node.api.contact("Bob")
        for number in range(100):
            node.api.message(bob, f"text {number}", incoming=True)

    node.do(make)
    return node


def said(node: Served, text: str) -> None:
    node.do(lambda: node.api.message(node.api.contacts[0], text, incoming=True))


def state(node: Served, kind: str) -> None:
    def change() -> None:
        message = node.api.messages[-1]
        message.state = "sent" if kind == "message.sent" else "delivered"
        node.api.emit(kind, message)

    node.do(change)


def sent(api: FakeApi) -> list[object]:
    return [params["text"] for method, params in api.calls if method == "message.send"]


def test_two_talk(talked: Served) -> None:
    async def story(person: Person) -> None:
        await person.sees(" Bob  offline  claimed", "Bob: text 99", "/help")
        person.types("Hello" + ENTER)
        await person.sees("me: Hello \u25e6", not_any_more="sending")
        person.types("half a wo")
        said(talked, "news")
        await person.sees("Bob: news", "> half a wo")
        state(talked, "message.received")
        talked.do(lambda: talked.api.emit("message.delivered", talked.api.messages[-2]))
        person.types("rd" + ENTER)
        await person.sees("me: half a word \u25e6", not_any_more="sending")
        state(talked, "message.sent")
        await person.sees("me: half a word \u2713")
        state(talked, "message.delivered")
        await person.sees("me: half a word \u2713\u2713")
        person.types("\x04")

    assert play(talked, story)[0] == 0
    assert sent(talked.api) == ["Hello", "half a word"]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("one\x1b\rtwo" + ENTER, "one\ntwo"),
        ("one\ntwo" + ENTER, "one\ntwo"),
        ("\x1b[200~one\rtwo\r\nthree\n\x1b[201~" + ENTER, "one\ntwo\nthree\n"),
        ("//quit" + ENTER, "/quit"),
        ("two words\x17one" + ENTER, "two one"),
        ("\x1b[200~\x1b[31mred\u202e\x1b[201~" + ENTER, "\x1b[31mred\u202e"),
        ("넓은 글자" + ENTER, "넓은 글자"),
    ],
    ids=["Alt-Enter", "line feed", "paste", "slash", "Ctrl-W", "controls", "wide"],
)
def test_what_is_typed_is_sent(talked: Served, keys: str, text: str) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        person.types(keys)
        await person.sees("\u25e6", not_any_more="sending")
        person.types("\x03")

    status, person = play(talked, story)
    assert (status, sent(talked.api)) == (130, [text])
    assert "\x1b[31mred" not in person.written.getvalue()
    assert "\u202e" not in person.written.getvalue()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("\x1b[200~" + "x" * 65_537 + "\x1b[201~" + ENTER, "This is 65,537 bytes long and was not sent;"),
        ("/what" + ENTER, "There is no such command;"),
    ],
)
def test_a_mistake_stays_until_it_is_mended(talked: Served, keys: str, sentence: str) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        await person.pastes(keys)
        await person.sees(sentence)
        person.types("y")
        await person.sees("y", not_any_more=sentence)
        person.types("\x03")

    _, person = play(talked, story)
    assert sent(talked.api) == []
    assert person.view.input.text.endswith(("xy", "/whaty"))


def test_a_paste_beyond_all_bounds_is_left_out(talked: Served) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        await person.pastes("before\x1b[200~" + "x" * 300_000 + "\x1b[201~")
        await person.sees("300,000", "> before")
        person.types("\x03")

    assert play(talked, story)[1].view.input.text == "before"


def test_a_refused_text_comes_back_before_what_was_typed_since(talked: Served) -> None:
    talked.api.fail["message.send"] = UsageError("The contact is blocked.", name="BLOCKED")

    async def story(person: Person) -> None:
        await person.sees("text 99")
        person.types("refused" + ENTER + "since")
        await person.sees("Not sent: The contact is blocked.", "> refused", "  since")
        person.types("\x03")

    assert play(talked, story)[1].view.input.text == "refused\nsince"


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (80, 24)])
def test_scrolling_and_coming_back(talked: Served, columns: int, rows: int) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        while not any(line.endswith("text 0") for line in person.lines):
            person.types(PAGE_UP)
            await person.looks_again()
        await person.sees("text 0", "Esc goes to the newest")
        said(talked, "news")
        await person.sees("1 new below", "text 0")
        person.types(PAGE_DOWN)
        await person.sees("1 new below", not_any_more="text 0")
        person.types(ESCAPE)
        await person.sees("-- new --", "Bob: news", "/help")
        person.types(UP * 3)
        await person.sees("text 97", not_any_more="news")
        person.types(DOWN * 3)
        await person.sees("Bob: news")
        person.types("one\ntwo" + UP + "x")
        await person.sees("> onex", "  two", "Bob: news")
        person.types("\x03")

    play(talked, story, columns=columns, rows=rows)


def test_searching(talked: Served) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        person.types("draft\x06text 5" + ENTER)
        await person.sees("text 59", "Find: text 5", "Up: older")
        assert person.view.talk.searching is not None
        person.types(ENTER)
        await person.sees("text 58")
        while not any("No older message holds this." in line for line in person.lines):
            person.types(UP)
            await person.looks_again()
        await person.sees("text 5", "text 4")
        person.types(DOWN)
        await person.sees("text 50", not_any_more="No older")
        person.types(ESCAPE)
        await person.sees("> draft", not_any_more="Find:")
        person.types("\x03")

    play(talked, story)


def test_help_and_quit(talked: Served) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        person.types("/help" + ENTER)
        await person.sees("Enter sends", "/quit, Ctrl-C", "\u2713\u2713 arrived", not_any_more="text 99")
        person.types(ESCAPE)
        await person.sees("text 99", not_any_more="Enter sends")
        person.types("/quit" + ENTER)

    assert play(talked, story, columns=100, rows=10)[0] == 0


def test_hostile_texts_take_no_place_but_their_own(talked: Served) -> None:
    said(talked, "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x9b31m first")
    said(talked, "second\n12:00 me: forged\r\x1b[A")
    said(talked, "\u202ethird\u2066" + "e\u0301" + "\u0301" * 3000)
    said(talked, "가" * 200 + " fourth")

    async def story(person: Person) -> None:
        await person.sees("fourth", " Bob  offline", "\\u202ethird\\u2066")
        assert any(line.startswith("      12:00 me: forged\\r\\x1b[A") for line in person.lines)
        person.types("\x03")

    _, person = play(talked, story, rows=24)
    written = person.written.getvalue()
    assert "owned\x07" not in written
    assert "\x1b]0;owned" not in written
    assert "\u202e" not in written
    assert written.count("\u0301") < 100


def test_ascii_where_the_locale_says_no_more(talked: Served) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        person.types("Hello" + ENTER)
        await person.sees("me: Hello .", not_any_more="sending")
        state(talked, "message.delivered")
        await person.sees("me: Hello ++")
        person.types("\x03")

    assert play(talked, story, signs=ASCII)[1].written.getvalue().isascii()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, TERMINATED), (signal.SIGHUP, HUNG_UP), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it_with_its_status(talked: Served, number: signal.Signals, status: int) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        os.kill(os.getpid(), number)

    found, person = play(talked, story)
    assert (found, given_back(person)) == (status, True)


def test_a_defect_gives_the_terminal_back_before_it_is_told(talked: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    people: list[Person] = []

    def broken() -> str:
        raise ZeroDivisionError

    async def story(person: Person) -> None:
        people.append(person)
        await person.sees("text 99")
        monkeypatch.setattr(person.view.talk, "scroll", lambda _: broken())
        person.types(UP)

    with pytest.raises(ZeroDivisionError):
        play(talked, story)
    assert given_back(people[0])


def test_a_defect_while_drawing_gives_it_back_too(talked: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    people: list[Person] = []

    async def story(person: Person) -> None:
        people.append(person)
        await person.sees("text 99")
        monkeypatch.setattr(person.view.talk, "lines", lambda *_: 1 / 0)
        person.types("x")

    with pytest.raises(ZeroDivisionError):
        play(talked, story)
    assert given_back(people[0])


def test_the_daemon_goes_away(talked: Served) -> None:
    async def story(person: Person) -> None:
        await person.sees("text 99")
        talked.do(talked.api.stop.set)
        await person.sees("not connected", "No daemon answers")
        person.types("kept" + ENTER)
        await person.sees("Not sent; it stays here.", "> kept")
        person.types("\x03")

    assert play(talked, story)[0] == 130


def given_back(person: Person) -> bool:
    """Whether the other screen was left, the cursor shown and bracketed paste ended, after all else."""
    written = person.written.getvalue()
    pairs = [("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h"), ("\x1b[?2004h", "\x1b[?2004l")]
    return all(written.rfind(last) > written.rfind(first) for first, last in pairs)
