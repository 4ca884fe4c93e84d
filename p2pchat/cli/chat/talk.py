"""A conversation: what is known of it, what is asked for, and what happens on what the user does. Without I/O.

Rules:

- One question for a stretch of the conversation is on its way at a time; an answer that is not awaited any more is
  ignored.
- A draft that got no answer is sent again under its key when the daemon is back. A draft that was refused goes back
  into the input.
- What stands on the screen when a key is pressed was read, and so was what it opened on: somebody is there.
- What an event tells of the contact is asked for: the event tells how it was, maybe long ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from gettext import gettext as _
from secrets import token_hex
from typing import Final, Protocol

from p2pchat.api import language
from p2pchat.api.disk import ADVICE as DISK_ADVICE
from p2pchat.api.errors import ApiError
from p2pchat.api.replaced import ADVICE
from p2pchat.api.text import TEXT_BYTES
from p2pchat.base.silent import Silent
from p2pchat.cli.chat import entered as meant
from p2pchat.cli.chat.drawing import Line, Look, words
from p2pchat.cli.chat.history import End, History
from p2pchat.cli.chat.questions import Answer, Begin, Extend, Find, Question, Read, Send, Stretch, Who
from p2pchat.cli.chat.rows import Draft, Row, row
from p2pchat.cli.chat.screen import Screen
from p2pchat.cli.chat.standing import REMOVED
from p2pchat.cli.reading import fields, text

_MARGIN: Final = 20
"""So many rows beyond the screen are loaded before they are scrolled to."""

_PASTE: Final = 4 * TEXT_BYTES
_UNANSWERED: Final = ("NO_DAEMON", "TIMEOUT")


class User(Protocol):
    """What a conversation does to the one who reads it."""

    def give_back(self, text: str) -> None:
        """Put a text that was not sent into the input."""
        ...

    def search(self, words: str) -> None:
        """Let words be typed that are to be found, beginning with these."""
        ...

    def quit(self) -> None:
        """End the conversation."""
        ...


@dataclass(repr=False)
class Search(Silent):
    """Words, and the position of the message that was found last."""

    words: str
    hit: int | None = None


class Talk:
    """See the rules above.

    Args:
        contact: a ``Contact`` of the API.
        asks: hands on a question; its answer comes to :meth:`answered`, in the order of the questions.
    """

    def __init__(self, contact: Mapping[str, object], asks: Callable[[Question], None], user: User) -> None:
        self.contact = contact
        self.problem: ApiError | None = None
        self.notice = ""
        self.unseen = 0
        self.drafts: list[Draft] = []
        self.searching: Search | None = None
        self._helps = False
        self._history = History()
        self._screen = Screen()
        self._asks = asks
        self._user = user
        self._awaited: Begin | Extend | None = None
        self._sought: Find | None = None
        self._goes_on_with: object = None
        self._read_to = 0
        self._begun = False
        self._held_up = False

    # -- from the daemon -------------------------------------------------------------------------------------------

    def up(self, *, anew: bool) -> None:
        """The daemon answers; ``anew``: events may be missing since the last one."""
        self.problem, self.notice, self._held_up = None, "", False
        if anew:
            self._begun = False
        if not self._begun:
            self._load(Begin())
        self._asks(Who())
        for draft in self.drafts:
            self._asks(Send(draft.key, draft.text))

    def down(self, error: ApiError) -> None:
        """The daemon went away, or is locked."""
        self.problem = error

    def event(self, event: Mapping[str, object]) -> None:
        """An ``Event`` of the API."""
        kind, data = text(event, "type"), fields(event, "data")
        family = kind.partition(".")[0]
        if family == "message":
            self._told(kind, data)
        elif kind == "node.warning" and data.get("replaced_ms") is not None:
            self.notice = _("A newer device of yours is in use; {advice}.").format(advice=_(ADVICE))
        elif kind == "node.warning" and data.get("disk") is not None:
            state = text(data, "disk")
            advice = _(DISK_ADVICE[state]) if state in DISK_ADVICE else _("the disk works again")
            self.notice = _("{advice}.").format(advice=f"{advice[0].upper()}{advice[1:]}")
        elif family in ("contact", "peer") and (data.get("id") == self.contact.get("id") or kind == "contact.merged"):
            self._asks(Who())
            if kind == "contact.key_changed":
                self.notice = _(
                    "This contact has a new device, or somebody else claims to be it; compare in person again."
                )
            if kind == "contact.merged":
                self._load(Begin())
            if kind == "contact.removed":
                self._goes_on_with = data.get("merged_into")

    def answered(self, question: Question, answer: Answer) -> None:
        """What came of a question."""
        match question:
            case Begin() | Extend():
                if question is self._awaited:
                    self._awaited = None
                    self._loaded(question, answer)
            case Send(key, _):
                self._sent(key, answer)
            case Find(_, end, _):
                if question is self._sought:
                    self._sought = None
                    self._found(end, answer)
            case Who():
                self._is(answer)
            case Read():
                if isinstance(answer, ApiError) and answer.error_name in _UNANSWERED:
                    self._read_to = 0  # the next key says it again

    # -- from the user ---------------------------------------------------------------------------------------------

    def enter(self, entered: str) -> bool:
        """Do what was entered; whether it may leave the input."""
        self.notice, self._helps = "", False
        match meant.read(entered):
            case meant.Text(content):
                return self._send(content)
            case meant.Search(content):
                self._user.search(content)
                self.find(content)
            case meant.Help():
                self.newest()
                self._helps = True
                self._screen.read_below()
            case meant.Quit():
                self._user.quit()
            case meant.Mistake(sentence):
                self.notice = sentence
                return False
            case meant.Nothing():
                pass
        return True

    def find(self, content: str) -> None:
        """Look for the newest message that holds ``content``; for the next older one where that was looked for."""
        content = content.strip()
        if self.searching is not None and content == self.searching.words:
            self.step("older")
        elif len(content) > meant.WORDS:
            self.notice = _("A search has {most} characters at most.").format(most=meant.WORDS)
        elif content:
            self.searching = Search(content)
            self._find("older")

    def step(self, end: End) -> None:
        """To the next message that was searched for, one at a time."""
        if self.searching is not None and self.searching.hit is not None and self._sought is None:
            self._find(end)

    def leave_search(self) -> None:
        """Forget what was searched for; the screen stays where it is."""
        self.searching = self._screen.hit = self._sought = None
        self.notice = ""

    def attend(self) -> None:
        """Somebody is there, and has read what is on the screen."""
        shown = self._history.rows[: self._screen.last_row() + 1]
        came = [each for each in shown if each.incoming]
        on_it = {each.id for each in shown[self._screen.first_row() :]}
        # what came late is unread above what was read
        unread = [each for each in came if each.id in on_it and each.state == "received"] or came
        if unread and unread[-1].state == "received" and unread[-1].position > self._read_to:
            self._read_to = unread[-1].position
            self._asks(Read(unread[-1].id))

    def scroll(self, lines: int) -> None:
        """So many lines toward the end, or toward the start if negative."""
        self._held_up = False
        self._screen.scroll(lines)

    def page(self, screens: int) -> None:
        """So many screens, with a line in common."""
        self.scroll(screens * max(self._screen.height - 1, 1))

    def newest(self) -> None:
        """To the end."""
        self._held_up = self._helps = False
        self._screen.follow()
        if not self._history.at_end:
            self._load(Begin())

    def pasted(self, characters: int) -> bool:
        """Whether so much may go into the input, which would be slow with more than a message can ever have."""
        if characters <= _PASTE:
            return True
        said = _("These {count} characters were not pasted; a message has {most} bytes at most.")
        self.notice = said.format(count=f"{characters:,}", most=f"{TEXT_BYTES:,}")
        return False

    def heard(self) -> None:
        """The notice was read: something else is being done."""
        self.notice = ""

    # -- to the screen ---------------------------------------------------------------------------------------------

    def lines(self, look: Look, height: int) -> list[Line]:
        """What is on a screen of ``height`` lines; asks for what is missing around it."""
        self._screen.below = words(meant.help_on(look.signs), look) if self._helps else ()
        shown = self._screen.show(self._rows(), look, height, at_end=self._history.at_end)
        if self.follows:
            self.unseen = 0
        self._fetch()
        return shown

    @property
    def follows(self) -> bool:
        """Whether the newest message is on the screen."""
        return self._screen.follows and self._history.at_end

    @property
    def empty(self) -> bool:
        """Whether it is known that nothing was ever said."""
        return self._begun and not self._rows()

    def _rows(self) -> list[Row]:
        drafts = [draft.row(index) for index, draft in enumerate(self.drafts) if not draft.told]
        return self._history.rows + drafts if drafts and self._history.at_end else self._history.rows

    # -- within ----------------------------------------------------------------------------------------------------

    def _told(self, kind: str, data: Mapping[str, object]) -> None:
        message = row(data)
        if message is None:
            self._history.remove(text(data, "id"))
            return
        if data.get("contact_id") != self.contact.get("id"):
            return
        known = self._history.knows(message.id)
        late = self._history.put(message) and self._history.rows[-1].position > message.position
        if self._history.is_full:
            self._history.trim(len(self._history.rows) if self._screen.follows else self._screen.last_row())
        if known:
            return
        if late and kind == "message.received":
            self._read_to = min(self._read_to, message.position - 1)
            if self._history.index(message.position) < self._screen.first_row():
                self.notice = _("A message that was missing has arrived, further up.")
        elif kind == "message.received" and not self._screen.follows:
            self._screen.new_from = self._screen.new_from if self.unseen else message.position
            self.unseen += 1
        if kind == "message.queued":
            for draft in self.drafts:
                if draft.text == message.text and not draft.told:
                    draft.told = True
                    break

    def _send(self, content: str) -> bool:
        if self.problem is not None or text(self.contact, "state") == REMOVED:
            self.notice = _("Not sent; it stays here.")
            return False
        draft = Draft(token_hex(16), content, int(time.time() * 1000))
        self.drafts.append(draft)
        self._screen.new_from = None
        self.newest()
        self._asks(Send(draft.key, content))
        return True

    def _sent(self, key: str, answer: Answer) -> None:
        draft = next((draft for draft in self.drafts if draft.key == key), None)
        if draft is None:
            return
        if isinstance(answer, ApiError) and answer.error_name in _UNANSWERED:
            if answer.error_name == "TIMEOUT":
                self._asks(Send(key, draft.text))
            return
        self.drafts.remove(draft)
        if isinstance(answer, ApiError):
            self._user.give_back(draft.text)
            self.notice = _("Not sent: {reason}").format(reason=language.said(answer.message))
        elif isinstance(answer, Row) and not self._history.knows(answer.id):
            self._history.put(answer)

    def _find(self, end: End) -> None:
        assert self.searching is not None  # noqa: S101  its callers have seen to it
        self.notice = _("Searching")
        self._sought = Find(self.searching.words, end, self.searching.hit)
        self._asks(self._sought)

    def _found(self, end: End, answer: Answer) -> None:
        assert self.searching is not None  # noqa: S101  who forgets it forgets what was sought
        self.notice = ""
        if isinstance(answer, ApiError):
            self.notice = language.said(answer.message)
        elif not isinstance(answer, Row):
            if self.searching.hit is None:
                self.notice = _("No message holds this.")
            else:
                self.notice = _("No older message holds this.") if end == "older" else _("No newer message holds this.")
        else:
            self.searching.hit = self._screen.hit = answer.position
            if self._history.holds(answer.position):
                self._screen.look_at(answer.position)
            else:
                self._load(Begin(answer.position))

    def _is(self, answer: Answer) -> None:
        before = self.contact.get("state")
        if isinstance(answer, Mapping):
            self.contact = answer
        elif isinstance(answer, ApiError) and answer.error_name == "CONTACT_NOT_FOUND":
            self.contact = {**self.contact, "state": REMOVED, "merged_into": self._goes_on_with}
        if self.contact.get("state") != before:
            self.notice = ""  # of how it was

    def _fetch(self) -> None:
        if self._awaited is not None or not self._begun or self._held_up or self.problem is not None:
            return
        if self._screen.first_row() < _MARGIN and not self._history.at_start:
            self._load(Extend("older", self._history.beyond("older")))
        elif self._screen.last_row() > len(self._history.rows) - _MARGIN and not self._history.at_end:
            self._load(Extend("newer", self._history.beyond("newer")))

    def _load(self, question: Begin | Extend) -> None:
        self._history.asked()
        self._awaited = question
        self._asks(question)

    def _loaded(self, question: Begin | Extend, answer: Answer) -> None:
        if not isinstance(answer, Stretch):
            self._history.unanswered()
            self._held_up = True  # or the next look at the screen would ask again, and be refused again
            if isinstance(answer, ApiError) and answer.error_name not in _UNANSWERED:
                self.notice = language.said(answer.message)
            return
        if isinstance(question, Extend):
            if question.beyond != self._history.beyond(question.end):  # that end was let go meanwhile
                self._history.unanswered()
                return
            self._history.extend(question.end, answer.rows, last=answer.at_start or answer.at_end)
            if self._history.is_full:
                self._history.trim(self._screen.first_row())
            return
        opens, self._begun = not self._history.rows, True
        self._history.begin(answer.rows, at_start=answer.at_start, at_end=answer.at_end)
        if question.position is not None:
            self._screen.show(self._rows(), self._screen.look, self._screen.height, at_end=answer.at_end)
            self._screen.look_at(question.position)
        elif opens:
            self._screen.show(self._rows(), self._screen.look, self._screen.height)
            self.attend()
