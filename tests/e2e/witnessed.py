"""A whole demo at the most verbose level, and whatever else is done with its nodes, with everything written down.

What is kept: the daemons' output, every file they have or had below one folder (their homes, the folder for temporary
files, the XDG folders, the working directory), the text of every exception that passed through p2pchat's code, and, as
root, every byte that crossed the loopback of the network namespace that they ran in. In each of the four places one
secret is planted that is nobody's, so that a search that finds nothing can be told from one that does not look.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from p2pchat.cli import demo_story
from p2pchat.cli.demo_story import ALICE_NUMBER, BOB_NUMBER, Person, Story
from p2pchat.cli.sandbox import Sandbox, in_sandbox
from p2pchat.client.blocking import Client
from tests.e2e.capture import Capture, streams
from tests.e2e.daemons import DEADLINE_S, environment, until
from tests.e2e.needles import Needles
from tests.e2e.secret_keys import secret_keys

HERE: Final = Path(__file__).parent
CAROL_NUMBER: Final = "+821055556666"
NOBODYS_NUMBER: Final = "+821077778888"
PLANTED_NUMBER: Final = "+821033334444"

NAME: Final = "Canary Bobson"
TEXT: Final = "canary text in the coal mine"
NO_NAME: Final = "Canary Nobodyson"
NO_NUMBER: Final = "canary4821099990000"
PASSPHRASE: Final = "correct canary battery"
WRONG_PASSPHRASE: Final = "wrong canary battery"

VERBOSE: Final = """
import runpy, sys
if "run" in sys.argv:
    sys.argv += ["--log-level", "debug"]
runpy.run_module("p2pchat.daemon", run_name="__main__", alter_sys=True)
"""
PLANTED_EXCEPTION: Final = """
import sys
from p2pchat.api.paths import ProfilePaths
class Environment(dict):
    def get(self, name):
        raise KeyError("nothing") from ValueError(f"what {sys.argv[1]} said")
try:
    ProfilePaths(environ=Environment())
except KeyError:
    pass
"""
PLANTED_LOG: Final = """
import sys, structlog
from p2pchat.daemon import logs
logs.configure("debug", "json")
structlog.get_logger().debug("planted", reason=sys.argv[1])
"""
PLANTED_PACKET: Final = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    client.sendall(b"...." + sys.argv[1].encode())
"""


@dataclass(repr=False)
class Evidence:
    """All that was written down.

    Attributes:
        secrets: numbers, names, texts, passphrases and keys: nowhere.
        database_keys: nowhere but in the key file of a profile without a passphrase.
        ids: PeerIDs and public keys: in no log and no file.
        planted: what was planted.
        addresses: of the daemons: in no log.
        logs: output by the name of its file.
        files: content by path, several where it changed.
        exceptions: their texts.
        sent: what each side of each connection sent; None where nothing can be recorded.
    """

    secrets: Needles = field(default_factory=Needles)
    database_keys: Needles = field(default_factory=Needles)
    ids: Needles = field(default_factory=Needles)
    planted: Needles = field(default_factory=Needles)
    addresses: set[str] = field(default_factory=set[str])
    logs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    files: dict[tuple[str, bytes], bytes] = field(default_factory=dict[tuple[str, bytes], bytes])
    exceptions: bytes = b""
    sent: list[bytes] | None = None


class WatchedStory(Story):
    """The demo; after each message the keys of that moment are noted."""

    def __init__(self, sandbox: Sandbox, home: Path, evidence: Evidence) -> None:
        super().__init__(sandbox, home, silent=True)
        self.evidence = evidence

    @property
    def people(self) -> tuple[Person, Person, Person]:
        return self._alice, self._bob, self._router

    def _match(self) -> None:
        super()._match()
        self.note_keys()

    def note_keys(self) -> None:
        for person in self.people:
            for secret, name in secret_keys(person.paths.data_dir).items():
                self.evidence.secrets.add_key(name, secret)

    def restart_bob(self) -> None:
        with Client(self._router.paths.socket) as self._router.client:
            self._start(self._bob)
        self._router.client = None
        until(lambda: self._connected(self._bob), "Bob does not come back")
        self._bob.disconnect()

    def _exchange(self, writer: Person, reader: Person, said: str) -> None:
        super()._exchange(writer, reader, said)
        self.evidence.secrets.add_text("a text", said)
        self.note_keys()

    def _send(self, writer: Person, reader: Person, said: str) -> None:
        self.evidence.secrets.add_text("a text", said)
        super()._send(writer, reader, said)


class Witness:
    """Runs it all, below ``root``, an empty folder with a short path."""

    def __init__(self, root: Path, enter: list[str]) -> None:
        self.evidence = Evidence()
        self.below = root / "below"
        self.beside = root / "beside"
        self._enter = enter
        folders = ("home", "tmp", "data", "config", "state", "runtime", "cwd")
        self.folders = {name: self.below / name for name in folders}
        for folder in (self.below, self.beside, *self.folders.values(), self.beside / "exceptions"):
            folder.mkdir(mode=0o700)
        self._note_words()

    def _note_words(self) -> None:
        secrets = self.evidence.secrets
        for number in (ALICE_NUMBER, BOB_NUMBER, CAROL_NUMBER, NOBODYS_NUMBER):
            secrets.add_number(number, "82")
        for name in (NAME, NO_NAME):
            secrets.add_text("a name", name)
        for text in (TEXT, NO_NUMBER):
            secrets.add_text("a text", text)
        for passphrase in (PASSPHRASE, WRONG_PASSPHRASE):
            secrets.add_text("a passphrase", passphrase)
        self.evidence.planted.add_number(PLANTED_NUMBER, "82")
        assert not self.evidence.planted.forms.keys() & secrets.forms.keys()

    def settings(self) -> dict[str, str]:
        """The environment of every daemon, but for its home."""
        xdg = {f"XDG_{name.upper()}_HOME": str(self.folders[name]) for name in ("data", "config", "state")}
        return xdg | {
            "HOME": str(self.folders["home"]),
            "TMPDIR": str(self.folders["tmp"]),
            "SQLITE_TMPDIR": str(self.folders["tmp"]),
            "XDG_RUNTIME_DIR": str(self.folders["runtime"]),
            "EXCEPTION_TEXTS": str(self.beside / "exceptions"),
            "PYTHONPATH": os.pathsep.join((str(HERE / "traced"), str(HERE.parents[1]))),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, program: str) -> list[str]:
        """What runs ``program`` where everything runs."""
        return [*self._enter, sys.executable, "-c", program]

    def run(self, home: Path, program: str, *runs: tuple[str, ...]) -> list[int]:
        """A program that ends by itself, at the same time with several arguments; output is kept, statuses returned."""
        with (self.folders["home"] / "runs.log").open("ab") as output:
            processes = [
                subprocess.Popen(
                    [*self.command(program), *arguments],
                    env=environment(home) | self.settings(),
                    cwd=self.folders["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
                for arguments in runs
            ]
            return [process.wait(DEADLINE_S) for process in processes]

    def plant(self) -> None:
        """The one secret, in every place."""
        home = self.folders["home"]
        assert self.run(home, PLANTED_EXCEPTION, (PLANTED_NUMBER,)) == [0]
        assert self.run(home, PLANTED_LOG, (hashlib.sha256(PLANTED_NUMBER.encode()).hexdigest(),)) == [0]
        (home / "planted.db").write_bytes(os.urandom(1000) + PLANTED_NUMBER[3:].encode() + os.urandom(1000))
        if self._enter:
            assert self.run(home, PLANTED_PACKET, (PLANTED_NUMBER,)) == [0]

    def look_at_files(self) -> None:
        """Keep the content of every file below, as it is now."""
        for path in self.below.rglob("*"):
            with suppress(FileNotFoundError):  # a write-ahead log that was emptied meanwhile
                if path.is_file():
                    content = path.read_bytes()
                    name = str(path.relative_to(self.below))
                    self.evidence.files[name, hashlib.sha256(content).digest()] = content

    def finish(self, capture: Capture | None) -> Evidence:
        self.look_at_files()
        evidence = self.evidence
        for path in self.below.rglob("*.log"):
            evidence.logs[str(path.relative_to(self.below))] = path.read_bytes()
        evidence.exceptions = b"".join(file.read_bytes() for file in (self.beside / "exceptions").iterdir())
        evidence.sent = None if capture is None else streams(capture.frames())
        return evidence


def in_told_story(witness: Witness, work: Callable[[WatchedStory], None]) -> None:
    """Tell the demo, then do ``work`` while its daemons run."""

    def tell(sandbox: Sandbox) -> None:
        story = WatchedStory(sandbox, witness.folders["home"], witness.evidence)
        assert story.tell().messages == 40
        work(story)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in witness.settings().items():
            patch.setenv(name, value)
        patch.chdir(witness.folders["cwd"])
        patch.setattr(demo_story, "daemon_program", lambda: witness.command(VERBOSE))
        in_sandbox("p2pchat-test-", tell)
