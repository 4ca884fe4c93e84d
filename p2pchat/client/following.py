"""Where a reader of events is, over any number of connections. Pure: entropy is an argument, and nothing is waited for.

    subscription() ─▶ the daemon's reply ─▶ began() ─▶ told() … told() ─▶ a loss ─▶ after() ─▶ a pause ─┐
          ▲                                                                                             │
          └─────────────────────────────────────────────────────────────────────────────────────────────┘

Rules:

- The first subscription begins where the reader said, or where its consumer is; each later one after the last event
  that was told. So one reader is told nothing twice, and nothing is left out. Where all that was told is acknowledged,
  the consumer is that place: the daemon moves it along when it drops what the consumer does not want.
- A place is of one log: each later subscription says of which, so that another one in its place is noticed.
- With a consumer an event is done when the reader says so, or asks for the next one. What is done and not yet
  acknowledged is acknowledged before anything else.
- A connection that has told something and was lost is made anew at once, and nobody hears of it: the daemon disconnects
  who is busy for long with what he was told.
- What else passes by itself is waited for, once the first subscription has succeeded: that there is no daemon, that it
  serves too many, that it does not answer; and always that it is locked, for then nothing happens. All else is the
  reader's to know, CURSOR_EXPIRED above all.

Source: docs/CONTROL-API.md, "Events".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from p2pchat.api.errors import ApiError
from p2pchat.client.protocol import Event

Since = int | Literal["now"]

FIRST_S: Final = 0.1
LONGEST_S: Final = 5.0
LONGEST_ASKED_S: Final = 3600.0

PASSING: Final = frozenset({"NO_DAEMON", "LOCKED", "RATE_LIMITED"})
"""Names of errors that pass by themselves: whoever asks again later is answered."""


class Pauses:
    """Between attempts: ``FIRST_S``, twice as long each time up to ``LONGEST_S``, and each shortened at random by up to
    half: those who lost the same daemon do not all come back at once.

    Args:
        chance: gives a number from 0 up to 1 at each call.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._next_s = FIRST_S

    def begin_anew(self) -> None:
        """The attempt succeeded."""
        self._next_s = FIRST_S

    def after(self, error: ApiError) -> float:
        """Seconds until the next attempt; as many as ``error`` asks for, if it does, but no more than
        ``LONGEST_ASKED_S``."""
        pause_s = self._next_s * (1 - self._chance() / 2)
        self._next_s = min(self._next_s * 2, LONGEST_S)
        asked_ms = error.data.get("retry_after_ms")
        if not isinstance(asked_ms, int) or asked_ms < 0:
            return pause_s
        return max(pause_s, min(asked_ms, LONGEST_ASKED_S * 1000) / 1000)


class Following:
    """See the rules above.

    Args:
        since: where it begins; with ``consumer``, where one that is not known yet begins.
        consumer: under which name the daemon remembers what is done.
        log: of which log ``since`` is; None: whichever the daemon has.
        reconnect: whether what passes by itself is waited for at all.
        on_lost: told once of each loss that is not mended at once, with its error.
    """

    def __init__(
        self,
        pauses: Pauses,
        *,
        since: Since = "now",
        consumer: str | None = None,
        types: Sequence[str] | None = None,
        log: str | None = None,
        reconnect: bool = True,
        on_lost: Callable[[ApiError], object] | None = None,
    ) -> None:
        self._pauses = pauses
        self._consumer = consumer
        self._types = None if types is None else list(types)
        self.log = log
        self._reconnect = reconnect
        self._on_lost = on_lost
        self._start = since
        self._cursor: Since = since
        self._has_begun = False
        self._is_lost = False
        self._was_told = False
        self._told: int | None = None
        self._done: int | None = None
        self._acked = 0

    def subscription(self) -> dict[str, object]:
        """The parameters of ``events.subscribe``."""
        since: object = self._cursor
        if self._consumer is not None and (self._told or 0) <= self._acked:
            since = {"consumer": self._consumer} | ({} if self._start == "now" else {"start": self._start})
        params: dict[str, object] = {"since": since, "types": self._types}
        if self.log is not None:
            params["log"] = self.log
        return params

    def began(self, reply: dict[str, object]) -> None:
        """The daemon has subscribed this reader."""
        cursor = reply.get("cursor")
        if isinstance(cursor, int):
            self._cursor = cursor
        log = reply.get("log")  # an earlier daemon has none, and knows no such parameter
        self.log = log if isinstance(log, str) else None
        self._has_begun, self._is_lost, self._was_told = True, False, False
        self._pauses.begin_anew()

    def told(self, event: Event) -> Event:
        """``event``, which the reader is told now."""
        self._was_told = True
        seq = event.get("seq")
        if isinstance(seq, int):
            self._cursor = self._told = seq
        return event

    def proceed(self) -> None:
        """What was told is done."""
        self._done = self._told

    def done(self, event: Event) -> None:
        """``event`` is done, and with it all before it.

        Raises:
            ValueError: without a consumer nobody remembers that.
        """
        if self._consumer is None:
            raise ValueError("events are acknowledged by a consumer: client.events(consumer=...)")
        seq = event.get("seq")
        if isinstance(seq, int):
            self._done = seq

    def ack(self) -> dict[str, object] | None:
        """The parameters of the ``events.ack`` that is due."""
        if self._consumer is None or self._done is None or self._done <= self._acked:
            return None
        return {"consumer": self._consumer, "seq": self._done}

    def acked(self, ack: dict[str, object]) -> None:
        """The daemon has answered ``ack``."""
        seq = ack["seq"]
        assert isinstance(seq, int)  # noqa: S101  it is ours
        self._acked = seq

    def after(self, error: ApiError) -> float:
        """Seconds until the next attempt.

        Raises:
            ApiError: ``error``, for another attempt is of no use.
        """
        passes = error.error_name in (PASSING | {"TIMEOUT"} if self._has_begun else {"LOCKED"})
        if not (self._reconnect and passes):
            raise error
        if self._was_told:
            self._was_told = False
            return 0.0
        if not self._is_lost and self._on_lost is not None:
            self._on_lost(error)
        self._is_lost = True
        return self._pauses.after(error)
