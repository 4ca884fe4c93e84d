"""What a person reads is in their language, all of it; what a program reads is the same in every language.

A language that exists in the tests alone puts every text into brackets: what stands outside of them is data, or was
never translated.
"""

from __future__ import annotations

import gettext
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from p2pchat.api import language
from p2pchat.api.errors import exit_status
from p2pchat.api.paths import ProfilePaths
from p2pchat.api.text import columns
from p2pchat.base.errors import UsageError
from p2pchat.cli.app import run
from p2pchat.cli.examples import EXAMPLES
from p2pchat.cli.reading import counted, duration, not_arrived, size_text
from tests.fake_api import Served, served
from tests.unit.cli.conftest import Cli
from tests.unit.cli.test_terminals import READING, SEQUENCE, Full, a_terminal
from tests.unit.cli.test_tree import ALL
from translations.catalogue import compiled, parse

KOREAN = parse((language.FOLDER / "ko" / "LC_MESSAGES" / "p2pchat.po").read_text("utf-8"))
BRACKETED = re.compile(r"⟦[^⟦⟧]*⟧")
WORD = re.compile(r"[A-Za-z]{2,}")
KOREANS = {"LANG": "ko_KR.UTF-8"}


@pytest.fixture
def node() -> Iterator[Served]:
    with served(Full, ProfilePaths().socket) as running:
        yield running


@pytest.fixture
def korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")


@pytest.fixture
def bracketed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = {"": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"}
    texts |= {english: "\0".join(_in_brackets(form) for form in english.split("\0")) for english in KOREAN if english}
    mo = tmp_path / "locale" / "xx" / "LC_MESSAGES" / "p2pchat.mo"
    mo.parent.mkdir(parents=True)
    mo.write_bytes(compiled(texts))
    monkeypatch.setattr(language, "FOLDER", tmp_path / "locale")
    monkeypatch.setenv("LANG", "xx")


def _in_brackets(text: str) -> str:
    """Sentence by sentence: of a help the first alone stands in the list of commands."""
    return "⟦" + text.replace(". ", "⟧. ⟦") + "⟧"


def outside(text: str) -> list[str]:
    """The words that stand in no bracket; a pair within another is taken out first."""
    before = ""
    while before != text:
        before, text = text, BRACKETED.sub(" ", text)
    assert "⟦" not in text, text
    return WORD.findall(text)


# -- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bracketed")
@pytest.mark.parametrize("path", ALL)
def test_help_says_nothing_in_english(path: str, cli: Cli) -> None:
    shown = cli(*path.split(), "--help").out
    assert shown.startswith("⟦Usage:⟧ p2pchat")
    command = ALL[path]
    context = click.Context(command, help_option_names=["-h", "--help"])
    names = [*path.split(), "p2pchat", *command.collect_usage_pieces(context)]
    for param in command.get_params(context):
        record = param.get_help_record(context)
        names += [record[0]] if record is not None else []
    if isinstance(command, click.Group):
        names += command.list_commands(context)
    for example in EXAMPLES.get(path, ()):
        assert example in shown
        names.append(example)
    kept = set(WORD.findall(" ".join(names)))
    assert not set(outside(shown)) - kept


@pytest.mark.usefixtures("korean")
@pytest.mark.parametrize("path", ALL)
def test_help_in_korean_fits_into_the_terminal(path: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    examples = {f"    {example}" for example in EXAMPLES.get(path, ())}
    shown = cli(*path.split(), "--help").out
    assert shown == cli("help", *path.split()).out
    for line in shown.splitlines():
        assert columns(line) <= 80 or line in examples, line
    assert "사용법: p2pchat" in shown
    assert "이 도움말을 보여 주고 끝냅니다." in shown


def test_help_is_english_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: cli(*path.split(), "--help").out for path in ("", "net", "net deny", "send")}
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    for path in before:
        assert "옵션:" in cli(*path.split(), "--help").out
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    assert {path: cli(*path.split(), "--help").out for path in before} == before


def test_first_sentences_stand_in_the_list_of_commands(cli: Cli, korean: None) -> None:
    lines = cli("--help").out.splitlines()
    assert "  status        노드의 상태를 한눈에 보여 줍니다" in lines
    assert "  passphrase    암호를 바꿉니다" in lines


# -- what commands say -------------------------------------------------------------------------------------------


OWN = [arguments for arguments in READING if arguments[0] not in ("rpc", "export")]


@pytest.mark.usefixtures("bracketed")
@pytest.mark.parametrize("arguments", [*OWN, ["config", "get"], ["-v", "net", "peers"]], ids=" ".join)
def test_what_stands_outside_of_the_texts_is_data(
    arguments: list[str], cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cli("--json", *arguments).out + " KiB MiB GiB ms allow deny Bob "
    with a_terminal(monkeypatch, 200) as screen:
        run(list(arguments))
    shown = SEQUENCE.sub("", screen())
    assert "⟦" in shown or arguments[:2] in (["net", "addrs"], ["id", "qr"], ["history", "Mallory"])
    words = set(outside(shown))
    assert not {word for word in words if word not in data}, shown


@pytest.mark.usefixtures("bracketed")
@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        (["sned"], {"pchat", "OPTIONS", "COMMAND", "ARGS", "help", "sned", "send"}),
        (["add"], {"pchat", "OPTIONS", "COMMAND", "ARGS", "help", "add", "contacts"}),
        (["send"], {"pchat", "OPTIONS", "send", "help", "TO", "TEXT"}),
        (["status", "x"], {"pchat", "OPTIONS", "status", "help"}),
        (["status", "--nonsense"], {"pchat", "OPTIONS", "status", "help", "nonsense"}),
        (["send", "a", "b", "--wait", "x"], None),
        (["send", "a", "b", "--wait"], None),
        (["net", "export", "--nodes", "x"], None),
        (["net", "export", "--nodes", "99"], None),
        (["stats", "--prometheus", "--json"], None),
        (["daemon", "--locked", "--passphrase-file", "x"], None),
        (["config", "set", "lan"], None),
        (["help", "send", "x"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_says_nothing_in_english(arguments: list[str], own: set[str] | None, cli: Cli) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1].startswith("⟦Error: ")
    said = set(outside(outcome.err))
    if own is not None:
        assert said <= own
    assert not said & {"is", "not", "the", "valid", "range", "requires", "exclude", "Give", "has"}


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("korean")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("No contact has that id.", name="CONTACT_NOT_FOUND"), "그 id의 연락처가 없습니다."),
        (UsageError("text: is longer than 65536 bytes"), "text: 65536바이트보다 깁니다"),
        (UsageError("what: is this node itself"), "what: 이 노드 자신입니다"),
        (
            UsageError("The moon is full.", name="TIMEOUT"),
            "주어진 시간 안에 되지 않았습니다. (The moon is full.)",
        ),
        (
            UsageError(
                "No contact has that name, number or id.", name="CONTACT_NOT_FOUND", data={"near": ["Bob", "B"]}
            ),
            "그 이름, 번호, id의 연락처가 없습니다. Bob 또는 B을(를) 찾으셨나요?",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_keeps_its_name_and_status(error: UsageError, said: str, cli: Cli, node: Served) -> None:
    node.api.fail["net.peers"] = error
    outcome = cli("net", "peers")
    assert outcome.err == f"{error.error_name}: {said}\n"
    assert outcome.status == exit_status(error.error_name)
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("english", "korean"),
    [
        ("There is no profile daemon.", "daemon 프로필이 없습니다."),  # a name, although the catalogue has the word
        (
            "The file cannot be written: No space left on device.",
            "파일을 쓸 수 없습니다: 디스크에 남은 공간이 없습니다.",
        ),
        ("The file cannot be written: Strange things happen.", "파일을 쓸 수 없습니다: Strange things happen."),
        (
            "Line 3 is a link, but not one of nodes; nothing was taken.",
            "3번째 줄: is a link, but not one of nodes. 아무것도 가져오지 않았습니다.",
        ),
        (
            "There is no profile ab; make one with: p2pchat --profile ab init",
            "ab 프로필이 없습니다. 만드세요: p2pchat --profile ab init",
        ),
        ("daemon 프로필이 없습니다.", "daemon 프로필이 없습니다."),
        ("text: is no such thing", "text: is no such thing"),
        ("", ""),
        ("x" * 10_000, "x" * 10_000),
    ],
)
def test_places_of_a_sentence_are_filled_as_they_were(
    english: str, korean: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    language.install(KOREANS)
    assert language.said(english) == korean
    assert language.error("OF_A_NEWER_DAEMON", english) == korean


def test_a_terminal_without_the_letters_gets_english(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    class Latin:
        encoding = "iso-8859-1"

    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    for stream in (Latin(), None):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            language.install(KOREANS)
        assert language.is_english()
        assert gettext.gettext("clock") == "clock"
    assert "옵션:" in cli("--help").out


# -- what programs read ------------------------------------------------------------------------------------------


MACHINES = [
    *(["--json", *arguments] for arguments in READING if arguments[0] not in ("rpc", "export", "doctor")),
    ["rpc", "node.status"],
    ["rpc", "no.such"],
    ["stats", "--prometheus"],
    ["--json", "config", "get"],
    ["--json", "config", "set", "log.level", "debug"],
    ["--json", "config", "set", "log.level", "nonsense"],
    ["--json", "contacts", "show", "Nobody"],
    ["--json", "net", "import", "p2pchat:x"],
    ["--json", "send", "Mallory", "hello", "--idempotency-key", "k"],
    ["rpc", "events.fetch", '{"since": 0}'],
    ["completion", "bash"],
    ["_complete", "bash", "--", "p2pchat net "],
    ["_complete", "bash", "--", "p2pchat send "],
]


@pytest.mark.parametrize("arguments", MACHINES, ids=" ".join)
def test_what_a_program_reads_is_the_same_in_every_language(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    found = []
    for number, lang in enumerate(("C.UTF-8", "ko_KR.UTF-8")):
        monkeypatch.setenv("LANG", lang)
        monkeypatch.setenv("P2PCHAT_HOME", str(tmp_path / str(number)))
        ProfilePaths().socket.parent.mkdir(mode=0o700, parents=True)
        with served(Full, ProfilePaths().socket):
            status = run(list(arguments))
        shown = capsysbinary.readouterr()
        found.append((status, shown.out.replace(f"/{number}/".encode(), b"/"), shown.err.partition(b":")[0].decode()))
    (english, korean) = found
    assert english[:2] == korean[:2]
    if english[0] > 2:  # an error is told by its name
        assert english[2] == korean[2]


def test_a_shell_completes_the_same_words(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def words() -> list[str]:
        return [line.partition("\t")[0] for line in cli("_complete", "zsh", "--", "net", "").out.splitlines()]

    english = words()
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    assert words() == english
    assert "\t노드에 연결합니다" in cli("_complete", "zsh", "--", "net", "di").out


# -- Korean, as it looks -----------------------------------------------------------------------------------------


def screen_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    with a_terminal(monkeypatch, 100) as shown:
        run(list(arguments))
    return SEQUENCE.sub("", shown()).splitlines()


@pytest.mark.usefixtures("korean")
def test_tables_are_aligned_below_wide_heads(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    head, rule = screen_of(monkeypatch, "net", "rules")
    assert head.split("  ")[0] == "규칙"
    for name, value in (("종류", "network"), ("대상", "192.0.2.0/24"), ("만든 시각", "2023-11-")):
        assert columns(head[: head.index(name)]) == columns(rule[: rule.index(value)])


@pytest.mark.usefixtures("korean")
def test_the_node_at_a_glance(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen_of(monkeypatch, "status")
    assert shown[0] == "Alice (+821012345678), 프로필 default"
    assert shown[1].startswith("실행 시간 ")
    assert shown[2] == "피어 2개, 닿는 범위 lan"
    assert not [each for each in shown if re.search(r"\b(peer|message|contact|running|address)\b", each)]


@pytest.mark.usefixtures("korean")
def test_one_and_many_are_one_form() -> None:
    language.install(KOREANS)
    assert [counted(count, "{} peer", "{} peers") for count in (0, 1, 1234)] == ["피어 0개", "피어 1개", "피어 1,234개"]
    assert [duration(seconds) for seconds in (5, 61, 7200, 90_000)] == ["5초", "1분", "2시간 0분", "1일 1시간 0분"]
    assert [size_text(size) for size in (1, 5, 1 << 20)] == ["1바이트", "5바이트", "1 MiB"]
    assert not_arrived(3, "영희") == "영희의 메시지 3개가 도착하지 않았습니다"
    assert not_arrived(1) == "메시지 1개가 도착하지 않았습니다"
