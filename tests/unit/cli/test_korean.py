"""What is read every day in Korean, letter for letter, and with its columns below each other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import to_builtins

from p2pchat.api import language, objects
from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.paths import ProfilePaths
from p2pchat.api.text import columns
from p2pchat.cli.app import cli as root
from p2pchat.cli.app import run
from p2pchat.cli.chat.drawing import UNICODE, Look, day_of, draw
from p2pchat.cli.chat.entered import help_on
from p2pchat.cli.chat.rows import Row
from p2pchat.cli.chat.standing import headline, obstacle, trouble
from p2pchat.cli.demo_story import Summary
from p2pchat.services.transparency import locked_reveals, unlocked_reveals
from tests.fake_api import NOW_MS, FakeApi, Served, served
from tests.unit.cli.conftest import Cli
from tests.unit.cli.test_terminals import SEQUENCE, a_terminal

MINJI, BOB = "김민지", "Bob"
SENTENCES = [
    objects.Sentence(code="away", facts={"name": MINJI}, text="1."),
    objects.Sentence(code="held", facts={"name": MINJI, "left_ms": 7_200_000}, text="2."),
    objects.Sentence(
        code="mailbox.other_refused", facts={"ago_ms": 180_000, "why": "It has no space left."}, text="3."
    ),
    objects.Sentence(code="away.next", facts={"until_ms": 0}, text="4."),
    objects.Sentence(code="of.tomorrow", facts={"name": MINJI}, text="What a newer daemon says."),
    objects.Sentence(code="read", facts={"who": MINJI}, text="And with other facts."),
    objects.Sentence(code="given_up", facts={"until_ms": 30 * 86_400_000}, text="5."),
]


class Two(FakeApi):
    """A node with two contacts, one of whom is away."""

    def __init__(self) -> None:
        super().__init__("지수")
        minji, bob = self.contact(MINJI, "+821055550000"), self.contact(BOB, state="pending")
        minji.online, bob.online, bob.searching = True, False, False
        self.message(minji, "잘 지냈어?", incoming=True)
        self.message(minji, "응!", incoming=False)

    def _explained(self, message: str) -> objects.Explanation:
        found = super()._explained(message)
        found.sentences = SENTENCES
        return found


@pytest.fixture
def node() -> Iterator[Served]:
    with served(Two, ProfilePaths().socket) as running:
        yield running


@pytest.fixture(autouse=True)
def _korean(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    language.install({"LANG": "ko_KR.UTF-8"})
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
    language.install({})
    root.speak()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What a command writes on a terminal, without its colours."""

    def call(*arguments: str, width: int = 80) -> list[str]:
        with a_terminal(monkeypatch, width) as text:
            run(list(arguments))
        return SEQUENCE.sub("", text()).splitlines()

    return call


def test_send_says_what_is_missing_and_keeps_the_words_that_scripts_read(cli: Cli, node: Served) -> None:
    sent = cli("send", MINJI, "안녕")
    assert re.fullmatch(r"queued  [0-9a-f]{32}\n", sent.out), sent
    waits = cli("send", BOB, "hello")
    assert re.fullmatch(r"queued  [0-9a-f]{32}\n", waits.out)
    contact = node.api.contacts[1].id
    assert waits.err == (
        f"메시지가 기다립니다. 아직 이 연락처를 찾고 있지 않습니다. 찾으려면: p2pchat contacts find {contact}\n"
    )
    assert "--timeout 은 --wait 와 함께 써야 합니다." in cli("send", MINJI, "안녕", "--timeout", "1").err


def test_history_and_search(cli: Cli, node: Served) -> None:
    for message in node.api.messages:
        message.created_ms = NOW_MS
    assert cli("history", MINJI).out.splitlines() == [
        "2023-11-14 22:13:20  김민지: 잘 지냈어?",
        f"2023-11-14 22:13:20  나 ({node.api.messages[1].state}): 응!",
    ]
    found = cli("search", "응").out
    assert f"나 → 김민지 ({node.api.messages[1].state}): 응!" in found
    assert "날짜도 지난 시간도 아닙니다." in cli("history", MINJI, "--since", "soon").err


def test_a_table_with_wide_names_below_a_wide_head(cli: Cli, node: Served, shown: Callable[..., list[str]]) -> None:
    head, minji, bob = shown("contacts", "list")
    assert head.split() == ["이름", "번호", "상태", "신뢰", "ID"]

    def column(line: str, word: str) -> int:
        return columns(line[: line.index(word)])

    assert column(head, "상태") == column(minji, "matched") == column(bob, "pending")
    assert column(head, "ID") == column(minji, node.api.contacts[0].id) == column(bob, node.api.contacts[1].id)
    assert cli("contacts", "list", "--state", "blocked").err == "그 상태인 연락처가 없습니다.\n"


def test_one_contact(cli: Cli, node: Served) -> None:
    assert cli("contacts", "show", MINJI).out.splitlines()[-1] == "온라인"
    lines = cli("contacts", "show", BOB).out.splitlines()
    assert f"찾고 있지 않습니다. 찾으려면: p2pchat contacts find {node.api.contacts[1].id}" in lines
    assert lines[-1].startswith("마지막 접속: ")


def test_an_explanation_is_said_sentence_by_sentence_and_what_is_not_known_in_the_daemons_words(
    cli: Cli, node: Served
) -> None:
    said = cli("explain", node.api.messages[1].id).out.splitlines()
    assert said[0] == (
        f"{node.api.messages[1].state}: 지금 김민지 연락처에 닿지 않습니다. "
        "김민지 연락처의 메일박스가 봉인된 채로 맡고 있고, 앞으로 2시간 동안 남습니다. "
        "이 노드가 꺼져 있어도 김민지 연락처는 거기서 받습니다. "
        "다른 메일박스에 맡기려던 마지막 시도(3분 전)가 실패했습니다: 남은 자리가 없습니다. "
        "다음 시도 시점: 지금. What a newer daemon says. And with other facts. 그만두는 시점: 30일 뒤."
    )
    assert "Bob cannot be reached now." in cli("--json", "explain", node.api.messages[1].id).out


def test_an_explanation_of_an_older_daemon_is_in_its_words(
    cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.SENTENCES", [])
    assert "Bob cannot be reached now." in cli("explain", node.api.messages[1].id).out


def test_what_a_seizure_reveals_is_said_in_korean(cli: Cli, node: Served) -> None:
    assert "이 컴퓨터를 빼앗기면 드러나는 것:" in cli("transparency").out.splitlines()
    for text in (locked_reveals(passphrase=True), locked_reveals(passphrase=False), unlocked_reveals()):
        said = language.said(text)
        assert said != text
        assert "암호" in said


def test_a_conversation_in_the_terminal(node: Served) -> None:
    sunday_ms = 1_795_348_800_000  # 22 November 2026, at noon
    row = Row("1", 1, True, "", "failed", None, sunday_ms)
    assert day_of(row) == "Sunday, 22 November 2026"
    look = Look(60, MINJI)
    drawn = ["".join(part for _, part in line) for line in draw(row, look, day=day_of(row), first_new=True)]
    assert drawn[:2] == ["-- 2026년 11월 22일 일요일 --", "-- 새 메시지 --"]
    late = replace(row, incoming=False, text="응", reason="it could not leave within 30 seconds")
    (line,) = draw(late, look)
    assert "".join(part for _, part in line) == "12:00 나: 응 ✗ 실패: 30초 안에 떠나지 못함"
    minji, bob = (to_builtins(each) for each in node.api.contacts)
    assert headline(minji, None, 60, "utf-8").rstrip() == " 김민지  온라인  확인 안 됨"
    assert headline(bob, NoDaemon("x"), 60, "utf-8").rstrip() == " Bob  연결되지 않음"
    assert obstacle(bob, "p2pchat") == (
        f"이 연락처를 찾고 있지 않아 보내는 것은 기다립니다. 찾으려면: p2pchat contacts find {bob['id']}"
    )
    assert trouble(ApiError("STORE", "of tomorrow"), "p2pchat").endswith("(of tomorrow)")
    assert help_on(UNICODE)[-1] == (
        "◦ 기다림  ✓ 보냄  ✓ 메일박스에 맡겨 둠  ✓✓ 도착함  ✓✓ 읽음  ✗ 도착하지 않음과 그 까닭"
    )


@pytest.mark.parametrize(
    ("name", "english", "korean"),
    [
        (
            "PEER_OFFLINE",
            "The first holds nothing for you: its owner has to offer that, with p2pchat mailbox offer; "
            "the second did not answer in time.",
            "첫 번째 노드: 맡아 주지 않습니다(주인이 p2pchat mailbox offer 로 제공해야 합니다). "
            "두 번째 노드: 제때 응답하지 않았습니다.",
        ),
        (
            "INVALID_PARAMS",
            "with: holds yourself; name a node that is on while yours is off",
            "with: 자신을 가리킵니다. 이 노드가 꺼져 있을 때 켜져 있는 노드를 지정하세요",
        ),
        (
            "INVALID_PARAMS",
            "to: is not matched yet, so that there is nobody to ask or to answer",
            "to: 아직 서로 이어지지 않아 묻거나 답할 사람이 없습니다",
        ),
    ],
)
def test_errors_with_places(name: str, english: str, korean: str) -> None:
    assert language.error(name, english) == korean


def test_the_demos_figures_stand_below_each_other() -> None:
    lines = [line for line in Summary(1, 20, 300, 4000, 50_000, 40).lines() if " s " in f"{line} "]
    assert [columns(line[: line.index(" s")]) for line in lines] == [columns("다시 시작한 뒤") + 7] * 5
    assert lines[2].startswith("첫 전달")
