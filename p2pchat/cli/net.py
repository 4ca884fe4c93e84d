"""``net``: the nodes around this one."""

from __future__ import annotations

from collections.abc import Mapping
from gettext import gettext as _

import click

from p2pchat.cli.colour import Colour, Coloured, of_state
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.nodes import export, import_
from p2pchat.cli.output import Cell, emit, line, note, table
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
    table(
        [_row(peer) for peer in found],
        (_("PEER ID"), _("PATH"), _("RTT"), _("SINCE")),
        cut=() if invocation.verbose else (0,),
    )
    if not found and not invocation.quiet:
        note(_("No node is connected; to see why: p2pchat doctor"))


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


@net.command()
@click.argument("what")
@click.option("--idempotency-key", metavar="K", help="The same key allows once.")
@json_option
@pass_invocation
def allow(invocation: Invocation, what: str, idempotency_key: str | None) -> None:
    """Let WHAT come near: a contact, a peer id, an IP address, or a network like 192.0.2.0/24."""
    _say(invocation, "net.allow", what, idempotency_key, _("allowed {what}"))


@net.command()
@click.argument("what")
@click.option("--idempotency-key", metavar="K", help="The same key denies once.")
@json_option
@pass_invocation
def deny(invocation: Invocation, what: str, idempotency_key: str | None) -> None:
    """Keep WHAT away: a contact, a peer id, an IP address, or a network like 192.0.2.0/24.

    The most specific rule counts: of a peer id before one of a contact, before one of a network, the longest first.
    """
    _say(invocation, "net.deny", what, idempotency_key, _("denied {what}"))


@net.command()
@click.argument("what")
@click.option("--idempotency-key", metavar="K", help="The same key forgets once.")
@json_option
@pass_invocation
def forget(invocation: Invocation, what: str, idempotency_key: str | None) -> None:
    """Take back what was said of WHAT by net allow or net deny."""
    _say(invocation, "net.forget", what, idempotency_key, _("no rule any more about {what}"))


@net.command()
@json_option
@pass_invocation
def rules(invocation: Invocation) -> None:
    """List the rules about who may come near, the oldest first."""
    found = objects(invocation.call("net.rules"), "rules")
    if invocation.as_json:
        for rule in found:
            emit(rule)
        return
    table(
        [_rule(rule) for rule in found],
        (_("RULE"), _("KIND"), _("WHAT"), _("MADE")),
        cut=() if invocation.verbose else (2,),
    )
    if not found and not invocation.quiet:
        note(_("There is no rule."))


def _say(invocation: Invocation, method: str, what: str, key: str | None, done: str) -> None:
    rule = invocation.call(method, what=what, idempotency_key=key)
    if invocation.as_json:
        emit(rule)
    elif not invocation.quiet:
        note(done.format(what=text(rule, "what")))


def _rule(rule: Mapping[str, object]) -> list[Cell]:
    said = Coloured("allow", Colour.GOOD) if rule.get("allow") else Coloured("deny", Colour.BAD)
    return [said, text(rule, "kind"), text(rule, "what"), clock(rule.get("made_ms"))]


net.add_command(export)
net.add_command(import_)


def _connect(invocation: Invocation, method: str, address: str) -> None:
    peer = invocation.call(method, address=address)
    if invocation.as_json:
        emit(peer)
    elif not invocation.quiet:
        note(_("connected to {peer}").format(peer=text(peer, "peer_id")))


def _row(peer: Mapping[str, object]) -> list[Cell]:
    rtt = f"{text(peer, 'rtt_ms')} ms" if peer.get("rtt_ms") is not None else "–"
    return [text(peer, "peer_id"), of_state(text(peer, "path")), rtt, clock(peer.get("since_ms"))]
