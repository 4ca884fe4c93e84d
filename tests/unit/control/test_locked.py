"""A locked node: which methods it has, and that every other one is refused, whatever is added to the table."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from p2pchat.api import objects
from p2pchat.api.errors import code, exit_status
from p2pchat.api.schema import METHODS
from p2pchat.base.errors import UsageError, WrongPassphrase
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Dispatch
from p2pchat.core.access import Mode
from p2pchat.services.examine import Files

WHILE_LOCKED = {
    "node.doctor",
    "node.hello",
    "node.status",
    "node.unlock",
    "node.shutdown",
    "config.get",
    "config.set",
    "rpc.discover",
}
CANARY = "canary passphrase"


class FakeKeeper:
    """Remembers what it was asked for; ``right`` is the passphrase."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.mode: Mode = "contacts"

    async def lock(self) -> None:
        self.asked.append("lock")

    async def unlock(self, passphrase: bytes) -> None:
        self.asked.append(passphrase)
        if passphrase != b"right":
            raise WrongPassphrase("The passphrase is wrong.")

    async def change_passphrase(self, old: bytes | None, new: bytes | None) -> None:
        self.asked.append((old, new))


@pytest.fixture
def keeper() -> FakeKeeper:
    return FakeKeeper()


@pytest.fixture
def stop() -> trio.Event:
    return trio.Event()


@pytest.fixture
def dispatch(keeper: FakeKeeper, stop: trio.Event, tmp_path: Path) -> Dispatch:
    return Dispatch(
        keeper, lambda: None, "work", time.monotonic() - 61, stop, Files(tmp_path, tmp_path / "config.toml")
    )


CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it


async def refused(dispatch: Dispatch, method: str, **params: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        await dispatch(method, params, CONNECTION)
    return caught.value


def test_the_table_says_which_methods_work() -> None:
    assert {name for name, spec in METHODS.items() if spec.while_locked} == WHILE_LOCKED


@pytest.mark.parametrize("method", sorted(METHODS.keys() - WHILE_LOCKED))
async def test_every_other_method_is_locked_whatever_its_parameters(dispatch: Dispatch, method: str) -> None:
    fields = METHODS[method].params.__struct_encode_fields__
    for params in ({}, dict.fromkeys(fields, CANARY), dict.fromkeys(fields), {CANARY: CANARY}):
        error = await refused(dispatch, method, **params)
        assert (error.error_name, error.data) == ("LOCKED", {})
        assert "p2pchat unlock" in error.message
        assert "canary" not in error.message
    assert (code("LOCKED"), exit_status("LOCKED")) == (1001, 77)


async def test_a_method_that_there_is_not_is_not_found(dispatch: Dispatch) -> None:
    for method in ("node.frobnicate", "node.families", "node.__init__", "passphrase", ""):
        assert (await refused(dispatch, method)).error_name == "METHOD_NOT_FOUND"


async def test_what_is_known_while_locked(dispatch: Dispatch) -> None:
    status = await dispatch("node.status", {}, CONNECTION)
    assert isinstance(status, objects.Status)
    assert (status.locked, status.profile, status.number, status.name) == (True, "work", None, "")
    assert (status.peer_id, status.addresses, status.peers, status.outbox) == ("", [], 0, 0)
    assert status.uptime_s >= 61
    assert status.mode == "contacts"
    hello = await dispatch("node.hello", {"client": "test"}, CONNECTION)
    assert isinstance(hello, objects.Hello)
    assert (hello.profile, hello.head, hello.oldest) == ("work", 0, 0)


@pytest.mark.parametrize("given", ["right", b"right"])
async def test_a_passphrase_is_text_or_bytes(dispatch: Dispatch, keeper: FakeKeeper, given: object) -> None:
    assert await dispatch("node.unlock", {"passphrase": given}, CONNECTION) == objects.Empty()
    assert keeper.asked == [b"right"]


async def test_a_wrong_passphrase_is_forbidden(dispatch: Dispatch) -> None:
    with pytest.raises(WrongPassphrase) as caught:
        await dispatch("node.unlock", {"passphrase": b"\xff\x00"}, CONNECTION)
    assert caught.value.error_name == "FORBIDDEN"


async def test_shutdown_ends_a_locked_daemon(dispatch: Dispatch, stop: trio.Event) -> None:
    await dispatch("node.shutdown", {}, CONNECTION)
    assert stop.is_set()
