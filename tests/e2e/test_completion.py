"""TAB in real shells: names that were meant to be run are text, and whoever has no daemon is told nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from p2pchat.api.paths import ProfilePaths
from tests.e2e.daemons import environment
from tests.e2e.shells import Shell, shell
from tests.fake_api import FakeApi, Served, served

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PLAIN = "Bob"
PATIENT = "from p2pchat.cli import candidates; candidates._REPLY_S = 30.0"
"""Who presses TAB waits a second for the daemon, which may be too short where much else runs."""

HOSTILE = (
    "$(touch pwned)",
    '"; touch pwned; "',
    "'; touch pwned; '",
    "김 영희 `touch pwned`",
    "a!b \\",
    "wow!",
    "!!",
    "* ~ {a,b} #x",
)
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='READY'$'> '; bind 'set bell-style none'; set -H\n"),
    "zsh": (["zsh", "-f", "-i"], "PS1='READY''> '; unsetopt beep; autoload -U compinit; compinit -u -D\n"),
    "fish": (["fish", "--no-config", "-i"], "function fish_prompt; echo -n READY'> '; end\n"),
}
RECORD = {
    "bash": "p2pchat() { printf '%s\\0' \"$@\" >typed; echo DO''NE; }\n",
    "zsh": "p2pchat() { printf '%s\\0' \"$@\" >typed; echo DO''NE; }\n",
    "fish": "function p2pchat; printf '%s\\0' $argv >typed; echo DO''NE; end\n",
}
LOAD = {"bash": "source ./script\n", "zsh": "source ./script\n", "fish": "source ./script\n"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def node(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("P2PCHAT_HOME", str(home))
    with served(FakeApi, ProfilePaths().socket) as running:
        yield running


@pytest.fixture(params=list(START))
def opened(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Shell]]:
    """A shell that completes, and for which p2pchat only writes down what it was given."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(home)
    program = [sys.executable, "-m", "p2pchat.cli", "completion", name]
    script = subprocess.run(program, env=environment(home), capture_output=True, check=True).stdout
    (home / "script").write_bytes(script)
    command, start = START[name]
    (home / "sitecustomize.py").write_text(PATIENT)
    environ = environment(home) | {
        "PYTHONPATH": f"{home}:{ROOT}",
        "TERM": "dumb" if name == "bash" else "xterm",
        "LC_ALL": "C.UTF-8",
        "HOME": str(home),
    }
    with shell(command, environ) as terminal:
        terminal.types(start)
        terminal.waits_for(b"READY> ")
        for line in (RECORD[name], LOAD[name]):
            terminal.types(line)
            terminal.waits_for(b"READY> ")
        yield name, terminal


def typed(terminal: Shell, home: Path, keys: str) -> list[str]:
    terminal.types(keys + "\n")
    terminal.waits_for(b"DONE")
    terminal.waits_for(b"READY> ")
    return (home / "typed").read_bytes().decode().split("\0")[:-1]


def test_a_hostile_name_is_completed_as_text(opened: tuple[str, Shell], node: Served, home: Path) -> None:
    name, terminal = opened
    for hostile in HOSTILE:
        node.do(node.api.contacts.clear)
        node.do(partial(node.api.contact, hostile))
        for quote in ("", '"', "'") if name == "bash" else ("",):
            assert typed(terminal, home, f"p2pchat send {quote}\t") == ["send", hostile], (hostile, quote)
    assert not (home / "pwned").exists()


def test_what_was_begun_goes_on(opened: tuple[str, Shell], node: Served, home: Path) -> None:
    _, terminal = opened
    for who in ("Alice Kim", "Alba", "김철수"):
        node.do(partial(node.api.contact, who))
    assert typed(terminal, home, "p2pchat cont\tsho\tAli\t") == ["contacts", "show", "Alice Kim"]
    assert typed(terminal, home, "p2pchat history 김\t--li\t7") == ["history", "김철수", "--limit", "7"]
    assert typed(terminal, home, "p2pchat send Bob x --wait del\t") == ["send", "Bob", "x", "--wait", "delivered"]
    (home / "nodes here.txt").touch()
    assert typed(terminal, home, "p2pchat net import nod\t") == ["net", "import", "nodes here.txt"]


def test_without_a_daemon_nothing_is_said(opened: tuple[str, Shell], home: Path) -> None:
    _, terminal = opened
    terminal.types("p2pchat send \t")
    assert typed(terminal, home, "x") == ["send", "x"]
    assert b"NO_DAEMON" not in terminal.everything
