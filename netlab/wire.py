"""The process that is the network: ``python -m netlab.wire SPEC``, started by :class:`netlab.lab.Lab`.

Rules:

- It owns all namespaces and devices. When it ends, however it ends, the kernel removes them.
- It ends when its owner does (the end of its standard input, or another parent), unless it was told to stay; on
  SIGTERM; and when told to. Then it kills whatever runs in its namespaces, except its owner, and removes its homes.
- Requests come as lines on standard input, answered on standard output, or on the control socket.
"""

from __future__ import annotations

import heapq
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, Final, NoReturn

import msgspec

from netlab import control, spaces
from netlab.control import LabError
from netlab.fabric import Fabric, Parcel
from netlab.link import Counts, Link
from netlab.nat import Lifetimes
from netlab.packets import PCAP_HEAD, pcap_record
from netlab.router import Router
from netlab.spaces import Space
from netlab.topology import Options, build, moved

_BATCH: Final = 64
"""Packets read from one device before the others have their turn."""

_READ_BYTES: Final = 2048
_LOOK_S: Final = 0.5
"""How often the owner is looked after."""


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to be. ``seed``: of losses, jitter and ports."""

    name: str
    topology: str
    options: Options
    seed: int
    lifetimes: Lifetimes


class Wire:
    """The network at work."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._owner = os.getppid()
        self._stays = False
        self._ends = False
        self._random = Random(spec.seed)
        topology = build(spec.topology, spec.options)
        self._fabric = Fabric(topology, self._random, spec.lifetimes)
        self._server = control.listen(spec.name)
        self._homes = Path(tempfile.mkdtemp(prefix="netlab-"))
        self._links = {host.name: Link() for host in topology.hosts}
        self._spaces: dict[str, Space] = {}
        self._devices: dict[str, int] = {}
        self._cut: set[frozenset[str]] = set()
        self._captures: dict[str, BinaryIO] = {}
        self._unplugged: set[str] = set()
        self._waiting: list[tuple[float, int, float, Parcel]] = []
        self._number = 0
        self._lines = b""
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}

    def open(self) -> None:
        """Make the namespaces and switch everything on."""
        for host in self._fabric.topology.hosts:
            (self._homes / host.name).mkdir()
            space = self._spaces[host.name] = spaces.make()
            self._devices[host.name] = space.device
            spaces.configure(space, host)
            self._watch(space.device, partial(self._read, host.name, space.device))
        self._watch(self._server.fileno(), lambda: control.serve(self._server, self.handle))
        self._watch(sys.stdin.fileno(), self._told)
        options = self._spec.options
        if options.natpmp or options.upnp:
            for host in self._fabric.topology.hosts:
                box = self._fabric.home_box(host.name) if host.is_router else None
                nat = None if box is None else self._fabric.nat_of(box)
                if nat is not None:
                    Router(host, self._spaces[host.name], nat, options, self._readers, self._look_at)

    def run(self) -> None:
        """Carry packets until the end."""
        look_s = 0.0
        while not self._ends:
            now = time.monotonic()
            if now >= look_s:
                look_s = now + _LOOK_S
                self._ends |= not self._stays and os.getppid() != self._owner
            wait_s = min(self._waiting[0][0] - now, _LOOK_S) if self._waiting else _LOOK_S
            for descriptor, _ in self._poll.poll(max(wait_s, 0.0)):
                self._readers[descriptor]()
            self._release()

    def close(self) -> None:
        """End what runs in the namespaces, and leave no file."""
        for pid in spaces.dwellers(list(self._spaces.values())):
            if pid not in (self._owner, os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it has ended meanwhile
        shutil.rmtree(self._homes, ignore_errors=True)  # who was killed may still be writing; temporary files at most

    def handle(self, request: Mapping[str, Any]) -> object:
        """Do what a request names."""
        act = getattr(self, f"_do_{request['do']}", None)
        if act is None:
            raise LabError(f"A lab does not know {request['do']!r}.")
        return act(**{name: value for name, value in request.items() if name != "do"})

    def _do_set(self, host: str | None = None, **values: float) -> None:
        for link in [self._link(host)] if host else self._links.values():
            link.settings = replace(link.settings, **values)
            link.counts = Counts()

    def _do_cut(self, one: str, other: str | None = None) -> None:
        self._link(one)
        if other is not None:
            self._link(other)
        self._cut.add(frozenset((one,) if other is None else (one, other)))

    def _do_heal(self, one: str | None = None, other: str | None = None) -> None:
        if one is None:
            self._cut.clear()
        else:
            self._cut.discard(frozenset((one,) if other is None else (one, other)))

    def _do_move(self, host: str, segment: str | None = None, addresses: tuple[str, ...] = ()) -> list[str]:
        try:
            after = moved(self._fabric.topology, host, segment, tuple(addresses))
        except KeyError as error:
            raise LabError(f"There is no {error.args[0]!r}.") from error
        self._fabric.move(after)
        if host not in self._unplugged:
            spaces.configure(self._spaces[host], after)
        return list(after.addresses)

    def _do_plug(self, host: str, is_in: bool) -> None:
        self._link(host)
        if is_in:
            after = next(each for each in self._fabric.topology.hosts if each.name == host)
            spaces.configure(self._spaces[host], after)
            self._unplugged.discard(host)
        else:
            spaces.unplug(self._spaces[host])
            self._unplugged.add(host)

    def _do_restart(self, box: str) -> None:
        gates = self._fabric.gates().get(box)
        if gates is None:
            raise LabError(f"There is no {box!r}.")
        for gate in gates:
            gate.forget_all()

    def _do_status(self) -> dict[str, object]:
        now, hosts = time.monotonic(), self._fabric.topology.hosts
        boxes: dict[str, object] = {}
        for name, gates in self._fabric.gates().items():
            nat = self._fabric.nat_of(name)
            boxes[name] = {
                "refused": sum(gate.refused for gate in gates),
                "mappings": [
                    {
                        "protocol": each.protocol,
                        "inside": ".".join(map(str, each.inside)),
                        "inside_port": each.inside_port,
                        "outside_port": each.outside_port,
                        "opened": each.until_s is not None,
                    }
                    for each in ([] if nat is None else nat.mappings(now))
                ],
            }
        return {
            "name": self._spec.name,
            "topology": self._spec.topology,
            "pid": os.getpid(),
            "homes": str(self._homes),
            "hosts": {
                host.name: {
                    "segment": host.segment,
                    "addresses": [each.partition("/")[0] for each in host.addresses],
                    "namespace": f"/proc/{os.getpid()}/fd/{self._spaces[host.name].namespace}",
                    "is_router": host.is_router,
                    "is_plugged": host.name not in self._unplugged,
                    "link": asdict(self._links[host.name].settings),
                    "counts": self._links[host.name].counts.told(),
                }
                for host in hosts
            },
            "boxes": boxes,
            "cut": sorted(sorted(pair) for pair in self._cut),
        }

    def _do_capture(self, host: str) -> str:
        """Write down whatever a host sends from now on, cut or lost or not; the file."""
        self._link(host)
        path = self._homes / f"{host}.pcap"
        if host not in self._captures:
            self._captures[host] = path.open("wb", buffering=0)
            self._captures[host].write(PCAP_HEAD)
        return str(path)

    def _do_stay(self) -> None:
        """Outlive the owner."""
        self._stays = True
        self._poll.unregister(sys.stdin.fileno())

    def _let_go(self) -> None:
        """Hold nothing of the owner's open: whoever reads its output waits for the end of it."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.close(nothing)

    def _do_end(self) -> None:
        self._ends = True

    def _link(self, host: str) -> Link:
        link = self._links.get(host)
        if link is None:
            raise LabError(f"There is no host {host!r}; there are {', '.join(self._links)}.")
        return link

    def _watch(self, descriptor: int, reader: Callable[[], None]) -> None:
        self._readers[descriptor] = reader
        self._look_at(descriptor)

    def _look_at(self, descriptor: int) -> None:
        self._poll.register(descriptor, select.EPOLLIN)

    def _told(self) -> None:
        data = os.read(sys.stdin.fileno(), 1 << 16)
        self._ends |= not data
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            told = control.reply(line, self.handle)
            try:
                os.write(sys.stdout.fileno(), told)
            except BrokenPipeError:
                self._ends = True  # the owner has gone
        if self._stays:
            self._let_go()

    def _read(self, host: str, device: int) -> None:
        link, fabric = self._links[host], self._fabric
        for _ in range(_BATCH):
            try:
                packet = os.read(device, _READ_BYTES)
            except OSError:  # nothing more to read, or the interface is down
                return
            now = time.monotonic()
            if host in self._captures:
                self._captures[host].write(pcap_record(packet, time.time()))
            if frozenset((host,)) in self._cut:
                link.counts.sent += 1
                link.counts.cut += 1
                continue
            due_s = link.due(len(packet), now, self._random)
            parcel = None if due_s is None else fabric.depart(host, packet, now)
            if due_s is None or parcel is None:
                continue
            if due_s <= now:
                self._arrive(parcel, now, now)
            else:
                self._number += 1
                heapq.heappush(self._waiting, (due_s, self._number, now, parcel))

    def _release(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= (now := time.monotonic()):
            _, _, began_s, parcel = heapq.heappop(waiting)
            self._arrive(parcel, began_s, now)

    def _arrive(self, parcel: Parcel, began_s: float, now: float) -> None:
        sender, cut = parcel.sender, self._cut
        counts = self._links[sender].counts

        def deliver(host: str, packet: bytes) -> None:
            if cut and (frozenset((host,)) in cut or frozenset((sender, host)) in cut):
                counts.cut += 1
                return
            try:
                os.write(self._devices[host], packet)
            except OSError:  # its interface is down, or its queue is full
                counts.failed += 1
            else:
                counts.arrived(now - began_s)

        self._fabric.arrive(parcel, now, deliver)


def main() -> int:
    """The exit status."""
    spec = msgspec.json.decode(sys.argv[1], type=Spec)
    signal.signal(signal.SIGTERM, _end)
    try:
        spaces.check()
        wire = Wire(spec)
    except (spaces.Unavailable, LabError, KeyError) as error:
        return _failed(error)
    try:
        wire.open()
        print(msgspec.json.encode({"ok": wire.handle({"do": "status"})}).decode(), flush=True)
        wire.run()
    except spaces.Unavailable as error:
        return _failed(error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wire.close()
    return 0


def _failed(error: Exception) -> int:
    text = f"There is no topology {error}." if isinstance(error, KeyError) else str(error)
    kind = "unavailable" if isinstance(error, spaces.Unavailable) else "error"
    print(msgspec.json.encode({kind: text}).decode(), flush=True)
    return 1


def _end(*_: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
