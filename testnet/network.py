"""The nodes of a network, from their profiles to their end, and what the process that holds them can be told.

Rules:

- This process begins, kills and ends nodes, and looks after those that have ended; it never waits for a reply of one.
  Whoever wants to know what goes on in them asks them himself (:mod:`testnet.asking`).
- On loopback each node has a /24 to itself; in a lab each is a public host of a network of its own. Otherwise nodes
  would take each other for one voice.
- Only so many profiles, starts and searches as there are processors are under way at once, and one: each search takes
  256 MiB for some tenths of a second, and all at once each would be late.
- While it comes up it can be looked at and ended, nothing else.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast

from netlab import control
from netlab.control import Kind, LabError
from netlab.lab import Lab
from netlab.topology import host_name
from p2pchat.api.errors import ApiError
from p2pchat.cli.program import interpreter
from p2pchat.cli.reading import counted, text
from p2pchat.cli.sandbox import Sandbox
from testnet.node import PORT, Node, free_network, own_address

T = TypeVar("T")
Say = Callable[[str], None]

TESTNET: Final = Kind("testnet/", "test network")
_WITHIN_S: Final = 180.0
_TERMINATE_S: Final = 10.0
_LOOK_S: Final = 0.02
_REST_S: Final = 0.2
_ENTRANCES: Final = 3
_FIRST_NUMBER: Final = 40_000_001


class Down(Exception):
    """Somebody has asked for the end."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a network is to be. ``matched``: the contacts of each node."""

    name: str
    nodes: int
    matched: int
    is_in_namespaces: bool


class Member(Node):
    """A node of the network, with what has become of it."""

    def __init__(self, sandbox: Sandbox, folder: Path, name: str, number: str, address: str, lab: Lab | None) -> None:
        inside = nullcontext if lab is None else partial(lab.inside, name)
        super().__init__(sandbox, name, folder / name, folder / f"{name}.log", inside)
        self.number = number
        self.peer_id: str | None = None
        self.state = "waiting"
        self.listen = f"/ip4/{address}/tcp/{PORT}"
        self.end_s: float | None = None
        """When it is killed if it has not ended until then; of a node that is to start again."""

    @property
    def address(self) -> str | None:
        """Where others start from."""
        return None if self.peer_id is None else f"{self.listen}/p2p/{self.peer_id}"

    def make(self) -> None:
        """Begin to make the profile."""
        self.begin("init", "--number", self.number, "--name", self.name, "--no-passphrase")
        self.state = "making"

    def start(self, others: Sequence[Member]) -> None:
        """Start it; it begins at some of ``others``."""
        self.bootstrap = [each.address for each in others if each is not self and each.address][:_ENTRANCES]
        self.run(self.listen)
        self.state, self.end_s = "up", None

    def told(self) -> dict[str, object]:
        """What is known of it from without."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": None if self.process is None else self.process.pid,
            "number": self.number,
            "peer_id": self.peer_id,
            "address": self.address,
            "home": str(self.home),
            "socket": str(self.paths.socket),
            "log": str(self.log),
        }


class Pair(NamedTuple):
    """Two who shall know each other."""

    one: Member
    other: Member

    def __str__(self) -> str:
        return f"{self.one} and {self.other}"

    def acquaint(self) -> None:
        """Have each look for the other by number."""
        for node, contact in (self, self[::-1]):
            node.call("contacts.add", number=contact.number, name=contact.name)

    def have_matched(self) -> bool:
        """Whether both have found each other."""
        return all(
            text(node.call("contacts.get", to=contact.name), "state") == "matched"
            for node, contact in (self, self[::-1])
        )


class Network:
    """All of them.

    Args:
        folder: the sandbox's.
        lab: where they live, if not on loopback.
        say: is told how far it is.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, asked: Asked, lab: Lab | None, say: Say) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._asked = asked
        self._lab = lab
        self._say = say
        self._server = control.listen(asked.name, TESTNET)
        self._at_once = len(os.sched_getaffinity(0)) + 1
        self._islands: list[list[str]] = []
        self._is_up = self._is_down = False
        network = free_network() if lab is None else ""
        self.nodes = [self._member(index, network) for index in range(asked.nodes)]
        self._by_name = {node.name: node for node in self.nodes}
        self._programs = folder / "bin"
        self._write_program()

    def _member(self, index: int, network: str) -> Member:
        name = host_name(index)
        address = own_address(network, index) if self._lab is None else self._lab.addresses(name)[0]
        return Member(self._sandbox, self._folder, name, f"+8210{_FIRST_NUMBER + index}", address, self._lab)

    def _write_program(self) -> None:
        """The command p2pchat of the shells: that of this checkout."""
        self._programs.mkdir()
        program = self._programs / "p2pchat"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(interpreter())} -m p2pchat.cli "$@"\n')
        program.chmod(0o700)

    # -- the beginning ---------------------------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Make profiles, start nodes, have them matched.

        Raises:
            ApiError: INTERNAL, a node ended or refused; TIMEOUT, one does not come, or no match.
            Down: it is over already.
            LabError: the lab has ended.
        """
        began_s = time.monotonic()
        self._in_turns(self.nodes, Member.make, self._comes, "{} does not answer")
        self._say(f"{len(self.nodes)} nodes are ready after {time.monotonic() - began_s:.1f} s.")
        pairs = [Pair(self.nodes[one], self.nodes[other]) for one, other in pairs_of(self._asked)]
        if pairs:
            self._in_turns(pairs, Pair.acquaint, Pair.have_matched, "{} do not match")
            matched = counted(len(pairs), "{} pair has matched", "{} pairs have matched")
            self._say(f"{matched} by number after {time.monotonic() - began_s:.1f} s.")
        self._is_up = True

    def _in_turns(
        self, things: Sequence[T], begin: Callable[[T], object], is_done: Callable[[T], bool], failure: str
    ) -> None:
        """Begin with each as soon as few enough others are under way, and wait until all are done."""
        waiting, under_way = deque(things), dict[T, float]()
        while waiting or under_way:
            while waiting and len(under_way) < self._at_once:
                thing = waiting.popleft()
                begin(thing)
                under_way[thing] = time.monotonic() + _WITHIN_S
            self._rest(_LOOK_S)
            for thing in list(under_way):
                if is_done(thing):
                    del under_way[thing]
                elif time.monotonic() > under_way[thing]:
                    raise ApiError("TIMEOUT", f"{failure.format(thing)}, after {_WITHIN_S:g} seconds.")

    def _comes(self, node: Member) -> bool:
        """Whether it answers; led there, from its profile on."""
        status = node.ended()
        if status is not None and (status != 0 or node.state == "up"):
            raise ApiError("INTERNAL", f"{node} ended with {status} at its start.")
        if node.state == "making" and status is not None:
            node.finish()
            node.state = "made"
        first = self.nodes[0]
        if node.state == "made" and (node is first or first.address):
            node.start(self.nodes)
        if node.state == "up" and node.answers():
            node.peer_id = text(node.call("node.status"), "peer_id")
            return True
        return False

    # -- the time of its life --------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Do what is asked, until the end is.

        Raises:
            Down: it is.
            LabError: the lab has ended.
        """
        while True:
            self._rest(_REST_S)
            for node in self.nodes:
                self._look_after(node)

    def _rest(self, for_s: float) -> None:
        self._sandbox.check()
        is_asked = select.select([self._server], [], [], for_s)[0]
        if self._lab is not None and self._lab.has_ended:
            raise LabError(f"The lab {self._lab.name!r} has ended, and all nodes with it.")
        if is_asked:
            control.serve(self._server, self._handle)
        if self._is_down:
            raise Down

    def _look_after(self, node: Member) -> None:
        if (status := node.ended()) is not None:
            node.finish()
            if node.end_s is None:
                node.state = f"ended {status}"
            else:
                node.start(self.nodes)
        elif node.end_s is not None and time.monotonic() > node.end_s:
            node.finish()
            node.start(self.nodes)

    def end(self) -> None:
        """Kill all nodes: what they would still put in order is thrown away."""
        for node in self.nodes:
            node.finish()
        self._server.close()

    def tails(self) -> list[str]:
        """The last lines of those that have ended."""
        ended = [node.process for node in self.nodes if node.process is not None and node.ended() is not None]
        return [f"{process.name}: {line}" for process in ended for line in process.tail()]

    def _handle(self, request: Mapping[str, object]) -> object:
        match request["do"]:
            case "status":
                return self._status()
            case "end":
                self._is_down = True
            case _ if not self._is_up:
                raise LabError("The network is still coming up.")
            case "part":
                self._part(request["islands"])
            case "kill":
                self._kill(self._by_name[str(request["node"])])
            case "restart":
                self._restart(self._by_name[str(request["node"])])
            case other:
                raise LabError(f"A test network does not know {other!r}.")
        return None

    def _status(self) -> dict[str, object]:
        return {
            "name": self._asked.name,
            "pid": os.getpid(),
            "is_up": self._is_up,
            "in_namespaces": self._lab is not None,
            "programs": str(self._programs),
            "islands": self._islands,
            "nodes": [node.told() for node in self.nodes],
        }

    def _kill(self, node: Member) -> None:
        if node.process is None:
            raise LabError(f"{node} does not run.")
        node.finish()
        node.state, node.end_s = "killed", None

    def _restart(self, node: Member) -> None:
        if node.process is None:
            node.start(self.nodes)
        elif node.end_s is None:
            os.kill(node.process.pid, signal.SIGCONT)  # who was stopped by hand would not hear of it
            node.terminate()
            node.state, node.end_s = "ending", time.monotonic() + _TERMINATE_S

    def _part(self, islands: object) -> None:
        """Remember the islands; in a lab, cut the wires between them too."""
        wanted = cast("list[list[str]]", islands)  # by testnet.asking
        before, after = _between(self._islands), _between(wanted)
        if self._lab is not None:
            for one, other in before - after:
                self._lab.heal(one, other)
            for one, other in after - before:
                self._lab.cut(one, other)
        self._islands = wanted


def pairs_of(asked: Asked) -> list[tuple[int, int]]:
    """Who knows whom: everybody so many neighbours of a ring, and with an odd count whoever is opposite as well.

    Raises:
        ValueError: there is no such network; the message is for people.
    """
    nodes, matched = asked.nodes, asked.matched
    if matched >= nodes:
        raise ValueError(f"Of {nodes} nodes none can have {matched} contacts: {nodes - 1} at most.")
    if nodes * matched % 2:
        raise ValueError(f"{nodes} nodes cannot have {matched} contacts each: one of both has to be even.")
    steps = [*range(1, matched // 2 + 1), *([nodes // 2] if matched % 2 else [])]
    linked = [(index, (index + step) % nodes) for step in steps for index in range(nodes)]
    return sorted({(min(pair), max(pair)) for pair in linked})


def _between(islands: Sequence[Sequence[str]]) -> set[tuple[str, str]]:
    """All pairs of which each has an island of its own."""
    return {
        (min(pair), max(pair))
        for index, island in enumerate(islands)
        for other in islands[index + 1 :]
        for pair in product(island, other)
    }
