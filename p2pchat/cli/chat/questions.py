"""What a conversation asks the daemon, and how it is asked. A question can be asked again: it changes nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from p2pchat.api.errors import ApiError
from p2pchat.base.silent import Silent
from p2pchat.cli.chat.history import End
from p2pchat.cli.chat.rows import Row, row
from p2pchat.cli.invocation import given
from p2pchat.cli.reading import objects
from p2pchat.client.blocking import Client

PAGE: Final = 60


@dataclass(frozen=True, repr=False)
class Send(Silent):
    """Commit a text. Answered by its :class:`Row`."""

    key: str
    text: str


@dataclass(frozen=True)
class Begin:
    """The newest page, or what stands around a position. Answered by a :class:`Stretch`."""

    position: int | None = None


@dataclass(frozen=True)
class Extend:
    """A page beyond a position. Answered by a :class:`Stretch`."""

    end: End
    beyond: int


@dataclass(frozen=True, repr=False)
class Find(Silent):
    """The next message that holds ``words``, from a position on or from the newest. Answered by its row, or None."""

    words: str
    end: End
    beyond: int | None


@dataclass(frozen=True)
class Who:
    """The contact as it is now. Answered by a ``Contact``."""


@dataclass(frozen=True, repr=False)
class Read(Silent):
    """Say that a message was read, and all before it. Answered by it."""

    id: str


Question = Send | Begin | Extend | Find | Who | Read


class Stretch(NamedTuple):
    """Rows without a gap between them, and whether there is nothing before and after them."""

    rows: list[Row]
    at_start: bool
    at_end: bool


Answer = Stretch | Row | Mapping[str, object] | ApiError | None


def ask(client: Client, contact_id: str, question: Question) -> Answer:
    """The answer of the daemon.

    Raises:
        ApiError: it refuses.
        NoDaemon: it went away before it answered; the question may have been carried out.
    """
    match question:
        case Send(key, text):
            return row(client.call("message.send", to=contact_id, text=text, idempotency_key=key))
        case Who():
            return client.call("contacts.get", to=contact_id)
        case Read(message_id):
            return row(client.call("message.mark_read", id=message_id))
        case Find(words, end, beyond):
            limits: dict[str, object] = {"before" if end == "older" else "after": beyond}
            rows, _ = _page(client, to=contact_id, search=words, limit=1, **given(limits))
            return rows[0] if rows else None
        case Extend("older", beyond):
            rows, at_start = _page(client, to=contact_id, before=beyond)
            return Stretch(rows, at_start, False)
        case Extend(_, beyond):
            rows, at_end = _page(client, to=contact_id, after=beyond)
            return Stretch(rows, False, at_end)
        case Begin(int(position)):
            older, at_start = _page(client, to=contact_id, before=position)
            newer, at_end = _page(client, to=contact_id, after=position - 1)
            return Stretch(older + newer, at_start, at_end)
        case Begin():
            rows, at_start = _page(client, to=contact_id)
            return Stretch(rows, at_start, True)


def _page(client: Client, *, limit: int = PAGE, **params: object) -> tuple[list[Row], bool]:
    """A page, and whether it is the last one in its direction."""
    while True:
        try:
            reply = client.call("message.list", limit=limit, **params)
        except ApiError as error:
            if error.error_name != "TOO_LARGE" or limit == 1:
                raise
            limit = max(1, limit // 4)  # long texts: fewer fit into one reply
            continue
        rows = [each for each in map(row, objects(reply, "messages")) if each is not None]
        return rows, reply.get("next") is None
