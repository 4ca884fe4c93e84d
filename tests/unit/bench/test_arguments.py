"""What an option may not say is refused before anything is measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import crowd, flood, held, reach, sybils
from bench.arguments import at_least_one, number, positive
from bench.files import picture, to_write


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(at_least_one, "1", 1), (number, "0", 0), (positive, "0.5", 0.5), (picture, "a.png", Path("a.png"))],
)
def test_what_makes_sense_is_taken(kind: Callable[[str], object], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *[(at_least_one, text) for text in ("0", "-1", "1.5", "", "nan")],
        *[(number, text) for text in ("-1", "x")],
        *[(positive, text) for text in ("0", "-1", "nan", "inf", "x", "")],
        (picture, "a.svg"),
    ],
)
def test_what_makes_none_is_refused(kind: Callable[[str], object], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"^a "):
        kind(text)


def test_a_file_that_cannot_be_written_is_noticed(tmp_path: Path) -> None:
    assert to_write(str(tmp_path / "new")) == tmp_path / "new"
    for file in (tmp_path, tmp_path / "nowhere" / "new"):
        with pytest.raises(argparse.ArgumentTypeError, match="cannot be written"):
            to_write(str(file))


@pytest.mark.parametrize(
    ("measure", "options"),
    [
        (sybils.main, ["--trials", "0"]),
        (held.main, ["--records", "-5"]),
        (crowd.main, ["--minutes", "nan"]),
        (crowd.main, ["--light", "0", "--daemons", "0"]),
        (flood.main, ["--seconds", "-1"]),
        (reach.main, ["--nodes", "0"]),
        *[(measure, ["--json", "/"]) for measure in (sybils.main, crowd.main, flood.main, reach.main)],
    ],
)
def test_a_wrong_option_is_a_sentence(
    measure: Callable[[list[str]], int], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        measure(options)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
