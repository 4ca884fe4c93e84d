"""A daemon that knows nobody, js-libp2p as the public DHT, and one of ours that is named there; all on loopback."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.api.paths import ProfilePaths
from p2pchat.cli.sandbox import ALONE
from p2pchat.core.params import PRODUCTION
from p2pchat.core.public_wire import MEETING_KEY
from p2pchat.net.addresses import concrete, format_address, format_peer_id, parse_address
from p2pchat.net.dht import Dht
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.public_dht import PublicDht
from tests.e2e.daemons import Daemon, daemons
from tests.net.hosts import LOOPBACK, now
from tests.net.test_js import js_node, needs_js
from tests.net.test_public_dht import RING, ring_is_closed

ANYWHERE = "/ip4/0.0.0.0/tcp/0"

pytestmark = [
    pytest.mark.e2e,
    needs_js,
    pytest.mark.skipif(len(concrete([parse_address(ANYWHERE)[0]])) < 2, reason="this machine is in no network"),
]


def settings(home: Path) -> Path:
    path = ProfilePaths("default", {"P2PCHAT_HOME": str(home)}).config_file
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def status(daemon: Daemon) -> dict[str, object]:
    return daemon.call("node.status")


@pytest.mark.slow
async def test_a_newcomer_gets_in_by_the_meeting_point_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with js_node("ring.mjs", str(RING)) as js, Libp2pHost.listen(bytes(32), [LOOPBACK], now=now) as named:
        await ring_is_closed(js.ask)
        assert await PublicDht(named, js.nodes[:1]).provide(MEETING_KEY, named.addresses()) == RING
        async with trio.open_nursery() as nursery:
            await nursery.start(Dht(named, PRODUCTION, now).run)
            with daemons(tmp_path, None) as (newcomer,):
                entries = [format_address(addresses[0], peer) for peer, addresses in js.nodes[:2]]
                settings(tmp_path / "0").write_text(f"[bootstrap]\npublic_entry = {entries}\n")
                monkeypatch.setattr("tests.e2e.daemons.ALONE", ALONE | {"P2PCHAT_PUBLIC_DHT": "on"})
                await trio.to_thread.run_sync(partial(newcomer.start, "--listen", ANYWHERE))
                with trio.fail_after(40):
                    while not await trio.to_thread.run_sync(lambda: status(newcomer)["peers"]):  # noqa: ASYNC110
                        await trio.sleep(0.2)
                shown = await trio.to_thread.run_sync(lambda: status(newcomer))
                own = str(shown["peer_id"])
                assert shown["alone"] is None
                assert [format_peer_id(link.peer) for link in named.links()] == [own]
                strangers = set(await js.ask("met")) - {format_peer_id(named.peer_id)}
                assert len(strangers) == 1  # which asked all of the ring
                assert own not in strangers
            nursery.cancel_scope.cancel()
