"""The command line in Korean, in a terminal, as somebody who begins with p2pchat sees it."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from p2pchat.api.text import columns
from tests.e2e.daemons import Daemon, p2pchat, until
from tests.e2e.terminal import Terminal, terminal

pytestmark = pytest.mark.e2e

KOREAN = {"LC_ALL": "ko_KR.UTF-8"}


def _stands_twice(screen: Terminal, text: str) -> bool:
    return sum(text in line for line in screen.lines) == 2


def test_a_profile_is_made_in_korean(tmp_path: Path) -> None:
    with terminal(tmp_path, "init", variables=KOREAN) as screen:
        screen.sees("+국가 번호로 시작하는 휴대전화 번호(없으면 비워 두세요):")
        screen.types("010\n")
        screen.sees("+ 가 없는 전화번호에는 KR 같은 지역이 필요합니다(init --region KR).")
        screen.types("\n")
        screen.sees("이름:")
        screen.types("영희\n")
        screen.sees("이 프로필의 암호:")
        screen.types("하나\n")
        screen.sees("한 번 더 입력하세요:")
        screen.types("둘\n")
        screen.sees("서로 다릅니다.")
        for question in ("이 프로필의 암호:", "한 번 더 입력하세요:"):
            # what is typed before it asks for the second time is thrown away, as by every question for a passphrase
            until(partial(_stands_twice, screen, question), question)
            screen.types("하나\n")
        screen.sees("프로필 default이(가) 준비되었습니다. 노드를 시작하세요: p2pchat daemon")
        assert screen.ends() == 0
    with terminal(tmp_path, "init", variables=KOREAN) as screen:
        screen.sees("ALREADY_EXISTS: default 프로필이 이미 있습니다. 아무것도 바꾸지 않았습니다.")
        assert screen.ends() == 73
    with terminal(tmp_path, "status", variables=KOREAN) as screen:
        screen.sees("NO_DAEMON: default 프로필의 데몬이 실행 중이 아닙니다. 시작하세요:")
        assert screen.ends() == 69


def test_a_node_is_looked_at_in_korean(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "x", None)
    try:
        daemon.start()
        with terminal(daemon.home, "status", variables={"LANG": "ko_KR.UTF-8", "LC_ALL": ""}) as screen:
            screen.sees(
                "Somebody (번호 없음), 프로필 default",
                "실행 시간",
                "피어 0개, 닿는 범위",
                "아직 전달되지 않은 메시지 0개",
            )
            assert screen.ends() == 0
        with terminal(daemon.home, "config", "get", variables=KOREAN, rows=60) as screen:
            screen.sees("설정", "적용")
            head, *rows = [line for line in screen.lines if line]
            level = next(row for row in rows if row.startswith("log.level"))
            assert columns(head[: head.index("값")]) == len(level) - len(level[9:].lstrip())
        with terminal(daemon.home, "net", "deny", "--help", variables=KOREAN, columns=60) as screen:
            screen.sees("사용법: p2pchat net deny [OPTIONS] WHAT", "같은 키로는 한 번만 막습니다.")
            assert screen.ends() == 0
        with terminal(daemon.home, "contacts", "show", "누구", variables=KOREAN) as screen:
            screen.sees("CONTACT_NOT_FOUND: 그 이름, 번호, id의 연락처가 없습니다.")
            assert screen.ends() == 66
        english = p2pchat(daemon.home, "config", "get", "--json").stdout
        with terminal(daemon.home, "config", "get", "--json", variables=KOREAN) as screen:
            assert screen.ends() == 0
            assert screen.raw.replace(b"\r\n", b"\n") == english
    finally:
        daemon.kill()
    assert not re.search("[가-힣]", daemon.log.read_text("utf-8"))
