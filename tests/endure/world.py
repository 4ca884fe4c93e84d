"""The two daemons, and everything that can befall them."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import chaos
from chaos.disk import Disk
from chaos.logs import logged
from p2pchat.api.errors import ApiError
from tests.e2e.daemons import ALICE, BOB, DEADLINE_S, Daemon, environment, until
from tests.endure.link import HOST, Relay, free_port
from tests.endure.schedule import NAMES, SMALL_DISK, Clock, Cut, Fill, Free, Heal, Kill, Moment, Stop
from tests.endure.talk import Listener, Writer

_NO_SPACE_STATUS: Final = 74
_FLOWS_WITHIN_S: Final = 20.0
_BENT: Final = Path(chaos.__file__).parent / "bent"


class Fallen(Exception):
    """A daemon ended that nobody has killed."""


class Peer(Daemon):
    """A daemon in a bent world, started again whenever a full disk has ended it.

    Args:
        folder: for its log and its clock, of which no disk is full.
        home: does not exist yet.
    """

    def __init__(self, folder: Path, home: Path, number: str) -> None:
        super().__init__(home, number)
        folder.mkdir(exist_ok=True)
        self.log = folder / "log.txt"
        self.port = free_port()
        self.dials = ""
        self.gave_up = 0
        self._clock = folder / "clock"
        self.set_clock(0)

    def launch(self, *arguments: str) -> None:
        """Start and wait for nothing."""
        bent = {
            "BENT_CLOCK": str(self._clock),
            "BENT_DIALS": self.dials,
            "BENT_PARENT": str(os.getpid()),
            "PYTHONPATH": f"{_BENT}{os.pathsep}{environment(self.home)['PYTHONPATH']}",
        }
        listen = f"/ip4/{HOST}/tcp/{self.port}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "p2pchat.daemon", "run", "--listen", listen, *arguments],
                env=environment(self.home) | bent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def set_clock(self, ahead_s: int) -> None:
        """Let its clock be so much ahead from now on."""
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:  # the mapping is of this file
            file.write(struct.pack("<q", ahead_s))

    def tend(self) -> None:
        """Start it again if it gave up for want of space.

        Raises:
            Fallen: it ended for another reason.
        """
        assert self.process is not None
        status = self.process.poll()
        if status is None:
            return
        if status != _NO_SPACE_STATUS or "NO_SPACE" not in self.log.read_text()[-2000:]:
            raise Fallen(f"it ended by itself with {status}: {self.log.read_text()[-2000:]}")
        self.gave_up += 1
        self.launch()

    def answers(self) -> bool:
        """Whether it is there, and awake."""
        try:
            self.call("node.hello")
        except ApiError:  # it is on its way
            return False
        return True

    def complaints(self) -> list[str]:
        """What it logged that it should not have: a defect, or what is no line of its log."""
        declared = ("NO_SPACE: ",)  # why it gave up, which its last line says
        logged = (kind for kind in self.logged() if not kind.startswith(declared))
        return [kind for kind in logged if kind.startswith("defect") or not kind[:1].islower()]

    def logged(self) -> Counter[str]:
        """How often it logged what."""
        return logged(self.log)


class World:
    """Both daemons, what is between them, and who talks to them."""

    def __init__(self, folder: Path, relay: Relay, disk: Disk | None) -> None:
        homes = [folder / "a" / "home", folder / "b" / "home"]
        if disk is not None:
            homes[SMALL_DISK] = disk.folder / "home"
        self.relay = relay
        self.disk = disk
        self.peers = [
            Peer(folder / name, home, number) for name, home, number in zip("ab", homes, (ALICE, BOB), strict=True)
        ]
        dials = " ".join(f"{peer.port}={relay.stand_before(peer.port)}" for peer in self.peers)
        for peer in self.peers:
            peer.dials = dials
        self.kills = 0
        self.listeners: list[Listener] = []
        self._writers: list[Writer] = []
        self._cut_at = self._filled_at = 0.0

    def begin(self) -> None:
        """Start both, let them find each other, and follow what happens."""
        alice, bob = self.peers
        alice.start()
        bob.start("--bootstrap", alice.address)
        self.listeners = [Listener(peer.socket) for peer in self.peers]
        for peer, number, name in ((alice, BOB, NAMES[1]), (bob, ALICE, NAMES[0])):
            peer.call("contacts.add", number=number, name=name)
        until(lambda: all(self._told(each, "contact.matched") for each in (0, 1)), "no match")

    def writer(self, who: int, name: str, texts: list[str]) -> Writer:
        """Somebody who sends ``texts`` to the other one."""
        self._writers.append(Writer(self.peers[who].socket, NAMES[1 - who], name, texts))
        return self._writers[-1]

    def end(self) -> None:
        """Kill what runs, and let nobody talk to it any more."""
        for peer in self.peers:
            if peer.process is not None and peer.process.poll() is None:
                peer.kill()
        for writer in self._writers:
            writer.end()
        for listener in self.listeners:
            listener.end()

    def delivered(self) -> int:
        """How many messages have arrived and were said to have."""
        return sum(self._told(each, "message.delivered") for each in (0, 1))

    def at_rest(self) -> bool:
        """Whether nothing waits to be delivered or read."""
        try:
            if any(peer.outbox() for peer in self.peers):
                return False
            heads = [peer.call("node.hello")["head"] for peer in self.peers]  # afterwards: what empties one is told
        except ApiError:  # it is not there again yet
            return False
        return heads == [listener.events[-1]["seq"] for listener in self.listeners]

    def wait(self, condition: Callable[[], object], what: str, within_s: float, every_s: float = 0.002) -> None:
        """Poll; whoever gives up for want of space is started again meanwhile."""

        def tended() -> bool:
            for peer in self.peers:
                peer.tend()
            return bool(condition())

        until(tended, what, within_s, every_s=every_s)

    def flow(self) -> float | None:
        """Wait for messages to arrive again: how long it took once both answered; None where something keeps them."""
        if not self.relay.whole or (self.disk is not None and self.disk.full):
            return None
        before = self.delivered()
        self.wait(lambda: all(peer.answers() for peer in self.peers), "one does not answer", DEADLINE_S)
        began = time.monotonic()
        self.wait(lambda: self.delivered() > before or time.monotonic() > began + _FLOWS_WITHIN_S, "", DEADLINE_S)
        return time.monotonic() - began

    def strike(self, moment: Moment) -> None:
        """Let it happen."""
        match moment.action:
            case Kill():
                self._kill(moment.action)
            case Cut():
                self.relay.cut(loud=moment.action.loud)
                self._cut_at = time.monotonic()
            case Heal():
                time.sleep(max(0.0, self._cut_at + moment.action.after_s - time.monotonic()))
                self.relay.heal()
            case Stop():
                self._stop(moment.action)
            case Clock():
                self.peers[moment.action.who].set_clock(moment.action.ahead_s)
            case Fill() | Free():
                self._change_disk(moment.action)

    def _kill(self, kill: Kill) -> None:
        victims = [self.peers[each] for each in kill.victims]
        for victim in victims:
            victim.tend()
            victim.kill()
            self.kills += 1
        time.sleep(kill.pause_s)
        for victim in victims:
            victim.launch()

    def _stop(self, stop: Stop) -> None:
        process = self.peers[stop.who].process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        time.sleep(stop.for_s)
        process.send_signal(signal.SIGCONT)

    def _change_disk(self, change: Fill | Free) -> None:
        assert self.disk is not None
        if isinstance(change, Fill):
            self.disk.fill()
            self._filled_at = time.monotonic()
        else:
            deadline = self._filled_at + change.after_s
            self.wait(lambda: time.monotonic() > deadline, "time", change.after_s + 1)
            self.disk.free()

    def _told(self, who: int, kind: str) -> int:
        return self.listeners[who].counts.get(kind, 0)
