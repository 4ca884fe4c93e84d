"""A line about what takes long: on a terminal, in place, and gone at the end."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from p2pchat.api import waiting as module
from p2pchat.api.waiting import waiting


class Stderr(io.StringIO):
    """A terminal, or not."""

    terminal = True

    def isatty(self) -> bool:
        return self.terminal


def terminal(monkeypatch: pytest.MonkeyPatch) -> Stderr:
    """Instead of stderr; not a fixture, since pytest captures anew when a test begins."""
    stream = Stderr()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "FIRST_S", 0.0)
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    return stream


def test_it_says_how_far_it_is_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    steps = iter(["7 messages", "8"])
    done = threading.Event()

    def far() -> str:
        step = next(steps, None)
        if step is None:
            done.set()
        return step or ""

    with waiting("Exporting", far):
        assert done.wait(10)
    shown = stderr.getvalue()
    assert shown.startswith("\rExporting: 0 s, 7 messages\rExporting: 0 s, 8         \rExporting: 0 s   ")
    assert shown.endswith(f"\r{' ' * len('Exporting: 0 s')}\r")
    assert "\x1b" not in shown


def test_what_fails_is_not_covered_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    called = threading.Event()

    def far() -> str:
        called.set()
        return ""

    def fail() -> None:
        with waiting("Reading", far):
            assert called.wait(10)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert stderr.getvalue().endswith(" \r")


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    monkeypatch.setattr(module, "FIRST_S", 60.0)
    with waiting("Reading"):
        assert threading.active_count() > 1
    assert stderr.getvalue() == ""


@pytest.mark.parametrize("how", ["pipe", "dumb", "quiet"])
def test_there_is_no_line_where_nobody_would_read_it(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    stderr = terminal(monkeypatch)
    if how == "pipe":
        stderr.terminal = False
    elif how == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    before = threading.active_count()
    with waiting("Reading", visible=how != "quiet"):
        assert threading.active_count() == before
    assert stderr.getvalue() == ""
