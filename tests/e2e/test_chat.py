"""``p2pchat chat`` in real terminals, between real daemons."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemons import Daemon, matched_pair, p2pchat, until
from tests.e2e.terminal import Terminal, terminal

pytestmark = pytest.mark.e2e

ENTER, ESCAPE, PAGE_UP, CTRL_C, CTRL_D = "\r", "\x1b", "\x1b[5~", "\x03", "\x04"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    with matched_pair(tmp_path_factory.mktemp("chat")) as pair:
        yield pair


@pytest.fixture
def bobs(pair: tuple[Daemon, Daemon]) -> Iterator[Terminal]:
    """Bob talks with Alice in 40 columns and 10 rows."""
    with terminal(pair[1].home, "chat", "Alice", columns=40, rows=10) as opened:
        opened.sees("Alice  online  claimed")
        yield opened


def test_two_people_talk(pair: tuple[Daemon, Daemon], bobs: Terminal) -> None:
    with terminal(pair[0].home, "chat", "Bob") as alices:
        alices.sees("Bob  online  claimed")
        bobs.types("half a sent")
        alices.types("Hello Bob" + ENTER)
        alices.sees("me: Hello Bob \u2713\u2713")
        bobs.sees("Alice: Hello Bob", "> half a sent")
        bobs.types("ence, 그리고 한글" + ENTER)
        alices.sees("me: Hello Bob \u2713\u2713 read")
        alices.sees("Bob: half a sentence, 그리고 한글")
        bobs.sees("\u2713\u2713")
        alices.types("one\x1b\rtwo\x1b[200~\rthree\x1b[201~" + ENTER)
        bobs.sees("Alice: one", "      two", "      three")
        alices.types(CTRL_C)
        assert (alices.ends(), alices.is_as_before) == (130, True)
    bobs.types(CTRL_D)
    assert (bobs.ends(), bobs.is_as_before) == (0, True)
    assert pair[1].texts("Alice")[-2:] == ["Hello Bob", "one\ntwo\nthree"]


def test_a_daemon_that_is_killed_comes_back_and_nothing_is_missed(pair: tuple[Daemon, Daemon], bobs: Terminal) -> None:
    alice, bob = pair
    bob.kill()
    bobs.sees("Alice  not connected", "p2pchat daemon")
    bobs.types("said to nobody" + ENTER)
    bobs.sees("Not sent; it stays here.", "> said to nobody")
    alice.call("message.send", to="Bob", text="said meanwhile")
    bob.start("--bootstrap", alice.address)
    bobs.sees("Alice: said meanwhile", "> said to nobody")
    bobs.types(ENTER)
    bobs.sees("me: said to nobody")
    until(lambda: alice.texts("Bob")[-1] == "said to nobody", "it did not arrive")
    bobs.sees("me: said to nobody \u2713\u2713")
    assert alice.texts("Bob").count("said to nobody") == 1


@pytest.mark.slow
def test_forty_columns_and_ten_rows_are_enough(pair: tuple[Daemon, Daemon], bobs: Terminal) -> None:
    alice, _ = pair
    for number in range(80):
        alice.call("message.send", to="Bob", text=f"number {number}" + " needle" * (number == 7))
    bobs.sees("number 79")
    bobs.types(PAGE_UP)
    bobs.sees("number 70", "Esc goes to the newest message.")
    alice.call("message.send", to="Bob", text="news")
    bobs.sees("1 new below; Esc goes there.")
    bobs.types("/search needle" + ENTER)
    bobs.sees("number 7 needle", "number 8", "Find: needle")
    bobs.types(ESCAPE)
    bobs.sees(">")
    bobs.resize(60, 20)
    bobs.sees("number 7 needle")
    bobs.types(ESCAPE)
    bobs.sees("Alice: news", "-- new --")
    bobs.resize(20, 5)
    bobs.types("/help" + ENTER)
    bobs.sees("Enter sends")
    bobs.resize(40, 10)
    bobs.types("\x1b[200~" + "x" * 70_000 + "\x1b[201~" + ENTER)
    bobs.sees("This is 70,000 bytes long")
    bobs.types(CTRL_C)
    assert (bobs.ends(), bobs.is_as_before) == (130, True)


def test_hostile_texts_act_on_nothing(pair: tuple[Daemon, Daemon], bobs: Terminal) -> None:
    alice, _ = pair
    for text in (
        "\x1b[2J\x1b]0;owned\x07\x1bc\x9b2J\x0e clear",
        "above\n00:00 me: forged \u2713\u2713\r\x1b[A\x1b[2K",
        "\u202eover\u2067 " + "o\u0301" + "\u0301" * 20_000,
        "\n" * 60_000 + "below",
        "가\u200b" * 10_000,
        "last",
    ):
        alice.call("message.send", to="Bob", text=text)
    bobs.sees("Alice: last", "Alice  online  claimed", ">")
    bobs.resize(80, 500)  # as high as all of it
    bobs.sees("\\x1b[2J\\x1b]0;owned\\x07\\x1bc\\x9b2J\\x0e clear", "      00:00 me: forged", "\\u202eover\\u2067")
    bobs.sees("Alice  online  claimed", "[+19993]")
    raw = bobs.raw.decode(errors="ignore")  # the end of it may still be on its way
    assert not any(each in raw for each in ("\x1b]", "\x1bc", "\x9b", "\x0e", "\u202e", "\u2067", "\u0301" * 9))


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=lambda each: str(each),
)
def test_signals_leave_the_terminal_as_it_was(bobs: Terminal, number: signal.Signals, status: int) -> None:
    bobs.process.send_signal(number)
    assert (bobs.ends(), bobs.is_as_before) == (status, True)


def test_a_terminal_that_is_gone_ends_it(bobs: Terminal) -> None:
    bobs.hang_up()
    assert bobs.ends() in (129, -signal.SIGHUP)


def test_nothing_runs_while_nothing_happens(bobs: Terminal) -> None:
    def ticks() -> int:
        fields = Path(f"/proc/{bobs.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def wakes() -> int:
        tasks = Path(f"/proc/{bobs.process.pid}/task").iterdir()
        found = [line for task in tasks for line in (task / "status").read_text().splitlines() if "ctxt_sw" in line]
        return sum(int(line.split()[1]) for line in found)

    def still() -> bool:
        before = ticks(), wakes()
        subprocess.run(["sleep", "3"], check=True)
        return ticks() - before[0] <= 1 and wakes() - before[1] <= 10

    until(still, "it does something while nothing happens", within_s=30)


@pytest.mark.parametrize(("variables", "sign"), [({"LC_ALL": "C"}, "++"), ({"NO_COLOR": "1"}, "\u2713\u2713")])
def test_poor_terminals(pair: tuple[Daemon, Daemon], variables: dict[str, str], sign: str) -> None:
    with terminal(pair[1].home, "chat", "Alice", variables=variables) as opened:
        opened.sees("Alice  online")
        opened.types("Hello" + ENTER)
        opened.sees(f"me: Hello {sign}")
        opened.types("/quit" + ENTER)
        assert opened.ends() == 0
        assert ("NO_COLOR" in variables) == (b"\x1b[0;36" not in opened.raw and b"36m" not in opened.raw)


@pytest.mark.parametrize(
    ("arguments", "status", "name"),
    [(["Nobody"], 66, "CONTACT_NOT_FOUND"), (["Alice", "and", "more"], 2, "Usage"), ([], 2, "Usage")],
)
def test_what_cannot_begin_says_so_on_a_clean_terminal(
    pair: tuple[Daemon, Daemon], arguments: list[str], status: int, name: str
) -> None:
    with terminal(pair[1].home, "chat", *arguments) as opened:
        assert opened.ends() == status
        opened.sees(name)
        assert b"\x1b[?1049h" not in opened.raw


def test_without_a_daemon_it_says_how_to_start_one(tmp_path: Path) -> None:
    with terminal(tmp_path, "chat", "Alice") as opened:
        assert opened.ends() == 69
        opened.sees("NO_DAEMON", "p2pchat init")


def test_without_a_terminal_it_prints_nothing_to_stdout(pair: tuple[Daemon, Daemon]) -> None:
    done = p2pchat(pair[1].home, "chat", "Alice")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"chat needs a terminal" in done.stderr
    with terminal(pair[1].home, "chat", "Alice", variables={"TERM": "dumb"}) as opened:
        assert opened.ends() == 2
        opened.sees("chat needs a terminal")
    done = p2pchat(pair[1].home, "--json", "chat", "Alice")
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_lock_is_told_with_the_way_out(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse")
    daemon = Daemon(tmp_path / "home", "+821012345678", secret)
    daemon.start("--passphrase-file", str(secret))
    try:
        daemon.call("contacts.add", number="+821098765432", name="Bob")
        with terminal(daemon.home, "chat", "Bob", columns=60, rows=12) as opened:
            opened.sees("Bob  looked for", "Not found yet: what you send waits.")
            opened.types("first" + ENTER)
            opened.sees("me: first \u25e6")
            daemon.call("node.lock")
            opened.sees("Bob  locked", "p2pchat unlock")
            opened.types("second" + ENTER)
            opened.sees("Not sent; it stays here.", "> second")
            daemon.call("node.unlock", passphrase="correct horse")
            opened.sees("Bob  looked for")
            opened.types(ENTER)
            opened.sees("me: second \u25e6")
            daemon.call("contacts.block", to="Bob")
            opened.sees("Bob  blocked", "This contact is blocked.", "unblock")
            opened.types("third" + ENTER)
            opened.sees("Not sent: ", "> third")
            daemon.call("contacts.remove", to="Bob")
            opened.sees("This contact was removed")
            opened.types(CTRL_C)
            assert (opened.ends(), opened.is_as_before) == (130, True)
    finally:
        daemon.kill()
