"""A test network for tests and measurements.

::

    with Lab("two-nats") as lab:
        with lab.inside("alice"):
            server = socket.create_server(("192.168.1.2", 4001))
        lab.set(delay_ms=100, jitter_ms=20, loss=0.05)
        process = lab.popen("bob", ["python", "…"])
        lab.cut("alice", "bob")
        lab.heal()

Rules:

- Sockets and processes that are made within :meth:`Lab.inside` are the host's for ever, wherever they are used.
- At the end of the block whatever runs in the network is killed, and nothing of it is left; also where this process
  is killed.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self, cast

import msgspec

from netlab import control, spaces
from netlab.control import LabError
from netlab.nat import Lifetimes
from netlab.topology import Options
from netlab.wire import Spec
from p2pchat.cli.program import interpreter

_ROOT: Final = Path(__file__).parents[1]
_END_S: Final = 20.0
_numbers: Final = itertools.count(1)


class _Wire(NamedTuple):
    """The process, and where it is told and tells."""

    process: subprocess.Popen[bytes]
    input: IO[bytes]
    output: IO[bytes]


class Lab:
    """One network, from ``with`` to the end of its block.

    Args:
        topology: one of :func:`netlab.topology.names`.
        name: what it is called for ``scripts/netlab``; None: one that no other lab has.
        seed: of losses, jitter and ports.
        lifetimes: of mappings and admitted flows.

    Raises:
        Unavailable: from ``__enter__``: this machine, or this user, can have none.
        LabError: from ``__enter__``: the name is taken, or the topology unknown; from methods: no such host.
    """

    def __init__(
        self,
        topology: str,
        options: Options | None = None,
        *,
        name: str | None = None,
        seed: int = 1,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        own = name or f"{os.getpid()}-{next(_numbers)}"
        self._spec = Spec(own, topology, options or Options(), seed, lifetimes or Lifetimes())
        self._lock = threading.Lock()
        self._wire: _Wire | None = None
        self._started: list[subprocess.Popen[Any]] = []
        self._told: dict[str, Any] = {}
        self.name = own

    def __enter__(self) -> Self:
        spaces.check()
        command = [*interpreter(), "-m", "netlab.wire", msgspec.json.encode(self._spec).decode()]
        process = subprocess.Popen(  # noqa: S603  the program is our own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            start_new_session=True,  # Ctrl-C is for its owner, whose end it notices
        )
        self._wire = _Wire(process, cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout))
        try:
            line = self._wire.output.readline()
            first = msgspec.json.decode(line) if line else {"error": "The network did not start."}
            if "unavailable" in first:
                raise spaces.Unavailable(first["unavailable"])
            self._told = control.value(line)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and all that runs in it."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        wire.input.close()
        try:
            wire.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            wire.process.kill()
            wire.process.wait()
        wire.output.close()
        for process in self._started:
            process.kill()
            process.wait()

    def leave(self) -> None:
        """Let it outlive this process; ``scripts/netlab down`` ends it."""
        self._ask("stay")
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.input.close()
            wire.output.close()
            wire.process.returncode = 0  # no longer ours to wait for

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs: ``scripts/netlab down`` ends it, too."""
        return self._wire is None or self._wire.process.poll() is not None

    @property
    def pid(self) -> int:
        """The wire's."""
        return int(self._told["pid"])

    @property
    def hosts(self) -> list[str]:
        """All but the routers."""
        return [name for name, host in self._told["hosts"].items() if not host["is_router"]]

    def addresses(self, host: str) -> list[str]:
        """The present ones, without prefix lengths; IPv4 first."""
        return list(self.status()["hosts"][host]["addresses"])

    def home(self, host: str) -> Path:
        """An empty folder for a host's files, removed at the end."""
        return Path(self._told["homes"]) / host

    def inside(self, host: str) -> AbstractContextManager[None]:
        """Where what this thread makes, sockets and processes, is the host's."""
        return spaces.inside(self._told["hosts"][host]["namespace"])

    def popen(
        self,
        host: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401  those of Popen
    ) -> subprocess.Popen[Any]:
        """Start a process on a host, killed at the end if it still runs; without ``env`` its HOME is :meth:`home`."""
        environment = os.environ | {"HOME": str(self.home(host))} if env is None else env
        with self.inside(host):
            process = subprocess.Popen(command, env=environment, **options)  # noqa: S603  tests start what they like
        self._started.append(process)
        return process

    def set(self, host: str | None = None, **settings: float) -> None:
        """Change a line, or all: ``delay_ms``, ``jitter_ms``, ``loss`` (0 to 1), ``rate_kbit`` (0: without bound).

        They apply to what a host sends: :mod:`netlab.link`. Its counts begin anew.
        """
        self._ask("set", host=host, **settings)

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two hosts, without telling them."""
        self._ask("cut", one=one, other=other)

    def cut_all(self, host: str) -> None:
        """Let nothing pass to or from a host, without telling anyone."""
        self._ask("cut", one=host)

    def heal(self, one: str | None = None, other: str | None = None) -> None:
        """Undo one cut, of two hosts or of one, or all cuts."""
        self._ask("heal", one=one, other=other)

    def move(self, host: str, segment: str | None = None, *addresses: str) -> list[str]:
        """Give a host other addresses (with prefix lengths; none: free ones), maybe in another segment.

        The segments are ``lan``, ``internet``, ``carrier``, ``alice-home`` and ``bob-home``, as a topology has them.
        """
        return list(self._ask("move", host=host, segment=segment, addresses=addresses))

    def plug(self, host: str, *, is_in: bool) -> None:
        """Take a host's interface down, or up again with its addresses and routes."""
        self._ask("plug", host=host, is_in=is_in)

    def restart(self, box: str) -> None:
        """Have a box (``alice-home``, ``bob-home``, ``carrier``) forget all mappings and flows."""
        self._ask("restart", box=box)

    def capture(self, host: str) -> Path:
        """Have whatever a host sends from now on written into a file, as tcpdump would; removed at the end."""
        return Path(self._ask("capture", host=host))

    def status(self) -> dict[str, Any]:
        """Hosts with addresses, lines and counts; boxes with mappings; cuts."""
        return dict(self._ask("status"))

    def counts(self, host: str) -> dict[str, float]:
        """What became of what a host sent since its line was last set: :class:`netlab.link.Counts`."""
        return dict(self.status()["hosts"][host]["counts"])

    def _ask(self, what: str, **values: object) -> Any:  # noqa: ANN401  JSON
        request = {"do": what} | {name: value for name, value in values.items() if value is not None}
        wire = self._wire
        if wire is None:
            raise LabError("This lab is not running.")
        with self._lock:
            try:
                wire.input.write(msgspec.json.encode(request) + b"\n")
                wire.input.flush()
            except BrokenPipeError:
                raise LabError("The network has ended.") from None
            return control.value(wire.output.readline())
