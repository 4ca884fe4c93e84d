"""``message.*`` and ``events.*``: texts, and the log of what happens."""

from __future__ import annotations

from typing import Final

from p2pchat.api import calls, event_calls, objects
from p2pchat.api.methods.spec import UNNAMED, MethodSpec

MESSAGE: Final = {
    "message.send": MethodSpec(
        calls.MessageSend,
        objects.Message,
        True,
        "Commits a text, to be delivered from then on; with `live_only` to who is connected now, or not at all.",
        errors=(*UNNAMED, "BLOCKED", "PEER_OFFLINE", "TIMEOUT", "MESSAGE_NOT_FOUND", "TOO_LARGE"),
    ),
    "message.list": MethodSpec(
        calls.MessageList,
        objects.Messages,
        False,
        "Reads a conversation, page by page, from its end, or from `after` on.",
        errors=UNNAMED,
    ),
    "message.search": MethodSpec(
        calls.MessageSearch,
        objects.Messages,
        False,
        "Finds messages by their words, in one conversation or in all, the newest first.",
        errors=UNNAMED,
    ),
    "message.mark_read": MethodSpec(
        calls.MessageMarkRead,
        objects.Message,
        True,
        "Says that a message that came was read, and everything of that contact at lower positions; what was read "
        "before keeps its time. The contact is told, where read receipts are on. A message of one's own: "
        "INVALID_PARAMS.",
        errors=("MESSAGE_NOT_FOUND",),
    ),
    "message.get": MethodSpec(
        calls.MessageGet, objects.Message, False, "Shows one message.", errors=("MESSAGE_NOT_FOUND",)
    ),
    "message.explain": MethodSpec(
        calls.MessageGet,
        objects.Explanation,
        False,
        "Says why a message has not arrived and what happens next: the tries since the daemon was started, addresses, "
        "when the next one is.",
        errors=("MESSAGE_NOT_FOUND",),
    ),
    "message.cancel": MethodSpec(
        calls.MessageChange,
        objects.Message,
        True,
        "Takes back what is queued; again is no error. What was sent, or came, is INVALID_PARAMS.",
        errors=("MESSAGE_NOT_FOUND",),
    ),
    "message.delete": MethodSpec(
        calls.MessageChange,
        objects.Deleted,
        True,
        "Forgets a message on this node, for ever; the other side keeps it. What is queued is cancelled first; what is "
        "on its way (sent) is INVALID_PARAMS until it is delivered or has expired.",
        errors=("MESSAGE_NOT_FOUND",),
    ),
}

EVENTS: Final = {
    "events.subscribe": MethodSpec(
        event_calls.EventsSubscribe,
        objects.Subscription,
        False,
        "Begins to notify of events. RATE_LIMITED where the connection has 64 subscriptions.",
        errors=("CURSOR_EXPIRED", "RATE_LIMITED"),
    ),
    "events.unsubscribe": MethodSpec(
        event_calls.EventsUnsubscribe, objects.Empty, False, "Ends a subscription of this connection."
    ),
    "events.fetch": MethodSpec(
        event_calls.EventsFetch,
        objects.Events,
        False,
        "Reads the event log without waiting.",
        errors=("CURSOR_EXPIRED",),
    ),
    "events.ack": MethodSpec(
        event_calls.EventsAck,
        objects.Consumer,
        False,
        "Says that a consumer has done with the event `seq` and all before it; the same again, or less, changes "
        "nothing. INVALID_PARAMS: no event has that `seq` yet, or no consumer that name.",
    ),
    "events.consumers": MethodSpec(
        calls.NoParams, objects.Consumers, False, "Lists the consumers of the event log, the oldest first."
    ),
    "events.forget": MethodSpec(
        event_calls.EventsForget,
        objects.Consumer,
        False,
        "Forgets a consumer, so that nothing is kept for it and the name is free; replies with what it was. "
        "INVALID_PARAMS: none has that name.",
    ),
}
