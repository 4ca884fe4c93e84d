"""Every command of the tree as a person runs it: in a pseudo-terminal, in a pipe, and for a program with ``--json``.

One row for each command, against real daemons; a command without a row fails. What each command does in detail is
shown elsewhere: here that none of them needs a terminal, draws into a pipe, or ends in a traceback.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import click
import pytest

from p2pchat.cli.app import cli as root
from tests.e2e.daemons import ALICE, DEADLINE_S, Daemon, environment, matched_pair, p2pchat, until
from tests.e2e.terminal import terminal

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CAROL = "+821033334444"
PASSPHRASE = "correct canary battery"
PROTECT = "--passphrase-file {passphrase}"
INTERRUPT, END = "\x03", "\x04"
ALONE, WITH_JSON, BOTH = ("",), ("--json",), ("", "--json")


@dataclass(frozen=True)
class Row:
    """One command line: ``{names}`` in it are attributes of :class:`Scene`, made anew for each run.

    ``shows`` is found in what it writes, ``head`` on a terminal alone, where ``paints`` says that there are colours.
    ``piped`` is the line in a pipe where it has to be another. ``typed``: what the terminal asks, and the answer. It is
    interrupted when it has shown ``until``, by Ctrl-C or what ``ends`` says. ``pipes``: the options it has in a pipe.
    """

    line: str
    shows: str
    head: str = ""
    paints: bool = False
    who: str = "alice"
    piped: str | None = None
    stdin: str = ""
    typed: tuple[tuple[str, str], ...] = ()
    until: str = ""
    ends: str = INTERRUPT
    status: int = 0
    piped_status: int | None = None
    pipes: tuple[str, ...] = WITH_JSON


ASK = (("Passphrase: ", PASSPHRASE),)
TWICE = (("A passphrase for this backup: ", PASSPHRASE), ("The same again: ", PASSPHRASE))

# The order is that in which they run, since lock comes before unlock; whoever needs another thing asks for it.
ROWS: dict[str, Row] = {
    "init": Row(
        "init",
        "profile",
        who="nobody",
        typed=(
            ("Your mobile number with +country code (empty: none): ", "+821012121212"),
            ("Your name: ", "Wonjun"),
            ("A passphrase for this profile: ", PASSPHRASE),
            ("The same again: ", PASSPHRASE),
        ),
        piped=f"init --no-number --name Wonjun {PROTECT}",
    ),
    "daemon": Row("daemon --listen /ip4/127.0.0.1/tcp/0", "node.ready", who="new", until="node.ready", pipes=ALONE),
    "status": Row("status", ", reachability "),
    "stop": Row("stop", "stopped", who="running"),
    "doctor": Row("doctor", "The database is whole", paints=True, pipes=BOTH),
    "wipe": Row("wipe", "is gone", who="new", typed=(("Type its name to go on: ", "default"),), piped="wipe --yes"),
    "id show": Row("id show", "root key"),
    "id qr": Row("id qr", "p2pchat:"),
    "id invite": Row("id invite --uses 2 --expires 12h", "p2pchat:"),
    "id invites": Row("id invites", "of 2", paints=True, pipes=BOTH, head="ID"),
    "id revoke": Row("id revoke {invite}", "{invite}"),
    "id receipts": Row("id receipts on", "read receipts on"),
    "contacts add": Row("contacts add {number} --name {fresh}", "pending", paints=True),
    "contacts import": Row("contacts import {card}", "added 1", piped="contacts import -", stdin="{vcard}"),
    "contacts find": Row("contacts find {imported}", "{imported}", paints=True),
    "contacts export": Row("contacts export -", "BEGIN:VCARD", pipes=ALONE),
    "contacts list": Row("contacts list", "Bob", head="NAME", paints=True, pipes=BOTH),
    "contacts show": Row("contacts show Bob", "claimed by 1"),
    "contacts accept": Row("contacts accept {request}", "{request}"),
    "contacts refuse": Row("contacts refuse {request}", "{request}"),
    "contacts choose": Row("contacts choose Bob", "Bob"),
    "contacts merge": Row("contacts merge {twins} 'Carol mobile'", CAROL),
    "contacts rename": Row("contacts rename {contact} {fresh}", "pending"),
    "contacts remove": Row("contacts remove {contact}", "pending"),
    "contacts block": Row("contacts block {stranger}", "blocked", who="carol"),
    "contacts unblock": Row("contacts unblock {blocked}", "pending", who="carol"),
    "contacts receipts": Row("contacts receipts Bob default", "Bob: read receipts default"),
    "contacts verify": Row("contacts verify Bob", "p2pchat:", typed=(("Do they match? [y/N] ", "y"),)),
    "contacts sms-proof": Row("contacts sms-proof Bob", "p2pchat "),
    "send": Row(
        "send Bob 'See you 여덟 시에' --wait delivered",
        "delivered  ",
        piped="send Bob - --wait delivered",
        stdin="From a pipe",
    ),
    "listen": Row("listen --since 0", "Bob", until="contact.matched", status=130),
    "chat": Row(
        "chat Bob",
        "me: Typed",
        typed=(("Bob  online", "Typed"),),
        until="me: Typed",
        ends=END,
        piped_status=2,
        pipes=ALONE,
    ),
    "history": Row("history Bob", "See you 여덟 시에"),
    "search": Row("search 여덟", "See you 여덟 시에"),
    "read": Row("read Alice", "read  ", who="bob"),
    "explain": Row("explain {queued}", "queued"),
    "cancel": Row("cancel {queued}", "cancelled  "),
    "delete": Row("delete {queued}", "deleted  "),
    "mailbox offer": Row("mailbox offer --for contacts", "mailboxes for contacts"),
    "mailbox use": Row("mailbox use Alice", "granted", who="bob", head="MAILBOX", paints=True),
    "mailbox list": Row("mailbox list", "granted", who="bob", head="MAILBOX", paints=True, pipes=BOTH),
    "transparency": Row("transparency", "If this machine is seized"),
    "backup create": Row(
        "backup create {file}", "0 messages", typed=TWICE, piped=f"backup create {{file}} {PROTECT}", who="carol"
    ),
    "backup verify": Row(
        "backup verify {backup}",
        "",
        typed=(("The passphrase of the backup: ", PASSPHRASE),),
        piped=f"backup verify {{backup}} {PROTECT}",
    ),
    "backup restore": Row(
        "backup restore {backup}",
        "",
        typed=(("The passphrase of the backup: ", PASSPHRASE),),
        piped=f"backup restore {{backup}} {PROTECT}",
        who="nobody",
    ),
    "export": Row("export", '{{"type":"message"', pipes=ALONE),
    "net peers": Row("net peers", "lan", head="PEER", paints=True, pipes=BOTH),
    "net addrs": Row("net addrs", "/ip4/127.0.0.1/tcp/"),
    "net dial": Row("net dial {address}", ""),
    "net bootstrap": Row("net bootstrap {address}", ""),
    "net allow": Row("net allow 192.0.2.0/24", "192.0.2.0/24"),
    "net deny": Row("net deny 198.51.100.0/24", "198.51.100.0/24"),
    "net rules": Row("net rules", "198.51.100.0/24", head="RULE", paints=True, pipes=BOTH),
    "net forget": Row("net forget {rule}", "{rule}"),
    "net export": Row("net export --lan --own", "p2pchat:"),
    "net import": Row("net import {nodes}", ""),
    "config get": Row("config get", "log.level", head="KEY", pipes=BOTH),
    "config set": Row(
        "config set log.level warning", "log.level is warning", piped="config set log.level -", stdin="warning\n"
    ),
    "stats": Row("stats", "database"),
    "rpc": Row('rpc message.list \'{{"to":"Bob"}}\'', "See you 여덟 시에"),
    "demo": Row("demo", "Bob", until="Bob", status=130, pipes=ALONE),
    "completion": Row("completion bash", "complete -o nosort -F _p2pchat p2pchat", pipes=ALONE),
    "_complete": Row("_complete zsh -- send B", "Bob", pipes=ALONE),
    "help": Row("help contacts add", "Usage: p2pchat contacts add", pipes=ALONE),
    "passphrase": Row(
        "passphrase",
        "the passphrase was changed",
        who="carol",
        typed=(
            ("The passphrase now (empty: there is none): ", PASSPHRASE),
            ("The new passphrase: ", PASSPHRASE),
            ("The same again: ", PASSPHRASE),
        ),
        piped=f"passphrase {PROTECT} --new-passphrase-file {{passphrase}}",
    ),
    "lock": Row("lock", "locked", who="carol"),
    "unlock": Row("unlock", "unlocked", who="carol", typed=ASK, piped=f"unlock {PROTECT}"),
}


class Scene(Mapping[str, str]):
    """Who there is to run commands, and what their lines name."""

    def __init__(self, folder: Path, alice: Daemon, bob: Daemon, carol: Daemon, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._people = {"alice": alice, "bob": bob, "carol": carol}
        self._alice, self._bob, self._carol = alice, bob, carol
        self._numbers = count(1)

    def home(self, who: str) -> Path:
        """Of one of the three, or a new one: of nobody's, of a profile, of a daemon that runs."""
        if who in self._people:
            return self._people[who].home
        home = self._folder / f"home{next(self._numbers)}"
        if who != "nobody":
            daemon = Daemon(home, None)
            if who == "running":
                daemon.start("--bootstrap", self._alice.address)
                self._stack.callback(_killed, daemon)
        return home

    def __getitem__(self, name: str) -> str:
        return str(getattr(self, f"_{name}_")())

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def _fresh_(self) -> str:
        return f"Fresh{next(self._numbers)}"

    def _number_(self) -> str:
        return f"+8210777{next(self._numbers):05}"

    def _file_(self) -> Path:
        return self._folder / f"file{next(self._numbers)}"

    def _passphrase_(self) -> Path:
        return written(self._folder / "passphrase", PASSPHRASE + "\n")

    def _vcard_(self) -> str:
        return f"BEGIN:VCARD\nVERSION:3.0\nFN:{self._fresh_()}\nTEL:{self._number_()}\nEND:VCARD\n"

    def _card_(self) -> Path:
        return written(self._file_(), self._vcard_())

    def _nodes_(self) -> Path:
        return written(self._file_(), "\n".join(self._bob.call("net.export", own=True, lan=True)["links"]) + "\n")

    def _address_(self) -> str:
        return self._bob.address

    def _invite_(self) -> str:
        self._alice.call("identity.invite", uses=2)
        return str(self._alice.call("identity.invites")["invites"][-1]["id"])

    def _imported_(self) -> str:
        return self._import(self._alice)[1]

    def _contact_(self) -> str:
        return self._import(self._alice)[0]

    def _stranger_(self) -> str:
        return self._import(self._carol)[0]

    def _blocked_(self) -> str:
        uid = self._stranger_()
        self._carol.call("contacts.block", to=uid)
        return uid

    def _import(self, daemon: Daemon) -> tuple[str, str]:
        """Id and name of one who is not looked for, which would take a processor's time."""
        name = self._fresh_()
        daemon.call("contacts.import", entries=[{"line": 1, "number": self._number_(), "name": name}])
        return str(daemon.call("contacts.get", to=name)["id"]), name

    def _queued_(self) -> str:
        return str(self._alice.call("message.send", to=self._contact_(), text="It waits")["id"])

    def _backup_(self) -> Path:
        path = self._folder / "backup"
        if not path.exists():
            protected = ("--passphrase-file", str(self._passphrase_()))
            done = p2pchat(self._alice.home, "backup", "create", str(path), *protected)
            assert done.returncode == 0, done.stderr
        return path

    def _request_(self) -> str:
        """Carol, who was forgotten if there was anything, asks Alice to become a contact."""
        for one, other in ((self._alice, CAROL), (self._carol, ALICE)):
            for contact in one.call("contacts.list")["contacts"]:
                if contact["number"] in (None, other):
                    one.call("contacts.remove", to=contact["id"])
        invite = self._alice.call("identity.invite", ask=True)["invite"]
        self._carol.call("contacts.add", invite=invite, name="Alice")

        def requests() -> list[dict[str, object]]:
            return list(self._alice.call("contacts.list", state="request")["contacts"])

        until(requests, "nobody asks")
        return str(requests()[0]["id"])

    def _twins_(self) -> str:
        """Carol by invite, and by number."""
        uid = self._request_()
        self._alice.call("contacts.accept", id=uid)
        self._alice.call("contacts.add", number=CAROL, name="Carol mobile")
        self._carol.call("contacts.add", number=ALICE, name="Alice mobile")

        def told() -> bool:
            claims = self._alice.call("contacts.claimants", to="Carol mobile")["claimants"]
            return any(claim["contact_id"] == uid for claim in claims)

        until(told, "nobody says that they are one")
        return uid

    def _rule_(self) -> str:
        rule = f"203.0.113.{next(self._numbers)}"
        self._alice.call("net.deny", what=rule)
        return rule


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _killed(daemon: Daemon) -> None:
    assert daemon.process is not None
    if daemon.process.poll() is None:
        daemon.kill()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("every")
    with ExitStack() as stack:
        alice, bob = stack.enter_context(matched_pair(folder))
        carol = Daemon(folder / "carol", CAROL, written(folder / "passphrase", PASSPHRASE + "\n"))
        carol.start("--bootstrap", alice.address, "--passphrase-file", str(folder / "passphrase"))
        stack.callback(_killed, carol)
        alice.call("message.send", to="Bob", text="See you 여덟 시에", wait="delivered")
        alice.call("identity.invite", uses=2)
        alice.call("net.deny", what="198.51.100.0/24")
        alice.call("mailbox.offer", **{"for": "contacts"})
        bob.call("mailbox.use", **{"with": ["Alice"]})
        yield Scene(folder, alice, bob, carol, stack)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that is no group, hidden ones included."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from leaves(below, (*path, name))


def test_there_is_a_row_for_every_command() -> None:
    assert set(ROWS) == set(leaves(root))


@pytest.mark.parametrize("path", ROWS)
def test_in_a_terminal(scene: Scene, path: str) -> None:
    row = ROWS[path]
    filled = Filled(scene)
    arguments = shlex.split(row.line.format_map(filled))
    assert arguments[: len(path.split())] == path.split()
    with terminal(scene.home(row.who), *arguments, columns=200, rows=100) as opened:
        for asked, answer in row.typed:
            opened.sees(asked.rstrip())
            opened.types(answer + "\r")
        if row.until:
            opened.sees(row.until)
            opened.types(row.ends)
        status = opened.ends()
        everything = opened.everything()
    assert status == row.status, everything
    assert "Traceback" not in everything
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", everything)
    assert row.until or row.shows.format_map(filled) in plain
    assert row.head in plain
    if row.paints:
        assert "\x1b[" in everything
    assert PASSPHRASE not in everything


class Filled(Mapping[str, str]):
    """What stands for each name in one run: the same wherever it stands."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._known: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = self._scene[name]
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@pytest.mark.parametrize(("path", "option"), [(path, option) for path, row in ROWS.items() for option in row.pipes])
def test_in_a_pipe(scene: Scene, path: str, option: str) -> None:
    row = ROWS[path]
    filled = Filled(scene)
    arguments = shlex.split(f"{row.line if row.piped is None else row.piped} {option}".format_map(filled))
    with subprocess.Popen(
        [sys.executable, "-m", "p2pchat.cli", *arguments],
        env=environment(scene.home(row.who)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # what was read here is not read a second time below
    ) as process:
        try:
            begun = b""
            if row.until and row.piped_status is None:
                assert process.stdout is not None
                assert process.stderr is not None
                begins = process.stderr if path == "daemon" else process.stdout
                while row.until.encode() not in begun:
                    part = begins.readline()
                    assert part, begun
                    begun += part
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(row.stdin.format_map(filled).encode(), DEADLINE_S)
        finally:
            process.kill()
    assert process.returncode == (row.status if row.piped_status is None else row.piped_status), err
    everything = begun + out + err
    assert b"\x1b" not in everything
    assert b"Traceback" not in everything
    if option:
        lines = [json.loads(line) for line in (begun + out).splitlines()]
        assert lines
        assert all(isinstance(line, dict) for line in lines)
    elif row.piped_status is None:
        assert row.shows.format_map(filled) in everything.decode()
        assert not row.head or row.head not in everything.decode()


# Each kind once: a line and a passphrase, asked for by the commands and by the daemon's program.
QUESTIONS = ["init", "wipe", "unlock", "backup verify"]


@pytest.mark.parametrize(("keys", "paths"), [(END, QUESTIONS), (INTERRUPT, QUESTIONS[:1])], ids=["Ctrl-D", "Ctrl-C"])
def test_who_leaves_a_question_is_told_nothing_and_stands_on_a_new_line(
    scene: Scene, keys: str, paths: list[str]
) -> None:
    for path in paths:
        row = ROWS[path]
        with terminal(scene.home(row.who), *shlex.split(row.line.format_map(scene)), columns=200) as opened:
            question = row.typed[0][0].rstrip()
            opened.sees(question)
            opened.types(keys)
            status = opened.ends()
            everything = opened.everything()
        assert status == 130, (path, everything)
        assert everything.partition(question)[2].strip(" ") in ("\r\n", "^C\r\n"), (path, everything)
