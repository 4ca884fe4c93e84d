"""The nodes, what lies between them, who talks to them, and everything that can befall them."""

from __future__ import annotations

import json
import random
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Final

from bench.acquainted import known
from bench.daemons import until
from bench.fleet import Crew
from bench.flooder import Attack, Attacked
from chaos.disk import Disk, NotAllowed
from chaos.link import Cut, Heal, Stand
from chaos.node import EX_CORRUPT, EX_NO_SPACE, PORTS, Daemon
from chaos.plan import LOCKED, SMALL, Act
from chaos.talk import Begin, Forget, Look, Looked, Send, Tell
from p2pchat.api.errors import ApiError
from p2pchat.cli.reading import objects, text, texts
from p2pchat.cli.sandbox import Sandbox
from testnet.node import free_network

PASSPHRASE: Final = "correct horse battery staple"  # noqa: S105  of throwaway profiles
_HOLDERS: Final = 2
_DISK_MIB: Final = 32
_DISK_BYTES_A_TEXT: Final = 16_384
_MOST_DISK_MIB: Final = 1_024
"""It is filled to the last byte, which is this machine's memory."""
_REPLY_S: Final = 60.0
_RESTORED_S: Final = 30.0
_ENDS_S: Final = 30.0
_PAGE_BYTES: Final = 4_096

Say = Callable[[str], None]


class World:
    """All of it.

    Args:
        folder: the sandbox's.
        count: of nodes, 3 at least.
        texts: how many there will be, about.
        say: is told what happens.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, count: int, seed: int, texts: int, say: Say) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.ends: list[str] = []
        self.cannot: list[str] = []
        self.restored: list[int] = []
        self.refused_starts = 0
        self.attacked: list[tuple[str, Attacked]] = []
        self.done: dict[str, int] = {}
        self._say = say
        self._seed = seed
        self._chance = random.Random(f"{seed} world")
        self._stack = ExitStack()
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._asking: list[socket.socket] = []
        self._flood: Act | None = None
        self._passphrase = folder / "passphrase"
        self._passphrase.write_text(PASSPHRASE + "\n")
        try:
            self.disk = self._small_disk(texts * 2 // count)
            network = free_network()
            self.nodes = [self._node(index, count, network) for index in range(count)]
            self.link = Crew(sandbox, folder, "link", "chaos.link", _REPLY_S)
            self.talk = Crew(sandbox, folder, "talk", "chaos.talk", _REPLY_S)
            self._attackers = Crew(sandbox, folder, "attackers", "chaos.attackers", _REPLY_S)
            for crew in (self.link, self.talk, self._attackers):
                crew.connect()
            self.link.ask(Stand(network, count, list(PORTS)), int)
        except BaseException:  # nobody has this world yet who could close it, and what is mounted cannot be removed
            self.close()
            raise

    def _small_disk(self, texts: int) -> Disk | None:
        try:
            size_mib = _DISK_MIB + texts * _DISK_BYTES_A_TEXT // (1 << 20)
            if size_mib > _MOST_DISK_MIB:
                raise NotAllowed(f"{size_mib:,} MiB for so many texts, all of it memory")
            return self._stack.enter_context(Disk(self.folder / "small", size_mib))
        except NotAllowed as reason:
            self.cannot.append(f"fill: no small file system can be mounted here ({reason})")
            return None

    def _node(self, index: int, count: int, network: str) -> Daemon:
        home = self.folder / f"home-{index}"
        if index == count + SMALL and self.disk is not None:
            home = self.disk.folder / "home"
        passphrase = self._passphrase if index == count + LOCKED else None
        return Daemon(self.sandbox, index, self.folder, home, network, passphrase)

    # -- the beginning ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make profiles, start nodes, let all become contacts, and all but the first two use mailboxes there."""
        for node in self.nodes:
            node.init()
        for node in self.nodes:
            self._wait_for_end(node)
        for node in self.nodes[:_HOLDERS]:
            self._start(node)
        for node in self.nodes[_HOLDERS:]:
            self._start(node, wait=False)
        for node in self.nodes:
            self._comes(node)
        self._acquaint()
        holders = self.nodes[:_HOLDERS]
        links = [text(node.call("mailbox.offer", **{"for": "anyone"}), "invite") for node in holders]
        for node in self.nodes[_HOLDERS:]:
            node.call("mailbox.use", **{"with": links})
        name = f"t{self._seed}"
        self.talk.ask(Begin([str(node.paths.socket) for node in self.nodes], name, self._seed), int)
        until(self.sandbox, lambda: all(self.look().present), "The clients do not connect", every_s=0.1)

    def _acquaint(self) -> None:
        links = [text(node.call("identity.invite", uses=100), "invite") for node in self.nodes]
        roots = [text(node.call("identity.show"), "root") for node in self.nodes]
        for one, other in combinations(self.nodes, 2):
            other.call("contacts.add", invite=links[one.index], name=f"Node {one.index}")
        for one, other in combinations(self.nodes, 2):
            came = f"Contact {roots[other.index][:8]}"
            until(self.sandbox, partial(self._knows, one, came), f"{other} does not come to {one}", every_s=0.1)
            one.call("contacts.rename", to=came, name=f"Node {other.index}")
        for node in self.nodes:
            until(self.sandbox, partial(self._has_matched, node), f"{node} has not matched with all", every_s=0.1)

    def _knows(self, node: Daemon, name: str) -> bool:
        return any(row["name"] == name for row in objects(node.call("contacts.list"), "contacts"))

    def _has_matched(self, node: Daemon) -> bool:
        return len(objects(node.call("contacts.list", state="matched"), "contacts")) == len(self.nodes) - 1

    def _start(self, node: Daemon, *, wait: bool = True) -> None:
        """Start it for the first time; it begins at the first two of those before it."""
        firsts = self.nodes[: min(node.index, _HOLDERS)]
        node.bootstrap = [address for first in firsts for address in texts(first.call("net.addrs"), "addresses")]
        node.launch()
        if wait:
            self._comes(node)

    def _comes(self, node: Daemon) -> None:
        """Wait until it answers. Raises: ApiError: INTERNAL, it ended instead."""
        until(self.sandbox, lambda: node.ended() is not None or node.answers(), f"{node} does not answer")
        if node.ended() is not None:
            raise ApiError("INTERNAL", f"{node} ended at its start: {node.process.tail() if node.process else []}")

    def _wait_for_end(self, node: Daemon, expected: int = 0) -> None:
        until(self.sandbox, lambda: node.ended() is not None, f"{node} does not end")
        status = node.ended()
        tail = [] if node.process is None else node.process.tail()
        node.finish()
        if status != expected:
            raise ApiError("INTERNAL", f"{node} ended with {status}, not {expected}: {tail}")

    # -- the clients -----------------------------------------------------------------------------------------------

    def look(self) -> Looked:
        """How the texts stand."""
        return self.talk.ask(Look(), Looked)

    def send(self, per_s: float, quiet: Sequence[int] = ()) -> None:
        """Let so many texts a second be said, between nodes not of ``quiet``."""
        self.talk.ask(Send(per_s, list(quiet)), int)

    def tell(self, path: Path) -> None:
        """Have all that the clients saw written."""
        self.talk.ask(Tell(str(path)), int)

    # -- what befalls them -----------------------------------------------------------------------------------------

    def strike(self, act: Act, end_s: float, per_s: float) -> None:
        """Let it begin; :meth:`tend` ends it at ``end_s``, also where it has begun late: the next one may be due then.

        Args:
            end_s: of ``time.monotonic``.
            per_s: texts a second that are said, and are again after what stops them.
        """
        self.done[act.kind] = self.done.get(act.kind, 0) + 1
        victims = [self.nodes[each] for each in act.who]
        match act.kind:
            case "kill":
                self._each(victims, Daemon.kill)
                self._due.append((end_s, partial(self._each, victims, self._launch)))
            case "stop":
                self._each(victims, partial(Daemon.stop, stopped=True))
                self._due.append((end_s, partial(self._each, victims, partial(Daemon.stop, stopped=False))))
            case "cut" | "halve":
                rest = [node.index for node in self.nodes if node.index not in act.who]
                self.link.ask(Cut(list(act.who), rest, act.detail == "loud"), int)
                self._due.append((end_s, self._mend))
            case "clock":
                self._each(victims, partial(Daemon.set_clock, ahead_s=int(act.detail)))
                self._due.append((end_s, partial(self._each, victims, partial(Daemon.set_clock, ahead_s=0))))
            case "slow":
                self._each(victims, partial(Daemon.set_disk, late_ms=int(act.detail)))
                self._due.append((end_s, partial(self._each, victims, partial(Daemon.set_disk, late_ms=0))))
            case "fill":
                assert self.disk is not None  # noqa: S101  it is not planned without one
                self.disk.fill(watched=False)
                self._due.append((end_s, self.disk.free))
            case "lock":
                self._each(victims, partial(self._ask, method="node.lock"))
                self._due.append((end_s, partial(self._each, victims, partial(self._ask, method="node.unlock"))))
            case "move":
                self._each(victims, self._move)
            case "damage":
                self._damage(victims[0], act, per_s)
            case "flood":
                self._attack(victims[0], act)
            case _:
                raise ValueError(act.kind)

    def _each(self, nodes: Sequence[Daemon], do: Callable[[Daemon], object]) -> None:
        for node in nodes:
            do(node)

    def _mend(self) -> None:
        self.link.ask(Heal(), int)

    def tend(self) -> None:
        """End what is due, and look after whoever has ended."""
        self.sandbox.check()
        now_s = time.monotonic()
        for each in [each for each in self._due if each[0] <= now_s]:
            self._due.remove(each)
            each[1]()
        if self.disk is not None and self.disk.full:
            self.disk.top_up()
        self._hear()
        for node in self.nodes:
            if (status := node.ended()) is not None:
                self._bury(node, status)
        if self._flood is not None and self._attackers.ready():
            self.attacked.append((self._flood.detail, self._attackers.receive(Attacked)))
            self._flood = None

    def _bury(self, node: Daemon, status: int) -> None:
        tail = [] if node.process is None else node.process.tail()[-1:]
        is_small = self.disk is not None and node.index == len(self.nodes) + SMALL
        node.finish()
        if node.is_ending:
            if status and not (status == -signal.SIGTERM and node.is_young):  # which it could not handle yet
                self.ends.append(f"{node} ended with {status} when it was asked to end: {tail}")
            self._launch(node)
        elif status == EX_NO_SPACE and is_small and any("NO_SPACE" in line for line in tail):
            self.refused_starts += 1
            self._due.append((time.monotonic() + 1.0, partial(self._launch, node)))
        else:
            self.ends.append(f"{node} ended with {status}: {tail}")
            self._launch(node)

    def _launch(self, node: Daemon) -> None:
        if node.process is None:
            node.launch()

    def _move(self, node: Daemon) -> None:
        """To its other port: :meth:`tend` starts it there."""
        node.port = PORTS[1 - PORTS.index(node.port)]
        node.terminate()

    def _ask(self, node: Daemon, method: str) -> None:
        """Have it locked or unlocked, and do not wait: that takes it some seconds. One that is not there is not locked,
        and starts unlocked."""
        params = {"passphrase": PASSPHRASE} if method == "node.unlock" else {}
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with suppress(OSError):
            asking = socket.socket(socket.AF_UNIX)
            self._asking.append(asking)
            asking.connect(str(node.paths.socket))
            asking.sendall(json.dumps(request).encode() + b"\n")

    def _hear(self) -> None:
        """Let go of those who have answered."""
        for asking in select.select(self._asking, [], [], 0)[0]:
            self._asking.remove(asking)
            asking.close()

    def _attack(self, node: Daemon, act: Act) -> None:
        if self._flood is not None:
            return
        with suppress(ApiError, IndexError):  # whoever is not there is not attacked
            address = texts(node.call("net.addrs"), "addresses")[0]
            self._attackers.send(Attack(known(address), act.detail, act.for_s, None))
            self._flood = act

    def _damage(self, node: Daemon, act: Act, per_s: float) -> None:
        """A byte of each page of the database of a node that is down: it must say so, and comes back from its backup.

        Nothing is said to it or by it meanwhile: what came after the backup was made would be lost, rightly.
        """
        self.send(per_s, quiet=[node.index])
        if not self._quietens(node):
            self._say(f"         {node} does not come to rest, and is not damaged")
            self.done[act.kind] -= 1
            self.send(per_s)
            return
        backup = self.folder / f"backup-{node.index}-{self.done[act.kind]}"
        node.call("backup.create", path=str(backup), passphrase=PASSPHRASE)
        node.call("node.shutdown")
        self._wait_for_end(node)
        _flip(node.paths.database, self._chance)
        node.launch()
        self._expect_corrupt(node)
        shutil.move(node.paths.data_dir, self.folder / f"damaged-{node.index}-{self.done[act.kind]}")
        node.restore(backup, self._passphrase)
        self._wait_for_end(node)
        self.restored.append(node.index)
        node.passphrase = self._passphrase  # the backup's is the profile's from now on
        self.talk.ask(Forget(node.index), int)
        node.launch()
        self._comes(node)
        self.send(per_s)

    def _quietens(self, node: Daemon) -> bool:
        deadline = time.monotonic() + _RESTORED_S
        while self.look().waiting[node.index]:
            self.tend()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return node.answers()

    def _expect_corrupt(self, node: Daemon) -> None:
        """Raises: ApiError: INTERNAL, it serves a database of which every page is damaged."""
        until(self.sandbox, lambda: node.ended() is not None or node.answers(), f"{node} neither ends nor answers")
        status, tail = node.ended(), [] if node.process is None else node.process.tail()[-1:]
        node.finish()
        if status != EX_CORRUPT or not any("CORRUPT" in line for line in tail):
            self.ends.append(f"{node} ended with {status} where its database is damaged: {tail}")

    # -- the end ---------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Undo everything at once."""
        due, self._due = self._due, []
        for _, end in due:
            end()
        self._mend()

    @property
    def quiet(self) -> bool:
        """Whether nobody is attacked any more."""
        return self._flood is None

    def shut_down(self) -> None:
        """End every daemon in order."""
        for node in self.nodes:
            node.terminate()
        deadline = time.monotonic() + _ENDS_S
        for node in self.nodes:
            while node.ended() is None and time.monotonic() < deadline:
                self.sandbox.check()
                time.sleep(0.05)
            status = node.ended()
            if status != 0:
                self.ends.append(f"{node} ended with {status} at the end")
            node.finish()

    def close(self) -> None:
        """Unmount what is mounted."""
        for asking in self._asking:
            asking.close()
        self._stack.close()


def _flip(database: Path, chance: random.Random) -> None:
    """Change one bit of every page."""
    with database.open("r+b") as file:
        for page in range(0, database.stat().st_size, _PAGE_BYTES):
            at = page + chance.randrange(_PAGE_BYTES)
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))
