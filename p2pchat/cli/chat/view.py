"""The terminal: where things stand on it, what the keys do, and how it is left. On prompt_toolkit.

    headline        who, and whether they are there
    conversation    all the room there is
    status          the most urgent of what there is to say
    input           grows up to a third of the screen

Rules:

- Nothing is decided here: keys become calls of :class:`Talk`, and what it shows is laid out.
- However the conversation ends, the terminal is as it was: the other screen, the cursor and echo are given back by the
  library, and everything that can end it goes through the library, signals and defects of ours included.
- The mouse stays the terminal's, which selects and copies with it. Most turn its wheel into Up and Down here.
- Nothing runs while nothing happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from gettext import gettext as _
from pathlib import Path
from typing import Final

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text.base import OneStyleAndTextTuple
from prompt_toolkit.input import Input
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, Layout, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl, UIContent, UIControl
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from p2pchat.cli.chat.drawing import UNICODE, Line, Look, Signs
from p2pchat.cli.chat.keys import bindings
from p2pchat.cli.chat.link import Link
from p2pchat.cli.chat.masking import Masked
from p2pchat.cli.chat.standing import headline, status
from p2pchat.cli.chat.talk import Talk
from p2pchat.cli.chat.wrapping import wrapped
from p2pchat.cli.reading import text

TERMINATED: Final = 128 + signal.SIGTERM
HUNG_UP: Final = 128 + signal.SIGHUP

_REDRAW_S: Final = 0.02
_ESCAPE_S: Final = 0.1
"""So long after Esc the rest of a longer sequence may still come."""

_META_S: Final = 0.3
"""And so long the key that it makes another of."""

_STATUS_LINES: Final = 3
_STYLE: Final = Style.from_dict(
    {
        "head": "reverse",
        "status": "bold",
        "time": "ansibrightblack",
        "them": "bold ansicyan",
        "me": "bold",
        "tick": "ansibrightblack",
        "read": "ansigreen",
        "failed": "ansired",
        "day": "ansibrightblack",
        "new": "bold ansiyellow",
        "hit": "reverse",
        "note": "italic",
    }
)


@dataclass(frozen=True)
class Terminal:
    """What is drawn on, and how; the process's own where ``source`` and ``output`` are None."""

    charset: str = field(default="utf-8", repr=False)
    signs: Signs = UNICODE
    source: Input | None = None
    output: Output | None = None


class View:
    """The conversation with ``contact`` on a terminal. ``command``: how p2pchat is called for this profile."""

    def __init__(
        self, contact: Mapping[str, object], socket_path: Path, command: str, terminal: Terminal = Terminal()
    ) -> None:
        self._terminal = terminal
        self._command = command
        self._link = Link(socket_path, text(contact, "id"), self._post, self._fail)
        self.talk = Talk(contact, self._link.ask, self)
        self.input = Buffer(multiline=True, on_text_changed=lambda _buffer: self.talk.heard())
        self.words = Buffer(multiline=False, on_text_changed=lambda _buffer: self.talk.heard())
        self._app: Application[int] = Application(
            layout=Layout(self._layout(), focused_element=self.input),
            key_bindings=bindings(self),
            style=_STYLE,
            full_screen=True,
            min_redraw_interval=_REDRAW_S,
            terminal_size_polling_interval=None,  # the kernel tells
            input=terminal.source,
            output=terminal.output,
        )
        self._app.key_processor.before_key_press += self._attend
        self._app.ttimeoutlen, self._app.timeoutlen = _ESCAPE_S, _META_S
        self._loop: asyncio.AbstractEventLoop | None = None

    def _attend(self, _processor: object) -> None:
        self.talk.attend()

    async def run(self) -> int:
        """Until the user ends it; the exit status."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _loop, context: self._fail(context.get("exception")))
        for number, exit_status in ((signal.SIGTERM, TERMINATED), (signal.SIGHUP, HUNG_UP)):
            self._loop.add_signal_handler(number, self.end, exit_status)
        self._link.start(self.talk)
        try:
            return await self._app.run_async(set_exception_handler=False)
        finally:
            self._link.stop()

    # -- for the conversation --------------------------------------------------------------------------------------

    def give_back(self, text: str) -> None:
        typed = self.input.text
        self.input.text = f"{text}\n{typed}" if typed else text
        self.input.cursor_position = len(self.input.text)

    def search(self, words: str = "") -> None:
        self.words.text = words
        self.words.cursor_position = len(words)
        self._app.layout.focus(self.words)

    def quit(self) -> None:
        self.end(os.EX_OK)

    # -- for the keys ----------------------------------------------------------------------------------------------

    @property
    def searches(self) -> bool:
        """Whether words to be found are typed."""
        return self._app.layout.has_focus(self.words)

    def end(self, exit_status: int) -> None:
        """Leave, once."""
        if self._app.is_running and not self._app.is_done:
            self._app.exit(result=exit_status)

    def leave_search(self) -> None:
        """Back to the input."""
        self.talk.leave_search()
        self._app.layout.focus(self.input)

    # -- within ----------------------------------------------------------------------------------------------------

    def _post(self, call: Callable[[], None]) -> None:
        assert self._loop is not None  # noqa: S101  the link is started after it was found
        self._loop.call_soon_threadsafe(self._happens, call)

    def _happens(self, call: Callable[[], None]) -> None:
        call()
        self._app.invalidate()

    def _fail(self, defect: BaseException | None) -> None:
        """End with what went wrong; first the terminal is given back."""
        if self._app.is_running and not self._app.is_done:
            self._app.exit(exception=defect or RuntimeError("the event loop met a defect"))

    def _layout(self) -> HSplit:
        searches = Condition(lambda: self.searches)
        return HSplit(
            [
                Window(FormattedTextControl(self._headline), height=1, style="class:head"),
                Window(_Conversation(self._lines)),
                Window(FormattedTextControl(self._status), height=self._status_height, style="class:status"),
                ConditionalContainer(
                    Window(
                        BufferControl(self.input, input_processors=[Masked()]),
                        height=self._input_height,
                        wrap_lines=True,
                        dont_extend_height=True,
                        get_line_prefix=lambda line, wrap: "> " if line == wrap == 0 else "  ",
                    ),
                    ~searches,
                ),
                ConditionalContainer(
                    Window(
                        BufferControl(self.words, input_processors=[Masked()]),
                        height=1,
                        get_line_prefix=lambda _line, _wrap: _("Find: "),
                    ),
                    searches,
                ),
            ]
        )

    def _size(self) -> Size:
        return self._app.output.get_size()

    def _look(self, columns: int) -> Look:
        return Look(columns, text(self.talk.contact, "name"), self._terminal.signs, self._terminal.charset)

    def _lines(self, columns: int, height: int) -> list[Line]:
        return self.talk.lines(self._look(columns), height)

    def _headline(self) -> str:
        return headline(self.talk.contact, self.talk.problem, self._size().columns, self._terminal.charset)

    def _status_lines(self) -> list[str]:
        said = status(self.talk, self._command)
        return wrapped(said, self._size().columns, charset=self._terminal.charset)[:_STATUS_LINES]

    def _status(self) -> str:
        return "\n".join(self._status_lines())

    def _status_height(self) -> Dimension:
        return Dimension.exact(len(self._status_lines()))

    def _input_height(self) -> Dimension:
        return Dimension(min=1, max=max(self._size().rows // 3, 1))


class _Conversation(UIControl):
    """The lines that are on the screen, at its lower end."""

    def __init__(self, lines: Callable[[int, int], list[Line]]) -> None:
        self._lines = lines

    def create_content(self, width: int, height: int) -> UIContent:
        shown = self._lines(width, height)
        above: list[Line] = [[] for _above in range(height - len(shown))]
        lines = [list[OneStyleAndTextTuple](line) for line in above + shown]
        return UIContent(lines.__getitem__, len(lines), show_cursor=False)
