"""What runs in child processes: it answers, it goes when it is not needed, and it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from p2pchat.base.errors import InternalError
from p2pchat.core.params import PRODUCTION
from p2pchat.core.slots import derive_root
from p2pchat.core.work import work_of
from p2pchat.daemon.child import Child
from p2pchat.daemon.deriver import ChildDeriver
from p2pchat.daemon.miner import ChildMiner
from tests.e2e.daemons import until

pytestmark = pytest.mark.e2e

ALICE, BOB = "+821012345678", "+821098765432"
MINING, DERIVING = "p2pchat.daemon.mining_child", "p2pchat.daemon.deriving_child"


def children() -> list[int]:
    """The processes of this one."""
    path = Path(f"/proc/{os.getpid()}/task")
    return [int(child) for task in path.iterdir() for child in (task / "children").read_text().split()]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_a_root_is_that_of_the_protocol() -> None:
    async with ChildDeriver.running() as deriver:
        assert await deriver.derive(BOB, ALICE, 229) == derive_root(ALICE, BOB, 229, PRODUCTION)


async def test_a_nonce_has_its_work() -> None:
    async with ChildMiner.running() as miner:
        assert work_of(bytes(32), await miner.mine(bytes(32), 8)) >= 8


async def test_who_is_asked_nothing_for_a_while_is_ended_and_started_again() -> None:
    before = set(children())
    async with Child.running(MINING, 17, idle_s=0.2) as child:
        first = await child.ask(f"{bytes(32).hex()} 4")
        (pid,) = set(children()) - before
        with trio.fail_after(10):
            while not is_gone(pid):  # noqa: ASYNC110  a process
                await trio.sleep(0.02)
        assert await child.ask(f"{bytes(32).hex()} 4") == first
    assert set(children()) == before


async def test_a_child_that_dies_fails_one_question() -> None:
    before = set(children())
    async with Child.running(MINING, 17) as child:
        await child.ask(f"{bytes(32).hex()} 4")
        (pid,) = set(children()) - before
        async with trio.open_nursery() as nursery:

            async def asked() -> None:
                with pytest.raises(InternalError):
                    await child.ask(f"{bytes(32).hex()} 60")

            nursery.start_soon(asked)
            await trio.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
        assert len(await child.ask(f"{bytes(32).hex()} 4")) == 16


async def test_a_question_that_is_given_up_is_not_answered_to_the_next() -> None:
    async with Child.running(MINING, 17) as child:
        with trio.move_on_after(0.5):
            await child.ask(f"{bytes(32).hex()} 60")
        digest = bytes([7] * 32)
        assert work_of(digest, bytes.fromhex(await child.ask(f"{digest.hex()} 8"))) >= 8


@pytest.mark.parametrize("module", [MINING, DERIVING])
def test_a_child_ends_with_its_parent_and_ignores_the_terminal(module: str) -> None:
    with subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        try:
            until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 10, "it does not lower its priority")
            process.send_signal(signal.SIGINT)
            process.stdin.close()
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(("module", "question"), [(MINING, f"{bytes(32).hex()} 4"), (DERIVING, f"{ALICE} {BOB} 229")])
def test_a_child_whose_parent_was_killed_says_nothing_in_its_log(module: str, question: str) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", module], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(question.encode() + b"\n", timeout=20)
    assert errors == b""
    assert process.returncode == -signal.SIGPIPE
