"""What the commands ask a running network, and its nodes themselves.

Rules:

- A node that does not answer keeps a command waiting for a moment, and no other command.
- On loopback islands are made of the nodes' own rules: each denies the peer ids of all others' islands, so that
  connections are closed and none is made. A rule outlives a restart; whoever did not run when it changed is told it
  when it is back. In a lab the wires are cut, and nobody is told.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from netlab import control
from netlab.control import LabError
from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.reading import fields, number, objects, text
from p2pchat.client.blocking import Client
from testnet.network import TESTNET

Told = dict[str, Any]

_ANSWER_S: Final = 3.0
_WITHIN_S: Final = 60.0
_LOOK_S: Final = 0.1
_AT_ONCE: Final = 8


class NoSuchNode(Exception):
    """A name that no node has, or one twice; the message is for people."""


def ask(name: str, do: str, **values: object) -> Any:  # noqa: ANN401  JSON
    """Tell the process that holds the network ``name`` something. Raises: LabError."""
    return control.ask(name, {"do": do, **values}, TESTNET)


def node_of(told: Told, name: str) -> Told:
    """Raises: NoSuchNode: there is none of this name."""
    for node in told["nodes"]:
        if node["name"] == name:
            return dict(node)
    raise NoSuchNode(f"There is no node {name!r}; there are {', '.join(each['name'] for each in told['nodes'])}.")


def looked_at(told: Told) -> Told:
    """The same with what each node says of itself."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return told | {"nodes": list(pool.map(_looked_at, told["nodes"]))}


def _looked_at(node: Told) -> Told:
    """``state``: of a node that runs ``running``, ``locked``, ``starting`` or ``silent``."""
    found: dict[str, object] = {}
    state = str(node["state"])
    if state == "up":
        try:
            found = _call(node, "node.status")
            state = "locked" if found["locked"] else "running"
        except NoDaemon:
            state = "starting"
        except ApiError:
            state = "silent"
    is_open = state == "running"
    return node | {
        "state": state,
        "peer_id": text(found, "peer_id") if is_open else node["peer_id"],
        "peers": number(found, "peers") if is_open else None,
        "contacts": number(fields(found, "contacts"), "matched") if is_open else None,
        "outbox": number(found, "outbox") if is_open else None,
    }


def islands_of(told: Told, groups: Sequence[str]) -> list[list[str]]:
    """The named groups, and whoever is in none as one more.

    Args:
        groups: names with commas between them.

    Raises:
        NoSuchNode: a name is none, or stands twice; or all nodes would be on one island.
    """
    islands = [[name for name in group.split(",") if name] for group in groups]
    named = [name for island in islands for name in island]
    for name in named:
        node_of(told, name)
        if named.count(name) > 1:
            raise NoSuchNode(f"The node {name} stands there twice.")
    rest = [node["name"] for node in told["nodes"] if node["name"] not in named]
    found = [island for island in (*islands, rest) if island]
    if len(found) < 2:
        raise NoSuchNode("Name some of the nodes: all of them on one island are not parted.")
    return found


def part(name: str, islands: Sequence[Sequence[str]]) -> None:
    """Let nothing pass between islands; none: heal.

    Raises:
        LabError: the network, or a node, does not answer.
    """
    ask(name, "part", islands=islands)
    told = ask(name, "status")
    if not told["in_namespaces"]:
        agree(looked_at(told), [node["name"] for node in told["nodes"]])


def agree(told: Told, names: Iterable[str]) -> None:
    """Have nodes on loopback deny whom their islands forbid, and nobody else of the network.

    Raises:
        LabError: some do not answer; all others do as they shall.
    """
    nodes = {node["name"]: node for node in told["nodes"]}
    everyone = {node["peer_id"] for node in nodes.values()} - {None}
    island_of = {each: island for island in told["islands"] for each in island}
    deaf: list[str] = []
    for name in names:
        node = nodes[name]
        own = island_of.get(name, list(nodes))
        if node["state"] == "running":
            theirs = everyone - {nodes[each]["peer_id"] for each in own}
            try:
                _deny(node, theirs, everyone)
            except P2PChatError as error:
                deaf.append(f"{name} ({error.message})")
        elif node["state"] in ("silent", "locked"):
            deaf.append(f"{name} ({node['state']})")
    if deaf:
        raise LabError(f"Not told who may come near, until it is restarted: {', '.join(deaf)}.")


def _deny(node: Told, theirs: set[str], everyone: set[str]) -> None:
    rules = objects(_call(node, "net.rules"), "rules")
    denied = {text(rule, "what") for rule in rules if rule["kind"] == "peer" and not rule["allow"]} & everyone
    for peer in sorted(theirs - denied):
        _call(node, "net.deny", what=peer)
    for peer in sorted(denied - theirs):
        _call(node, "net.forget", what=peer)


def restart(name: str, node: str) -> None:
    """End a node in order, or begin it where it has ended, and wait until it answers and knows its island.

    Raises:
        LabError: it does not come, or the network has ended.
    """
    ask(name, "restart", node=node)
    deadline = time.monotonic() + _WITHIN_S
    while True:
        told = ask(name, "status")
        now = _looked_at(node_of(told, node))
        if now["state"] in ("running", "locked"):
            break
        if str(now["state"]).startswith(("ended", "killed")):
            raise LabError(f"{node} has {now['state']} again; see its log.")
        if time.monotonic() > deadline:
            raise LabError(f"{node} does not answer, after {_WITHIN_S:g} seconds.")
        time.sleep(_LOOK_S)
    if not told["in_namespaces"]:
        agree(looked_at(told), [node])


def table(told: Told) -> list[str]:
    """What people see of :func:`looked_at`."""
    rows: list[tuple[str, ...]] = [("name", "pid", "number", "peer id", "state", "peers", "contacts", "outbox")]
    rows += [tuple(_cell(node, key) for key in _KEYS) for node in told["nodes"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = f"{told['name']}: process {told['pid']}, {'namespaces' if told['in_namespaces'] else 'loopback'}"
    parted = [f"parted: {' | '.join(','.join(island) for island in told['islands'])}"] if told["islands"] else []
    return [head + ("" if told["is_up"] else ", coming up"), *lines, *parted]


_KEYS: Final = ("name", "pid", "number", "peer_id", "state", "peers", "contacts", "outbox")
_SHOWN_OF_PEER_ID: Final = 14
"""All begin with the same eight letters."""


def _cell(node: Mapping[str, object], key: str) -> str:
    shown = text(node, key)
    return shown[:_SHOWN_OF_PEER_ID] if key == "peer_id" else shown


def _call(node: Told, method: str, /, **params: object) -> dict[str, object]:
    with Client(str(node["socket"]), timeout_s=_ANSWER_S) as client:
        return client.call(method, **params)
