"""Catalogues: the format, and that each says all that is said, with the same places."""

from __future__ import annotations

import gettext
import io
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.api import language
from translations.__main__ import catalogues, complaints
from translations.catalogue import compiled, parse
from translations.wanted import wanted

ROOT = Path(__file__).parents[3]
PO = """# a comment
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Hello"
msgstr ""
"안녕"
"하세요"

msgid "not yet"
msgstr ""
"""


def test_what_is_compiled_is_what_the_standard_library_reads() -> None:
    found = gettext.GNUTranslations(io.BytesIO(compiled(parse(PO))))
    assert found.gettext("Hello") == "안녕하세요"
    assert found.gettext("not yet") == "not yet"
    assert found.gettext("unknown") == "unknown"


@pytest.mark.parametrize(
    "po",
    [
        'msgid "a"\n',
        'msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "c"\n',
        'msgctxt "a"\nmsgid "a"\nmsgstr "b"\n',
        'msgid "a\nmsgstr "b"\n',
        "msgid 'a'\nmsgstr \"b\"\n",
        '"a"\n',
    ],
)
def test_what_is_not_understood_is_refused(po: str) -> None:
    with pytest.raises(ValueError, match=r"line \d|twice"):
        parse(po)


def test_there_is_korean() -> None:
    assert [path.parent.parent.name for path in catalogues()] == ["ko"]


@pytest.mark.parametrize("po", catalogues(), ids=lambda po: po.parent.parent.name)
def test_a_catalogue_is_complete_and_compiled(po: Path) -> None:
    said = parse(po.read_text("utf-8"))
    assert complaints(said) == []
    assert po.with_suffix(".mo").read_bytes() == compiled(said)


def test_what_is_compiled_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["p2pchat"]
    shipped = {path for pattern in patterns for path in (ROOT / "p2pchat").glob(pattern)}
    assert {po.with_suffix(".mo") for po in catalogues()} <= shipped


def test_what_a_catalogue_lacks_is_told() -> None:
    text = min(wanted())
    assert f"not translated: {text}" in complaints({})
    said = dict.fromkeys(wanted(), "{nothing}") | {"old": "alt"}
    assert "nothing says this: old" in complaints(said)
    assert any(each.startswith("other places") for each in complaints(said))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "ko_KR", "LC_MESSAGES": "de_DE.UTF-8"}, "de"),
        ({"LANG": "ko_KR", "LC_ALL": "C.UTF-8"}, ""),
        ({"LANG": "ko_KR", "LC_ALL": ""}, "ko"),
        ({"LANG": "kok_IN"}, "kok"),
        ({"LANG": "../../etc"}, ""),
        ({"LANG": "korean"}, ""),
        ({"LANG": "ko_KR.UTF-8", "LANGUAGE": "en:ko"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "de:fr:ko"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LANGUAGE": "fr:de"}, "fr"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "ko"}, ""),
        ({}, ""),
    ],
)
def test_the_environment_says_which_language(environ: dict[str, str], expected: str) -> None:
    assert language.language(environ) == expected


@pytest.fixture
def _english_again() -> Iterator[None]:
    yield
    language.install({})


@pytest.mark.usefixtures("_english_again")
def test_a_language_without_a_catalogue_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    for environ, clock in (
        ({"LANG": "de_DE.UTF-8"}, "clock"),
        ({"LANG": "ko_KR.UTF-8"}, "시계"),
        ({"LANG": "C"}, "clock"),
    ):
        monkeypatch.setenv("LANG", environ["LANG"])
        language.install(os.environ)
        assert gettext.gettext("clock") == clock
