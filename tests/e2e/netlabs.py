"""Labs for tests: where there can be none, and what a host can be made to do."""

from __future__ import annotations

import select
import socket
import struct
from pathlib import Path

import pytest

from netlab.lab import Lab
from netlab.packets import checksum
from netlab.spaces import Unavailable, check

PORT = 4001
COMES_S = 10.0
"""What is expected to come may take long where much else runs: the boxes of a lab are one process."""

MISSING_S = 0.3
"""So long is waited for what is expected not to come."""


def reason() -> str:
    """Why there can be no lab here; empty if there can."""
    try:
        check()
    except Unavailable as error:
        return str(error)
    return ""


needs_lab = pytest.mark.skipif(bool(reason()), reason=reason() or "there can be labs")


def with_name_server(home: Path, address: str) -> list[str]:
    """What to put before a command so that its name server is at ``address``, whatever this machine's is.

    Where nothing may be mounted it is this machine's.
    """
    conf = home / "resolv.conf"
    conf.write_text(f"nameserver {address}\n")
    return ["unshare", "-m", "sh", "-c", f'mount --bind {conf} /etc/resolv.conf 2>/dev/null; exec "$@"', "sh"]


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen(lab: Lab, host: str, address: str, port: int = PORT) -> socket.socket:
    with lab.inside(host):
        return socket.create_server((address, port), family=family(address))


def connects(lab: Lab, host: str, address: str, port: int = PORT, within_s: float = COMES_S) -> str:
    """``yes``; ``silence``, nobody answered; ``no way``, a router or the kernel said so; ``refused``."""
    with lab.inside(host):
        opened = socket.socket(family(address), socket.SOCK_STREAM)
    with opened:
        opened.settimeout(within_s)
        try:
            opened.connect((address, port))
        except TimeoutError:
            return "silence"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "no way"
    return "yes"


def pings(lab: Lab, host: str, address: str, within_s: float = COMES_S) -> bool:
    """Whether an echo comes back."""
    is_ipv6 = ":" in address
    protocol = socket.getprotobyname("ipv6-icmp") if is_ipv6 else socket.IPPROTO_ICMP
    with lab.inside(host):
        raw = socket.socket(family(address), socket.SOCK_RAW, protocol)
    with raw:
        request = struct.pack("!BBHHH", 128 if is_ipv6 else 8, 0, 0, 77, 1)
        if not is_ipv6:  # of ICMPv6, the kernel makes it
            request = request[:2] + checksum(request).to_bytes(2, "big") + request[4:]
        try:
            raw.sendto(request, (address, 0))
        except OSError:
            return False
        raw.settimeout(within_s)
        try:
            while True:
                answer = raw.recv(2048)
                if answer[0 if is_ipv6 else 20] == (129 if is_ipv6 else 0):
                    return True
        except TimeoutError:
            return False


def has_parted(lab: Lab, *hosts: str) -> bool:
    """Whether no TCP connection of theirs says anything more, whose processes have ended before."""
    over = {"06", "0A"}  # TIME_WAIT, LISTEN
    for host in hosts:
        with lab.inside(host):
            tables = [Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
        if not {row.split()[3] for rows in tables for row in rows} <= over:
            return False
    return True


def udp(lab: Lab, host: str, port: int = PORT, *, ipv6: bool = False) -> socket.socket:
    """A socket on every address of one family."""
    with lab.inside(host):
        made = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("", port))
    made.settimeout(COMES_S)
    return made


def seen_as(sender: socket.socket, receiver: socket.socket, address: str) -> tuple[str, int]:
    """The address and port under which ``sender`` appears to ``receiver``, which has ``address``."""
    sender.sendto(b"?", (address, receiver.getsockname()[1]))
    _, (host, port, *_) = receiver.recvfrom(100)
    return host, port


def hears(receiver: socket.socket, within_s: float = COMES_S) -> bool:
    ready, _, _ = select.select([receiver], [], [], within_s)
    return bool(ready)


def opens_at_once(lab: Lab, sides: tuple[tuple[str, str], tuple[str, str]], within_s: float) -> bool:
    """Whether two hosts that connect from PORT to each other's (host, outside address) at the same time both do."""
    (one, one_outside), (other, other_outside) = sides
    made: list[socket.socket] = []
    for host in (one, other):
        with lab.inside(host):
            made.append(socket.socket())
        made[-1].bind(("", PORT))
        made[-1].setblocking(False)
    try:
        for opened, address in zip(made, (other_outside, one_outside), strict=True):
            opened.connect_ex((address, PORT))
        waiting = list(made)
        while waiting:
            _, ready, _ = select.select([], waiting, [], within_s)
            if not ready or any(each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for each in ready):
                return False
            waiting = [each for each in waiting if each not in ready]
        made[0].send(b"hello")
        return select.select([made[1]], [], [], within_s)[0] != [] and made[1].recv(5) == b"hello"
    finally:
        for opened in made:
            opened.close()
