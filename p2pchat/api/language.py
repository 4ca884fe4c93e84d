"""The language in which a person is spoken to: English, or what ``locale/`` has a catalogue of.

Rules:

- LC_ALL, LC_MESSAGES and LANG say which, the first that is set, as everywhere; LANGUAGE may name others than theirs,
  as gettext has it. Whatever has no catalogue is English, and so is a terminal whose encoding lacks the letters.
- What is translated is the English sentence with its places unfilled, so that a sentence without a translation still
  says what it says: ``from gettext import gettext as _, ngettext``, and ``_("No peer of {name}.").format(name=name)``,
  where it is shown and not where a module is loaded: only then the language is known. click and argparse take their own
  texts from the same catalogue.
- An error carries its English sentence, whoever raises it, since programs read it too; it is translated where it is
  printed (:func:`error`).
- What programs read is never translated: objects, events, logs, names of errors, exit statuses.
- ``locale/LANGUAGE/LC_MESSAGES/p2pchat.po`` is written by people, and ``scripts/translations`` makes the ``.mo``.
"""

from __future__ import annotations

import gettext
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "locale"
DOMAIN: Final = "p2pchat"

_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
_LANGUAGE: Final = re.compile("[a-z]{2,3}")
_ENGLISH: Final = "en"
_NO_DOMAIN: Final = "messages"  # where the standard library begins: there is no catalogue of that name
_PLACE: Final = re.compile(r"\{(\w+)\}")
_LONGEST: Final = 2_000  # characters of a sentence that is compared with texts that have places
_FEWEST: Final = 8  # characters of a text beside its places, by which it is told from others
_PARAMETER: Final = re.compile(r"([A-Za-z_]+|[a-z]+\[\d+\]): (.+)", re.DOTALL)


def language(environ: Mapping[str, str]) -> str:
    """The code of the language that the environment asks for, such as ``ko``; empty where it names none."""
    asked = _code(next((environ[name] for name in _VARIABLES if environ.get(name)), ""))
    if not asked:
        return ""
    preferred = [code for each in environ.get("LANGUAGE", "").split(":") if (code := _code(each))] or [asked]
    return next((code for code in preferred if code == _ENGLISH or _mo(code).exists()), preferred[0])


def install(environ: Mapping[str, str]) -> None:
    """Have the process speak what the environment asks for, from the next text on. For the beginning of a program."""
    code = language(environ)
    gettext.textdomain(_NO_DOMAIN)
    if code and _mo(code).exists():
        gettext.bindtextdomain(DOMAIN, str(FOLDER))
        gettext.textdomain(DOMAIN)
        if not _can_be_shown(gettext.gettext("Usage:")):
            gettext.textdomain(_NO_DOMAIN)


def is_english() -> bool:
    """Whether nothing is translated."""
    return gettext.textdomain() != DOMAIN


def marked(english: str) -> str:
    """``english`` itself: says that it is translated where it is shown, for a table that is made with its module."""
    return english


def said(english: str) -> str:
    """A text whose places are filled, in the user's language; itself where the catalogue does not know it."""
    return english if is_english() else _said(english) or english


def error(name: str, sentence: str) -> str:
    """The sentence of an error in the user's language. What the catalogue does not know follows what it has for the
    error's name, in parentheses: whoever asks others about it needs it.
    """
    if is_english():
        return sentence
    known = _said(sentence)
    if known is not None:
        return known
    of_name = gettext.gettext(name) if name else name
    return sentence if of_name == name else f"{of_name} ({sentence})"


def _can_be_shown(words: str) -> bool:
    try:
        for stream in (sys.stdout, sys.stderr):
            words.encode(stream.encoding)
    except (UnicodeEncodeError, AttributeError, TypeError):  # or nothing is there to be written on
        return False
    return True


def _code(asked: str) -> str:
    found = _LANGUAGE.match(asked)
    return found.group() if found is not None and asked[found.end() : found.end() + 1] in ("", "_", ".", "@") else ""


def _mo(code: str) -> Path:
    return FOLDER / code / "LC_MESSAGES" / f"{DOMAIN}.mo"


# -- sentences whose places are filled -----------------------------------------------------------------------------


def _said(sentence: str) -> str | None:
    whole = _whole(sentence)
    if whole is not None:
        return whole
    named = _PARAMETER.fullmatch(sentence)  # text: is longer than 65536 bytes
    rest = _whole(named[2]) if named is not None else None
    return f"{named[1]}: {rest}" if named is not None and rest is not None else None


def _whole(sentence: str) -> str | None:
    if not 0 < len(sentence) <= _LONGEST:
        return None
    exactly = gettext.gettext(sentence)
    if exactly != sentence:
        return exactly
    mo = gettext.find(DOMAIN, str(FOLDER))
    if mo is None:
        return None
    for text, words in _templates(mo):
        found = _pattern(text).fullmatch(sentence) if _may_be(text, sentence) else None
        if found is not None:
            return words.format(**{name: _reason(value) for name, value in found.groupdict().items()})
    return None


def _reason(value: str) -> str:
    """What a place holds: words of our own, why something was refused; or a name, which is what it is."""
    return (_said(value) or value) if " " in value else value


@lru_cache(1)
def _templates(mo: str) -> tuple[tuple[str, str], ...]:
    """What the catalogue says of texts with places, those with most letters first; and what it says, as itself."""
    rows = [
        (text, words)
        for english, words in _entries(mo)
        if _PLACE.search(english) and _letters(english) >= _FEWEST
        for text in (english, words)
    ]
    rows.sort(key=lambda row: -_letters(row[0]))
    return tuple(rows)


def _may_be(text: str, sentence: str) -> bool:
    """Whether ``sentence`` has what stands between the places: most have not, and need no pattern."""
    return all(piece in sentence for piece in _PLACE.split(text)[::2])


def _letters(text: str) -> int:
    """How many there are beside the places."""
    return len(_PLACE.sub("", text))


def _pattern(text: str) -> re.Pattern[str]:
    pieces, seen = "", set[str]()
    at = 0
    for place in _PLACE.finditer(text):
        name = place[1]
        pieces += re.escape(text[at : place.start()]) + (f"(?P={name})" if name in seen else f"(?P<{name}>.*?)")
        seen.add(name)
        at = place.end()
    return re.compile(pieces + re.escape(text[at:]), re.DOTALL)


def _entries(mo: str) -> Iterator[tuple[str, str]]:
    """Texts without a plural, each with its translation.

    Source: the GNU gettext manual, "The Format of GNU MO Files".
    """
    data = Path(mo).read_bytes()
    _, _, count, originals, translations = struct.unpack_from("<5I", data)
    for row in range(count):
        pair = [struct.unpack_from("<2I", data, table + 8 * row) for table in (originals, translations)]
        english, words = (data[at : at + size].decode() for size, at in pair)
        if english and "\0" not in english:
            yield english, words
