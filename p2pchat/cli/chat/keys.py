"""What the keys do. Everything else that a line editor does (Ctrl-A, Ctrl-W, Alt-F, …) is the library's.

Rules:

- Ctrl-C always ends; Ctrl-D where nothing is in the input.
- Up and Down leave the input at its edge, and move the conversation.
- A line feed is a line break: terminals send a carriage return for Enter, and some can be told to send the other for
  Shift-Enter.
"""

from __future__ import annotations

from typing import Final, Protocol

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from p2pchat.cli.chat.talk import Talk

INTERRUPTED: Final = 130


class Shown(Protocol):
    """What the keys act on."""

    talk: Talk
    input: Buffer
    words: Buffer

    @property
    def searches(self) -> bool: ...
    def search(self, words: str = "") -> None: ...
    def leave_search(self) -> None: ...
    def end(self, exit_status: int) -> None: ...


def bindings(view: Shown) -> KeyBindings:
    """All keys of the conversation."""
    keys = KeyBindings()
    _bind_everywhere(keys, view)
    _bind_input(keys, view)
    _bind_search(keys, view)
    return keys


def _bind_everywhere(keys: KeyBindings, view: Shown) -> None:
    @keys.add("c-c")
    @keys.add("<sigint>")
    def _(_: KeyPressEvent) -> None:
        view.end(INTERRUPTED)

    @keys.add("c-z")
    def _(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add("pageup")
    def _(_: KeyPressEvent) -> None:
        view.talk.page(-1)

    @keys.add("pagedown")
    def _(_: KeyPressEvent) -> None:
        view.talk.page(1)


def _bind_input(keys: KeyBindings, view: Shown) -> None:
    writes = Condition(lambda: not view.searches)
    empty = Condition(lambda: not view.input.text)

    @keys.add("enter", filter=writes)
    def _(_: KeyPressEvent) -> None:
        entered = view.input.text
        if view.talk.enter(entered) and view.input.text == entered:
            view.input.reset()

    @keys.add("escape", "enter", filter=writes)
    @keys.add("c-j", filter=writes)
    def _(_: KeyPressEvent) -> None:
        view.input.insert_text("\n")

    @keys.add(Keys.BracketedPaste)
    def _(event: KeyPressEvent) -> None:
        if not view.talk.pasted(len(event.data)):
            return
        event.current_buffer.insert_text(event.data.replace("\r\n", "\n").replace("\r", "\n"))

    @keys.add("c-d", filter=writes & empty)
    def _(_: KeyPressEvent) -> None:
        view.end(0)

    @keys.add("up", filter=writes)
    def _(_: KeyPressEvent) -> None:
        if view.input.document.on_first_line:
            view.talk.scroll(-1)
        else:
            view.input.cursor_up()

    @keys.add("down", filter=writes)
    def _(_: KeyPressEvent) -> None:
        if view.input.document.on_last_line:
            view.talk.scroll(1)
        else:
            view.input.cursor_down()

    @keys.add("c-f", filter=writes)
    def _(_: KeyPressEvent) -> None:
        view.search()

    @keys.add("escape", filter=writes)
    def _(_: KeyPressEvent) -> None:
        view.talk.newest()


def _bind_search(keys: KeyBindings, view: Shown) -> None:
    searches = Condition(lambda: view.searches)

    @keys.add("enter", filter=searches)
    @keys.add("up", filter=searches)
    @keys.add("c-f", filter=searches)
    def _(_: KeyPressEvent) -> None:
        view.talk.find(view.words.text)

    @keys.add("down", filter=searches)
    def _(_: KeyPressEvent) -> None:
        view.talk.step("newer")

    @keys.add("escape", filter=searches, eager=True)
    @keys.add("c-d", filter=searches)
    def _(_: KeyPressEvent) -> None:
        view.leave_search()
