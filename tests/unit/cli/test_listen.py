"""``listen``: what is printed, what a program is given, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.paths import ProfilePaths
from p2pchat.cli import executing
from p2pchat.cli import listen as listen_module
from p2pchat.cli.output import emit
from p2pchat.client import following
from tests.event_daemon import EventDaemon, running
from tests.unit.cli.conftest import Cli

WAIT_S = 20
LOST = "The daemon does not answer. Listening goes on when it is there again.\n"
FORGETFUL = "Nothing remembers what was done here: with --consumer NAME the next listen goes on where this stops.\n"


@pytest.fixture
def daemon(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventDaemon]:
    monkeypatch.setattr(following, "FIRST_S", 0.001)
    monkeypatch.setattr(executing, "FIRST_S", 0.01)
    path = ProfilePaths().socket
    path.parent.mkdir()
    with running(path) as daemon:
        yield daemon


def end_after(daemon: EventDaemon, method: str, count: int) -> None:
    """Once ``method`` was asked so often, ``listen`` is refused, which ends it: 65."""

    def after(request: dict[str, Any]) -> None:
        if request["method"] == method and daemon.asked.count(method) == count:
            daemon.refuse["events.subscribe"] = ("CURSOR_EXPIRED", {"oldest": 7})
            daemon.cut()

    daemon.after = after


def script(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\ncd '{folder}'\n{text}\n")
    path.chmod(0o700)
    return str(path)


# -- printing ------------------------------------------------------------------------------------------------------


def test_events_are_printed_exactly(daemon: EventDaemon, cli: Cli) -> None:
    for text in ("old", "one\n\x1b\u202e", "two"):
        daemon.receive(text)
    end_after(daemon, "events.subscribe", 1)
    outcome = cli("listen", "--since", "1", "--json")
    assert outcome.lines == daemon.events[1:]
    assert outcome.status == 65
    assert outcome.err == "CURSOR_EXPIRED: CURSOR_EXPIRED in words.\n"


def test_only_what_is_wanted(daemon: EventDaemon, cli: Cli) -> None:
    for kind in ("message.received", "peer.online", "contact.added", "contact.matched", "node.started"):
        daemon.emit(kind)
    end_after(daemon, "events.subscribe", 1)
    outcome = cli("listen", "--since", "0", "--json", "--types", "contact.*,peer.online", "--types", "node.started")
    found = [each["type"] for each in outcome.lines]
    assert found == ["peer.online", "contact.added", "contact.matched", "node.started"]


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ("message.recieved", "no event is of the type 'message.recieved'. Did you mean message.received?"),
        ("node.started,contacts.*", "no event is of the type 'contacts.*'. Did you mean contact.*?"),
        ("", "no event is of the type ''. Such as message.received, message.* or *."),
    ],
)
def test_a_type_that_no_event_has_is_not_waited_for(daemon: EventDaemon, cli: Cli, types: str, said: str) -> None:
    outcome = cli("listen", "--types", types)
    assert outcome.status == 2
    assert said in outcome.err
    assert not daemon.asked


@pytest.mark.parametrize("name", ["a bot", "", "b\u00f6t", "b" * 65, "bot\n"])
def test_a_name_that_no_consumer_can_have_is_refused_before_the_daemon_is_asked(
    daemon: EventDaemon, cli: Cli, name: str
) -> None:
    outcome = cli("listen", "--consumer", name)
    assert outcome.status == 2
    assert "'--consumer'" in outcome.err
    assert "A consumer has a name of 1 to 64 letters" in outcome.err
    assert not daemon.asked


def test_a_reader_that_leaves_ends_it_while_nothing_happens(daemon: EventDaemon) -> None:
    daemon.receive("one")
    listening = Listening("--since", "0", "--json")
    assert b"one" in listening.line()
    assert listening.process.stdout is not None
    listening.process.stdout.close()
    assert listening.process.stderr is not None
    with listening.process.stderr as stderr:
        assert listening.process.wait(WAIT_S) == 141
        assert stderr.read() == b""


def test_it_survives_cuts_and_a_lock_and_says_so_once(daemon: EventDaemon, cli: Cli) -> None:
    daemon.receive("one")

    def trouble(_: object) -> None:
        match daemon.asked.count("events.subscribe"):
            case 1 | 2:
                daemon.receive("meanwhile")
                daemon.cut()
            case 3:
                daemon.receive("locked")
                daemon.lock()
            case 4 | 5 | 6:
                pass
            case _:
                daemon.unlock()
                end_after(daemon, "events.subscribe", 8)

    daemon.after = trouble
    outcome = cli("listen", "--since", "0", "--json")
    assert outcome.lines == daemon.events
    locked = LOST.replace("does not answer", "is locked")
    assert outcome.err.startswith(locked + LOST + "CURSOR_EXPIRED")


def test_nothing_is_said_where_nothing_is_to_be_said(daemon: EventDaemon, cli: Cli) -> None:
    def trouble(_: object) -> None:
        daemon.lock()
        if daemon.asked.count("events.subscribe") == 3:
            daemon.refuse["events.subscribe"] = ("CURSOR_EXPIRED", {})

    daemon.after = trouble
    assert cli("-q", "listen", "--json").err == "CURSOR_EXPIRED: CURSOR_EXPIRED in words.\n"


def test_what_was_printed_is_acknowledged(daemon: EventDaemon, cli: Cli) -> None:
    daemon.receive("one")
    daemon.receive("two")
    end_after(daemon, "events.ack", 2)
    first = cli("listen", "--consumer", "c", "--since", "0", "--json")
    assert first.lines == daemon.events
    assert daemon.consumers == {"c": 2}
    daemon.refuse.clear()
    daemon.receive("three")
    end_after(daemon, "events.ack", 3)
    again = cli("listen", "--consumer", "c", "--since", "0", "--json")
    assert again.lines == daemon.events[2:]


def test_what_could_not_be_printed_is_not_acknowledged(
    daemon: EventDaemon, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.receive("one")
    daemon.receive("two")

    def broken(event: object) -> None:
        if daemon.acks:
            raise BrokenPipeError
        emit(event)

    monkeypatch.setattr(listen_module, "emit", broken)
    monkeypatch.setattr("p2pchat.cli.app.forget_stdout", lambda: None)
    outcome = cli("listen", "--consumer", "c", "--since", "0", "--json")
    assert (outcome.status, outcome.lines) == (141, daemon.events[:1])
    assert daemon.acks == [("c", 1)]


def test_listen_in_words(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    names = {"01": "Bob"}
    received: dict[str, object] = {"contact_id": "01", "text": "hi\x1b\nthere"}
    events: list[dict[str, object]] = [
        {"seq": 1, "ts": 0, "type": "message.received", "data": received},
        {"seq": 2, "ts": 0, "type": "message.delivered", "data": received},
        {"seq": 3, "ts": 0, "type": "contact.matched", "data": {"id": "02", "name": "Eve"}},
        {"seq": 4, "ts": 0, "type": "message.received", "data": {"contact_id": "02", "text": "hello"}},
        {"seq": None, "ts": 0, "type": "peer.online", "data": {}},
    ]
    for event in events:
        listen_module._print(event, names, False)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert [line[10:] if line[2] == ":" else line for line in lines] == [
        "Bob: hi\\x1b",
        "    there",
        "contact.matched  Eve",
        "Eve: hello",
    ]
    listen_module._print(events[1], names, True)
    assert b"message.delivered  Bob" in capsysbinary.readouterr().out


# -- a program -----------------------------------------------------------------------------------------------------


def test_a_program_is_given_one_event_at_a_time(daemon: EventDaemon, cli: Cli, tmp_path: Path) -> None:
    daemon.receive('it\'s "quoted" $(touch x) 밥\0')
    daemon.emit("peer.online")
    daemon.receive("x" * 200_000)
    program = script(tmp_path, 'printf "%s " "$@" >> words; cat >> told')
    end_after(daemon, "events.ack", 3)
    outcome = cli("listen", "--exec", f"{program} 'two words' $HOME", "--consumer", "c", "--since", "0")
    assert (outcome.status, outcome.out) == (65, "")
    assert [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()] == daemon.events
    assert (tmp_path / "words").read_text() == "two words $HOME " * 3  # no shell has read that
    assert [seq for _, seq in daemon.acks] == [1, 2, 3]


def test_a_program_that_does_not_read_is_no_failure(daemon: EventDaemon, cli: Cli) -> None:
    daemon.receive("x" * 1_000_000)
    end_after(daemon, "events.ack", 1)
    assert cli("listen", "--exec", "true", "--consumer", "c", "--since", "0").status == 65
    assert daemon.acks == [("c", 1)]


def test_what_a_program_leaves_running_keeps_nothing_waiting(daemon: EventDaemon, cli: Cli, tmp_path: Path) -> None:
    daemon.receive("x" * 1_000_000)
    program = script(tmp_path, "exec 3<&0; sleep 60 <&3 >/dev/null 2>&1 & echo $! > left")
    end_after(daemon, "events.ack", 1)
    try:
        assert cli("listen", "--exec", program, "--consumer", "c", "--since", "0").status == 65
    finally:
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
    assert daemon.acks == [("c", 1)]


def test_a_program_that_a_signal_without_a_name_ended_is_run_again(
    daemon: EventDaemon, cli: Cli, tmp_path: Path
) -> None:
    daemon.receive("one")
    program = script(tmp_path, "[ -e again ] || { touch again; kill -40 $$; }")
    end_after(daemon, "events.ack", 1)
    outcome = cli("listen", "--exec", program, "--consumer", "c", "--since", "0")
    assert outcome.err.startswith(f"{program} was ended by signal 40; it is run again in 0.01 s.\n")
    assert daemon.acks == [("c", 1)]


def test_a_failure_is_repeated_until_it_is_none(daemon: EventDaemon, cli: Cli, tmp_path: Path) -> None:
    daemon.receive("one")
    daemon.receive("two")
    program = script(
        tmp_path,
        """echo >> runs
        case $(wc -l < runs) in
            1) exit 3;;
            2) kill -9 $$;;
            3) chmod 600 program; exit 1;;
        esac
        cat >> told""",
    )
    acks_at_failure: list[int] = []

    def sleep(seconds: float) -> None:
        acks_at_failure.append(len(daemon.acks))
        if len(acks_at_failure) == 4:
            (tmp_path / "program").chmod(0o700)

    end_after(daemon, "events.ack", 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", sleep)
        patch.setattr(executing, "LONGEST_S", 0.03)
        outcome = cli("listen", "--exec", program, "--consumer", "c", "--since", "0")
    assert outcome.err.splitlines()[:4] == [
        f"{program} exited with 3; it is run again in 0.01 s.",
        f"{program} was ended by SIGKILL; it is run again in 0.02 s.",
        f"{program} exited with 1; it is run again in 0.03 s.",
        f"{program} cannot be started (Permission denied); it is run again in 0.03 s.",
    ]
    assert acks_at_failure == [0] * 4
    assert [json.loads(line)["seq"] for line in (tmp_path / "told").read_text().splitlines()] == [1, 2]
    assert [seq for _, seq in daemon.acks] == [1, 2]


def test_a_signal_without_a_name_ends_a_program_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "FIRST_S", 0.0)
    said: list[str] = []
    program = script(tmp_path, "test -e once || { touch once; kill -40 $$; }")
    executing.Executing([program], said.append).run({})
    assert said == [f"{program} was ended by signal 40; it is run again in 0 s."]


def test_without_a_consumer_nothing_is_remembered_and_that_is_said(daemon: EventDaemon, cli: Cli) -> None:
    daemon.receive("one")
    end_after(daemon, "events.subscribe", 1)
    outcome = cli("listen", "--exec", "true", "--since", "0")
    assert outcome.err.startswith(FORGETFUL)
    assert daemon.acks == []


@pytest.mark.parametrize("command", ["", "  ", "echo 'open", "no-such-program-at-all x"])
def test_a_command_that_is_none_is_refused_at_once(daemon: EventDaemon, cli: Cli, command: str) -> None:
    outcome = cli("listen", "--exec", command)
    assert (outcome.status, outcome.out) == (2, "")
    assert "--exec" in outcome.err
    assert daemon.asked == []


# -- signals -------------------------------------------------------------------------------------------------------


class Listening:
    """A real process, whose stderr and whose program's output are read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "p2pchat.cli", "listen", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def error(self) -> bytes:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self) -> tuple[int, bytes]:
        _, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
@pytest.mark.parametrize("succeeds", [True, False])
def test_a_signal_reaches_the_program_and_waits_for_it(
    daemon: EventDaemon, tmp_path: Path, number: int, status: int, succeeds: bool
) -> None:
    daemon.receive("one")
    daemon.receive("two")
    program = script(
        tmp_path,
        f"""exec 2>/dev/null  # a shell may tell of the sleep that the signal ended
        trap 'echo told; ended=1' INT TERM
        echo began
        while [ -z "$ended" ]; do :; done
        exit {0 if succeeds else 1}""",
    )
    listening = Listening("--exec", program, "--consumer", "c", "--since", "0")
    assert listening.line() == b"began\n"
    listening.process.send_signal(number)
    assert listening.line() == b"told\n"
    assert listening.end() == (status, b"")
    assert daemon.acks == ([("c", 1)] if succeeds else [])


def test_a_second_signal_kills_the_program(daemon: EventDaemon, tmp_path: Path) -> None:
    daemon.receive("one")
    program = script(tmp_path, "trap 'echo told' TERM; echo began; while true; do :; done")
    listening = Listening("--exec", program, "--consumer", "c", "--since", "0")
    assert listening.line() == b"began\n"
    for said in (b"told\n", b""):
        listening.process.send_signal(signal.SIGTERM)
        assert listening.line() == said
    assert listening.end() == (-signal.SIGTERM, b"")
    assert daemon.acks == []


def test_signals_while_a_program_is_started_leave_none_behind(
    daemon: EventDaemon, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.receive("one")
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen.__init__

    def interrupted(child: subprocess.Popen[bytes], command: list[str], **options: Any) -> None:  # noqa: ANN401
        start(child, command, **options)
        started.append(child)
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess.Popen, "__init__", interrupted)
    assert cli("listen", "--exec", "sleep 60", "--consumer", "c", "--since", "0").status == 130
    try:
        assert [child.returncode for child in started] == [-signal.SIGKILL]
    finally:
        for child in started:
            child.kill()
    assert daemon.acks == []


@pytest.mark.parametrize("waits_for", ["an event", "the next attempt", "the daemon"])
def test_a_signal_ends_every_wait(daemon: EventDaemon, tmp_path: Path, waits_for: str) -> None:
    if waits_for == "an event":
        listening = Listening("--exec", "true", "--consumer", "c")
        daemon.wait_asked(1)
    elif waits_for == "the next attempt":
        daemon.receive("one")
        listening = Listening("--exec", "false", "--consumer", "c", "--since", "0")
        assert listening.error() == b"false exited with 1; it is run again in 1 s.\n"
    else:
        daemon.receive("one")
        daemon.before = lambda request: daemon.stop() if request["method"] == "events.ack" else None
        listening = Listening("--exec", "true", "--consumer", "c", "--since", "0")
        assert listening.error() == LOST.encode()
    listening.process.send_signal(signal.SIGTERM)
    assert listening.end() == (-signal.SIGTERM, b"")
    assert daemon.acks == []
