"""``net``: the nodes around this one."""

from __future__ import annotations

from collections.abc import Mapping

import click

from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.nodes import export, import_
from p2pchat.cli.output import emit, line, note, table
from p2pchat.cli.reading import clock, objects, text, texts


@click.group()
@json_option
def net() -> None:
    """The nodes around this one."""


@net.command()
@json_option
@pass_invocation
def peers(invocation: Invocation) -> None:
    """List the nodes that this one is connected to."""
    found = objects(invocation.call("net.peers"), "peers")
    if invocation.as_json:
        for peer in found:
            emit(peer)
        return
    table([_row(peer) for peer in found])


@net.command()
@json_option
@pass_invocation
def addrs(invocation: Invocation) -> None:
    """List the addresses of this node; another one starts from them with daemon --bootstrap."""
    reply = invocation.call("net.addrs")
    if invocation.as_json:
        emit(reply)
        return
    for address in texts(reply, "addresses"):
        line(address)


@net.command()
@click.argument("address", metavar="MULTIADDR")
@json_option
@pass_invocation
def dial(invocation: Invocation, address: str) -> None:
    """Connect to a node. MULTIADDR ends in /p2p/ and its peer id, or is /dnsaddr/NAME."""
    _connect(invocation, "net.dial", address)


@net.command()
@click.argument("address", metavar="MULTIADDR")
@json_option
@pass_invocation
def bootstrap(invocation: Invocation, address: str) -> None:
    """Connect to a node and join the DHT through it."""
    _connect(invocation, "net.bootstrap", address)


net.add_command(export)
net.add_command(import_)


def _connect(invocation: Invocation, method: str, address: str) -> None:
    peer = invocation.call(method, address=address)
    if invocation.as_json:
        emit(peer)
    elif not invocation.quiet:
        note(f"connected to {text(peer, 'peer_id')}")


def _row(peer: Mapping[str, object]) -> list[str]:
    rtt = f"{text(peer, 'rtt_ms')} ms" if peer.get("rtt_ms") is not None else "–"
    return [text(peer, "peer_id"), text(peer, "path"), rtt, clock(peer.get("since_ms"))]
