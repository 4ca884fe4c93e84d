"""Logs: what has no key in the allow-list does not get out, whatever the call."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from p2pchat.base.ids import PeerId
from p2pchat.core.numbers import parse_number
from p2pchat.daemon import logs
from p2pchat.services.defects import report_defect


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    logging.disable(logging.NOTSET)


def test_only_allowed_keys_get_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    structlog.get_logger().info("something", count=3, number="+821012345678", text="hello", peer="12D3")
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "something"
    assert line["count"] == 3
    assert set(line) <= logs.ALLOWED
    assert "hello" not in str(line)
    assert "+82" not in str(line)


def test_a_peer_is_named_by_four_digits_or_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    structlog.get_logger().info("stream.failed", peer=PeerId(bytes(range(38))))
    line = json.loads(capsys.readouterr().err)
    assert line["peer"] == "PeerId(2425…)"


def test_levels_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "text")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    shown = capsys.readouterr().err
    assert "loud" in shown
    assert "quiet" not in shown


@pytest.mark.parametrize(
    ("terminal", "variable", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool, variable: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", variable)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    logs.configure("info", "text")
    structlog.get_logger().info("something")
    assert ("\x1b" in capsys.readouterr().err) is coloured


def test_level_and_format_change_under_who_logs_already(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger()
    logs.configure("warning", "json")
    log.info("first")
    logs.configure("debug", "json")
    log.debug("second")
    logs.configure("debug", "text")
    log.debug("third")
    logs.configure("error", "json")
    log.warning("fourth")
    second, third = capsys.readouterr().err.splitlines()
    assert json.loads(second)["event"] == "second"
    assert "third" in third
    assert not third.startswith("{")


def test_a_defect_is_logged_by_type_and_place_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    secret = "the canary text +821012345678"
    try:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise ExceptionGroup(secret, [error]) from error
    except ExceptionGroup as group:
        reference = report_defect(group)
    shown = capsys.readouterr().err
    line = json.loads(shown)
    assert line["ref"] == reference
    assert line["error"] == "KeyError"
    assert "test_logs.py" in line["place"]
    assert "canary" not in shown


def test_a_number_hides_itself_even_in_an_allowed_key(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "text")
    structlog.get_logger().info("careless", reason=f"{parse_number('+821012345678', None)}")
    assert "1012345678" not in capsys.readouterr().err
