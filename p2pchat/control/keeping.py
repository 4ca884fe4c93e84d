"""``node.lock``, ``unlock`` and ``shutdown``, ``passphrase.change``: what the daemon itself does, locked or not."""

from __future__ import annotations

import time
from typing import Protocol

import trio

from p2pchat.api import calls, objects
from p2pchat.api.doctor_objects import Diagnosis
from p2pchat.control import locked
from p2pchat.control.diagnosing import diagnosis
from p2pchat.control.server import Connection
from p2pchat.core.access import Mode
from p2pchat.services import doctor
from p2pchat.services.examine import Files


class Keeper(Protocol):
    """The daemon as the holder of a profile."""

    @property
    def mode(self) -> Mode:
        """Who may come near, as it is configured."""
        ...

    async def lock(self) -> None:
        """Drop the keys and whatever needs them; returns when they are gone.

        Raises:
            UsageError: LOCKED, it is; FORBIDDEN, no passphrase could open it again.

        Concurrency: cancelled, it is locked all the same.
        """
        ...

    async def unlock(self, passphrase: bytes) -> None:
        """Open the profile, or check the passphrase of one that is open. One after the other.

        Raises:
            WrongPassphrase: FORBIDDEN.
            P2PChatError: it cannot be opened; it stays locked.
        """
        ...

    async def change_passphrase(self, old: bytes | None, new: bytes | None) -> None:
        """Wrap the database key anew; None stands for no passphrase.

        Raises:
            WrongPassphrase: FORBIDDEN.
            StoreError: the disk refused.
        """
        ...


class KeeperMethods:
    """``node.*`` for a node that may be locked.

    Args:
        started: when the daemon did, on the monotonic clock.
        stop: set to end the daemon.
        files: the profile's.
    """

    def __init__(self, keeper: Keeper, profile: str, started: float, stop: trio.Event, files: Files) -> None:
        self._keeper = keeper
        self._profile = profile
        self._files = files
        self._started = started
        self._stop = stop

    async def hello(self, _params: calls.NodeHello, _: Connection) -> objects.Hello:
        return locked.hello(self._profile)

    async def status(self, _params: calls.NoParams, _: Connection) -> objects.Status:
        return locked.status(self._profile, self._started, self._keeper.mode)

    async def doctor(self, _params: calls.NodeDoctor, _: Connection) -> Diagnosis:
        return diagnosis(await doctor.examine_locked(self._files, time.time()), self._profile)

    async def shutdown(self, _params: calls.NoParams, _: Connection) -> objects.Empty:
        self._stop.set()
        return objects.Empty()

    async def lock(self, _params: calls.NoParams, _: Connection) -> objects.Empty:
        await self._keeper.lock()
        return objects.Empty()

    async def unlock(self, params: calls.NodeUnlock, _: Connection) -> objects.Empty:
        await self._keeper.unlock(params.passphrase.raw)
        return objects.Empty()


class PassphraseMethods:
    """``passphrase.*``."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def change(self, params: calls.PassphraseChange, _: Connection) -> objects.Empty:
        old, new = (None if given is None else given.raw for given in (params.old, params.new))
        await self._keeper.change_passphrase(old, new)
        return objects.Empty()
