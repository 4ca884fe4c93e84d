"""Two daemons that talk: what ``basics`` and ``delivery`` have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bench.daemons import Node, until
from bench.measure import Samples, each_s, quantile
from p2pchat.cli.reading import number, objects
from p2pchat.cli.sandbox import Sandbox

_PAGE: Final = 1000


def match(sandbox: Sandbox, alice: Node, bob: Node) -> None:
    """Let them add each other by number, and wait for the match."""
    for one, other in ((alice, bob), (bob, alice)):
        one.client.call("contacts.add", number=other.number, name=other.name)

    def matched() -> bool:
        return all(each.events("contact.matched") for each in (alice, bob))

    until(sandbox, matched, "They do not match")


def lone(writer: Node, to: str, text: str, count: int, samples: Samples) -> list[int]:
    """Send one text after the other; by the log, the milliseconds that each has taken."""
    told: list[int] = []

    def deliver() -> None:
        message = writer.client.call("message.send", to=to, text=text, wait="delivered")
        told.append(number(message, "delivered_ms") - number(message, "created_ms"))

    taken_s = each_s(deliver, count)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        samples.add(f"lone {name} ms", quantile(taken_s, share) * 1000)
    return told


def settled(writers: Iterable[Node]) -> bool:
    """Whether everything that they have sent is delivered."""
    return not any(number(writer.client.call("node.status"), "outbox") for writer in writers)


def span(writer: Node, to: str, count: int) -> tuple[int, int]:
    """(created_ms of the first, delivered_ms of the last) of the ``count`` newest messages that were sent."""
    times = delivered(writer, to, count)
    return times[0][0], max(last for _, last in times)


def delivered(writer: Node, to: str, count: int) -> list[tuple[int, int]]:
    """(created_ms, delivered_ms) of the ``count`` newest messages that were sent, the oldest of them first."""
    sent: list[dict[str, object]] = []
    before: int | None = None
    while len(sent) < count:
        page = writer.client.call("message.list", to=to, limit=_PAGE, **({} if before is None else {"before": before}))
        sent += [each for each in objects(page, "messages") if each["direction"] == "out"]
        before = number(page, "next")
    sent.sort(key=lambda each: number(each, "position"))
    return [(number(each, "created_ms"), number(each, "delivered_ms")) for each in sent[-count:]]
