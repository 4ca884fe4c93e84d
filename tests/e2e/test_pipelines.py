"""What the documentation shows of other programs, as it stands there: jq, socat and gzip beside real daemons."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.cli.examples import EXAMPLES
from tests.e2e.daemons import DEADLINE_S, Daemon, environment, matched_pair

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"^(p2pchat .*\| jq .*|echo .*\| socat .*)$", re.MULTILINE)
MAYBE_EMPTY = ("doctor", "net rules")  # nothing may have failed, or been denied


def lines() -> dict[str, str]:
    """Every pipeline, by where it stands."""
    found = {f"--help of {path} {number}": line for path, each in EXAMPLES.items() for number, line in enumerate(each)}
    for page in ("README.md", "docs/CONTROL-API.md"):
        for number, line in enumerate(SHOWN.findall((ROOT / page).read_text(encoding="utf-8"))):
            found[f"{page} {number}"] = line
    return {place: line for place, line in found.items() if "|" in line and "ssh" not in line}


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """She has written to Bob, and he to her."""
    folder = tmp_path_factory.mktemp("pipes")
    with matched_pair(folder) as (alice, bob):
        for sender, to in ((alice, "Bob"), (bob, "Alice")):
            sender.call("message.send", to=to, text="Hello", wait="delivered")
        yield alice


def shell(daemon: Daemon, line: str) -> subprocess.Popen[str]:
    """``line`` as bash has it, with p2pchat on the PATH and the socket where no P2PCHAT_HOME is set, too."""
    commands, runtime = daemon.home / "bin", daemon.home / "runtime"
    if not commands.exists():
        for folder in (commands, runtime):
            folder.mkdir()
        (runtime / "p2pchat").symlink_to(daemon.home / "run")
        (commands / "p2pchat").write_text(f'#!/bin/sh\nexec {sys.executable} -m p2pchat.cli "$@"\n')
        (commands / "p2pchat").chmod(0o700)
    places = {"PATH": f"{commands}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(runtime)}
    return subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", line],
        env=environment(daemon.home) | places,
        cwd=daemon.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def need(line: str) -> None:
    for program in ("jq", "socat", "gzip"):
        if f"| {program}" in line and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def test_there_are_some() -> None:
    found = " ".join(lines().values())
    assert found.count("| jq") >= 10
    assert found.count("| socat") == 1


@pytest.mark.parametrize("place", [place for place, line in lines().items() if "listen" not in line])
def test_a_pipeline_ends_well(alice: Daemon, place: str) -> None:
    line = lines()[place]
    need(line)
    with shell(alice, line) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, err if "export" in line else ""), line
    if ">" in line:
        assert list(alice.home.glob("*.gz"))
    elif not any(f"p2pchat {command}" in line for command in MAYBE_EMPTY):
        assert out.strip() not in ("", "null"), line
    if "socat" in line:
        assert json.loads(out)["result"]["name"] == "Somebody"


@pytest.mark.parametrize("place", [place for place, line in lines().items() if "listen" in line])
def test_a_pipeline_that_follows_passes_each_event_on(alice: Daemon, place: str) -> None:
    """``--since 0`` where it is not there, so that there is something."""
    line = lines()[place]
    need(line)
    begun = line if "--since" in line else line.replace(" | jq", " --since 0 | jq")
    with shell(alice, begun.replace("| jq", "| jq --unbuffered")) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == "Hello\n"
        finally:
            os.killpg(process.pid, signal.SIGINT)
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
