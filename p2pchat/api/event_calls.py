"""The parameters of the methods ``events.*``. Source: docs/CONTROL-API.md, "Methods"."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from p2pchat.api.calls import PageSize, Params
from p2pchat.base.silent import Silent

Seq = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Start = Seq | Literal["now"]
EventPattern = Annotated[str, Meta(max_length=64, pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))(?![\s\S])")]
EventPatterns = Annotated[
    list[EventPattern],
    Meta(min_length=1, max_length=64, description="types of events; `message.*` fits a family, `*` everything"),
]
ConsumerName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}(?![\s\S])", description="1 to 64 of `A-Z a-z 0-9 . _ -`")
]
"""Before the end of the text and nothing else: ``$`` would let a line feed through."""


LogId = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{16}(?![\s\S])", description="`Hello.log` or `Subscription.log`, where `since` is from"),
]


class Reader(Silent, Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Who reads: from behind what the ``consumer`` of that name has acknowledged; one that is not known yet is made,
    and begins after ``start``."""

    consumer: ConsumerName
    start: Start = "now"


class EventsSubscribe(Params, kw_only=True, frozen=True):
    """``since``: a ``seq``, after which it begins, 0 for all; now; or a consumer."""

    since: Start | Reader = "now"
    types: EventPatterns | None = None
    log: LogId | None = None


class EventsUnsubscribe(Params, kw_only=True, frozen=True):
    """``subscription``: one of this connection."""

    subscription: Annotated[str, Meta(min_length=1, max_length=64)]


class EventsFetch(Params, kw_only=True, frozen=True):
    """``since``: a ``seq``, after which it begins, 0 for all; or a consumer."""

    since: Seq | Reader
    types: EventPatterns | None = None
    limit: PageSize = 100
    log: LogId | None = None


class EventsAck(Params, kw_only=True, frozen=True):
    """No ``idempotency_key``: twice is as once. ``seq``: of the last event that it has done with."""

    consumer: ConsumerName
    seq: Seq


class EventsForget(Params, kw_only=True, frozen=True):
    """No ``idempotency_key``: a second one finds nobody of that name."""

    consumer: ConsumerName
