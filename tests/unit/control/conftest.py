"""A server over a fake node, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from p2pchat.control.server import Server
from tests.unit.control.fake_node import FakeNode, JsonClient, connect


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "test.sock"


@pytest.fixture
async def server(node: FakeNode, path: Path) -> AsyncIterator[Server]:
    served = Server(node.dispatch, path=path, joint=node)
    async with trio.open_nursery() as nursery:
        await nursery.start(served.serve)
        yield served
        nursery.cancel_scope.cancel()


@pytest.fixture
async def client(server: Server, path: Path) -> AsyncIterator[JsonClient]:
    connected = await connect(path)
    async with connected.stream:
        yield connected
