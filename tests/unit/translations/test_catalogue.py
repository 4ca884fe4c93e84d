"""Catalogues: the format, and that each says all that is said, with the same places."""

from __future__ import annotations

import ast
import gettext
import io
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.api import language
from translations import wanted as wanted_module
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


def test_a_text_that_counts_has_as_many_forms_as_the_language() -> None:
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=2; plural=n>1;\\n"\n'
    said = parse(
        f'{header}\nmsgid "{{}} node"\nmsgid_plural "{{}} nodes"\nmsgstr[0] "{{}} nœud"\nmsgstr[1] "{{}} nœuds"\n'
    )
    found = gettext.GNUTranslations(io.BytesIO(compiled(said)))
    assert [found.ngettext("{} node", "{} nodes", count) for count in (1, 2)] == ["{} nœud", "{} nœuds"]
    assert found.ngettext("a", "b", 2) == "b"


@pytest.mark.parametrize(
    ("english", "words", "fits"),
    [
        ("{count} of {name}", "{name}: {count}", True),
        ("{count} of {name}", "{name}", False),
        ("{value!r} is no {kind}", "{value!r}: {kind}", True),
        ("100 %", "100%", True),
        ("%(prog)s", "%s", False),
        ("{} node\0{} nodes", "{} nœud\0{} nœuds", True),
        ("{} node\0{} nodes", "un nœud\0des nœuds", False),
        ("one of {name}\0{count} of {name}", "{name}: {count}", True),
    ],
)
def test_places_are_those_of_the_english(english: str, words: str, fits: bool) -> None:
    told = [each for each in complaints({english: words}) if each.startswith("other places")]
    assert (told == []) == fits


def test_what_is_wanted_is_read_in_the_source() -> None:
    tree = ast.parse(
        """
HEAD = _("too early")
TABLE = marked("of a table")
def f(n, name, text=ngettext("one", "{} many", 1)):
    print(_("said {name}").format(name=name), ngettext("{} a", "{} b", n), counted(n, "{} c", "{} d"), _(TABLE))
    raise UsageError(f"{name} is {n + 1} of {self.limit_bytes:g} bytes")
"""
    )
    found = [text for node in ast.walk(tree) for text in wanted_module.texts(node)]
    assert set(found) == {
        *("too early", "of a table", "said {name}"),
        *("one\0{} many", "{} a\0{} b", "{} c\0{} d"),
    }
    early = [text for node in wanted_module.loaded(tree) for text in wanted_module.texts(node)]
    assert set(early) == {"too early", "of a table", "one\0{} many"}
    sentences = [text for node in ast.walk(tree) for text in wanted_module.sentences(node)]
    assert "{name} is {n_1} of {limit_bytes} bytes" in sentences
    for wrong in ('_(f"{name}")', 'ngettext("{} a", more, n)'):
        with pytest.raises(ValueError, match=r"filled before|without literals"):
            list(wanted_module.texts(ast.parse(wrong, mode="eval").body))


def test_what_answers_programs_translates_nothing() -> None:
    """A daemon that serves several people has no language: it says English, and the command line what that means."""
    allowed = {"api", "cli", "daemon"}
    package = ROOT / "p2pchat"
    found = [
        path.relative_to(package).parts
        for path in package.rglob("*.py")
        if re.search(r"^\s*(from|import) gettext\b", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert {parts[0] for parts in found} <= allowed
    assert {parts[1] for parts in found if parts[0] == "api"} == {"language.py", "prompts.py", "waiting.py"}
    assert {parts[1] for parts in found if parts[0] == "daemon"} == {"__main__.py", "recovery.py"}


@pytest.mark.parametrize(
    "po",
    [
        'msgid "a"\nmsgid_plural "b"\nmsgstr "c"\n',
        'msgid "a"\nmsgstr[0] "c"\n',
        'msgid "a"\nmsgid_plural "b"\nmsgstr[1] "c"\n',
        'msgid "a"\nmsgid "b"\nmsgstr "c"\n',
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
