"""The operating system's side: randomness, the clock, signals, the lock of a profile, systemd's notices."""

from __future__ import annotations

import builtins
import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError, UsageError
from p2pchat.core.crypto import kem_encapsulate

_LOCK_TRIES_S: Final = 0.05
_NOTICE_S: Final = 0.5
"""How long a notice may keep the node waiting: a systemd that hangs must not hang it."""

log = structlog.get_logger()


class SystemEntropy:
    """Fulfils :class:`p2pchat.core.crypto.Entropy` with the kernel's random numbers."""

    def bytes(self, n: int) -> builtins.bytes:
        return os.urandom(n)

    def encapsulate(self, kem_public: builtins.bytes) -> tuple[builtins.bytes, builtins.bytes]:
        return kem_encapsulate(kem_public)


@contextmanager
def profile_lock(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the profile for this process; the kernel lets go of it however the process ends.

    Args:
        wait_s: how long to wait for one that is ending: it lets go of its socket first.

    Raises:
        UsageError: ALREADY_RUNNING, another daemon has it.
        StoreError: the lock file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"The profile cannot be locked: {error.strerror}.") from error
    try:
        deadline = time.monotonic() + wait_s
        while not _locks(descriptor):
            if time.monotonic() >= deadline:
                raise UsageError("A daemon is already running for this profile.", name="ALREADY_RUNNING")
            time.sleep(_LOCK_TRIES_S)
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def stop_on_signal(stop: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Set ``stop`` at SIGTERM, SIGINT or SIGHUP; a second one changes nothing, stopping is already under way."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            log.info("node.stopping", signal=signal.Signals(number).name)
            stop.set()


def sd_notify(message: str) -> None:
    """Tell systemd, where it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notices:
        notices.settimeout(_NOTICE_S)
        try:
            notices.connect("\0" + address[1:] if address[0] == "@" else address)
            notices.send(message.encode())
        except OSError as error:
            log.warning("sd_notify.failed", error=type(error).__name__)
