"""What ``scripts/simulate`` is asked for is looked at before anybody begins to live."""

from __future__ import annotations

import sys

import pytest

from simulate.__main__ import main


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--seeds", "x"], "--seeds"),
        (["--seeds", "3-1"], "--seeds"),
        (["--nodes", "1"], "--nodes"),
        (["--nodes", "1000000"], "--nodes"),
        (["--jobs", "0"], "--jobs"),
        (["--days", "inf"], "--days"),
        (["--days", "nan"], "--days"),
        (["--days", "1000"], "--days"),
        (["--days", "1", "--settle-hours", "23.5"], "--settle-hours"),
        (["--settle-hours", "nan"], "--settle-hours"),
        (["--settle-hours", "0"], "--settle-hours"),
        (["--plant", "a-tree"], "--plant"),
    ],
)
def test_a_wrong_option_is_a_sentence(
    options: list[str], word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setattr(sys, "argv", ["simulate", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert word in capsys.readouterr().err.splitlines()[-1]
