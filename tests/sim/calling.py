"""Calling the methods of a simulated node, as a client would."""

from __future__ import annotations

import pytest

from p2pchat.api import objects
from p2pchat.base.errors import UsageError
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.testing.cluster import Node

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it


def methods(node: Node) -> Methods:
    """The methods of a node that runs."""
    assert node.running is not None
    return Methods(node.running.context, node.running.life.online, "default", 0.0)


async def call(node: Node, method: str, **params: object) -> object:
    """The result of one call."""
    return await methods(node)(method, params, CONNECTION)


async def send(node: Node, to: str, text: str, **params: object) -> objects.Message:
    """The message that one call of ``message.send`` made."""
    sent = await call(node, "message.send", to=to, text=text, **params)
    assert isinstance(sent, objects.Message)
    return sent


async def refused(node: Node, method: str, **params: object) -> UsageError:
    """What a call was refused with."""
    with pytest.raises(UsageError) as caught:
        await call(node, method, **params)
    return caught.value


async def explained(node: Node, message: str) -> objects.Explanation:
    """What is said of a message."""
    found = await call(node, "message.explain", id=message)
    assert isinstance(found, objects.Explanation)
    return found


async def told(node: Node, *types: str) -> list[tuple[str, object]]:
    """The events of these types: type and data."""
    found = await call(node, "events.fetch", since=0, types=list(types), limit=1000)
    assert isinstance(found, objects.Events)
    return [(event.type, event.data) for event in found.events]
