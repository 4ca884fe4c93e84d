"""Network namespaces without names, one TUN device in each, and threads that step into them.

Rules:

- A namespace lives as long as somebody has a descriptor of it or runs in it: when the wire ends, the kernel removes
  it, its device and its addresses. Nothing is written to /run/netns.
- A thread that steps into a namespace makes sockets and processes there; its other work, and other threads, stay
  where they are.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import Final, NamedTuple

from netlab.fabric import link_local
from netlab.topology import Host

DEVICE: Final = "eth0"
MTU: Final = 1500

_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_OWN: Final = "/proc/thread-self/ns/net"
_TUN: Final = "/dev/net/tun"
_QUEUE_PACKETS: Final = 1000
_EVERYTHING: Final = {4: "0.0.0.0/0", 6: "::/0"}


class Unavailable(Exception):
    """This machine, or this user, can have no such network; the message says why, in one sentence."""


class Space(NamedTuple):
    """Descriptors of a namespace and of its device."""

    namespace: int
    device: int


def check() -> None:
    """Raises: Unavailable: not root, no TUN device, no ``ip``."""
    if not Path("/proc/self/ns/net").exists() or not Path(_TUN).exists():
        raise Unavailable(f"A test network needs Linux with network namespaces and {_TUN}.")
    if os.geteuid() != 0:
        raise Unavailable("A test network needs root: it makes network namespaces.")
    if shutil.which("ip") is None:
        raise Unavailable("A test network needs the program ip (Debian: iproute2).")


def make() -> Space:
    """A new namespace with its device, not configured. The calling thread is where it was.

    Raises:
        Unavailable: the kernel does not let us.
    """
    home = os.open(_OWN, os.O_RDONLY)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
            return Space(os.open(_OWN, os.O_RDONLY), device)
        finally:
            _call("setns", home, _CLONE_NEWNET)
    except OSError as error:
        raise Unavailable(f"No network namespace can be made here: {error.strerror}.") from error
    finally:
        os.close(home)


@contextmanager
def inside(path: str) -> Iterator[None]:
    """Let the calling thread be in the namespace of ``path``, such as ``/proc/PID/fd/N``."""
    home, there = os.open(_OWN, os.O_RDONLY), os.open(path, os.O_RDONLY)
    try:
        _call("setns", there, _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", home, _CLONE_NEWNET)
    finally:
        os.close(there)
        os.close(home)


def configure(space: Space, host: Host) -> None:
    """Give the device the addresses and routes of ``host``, and no others, and switch it on."""
    lines = [
        "link set lo up",
        f"addr flush dev {DEVICE}",
        f"link set {DEVICE} addrgenmode none",
        f"link set {DEVICE} mtu {MTU} txqueuelen {_QUEUE_PACKETS} up",
    ]
    for each in (*host.addresses, *link_local(host)):
        lines.append(f"addr add {each} {'brd + ' if _has_broadcast(each) else ''}dev {DEVICE}{_unchecked(each)}")
    for gateway in host.gateways:
        lines += [f"route replace {network} {_via(gateway)}dev {DEVICE}" for network in _beyond(host, gateway)]
    _ip(space, lines)


def unplug(space: Space) -> None:
    """Switch the device off; the kernel takes routes and IPv6 addresses with it."""
    _ip(space, [f"link set {DEVICE} down"])


def dwellers(spaces: Sequence[Space]) -> list[int]:
    """The processes that are in one of the namespaces."""
    known = {(info.st_dev, info.st_ino) for info in (os.fstat(space.namespace) for space in spaces)}
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                info = (entry / "ns/net").stat()
            except OSError:  # it has ended meanwhile
                continue
            if (info.st_dev, info.st_ino) in known:
                found.append(int(entry.name))
    return found


def _ip(space: Space, lines: Sequence[str]) -> None:
    with inside(f"/proc/self/fd/{space.namespace}"):
        done = subprocess.run(
            ["ip", "-batch", "-"],  # noqa: S607
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise OSError(f"ip: {done.stderr.strip()}")


def _beyond(host: Host, gateway: str) -> list[str]:
    """The default networks of a gateway's family; without a gateway, those of all families that the host has."""
    versions = {ip_interface(each).version for each in ([gateway] if gateway else host.addresses)}
    return [_EVERYTHING[version] for version in sorted(versions)]


def _via(gateway: str) -> str:
    return f"via {gateway} " if gateway else ""


def _has_broadcast(address: str) -> bool:
    interface = ip_interface(address)
    return interface.version == 4 and interface.network.prefixlen < 31


def _unchecked(address: str) -> str:
    """No duplicate address detection: nobody would answer, and addresses shall be there at once."""
    return " nodad" if ip_interface(address).version == 6 else ""


def _call(name: str, *arguments: int) -> None:
    if getattr(_LIBC, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_LIBC: Final = ctypes.CDLL(None, use_errno=True)
