"""The examples of the documentation against two real daemons, and ``listen --exec`` beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.daemons import Daemon, environment, matched_pair, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LINES = 15


@contextmanager
def running(node: Daemon, folder: Path, *command: str, path: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A program on the node's machine, whose output goes to a file; killed at the end, if it still runs."""
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment(node.home) | ({"PATH": path} if path else {}),
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_examples_are_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len([line for line in path.read_text().splitlines() if line]) <= LINES, path


def test_an_echo_and_its_notifications(tmp_path: Path) -> None:
    """The bot is killed, and its daemon while another bot runs: every text is answered, none twice."""
    desktop, bare, hook = tmp_path / "desktop", tmp_path / "bare", tmp_path / "hook"
    for folder in (desktop, bare, hook):
        folder.mkdir()
    notify = desktop / "notify-send"
    notify.write_text(f'#!/bin/sh\nprintf "%s\\n" "$2" >> {desktop}/shown\n')
    notify.chmod(0o700)
    echo, notifier = str(EXAMPLES / "echo_bot.py"), str(EXAMPLES / "notifier.py")
    with matched_pair(tmp_path / "pair") as (alice, bob):
        execute = ("-m", "p2pchat.cli", "listen", "--exec", f"sh -c 'cat >> {hook}/told'", "--consumer", "hook")
        with (
            running(alice, desktop, notifier, path=f"{desktop}:{os.environ['PATH']}"),
            running(alice, bare, notifier, path=str(bare)),
            running(alice, hook, *execute, "--types", "message.received") as hooked,
        ):
            with running(bob, tmp_path, echo) as bot:
                until(lambda: bob.call("events.consumers")["consumers"], "the bot does not listen")
                sent: list[str] = []

                def say(text: str) -> None:
                    sent.append(text)
                    alice.call("message.send", to="Bob", text=text)

                def is_shown() -> bool:
                    say(f"<{len(sent)}>")
                    files = (desktop / "shown", bare / "output", hook / "told")
                    return all(file.exists() and file.stat().st_size for file in files)

                until(is_shown, "nothing is shown", every_s=0.3)
                bot.send_signal(signal.SIGKILL)
                bot.wait()
            say("while the bot is away")
            with running(bob, tmp_path, echo):
                until(lambda: alice.texts("Bob") == sent, "not everything is answered")
                bob.kill()
                say("while the daemon is away")
                bob.start("--bootstrap", alice.address)
                until(lambda: alice.texts("Bob") == sent, "not everything is answered")
            files = (desktop / "shown", bare / "output", hook / "told")
            until(lambda: all(b"the daemon is away" in file.read_bytes() for file in files), "the last text is lost")
            hooked.send_signal(signal.SIGTERM)
            assert hooked.wait(10) == -signal.SIGTERM
    assert b"Bob: <" in (desktop / "shown").read_bytes()
    assert (hook / "told").read_text().count('"type":"message.received"') <= len(sent)
    assert (tmp_path / "output").read_bytes() == b""
