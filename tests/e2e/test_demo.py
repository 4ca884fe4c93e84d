"""The demo with real daemons, and that it leaves nothing behind however it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.daemons import until
from tests.e2e.runs import Run, starting

pytestmark = pytest.mark.e2e

WITH_ANOTHER_DAEMON = """
import sys
from p2pchat.cli import demo_story
from p2pchat.cli.__main__ import main
demo_story.daemon_program = lambda: [sys.executable, "-c", {program!r}]
demo_story.READY_S = {within_s}
sys.argv = ["p2pchat", "demo"]
main()
"""


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    with starting() as begin:
        yield lambda *command: begin(*(command or ("-m", "p2pchat.cli", "demo")))


@pytest.mark.slow
def test_two_people_find_each_other_and_talk(start: Callable[..., Run]) -> None:
    run = start()
    status, out, err = run.finish()
    assert (status, err) == (0, "")
    assert "Alice → Bob: Hello Bob" in out
    assert "40 messages, each arrived once and in order" in out
    run.leaves_nothing()


@pytest.mark.slow
def test_json_is_one_line(start: Callable[..., Run]) -> None:
    status, out, _ = start("-m", "p2pchat.cli", "--json", "demo").finish()
    assert status == 0
    summary = json.loads(out)
    assert summary["messages"] == 40
    assert 0 < summary["match_ms"] < summary["total_ms"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_at_the_first_moment_leaves_nothing(start: Callable[..., Run], number: signal.Signals) -> None:
    run = start()
    run.wait_for(run.directories)
    run.process.send_signal(number)
    assert run.finish()[0] == 128 + number
    run.leaves_nothing()


@pytest.mark.parametrize("moment", ["have made their profiles", "daemons are ready", "Bob → Alice"])
def test_an_interrupt_at_any_moment_leaves_nothing(start: Callable[..., Run], moment: str) -> None:
    run = start()
    run.read_until(moment)
    for _ in range(3):
        run.process.send_signal(signal.SIGINT)
    status, _, err = run.finish()
    assert (status, err) == (130, "")
    run.leaves_nothing()


def test_a_reader_that_leaves_ends_it_cleanly(start: Callable[..., Run]) -> None:
    run = start()
    run.read_until("have made their profiles")
    assert run.process.stdout is not None
    assert run.process.stderr is not None
    run.process.stdout.close()
    with run.process.stderr as stderr:
        err = stderr.read()
    assert (run.process.wait(), err) == (141, b"")
    run.leaves_nothing()


def test_no_process_outlives_a_demo_that_is_killed(start: Callable[..., Run]) -> None:
    run = start()
    run.read_until("daemons are ready")
    assert len(run.processes()) >= 3
    run.process.kill()
    run.finish()
    until(lambda: run.processes() == [], "a process is left")  # its directory stays


def test_a_daemon_that_cannot_start_is_named_with_its_log(start: Callable[..., Run]) -> None:
    program = "import sys; sys.exit('STORE: the reason')"
    run = start("-c", WITH_ANOTHER_DAEMON.format(program=program, within_s=60.0))
    status, _, err = run.finish()
    assert status == 70
    assert "Router: STORE: the reason" in err
    assert err.splitlines()[-1] == "INTERNAL: Router's process ended with status 1."
    run.leaves_nothing()


def test_a_daemon_that_hangs_and_ignores_signals_is_killed(start: Callable[..., Run]) -> None:
    program = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(600)"
    run = start("-c", WITH_ANOTHER_DAEMON.format(program=program, within_s=1.0))
    status, _, err = run.finish()
    assert (status, err.splitlines()[-1]) == (75, "TIMEOUT: Router's profile is not made, after 1 seconds.")
    run.leaves_nothing()
